package engine_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
)

func newKey(tb testing.TB, kid string) jose.JSONWebKey {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	return jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "ES256", Use: "sig"}
}

func keySet(tb testing.TB, list ...jose.JSONWebKey) []byte {
	tb.Helper()
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: list})
	require.NoError(tb, err)
	return data
}

const configuration = `
access_rules: {repositories: [unused]}
authenticators:
  noop: {enabled: true}
  anonymous: {enabled: true}
  unauthorized: {enabled: true}
  jwt: {enabled: true, config: {jwks_urls: ["http://issuer"], allowed_algorithms: [RS256, ES256], target_audience: [api]}}
  oauth2_client_credentials: {enabled: true, config: {token_url: "http://s"}}
authorizers: {allow: {enabled: true}, deny: {enabled: true}, keto_engine_acp_ory: {enabled: true, config: {base_url: "http://k"}}}
mutators:
  noop: {enabled: true}
  cookie: {enabled: true, config: {cookies: {user: "{{ print .Subject }}"}}}
  header: {enabled: true, config: {headers: {X-User-Id: "{{ print .Subject }}"}}}
  id_token: {enabled: true, config: {issuer_url: "https://door", ttl: 60s, jwks_url: "file://%s"}}
`

// compile builds a snapshot of rules written in YAML.
func compile(tb testing.TB, issuer []byte, rules string, change ...func(*engine.Options)) (*engine.Snapshot, error) {
	tb.Helper()
	signing := filepath.Join(tb.TempDir(), "keys.json")
	require.NoError(tb, os.WriteFile(signing, keySet(tb, newKey(tb, "door")), 0o600))
	config, err := oathkeeper.Parse(fmt.Appendf(nil, configuration, signing))
	require.NoError(tb, err)
	parsed, err := rule.Parse([]byte(rules))
	require.NoError(tb, err)
	options := engine.Options{
		ProblemPrefixes: []string{"/api/"},
		StripCookies:    []string{"ory_kratos_session"},
		Upstream:        upstream.New(upstream.Options{Timeout: time.Second, MaxConnections: 1}),
		Keys:            keys.NewStore(func(context.Context, string) ([]byte, error) { return issuer, nil }, time.Now),
		Now:             time.Now,
	}
	for _, c := range change {
		c(&options)
	}
	return engine.Compile(config, parsed, options)
}

func load(tb testing.TB, issuer []byte, rules string) *engine.Engine {
	tb.Helper()
	snapshot, err := compile(tb, issuer, rules)
	require.NoError(tb, err)
	e := &engine.Engine{}
	e.Use(snapshot)
	return e
}

func request(path string, header http.Header) *pipeline.Request {
	if header == nil {
		header = http.Header{}
	}
	return &pipeline.Request{ID: "id-1", Method: "GET", Scheme: "https", Host: "h", Path: path, Header: header}
}

const rules = `
- {id: open, match: {url: "https://h/open", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: who, match: {url: "https://h/who", methods: [GET]}, authenticators: [{handler: anonymous}], authorizer: {handler: allow}, mutators: [{handler: header, config: {headers: {X-Tenant: t}}}, {handler: id_token}]}
- {id: shut, match: {url: "https://h/shut", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: deny}, mutators: [{handler: noop}]}
- {id: first-says-no, match: {url: "https://h/no", methods: [GET]}, authenticators: [{handler: unauthorized}, {handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: nobody, match: {url: "https://h/nobody", methods: [GET]}, authenticators: [{handler: anonymous}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: broken, match: {url: "https://h/broken", methods: [GET]}, authenticators: [{handler: oauth2_client_credentials}, {handler: cookie_session}], authorizer: {handler: remote}, mutators: [], errors: [{handler: redirect}]}
- {id: cookies, match: {url: "https://h/cookies", methods: [GET]}, authenticators: [{handler: anonymous}], authorizer: {handler: allow}, mutators: [{handler: cookie}]}
- {id: two-errors, match: {url: "https://h/two-errors", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: deny}, mutators: [{handler: noop}], errors: [{handler: json}, {handler: json}]}
- {id: nil-header, match: {url: "https://h/nil", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: header, config: {headers: {X-A: "{{ .Extra.a.b }}"}}}]}
- {id: twice, match: {url: "https://h/<open|other>", methods: [POST]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: overlap, match: {url: "https://h/other", methods: [POST]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`

func TestAllowedRequestCarriesOurHeadersOnly(t *testing.T) {
	d := load(t, nil, rules).Decide(t.Context(), request("/who", http.Header{"X-Scopes": {"forged"}}))
	require.Equal(t, engine.Allowed, d.Outcome)
	require.Equal(t, "who", d.Rule)
	require.Equal(t, "anonymous", d.Handler)
	require.Equal(t, "anonymous", d.Set.Get("X-User-Id"), "the global header")
	require.Equal(t, "t", d.Set.Get("X-Tenant"), "and the rule's")
	require.Contains(t, d.Set.Get("Authorization"), "Bearer ")
	require.ElementsMatch(t, []string{"X-A", "X-User-Email", "X-Client-Id", "X-Scopes"}, d.Remove)
}

func TestHeadersOfAnyRuleAreRemovedWhereTheyAreNotSet(t *testing.T) {
	d := load(t, nil, rules).Decide(t.Context(), request("/open", nil))
	require.Equal(t, engine.Allowed, d.Outcome)
	require.Empty(t, d.Set)
	require.Subset(t, d.Remove, []string{"Authorization", "X-User-Id", "X-User-Email", "X-Client-Id", "X-Scopes", "X-Tenant"})
}

func TestHeadersOfAnInvalidRuleAreRemovedToo(t *testing.T) {
	e := load(t, nil, rules+`
- {id: half, match: {url: "https://h/half", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: header, config: {headers: {X-Half: "{{"}}}]}
`)
	require.Contains(t, e.Decide(t.Context(), request("/open", nil)).Remove, "X-Half")
}

func TestAliasesOfIdentityHeadersAreRemoved(t *testing.T) { // CVE-2025-64484
	aliases := []string{"X_user_id", "X-User_id", "X.user.id", "X-User.id", "X!user!id", "X~user_id"}
	header := http.Header{"X_other": {"1"}, "X.other": {"1"}}
	for _, alias := range aliases {
		header.Add(alias, "forged")
	}
	d := load(t, nil, rules).Decide(t.Context(), request("/who", header))
	require.Equal(t, engine.Allowed, d.Outcome)
	require.Subset(t, d.Remove, aliases)
	require.NotContains(t, d.Remove, "X_other")
	require.NotContains(t, d.Remove, "X.other")
}

func TestSessionCookieStaysHere(t *testing.T) {
	e := load(t, nil, rules)
	for sent, want := range map[string]string{
		"a=1; ory_kratos_session=secret; b=2":        "a=1; b=2",
		"ory_kratos_session =x; a=1;":                "a=1",
		"a=1":                                        "",
		"ory_kratos_session=x":                       "(removed)",
		"ory_kratos_session":                         "(removed)",
		"a=1,ory_kratos_session=s; b=2,c=3":          "a=1; b=2,c=3", // two lines, as Envoy joins them without encode_raw_headers
		"ory_kratos_session=s, ory_kratos_session=t": "(removed)",
		"a=ory_kratos_session=x; ory_kratos=y":       "",
	} {
		d := e.Decide(t.Context(), request("/open", http.Header{"Cookie": {sent}}))
		require.Equal(t, engine.Allowed, d.Outcome)
		if want == "(removed)" {
			require.Contains(t, d.Remove, "Cookie", sent)
			require.NotContains(t, d.Set, "Cookie")
		} else {
			require.Equal(t, want, d.Set.Get("Cookie"), sent)
			require.NotContains(t, d.Remove, "Cookie")
		}
	}
}

func TestCookieMutatorBringsNoSessionCookieAlong(t *testing.T) {
	d := load(t, nil, rules).Decide(t.Context(), request("/cookies", http.Header{"Cookie": {"a=1; ory_kratos_session=secret; user=root"}}))
	require.Equal(t, "user=anonymous; a=1", d.Set.Get("Cookie"))
}

func TestDenials(t *testing.T) {
	e := load(t, nil, rules)
	bearer := http.Header{"Authorization": {"Bearer x"}}
	for _, c := range []struct {
		path, method string
		header       http.Header
		status       int
		code, rule   string
		handler      string
	}{
		{"/two-errors", "GET", nil, 500, pipeline.CodeRuleError, "two-errors", "deny"},
		{"/shut", "GET", nil, 403, pipeline.CodeForbidden, "shut", "deny"},
		{"/no", "GET", nil, 401, pipeline.CodeUnauthenticated, "first-says-no", "unauthorized"},
		{"/nobody", "GET", bearer, 401, pipeline.CodeUnauthenticated, "nobody", ""},
		{"/nothing", "GET", nil, 404, pipeline.CodeNoRule, "", ""},
		{"/open", "DELETE", nil, 404, pipeline.CodeNoRule, "", ""},
		{"/other", "POST", nil, 500, pipeline.CodeRuleError, "", ""},
		{"/broken", "GET", nil, 500, pipeline.CodeRuleError, "broken", ""},
		{"/nil", "GET", nil, 500, pipeline.CodeRuleError, "nil-header", "header"},
		{"/open", "GET", http.Header{"Connection": {"close, x-tenant"}}, 400, pipeline.CodeInvalidRequest, "", ""},
		{"/open", "GET", http.Header{"Connection": {"X-User-Id"}}, 400, pipeline.CodeInvalidRequest, "", ""},
	} {
		r := request(c.path, c.header)
		r.Method = c.method
		d := e.Decide(t.Context(), r)
		require.Equal(t, engine.Denied, d.Outcome, c.path)
		require.Equal(t, c.status, d.Status, "%s: %s", c.path, d.Reason)
		require.Equal(t, c.status, d.Response.Status, c.path)
		require.Equal(t, c.code, d.Code, c.path)
		require.Equal(t, c.rule, d.Rule, c.path)
		require.Equal(t, c.handler, d.Handler, c.path)
		require.Empty(t, d.Set)
	}
	d := e.Decide(t.Context(), request("/open", http.Header{"Connection": {"keep-alive, Upgrade"}}))
	require.Equal(t, engine.Allowed, d.Outcome)
}

func TestInvalidRuleIsKeptAndExplained(t *testing.T) {
	snapshot, err := compile(t, nil, rules)
	require.NoError(t, err)
	for _, status := range snapshot.Rules() {
		require.Equal(t, status.ID != "broken", status.Valid, status.ID)
		if !status.Valid {
			for _, want := range []string{
				`"oauth2_client_credentials" is not supported`, `"cookie_session" is disabled`, `"remote" is disabled`, "mutators", `"redirect" is disabled`,
			} {
				require.Contains(t, status.Error, want)
			}
		}
	}
}

func TestUnmatchableRuleFailsTheWholeLoad(t *testing.T) {
	for _, text := range []string{
		`[{"id":"a","match":{"url":"https://h/<(","methods":["GET"]}}]`, `[{"id":"a"}]`, `[{"id":"a","match":{"url":"","methods":["GET"]}}]`,
	} {
		_, err := compile(t, nil, text)
		require.ErrorContains(t, err, `"a"`)
	}
}

func TestDangerousRulesAreWarnedAbout(t *testing.T) {
	snapshot, err := compile(t, nil, `
- {id: a, match: {url: "https://h/<(?!x).*>", methods: [GET]}, authenticators: [{handler: jwt, config: {target_audience: []}}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: a, match: {url: "https://h/y", methods: []}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: rpc, match: {authority: h, full_method: p.S/M}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`)
	require.NoError(t, err)
	warnings := fmt.Sprint(snapshot.Warnings())
	require.Contains(t, warnings, "backtracking")
	require.Contains(t, warnings, "target_audience")
	require.Contains(t, warnings, "used twice")
	statuses := snapshot.Rules()
	require.True(t, statuses[0].Valid)
	require.Contains(t, statuses[1].Error, "methods is empty")
	require.Contains(t, statuses[2].Error, "gRPC")
}

func TestNothingIsDecidedWithoutAConfiguration(t *testing.T) {
	e := &engine.Engine{}
	require.Equal(t, engine.Failed, e.Decide(t.Context(), request("/open", nil)).Outcome)
	require.Equal(t, engine.Failed, e.Refuse(request("/open", nil), pipeline.Invalid("x")).Outcome)
	require.Equal(t, engine.Failed, engine.Decision{}.Outcome)
}

func TestQueryIsNeverMatched(t *testing.T) { // oauth2-proxy CVE-2025-54576, heimdall GO-2026-4742
	r := request("/nothing", nil)
	r.Query = "https://h/open"
	require.Equal(t, http.StatusNotFound, load(t, nil, rules).Decide(t.Context(), r).Status)
}

func TestPublishedKeysVerifyTheIdentityToken(t *testing.T) {
	e := load(t, nil, rules)
	d := e.Decide(t.Context(), request("/who", nil))
	published := e.Snapshot().PublicKeys()
	require.Len(t, published, 1)
	_, err := jwt.Parse(d.Set.Get("Authorization")[len("Bearer "):], func(*jwt.Token) (any, error) { return published[0].Key, nil })
	require.NoError(t, err)
}
