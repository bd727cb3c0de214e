//go:build door

package door

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// questions are what Oathkeeper's decision API was asked.
func oathkeeperAsked(t *testing.T) seen {
	t.Helper()
	questions := all(oathkeeper)
	require.Len(t, questions, 1)
	return questions[0]
}

// Oathkeeper believes X-Forwarded-Method, -Proto, -Host and -Uri from whoever sends them, and decides about that
// request instead (CVE-2026-33495, and what is said of the decision API in its issue 1262).
func TestOathkeeperIsToldOfNoOtherRequest(t *testing.T) {
	scene(t, allow())
	a := oathkeeperDoor.send(t, http.MethodDelete, "/api/me?q=1", "X-Forwarded-Method", "GET", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example",
		"X-Forwarded-Uri", "/api/public/health", "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Port", "443", "X-Forwarded-Prefix", "/api/public", "X-Forwarded", "a", "X-Forwarded-Ssl", "on")
	require.Equal(t, http.StatusOK, a.status)
	got := oathkeeperAsked(t)
	require.Equal(t, http.MethodDelete, got.method)
	require.Equal(t, "/decisions/api/me?q=1", got.target)
	require.Equal(t, "localhost:8080", got.host)
	for name, values := range got.header {
		require.False(t, strings.HasPrefix(name, "X-Forwarded"), "%s: %v", name, values)
	}
}

func TestOathkeeperIsSentOnlyWhatARuleMayRead(t *testing.T) {
	scene(t, allow())
	oathkeeperDoor.get(t, "/api/me", "Cookie", session, "Authorization", "Bearer "+canary, "Accept", "application/json", "Content-Type", "text/plain",
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Other", "a", "X-User-Id", forged, "Connection", "x-request-id")
	got := oathkeeperAsked(t).header
	require.Equal(t, []string{session}, got["Cookie"])
	require.Equal(t, []string{"Bearer " + canary}, got["Authorization"])
	require.Equal(t, []string{"application/json"}, got["Accept"])
	require.Equal(t, []string{"text/plain"}, got["Content-Type"])
	require.Len(t, got["X-Request-Id"], 1)
	require.Len(t, got["Traceparent"], 1)
	require.NotContains(t, got, "X-Other")
	requireNoForgery(t)
}

func TestOnlyTheListedHeadersAreTakenFromOathkeeper(t *testing.T) {
	answers(t, oathkeeper, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"Authorization": "Bearer minted", "X-User-Id": "alice", "X-User-Email": "a@example.com", "X-Client-Id": "c", "X-Scopes": "one two",
			"Cookie": "from=oathkeeper", "X-Other": "oathkeepers", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "203.0.113.7", "X-Request-Id": "oathkeepers",
			"X-User-Roles": "admin", "Host": "evil.example", "Accept": "oathkeepers", "Set-Cookie": session, "X-Envoy-Original-Path": "/x", "Location": "/x",
		} {
			w.Header().Set(name, value)
		}
	})
	scene(t, allow())
	a := oathkeeperDoor.get(t, "/api/me", "Authorization", "Bearer "+canary, "X-Other", "the client's", "Accept", "the client's", "X-User-Id", forged)
	require.Equal(t, http.StatusOK, a.status)
	require.NotContains(t, a.header, "Set-Cookie")
	require.NotContains(t, a.header, "X-User-Id")
	got := reached(t, api)
	require.Equal(t, "localhost:8080", got.host)
	require.Equal(t, "/api/me", got.target)
	for name, value := range map[string]string{
		"Authorization": "Bearer minted", "X-User-Id": "alice", "X-User-Email": "a@example.com", "X-Client-Id": "c", "X-Scopes": "one two",
		"X-Other": "the client's", "Accept": "the client's", "X-Forwarded-Proto": "http",
	} {
		require.Equal(t, []string{value}, got.header[name], name)
	}
	for _, name := range []string{"Cookie", "X-User-Roles", "X-Forwarded-Host", "X-Envoy-Original-Path", "Location", "Set-Cookie"} {
		require.NotContains(t, got.header, name)
	}
	require.Equal(t, a.header["X-Request-Id"], got.header["X-Request-Id"])
	require.NotContains(t, got.header.Get("X-Forwarded-For"), "203.0.113.7")
}

func TestAnEmptyHeaderOfOathkeeperTakesTheClientsAway(t *testing.T) {
	answers(t, oathkeeper, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Authorization"] = []string{""}
		w.Header()["X-User-Id"] = []string{""}
	})
	scene(t, allow())
	require.Equal(t, http.StatusOK, oathkeeperDoor.get(t, "/api/public/health", "Authorization", "Bearer "+canary).status)
	require.Empty(t, reached(t, api).header.Get("Authorization"))
}

func TestOathkeepersRefusalsBecomeProblems(t *testing.T) {
	for status, code := range map[int]string{401: "unauthenticated", 403: "forbidden", 404: "no_rule", 500: "internal"} {
		t.Run(code, func(t *testing.T) {
			answers(t, oathkeeper, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Set-Cookie", session)
				w.WriteHeader(status)
				_, _ = w.Write([]byte(`{"error":{"code":401,"reason":"oathkeepers"}}`))
			})
			scene(t, allow())
			a := oathkeeperDoor.get(t, "/api/me")
			if status == http.StatusInternalServerError && a.status == http.StatusServiceUnavailable {
				code = "unavailable" // Envoy counts it as an outage of the gate
				status = a.status
			}
			requireProblem(t, a, status, code)
			require.NotContains(t, a.body, "oathkeepers")
			require.NotContains(t, a.header, "Set-Cookie")
			requireNothingReached(t)
		})
	}
}

func TestAnOathkeeperThatDoesNotAnswerIsAnOutageAndNeverAPass(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"502": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"504": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) },
		"it hangs": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		},
		"it dies": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"it dies after the status": func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = connection.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"))
				_ = connection.Close()
			}
		},
		"it talks nonsense": func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = connection.Write([]byte("200 OK\r\n\r\n"))
				_ = connection.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			answers(t, oathkeeper, answer)
			scene(t, allow())
			requireProblem(t, oathkeeperDoor.get(t, "/api/me", "Authorization", "Bearer "+canary), http.StatusServiceUnavailable, "unavailable")
			requireNothingReached(t)
		})
	}
}

// Only 200 is a pass: an answer that a careless gate takes for success is not.
func TestOnlyA200OfOathkeeperIsAPass(t *testing.T) {
	for _, status := range []int{201, 202, 204, 206, 301, 302, 304, 307, 400, 402, 405, 418, 429} {
		answers(t, oathkeeper, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		scene(t, allow())
		oathkeeperDoor.get(t, "/api/me")
		requireNothingReached(t)
	}
}
