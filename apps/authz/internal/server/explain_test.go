package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
)

func (s *stack) explain(t *testing.T, explained bool, description string) *httptest.ResponseRecorder {
	t.Helper()
	handler, _ := ops(s.engine, newMetrics(), explained)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/explain", strings.NewReader(description)))
	return w
}

func TestRequestIsExplained(t *testing.T) {
	s := newStack(t)
	s.kratos.says(http.StatusOK, session, http.StatusOK)
	for description, want := range map[string]engine.Explanation{
		`{"method":"GET","url":"http://h/api/me","headers":{"Cookie":"ory_kratos_session=secret"}}`: {
			Matches: []string{"api"},
			Stages: []engine.Stage{
				{Kind: "authenticator", Handler: "jwt", Said: "not responsible"},
				{Kind: "authenticator", Handler: "oauth2_introspection", Said: "not responsible"},
				{Kind: "authenticator", Handler: "cookie_session", Said: "yes"},
				{Kind: "authorizer", Handler: "allow", Said: "yes"},
				{Kind: "mutator", Handler: "header", Said: "yes"},
				{Kind: "mutator", Handler: "id_token", Said: "yes"},
			},
			Outcome: "allow", Handler: "cookie_session", Status: 200,
			Set:    map[string]string{"Authorization": "[redacted]", "X-User-Id": "u-1", "X-User-Email": "ann@example"},
			Remove: []string{"X-Client-Id", "X-Scopes", "Cookie"},
		},
		`{"method":"GET","url":"http://h/api/twice"}`: {
			Matches: []string{"twice-1", "twice-2"}, Stages: []engine.Stage{},
			Outcome: "deny", Status: 500, Code: "rule_error", Reason: "expected exactly one rule but found multiple rules",
		},
		`{"method":"GET","url":"http://h/admin"}`: {
			Matches: []string{"admin"},
			Stages: []engine.Stage{
				{Kind: "authenticator", Handler: "noop", Said: "yes"},
				{Kind: "authorizer", Handler: "deny", Said: "403 forbidden: the rule denies everybody"},
			},
			Outcome: "deny", Handler: "deny", Status: 403, Code: "forbidden", Reason: "the rule denies everybody",
		},
		`{"method":"GET","url":"http://h/a/../b"}`: {
			Matches: []string{}, Stages: []engine.Stage{},
			Outcome: "deny", Status: 400, Code: "invalid_request", Reason: "the path holds a dot segment",
		},
	} {
		w := s.explain(t, true, description)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var got engine.Explanation
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		require.Equal(t, want.Outcome == "deny", got.Response != nil)
		got.Response = nil
		require.Equal(t, want, got, description)
	}
}

func TestExplainingIsOffUntilItIsSwitchedOn(t *testing.T) {
	s := newStack(t)
	require.Equal(t, http.StatusNotFound, s.explain(t, false, `{"method":"GET","url":"http://h/admin"}`).Code)
	require.False(t, Default().Explain)
}

func TestDescriptionThatIsNoRequestIsRefused(t *testing.T) {
	s := newStack(t)
	for _, description := range []string{"", "{", `{"method":"GET"}`, `{"url":"http://h/"}`, `{"method":"GET","url":"/a"}`, `{"method":"GET","url":"http://h/","header":{}}`,
		`{"method":"GET","url":"http://h/","body":"` + strings.Repeat("x", maxCheck) + `"}`} {
		require.Equal(t, http.StatusBadRequest, s.explain(t, true, description).Code, "%.60s", description)
	}
}
