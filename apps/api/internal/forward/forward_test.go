package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/forward"
	"gatehouse.internal/api/internal/problem"
)

func server(t *testing.T, name string, seen *http.Request) *url.URL {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		*seen = *r.Clone(t.Context())
		w.Header().Set("X-Upstream", name)
		w.Header().Add("Set-Cookie", "ory_kratos_session=; Max-Age=0")
		w.WriteHeader(http.StatusSeeOther)
	}))
	t.Cleanup(upstream.Close)
	parsed, err := url.Parse(upstream.URL)
	require.NoError(t, err)
	return parsed
}

func newForwarder(t *testing.T, seen *http.Request) *forward.Forwarder {
	t.Helper()
	public, err := url.Parse("https://gatehouse.example")
	require.NoError(t, err)
	return &forward.Forwarder{
		Kratos: server(t, "kratos", seen), Hydra: server(t, "hydra", seen), Public: public, BehindDoor: true,
		Timeout: time.Minute, Transport: http.DefaultTransport, Now: func() time.Time { return now },
		Sessions: &sessions{}, Tokens: &tokens{}, Publisher: &published{},
		Refuse: func(w http.ResponseWriter, _ *http.Request, err error) { w.WriteHeader(problem.From(err).Status()) },
	}
}

func find(t *testing.T, method, path string) forward.Ending {
	t.Helper()
	for _, ending := range forward.Endings() {
		if ending.Method == method && ending.Path == path {
			return ending
		}
	}
	require.FailNow(t, "no such ending", "%s %s", method, path)
	return forward.Ending{}
}

func send(t *testing.T, f *forward.Forwarder, ending forward.Ending, target string, body io.Reader, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), ending.Method, target, body)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	f.Handler(ending).ServeHTTP(w, r)
	return w
}

func TestEveryEndingReachesItsServer(t *testing.T) {
	const id = "948581f8-0f0e-4f37-9f7a-3f1f6f1f0a01"
	for _, c := range []struct{ method, path, target, server, want string }{
		{"GET", "/.ory/self-service/logout", "/.ory/self-service/logout?token=t", "kratos", "/self-service/logout?token=t"},
		{"GET", "/.ory/self-service/logout/browser", "/.ory/self-service/logout/browser", "kratos", "/self-service/logout/browser"},
		{"DELETE", "/.ory/self-service/logout/api", "/.ory/self-service/logout/api", "kratos", "/self-service/logout/api"},
		{"DELETE", "/.ory/sessions", "/.ory/sessions", "kratos", "/sessions"},
		{"DELETE", "/.ory/sessions/:id", "/.ory/sessions/" + id, "kratos", "/sessions/" + id},
		{"POST", "/oauth2/revoke", "/oauth2/revoke", "hydra", "/oauth2/revoke"},
		{"GET", "/oauth2/sessions/logout", "/oauth2/sessions/logout?state=s", "hydra", "/oauth2/sessions/logout?state=s"},
		{"POST", "/oauth2/sessions/logout", "/oauth2/sessions/logout", "hydra", "/oauth2/sessions/logout"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			var seen http.Request
			w := send(t, newForwarder(t, &seen), find(t, c.method, c.path), c.target, nil, nil)

			require.Equal(t, http.StatusSeeOther, w.Code)
			require.Equal(t, c.server, w.Header().Get("X-Upstream"))
			require.NotEmpty(t, w.Header().Get("Set-Cookie"))
			require.Equal(t, c.method, seen.Method)
			require.Equal(t, c.want, seen.RequestURI)
		})
	}
	require.Len(t, forward.Endings(), 8)
}

func TestOnlyAnIDStandsForAnID(t *testing.T) {
	for _, id := range []string{"..", ".", "whoami", "%2e%2e"} {
		var seen http.Request
		w := send(t, newForwarder(t, &seen), find(t, "DELETE", "/.ory/sessions/:id"), "/.ory/sessions/"+id, nil, nil)
		require.Equal(t, http.StatusNotFound, w.Code, id)
		require.Empty(t, seen.Method, id)
	}
}

func TestUpstreamSeesThePublicOriginAndTheClientsAddress(t *testing.T) {
	var seen http.Request
	f := newForwarder(t, &seen)
	header := http.Header{
		"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"},
		"Cookie": {"ory_kratos_session=x"}, "Authorization": {"Basic eA=="}, "Connection": {"X-Drop"}, "X-Drop": {"1"},
	}
	ending := find(t, "POST", "/oauth2/revoke")

	send(t, f, ending, "/oauth2/revoke", strings.NewReader("token=t"), header)

	require.Equal(t, "gatehouse.example", seen.Host)
	require.Equal(t, "gatehouse.example", seen.Header.Get("X-Forwarded-Host"))
	require.Equal(t, "https", seen.Header.Get("X-Forwarded-Proto"))
	require.Equal(t, "203.0.113.7, 192.0.2.1", seen.Header.Get("X-Forwarded-For"))
	require.Equal(t, "Basic eA==", seen.Header.Get("Authorization"))
	require.Empty(t, seen.Header.Get("X-Drop"))

	f.BehindDoor = false
	send(t, f, ending, "/oauth2/revoke", nil, header)
	require.Equal(t, "192.0.2.1", seen.Header.Get("X-Forwarded-For"), "without a door anyone may have written it")
}

func TestOnlyKratosSeesTheSessionCookie(t *testing.T) {
	for name, c := range map[string]struct {
		method, path string
		sent, want   []string
	}{
		"Kratos":               {"DELETE", "/.ory/sessions", []string{"a=1; ory_kratos_session=x"}, []string{"a=1; ory_kratos_session=x"}},
		"Hydra, alone":         {"POST", "/oauth2/revoke", []string{"ory_kratos_session=x"}, nil},
		"Hydra, among others":  {"GET", "/oauth2/sessions/logout", []string{"a=1;ory_kratos_session=x; b=\"2\""}, []string{"a=1; b=\"2\""}},
		"Hydra, several lines": {"GET", "/oauth2/sessions/logout", []string{" ory_kratos_session =x", "ory_kratos_session", "b=2"}, []string{"b=2"}},
		"Hydra, Kratos' CSRF":  {"GET", "/oauth2/sessions/logout", []string{"csrf_token_8f=x; b=2"}, []string{"b=2"}},
		"Hydra, alike":         {"GET", "/oauth2/sessions/logout", []string{"ory_kratos_sessions=x"}, []string{"ory_kratos_sessions=x"}},
	} {
		t.Run(name, func(t *testing.T) {
			var seen http.Request
			send(t, newForwarder(t, &seen), find(t, c.method, c.path), c.path, nil, http.Header{"Cookie": c.sent})
			require.NotEmpty(t, seen.Method)
			require.Equal(t, c.want, seen.Header["Cookie"])
		})
	}
}

func TestUnreachableServerIsUnavailable(t *testing.T) {
	var seen http.Request
	f := newForwarder(t, &seen)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var err error
	f.Kratos, err = url.Parse(gone.URL)
	require.NoError(t, err)

	w := send(t, f, find(t, "DELETE", "/.ory/sessions"), "/.ory/sessions", nil, nil)

	require.Equal(t, http.StatusServiceUnavailable, w.Code)
}

func TestSlowServerIsUnavailable(t *testing.T) {
	var seen http.Request
	f := newForwarder(t, &seen)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	defer close(release)
	var err error
	f.Kratos, err = url.Parse(slow.URL)
	require.NoError(t, err)
	f.Timeout = 10 * time.Millisecond

	w := send(t, f, find(t, "DELETE", "/.ory/sessions"), "/.ory/sessions", nil, nil)

	require.Equal(t, http.StatusServiceUnavailable, w.Code)
}

func TestTooLargeABodyIsRefused(t *testing.T) {
	var seen http.Request
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth2/revoke", strings.NewReader(strings.Repeat("x", 2<<20)))
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)

	newForwarder(t, &seen).Handler(find(t, "POST", "/oauth2/revoke")).ServeHTTP(w, r)

	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	require.Empty(t, seen.Method)
}
