//go:build smoke

package smoke

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is taken away stops working although the gate keeps what it knows of sessions and tokens.
// docs/revocation-feed.md says which of these are published and which a cache's time bounds.

// bound is the longest that anything here may take: the time of the gate's caches, and a slow machine.
const bound = 30 * time.Second

// refused asks until the answer is no, and says how long that took. From then on it stays no.
func refused(t *testing.T, ask func() answer) {
	t.Helper()
	ended(t, ask)
	for range 3 {
		requireProblem(t, ask(), http.StatusUnauthorized, "unauthenticated")
	}
}

// ended asks until it is not let in, and returns why.
func ended(t *testing.T, ask func() answer) answer {
	t.Helper()
	began, pause := time.Now(), time.Millisecond
	a := ask()
	for ; a.status == http.StatusOK; a = ask() {
		require.Less(t, time.Since(began), bound, "it still works")
		<-time.After(pause) // the API limits how often one may ask
		pause = min(2*pause, 200*time.Millisecond)
	}
	t.Logf("refused after %s", time.Since(began).Round(100*time.Microsecond))
	return a
}

// stays asks for a while, in which a published entry would have arrived, and is never refused.
func stays(t *testing.T, ask func() answer) {
	t.Helper()
	for range 10 {
		a := ask()
		require.Equal(t, http.StatusOK, a.status, string(a.body))
		<-time.After(100 * time.Millisecond)
	}
}

// cached asks until the gate answers from the named cache, so that what follows is about an answer that was kept.
func cached(t *testing.T, cache string, ask func() answer) {
	t.Helper()
	ask().identity(t)
	if gate != "authz" {
		return // Oathkeeper keeps none of these
	}
	before := hits(t, cache)
	ask().identity(t)
	require.Greater(t, hits(t, cache), before, "nothing was kept")
}

func hits(t *testing.T, cache string) int {
	t.Helper()
	a := read(t, running.inside(t, "authz-ops", request(t, http.MethodGet, "/metrics", nil)))
	found := regexp.MustCompile(`(?m)^authz_cache_hits_total\{cache="` + cache + `"\} (\d+)$`).FindSubmatch(a.body)
	require.Len(t, found, 2, cache)
	count, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	return count
}

// copied asks with the cookies that a person's browser has now, whatever becomes of them there.
func (p *person) copied(t *testing.T) func() answer {
	t.Helper()
	u, err := url.Parse(demo.publicURL)
	require.NoError(t, err)
	cookies := p.client.Jar.Cookies(u)
	return func() answer {
		r := request(t, http.MethodGet, "/api/me", nil)
		for _, cookie := range cookies {
			r.AddCookie(cookie)
		}
		return send(t, plain, r)
	}
}

func bearing(t *testing.T, token string) func() answer {
	return func() answer { return get(t, "/api/me", "Authorization", "Bearer "+token) }
}

func TestALogoutEndsASessionThatTheGateKeeps(t *testing.T) {
	p := signedIn(t)
	stolen := p.copied(t)
	cached(t, "session", stolen)

	a := send(t, p.client, request(t, http.MethodGet, "/.ory/self-service/logout/browser", nil, "Accept", "application/json"))
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var logout struct {
		URL string `json:"logout_url"`
	}
	require.NoError(t, json.Unmarshal(a.body, &logout))
	require.True(t, strings.HasPrefix(logout.URL, demo.publicURL+"/.ory/"), logout.URL)
	a = send(t, p.client, request(t, http.MethodGet, logout.URL, nil, "Accept", "application/json"))
	require.Equal(t, http.StatusNoContent, a.status, string(a.body))

	refused(t, stolen)
}

func TestAForgedLogoutEndsNothing(t *testing.T) {
	p := signedIn(t)
	p.me(t).identity(t)
	a := send(t, p.client, request(t, http.MethodGet, "/.ory/self-service/logout?token=forged", nil))
	require.Equal(t, http.StatusSeeOther, a.status, "the server's answer does not say that it ended nothing")
	stays(t, func() answer { return p.me(t) })
}

func TestEndingOtherSessionsEndsThoseThatTheGateKeeps(t *testing.T) {
	p := signedIn(t)
	first, here := p.copied(t), p.client
	p.client = browser(t)
	p.logIn(t)
	second := p.copied(t)
	p.client = here
	stranger := signedIn(t)
	for _, ask := range []func() answer{first, second} {
		cached(t, "session", ask)
	}

	a := send(t, stranger.client, request(t, http.MethodGet, "/.ory/sessions/whoami", nil))
	require.Equal(t, http.StatusOK, a.status)
	var session struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(a.body, &session))
	a = send(t, p.client, request(t, http.MethodDelete, "/.ory/sessions/"+session.ID, nil))
	require.Equal(t, http.StatusNoContent, a.status, "the server's answer does not say that it ended nothing")

	a = send(t, p.client, request(t, http.MethodGet, "/.ory/sessions", nil))
	require.Equal(t, http.StatusOK, a.status)
	var others []struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(a.body, &others))
	require.Len(t, others, 1)
	a = send(t, p.client, request(t, http.MethodDelete, "/.ory/sessions/"+others[0].ID, nil))
	require.Equal(t, http.StatusNoContent, a.status, string(a.body))
	refused(t, second)

	p.client = browser(t)
	p.logIn(t)
	third := p.copied(t)
	cached(t, "session", third)
	p.client = here
	a = send(t, p.client, request(t, http.MethodDelete, "/.ory/sessions", nil))
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	refused(t, third)
	require.Equal(t, http.StatusOK, first().status, "one's own stays")
	require.Equal(t, http.StatusOK, stranger.me(t).status, "a stranger's id is nobody's to end")
}

func TestARevokedTokenEndsAlthoughTheGateKeepsIt(t *testing.T) {
	token := demoClient().machine(t, url.Values{"audience": {audience()}})
	cached(t, "introspection", bearing(t, token))
	other := newClient(t, map[string]any{"grant_types": []string{"client_credentials"}})

	a := form(t, "/oauth2/revoke", url.Values{"token": {token}}, "Authorization", other.basic())
	require.Equal(t, http.StatusOK, a.status, "the server's answer does not say that it ended nothing")
	stays(t, bearing(t, token))

	a = form(t, "/oauth2/revoke", url.Values{"token": {token}}, "Authorization", demoClient().basic())
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	refused(t, bearing(t, token))
}

func TestARevokedJWTEndsAlthoughItsSignatureIsGood(t *testing.T) {
	c := newClient(t, map[string]any{"grant_types": []string{"client_credentials"}, "audience": []string{audience()}, "access_token_strategy": "jwt"})
	token := c.machine(t, url.Values{"audience": {audience()}})
	require.Equal(t, 2, strings.Count(token, "."))
	bearing(t, token)().identity(t)
	a := form(t, "/oauth2/revoke", url.Values{"token": {token}}, "Authorization", c.basic())
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	if gate == "oathkeeper" { // it follows no feed, and asks nobody about a signature
		require.Equal(t, http.StatusOK, bearing(t, token)().status)
		return
	}
	refused(t, bearing(t, token))
}

func TestALogoutAtTheAuthorizationServerEndsTheSession(t *testing.T) {
	p := signedIn(t)
	verifier := rand.Text() + rand.Text()
	got := demoClient().exchange(t, p.authorize(t, demoClient(), "openid", verifier), verifier)
	stolen := p.copied(t)
	cached(t, "session", stolen)

	location := p.redirected(t, "/oauth2/sessions/logout?id_token_hint="+url.QueryEscape(got.ID))
	challenge := parameter(t, location, "logout_challenge")
	require.Equal(t, http.StatusOK, stolen().status, "nothing has ended before the person agrees")
	a := read(t, running.inside(t, "hydra-admin", request(t, http.MethodPut,
		"/admin/oauth2/auth/requests/logout/accept?logout_challenge="+url.QueryEscape(challenge), bytes.NewReader(nil))))
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var accepted struct {
		To string `json:"redirect_to"`
	}
	require.NoError(t, json.Unmarshal(a.body, &accepted))
	p.redirected(t, accepted.To)

	refused(t, stolen)
}

func TestWhatNobodyAnnouncesEndsWithTheTimeOfTheCaches(t *testing.T) {
	t.Run("a person who is suspended at the identity server", func(t *testing.T) {
		p := signedIn(t)
		who := p.me(t).identity(t)
		a := read(t, running.inside(t, "kratos-admin", request(t, http.MethodPatch, "/admin/identities/"+who.ID,
			strings.NewReader(`[{"op":"replace","path":"/state","value":"inactive"}]`), "Content-Type", "application/json")))
		require.Equal(t, http.StatusOK, a.status, string(a.body))
		// By the gate, or by the API whose row shows it first.
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, ended(t, func() answer { return p.me(t) }).status)
	})
	t.Run("a token that was refreshed", func(t *testing.T) {
		verifier := rand.Text() + rand.Text()
		got := demoClient().exchange(t, signedIn(t).authorize(t, demoClient(), "openid offline_access", verifier), verifier)
		bearing(t, got.Access)().identity(t)
		fresh := demoClient().token(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}})
		bearing(t, fresh.Access)().identity(t)
		refused(t, bearing(t, got.Access))
	})
	t.Run("a token whose refresh token was revoked", func(t *testing.T) {
		verifier := rand.Text() + rand.Text()
		got := demoClient().exchange(t, signedIn(t).authorize(t, demoClient(), "openid offline_access", verifier), verifier)
		bearing(t, got.Access)().identity(t)
		a := form(t, "/oauth2/revoke", url.Values{"token": {got.Refresh}}, "Authorization", demoClient().basic())
		require.Equal(t, http.StatusOK, a.status, string(a.body))
		refused(t, bearing(t, got.Access))
	})
}
