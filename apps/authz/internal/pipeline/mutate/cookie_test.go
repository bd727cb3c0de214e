package mutate_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/mutate"
)

func TestCookiesOfTheRuleComeBeforeThoseOfTheClient(t *testing.T) {
	m, err := mutate.New("cookie", map[string]any{"cookies": map[string]any{"user": "{{ print .Subject }}", "note": `a; role="admin"`}}, mutate.Deps{})
	require.NoError(t, err)
	s := pipeline.NewSession(&pipeline.Request{}, nil)
	s.Subject = "guest"
	r := &pipeline.Request{Header: http.Header{"Cookie": {"a=1; user=root", "b=2"}}}
	require.NoError(t, m.Mutate(t.Context(), r, s))
	require.Equal(t, http.Header{"Cookie": {`note="a role=admin"; user=guest; a=1; b=2`}}, s.Header, "a value begins no cookie of its own")
}

func TestBrokenCookieConfigurationsAreRefused(t *testing.T) {
	for want, config := range map[string]map[string]any{
		"missing": nil, "a b": {"cookies": map[string]any{"a b": ""}}, "template": {"cookies": map[string]any{"a": "{{"}}, "x": {"x": 1},
	} {
		_, err := mutate.New("cookie", config, mutate.Deps{})
		require.ErrorContains(t, err, want)
	}
}
