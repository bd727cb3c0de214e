package gateways

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
)

func route(path string, flow openapi.FlowType, methods ...openapi.RouteMethods) openapi.Route {
	return openapi.Route{Path: path, FlowType: flow, Methods: methods}
}

const (
	get  = openapi.RouteMethods("GET")
	post = openapi.RouteMethods("POST")
)

func TestVerify(t *testing.T) {
	scopes := []string{"read"}
	trusted := func(uri string) openapi.Route {
		r := route("/a", openapi.FlowTypeJwtAuth, get)
		require.NoError(t, json.Unmarshal([]byte(`{"issuer":"https://issuer","audiences":["us"],"jwks_uri":"`+uri+`"}`), &r.Jwt))
		return r
	}
	withScopes := route("/a", openapi.FlowTypePublic, get)
	withScopes.Scopes = &scopes
	strayJWT := trusted("https://issuer/jwks")
	strayJWT.FlowType = openapi.FlowTypeApiKey
	for name, c := range map[string]struct {
		routes []openapi.Route
		field  string // "" is fine
	}{
		"nothing":                        {nil, ""},
		"everything below":               {[]openapi.Route{route("/a/**", openapi.FlowTypePublic, get)}, ""},
		"the root":                       {[]openapi.Route{route("/", openapi.FlowTypePublic, get)}, ""},
		"one segment":                    {[]openapi.Route{route("/a/*/b", openapi.FlowTypePublic, get)}, ""},
		"a path twice by other methods":  {[]openapi.Route{route("/a", openapi.FlowTypePublic, get), route("/a", openapi.FlowTypeApiKey, post)}, ""},
		"jwt with its issuer":            {[]openapi.Route{trusted("https://issuer/jwks")}, ""},
		"a method twice":                 {[]openapi.Route{route("/a", openapi.FlowTypePublic, get), route("/a", openapi.FlowTypeApiKey, get)}, "config.routes.1.methods"},
		"dot segments":                   {[]openapi.Route{route("/a/../b", openapi.FlowTypePublic, get)}, "config.routes.0.path"},
		"an empty segment":               {[]openapi.Route{route("/a//b", openapi.FlowTypePublic, get)}, "config.routes.0.path"},
		"a trailing slash":               {[]openapi.Route{route("/a/", openapi.FlowTypePublic, get)}, "config.routes.0.path"},
		"an encoded slash":               {[]openapi.Route{route("/a%2fb", openapi.FlowTypePublic, get)}, "config.routes.0.path"},
		"a query":                        {[]openapi.Route{route("/a?b", openapi.FlowTypePublic, get)}, "config.routes.0.path"},
		"a backslash":                    {[]openapi.Route{route(`/a\b`, openapi.FlowTypePublic, get)}, "config.routes.0.path"},
		"** in the middle":               {[]openapi.Route{route("/**/a", openapi.FlowTypePublic, get)}, "config.routes.0.path"},
		"* in a segment":                 {[]openapi.Route{route("/a*", openapi.FlowTypePublic, get)}, "config.routes.0.path"},
		"scopes of a public route":       {[]openapi.Route{withScopes}, "config.routes.0.scopes"},
		"jwt without an issuer":          {[]openapi.Route{route("/a", openapi.FlowTypeJwtAuth, get)}, "config.routes.0.jwt"},
		"an issuer without jwt":          {[]openapi.Route{strayJWT}, "config.routes.0.jwt"},
		"keys that anybody could change": {[]openapi.Route{trusted("http://issuer/jwks")}, "config.routes.0.jwt.jwks_uri"},
		"keys with a password":           {[]openapi.Route{trusted("https://u:p@issuer/jwks")}, "config.routes.0.jwt.jwks_uri"},
	} {
		t.Run(name, func(t *testing.T) {
			err := verify(openapi.GatewayConfig{Routes: c.routes})
			if c.field == "" {
				require.NoError(t, err)
				return
			}
			p := problem.From(err)
			require.Equal(t, problem.Unprocessable, p.Code)
			require.Equal(t, c.field, p.Fields[0].Name)
		})
	}
}

func TestDiff(t *testing.T) {
	scopes, reordered := []string{"a", "b"}, []string{"b", "a"}
	kept := route("/kept", openapi.FlowTypeApiKey, get, post)
	kept.Scopes = &scopes
	same := route("/kept", openapi.FlowTypeApiKey, post, get)
	same.Scopes = &reordered
	gone, added := route("/gone", openapi.FlowTypePublic, get), route("/new", openapi.FlowTypePublic, get)
	before, after := route("/changed", openapi.FlowTypePublic, get), route("/changed", openapi.FlowTypeApiKey, get)

	out := diff(
		openapi.GatewayConfig{Routes: []openapi.Route{kept, gone, before}},
		openapi.GatewayConfig{Routes: []openapi.Route{added, same, after}},
	)

	require.Equal(t, []openapi.Route{added}, out.Added)
	require.Equal(t, []openapi.Route{gone}, out.Removed)
	require.Len(t, out.Changed, 1)
	require.Equal(t, before, out.Changed[0].Before)
	require.Equal(t, after, out.Changed[0].After)
}

func TestUsableUpstreams(t *testing.T) {
	for upstream, fine := range map[string]bool{
		"https://backend.example": true, "http://backend:8080/v1": true, "http://10.1.2.3": true, "http://[fd00::1]:80": true,
		"": false, "backend": false, "ftp://backend": false, "//backend": false, "http://": false, "http://:80": false,
		"http://u:p@backend": false, "http://backend?x": false, "http://backend?": false, "http://backend#x": false,
		"http://localhost": false, "http://LOCALHOST:1": false, "http://a.localhost": false, "http://127.0.0.1": false, "http://[::1]": false,
		"http://[::ffff:127.0.0.1]": false, "http://0.0.0.0": false, "http://169.254.169.254": false, "http://224.0.0.1": false,
	} {
		require.Equal(t, fine, usable(upstream) == nil, upstream)
	}
}
