package ory_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/principal"
)

// kratosSaying answers every question but that for readiness with status and body, and shows what it was asked.
func kratosSaying(t *testing.T, status int, body string, ready int) (*ory.KratosPublic, *http.Request) {
	t.Helper()
	var seen http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health/ready" {
			w.WriteHeader(ready)
			return
		}
		seen = *r.Clone(t.Context())
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return ory.NewKratosPublic(server.URL+"/", ory.HTTPClient(timeout)), &seen
}

func TestSessionsAreAskedForWithTheCredentialsOfTheRequestAndNothingElse(t *testing.T) {
	header := http.Header{
		"Cookie": {"a=1; ory_kratos_session=x"}, "X-Session-Token": {"ory_st_x"}, "Authorization": {"Bearer ory_st_y"},
		"X-Session-Cookie": {"z"}, "X-Forwarded-For": {"203.0.113.7"}, "Host": {"evil.example"},
	}
	kratos, seen := kratosSaying(t, http.StatusOK, `{"id":"s-1"}`, http.StatusOK)
	id, err := kratos.CurrentSession(t.Context(), header)
	require.NoError(t, err)
	require.Equal(t, "s-1", id)
	require.Equal(t, "/sessions/whoami", seen.URL.Path)
	for _, name := range []string{"Cookie", "X-Session-Token", "X-Session-Cookie", "Authorization"} {
		require.Equal(t, header[name], seen.Header[name])
	}
	require.Empty(t, seen.Header.Get("X-Forwarded-For"))

	kratos, seen = kratosSaying(t, http.StatusOK, `[{"id":"s-2","active":true},{"id":"s-3","active":false}]`, http.StatusOK)
	ids, err := kratos.OtherSessions(t.Context(), header)
	require.NoError(t, err)
	require.Equal(t, []string{"s-2"}, ids)
	require.Equal(t, "/sessions", seen.URL.Path)
}

func TestThatThereIsNoSessionIsBelievedOnlyOfAReadyServer(t *testing.T) {
	const stepUp = `{"error":{"id":"session_aal2_required"}}`
	for name, c := range map[string]struct {
		status, ready int
		body          string
		want          error // nil: any error that is neither
	}{
		"no session":         {http.StatusUnauthorized, http.StatusOK, `{}`, principal.ErrRejected},
		"database down":      {http.StatusUnauthorized, http.StatusServiceUnavailable, `{}`, nil},
		"second factor":      {http.StatusForbidden, http.StatusOK, stepUp, principal.ErrStepUp},
		"forbidden":          {http.StatusForbidden, http.StatusOK, `{}`, nil},
		"broken":             {http.StatusInternalServerError, http.StatusOK, `{}`, nil},
		"not JSON":           {http.StatusOK, http.StatusOK, `<html>`, nil},
		"session without id": {http.StatusOK, http.StatusOK, `{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			kratos, _ := kratosSaying(t, c.status, c.body, c.ready)
			_, err := kratos.CurrentSession(t.Context(), http.Header{})
			require.Error(t, err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NotErrorIs(t, err, principal.ErrRejected)
			require.NotErrorIs(t, err, principal.ErrStepUp)
		})
	}
}
