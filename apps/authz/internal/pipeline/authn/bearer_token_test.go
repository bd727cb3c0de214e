package authn_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
)

func verifier(w *world, more map[string]any) map[string]any {
	config := map[string]any{
		"check_session_url": w.server.URL + "/verify", "preserve_path": true, "force_method": "POST", "prefix": "gh_",
		"extra_from": "@this", "subject_from": "owner", "additional_headers": map[string]any{"X-Door": "secret"},
	}
	for key, value := range more {
		config[key] = value
	}
	return config
}

func TestAPIKeyBecomesSubjectAndExtra(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, `{"owner":"o-1","key_id":"k-1","scope":"read"}`)

	session, err := authenticate(t, w.build("bearer_token", verifier(w, nil)), request(bearer("gh_live_x")))

	require.NoError(t, err)
	require.Equal(t, "o-1", session.Subject)
	require.Equal(t, "read", session.Extra["scope"])
	require.Equal(t, "k-1", session.Credential.Key)
	require.Empty(t, w.warnings)
	asked := w.asked[0]
	require.Equal(t, "POST", asked.Method)
	require.Equal(t, "/verify", asked.RequestURI)
	require.Equal(t, "Bearer gh_live_x", asked.Header.Get("Authorization"))
	require.Equal(t, "secret", asked.Header.Get("X-Door"))
	require.Empty(t, asked.Header.Get("Cookie"), "only the token is forwarded")
}

func TestOathkeepersDefaultsReadSubAndExtra(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, `{"sub":"u-1","extra":{"k":"v"}}`)
	session, err := authenticate(t, w.build("bearer_token", map[string]any{"check_session_url": w.server.URL + "/x", "prefix": ""}), request(bearer("t")))
	require.NoError(t, err)
	require.Equal(t, "u-1", session.Subject)
	require.Equal(t, map[string]any{"k": "v"}, session.Extra)
	require.Equal(t, "/a%20b", w.asked[0].RequestURI)
	require.Contains(t, w.warnings[0], "preserve_path")
}

func TestTokenOfAnotherKindIsNotTheirs(t *testing.T) {
	w := newWorld(t)
	a := w.build("bearer_token", verifier(w, nil))
	for _, header := range []http.Header{nil, bearer("ory_at_x"), bearer(""), {"Authorization": {"Basic gh_x"}}, {"Cookie": {"t=gh_x"}}} {
		_, err := authenticate(t, a, request(header))
		require.ErrorIs(t, err, pipeline.ErrNotResponsible)
	}
	require.Empty(t, w.asked)
}

func TestRefusedTokenIsUnauthenticatedOrAnOutage(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusUnauthorized, "")
	a := w.build("bearer_token", verifier(w, nil))
	_, err := authenticate(t, a, request(bearer("gh_x")))
	requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	w.ready = http.StatusServiceUnavailable
	_, err = authenticate(t, a, request(bearer("gh_x")))
	requireOutage(t, err)
}

func TestTokenThatTheStoreNeverSeesIsWarnedAbout(t *testing.T) {
	for name, c := range map[string]struct {
		config map[string]any
		warned bool
	}{
		"header":           {map[string]any{"token_from": map[string]any{"header": "X-Token"}}, true},
		"header forwarded": {map[string]any{"token_from": map[string]any{"header": "X-Token"}, "forward_http_headers": []any{"x-token"}}, false},
		"authorization":    {map[string]any{"token_from": map[string]any{"header": "Authorization"}}, false},
		"cookie":           {map[string]any{"token_from": map[string]any{"cookie": "t"}}, true},
		"cookie forwarded": {map[string]any{"token_from": map[string]any{"cookie": "t"}, "forward_http_headers": []any{"Cookie"}}, false},
		"query":            {map[string]any{"token_from": map[string]any{"query_parameter": "t"}}, true},
		"query forwarded":  {map[string]any{"token_from": map[string]any{"query_parameter": "t"}, "preserve_query": false}, false},
		"empty":            {map[string]any{"token_from": map[string]any{}}, false},
	} {
		w := newWorld(t)
		w.build("bearer_token", verifier(w, c.config))
		require.Equal(t, c.warned, len(w.warnings) > 0, name)
	}
}

func TestMistypedKeyIsRefusedWithoutAsking(t *testing.T) {
	const good = "gh_live_0123456789abcdef_9f35d175"
	w := newWorld(t)
	w.more.ChecksumPrefixes = []string{"gh_"}
	w.says(http.StatusOK, `{"owner":"o-1"}`)
	a := w.build("bearer_token", verifier(w, map[string]any{"prefix": ""}))
	for _, token := range []string{
		"gh_", "gh_live_0123456789abcdef", "gh_live_0123456789abcdeg_9f35d175", "gh_live_0123456789abcdef_9f35d176",
		"gh_live_0123456789abcdef_9f35d17", "gh_test_0123456789abcdef_9f35d175", good + "_", good + "0",
	} {
		_, err := authenticate(t, a, request(bearer(token)))
		requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	}
	require.Empty(t, w.asked)
	for _, token := range []string{good, "ory_st_without_a_checksum"} {
		_, err := authenticate(t, a, request(bearer(token)))
		require.NoError(t, err, token)
	}
}
