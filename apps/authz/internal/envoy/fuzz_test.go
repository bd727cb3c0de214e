package envoy_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/envoy"
)

// Whatever path is let through must be the same path to a backend that cleans it, one that decodes it and
// one that takes it as it is: a rule decides about one of them and the upstream may be any.
func FuzzPathMeansOneThing(f *testing.F) {
	for _, seed := range []string{"/", "/a/b%20c?x=/..", "/%61", "/a/%2e%2e/b", "//h/x", "/a;b", "/%c0%ae/", "/%252e", "/é", "/a\\b", "/%", "/..%00/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		r, err := envoy.Parse(check(sent))
		if err != nil {
			return
		}
		raw, _, _ := strings.Cut(sent, "?")
		require.Equal(t, raw, r.Path, "the upstream receives the path as it was sent")
		require.Equal(t, strings.TrimSuffix(raw, "/"), strings.TrimSuffix(path.Clean(raw), "/"))
		decoded, err := url.PathUnescape(raw)
		require.NoError(t, err)
		require.Equal(t, strings.Count(raw, "/"), strings.Count(decoded, "/"))
		require.Equal(t, strings.TrimSuffix(decoded, "/"), strings.TrimSuffix(path.Clean(decoded), "/"))
		require.NotContains(t, decoded, "\x00")
		parsed, err := url.ParseRequestURI(raw)
		if err == nil { // what Go's own server, and so the API, would take it for
			require.Empty(t, parsed.Host)
			require.Equal(t, decoded, parsed.Path)
		}
	})
}
