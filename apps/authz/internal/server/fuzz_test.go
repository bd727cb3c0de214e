package server

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/envoy"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
)

const fuzzedConfig = `
access_rules: {repositories: [unused]}
authenticators: {noop: {enabled: true}, anonymous: {enabled: true}, unauthorized: {enabled: true}, jwt: {enabled: true, config: {jwks_urls: ["http://issuer"]}}}
authorizers: {allow: {enabled: true}, deny: {enabled: true}}
mutators: {noop: {enabled: true}, header: {enabled: true, config: {headers: {X-User: "{{ print .Subject }}"}}}, cookie: {enabled: true, config: {cookies: {who: "{{ print .Subject }}"}}}}
errors: {fallback: [json], handlers: {json: {enabled: true}, redirect: {enabled: true, config: {to: "https://login", return_to_query_param: r, when: [{request: {header: {accept: [text/html]}}}]}}, www_authenticate: {enabled: true}}}
`

// Of these rules "open" and "guest" let somebody pass. Nobody can sign what "token" asks for.
const fuzzedRules = `
- {id: open, match: {url: "<https?>://<[^/]+>/open<(/.*)?>", methods: [GET, POST]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: guest, match: {url: "<https?>://<[^/]+>/guest/<[^/]*>", methods: [GET]}, authenticators: [{handler: anonymous}], authorizer: {handler: allow}, mutators: [{handler: header, config: {headers: {X-Path: "{{ .MatchContext.URL.Path }}", X-Q: "{{ .MatchContext.Header.Get \"X-Q\" }}"}}}, {handler: cookie}]}
- {id: token, match: {url: "<https?>://<[^/]+>/token<(/.*)?>", methods: [GET]}, authenticators: [{handler: jwt}], authorizer: {handler: allow}, mutators: [{handler: header}], errors: [{handler: redirect}, {handler: json, config: {when: [{request: {header: {accept: [application/json]}}}]}}]}
- {id: closed, match: {url: "<https?>://<[^/]+>/closed<(/.*)?>", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: deny}, mutators: [{handler: header}]}
- {id: nobody, match: {url: "<https?>://<[^/]+>/nobody<(?!x).*>", methods: [GET]}, authenticators: [{handler: unauthorized}], authorizer: {handler: allow}, mutators: [{handler: noop}], errors: [{handler: www_authenticate}]}
- {id: invalid, match: {url: "<https?>://<[^/]+>/invalid", methods: [GET]}, authenticators: [{handler: cookie_session}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: twice, match: {url: "<https?>://<[^/]+>/open/twice", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`

func fuzzedDoor(tb testing.TB) *door {
	tb.Helper()
	config, err := oathkeeper.Parse([]byte(fuzzedConfig))
	require.NoError(tb, err)
	rules, err := rule.Parse([]byte(fuzzedRules))
	require.NoError(tb, err)
	snapshot, err := engine.Compile(config, rules, engine.Options{
		ProblemPrefixes: []string{"/token/"}, StripCookies: []string{"secret"},
		Upstream: upstream.New(upstream.Options{Timeout: time.Second, MaxConnections: 1}),
		Keys:     keys.NewStore(func(context.Context, string) ([]byte, error) { return []byte(`{"keys":[]}`), nil }, time.Now),
		Now:      time.Now,
	})
	require.NoError(tb, err)
	d := &door{engine: &engine.Engine{}, metrics: newMetrics(), log: slog.New(slog.DiscardHandler)}
	d.engine.Use(snapshot)
	return d
}

// headersOf reads "name: value" lines.
func headersOf(text string, change func(string) string) []*corev3.HeaderValue {
	var out []*corev3.HeaderValue
	for line := range strings.SplitSeq(text, "\n") {
		name, value, found := strings.Cut(line, ": ")
		if found && httpguts.ValidHeaderFieldName(name) { // no proxy sends another
			out = append(out, &corev3.HeaderValue{Key: change(name), RawValue: []byte(value)})
		}
	}
	return out
}

func otherCase(name string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsUpper(c) {
			return unicode.ToLower(c)
		}
		return unicode.ToUpper(c)
	}, name)
}

// Whatever is asked: no panic, a yes only of the one rule that says yes, no header but what the rules declare, and the
// same answer whatever the case of the headers' names is.
func FuzzCheckLetsNothingPassThatNoRuleAllows(f *testing.F) {
	for _, seed := range [][4]string{
		{"GET", "h", "/open/x?q=1", "x-forwarded-proto: https\nx-user: root\nX_User: root\ncookie: secret=1; a=b"},
		{"POST", "h", "/open/twice", "x-forwarded-proto: https"},
		{"GET", "h", "/open/twice", "x-forwarded-proto: https"},
		{"GET", "H:80", "/guest/a", "x-forwarded-proto: http\nx-q: 1\r\ncookie: who=me\nconnection: x-user"},
		{"GET", "h", "/guest/a", "x-forwarded-proto: http\nauthorization: Basic eDp5"},
		{"GET", "h", "/token/x", "x-forwarded-proto: https\nauthorization: Bearer eyJhbGciOiJub25lIn0.e30.\naccept: text/html"},
		{"GET", "h", "/token", "x-forwarded-proto: https\naccept: application/json"},
		{"GET", "h", "/closed", "x-forwarded-proto: https\ncontent-type: application/grpc"},
		{"GET", "h", "/nobody/\xff", "x-forwarded-proto: https"},
		{"GET", "h", "/invalid", "x-forwarded-proto: https"},
		{"GET", "h/open", "/closed", "x-forwarded-proto: https\nx-forwarded-proto: http"},
		{"", "", "//h/open", "authorization: Bearer a, Bearer b"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], "the body")
	}
	d := fuzzedDoor(f)
	declared := []string{"x-user", "x-path", "x-q", "cookie"}
	identity := []string{"authorization", "x-user-id", "x-user-email", "x-client-id", "x-scopes", "x-user", "x-path", "x-q"}
	f.Fuzz(func(t *testing.T, method, host, path, headers, body string) {
		ask := func(change func(string) string) (*authv3.CheckRequest, *authv3.CheckResponse, error) {
			in := call{method: method, host: host, path: path}.request()
			in.Attributes.Request.Http.Method, in.Attributes.Request.Http.Host = method, host
			in.Attributes.Request.Http.Body = body
			in.Attributes.Request.Http.HeaderMap.Headers = headersOf(headers, change)
			out, err := d.Check(t.Context(), in)
			return in, out, err
		}
		in, out, err := ask(func(name string) string { return name })
		_, again, errAgain := ask(otherCase)
		require.Equal(t, err == nil, errAgain == nil)
		require.True(t, proto.Equal(out, again), "%v\n%v", out, again)
		if err != nil {
			return // an error is no yes
		}
		_, encodes := proto.Marshal(out)
		require.NoError(t, encodes)
		if out.GetStatus().GetCode() != int32(codes.OK) {
			require.GreaterOrEqual(t, int(out.GetDeniedResponse().GetStatus().GetCode()), 300)
			require.LessOrEqual(t, int(out.GetDeniedResponse().GetStatus().GetCode()), 599)
			return
		}
		require.NotNil(t, out.GetOkResponse())
		request, err := envoy.Parse(in)
		require.NoError(t, err)
		matches := d.engine.Snapshot().Explain(t.Context(), request).Matches
		require.Len(t, matches, 1)
		require.Contains(t, []string{"open", "guest", "twice"}, matches[0])

		set := map[string]bool{}
		for _, option := range out.GetOkResponse().GetHeaders() {
			require.Equal(t, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD, option.GetAppendAction())
			require.Contains(t, declared, option.GetHeader().GetKey())
			require.True(t, httpguts.ValidHeaderFieldValue(option.GetHeader().GetValue()), "%q", option)
			set[option.GetHeader().GetKey()] = true
		}
		removed := out.GetOkResponse().GetHeadersToRemove()
		for _, name := range removed {
			meant := strings.ReplaceAll(name, "_", "-")
			require.True(t, meant == "cookie" || slices.Contains(identity, meant), name)
			require.False(t, set[name], "%s is set and removed", name)
		}
		for _, name := range identity {
			require.True(t, set[name] || slices.Contains(removed, name), "the client's own %s would pass", name)
		}
		for name := range request.Header { // also under an alias
			meant := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
			if strings.Contains(name, "_") && slices.Contains(identity, strings.ToLower(meant)) {
				require.Contains(t, removed, strings.ToLower(name))
			}
		}
	})
}
