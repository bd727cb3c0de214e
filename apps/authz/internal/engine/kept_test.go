package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authn"
	"gatehouse.internal/authz/internal/pipeline/mutate"
	"gatehouse.internal/authz/internal/revocation"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
)

const keepingConfiguration = `
access_rules: {repositories: [unused]}
authenticators:
  jwt: {enabled: true, config: {jwks_urls: ["http://issuer"], allowed_algorithms: [ES256], target_audience: [api]}}
  cookie_session: {enabled: true, config: {check_session_url: "%[1]s/whoami", preserve_path: true, only: [session], extra_from: "@this"}}
  oauth2_introspection: {enabled: true, config: {introspection_url: "%[1]s/introspect"}}
  anonymous: {enabled: true}
authorizers: {allow: {enabled: true}, remote_json: {enabled: true, config: {remote: "%[1]s/allowed", payload: "{}"}}}
mutators:
  noop: {enabled: true}
  header: {enabled: true, config: {headers: {X-User-Id: "{{ print .Subject }}", X-Scopes: "{{ print .Extra.scope }}"}}}
  cookie: {enabled: true, config: {cookies: {user: "{{ print .Subject }}"}}}
  hydrator: {enabled: true, config: {api: {url: "%[1]s/hydrate"}}}
  id_token: {enabled: true, config: {issuer_url: "https://door", ttl: 60s, jwks_url: "file://%[2]s"}}
`

// everybody lets all credentials in.
const everybody = `[{handler: jwt}, {handler: oauth2_introspection}, {handler: cookie_session}, {handler: anonymous}]`

func ruleOf(id, methods, more string) string {
	return fmt.Sprintf(`- {id: %s, match: {url: "https://h/%s<.*>", methods: [%s]}, authenticators: %s, %s}`+"\n", id, id, methods, everybody, more)
}

// keeper is a door that keeps what it can, at a time that the test moves. Its session store and its
// authorization server take what they are shown for the subject.
type keeper struct {
	t       testing.TB
	passed  atomic.Int64 // nanoseconds
	key     jose.JSONWebKey
	asked   atomic.Int64
	config  oathkeeper.Config
	options engine.Options
	hits    prometheus.Counter
	engine  engine.Engine
}

var keeping = time.Now().Truncate(time.Second)

func newKeeper(t testing.TB, rules string, change ...func(*authn.CacheOptions)) *keeper {
	t.Helper()
	k := &keeper{t: t, key: newKey(t, "k")}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.asked.Add(1)
		switch r.URL.Path {
		case "/whoami":
			shown, _ := r.Cookie("session")
			_, _ = fmt.Fprintf(w, `{"id":"s-%[1]s","active":true,"subject":"%[1]s","scope":"session"}`, shown.Value)
		case "/introspect":
			_, _ = fmt.Fprintf(w, `{"active":true,"sub":"%s","scope":"opaque","client_id":"c-1"}`, r.FormValue("token"))
		case "/hydrate":
			_, _ = fmt.Fprint(w, `{"subject":"","extra":{},"header":{}}`)
		}
	}))
	t.Cleanup(server.Close)
	signing := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(signing, keySet(t, newKey(t, "door")), 0o600))
	var err error
	k.config, err = oathkeeper.Parse(fmt.Appendf(nil, keepingConfiguration, server.URL, signing))
	require.NoError(t, err)
	published := keySet(t, k.key.Public())
	caches := authn.CacheOptions{MaxEntries: 1000, SessionTTL: 10 * time.Second, IntrospectionTTL: 10 * time.Second, Timeout: 5 * time.Second, Now: k.now}
	for _, c := range change {
		c(&caches)
	}
	k.options = engine.Options{
		StripCookies: []string{"session"},
		Upstream:     upstream.New(upstream.Options{Timeout: 5 * time.Second, MaxConnections: 4}),
		Keys:         keys.NewStore(func(context.Context, string) ([]byte, error) { return published, nil }, k.now),
		Caches:       authn.NewCaches(caches), Tokens: cache.New[mutate.Token]("id_token", 1000, k.now), Memory: engine.NewMemory(),
		Now: k.now,
	}
	k.hits = k.options.Memory.Collectors()[0].(prometheus.Counter)
	k.load(rules)
	return k
}

func (k *keeper) now() time.Time     { return keeping.Add(time.Duration(k.passed.Load())) }
func (k *keeper) at(d time.Duration) { k.passed.Store(int64(d)) }

func (k *keeper) load(rules string) {
	k.t.Helper()
	parsed, err := rule.Parse([]byte(rules))
	require.NoError(k.t, err)
	snapshot, err := engine.Compile(k.config, parsed, k.options)
	require.NoError(k.t, err)
	for _, r := range snapshot.Rules() {
		require.True(k.t, r.Valid, r.Error)
	}
	k.engine.Use(snapshot)
}

// token is a JWT that ends after life.
func (k *keeper) token(subject string, life time.Duration) http.Header {
	k.t.Helper()
	t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"sub": subject, "aud": "api", "jti": "t-" + subject, "scope": "jwt", "iat": keeping.Unix(), "exp": keeping.Add(life).Unix(),
	})
	t.Header["kid"] = "k"
	signed, err := t.SignedString(k.key.Key)
	require.NoError(k.t, err)
	return http.Header{"Authorization": {"Bearer " + signed}}
}

// ask decides, and tells whether it was said again.
func (k *keeper) ask(r *pipeline.Request) (engine.Decision, bool) {
	before := testutil.ToFloat64(k.hits)
	d := k.engine.Decide(k.t.Context(), r)
	return d, testutil.ToFloat64(k.hits) > before
}

func (k *keeper) requireAgain(r *pipeline.Request, again bool) engine.Decision {
	k.t.Helper()
	d, said := k.ask(r)
	require.Equal(k.t, engine.Allowed, d.Outcome, d.Reason)
	require.Equal(k.t, again, said)
	return d
}

const (
	allowed = `authorizer: {handler: allow}, `
	told    = allowed + `mutators: [{handler: header}, {handler: id_token}]`
)

func TestWhatARuleSaidOfACallerIsSaidAgain(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET", told))
	for handler, header := range map[string]http.Header{
		"jwt":                  k.token("u-1", time.Hour),
		"oauth2_introspection": {"Authorization": {"Bearer u-2"}},
		"cookie_session":       {"Cookie": {"session=u-3; theme=dark"}},
	} {
		first := k.requireAgain(request("/a", header), false)
		again := k.requireAgain(request("/a/other", header), true)
		require.Equal(t, handler, again.Handler)
		require.NotEmpty(t, again.Set.Get("Authorization"))
		require.Same(t, first.Rendering, again.Rendering)
		first.Rendering, again.Rendering = nil, nil
		require.Equal(t, first, again)
	}
}

func TestWhatDependsOnMoreThanTheCallerIsNotSaidAgain(t *testing.T) {
	header := func(text string) string {
		return allowed + fmt.Sprintf(`mutators: [{handler: header, config: {headers: {X-User-Id: %q}}}]`, text)
	}
	for name, more := range map[string]string{
		"path":             header("{{ .MatchContext.URL.Path }}"),
		"client's header":  header(`{{ .MatchContext.Header.Get "X-A" }}`),
		"captures":         header("{{ printIndex .MatchContext.RegexpCaptureGroups 0 }}"),
		"time":             header("{{ now }}"),
		"chance":           header("{{ uuidv4 }}"),
		"everything":       header("{{ toJson . }}"),
		"claims":           allowed + `mutators: [{handler: id_token, config: {claims: '{"path":{{ toJson .MatchContext.URL.Path }}}'}}]`,
		"client's cookies": allowed + `mutators: [{handler: cookie}]`,
		"hydrator":         allowed + `mutators: [{handler: hydrator}]`,
		"authorizer":       `authorizer: {handler: remote_json}, mutators: [{handler: noop}]`,
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t, ruleOf("a", "GET", more))
			known := k.token("", time.Hour) // the hydrator must not change the subject
			for range 3 {
				k.requireAgain(request("/a", known), false)
			}
		})
	}
}

func TestRequestThatDiffersInMoreThanItsPathIsDecidedAnew(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET, POST", told))
	alike := k.token("u-1", time.Hour)
	k.requireAgain(request("/a", alike), false)
	with := func(more http.Header) *pipeline.Request {
		header := alike.Clone()
		for name, values := range more {
			header[name] = values
		}
		return request("/a", header)
	}
	k.requireAgain(with(nil), true)
	d := k.requireAgain(with(http.Header{"X_user_id": {"forged"}}), false)
	require.Contains(t, d.Remove, "X_user_id")
	d = k.requireAgain(with(nil), true)
	require.NotContains(t, d.Remove, "X_user_id")
	d = k.requireAgain(with(http.Header{"Cookie": {"session=secret; theme=dark"}}), false)
	require.Equal(t, "theme=dark", d.Set.Get("Cookie"))
	d = k.requireAgain(with(http.Header{"Cookie": {"theme=light"}}), false)
	require.Empty(t, d.Set.Get("Cookie"))
	d, _ = k.ask(with(http.Header{"Connection": {"x-user-id"}}))
	require.Equal(t, engine.Denied, d.Outcome, "whatever was said before")
	k.requireAgain(request("/a", k.token("u-1", time.Hour)), false) // another token of the same subject
}

func TestWhatWasSaidEndsWithTheConfiguration(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET", told))
	caller := k.token("u-1", time.Hour)
	k.requireAgain(request("/a", caller), false)
	k.load(ruleOf("a", "GET", allowed+`mutators: [{handler: header, config: {headers: {X-User-Id: "new {{ .Subject }}"}}}]`))
	require.Equal(t, "new u-1", k.requireAgain(request("/a", caller), false).Set.Get("X-User-Id"))
	require.Equal(t, "new u-1", k.requireAgain(request("/a", caller), true).Set.Get("X-User-Id"))
	k.load(ruleOf("a", "GET", `authorizer: {handler: allow}, mutators: [{handler: noop}]`))
	require.Empty(t, k.requireAgain(request("/a", caller), false).Set)
}

func TestWhatWasSaidEndsWithTheToken(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET", told))
	caller := k.token("u-1", 30*time.Second)
	k.requireAgain(request("/a", caller), false)
	k.at(30*time.Second - 1)
	k.requireAgain(request("/a", caller), true)
	k.at(30 * time.Second)
	d, again := k.ask(request("/a", caller))
	require.False(t, again)
	require.Equal(t, http.StatusUnauthorized, d.Status)
}

func TestWhatWasSaidEndsWithTheAnswerOfTheStore(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET", told))
	caller := http.Header{"Cookie": {"session=u-1"}}
	k.requireAgain(request("/a", caller), false)
	k.at(10*time.Second - 1)
	k.requireAgain(request("/a", caller), true)
	require.EqualValues(t, 1, k.asked.Load())
	k.at(10 * time.Second)
	k.requireAgain(request("/a", caller), false)
	require.EqualValues(t, 2, k.asked.Load())
}

func TestNothingIsSaidAgainOfCallersThatAreNotKept(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET", told), func(o *authn.CacheOptions) { o.SessionTTL, o.IntrospectionTTL = 0, 0 })
	for _, caller := range []http.Header{{"Cookie": {"session=u-1"}}, {"Authorization": {"Bearer u-1"}}, nil} {
		for range 3 {
			k.requireAgain(request("/a", caller), false)
		}
	}
	require.EqualValues(t, 6, k.asked.Load())
}

// The list learns of the entry while the decision is kept, as it does in service.
func TestRevocationEndsWhatWasSaid(t *testing.T) {
	settings := revocation.Default()
	settings.File = filepath.Join(t.TempDir(), "revoked.json")
	require.NoError(t, os.WriteFile(settings.File, []byte(`{"entries":[]}`), 0o600))
	listTime := time.Now()
	list := revocation.NewList(settings, func() time.Time { return listTime })
	follow := func() { // catching up is for a list that is stale
		listTime = listTime.Add(settings.MaxStaleness + 1)
		follower, err := revocation.NewFollower(settings, list, slog.New(slog.DiscardHandler), nil)
		require.NoError(t, err)
		follower.CatchUp(t.Context())
	}
	follow()
	k := newKeeper(t, "[]")
	k.options.Revocations = list
	k.load(ruleOf("a", "GET", told))
	callers := []http.Header{k.token("u-1", time.Hour), {"Cookie": {"session=u-1"}}, {"Authorization": {"Bearer u-1"}}}
	for _, caller := range callers {
		k.requireAgain(request("/a", caller), false)
		k.requireAgain(request("/a", caller), true)
	}
	revoked := fmt.Sprintf(`{"entries":[{"kind":"subject","id":"u-1","expires":%q}]}`, time.Now().Add(time.Hour).Format(time.RFC3339))
	require.NoError(t, os.WriteFile(settings.File, []byte(revoked), 0o600))
	follow()
	for _, caller := range callers {
		d, again := k.ask(request("/a", caller))
		require.False(t, again)
		require.Equal(t, http.StatusUnauthorized, d.Status)
	}
}

func TestIdentityTokenThatIsSaidAgainHasATenthOfItsTimeLeft(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET", told)+ruleOf("b", "GET", told))
	caller := k.token("u-1", time.Hour)
	var mints int
	var last string
	for at := time.Duration(0); at < 5*time.Minute; at += 1700 * time.Millisecond {
		k.at(at)
		for _, path := range []string{"/a", "/b"} { // b is told a's token, when that has been used for a while
			if path == "/b" && at < 20*time.Second {
				continue
			}
			d, _ := k.ask(request(path, caller))
			handed := d.Set.Get("Authorization")
			claims := jwt.MapClaims{}
			_, _, err := jwt.NewParser().ParseUnverified(strings.TrimPrefix(handed, "Bearer "), claims)
			require.NoError(t, err)
			expires, err := claims.GetExpirationTime()
			require.NoError(t, err)
			require.Greater(t, expires.Sub(k.now()), 6*time.Second-time.Second, "at %s; exp is in whole seconds", at)
			if handed != last {
				mints, last = mints+1, handed
			}
		}
	}
	require.LessOrEqual(t, mints, 6, "one per 54 s")
	require.Greater(t, testutil.ToFloat64(k.hits), 200.0)
}

func TestExplanationAsksAllStages(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET", told))
	caller := k.token("u-1", time.Hour)
	k.requireAgain(request("/a", caller), false)
	explained := k.engine.Snapshot().Explain(t.Context(), request("/a", caller))
	require.Len(t, explained.Stages, 4)
	require.Equal(t, "allow", explained.Outcome)
}

func TestHugeDecisionIsNotKept(t *testing.T) {
	k := newKeeper(t, ruleOf("a", "GET", told))
	caller := k.token("u-1", time.Hour)
	caller["Cookie"] = []string{"x=" + strings.Repeat("x", 9<<10)}
	for range 2 {
		k.requireAgain(request("/a", caller), false)
	}
}

// A header is a part of the whole check's text (envoy.Question): whoever keeps it keeps all of that, up to 1 MiB.
func TestNothingOfARequestIsKeptBesideWhatIsSaidAgain(t *testing.T) {
	const checks, size = 40, 1 << 20
	k := newKeeper(t, ruleOf("a", "GET", told))
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := inUse()
	for i := range checks {
		sent := http.Header{"Cookie": {fmt.Sprintf("session=u-%d; theme=dark", i)}}
		switch i % 3 {
		case 1:
			sent["Authorization"] = k.token(fmt.Sprintf("u-%d", i), time.Hour)["Authorization"]
		case 2:
			sent["Authorization"] = []string{fmt.Sprintf("Bearer u-%d", i)}
		}
		for _, values := range sent {
			values[0] = (strings.Repeat("x", size) + values[0])[size:]
		}
		d := k.requireAgain(request("/a", sent), false)
		require.Equal(t, "theme=dark", d.Set.Get("Cookie"))
	}
	require.Less(t, inUse(), before+checks*size/4)
	runtime.KeepAlive(k)
}

func TestWhatCouldNotBeWrittenOnceIsNoAnswerTheNextTime(t *testing.T) {
	r := &engine.Rendering{}
	require.Panics(t, func() { _, _ = r.Once(func() ([]byte, error) { panic("while writing") }) })
	text, err := r.Once(func() ([]byte, error) { return []byte("yes"), nil })
	require.Error(t, err, "an empty message is a yes to Envoy")
	require.Empty(t, text)
}

func TestACallerIsRememberedByABoundedNumberOfRules(t *testing.T) {
	var rules string
	for i := range 20 {
		rules += ruleOf(fmt.Sprintf("r%02d", i), "GET", told)
	}
	k := newKeeper(t, rules)
	caller := k.token("u-1", time.Hour)
	for i := range 20 {
		k.requireAgain(request(fmt.Sprintf("/r%02d", i), caller), false)
	}
	k.requireAgain(request("/r19", caller), true)
	k.requireAgain(request("/r12", caller), true)
	k.requireAgain(request("/r11", caller), false)
}

// Whoever asks whatever in any order gets what a door that keeps nothing gives, but for the identity token's times.
func TestNobodyGetsWhatWasSaidOfAnother(t *testing.T) {
	rules := ruleOf("a", "GET", told) +
		ruleOf("b", "GET, POST", allowed+`mutators: [{handler: header, config: {headers: {X-User-Id: "b {{ .Subject }}"}}}]`) +
		ruleOf("c", "GET", allowed+`mutators: [{handler: header, config: {headers: {X-User-Id: "{{ .Subject }} {{ .MatchContext.URL.Path }}"}}}]`) +
		`- {id: b-put, match: {url: "https://h/b<.*>", methods: [PUT]}, authenticators: ` + everybody + `, ` +
		allowed + `mutators: [{handler: header, config: {headers: {X-User-Id: "put {{ .Subject }}"}}}]}` + "\n"
	k := newKeeper(t, rules)
	forgets := &engine.Engine{}
	options := k.options
	options.Memory = nil
	parsed, err := rule.Parse([]byte(rules))
	require.NoError(t, err)
	snapshot, err := engine.Compile(k.config, parsed, options)
	require.NoError(t, err)
	forgets.Use(snapshot)

	var callers []http.Header
	for _, subject := range []string{"u-1", "u-2", "u-3"} {
		callers = append(callers, k.token(subject, time.Hour), k.token(subject, time.Hour),
			http.Header{"Authorization": {"Bearer " + subject}}, http.Header{"Cookie": {"session=" + subject}}, http.Header{"Cookie": {"session=" + subject + "; x=y"}})
	}
	callers = append(callers, http.Header{}, http.Header{"Cookie": {"x=y"}})
	type asked struct{ caller, path, method, alias int }
	paths, methods := []string{"/a", "/a/2", "/b", "/b/2", "/c", "/c/2"}, []string{"GET", "POST", "PUT"}
	check := func(q asked) error {
		header := callers[q.caller].Clone()
		if q.alias == 0 {
			header["X_scopes"] = []string{"all"}
		}
		r := request(paths[q.path], header)
		r.Method = methods[q.method]
		got, want := k.engine.Decide(t.Context(), r), forgets.Decide(t.Context(), r)
		got.Rendering, want.Rendering = nil, nil
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%v: got %v, want %v", q, got, want)
		}
		return nil
	}
	var group sync.WaitGroup
	for seed := range uint64(4) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 51)) // #nosec G404 -- a test that can be repeated
			for range 1500 {
				q := asked{random.IntN(len(callers)), random.IntN(len(paths)), random.IntN(len(methods)), random.IntN(5)}
				if err := check(q); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	require.Greater(t, testutil.ToFloat64(k.hits), 1000.0)
}
