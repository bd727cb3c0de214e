//go:build differential

package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

const (
	rulesPerBatch    = 40
	requestsPerBatch = 400
)

// generator makes batches. The same seed makes the same ones.
type generator struct {
	*rand.Rand
	jwts  []string
	kinds []string // of tokens that the rule at hand is likely to take
}

func newGenerator(seed, batch uint64, c *credentials) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, batch)), jwts: c.names()}
}

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

// some picks up to n of the list, at least min.
func some[T any](g *generator, least, most int, list ...T) []T {
	out := []T{}
	for _, i := range g.Perm(len(list))[:min(len(list), least+g.IntN(most-least+1))] {
		out = append(out, list[i])
	}
	return out
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

type object = map[string]any

func (g *generator) batch() batch {
	glob := g.chance(15)
	b := batch{Config: g.config(glob)}
	shapes := regexps
	if glob {
		shapes = globs
	}
	var made []shape
	for i := range rulesPerBatch {
		s := pick(g, shapes...)
		b.Rules = append(b.Rules, g.rule(fmt.Sprintf("r%d", i), s))
		made = append(made, s)
	}
	if g.chance(50) { // two rules for the same requests
		twin := b.Rules[0]
		twin.ID = "twin"
		b.Rules = append(b.Rules, twin)
	}
	for range requestsPerBatch {
		i := g.IntN(rulesPerBatch)
		b.Requests = append(b.Requests, g.request(b.Rules[i], made[i]))
	}
	return b
}

// shape is a match.url, in which # is the rule's own path, with requests that it may or may not match. The first
// scheme, host and path do.
type shape struct {
	url     string
	schemes []string
	hosts   []string
	paths   []string
}

var (
	schemes = []string{"http", "https"}
	hosts   = []string{"example.com", "api.example.com:8080", "example.com:80", "EXAMPLE.com", "[::1]:8080", "127.0.0.1"}
)

var regexps = []shape{
	{"<https?>://<[^/]+>/#/<.*>", schemes, hosts, []string{"/#/a/b", "/#/", "/#", "/#x/a", "/#/a%20b", "/#/caf%C3%A9"}},
	{"<https?://[^/]+>/#<(/.*)?>", schemes, hosts, []string{"/#/a/", "/#", "/#/", "/#a", "/#/a/b/c.html"}},
	{"http://example.com/#/<[a-z]+>/<\\d*>", schemes, hosts, []string{"/#/abc/12", "/#/abc/", "/#/ABC/1", "/#/abc/1/2"}},
	{"<https?>://<(api\\.)?example\\.com(:\\d+)?>/#/<(a(b)?)+c*>", schemes, hosts, []string{"/#/abac", "/#/aab", "/#/b", "/#/acc"}},
	{"http<s?>://Example.com/#/Path", schemes, hosts, []string{"/#/Path", "/#/path"}},
	{"<https?>://<[^/]+>/#/<(?!admin).*>", schemes, hosts, []string{"/#/user", "/#/admin", "/#/administrator", "/#/x/admin"}},
	{"<https?>://<[^/]+>/#/<(?P<name>[^/]+)>/<(\\w)\\w*>", schemes, hosts, []string{"/#/ann/bcd", "/#/a-b/c", "/#/c"}},
	{"<.*>://<.*>/#/<(?i)yes>", schemes, hosts, []string{"/#/YES", "/#/yes", "/#/no"}},
	{"https://[::1]:8080/#/x+y.z", []string{"https", "http"}, []string{"[::1]:8080", "example.com"}, []string{"/#/x+y.z", "/#/xxyaz", "/#/x%2By.z"}},
}

var globs = []shape{
	{"<{http,https}>://<**>/#/<**>", schemes, hosts, []string{"/#/a", "/#/a/b.c"}},
	{"http://example.com/#/<*>", schemes, hosts, []string{"/#/a", "/#/a/b", "/#/a.b", "/#/"}},
	{"<{http,https}>://<**>/#/<?>x", schemes, hosts, []string{"/#/ax", "/#/abx", "/#/x"}},
	{"http<*>://<{example.com,api.example.com:8080}>/#/<[a-c]><[!a-c]>", schemes, hosts, []string{"/#/ad", "/#/aa", "/#/da"}},
	{"http://example.com/#/<{a,b*}>/z", schemes, hosts, []string{"/#/a/z", "/#/bcd/z", "/#/b/c/z"}},
}

// mostly picks the first, or else any.
func mostly[T any](g *generator, percent int, list []T) T {
	if g.chance(percent) {
		return list[0]
	}
	return pick(g, list...)
}

// tricks are paths that two servers may read in two ways.
var tricks = []string{"/#/../admin", "/#/%2e%2e/admin", "/#//x", "/#/./x", "/#/a%2Fb", "/#/a%5Cb", `/#/a\b`, "/#/a;b=c", "/#/%61", "/#/%zz", "/#/%", "/#/a%00b", "/#/x#f", "/#/%c0%ae", "/#/é"}

var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PURGE"}

func (g *generator) rule(id string, s shape) rule {
	r := rule{
		ID:             id,
		Match:          match{URL: strings.ReplaceAll(s.url, "#", id), Methods: some(g, 2, 5, methods...)},
		Authenticators: g.authenticators(),
		Authorizer:     g.authorizer(),
		Mutators:       g.mutators(),
	}
	if g.chance(10) {
		r.Match.Methods[0] = strings.ToLower(r.Match.Methods[0])
	}
	if g.chance(40) {
		r.Errors = g.errors()
	}
	if g.chance(2) {
		r.Mutators = nil
	}
	return r
}

// Handlers of the global configuration. Rules lay their own over these.
func (g *generator) config(glob bool) object {
	strategy := "regexp"
	if glob {
		strategy = "glob"
	}
	on := func(config object) object { return object{"enabled": true, "config": config} }
	config := object{
		"access_rules": object{"matching_strategy": strategy},
		"authenticators": object{
			"noop": object{"enabled": true}, "unauthorized": object{"enabled": true}, "anonymous": on(object{"subject": pick(g, "anonymous", "guest", "")}),
			"cookie_session":       on(object{"check_session_url": "@UPSTREAM@/whoami?fixed=1", "only": []string{"session"}, "additional_headers": object{"X-Added": "global"}}),
			"bearer_token":         on(object{"check_session_url": "@UPSTREAM@/whoami?fixed=1"}),
			"jwt":                  on(object{"jwks_urls": []string{"@UPSTREAM@/keys.json"}, "scope_strategy": pick(g, "none", "exact")}),
			"oauth2_introspection": on(object{"introspection_url": "@UPSTREAM@/introspect"}),
		},
		"authorizers": object{
			"allow": object{"enabled": true}, "deny": object{"enabled": true},
			"remote":      on(object{"remote": "@UPSTREAM@/remote", "headers": object{"X-Subject": "{{ print .Subject }}"}}),
			"remote_json": on(object{"remote": "@UPSTREAM@/remote_json", "payload": `{"subject":"{{ print .Subject }}"}`}),
		},
		"mutators": object{
			"noop": object{"enabled": true}, "header": on(object{"headers": pick(g, object{"X-User": "{{ print .Subject }}"}, object{}, object{}, object{})}),
			"cookie":   on(object{"cookies": object{"user": "{{ print .Subject }}"}}),
			"id_token": on(object{"issuer_url": "https://door", "jwks_url": "file://@KEYS@/id_token.jwks.json", "ttl": pick(g, "60s", "1h")}),
			"hydrator": on(object{"api": object{"url": "@UPSTREAM@/hydrate"}}),
		},
		"errors": object{
			"fallback": pick(g, []string{"json"}, []string{"json"}, []string{"redirect", "json"}, []string{"www_authenticate"}),
			"handlers": object{
				"json":             on(object{"verbose": g.chance(20)}),
				"redirect":         on(object{"to": "https://login/start", "when": []object{{"error": []string{"unauthorized"}, "request": object{"header": object{"accept": []string{"text/html"}}}}}}),
				"www_authenticate": on(object{"realm": "the door"}),
			},
		},
	}
	if g.chance(8) {
		section := config[pick(g, "authenticators", "authorizers", "mutators")].(object)
		section[pick(g, slices.Sorted(maps.Keys(section))...)] = object{"enabled": false}
	}
	return config
}

func (g *generator) authenticators() []handler {
	if g.chance(1) {
		return nil
	}
	var out []handler
	for _, name := range some(g, 1, 3, "noop", "unauthorized", "anonymous", "cookie_session", "cookie_session", "bearer_token", "jwt", "jwt", "oauth2_introspection", "oauth2_introspection") {
		h := handler{Handler: name, Config: object{}}
		switch name {
		case "anonymous":
			g.maybe(h, 50, "subject", pick[any](g, "nobody", "", "zoë"))
		case "cookie_session", "bearer_token":
			g.sessionStore(h)
		case "jwt":
			g.maybe(h, 30, "allowed_algorithms", some(g, 1, 3, "RS256", "ES256", "PS256", "RS512"))
			g.maybe(h, 30, "target_audience", some(g, 1, 2, "api", "other"))
			g.maybe(h, 30, "trusted_issuers", some(g, 1, 2, "https://issuer", "https://else"))
			g.scopes(h)
			g.tokenFrom(h)
		case "oauth2_introspection":
			g.maybe(h, 30, "target_audience", some(g, 1, 2, "api", "other"))
			g.maybe(h, 30, "trusted_issuers", some(g, 1, 2, "https://issuer", "https://else"))
			g.maybe(h, 15, "prefix", "tok-")
			g.scopes(h)
			g.tokenFrom(h)
		}
		out = append(out, h)
	}
	return out
}

// maybe sets a key of the rule's own configuration.
func (g *generator) maybe(h handler, percent int, key string, value any) {
	if g.chance(percent) {
		h.Config[key] = value
	}
}

func (g *generator) sessionStore(h handler) {
	g.maybe(h, 70, "preserve_path", true)
	g.maybe(h, 20, "preserve_query", g.chance(50))
	g.maybe(h, 20, "preserve_host", true)
	g.maybe(h, 50, "force_method", pick(g, "GET", "POST"))
	g.maybe(h, 30, "forward_http_headers", some(g, 1, 2, "X-Tenant", "accept"))
	g.maybe(h, 30, "additional_headers", object{pick(g, "X-Added", "x-tenant", "Cookie"): "rule"})
	g.maybe(h, 60, "extra_from", pick(g, "@this", "identity", "extra.missing", "subject"))
	g.maybe(h, 40, "subject_from", pick(g, "identity.id", "subject", "missing", "identity.traits.email"))
	if h.Handler == "cookie_session" {
		g.maybe(h, 30, "only", some(g, 0, 2, "session", "other", "absent"))
	} else {
		g.maybe(h, 50, "prefix", "key-")
		g.tokenFrom(h)
	}
}

func (g *generator) scopes(h handler) {
	if g.chance(35) {
		h.Config["scope_strategy"] = pick(g, "exact", "hierarchic", "wildcard", "none")
		h.Config["required_scope"] = some(g, 0, 2, "read", "photos.write", "photos.read", "admin")
	}
}

func (g *generator) tokenFrom(h handler) {
	g.maybe(h, 25, "token_from", pick(g,
		object{"header": "X-Token"}, object{"header": "Authorization"}, object{"header": "authorization"}, object{"query_parameter": "token"}, object{"cookie": "token"}))
}

func (g *generator) authorizer() handler {
	h := handler{Handler: pick(g, "allow", "allow", "allow", "allow", "deny", "remote", "remote_json"), Config: object{}}
	switch h.Handler {
	case "remote":
		g.maybe(h, 50, "headers", object{"X-Ask": `{{ .MatchContext.Header.Get "X-Ask" }}`, "X-Empty": ""})
		g.maybe(h, 50, "forward_response_headers_to_upstream", some(g, 1, 3, "X-Remote-Subject", "x-remote-type", "X-Remote-Absent", "X-Remote-Method"))
	case "remote_json":
		g.maybe(h, 70, "payload", pick(g, `{"ask":"{{ .MatchContext.Header.Get "X-Ask" }}"}`, `{"path":{{ .MatchContext.URL.Path | toJson }}}`, `not JSON`, `{"n":{{ .Extra.a.b }}}`))
		g.maybe(h, 50, "forward_response_headers_to_upstream", []string{"X-Remote-Body"})
	}
	return h
}

var templates = []string{
	"{{ .Subject }}", "{{ print .Subject }}", "{{ .Extra.missing }}", "{{ print .Extra.missing }}", "{{ .Extra.a.b }}", "{{ print .Extra.path }} {{ print .Extra.query }}",
	"{{ printIndex .MatchContext.RegexpCaptureGroups 0 }}", "{{ printIndex .MatchContext.RegexpCaptureGroups 2 }}", "{{ index .MatchContext.RegexpCaptureGroups 9 }}",
	"{{ range .MatchContext.RegexpCaptureGroups }}[{{ . }}]{{ end }}", "{{ len .MatchContext.RegexpCaptureGroups }}", "{{ .MatchContext.Method }}", "{{ .MatchContext.URL }}",
	"{{ .MatchContext.URL.Path }}", "{{ .MatchContext.URL.RawQuery }}", "{{ .MatchContext.URL.Host }}", "{{ .MatchContext.URL.Scheme }}", "{{ .MatchContext.URL.Query.Get \"a\" }}",
	`{{ .MatchContext.Header.Get "X-Tenant" }}`, `{{ index .MatchContext.Header "X-Tenant" }}`, "{{ .Extra | toJson }}", "{{ .Extra.scp }}", `{{ join " " .Extra.scp }}`,
	"{{ .Extra.scope }}", "{{ .Extra.aud }}", "{{ .Extra.exp }}", "{{ .Extra.n }}", "{{ .Extra.extra }}", "{{ upper .Subject | trunc 5 }}", `{{ env "GATEHOUSE_DIFFERENTIAL" }}`,
	"  padded  ", "", "zoë", "two\nlines", "{{ if .Extra }}extra{{ else }}none{{ end }}", `{{ default "none" .Subject | b64enc }}`, "{{ .Subject", "{{ nothing }}",
}

func (g *generator) mutators() []handler {
	var out []handler
	for _, name := range some(g, 1, 3, "noop", "header", "header", "cookie", "id_token", "hydrator") {
		h := handler{Handler: name, Config: object{}}
		switch name {
		case "header":
			headers := object{}
			for _, name := range some(g, 1, 3, "X-User", "X-Info", "x-lower", "X-Tenant", "Authorization", "X-Under_score") {
				headers[name] = pick(g, templates...)
			}
			g.maybe(h, 90, "headers", headers)
		case "cookie":
			g.maybe(h, 70, "cookies", object{pick(g, "user", "session", "new"): pick(g, templates...)})
		case "id_token":
			g.maybe(h, 50, "claims", pick(g, `{"aud":["up"],"sub":"over","role":{{ print .Extra.role | toJson }}}`, `{"user":"{{ print .Subject }}"}`,
				`{"n":{{ .Extra.exp }},"exp":1,"big":12345678901234567890}`, `not JSON`, `["list"]`, `{"a":1,"a":2}`, `{"extra":{{ .Extra | toJson }}}`))
			g.maybe(h, 20, "ttl", pick(g, "30s", "2h"))
			g.maybe(h, 20, "issuer_url", "https://rule/")
		case "hydrator":
			api := object{"url": "@UPSTREAM@/hydrate"}
			if g.chance(40) {
				api["auth"] = object{"basic": object{"username": "door", "password": "secret"}}
			}
			g.maybe(h, 50, "api", api)
		}
		out = append(out, h)
	}
	return out
}

func (g *generator) errors() []handler {
	var out []handler
	for _, name := range some(g, 1, 2, "json", "redirect", "www_authenticate") {
		h := handler{Handler: name, Config: object{}}
		switch name {
		case "json":
			g.maybe(h, 20, "verbose", true)
		case "redirect":
			h.Config["to"] = pick(g, "https://login/start", "https://login/start?a=1", "/relative")
			g.maybe(h, 30, "code", pick(g, 301, 302))
			g.maybe(h, 50, "return_to_query_param", "return_to")
		case "www_authenticate":
			g.maybe(h, 50, "realm", pick(g, "a realm", `quo"te`))
		}
		g.maybe(h, 70, "when", g.whens())
		out = append(out, h)
	}
	return out
}

func (g *generator) whens() []object {
	var out []object
	for range 1 + g.IntN(2) {
		when := object{}
		if g.chance(70) {
			when["error"] = some(g, 1, 2, "unauthorized", "forbidden", "internal_server_error", "not_found")
		}
		request, header := object{}, object{}
		if g.chance(40) {
			header["accept"] = some(g, 1, 2, "text/html", "application/json", "text/*", "*/*")
		}
		if g.chance(20) {
			header["content_type"] = some(g, 1, 2, "application/json", "application/octet-stream", "application/*")
		}
		if len(header) > 0 {
			request["header"] = header
		}
		if g.chance(3) {
			request["remote_ip"] = object{"match": []string{pick(g, "127.0.0.0/8", "10.0.0.0/8", "::1/128")}}
		}
		if g.chance(2) {
			request["cidr"] = []string{"10.0.0.0/8"}
		}
		if len(request) > 0 {
			when["request"] = request
		}
		out = append(out, when)
	}
	return out
}

func (g *generator) request(made rule, s shape) request {
	g.kinds = nil
	for _, a := range made.Authenticators {
		if slices.Contains([]string{"jwt", "oauth2_introspection", "bearer_token"}, a.Handler) {
			g.kinds = append(g.kinds, a.Handler)
		}
	}
	path := mostly(g, 50, s.paths)
	if g.chance(5) {
		path = pick(g, tricks...)
	}
	r := request{
		Method: pick(g, made.Match.Methods...),
		Scheme: mostly(g, 60, s.schemes),
		Host:   mostly(g, 70, s.hosts),
		Path:   strings.ReplaceAll(path, "#", made.ID),
	}
	r.Method = strings.ToUpper(r.Method)
	if g.chance(5) {
		r.Method = pick(g, methods...)
	}
	if g.chance(30) {
		r.Query = pick(g, "a=1", "a=1&a=2&b", "a=%C3%A9+x", "a=%zz", "a=1;b=2", "token="+g.token(), "token="+g.token(), "token=", "return=https://x/?y=z")
	}
	r.Headers = g.headers()
	return r
}

func (g *generator) headers() [][2]string {
	var out [][2]string
	add := func(percent int, name string, value func() string) {
		if g.chance(percent) {
			out = append(out, [2]string{name, value()})
		}
	}
	fixed := func(values ...string) func() string { return func() string { return pick(g, values...) } }
	add(60, "Authorization", g.authorization)
	add(2, "Authorization", g.authorization)
	add(45, "Cookie", g.cookies)
	add(4, "Cookie", g.cookies)
	add(8, "X-Token", g.token)
	add(40, "Accept", fixed("*/*", "text/html", "application/json", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/*", "Application/JSON; charset=utf-8", "", "nonsense"))
	add(20, "Content-Type", fixed("application/json", "application/json; charset=utf-8", "text/plain", "nonsense;;", "application/grpc"))
	add(20, "X-Tenant", fixed("t-1", "", "zoë 日本", "@long:8000@", "a, b", `quo"te\`, "{{ .Subject }}", "<script>"))
	add(5, "x-tenant", fixed("t-2"))
	add(15, "X-User", fixed("root", ""))
	add(3, "X_User", fixed("root"))
	add(2, "Connection", fixed("x-user", "keep-alive, X-User"))
	add(15, "X-Ask", fixed("verdict-204", "verdict-401", "verdict-403", "verdict-404", "nothing"))
	add(15, "X-Hydrate", fixed("401", "403", "404", "other-subject", "text"))
	add(3, "X-Forwarded-For", fixed("10.0.0.1", "127.0.0.1, 10.0.0.1"))
	return out
}

func (g *generator) token() string {
	kinds := []string{"jwt", "oauth2_introspection", "bearer_token"}
	if len(g.kinds) > 0 && g.chance(80) {
		kinds = g.kinds
	}
	switch pick(g, kinds...) {
	case "oauth2_introspection":
		return "tok-" + g.variant(introspections)
	case "bearer_token":
		return "key-" + g.variant(sessions)
	default:
		if g.chance(50) {
			return "@jwt:ok@"
		}
		return "@jwt:" + pick(g, g.jwts...) + "@"
	}
}

// variant is "ok" often enough that what follows authentication is tried too.
func (g *generator) variant(answers map[string]string) string {
	if g.chance(65) {
		return "ok"
	}
	return pick(g, slices.Concat(slices.Sorted(maps.Keys(answers)), slices.Sorted(maps.Keys(statuses)))...)
}

func (g *generator) authorization() string {
	if g.chance(85) {
		return "Bearer " + g.token()
	}
	return pick(g, "", "Bearer", "Bearer ", "bearer "+g.token(), "BEARER "+g.token(), "Bearer  "+g.token(), "Basic dTpw", "Token "+g.token(), g.token(), "Bearer a.b.c", "Bearer a,b", "Bearer ..", "Bearer "+g.token()+" x")
}

func (g *generator) cookies() string {
	session := "session=" + g.variant(sessions)
	if g.chance(60) {
		return session
	}
	return pick(g, "other=1", "", "a", "=b", "other=1; "+session, session+"; session=ok", `session="ok"`, "session=", "token="+g.token(), "Session=ok", "other=1;"+session, "zoë=1", "other=@long:3000@; "+session, "user=root; "+session)
}
