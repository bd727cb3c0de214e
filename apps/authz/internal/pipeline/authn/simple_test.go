package authn_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authn"
)

func TestNoopAcceptsAndLearnsNothing(t *testing.T) {
	session, err := authenticate(t, newWorld(t).build("noop", nil), request(bearer("x")))
	require.NoError(t, err)
	require.Empty(t, session.Subject)
	require.Empty(t, session.Header)
}

func TestUnauthorizedRefuses(t *testing.T) {
	_, err := authenticate(t, newWorld(t).build("unauthorized", nil), request(nil))
	requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
}

func TestAnonymousIsForThoseWithoutCredentials(t *testing.T) {
	w := newWorld(t)
	session, err := authenticate(t, w.build("anonymous", nil), request(nil))
	require.NoError(t, err)
	require.Equal(t, "anonymous", session.Subject)

	session, err = authenticate(t, w.build("anonymous", map[string]any{"subject": "guest"}), request(nil))
	require.NoError(t, err)
	require.Equal(t, "guest", session.Subject)

	session, err = authenticate(t, w.build("anonymous", map[string]any{"subject": ""}), request(nil))
	require.NoError(t, err)
	require.Equal(t, "anonymous", session.Subject, "as in Oathkeeper")

	_, err = authenticate(t, w.build("anonymous", nil), request(bearer("x")))
	require.ErrorIs(t, err, pipeline.ErrNotResponsible)
}

func TestUnknownHandlersAndSettingsAreRefused(t *testing.T) {
	w := newWorld(t)
	url := w.server.URL
	for name, config := range map[string]map[string]any{
		"bearer_token": nil,
		"anonymous":    {"subjct": "x"},
	} {
		_, err := authn.New(name, config, w.deps())
		require.Error(t, err, name)
	}
	for _, config := range []map[string]any{
		nil, {"check_session_url": "not a url"}, {"check_session_url": "file:///x"}, {"check_session_url": url, "onyl": []any{}},
	} {
		_, err := authn.New("cookie_session", config, w.deps())
		require.Error(t, err, config)
	}
	for _, config := range []map[string]any{
		nil, {"introspection_url": url, "scope_strategy": "fuzzy"}, {"introspection_url": url, "pre_authorization": map[string]any{"enabled": true, "token_url": url}},
		{"introspection_url": url, "pre_authorization": map[string]any{"enabled": true, "client_id": "c", "client_secret": "s"}},
		{"introspection_url": url, "token_from": map[string]any{"header": "a", "cookie": "b"}},
	} {
		_, err := authn.New("oauth2_introspection", config, w.deps())
		require.Error(t, err, config)
	}
	for _, config := range []map[string]any{
		nil, {"jwks_urls": []any{"ftp://x"}}, {"jwks_urls": []any{url}, "allowed_algorithms": []any{"HS256"}},
		{"jwks_urls": []any{url}, "allowed_algorithms": []any{"none"}}, {"jwks_urls": []any{url}, "required_scope": []any{"a"}},
		{"jwks_urls": []any{url}, "jwks_ttl": "soon"},
	} {
		_, err := authn.New("jwt", config, w.deps())
		require.Error(t, err, config)
	}
}

func TestErrorsNeverQuoteAPasswordInAURL(t *testing.T) {
	_, err := authn.New("cookie_session", map[string]any{"check_session_url": "http://u:hunter2@h:port/"}, newWorld(t).deps())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}
