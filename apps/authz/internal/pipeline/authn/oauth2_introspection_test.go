package authn_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
)

func hydra(w *world, more map[string]any) map[string]any {
	config := map[string]any{
		"introspection_url": w.server.URL + "/admin/oauth2/introspect", "scope_strategy": "exact",
		"target_audience": []any{"https://api.example/api"}, "trusted_issuers": []any{"https://issuer"},
	}
	for key, value := range more {
		config[key] = value
	}
	return config
}

func (w *world) knows(change map[string]any) {
	answer := map[string]any{
		"active": true, "token_use": "access_token", "sub": "u-1", "client_id": "c-1", "scope": "read write", "username": "ann",
		"iss": "https://issuer", "aud": []string{"https://api.example/api", "other"}, "exp": now.Unix() + 60,
		"ext": map[string]any{"org": "o-1", "client_id": "forged"},
	}
	for key, value := range change {
		answer[key] = value
	}
	body, err := json.Marshal(answer)
	require.NoError(w.t, err)
	w.says(http.StatusOK, string(body))
}

func TestActiveTokenBecomesSubjectAndFlattenedExtra(t *testing.T) {
	w := newWorld(t)
	w.knows(nil)

	session, err := authenticate(t, w.build("oauth2_introspection", hydra(w, nil)), request(bearer("opaque")))

	require.NoError(t, err)
	require.Equal(t, "u-1", session.Subject)
	require.Equal(t, map[string]any{
		"org": "o-1", "client_id": "c-1", "scope": "read write", "username": "ann", "aud": []string{"https://api.example/api", "other"},
	}, session.Extra, "what the server knows wins over the token's own ext")
	require.Equal(t, "POST", w.asked[0].Method)
	require.Equal(t, "/admin/oauth2/introspect", w.asked[0].RequestURI)
	require.Equal(t, "opaque", w.asked[0].PostForm.Get("token"))
	require.Empty(t, w.asked[0].Header.Get("Authorization"))
}

func TestIntrospectionIsAskedAgainOnlyWithRetry(t *testing.T) {
	for tries, more := range map[int]map[string]any{1: nil, 5: {"retry": map[string]any{"max_delay": "1ms"}}} {
		w := newWorld(t)
		w.says(http.StatusBadGateway, "")
		_, err := authenticate(t, w.build("oauth2_introspection", hydra(w, more)), request(bearer("opaque")))
		requireOutage(t, err)
		require.Len(t, w.asked, tries)
	}
}

func TestRequestIsNotTheirsWithoutATokenOfTheirPrefix(t *testing.T) {
	w := newWorld(t)
	a := w.build("oauth2_introspection", hydra(w, map[string]any{"prefix": "ory_at_"}))
	for _, header := range []http.Header{nil, {"Authorization": {"Basic eDp5"}}, {"Authorization": {"Bearer"}}, bearer(""), bearer("gh_key")} {
		_, err := authenticate(t, a, request(header))
		require.ErrorIs(t, err, pipeline.ErrNotResponsible)
	}
	w.knows(nil)
	_, err := authenticate(t, a, request(http.Header{"Authorization": {"bEARER ory_at_x"}}))
	require.NoError(t, err)
}

func TestTokenIsTakenFromWhereTheRuleSays(t *testing.T) {
	for want, from := range map[string]map[string]any{
		"from-header": {"header": "X-Token"}, "from-query": {"query_parameter": "token"},
		"from-cookie": {"cookie": "token"}, "from-auth": {"header": "Authorization"},
		"Bearer from-auth": {"header": "authorization"}, // as in Oathkeeper, which compares the name exactly
	} {
		w := newWorld(t)
		w.knows(nil)
		a := w.build("oauth2_introspection", hydra(w, map[string]any{"token_from": from}))
		_, err := authenticate(t, a, request(http.Header{
			"X-Token": {"from-header"}, "Cookie": {"token=from-cookie"}, "Authorization": {"Bearer from-auth"},
		}))
		require.NoError(t, err)
		require.Equal(t, want, w.asked[0].PostForm.Get("token"))
	}
}

func TestTokenThatIsNotForUsIsUnauthenticated(t *testing.T) {
	for name, change := range map[string]map[string]any{
		"inactive":       {"active": false},
		"refresh token":  {"token_use": "refresh_token"},
		"expired":        {"exp": now.Unix()},
		"other audience": {"aud": []string{"other"}},
		"no audience":    {"aud": nil},
		"other issuer":   {"iss": "https://issuer/"},
	} {
		w := newWorld(t)
		w.knows(change)
		_, err := authenticate(t, w.build("oauth2_introspection", hydra(w, nil)), request(bearer("opaque")))
		require.Error(t, err, name)
		requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	}
}

func TestAudienceMayBeOneString(t *testing.T) {
	w := newWorld(t)
	w.knows(map[string]any{"aud": "https://api.example/api"})
	_, err := authenticate(t, w.build("oauth2_introspection", hydra(w, nil)), request(bearer("opaque")))
	require.NoError(t, err)
}

func TestInactiveIsAnOutageWhenTheServerIsNotReady(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, `{"active":false}`)
	w.ready = http.StatusServiceUnavailable
	_, err := authenticate(t, w.build("oauth2_introspection", hydra(w, nil)), request(bearer("opaque")))
	requireOutage(t, err)
}

func TestBrokenIntrospectionIsAnOutage(t *testing.T) {
	for status, body := range map[int]string{
		http.StatusInternalServerError: "", http.StatusUnauthorized: "", http.StatusNotFound: "", http.StatusTemporaryRedirect: "",
		http.StatusOK: `[]`,
	} {
		w := newWorld(t)
		w.says(status, body)
		_, err := authenticate(t, w.build("oauth2_introspection", hydra(w, nil)), request(bearer("opaque")))
		requireOutage(t, err)
	}
}

func TestMissingScopeIsForbidden(t *testing.T) {
	w := newWorld(t)
	w.knows(nil)
	_, err := authenticate(t, w.build("oauth2_introspection", hydra(w, map[string]any{"required_scope": []any{"read"}})), request(bearer("x")))
	require.NoError(t, err)
	_, err = authenticate(t, w.build("oauth2_introspection", hydra(w, map[string]any{"required_scope": []any{"read", "admin"}})), request(bearer("x")))
	requireDenied(t, err, http.StatusForbidden, pipeline.CodeForbidden)
}

func TestWithoutAStrategyTheServerChecksTheScopes(t *testing.T) {
	w := newWorld(t)
	w.knows(nil)
	a := w.build("oauth2_introspection", hydra(w, map[string]any{"scope_strategy": "none", "required_scope": []any{"a", "b"}}))
	_, err := authenticate(t, a, request(bearer("x")))
	require.NoError(t, err)
	require.Equal(t, "a b", w.asked[0].PostForm.Get("scope"))
}

func TestIntrospectionHeadersAreSent(t *testing.T) {
	w := newWorld(t)
	w.knows(nil)
	a := w.build("oauth2_introspection", hydra(w, map[string]any{
		"introspection_request_headers": map[string]any{"X-Key": "k", "Content-Type": "text/plain"}, "preserve_host": true,
		"cache": map[string]any{"enabled": true, "ttl": "5s"}, "retry": map[string]any{"give_up_after": "1s"},
	}))
	_, err := authenticate(t, a, request(bearer("x")))
	require.NoError(t, err)
	require.Equal(t, "k", w.asked[0].Header.Get("X-Key"))
	require.Equal(t, "application/x-www-form-urlencoded", w.asked[0].Header.Get("Content-Type"))
	require.Equal(t, "api.example", w.asked[0].Header.Get("X-Forwarded-Host"))
}
