package engine_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/pipeline"
)

const legacy = `
- {id: legacy, match: {url: "https://h/<legacy.*|api/legacy>", methods: [GET]}, authenticators: [{handler: oauth2_client_credentials}], authorizer: {handler: keto_engine_acp_ory}, mutators: [{handler: header}, {handler: cookie}]}
- {id: mistaken, match: {url: "https://h/mistaken", methods: [GET]}, authenticators: [{handler: oauth2_client_credentials}], authorizer: {handler: allow}, mutators: [{handler: hydrator}]}
- {id: slash, match: {url: "https://h/slash/", methods: [GET]}, authenticators: [{handler: oauth2_client_credentials}], authorizer: {handler: allow}, mutators: [{handler: header}]}
- {id: ours, match: {url: "https://h/ours", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`

// decisions stands for Oathkeeper's decision API.
type decisions struct {
	*httptest.Server
	status int
	header http.Header
	body   string
	asked  *http.Request
}

func delegated(t *testing.T) (*engine.Engine, *decisions) {
	t.Helper()
	d := &decisions{status: http.StatusOK}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.asked = r
		for name, values := range d.header {
			w.Header()[name] = values
		}
		w.WriteHeader(d.status)
		_, _ = io.WriteString(w, d.body)
	}))
	t.Cleanup(d.Close)
	snapshot, err := compile(t, nil, legacy, func(o *engine.Options) { o.Delegate = d.URL + "/decisions" })
	require.NoError(t, err)
	e := &engine.Engine{}
	e.Use(snapshot)
	return e, d
}

func TestRulesAreDelegatedOneByOne(t *testing.T) {
	e, _ := delegated(t)
	statuses := e.Snapshot().Rules()
	require.Equal(t, engine.RuleStatus{ID: "legacy", Valid: true, Delegated: true}, statuses[0])
	require.False(t, statuses[1].Valid, "a mistake of its own is not handed on")
	require.False(t, statuses[1].Delegated)
	require.Equal(t, engine.RuleStatus{ID: "ours", Valid: true}, statuses[3])
	warnings := fmt.Sprint(e.Snapshot().Warnings())
	require.Contains(t, warnings, `rule "legacy": an Oathkeeper decides`)
	require.Contains(t, warnings, `rule "slash": match.url ends with a slash`)
}

func TestWithoutADelegateSuchARuleAnswers500AndSaysWhy(t *testing.T) {
	snapshot, err := compile(t, nil, legacy)
	require.NoError(t, err)
	require.Contains(t, snapshot.Rules()[0].Error, "delegate.url is not set")
	require.Contains(t, snapshot.Rules()[0].Error, `"keto_engine_acp_ory" is not supported`)
	require.Equal(t, http.StatusInternalServerError, load(t, nil, legacy).Decide(t.Context(), request("/legacy", nil)).Status)
}

const outdated = `
- {id: retries, version: v0.31.0, match: {url: "https://h/retries", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: hydrator, config: {retry: {number_of_retries: 3}}}]}
- {id: captures, version: v0.36.0-beta.4, match: {url: "https://h/<captures>", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: keto_engine_acp_ory, config: {required_action: "read:$1"}}, mutators: [{handler: noop}]}
- {id: old, version: v0.20.0, match: {url: "https://h/old", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: strange, version: latest, match: {url: "https://h/strange", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`

func TestOldRulesThatOathkeeperMigratesAreDelegated(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(server.Close)
	snapshot, err := compile(t, nil, outdated, func(o *engine.Options) { o.Delegate = server.URL })
	require.NoError(t, err)
	rules := snapshot.Rules()
	require.Equal(t, engine.RuleStatus{ID: "retries", Valid: true, Delegated: true}, rules[0])
	require.Equal(t, engine.RuleStatus{ID: "captures", Valid: true, Delegated: true}, rules[1])
	require.Equal(t, engine.RuleStatus{ID: "old", Valid: true}, rules[2], "nothing in it has changed since")
	require.False(t, rules[3].Valid)
	require.Contains(t, rules[3].Error, `"latest" is not a version`)
	require.Contains(t, fmt.Sprint(snapshot.Warnings()), "version v0.31.0: an Oathkeeper rewrites the hydrator's retry")

	e := &engine.Engine{}
	e.Use(snapshot)
	for _, path := range []string{"/retries", "/captures", "/old"} {
		require.Equal(t, engine.Allowed, e.Decide(t.Context(), request(path, nil)).Outcome, path)
	}
	require.Equal(t, 2, asked)
	require.Equal(t, http.StatusInternalServerError, e.Decide(t.Context(), request("/strange", nil)).Status)
}

func TestWithoutADelegateAnOldRuleAnswers500AndSaysWhy(t *testing.T) {
	e := load(t, nil, outdated)
	for i, path := range []string{"/retries", "/captures"} {
		require.Contains(t, e.Snapshot().Rules()[i].Error, "a migration is not supported")
		require.Contains(t, e.Snapshot().Rules()[i].Error, "delegate.url is not set")
		require.Equal(t, http.StatusInternalServerError, e.Decide(t.Context(), request(path, nil)).Status)
	}
	require.Equal(t, engine.Allowed, e.Decide(t.Context(), request("/old", nil)).Outcome)
}

// Each alone: what makes a rule another's to decide is not hidden by something else in it.
func TestWhateverIsNotSupportedIsDelegatedOr500(t *testing.T) {
	const plain = `- {id: x, match: {url: "https://h/x", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}`
	for name, c := range map[string]struct {
		old, new  string
		delegated bool
		reason    string
	}{
		"oauth2_client_credentials": {"authenticators: [{handler: noop}]", "authenticators: [{handler: oauth2_client_credentials}]", true, "oauth2_client_credentials"},
		"keto_engine_acp_ory":       {"{handler: allow}", "{handler: keto_engine_acp_ory}", true, "keto_engine_acp_ory"},
		"authenticator unknown":     {"authenticators: [{handler: noop}]", "authenticators: [{handler: magic}]", false, `"magic" is disabled`},
		"authorizer unknown":        {"{handler: allow}", "{handler: magic}", false, `"magic" is disabled`},
		"mutator unknown":           {"mutators: [{handler: noop}]", "mutators: [{handler: magic}]", false, `"magic" is disabled`},
		"error handler unknown":     {"mutators:", "errors: [{handler: magic}], mutators:", false, `"magic" is disabled`},
		"gRPC match":                {`url: "https://h/x", methods: [GET]`, `authority: h, full_method: pkg.Service/Call`, false, "gRPC matches"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := strings.Replace(plain, c.old, c.new, 1)
			require.NotEqual(t, plain, rules)
			alone := load(t, nil, rules)
			status := alone.Snapshot().Rules()[0]
			require.False(t, status.Valid)
			require.Contains(t, status.Error, c.reason)
			answer := alone.Decide(t.Context(), request("/x", nil))
			require.Equal(t, engine.Denied, answer.Outcome)
			if name == "gRPC match" {
				require.Equal(t, http.StatusNotFound, answer.Status, "no HTTP request reaches it")
			} else {
				require.Equal(t, http.StatusInternalServerError, answer.Status)
			}

			with, err := compile(t, nil, rules, func(o *engine.Options) { o.Delegate = "http://127.0.0.1:1" })
			require.NoError(t, err)
			require.Equal(t, c.delegated, with.Rules()[0].Delegated)
			require.Equal(t, c.delegated, with.Rules()[0].Valid)
		})
	}
}

func TestDelegateIsAskedForTheRequestThatEnvoySaw(t *testing.T) {
	e, d := delegated(t)
	r := request("/legacy/%7bx", http.Header{
		"Authorization": {"Basic x"}, "X-User-Id": {"root"}, "X_user_id": {"root"}, "Connection": {"close"}, "X-Other": {"1"}, "X-Forwarded-For": {"10.0.0.1"},
		"X-Forwarded-Uri": {"/ours"}, "X-Forwarded-Method": {"DELETE"}, "X-Forwarded-Host": {"evil"}, "X-Forwarded-Proto": {"http"}, "X_forwarded_uri": {"/ours"},
	})
	r.Query = "token=1"
	require.Equal(t, engine.Allowed, e.Decide(t.Context(), r).Outcome)
	require.Equal(t, "/decisions?token=1", d.asked.URL.RequestURI())
	for name, want := range map[string]string{
		"Authorization": "Basic x", "X-Other": "1", "X-User-Id": "", "X_user_id": "", "X-Forwarded-For": "10.0.0.1",
		"X-Forwarded-Uri": "/legacy/%7bx", "X-Forwarded-Method": "GET", "X-Forwarded-Host": "h", "X-Forwarded-Proto": "https", "X_forwarded_uri": "",
	} {
		require.Equal(t, want, d.asked.Header.Get(name), name)
	}
}

func TestOnlyDeclaredHeadersOfTheDelegateCount(t *testing.T) {
	e, d := delegated(t)
	d.header = http.Header{"X-User-Id": {"ann"}, "X-Other": {"echo"}, "Cookie": {"user=ann; ory_kratos_session=s"}, "Authorization": {"echo"}}
	got := e.Decide(t.Context(), request("/legacy", nil))
	require.Equal(t, engine.Allowed, got.Outcome)
	require.Equal(t, "delegate", got.Handler)
	require.Equal(t, http.Header{"X-User-Id": {"ann"}, "Cookie": {"user=ann"}}, got.Set)
	require.Contains(t, got.Remove, "Authorization")
}

func TestRefusalsOfTheDelegateArePassedOn(t *testing.T) {
	e, d := delegated(t)
	d.header = http.Header{"Content-Type": {"application/json"}, "Location": {"/login"}, "Set-Cookie": {"no=1"}}
	for status, want := range map[int]struct {
		status int
		code   string
	}{
		401: {401, pipeline.CodeUnauthenticated}, 403: {403, pipeline.CodeForbidden}, 302: {401, pipeline.CodeUnauthenticated}, 429: {429, pipeline.CodeRateLimited},
	} {
		d.status, d.body = status, `{"theirs":true}`
		got := e.Decide(t.Context(), request("/legacy", nil))
		require.Equal(t, engine.Denied, got.Outcome)
		require.Equal(t, want.status, got.Status)
		require.Equal(t, want.code, got.Code)
		require.Equal(t, status, got.Response.Status)
		require.Equal(t, d.body, got.Response.Body)
		require.Equal(t, "/login", got.Response.Header.Get("Location"))
		require.Empty(t, got.Response.Header.Get("Set-Cookie"))

		got = e.Decide(t.Context(), request("/api/legacy", nil))
		require.Equal(t, want.status, got.Response.Status, "problem+json says what was decided")
		require.Contains(t, got.Response.Body, want.code)
	}
}

func TestDelegatesOutageIsNoDecision(t *testing.T) {
	e, d := delegated(t)
	for _, d.status = range []int{500, 503, 204} {
		require.Equal(t, engine.Failed, e.Decide(t.Context(), request("/legacy", nil)).Outcome)
	}
	d.status = http.StatusNotFound
	require.Equal(t, http.StatusInternalServerError, e.Decide(t.Context(), request("/legacy", nil)).Status, "the two know different rules")
	d.Close()
	require.Equal(t, engine.Failed, e.Decide(t.Context(), request("/legacy", nil)).Outcome)
}
