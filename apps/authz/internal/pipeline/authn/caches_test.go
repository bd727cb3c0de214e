package authn_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authn"
)

// newKeepingWorld is a world with every cache switched on.
func newKeepingWorld(t testing.TB) *world {
	w := newWorld(t)
	w.more.Caches = authn.NewCaches(authn.CacheOptions{
		MaxEntries: 100, SessionTTL: 10 * time.Second, IntrospectionTTL: 10 * time.Second, NegativeTTL: time.Second,
		Timeout: 5 * time.Second, Now: w.now,
	})
	return w
}

func TestKeptSessionIsNotAskedForAgain(t *testing.T) {
	w := newKeepingWorld(t)
	w.says(http.StatusOK, whoami)
	for range 3 {
		// A reload builds the handler anew.
		session, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
		require.NoError(t, err)
		require.Equal(t, "u-1", session.Subject)
		require.Equal(t, "s-1", session.Credential.Session)
	}
	require.Len(t, w.asked, 1)
	w.at(10 * time.Second)
	_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
	require.NoError(t, err)
	require.Len(t, w.asked, 2)
}

func TestWhatReachesTheStoreMakesAnotherQuestion(t *testing.T) {
	seesAll := map[string]any{
		"preserve_path": false, "preserve_query": false, "preserve_host": true, "force_method": "",
		"forward_http_headers": []any{"X-Tenant", "X-Other"}, "only": []any{},
	}
	for name, c := range map[string]struct {
		change func(*pipeline.Request)
		seen   bool // also by a handler that forwards the cookie only
	}{
		"cookie":          {func(r *pipeline.Request) { r.Header.Set("Cookie", "ory_kratos_session=another; other=1") }, true},
		"other cookie":    {func(r *pipeline.Request) { r.Header.Set("Cookie", "ory_kratos_session=secret; other=2") }, true},
		"cookie line":     {func(r *pipeline.Request) { r.Header.Add("Cookie", "x=1") }, true},
		"method":          {func(r *pipeline.Request) { r.Method = "PUT" }, false},
		"path":            {func(r *pipeline.Request) { r.Path = "/a/b" }, false},
		"query":           {func(r *pipeline.Request) { r.Query = "" }, false},
		"host":            {func(r *pipeline.Request) { r.Host = "other.example" }, false},
		"header":          {func(r *pipeline.Request) { r.Header.Set("X-Tenant", "t2") }, false},
		"second value":    {func(r *pipeline.Request) { r.Header.Add("X-Tenant", "t2") }, false},
		"no header":       {func(r *pipeline.Request) { r.Header.Del("X-Tenant") }, false},
		"another header":  {func(r *pipeline.Request) { r.Header.Del("X-Tenant"); r.Header.Set("X-Other", "t1") }, false},
		"unseen":          {func(r *pipeline.Request) { r.Header.Set("X-Unseen", "1"); r.ID = "id-2" }, false},
		"scheme (unseen)": {func(r *pipeline.Request) { r.Scheme = "http" }, false},
	} {
		w := newKeepingWorld(t)
		w.says(http.StatusOK, whoami)
		for _, config := range []map[string]any{seesAll, nil} {
			w.asked = nil
			a := w.build("cookie_session", kratos(w, config))
			changed := request(cookies())
			c.change(changed)
			for _, r := range []*pipeline.Request{request(cookies()), changed, request(cookies()), changed} {
				_, err := authenticate(t, a, r)
				require.NoError(t, err)
			}
			want := 1
			if c.seen || (config != nil && !strings.Contains(name, "unseen")) {
				want = 2
			}
			require.Len(t, w.asked, want, name)
		}
	}
}

func TestRulesThatReadASessionDifferentlyShareNothing(t *testing.T) {
	w := newKeepingWorld(t)
	w.says(http.StatusOK, whoami)
	for from, want := range map[string]string{"identity.id": "u-1", "subject": "plain", "id": "s-1"} {
		session, err := authenticate(t, w.build("cookie_session", kratos(w, map[string]any{"subject_from": from})), request(cookies()))
		require.NoError(t, err)
		require.Equal(t, want, session.Subject)
	}
}

func TestSessionIsKeptNoLongerThanTheStoreSays(t *testing.T) {
	at := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339Nano) }
	for name, c := range map[string]struct {
		header, expires string
		want            time.Duration
	}{
		"nothing said":      {"", "", 10 * time.Second},
		"more than ours":    {"60", at(time.Hour), 10 * time.Second},
		"the header's":      {"4", at(time.Hour), 4 * time.Second},
		"the session's":     {"60", at(3 * time.Second), 3 * time.Second},
		"not at all":        {"0", "", 0},
		"unreadable header": {"soon", "", 0},
		"negative header":   {"-1", "", 0},
		"huge header":       {"99999999999999999999", "", 0},
		"unreadable end":    {"", "tomorrow", 0},
		"ended":             {"", at(-time.Second), 0},
	} {
		w := newKeepingWorld(t)
		session := map[string]any{"identity": map[string]any{"id": "u-1"}}
		if c.expires != "" {
			session["expires_at"] = c.expires
		}
		body, err := json.Marshal(session)
		require.NoError(t, err)
		w.answer = func(out http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				out.Header().Set("Ory-Session-Cache-For", c.header)
			}
			_, _ = out.Write(body)
		}
		a := w.build("cookie_session", kratos(w, nil))
		for _, step := range []struct {
			at   time.Duration
			want int
		}{{0, 1}, {max(c.want-1, 0), 2}, {c.want, 3}} {
			w.at(step.at)
			_, err := authenticate(t, a, request(cookies()))
			require.NoError(t, err)
			if c.want > 0 {
				step.want = max(1, step.want-1)
			}
			require.Len(t, w.asked, step.want, name)
		}
	}
}

func TestHugeSessionIsNotKept(t *testing.T) {
	w := newKeepingWorld(t)
	w.says(http.StatusOK, `{"identity":{"id":"u-1"},"x":"`+strings.Repeat("x", 64<<10)+`"}`)
	for range 2 {
		_, err := authenticate(t, w.build("cookie_session", kratos(w, nil)), request(cookies()))
		require.NoError(t, err)
	}
	require.Len(t, w.asked, 2)
}

func TestOneRequestCannotChangeWhatTheNextOneGets(t *testing.T) {
	w := newKeepingWorld(t)
	a := w.build("cookie_session", kratos(w, nil))
	w.says(http.StatusOK, `{"identity":{"id":"u-1","roles":[{"name":"reader"}]}}`)
	for range 2 {
		session, err := authenticate(t, a, request(cookies()))
		require.NoError(t, err)
		role := session.Extra["identity"].(map[string]any)["roles"].([]any)[0].(map[string]any)
		require.Equal(t, "reader", role["name"])
		role["name"], session.Extra["admin"] = "admin", true
	}

	i := w.build("oauth2_introspection", hydra(w, nil))
	w.knows(map[string]any{"ext": map[string]any{"org": map[string]any{"id": "o-1"}}})
	for range 2 {
		session, err := authenticate(t, i, request(bearer("opaque")))
		require.NoError(t, err)
		require.Equal(t, "o-1", session.Extra["org"].(map[string]any)["id"])
		require.Equal(t, "https://api.example/api", session.Extra["aud"].([]string)[0])
		session.Extra["org"].(map[string]any)["id"], session.Extra["aud"].([]string)[0] = "o-2", "x"
	}

	key := newKey(t, "k")
	w.publish(jwks, key)
	j := w.build("jwt", jwtConfig(nil))
	token := sign(t, key, jwt.SigningMethodES256, claims(map[string]any{"scp": nil, "scope": "read", "org": map[string]any{"id": "o-1"}}), nil)
	for range 2 {
		session, err := authenticate(t, j, request(bearer(token)))
		require.NoError(t, err)
		require.Equal(t, []string{"read"}, session.Extra["scp"])
		require.Equal(t, "o-1", session.Extra["org"].(map[string]any)["id"])
		session.Extra["org"].(map[string]any)["id"], session.Extra["sub"] = "o-2", "root"
		session.Extra["scp"].([]string)[0] = "admin"
	}
}

func TestOnlyABelievedRefusalIsKeptAndOnlyShortly(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		ready  int
		kept   bool
	}{
		"refused":             {http.StatusUnauthorized, "", http.StatusOK, true},
		"store not ready":     {http.StatusUnauthorized, "", http.StatusServiceUnavailable, false},
		"step up":             {http.StatusForbidden, `{"error":{"id":"session_aal2_required"}}`, http.StatusOK, false},
		"rate limit":          {http.StatusTooManyRequests, "", http.StatusOK, false},
		"error":               {http.StatusInternalServerError, "", http.StatusOK, false},
		"not JSON":            {http.StatusOK, "<html>", http.StatusOK, false},
		"session of bad form": {http.StatusOK, `{"identity":{"id":7}}`, http.StatusOK, false},
	} {
		w := newKeepingWorld(t)
		w.ready = c.ready
		w.says(c.status, c.body)
		a := w.build("cookie_session", kratos(w, nil))
		_, first := authenticate(t, a, request(cookies()))
		require.Error(t, first, name)
		w.says(http.StatusOK, whoami)
		_, err := authenticate(t, a, request(cookies()))
		if c.kept {
			require.Equal(t, first, err, name)
			w.at(time.Second)
			_, err = authenticate(t, a, request(cookies()))
		}
		require.NoError(t, err, name)
	}
}

func TestKeptIntrospectionIsJudgedByEveryRule(t *testing.T) { // Oathkeeper CVE-2021-32701
	w := newKeepingWorld(t)
	w.knows(nil)
	_, err := authenticate(t, w.build("oauth2_introspection", hydra(w, map[string]any{"required_scope": []any{"read"}})), request(bearer("opaque")))
	require.NoError(t, err)
	_, err = authenticate(t, w.build("oauth2_introspection", hydra(w, map[string]any{"required_scope": []any{"admin"}})), request(bearer("opaque")))
	requireDenied(t, err, http.StatusForbidden, pipeline.CodeForbidden)
	_, err = authenticate(t, w.build("oauth2_introspection", hydra(w, map[string]any{"target_audience": []any{"elsewhere"}})), request(bearer("opaque")))
	requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
}

func TestTokenKnownToOneServerIsUnknownToAnother(t *testing.T) { // Oathkeeper CVE-2026-33496
	w := newKeepingWorld(t)
	w.knows(nil)
	_, err := authenticate(t, w.build("oauth2_introspection", hydra(w, nil)), request(bearer("opaque")))
	require.NoError(t, err)
	w.says(http.StatusOK, `{"active":false}`)
	other := w.build("oauth2_introspection", hydra(w, map[string]any{"introspection_url": w.server.URL + "/other/introspect"}))
	_, err = authenticate(t, other, request(bearer("opaque")))
	requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
}

func TestKeptIntrospectionEndsWithTheToken(t *testing.T) {
	w := newKeepingWorld(t)
	w.knows(map[string]any{"exp": now.Unix() + 5})
	a := w.build("oauth2_introspection", hydra(w, nil))
	for range 3 {
		_, err := authenticate(t, a, request(bearer("opaque")))
		require.NoError(t, err)
	}
	require.Len(t, w.asked, 1)
	w.at(5 * time.Second)
	_, err := authenticate(t, a, request(bearer("opaque")))
	requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
}

func TestIntrospectionRefusalsAreKeptOnlyFromAReadyServer(t *testing.T) {
	w := newKeepingWorld(t)
	a := w.build("oauth2_introspection", hydra(w, nil))
	w.says(http.StatusOK, `{"active":false}`)
	w.ready = http.StatusServiceUnavailable
	_, err := authenticate(t, a, request(bearer("opaque")))
	requireOutage(t, err)
	w.ready = http.StatusOK
	for range 3 {
		_, err = authenticate(t, a, request(bearer("opaque")))
		requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	}
	require.Len(t, w.asked, 2)
}

func TestVerifiedTokenIsGoodAsLongAsItsKeyAndItsTimes(t *testing.T) {
	w := newKeepingWorld(t)
	key, other := newKey(t, "k"), newKey(t, "other")
	w.publish(jwks, key)
	a := w.build("jwt", jwtConfig(nil))
	token := request(bearer(sign(t, key, jwt.SigningMethodES256, claims(map[string]any{"exp": now.Unix() + 3600}), nil)))
	pass := func() error {
		_, err := authenticate(t, a, token)
		return err
	}
	require.NoError(t, pass())
	require.NoError(t, pass())

	// 300 s is when a request waits for fresh keys, whatever is kept.
	w.publish(jwks, other)
	w.at(301 * time.Second)
	requireDenied(t, pass(), http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	replaced := newKey(t, "k")
	w.publish(jwks, replaced)
	w.at(602 * time.Second)
	requireDenied(t, pass(), http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	w.publish(jwks, key)
	w.at(903 * time.Second)
	require.NoError(t, pass())
	w.at(3600 * time.Second)
	requireDenied(t, pass(), http.StatusUnauthorized, pipeline.CodeUnauthenticated)
}

func TestKeptTokenIsJudgedByEveryRule(t *testing.T) {
	w := newKeepingWorld(t)
	key := newKey(t, "k")
	w.publish(jwks, key)
	r := request(bearer(sign(t, key, jwt.SigningMethodES256, claims(nil), nil)))
	for range 2 {
		_, err := authenticate(t, w.build("jwt", jwtConfig(map[string]any{"scope_strategy": "exact", "required_scope": []any{"read"}})), r)
		require.NoError(t, err)
		for _, change := range []map[string]any{
			{"scope_strategy": "exact", "required_scope": []any{"admin"}}, {"target_audience": []any{"elsewhere"}},
			{"trusted_issuers": []any{"https://another"}}, {"allowed_algorithms": []any{"RS256"}},
		} {
			_, err := authenticate(t, w.build("jwt", jwtConfig(change)), r)
			requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
		}
	}
}

func TestIdenticalRequestsAtOneTimeGetSessionsOfTheirOwn(t *testing.T) {
	for _, w := range []*world{newWorldThatOnlyShares(t), newKeepingWorld(t)} {
		release := make(chan struct{})
		w.answer = func(out http.ResponseWriter, _ *http.Request) {
			<-release
			_, _ = out.Write([]byte(whoami))
		}
		a := w.build("cookie_session", kratos(w, nil))
		var group sync.WaitGroup
		var waiting sync.WaitGroup
		for range 20 {
			waiting.Add(1)
			group.Go(func() {
				r := request(cookies())
				session := &pipeline.Session{}
				waiting.Done()
				if err := a.Authenticate(t.Context(), r, session); err != nil || session.Subject != "u-1" {
					t.Error(session.Subject, err)
				}
				pipeline.Complete(session, r, nil)
				session.Extra["changed"] = true // must be this session's alone
			})
		}
		waiting.Wait()
		close(release)
		group.Wait()
	}
}

func newWorldThatOnlyShares(t *testing.T) *world {
	w := newWorld(t)
	w.more.Caches = authn.NewCaches(authn.CacheOptions{Timeout: 5 * time.Second, Now: w.now})
	require.Empty(t, w.more.Caches.Collectors())
	return w
}

func TestCachesHaveMetrics(t *testing.T) {
	require.Len(t, newKeepingWorld(t).more.Caches.Collectors(), 6, "sessions, introspections, the refusals of both, our grants, and tokens")
}

func TestStaleCookieMayFallThroughIfTheOperatorSaysSo(t *testing.T) {
	w := newWorld(t)
	w.more.NextOnError = []string{"cookie_session"}
	w.says(http.StatusUnauthorized, "")
	a := w.build("cookie_session", kratos(w, nil))
	_, err := authenticate(t, a, request(cookies()))
	require.ErrorIs(t, err, pipeline.ErrNotResponsible)

	w.says(http.StatusForbidden, `{"error":{"id":"session_aal2_required"}}`)
	_, err = authenticate(t, a, request(cookies()))
	requireDenied(t, err, http.StatusForbidden, pipeline.CodeStepUp)
	w.says(http.StatusBadGateway, "")
	_, err = authenticate(t, a, request(cookies()))
	requireOutage(t, err)

	w.knows(map[string]any{"active": false})
	_, err = authenticate(t, w.build("oauth2_introspection", hydra(w, nil)), request(bearer("x")))
	requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
}

func BenchmarkWarm(b *testing.B) {
	w := newKeepingWorld(b)
	key := newKey(b, "k")
	w.publish(jwks, key)
	for _, c := range []struct {
		name   string
		config map[string]any
		header http.Header
		says   func()
	}{
		{"jwt", jwtConfig(nil), bearer(signed(b, key, claims(nil))), nil},
		{"cookie_session", kratos(w, nil), cookies(), func() { w.says(http.StatusOK, whoami) }},
		{"oauth2_introspection", hydra(w, nil), bearer("opaque"), func() { w.knows(nil) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.says != nil {
				c.says()
			}
			a, r := w.build(c.name, c.config), request(c.header)
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Authenticate(b.Context(), r, pipeline.NewSession(r, nil)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func signed(b *testing.B, key jose.JSONWebKey, c jwt.MapClaims) string {
	b.Helper()
	return sign(b, key, jwt.SigningMethodES256, c, nil)
}
