package forward_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/forward"
	"gatehouse.internal/api/internal/principal"
)

const (
	mine   = "11111111-1111-4111-8111-111111111111"
	second = "22222222-2222-4222-8222-222222222222"
	third  = "33333333-3333-4333-8333-333333333333"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// sessions are Kratos' answers, by what is asked with: the cookie, or the session token.
type sessions struct {
	mu      sync.Mutex // the servers change while they are asked
	current map[string]string
	others  []string
	err     error
}

func (s *sessions) CurrentSession(_ context.Context, header http.Header) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return "", s.err
	}
	id, found := s.current[header.Get("Cookie")+header.Get("X-Session-Token")]
	if !found {
		return "", principal.ErrRejected
	}
	return id, nil
}

func (s *sessions) OtherSessions(context.Context, http.Header) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.others...), s.err
}

type tokens struct {
	mu     sync.Mutex
	active map[string]principal.HydraToken
	err    error
}

func (s *tokens) Introspect(_ context.Context, token string) (principal.HydraToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return principal.HydraToken{}, s.err
	}
	found, active := s.active[token]
	if !active {
		return principal.HydraToken{}, principal.ErrRejected
	}
	return found, nil
}

type published struct {
	entries []feed.Entry
	err     error
}

func (p *published) Publish(ctx context.Context, entries ...feed.Entry) error {
	if err := errors.Join(ctx.Err(), p.err); err != nil {
		return err
	}
	p.entries = append(p.entries, entries...)
	return nil
}

type world struct {
	*forward.Forwarder
	sessions  *sessions
	tokens    *tokens
	published *published
	seen      string // the body that the server got
}

// newWorld has servers that do what the test says when they are asked, and answer with its status.
func newWorld(t *testing.T, status int, do func(w *world)) *world {
	t.Helper()
	var seen http.Request
	access := principal.HydraToken{Use: "access_token", Expires: now.Add(10 * time.Minute)}
	w := &world{
		Forwarder: newForwarder(t, &seen),
		sessions:  &sessions{current: map[string]string{"c": mine, "ory_st_x": mine}, others: []string{second, third}},
		tokens: &tokens{active: map[string]principal.HydraToken{
			"opaque": access, "refresh": {Use: "refresh_token", Expires: now.Add(time.Hour)},
			jwt(`{"jti":"j-1"}`): access, jwt(`{"sub":"x"}`): access, "a.b.c": access,
		}},
		published: &published{},
	}
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		func() {
			w.sessions.mu.Lock()
			defer w.sessions.mu.Unlock()
			w.tokens.mu.Lock()
			defer w.tokens.mu.Unlock()
			w.seen = string(body)
			do(w)
		}()
		if status == 0 {
			panic(http.ErrAbortHandler) // the answer gets lost
		}
		answer.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	w.Kratos, w.Hydra, w.Sessions, w.Tokens, w.Publisher = target, target, w.sessions, w.tokens, w.published
	return w
}

func jwt(payload string) string {
	return "eyJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func logOut(w *world)    { w.sessions.current = nil }
func endOthers(w *world) { w.sessions.others = nil }
func endSecond(w *world) { w.sessions.others = []string{third} }
func endTokens(w *world) { w.tokens.active = nil }
func endNothing(*world)  {}
func goAway(w *world)    { w.sessions.err, w.tokens.err = errors.New("outage"), errors.New("outage") }

const (
	logout   = "GET /.ory/self-service/logout"
	inApp    = "DELETE /.ory/self-service/logout/api"
	all      = "DELETE /.ory/sessions"
	one      = "DELETE /.ory/sessions/:id"
	revoke   = "POST /oauth2/revoke"
	rpGet    = "GET /oauth2/sessions/logout"
	rpPost   = "POST /oauth2/sessions/logout"
	formType = "application/x-www-form-urlencoded"
)

func (w *world) send(t *testing.T, ending, target, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	method, path, _ := strings.Cut(ending, " ")
	if target == "" {
		target = path
	}
	return send(t, w.Forwarder, find(t, method, path), target, strings.NewReader(body),
		http.Header{"Cookie": {"c"}, "Content-Type": {contentType}})
}

func TestWhatHasEndedIsPublished(t *testing.T) {
	session := func(ids ...string) (out []feed.Entry) {
		for _, id := range ids {
			out = append(out, feed.Entry{Kind: feed.Session, ID: id, Expires: now.Add(feed.Lifetime)})
		}
		return out
	}
	token := func(ids ...string) (out []feed.Entry) {
		for _, id := range ids {
			out = append(out, feed.Entry{Kind: feed.Token, ID: id, Expires: now.Add(11 * time.Minute)})
		}
		return out
	}
	for name, c := range map[string]struct {
		ending, target, contentType, body string
		status                            int
		do                                func(*world)
		want                              []feed.Entry
	}{
		"logout":                              {ending: logout, status: 303, do: logOut, want: session(mine)},
		"logout with a forged token":          {ending: logout, status: 303, do: endNothing},
		"asking for the logout link":          {ending: "GET /.ory/self-service/logout/browser", status: 200, do: logOut},
		"logout of an application":            {ending: inApp, body: `{"session_token":"ory_st_x"}`, status: 204, do: logOut, want: session(mine)},
		"logout of nobody's application":      {ending: inApp, body: `{"session_token":"ory_st_y"}`, status: 204, do: logOut},
		"logout of an application by no JSON": {ending: inApp, body: `{`, status: 400, do: endNothing},
		"all other sessions":                  {ending: all, status: 200, do: endOthers, want: session(second, third)},
		"all other sessions, of which one":    {ending: all, status: 200, do: endSecond, want: session(second)},
		"one session":                         {ending: one, target: "/.ory/sessions/" + second, status: 204, do: endSecond, want: session(second)},
		"somebody else's session":             {ending: one, target: "/.ory/sessions/" + mine, status: 204, do: endNothing},
		"a session that stays":                {ending: one, target: "/.ory/sessions/" + second, status: 500, do: endNothing},
		"logout at Hydra":                     {ending: rpGet, status: 302, do: logOut, want: session(mine)},
		"logout at Hydra, posted":             {ending: rpPost, contentType: formType, body: "id_token_hint=x", status: 302, do: logOut, want: session(mine)},
		"logout at Hydra, not yet":            {ending: rpGet, status: 302, do: endNothing},
		"opaque token":                        {ending: revoke, contentType: formType, body: "token=opaque", status: 200, do: endTokens, want: token(hash("opaque"))},
		"JWT with an id": {ending: revoke, contentType: formType, body: "token=" + jwt(`{"jti":"j-1"}`), status: 200, do: endTokens,
			want: token(hash(jwt(`{"jti":"j-1"}`)), "j-1")},
		"JWT without an id": {ending: revoke, contentType: formType, body: "token=" + jwt(`{"sub":"x"}`), status: 200, do: endTokens,
			want: token(hash(jwt(`{"sub":"x"}`)), hash(strings.TrimSuffix(jwt(`{"sub":"x"}`), ".c2ln")))},
		"opaque token with dots":         {ending: revoke, contentType: formType, body: "token=a.b.c", status: 200, do: endTokens, want: token(hash("a.b.c"))},
		"token in the form of an upload": {ending: revoke, contentType: "multipart/form-data; boundary=b", body: "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nopaque\r\n--b--\r\n", status: 200, do: endTokens, want: token(hash("opaque"))},
		"another client's token":         {ending: revoke, contentType: formType, body: "token=opaque", status: 200, do: endNothing},
		"token that never was":           {ending: revoke, contentType: formType, body: "token=made-up", status: 200, do: endTokens},
		"refresh token":                  {ending: revoke, contentType: formType, body: "token=refresh", status: 200, do: endTokens},
		"no token":                       {ending: revoke, contentType: formType, body: "x=y", status: 400, do: endNothing},
		"an answer that says no and did": {ending: all, status: 500, do: endOthers, want: session(second, third)},
		"nobody knows afterwards":        {ending: revoke, contentType: formType, body: "token=opaque", status: 200, do: goAway, want: token(hash("opaque"))},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.status, c.do)
			require.Equal(t, c.status, w.send(t, c.ending, c.target, c.contentType, c.body).Code)
			require.Equal(t, c.want, w.published.entries)
			require.Equal(t, c.body, w.seen, "the server gets the body as it was sent")
		})
	}
}

func TestEndingWhoseAnswerGotLostIsPublished(t *testing.T) {
	w := newWorld(t, 0, logOut)
	require.Equal(t, http.StatusServiceUnavailable, w.send(t, logout, "", "", "").Code)
	require.Len(t, w.published.entries, 1)
}

func TestEndingOfWhoWentAwayIsPublished(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := newWorld(t, 303, func(w *world) { logOut(w); cancel() })
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/.ory/self-service/logout", nil)
	r.Header.Set("Cookie", "c")
	w.Handler(find(t, http.MethodGet, "/.ory/self-service/logout")).ServeHTTP(httptest.NewRecorder(), r)
	require.Len(t, w.published.entries, 1)
}

func TestNothingIsEndedWhileNobodyKnowsWhatItWouldBe(t *testing.T) {
	for _, c := range []struct{ ending, target, body string }{
		{logout, "", ""},
		{inApp, "", `{"session_token":"ory_st_x"}`},
		{all, "", ""},
		{one, "/.ory/sessions/" + second, ""},
		{revoke, "", "token=opaque"},
		{rpGet, "", ""},
	} {
		asked := false
		w := newWorld(t, 200, func(*world) { asked = true })
		goAway(w)
		require.Equal(t, http.StatusServiceUnavailable, w.send(t, c.ending, c.target, formType, c.body).Code, c.ending)
		require.False(t, asked, c.ending)
		require.Empty(t, w.published.entries)
	}
}

func TestEndingThatCannotBePublishedIsNotCalledDone(t *testing.T) {
	w := newWorld(t, 200, endTokens)
	w.published.err = errors.New("database down")
	require.Equal(t, http.StatusServiceUnavailable, w.send(t, revoke, "", formType, "token=opaque").Code)
}

func TestTooLargeABodyOfALogoutIsRefused(t *testing.T) {
	w := newWorld(t, 204, endNothing)
	answer := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/.ory/self-service/logout/api", strings.NewReader(strings.Repeat("x", 2<<20)))
	r.Body = http.MaxBytesReader(answer, r.Body, 1<<20)
	w.Handler(find(t, http.MethodDelete, "/.ory/self-service/logout/api")).ServeHTTP(answer, r)
	require.Equal(t, http.StatusRequestEntityTooLarge, answer.Code)
}
