package authn_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
)

const whoami = `{"id":"s-1","active":true,"identity":{"id":"u-1","traits":{"email":"a@b.c"}},"extra":{"k":"v"},"subject":"plain"}`

func cookies() http.Header {
	return http.Header{"Cookie": {"ory_kratos_session=secret; other=1"}, "Authorization": {"Basic x"}, "X-Tenant": {"t1"}}
}

func kratos(w *world, more map[string]any) map[string]any {
	config := map[string]any{
		"check_session_url": w.server.URL + "/sessions/whoami?keep=1", "preserve_path": true, "force_method": "GET",
		"only": []any{"ory_kratos_session"}, "extra_from": "@this", "subject_from": "identity.id",
	}
	for key, value := range more {
		config[key] = value
	}
	return config
}

func TestSessionBecomesSubjectAndExtra(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, whoami)

	session, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))

	require.NoError(t, err)
	require.Equal(t, "u-1", session.Subject)
	require.Equal(t, "a@b.c", session.Extra["identity"].(map[string]any)["traits"].(map[string]any)["email"])
	require.Empty(t, w.warnings)
	asked := w.asked[0]
	require.Equal(t, "GET", asked.Method)
	require.Equal(t, "/sessions/whoami?keep=1", asked.RequestURI)
	require.Equal(t, "ory_kratos_session=secret; other=1", asked.Header.Get("Cookie"))
	require.Empty(t, asked.Header.Get("Authorization"), "only the cookie is forwarded")
	require.Empty(t, asked.Header.Get("X-Tenant"))
}

func TestOathkeepersDefaultsReadSubjectAndExtra(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, whoami)
	a := w.build("cookie_session", map[string]any{"check_session_url": w.server.URL + "/configured"})

	session, err := authenticate(t, a, request(cookies()))

	require.NoError(t, err)
	require.Equal(t, "plain", session.Subject)
	require.Equal(t, map[string]any{"k": "v"}, session.Extra)
	require.Equal(t, "POST", w.asked[0].Method, "the request's own method")
	require.Equal(t, "/a%20b", w.asked[0].RequestURI, "the request's own path, and no query of its own")
	require.Len(t, w.warnings, 1)
	require.Contains(t, w.warnings[0], "preserve_path")
}

func TestForwardingIsAsConfigured(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, whoami)
	a := w.build("cookie_session", kratos(w, map[string]any{
		"forward_http_headers": []any{"x-tenant"}, "additional_headers": map[string]any{"X-Key": "k"}, "preserve_host": true, "preserve_query": false,
	}))
	_, err := authenticate(t, a, request(cookies()))
	require.NoError(t, err)
	require.Equal(t, "t1", w.asked[0].Header.Get("X-Tenant"))
	require.Equal(t, "k", w.asked[0].Header.Get("X-Key"))
	require.Equal(t, "api.example", w.asked[0].Header.Get("X-Forwarded-Host"))
	require.Equal(t, "token=from-query", w.asked[0].URL.RawQuery)
}

func TestWithoutTheCookieTheNextAuthenticatorTries(t *testing.T) {
	w := newWorld(t)
	only := w.build("cookie_session", kratos(w, nil))
	every := w.build("cookie_session", kratos(w, map[string]any{"only": []any{}}))
	other := request(http.Header{"Cookie": {"other=1"}})
	w.says(http.StatusOK, whoami)

	_, err := authenticate(t, only, other)
	require.ErrorIs(t, err, pipeline.ErrNotResponsible)
	_, err = authenticate(t, every, other)
	require.NoError(t, err)
	_, err = authenticate(t, every, request(nil))
	require.ErrorIs(t, err, pipeline.ErrNotResponsible)
}

func TestRefusedSessionIsUnauthenticatedWhenTheStoreIsReady(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound, http.StatusGone} {
		w := newWorld(t)
		w.says(status, "")
		_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
		requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	}
}

func TestRefusedSessionIsAnOutageWhenTheStoreIsNotReady(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusUnauthorized, `{"error":{"code":401}}`)
	w.ready = http.StatusServiceUnavailable
	_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
	requireOutage(t, err)
}

func TestSessionThatIsOverIsUnauthenticatedWhateverTheStatus(t *testing.T) {
	for _, body := range []string{
		`{"active":false,"identity":{"id":"u-1"}}`, `{"active":true,"identity":{"id":"u-1","state":"inactive"}}`,
	} {
		w := newWorld(t)
		w.says(http.StatusOK, body)
		session, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
		requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
		require.Empty(t, session.Subject)
	}
}

func TestCookieThatCannotBeForwardedIsTheCallersFault(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, whoami)
	_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(http.Header{"Cookie": {"ory_kratos_session=x; a=\x01"}}))
	requireDenied(t, err, http.StatusBadRequest, pipeline.CodeInvalidRequest)
	require.Empty(t, w.asked)
}

func TestBrokenStoreIsAnOutage(t *testing.T) {
	for status, body := range map[int]string{
		http.StatusNoContent: "", http.StatusMethodNotAllowed: "", http.StatusProxyAuthRequired: "", http.StatusRequestTimeout: "",
		http.StatusInternalServerError: "", http.StatusBadGateway: "", http.StatusFound: "", http.StatusOK: "<html>login</html>",
	} {
		w := newWorld(t)
		w.says(status, body)
		_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
		requireOutage(t, err)
	}
	w := newWorld(t)
	a := w.build("cookie_session", kratos(w, nil))
	w.server.Close()
	_, err := authenticate(t, a, request(cookies()))
	requireOutage(t, err)
}

func TestMissingSecondFactorIsAStepUpAndNotALogout(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusForbidden, `{"error":{"id":"session_aal2_required","code":403},"redirect_browser_to":"http://x"}`)
	_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
	denial := requireDenied(t, err, http.StatusForbidden, pipeline.CodeStepUp)
	require.Equal(t, "Complete the second factor to continue.", denial.Detail)
}

func TestRateLimitOfTheStorePassesThrough(t *testing.T) {
	w := newWorld(t)
	w.answer = func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Retry-After", "7")
		out.WriteHeader(http.StatusTooManyRequests)
	}
	_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
	denial := requireDenied(t, err, http.StatusTooManyRequests, pipeline.CodeRateLimited)
	require.Equal(t, "7", denial.Header.Get("Retry-After"))
}

func TestSessionOfTheWrongShapeIsForbidden(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, `{"identity":{"id":7},"list":[1]}`)
	_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
	requireDenied(t, err, http.StatusForbidden, pipeline.CodeForbidden)

	_, err = authenticate(t, w.build("cookie_session", kratos(w, map[string]any{"subject_from": "none", "extra_from": "list"})), request(cookies()))
	requireDenied(t, err, http.StatusForbidden, pipeline.CodeForbidden)

	session, err := authenticate(t, w.build("cookie_session", kratos(w, map[string]any{"subject_from": "none", "extra_from": "none"})), request(cookies()))
	require.NoError(t, err, "missing is empty, as in Oathkeeper")
	require.Empty(t, session.Subject)
	require.Nil(t, session.Extra)
}

func TestUnwatchedStoreIsWarnedAbout(t *testing.T) {
	w := newWorld(t)
	w.build("cookie_session", map[string]any{"check_session_url": "http://127.0.0.1:1/x", "preserve_path": true})
	require.Len(t, w.warnings, 1)
	require.Contains(t, w.warnings[0], "readiness")
}
