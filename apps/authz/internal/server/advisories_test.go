package server

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gatehouse.internal/authz/internal/engine"
)

// Each test is named after an advisory, or an issue without one, on Oathkeeper or a peer, and shows that it does not
// concern us. docs/attacks.md lists them all.

// keepAnswers switches on every cache there is.
func keepAnswers(s *Settings) {
	s.Cache.SessionTTL, s.Cache.IntrospectionTTL, s.Cache.NegativeTTL = 10*time.Second, 10*time.Second, 10*time.Second
}

// requireNeverAllowed: whatever it is, it is no pass.
func (s *stack) requireNeverAllowed(c call) {
	s.t.Helper()
	out, err := s.ask(c)
	if err == nil {
		require.NotEqual(s.t, int32(codes.OK), out.GetStatus().GetCode(), "%v passed", c)
		require.Nil(s.t, out.GetOkResponse())
	}
}

// --- Oathkeeper ---

func TestCVE_2021_32701_KeptIntrospectionStillNeedsTheScope(t *testing.T) {
	s := newStack(t, keepAnswers, withRules(`
- {id: scoped, match: {url: "<https?>://<[^/]+>/scoped", methods: [GET]}, authenticators: [{handler: oauth2_introspection, config: {required_scope: [admin]}}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`))
	body := strings.Replace(active, `"sub"`, fmt.Sprintf(`"exp":%d,"sub"`, time.Now().Add(5*time.Second).Unix()), 1)
	s.hydra.says(http.StatusOK, body, http.StatusOK)
	for range 3 {
		s.requireAllowed(call{path: "/api/me", headers: bearer("ory_at_x")})
		s.requireDenied(call{path: "/scoped", headers: bearer("ory_at_x")}, 403, "")
	}
	require.Equal(t, 2, s.hydra.questions(), "one for each way of asking, and then the answers were kept")
	s.clock.advance(6 * time.Second)
	s.requireDenied(call{path: "/api/me", headers: bearer("ory_at_x")}, 401, "unauthenticated")
}

func TestCVE_2026_33494_PathTraversalReachesNoOtherRule(t *testing.T) {
	s := newStack(t)
	for _, path := range []string{
		"/api/public/../me", "/api/public/%2e%2e/me", "/api/public/..%2fme", "/api/public/%2E%2E%2Fme", "/api/public/./x",
		`/api/public/..\me`, "/api/public/..%5cme", "/api/public/..;/me",
	} {
		s.requireDenied(call{path: path}, 400, "invalid_request")
	}
}

func TestCVE_2026_33495_SchemeOfTheClientIsIgnored(t *testing.T) {
	s := newStack(t) // ask sends :scheme https
	s.requireDenied(call{path: "/secure", proto: "http"}, 404, "")
	s.requireAllowed(call{path: "/secure", proto: "https"})
	s.requireDenied(call{path: "/secure", proto: "http", headers: []string{"x-forwarded-proto", "https"}}, 400, "")
}

func TestCVE_2026_33496_AnswersOfOneIntrospectionServerAreNotUsedForAnother(t *testing.T) {
	s := newStack(t, keepAnswers, withRules(`
- {id: other, match: {url: "<https?>://<[^/]+>/other", methods: [GET]}, authenticators: [{handler: oauth2_introspection, config: {introspection_url: "@KRATOS@/introspect"}}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`))
	s.hydra.says(http.StatusOK, active, http.StatusOK)
	s.kratos.says(http.StatusOK, `{"active":false}`, http.StatusOK)
	for range 2 {
		s.requireAllowed(call{path: "/api/me", headers: bearer("ory_at_x")})
		s.requireDenied(call{path: "/other", headers: bearer("ory_at_x")}, 401, "")
	}
	require.Equal(t, []int{1, 1}, []int{s.hydra.questions(), s.kratos.questions()}, "both answers were kept")

	// Nor are they while a question is under way.
	held, release := make(chan struct{}), newRelease(t)
	s.hydra.answers(func(w http.ResponseWriter, _ *http.Request) {
		close(held)
		<-release.done
		_, _ = w.Write([]byte(active))
	})
	answered := s.askLater(call{path: "/api/me", headers: bearer("ory_at_y")})
	<-held
	s.requireDenied(call{path: "/other", headers: bearer("ory_at_y")}, 401, "")
	release.now()
	require.NotNil(t, (<-answered).GetOkResponse())
}

func TestGO_2023_1747_ConnectionHeaderCannotDropIdentity(t *testing.T) {
	s := newStack(t)
	for _, value := range []string{"x-user-id", "close, X-USER-ID", "authorization"} {
		s.requireDenied(call{path: "/api/public/x", headers: []string{"connection", value}}, 400, "invalid_request")
	}
}

func TestCVE_2026_26205_TwoSlashesAreNoHost(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "//admin"}, 400, "")
	s.requireDenied(call{path: "//internal.example/api/public/x"}, 400, "")
	s.requireDenied(call{path: "/api//public/x"}, 400, "invalid_request")
}

func TestGHSA_7774_7vr3_cc8j_HostCaseChangesNothing(t *testing.T) { // also heimdall GHSA-72h4-mxfc-jx37
	s := newStack(t)
	for _, host := range []string{"internal.example", "INTERNAL.example", "Internal.Example"} {
		s.requireDenied(call{host: host, path: "/host"}, 403, "")
	}
}

func TestCVE_2026_57209_HostCannotBringAPath(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{host: "h/api/public", path: "/x"}, 400, "")
	s.requireDenied(call{host: "h@x", path: "/api/public/x"}, 400, "invalid_request")
}

func TestCVE_2025_54576_QueryMatchesNoRule(t *testing.T) { // also GO-2026-4742
	s := newStack(t)
	s.requireDenied(call{path: "/api/me?x=/api/public/health"}, 401, "unauthenticated")
	s.requireDenied(call{path: "/?http://h/api/public/health"}, 404, "")
}

func TestCVE_2026_76835_ForwardedRequestHeadersAreIgnored(t *testing.T) {
	s := newStack(t)
	forged := []string{
		"x-forwarded-uri", "/api/public/health", "x-forwarded-method", "GET", "x-forwarded-host", "h", "x-original-url", "/api/public/health",
		"x-forwarded-prefix", "/api/public", "x-envoy-original-path", "/api/public/health",
	}
	s.requireDenied(call{path: "/api/me", headers: forged}, 401, "unauthenticated")
	s.requireDenied(call{path: "/admin", headers: forged}, 403, "")
}

func TestCVE_2021_32777_TwoCredentialsAreRefused(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/api/me", headers: append(bearer(s.token(nil)), "authorization", "Bearer other")}, 401, "unauthenticated")
}

func TestCVE_2023_27488_BytesThatAreNotUTF8AreNoWayAround(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/api/me", headers: []string{"x-any", "\xff\xfe"}}, 401, "unauthenticated")
	s.requireDenied(call{path: "/api/me", headers: []string{"x-request-id2", "\xff", "authorization", "Bearer \xff.\xff.\xff"}}, 401, "unauthenticated")
}

// The reports of ory/oathkeeper#1262, which have no advisory.
func TestOathkeeper_1262_WhatAClientWritesIsNotWhereItComesFrom(t *testing.T) {
	s := newStack(t, withConfig("json: {enabled: true, config: {verbose: false}}",
		"json: {enabled: true, config: {verbose: false}}, redirect: {enabled: true, config: {to: \"http://login\"}}"), withRules(`
- id: inside
  match: {url: "<https?>://<[^/]+>/inside", methods: [GET]}
  authenticators: [{handler: unauthorized}]
  authorizer: {handler: allow}
  mutators: [{handler: noop}]
  errors:
  - {handler: redirect, config: {to: "http://login/x", return_to_query_param: back, when: [{request: {remote_ip: {match: [10.0.0.0/8], respect_forwarded_for_header: true}}}]}}
  - {handler: json, config: {when: [{request: {remote_ip: {match: [192.0.2.0/24]}}}]}}
- {id: environment, match: {url: "<https?>://<[^/]+>/environment", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: header, config: {headers: {X-Leak: "{{ env \"PATH\" }}"}}}]}
`), withConfig("noop: {enabled: true}\n  jwt:", "noop: {enabled: true}\n  unauthorized: {enabled: true}\n  jwt:"))
	forged := []string{"x-forwarded-for", "10.0.0.1", "x-forwarded-host", "evil.example", "x-forwarded-uri", "/evil"}
	require.EqualValues(t, 401, s.denial(call{path: "/inside", headers: forged, from: "192.0.2.7"}).GetStatus().GetCode(), "an address in X-Forwarded-For is anybody's")
	redirected := s.denial(call{path: "/inside", headers: forged, from: "10.0.0.9"})
	require.EqualValues(t, 302, redirected.GetStatus().GetCode())
	for _, h := range redirected.GetHeaders() {
		require.NotContains(t, h.GetHeader().GetValue(), "evil")
	}
	s.requireDenied(call{path: "/environment"}, 500, "")
}

// --- OPA, heimdall, Istio ---

func TestGHSA_72h4_mxfc_jx37_HostCaseFindsTheSameRule(t *testing.T) {
	s := newStack(t, withRules(`
- {id: one-host, match: {url: "<https?>://Only.Example/one-host", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`))
	for _, host := range []string{"only.example", "ONLY.EXAMPLE", "oNLY.eXAMPLE"} {
		s.requireAllowed(call{host: host, path: "/one-host"})
	}
	s.requireDenied(call{host: "only.example.evil", path: "/one-host"}, 404, "")
}

func TestGO_2026_4742_QueryIsNoPartOfThePath(t *testing.T) {
	s := newStack(t, withRules(captures))
	for _, path := range []string{"/captured/a?b=c", "/captured/a?/two", "/captured/a?b=c?d", "/captured/a?"} {
		require.Equal(t, "http|public.example|a|", s.requireAllowed(call{path: path}).set["x-captured"], path)
	}
	s.requireDenied(call{path: "/captured?/a"}, 404, "")
}

func TestCVE_2026_42274_PathThatIsNotNormalisedIsRefused(t *testing.T) { // also CVE-2026-42272: %2f and %2F are one
	s := newStack(t)
	for _, path := range []string{
		"/api/public/..", "/api/public/%2e%2e/me", "/api/public/.%2E/me", "/api/public%2f..%2fme", "/api/public%2F..%2Fme", "/api/./me",
		"/api/public/%252e%252e/me/%2e", "/api/%2fme", "/api/me%2F", "/%2e/api/me", "/api/public/%c0%ae%c0%ae/me", "/api/public/%00", "/api/public/\x00",
	} {
		s.requireNeverAllowed(call{path: path})
	}
}

func TestGHSA_r9fw_vxmp_hwf2_PathIsNotEncodedAnew(t *testing.T) {
	s := newStack(t, withRules(captures))
	for _, part := range []string{"%C3%A9", "%c3%a9", "a%20b", "a+b", "a%2Bb", "%E2%82%AC,%22", "100%25", "a%3Fb", "a%23b", "!$&'()*,=:@"} {
		require.Equal(t, "http|public.example|"+part+"|", s.requireAllowed(call{path: "/captured/" + part}).set["x-captured"])
	}
}

func TestHeimdall_3412_3419_CapturesOfARuleThatDoesNotMatchAreGone(t *testing.T) {
	s := newStack(t, withRules(captures))
	require.Equal(t, "http|public.example|secret/word|", s.requireAllowed(call{path: "/captured/secret/word/two"}).set["x-captured"])
	require.Equal(t, "http|public.example|secret|word|", s.requireAllowed(call{path: "/captured/secret/word/one"}).set["x-captured"])
	require.Equal(t, "http|public.example|ac||a|", s.requireAllowed(call{path: "/backtracking/ac"}).set["x-captured"], "what an abandoned alternative captured")
}

// captures has rules that begin alike, which show what they captured.
const captures = `
- &rule {id: captured, match: {url: "<https?>://<[^/]+>/captured/<[^/]+>", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: header, config: {headers: {X-Captured: "{{ range .MatchContext.RegexpCaptureGroups }}{{ . }}|{{ end }}"}}}]}
- {<<: *rule, id: captured-one, match: {url: "<https?>://<[^/]+>/captured/<[a-z]+>/<[a-z]+>/one", methods: [GET]}}
- {<<: *rule, id: captured-two, match: {url: "<https?>://<[^/]+>/captured/<.*>/two", methods: [GET]}}
- {<<: *rule, id: backtracking, match: {url: "<https?>://<[^/]+>/backtracking/<(?!zz)(?:(a)b|(a)c)>", methods: [GET]}}
`

func TestHeimdall_3423_HeaderNamesOfRulesAreReadInAnyCase(t *testing.T) {
	s := newStack(t, withRules(`
- {id: odd-case, match: {url: "<https?>://<[^/]+>/odd-case", methods: [GET]}, authenticators: [{handler: jwt, config: {token_from: {header: x-API-token}}}, {handler: cookie_session, config: {forward_http_headers: [x-tenant]}}], authorizer: {handler: allow}, mutators: [{handler: header, config: {headers: {x-user-ID: "{{ print .Subject }}"}}}]}
`))
	require.Equal(t, "c-1", s.requireAllowed(call{path: "/odd-case", headers: []string{"x-api-token", s.token(nil)}}).set["x-user-id"])
	s.kratos.says(http.StatusOK, session, http.StatusOK)
	s.requireAllowed(call{path: "/odd-case", headers: append(cookie(), "x-tenant", "t-1")})
	require.Equal(t, "t-1", s.kratos.headers().Get("X-Tenant"))
	passed := s.requireAllowed(call{path: "/api/public/x", headers: []string{"x-user-id", "root"}})
	require.Contains(t, passed.remove, "x-user-id")
}

func TestHeimdall_3424_EndlessAnswerIsNotReadToItsEnd(t *testing.T) {
	s := newStack(t)
	s.kratos.answers(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	s.requireFailed(call{path: "/api/me", headers: cookie()})
	require.Contains(t, s.get("/metrics"), `reason="too_large"`)
}

func TestHeimdall_3452_KeptAnswerIsJudgedByEachRule(t *testing.T) {
	s := newStack(t, keepAnswers, withRules(`
- {id: another-audience, match: {url: "<https?>://<[^/]+>/another", methods: [GET]}, authenticators: [{handler: oauth2_introspection, config: {target_audience: ["http://public/another"]}}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: another-issuer, match: {url: "<https?>://<[^/]+>/issuer", methods: [GET]}, authenticators: [{handler: oauth2_introspection, config: {trusted_issuers: ["http://other"]}}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- {id: another-jwt, match: {url: "<https?>://<[^/]+>/jwt", methods: [GET]}, authenticators: [{handler: jwt, config: {target_audience: ["http://public/another"]}}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`))
	s.hydra.says(http.StatusOK, active, http.StatusOK)
	token := s.token(nil)
	for range 2 {
		s.requireAllowed(call{path: "/api/me", headers: bearer("ory_at_x")})
		s.requireDenied(call{path: "/another", headers: bearer("ory_at_x")}, 401, "")
		s.requireDenied(call{path: "/issuer", headers: bearer("ory_at_x")}, 401, "")
		s.requireAllowed(call{path: "/api/me", headers: bearer(token)})
		s.requireDenied(call{path: "/jwt", headers: bearer(token)}, 401, "")
	}
}

// --- oauth2-proxy, Traefik, Authelia, Pomerium, authentik ---

// X_User_Id, and X.User.Id which is the way around that Traefik's fix left open.
func TestCVE_2025_64484_AliasesOfIdentityHeadersAreRemoved(t *testing.T) { // also CVE-2026-54763 and CVE-2026-39858
	s := newStack(t)
	aliases := []string{"x_user_id", "x-user_id", "x.user.id", "x-user.id", "x_scopes", "x_client-id", "x.user.email"}
	var headers []string
	for _, name := range aliases {
		headers = append(headers, name, "root")
	}
	for _, c := range []call{
		{path: "/api/public/x", headers: headers},
		{path: "/api/me", headers: append(bearer(s.token(nil)), headers...)},
	} {
		require.Subset(t, s.requireAllowed(c).remove, aliases)
	}
	s.requireDenied(call{path: "/secure", headers: []string{"x_forwarded_proto", "https", "x.forwarded.proto", "https"}}, 404, "")
}

func TestCVE_2026_34457_NoUserAgentIsAHealthCheck(t *testing.T) {
	s := newStack(t)
	for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.33", "ELB-HealthChecker/2.0", "Envoy/HC", "Prometheus/3.0", ""} {
		s.requireDenied(call{path: "/api/me", headers: []string{"user-agent", agent}}, 401, "unauthenticated")
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/ping", "/health/ready", "/.well-known/jwks.json"} {
			s.requireDenied(call{path: path, headers: []string{"user-agent", agent}}, 404, "")
		}
	}
}

func TestCVE_2026_40575_ForwardedURIOpensNoPublicPath(t *testing.T) { // and CVE-2026-35051, X-Forwarded-Prefix
	s := newStack(t)
	for _, name := range []string{
		"x-forwarded-uri", "x-forwarded-prefix", "x-forwarded-path", "x-original-uri", "x-rewrite-url", "x_forwarded_uri", "x.forwarded.uri", "x-forwarded-method",
	} {
		for _, value := range []string{"/api/public/health", "/api/public/", "GET"} {
			s.requireDenied(call{path: "/api/me", headers: []string{name, value}}, 401, "unauthenticated")
			s.requireDenied(call{path: "/admin", headers: []string{name, value}}, 403, "")
			s.requireDenied(call{path: "/api/public/x", method: "POST", headers: []string{name, value}}, 404, "no_rule")
		}
	}
}

func TestCVE_2026_41059_FragmentWidensNoRule(t *testing.T) { // also CVE-2021-32779
	s := newStack(t)
	for _, path := range []string{"/api/me#/api/public/health", "/api/public/health#/../../me", "/api/me?x#y", "#/api/public/x", "/api/me%23/../public/x"} {
		s.requireNeverAllowed(call{path: path})
	}
}

func TestCVE_2026_48020_PrefixCannotBeLeftByDots(t *testing.T) { // also CVE-2026-40912 and CVE-2026-65600
	s := newStack(t)
	for _, path := range []string{"/api/public/../../admin", "/api/public../admin", "/api/public/%2e%2e/%2e%2e/admin", "/api/public/..%2f..%2fadmin", "/api/public/.../..", "/api/public/./../../admin"} {
		s.requireNeverAllowed(call{path: path})
	}
}

func TestCVE_2021_32637_MalformedTargetIsRefused(t *testing.T) {
	s := newStack(t)
	for _, path := range []string{"", "*", "?", "api/public/x", "%", "/%", "/api/public/%", "/api/public/%zz", "/api/public/%2", "/api/public/%u0041", "http://h/api/public/x", "h:80", "\\"} {
		s.requireDenied(call{path: path}, 400, "")
	}
}

// Pomerium names no more of it than "specially crafted requests": every part of one is tried here by itself.
func TestCVE_2023_33189_CraftedRequestsGetNoOtherRule(t *testing.T) { // also CVE-2021-39206
	s := newStack(t)
	for name, c := range map[string]call{
		"method in lower case":   {method: "get", path: "/api/me"},
		"method that is no word": {method: "G ET", path: "/api/me"},
		"no method":              {method: "\x00", path: "/api/me"},
		"method override":        {method: "DELETE", path: "/api/public/x", headers: []string{"x-http-method-override", "GET"}},
		"port":                   {host: "public.example:443", path: "/api/me"},
		"empty host":             {host: " ", path: "/api/public/x"},
		"host with a user":       {host: "a@public.example", path: "/api/public/x"},
		"scheme in capitals":     {proto: "HTTPS", path: "/api/me"},
		"scheme that is none":    {proto: "javascript", path: "/api/public/x"},
		"pseudo header":          {path: "/api/me", headers: []string{":path", "/api/public/x", ":method", "GET"}},
		"header without a name":  {path: "/api/me", headers: []string{"", "x"}},
		"header with a line":     {path: "/api/me", headers: []string{"x-a\r\nauthorization", "x", "authorization", "Bearer\r\nx"}},
		"many headers":           {path: "/api/me", headers: slices.Repeat([]string{"x-a", "b"}, 2000)},
	} {
		t.Run(name, func(*testing.T) { s.requireNeverAllowed(c) })
	}
}

func TestCVE_2026_25748_MalformedCookieIsNoSession(t *testing.T) {
	s := newStack(t)
	s.kratos.says(http.StatusUnauthorized, "{}", http.StatusOK)
	for _, value := range []string{
		"ory_kratos_session", "ory_kratos_session=", "=ory_kratos_session", "ory_kratos_session=\x00", "ory_kratos_session=\"", "; ; ;", ",", "\xff",
		"ory_kratos_session=a, ory_kratos_session=b", "ory_kratos_session=a\r\nX-User-Id: root", strings.Repeat("a=b; ", 5000), "$Version=1; ory_kratos_session=a",
	} {
		for _, path := range []string{"/api/me", "/page"} {
			s.requireNeverAllowed(call{path: path, headers: []string{"cookie", value}})
		}
	}
}

// --- caches and questions that are shared ---

func TestGHSA_84rm_mhfq_f476_AnswersAreNotSharedBetweenHandlers(t *testing.T) {
	s := newStack(t, keepAnswers, withRules(`
- {id: as-b, match: {url: "<https?>://<[^/]+>/as-b", methods: [GET]}, authenticators: [{handler: oauth2_introspection, config: {introspection_request_headers: {Authorization: "Basic b"}}}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`))
	s.hydra.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Basic b" {
			_, _ = w.Write([]byte(`{"active":false}`))
			return
		}
		_, _ = w.Write([]byte(active))
	})
	for range 2 {
		s.requireAllowed(call{path: "/api/me", headers: bearer("ory_at_x")})
		s.requireDenied(call{path: "/as-b", headers: bearer("ory_at_x")}, 401, "")
	}
}

func TestCVE_2026_49998_KeyIDOfOneIssuerIsNotAnothers(t *testing.T) {
	s := newStack(t, withRules(`
- {id: second, match: {url: "<https?>://<[^/]+>/second", methods: [GET]}, authenticators: [{handler: jwt, config: {jwks_urls: ["@KRATOS@/.well-known/jwks.json"]}}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s.kratos.publish([]byte(marshal(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: other.Public(), KeyID: s.key.KeyID, Algorithm: "RS256", Use: "sig"}}})))
	first, second := s.token(nil), s.signed(other, s.key.KeyID, nil)
	var answers []<-chan *authv3.CheckResponse
	for range 4 { // together, so that fetches of both sets run at one time
		answers = append(answers, s.askLater(call{path: "/second", headers: bearer(first)}), s.askLater(call{path: "/api/me", headers: bearer(second)}))
	}
	for _, answer := range answers {
		require.NotNil(t, (<-answer).GetDeniedResponse())
	}
	s.requireAllowed(call{path: "/api/me", headers: bearer(first)})
	s.requireAllowed(call{path: "/second", headers: bearer(second)})
	s.requireDenied(call{path: "/second", headers: bearer(first)}, 401, "")
	s.requireDenied(call{path: "/api/me", headers: bearer(second)}, 401, "unauthenticated")
}

func TestGHSA_rp9m_7r4c_75qg_KeptCredentialIsNobodyElses(t *testing.T) {
	s := newStack(t, keepAnswers)
	token := s.token(nil)
	s.requireAllowed(call{path: "/api/me", headers: bearer(token)})
	for at := 0; at < len(token); at += 7 {
		changed := []byte(token)
		changed[at] ^= 1
		s.requireNeverAllowed(call{path: "/api/me", headers: bearer(string(changed))})
	}
	s.kratos.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "ory_kratos_session=s1; a=b" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(session))
	})
	s.requireAllowed(call{path: "/api/me", headers: []string{"cookie", "ory_kratos_session=s1; a=b"}})
	for _, cookie := range []string{"ory_kratos_session=s; 1a=b", "ory_kratos_session=s1; a=b2", "ory_kratos_session=s1;a=b", "a=b; ory_kratos_session=s1"} {
		s.requireDenied(call{path: "/api/me", headers: []string{"cookie", cookie}}, 401, "unauthenticated")
	}
	s.requireDenied(call{path: "/api/me", headers: []string{"cookie", "ory_kratos_session=s1", "cookie", "a=b"}}, 401, "unauthenticated")
}

func TestGHSA_675f_rq2r_jw82_RemovedKeyIsGoodNoMore(t *testing.T) {
	s := newStack(t)
	token := s.token(nil)
	s.requireAllowed(call{path: "/api/me", headers: bearer(token)})
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s.hydra.publish([]byte(marshal(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: other.Public(), KeyID: "next", Algorithm: "RS256", Use: "sig"}}})))
	s.clock.advance(10 * time.Minute)
	s.requireAllowed(call{path: "/api/me", headers: bearer(s.signed(other, "next", nil))})
	s.requireDenied(call{path: "/api/me", headers: bearer(token)}, 401, "unauthenticated")
}

// --- Envoy ---

// Envoy 1.37.0 obeys append_action, whose zero value appends.
func TestEnvoy_43310_EveryHeaderReplacesTheClients(t *testing.T) {
	s := newStack(t)
	out, err := s.ask(call{path: "/api/me", headers: append(bearer(s.token(nil)), "x-client-id", "forged", "x-scopes", "forged")})
	require.NoError(t, err)
	require.NotEmpty(t, out.GetOkResponse().GetHeaders())
	for _, option := range out.GetOkResponse().GetHeaders() {
		require.Equal(t, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD, option.GetAppendAction())
		require.Nil(t, option.GetAppend()) //nolint:staticcheck // the old field, which must stay unset
	}
	for _, option := range s.denial(call{path: "/api/me"}).GetHeaders() {
		require.Equal(t, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD, option.GetAppendAction())
	}
}

func TestCVE_2023_27487_OriginalPathOfTheClientIsIgnored(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/api/me", headers: []string{"x-envoy-original-path", "/api/public/health", "x-envoy-original-host", "h"}}, 401, "unauthenticated")
}

func TestCVE_2023_27493_NoValueBreaksOutOfItsHeader(t *testing.T) {
	s := newStack(t, withRules(captures))
	for _, email := range []string{"a\r\nX-Client-Id: root", "a\nb", "a\rb", "a\r\n\r\nb"} {
		s.kratos.says(http.StatusOK, strings.ReplaceAll(session, "ann@example", marshalText(t, email)), http.StatusOK)
		passed := s.requireAllowed(call{path: "/api/me", headers: cookie()})
		require.NotContains(t, passed.set, "x-client-id")
		require.Contains(t, passed.remove, "x-client-id")
		require.NotContains(t, passed.set["x-user-email"], "\r")
		require.NotContains(t, passed.set["x-user-email"], "\n")
	}
	s.kratos.says(http.StatusOK, strings.ReplaceAll(session, "ann@example", marshalText(t, "a\x00b")), http.StatusOK)
	s.requireDenied(call{path: "/api/me", headers: cookie()}, 500, "rule_error")
	s.requireDenied(call{path: "/captured/a%0d%0aX-User-Id:%20root"}, 400, "")
}

func TestCVE_2026_73553_MatrixParametersAreRefused(t *testing.T) { // also CVE-2026-73511
	s := newStack(t)
	for _, path := range []string{"/api/public/health;/../me", "/api;x=y/me", "/api/public/..;/me", "/api/me;a=b", "/admin;", "/;/admin"} {
		s.requireDenied(call{path: path}, 400, "")
	}
}

func TestCVE_2026_73547_RequestWithoutAPathIsRefused(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: ""}, 400, "")
	s.requireDenied(call{method: "CONNECT", host: "public.example:443", path: ""}, 400, "")
	for _, in := range []*authv3.CheckRequest{nil, {}, {Attributes: &authv3.AttributeContext{}}, {Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}}} {
		out, err := s.client.Check(t.Context(), in)
		require.Nil(t, out)
		require.Equal(t, codes.Internal, status.Code(err))
	}
}

func TestEncodedLettersHideNoPath(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/%61dmin"}, 400, "")
	s.requireDenied(call{path: "/api/%70ublic/x"}, 400, "invalid_request")
}

func TestOKAndDeniedAreNeverMixed(t *testing.T) {
	s := newStack(t)
	for _, c := range []call{
		{path: "/api/me"}, {path: "/nothing"}, {path: "/admin"}, {path: "/api/twice"}, {path: "//x"}, {path: "/unsupported"}, {path: "/api/public/x"},
	} {
		out, err := s.ask(c)
		require.NoError(t, err)
		if out.GetStatus().GetCode() == 0 {
			require.Nil(t, out.GetDeniedResponse())
			require.NotNil(t, out.GetOkResponse())
		} else {
			require.Nil(t, out.GetOkResponse())
			require.NotNil(t, out.GetDeniedResponse())
		}
	}
	require.Equal(t, engine.Failed, engine.Decision{}.Outcome)
}
