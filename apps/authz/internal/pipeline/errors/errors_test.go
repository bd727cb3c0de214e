package errors_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
	respond "gatehouse.internal/authz/internal/pipeline/errors"
)

func handler(t *testing.T, config map[string]any) respond.Handler {
	t.Helper()
	h, err := respond.New("json", config)
	require.NoError(t, err)
	return h
}

func responder(t *testing.T) *respond.Responder {
	t.Helper()
	return &respond.Responder{Fallback: []respond.Handler{handler(t, nil)}, ProblemPrefixes: []string{"/api/"}}
}

func request(path string, header http.Header) *pipeline.Request {
	if header == nil {
		header = http.Header{}
	}
	return &pipeline.Request{ID: "id-1", Path: path, Header: header}
}

func TestProblemJSONUnderThePrefix(t *testing.T) {
	got := responder(t).Respond(request("/api/me", nil), pipeline.Unauthenticated("internal reason"), nil)
	require.Equal(t, http.StatusUnauthorized, got.Status)
	require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"))
	require.Equal(t, "Bearer", got.Header.Get("WWW-Authenticate"))
	require.Equal(t, "no-store", got.Header.Get("Cache-Control"))
	require.JSONEq(t, `{"type":"urn:gatehouse:problem:unauthenticated","title":"Unauthorized","status":401,
		"detail":"The request has no valid credentials.","code":"unauthenticated","request_id":"id-1"}`, got.Body)
}

func TestPrefixIsAWholeSegment(t *testing.T) {
	for path, want := range map[string]string{
		"/api": "application/problem+json", "/api/": "application/problem+json", "/apix": "application/json", "/": "application/json",
	} {
		got := responder(t).Respond(request(path, nil), pipeline.Unauthenticated("internal reason"), nil)
		require.Equal(t, want, got.Header.Get("Content-Type"), path)
	}
}

func TestOathkeepersJSONElsewhere(t *testing.T) {
	got := responder(t).Respond(request("/other", nil), pipeline.Unauthenticated("internal reason"), nil)
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.JSONEq(t, `{"error":{"code":401,"status":"Unauthorized","request":"id-1","message":"The request could not be authorized"}}`, got.Body)

	got = responder(t).Respond(request("/other", nil), pipeline.Forbidden("why"), []respond.Handler{handler(t, map[string]any{"verbose": true})})
	require.JSONEq(t, `{"error":{"code":403,"status":"Forbidden","request":"id-1","reason":"why","message":"The requested action was forbidden"}}`, got.Body)
	require.Empty(t, got.Header.Get("WWW-Authenticate"))
}

func TestStepUpCanBeToldFromOther403s(t *testing.T) {
	denial := &pipeline.Denial{Status: http.StatusForbidden, Code: pipeline.CodeStepUp, Detail: "d"}
	require.Contains(t, responder(t).Respond(request("/other", nil), denial, nil).Body, `"id":"step_up_required"`)
	require.Contains(t, responder(t).Respond(request("/api/x", nil), denial, nil).Body, `"code":"step_up_required"`)
}

func TestGRPCClientsGetAGRPCStatus(t *testing.T) {
	header := http.Header{"Content-Type": {"application/grpc+proto"}}
	for status, want := range map[int]string{400: "3", 401: "16", 403: "7", 404: "12", 429: "8", 500: "13"} {
		got := responder(t).Respond(request("/api/x", header), &pipeline.Denial{Status: status, Detail: "50% off"}, nil)
		require.Equal(t, want, got.Header.Get("Grpc-Status"), status)
		require.Equal(t, "50%25 off", got.Header.Get("Grpc-Message"))
		require.Equal(t, "application/grpc", got.Header.Get("Content-Type"))
		require.Empty(t, got.Body)
		require.Equal(t, status, got.Status)
	}
}

func TestDenialsHeadersAreKept(t *testing.T) {
	denial := pipeline.RateLimited(http.Header{"Retry-After": {"7"}, "Set-Cookie": {"no"}}, "why")
	got := responder(t).Respond(request("/api/x", nil), denial, nil)
	require.Equal(t, "7", got.Header.Get("Retry-After"))
	require.Empty(t, got.Header.Get("Set-Cookie"))
}

func TestHandlerIsChosenByItsConditions(t *testing.T) {
	browser := http.Header{"Accept": {"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}}
	when := func(condition map[string]any) respond.Handler {
		return handler(t, map[string]any{"verbose": true, "when": []any{condition}})
	}
	forbidden := pipeline.Forbidden("why")
	for _, c := range []struct {
		condition map[string]any
		header    http.Header
		want      bool
	}{
		{map[string]any{}, nil, true},
		{map[string]any{"error": []any{"forbidden"}}, nil, true},
		{map[string]any{"error": []any{"unauthorized", "not_found"}}, nil, false},
		{map[string]any{"request": map[string]any{"header": map[string]any{"accept": []any{"text/html"}}}}, browser, true},
		{map[string]any{"request": map[string]any{"header": map[string]any{"accept": []any{"text/*"}}}}, browser, true},
		{map[string]any{"request": map[string]any{"header": map[string]any{"accept": []any{"application/json"}}}}, browser, false},
		{map[string]any{"request": map[string]any{"header": map[string]any{"accept": []any{"text/html"}}}}, http.Header{"Accept": {"*/*"}}, false},
		{map[string]any{"request": map[string]any{"header": map[string]any{"accept": []any{"application/octet-stream"}}}}, nil, true},
		{map[string]any{"request": map[string]any{"header": map[string]any{"content_type": []any{"application/json"}}}},
			http.Header{"Content-Type": {"application/json; charset=utf-8"}}, true},
		{map[string]any{"error": []any{"forbidden"}, "request": map[string]any{"header": map[string]any{"accept": []any{"a/b"}}}}, browser, false},
	} {
		require.Equal(t, c.want, when(c.condition).Responsible(request("/x", c.header), forbidden), "%v", c.condition)
	}
}

func TestTwoResponsibleHandlersAreAnError(t *testing.T) {
	got := responder(t).Respond(request("/x", nil), pipeline.Forbidden("why"), []respond.Handler{handler(t, nil), handler(t, nil)})
	require.Equal(t, http.StatusInternalServerError, got.Status)
}

func TestNoResponsibleHandlerIsAnError(t *testing.T) {
	never := handler(t, map[string]any{"when": []any{map[string]any{"error": []any{"not_found"}}}})
	got := (&respond.Responder{Fallback: []respond.Handler{never}}).Respond(request("/x", nil), pipeline.Forbidden("why"), nil)
	require.Equal(t, http.StatusInternalServerError, got.Status)
}

func TestUnknownHandlersAndConditionsAreRefused(t *testing.T) {
	condition := func(w map[string]any) map[string]any { return map[string]any{"when": []any{w}} }
	remote := func(network string) map[string]any {
		return map[string]any{"request": map[string]any{"remote_ip": map[string]any{"match": []any{network}}}}
	}
	for _, c := range []struct {
		name   string
		config map[string]any
	}{
		{"", nil}, {"xml", nil},
		{"json", condition(remote("10.0.0.0"))},
		{"json", condition(map[string]any{"request": map[string]any{"cidr": []any{"10.0.0.0/8"}}})},
		{"json", condition(map[string]any{"error": []any{"teapot"}})},
		{"www_authenticate", condition(map[string]any{"error": []any{"teapot"}})},
		{"www_authenticate", map[string]any{"realm": "a\nb"}},
		{"redirect", nil},
		{"redirect", map[string]any{"to": "http://h:port"}},
		{"redirect", map[string]any{"to": "/login", "code": 307}},
		{"redirect", map[string]any{"to": "/login", "return_to_query_param": "a&b"}},
		{"redirect", map[string]any{"to": "/login", "when": []any{map[string]any{"error": []any{"teapot"}}}}},
	} {
		_, err := respond.New(c.name, c.config)
		require.Error(t, err, "%v", c)
	}
	_, err := respond.New("xml", nil)
	require.ErrorIs(t, err, pipeline.ErrUnsupported)
}

func build(t *testing.T, name string, config map[string]any) respond.Handler {
	t.Helper()
	h, err := respond.New(name, config)
	require.NoError(t, err)
	return h
}

func TestBrowserIsRedirectedToLogIn(t *testing.T) {
	r := &pipeline.Request{Method: "GET", Scheme: "https", Host: "h:8443", Path: "/a%20b", Query: "x=1&y=%3F"}
	denial := pipeline.Unauthenticated("why")
	for _, c := range []struct {
		config   map[string]any
		status   int
		location string
	}{
		{map[string]any{"to": "https://login/x?a=b"}, 302, "https://login/x?a=b"},
		{map[string]any{"to": "/login", "code": 301}, 301, "/login"},
		{map[string]any{"to": "/login?b=c", "return_to_query_param": "return_to"}, 302,
			"/login?b=c&return_to=https%3A%2F%2Fh%3A8443%2Fa%2520b%3Fx%3D1%26y%3D%253F"},
	} {
		got := responder(t).Respond(r, denial, []respond.Handler{build(t, "redirect", c.config)})
		require.Equal(t, c.status, got.Status)
		require.Equal(t, c.location, got.Header.Get("Location"))
		require.Contains(t, got.Body, "<a href=")
		require.Equal(t, "no-store", got.Header.Get("Cache-Control"), "or a 301 outlives the login")
		require.Empty(t, got.Header.Get("WWW-Authenticate"))
		location, err := url.Parse(got.Header.Get("Location"))
		require.NoError(t, err)
		if back := location.Query().Get("return_to"); back != "" {
			require.Equal(t, "https://h:8443/a%20b?x=1&y=%3F", back, "decoded once it is the address that was asked for")
		}
	}
	r.Method = http.MethodPost
	posted := responder(t).Respond(r, denial, []respond.Handler{build(t, "redirect", map[string]any{"to": "/"})})
	require.Empty(t, posted.Body)
	require.Empty(t, posted.Header.Get("Content-Type"), "as in Oathkeeper")
	r.Method = http.MethodHead
	require.Empty(t, responder(t).Respond(r, denial, []respond.Handler{build(t, "redirect", map[string]any{"to": "/"})}).Body)
}

func TestBrowserIsAskedForAPassword(t *testing.T) {
	got := responder(t).Respond(request("/x", nil), pipeline.Forbidden("why"), []respond.Handler{build(t, "www_authenticate", nil)})
	require.Equal(t, http.StatusUnauthorized, got.Status)
	require.Equal(t, "Unauthorized\n", got.Body)
	require.Equal(t, "Basic realm=Please authenticate.", got.Header.Get("WWW-Authenticate"))
	require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
}

func TestRemoteAddressIsTheProxysWord(t *testing.T) {
	h := handler(t, map[string]any{"when": []any{map[string]any{"request": map[string]any{"remote_ip": map[string]any{
		"match": []any{"10.0.0.0/8", "2001:db8::/32"}, "respect_forwarded_for_header": true,
	}}}}})
	for address, want := range map[string]bool{"10.1.2.3": true, "11.1.2.3": false, "2001:db8::1": true, "": false} {
		r := request("/x", http.Header{"X-Forwarded-For": {"10.0.0.1"}})
		r.RemoteIP, _ = netip.ParseAddr(address)
		require.Equal(t, want, h.Responsible(r, pipeline.Forbidden("why")), address)
	}
}

func TestFirstResponsibleFallbackAnswers(t *testing.T) {
	unauthorized := map[string]any{"to": "/login", "when": []any{map[string]any{"error": []any{"unauthorized"}}}}
	r := &respond.Responder{Fallback: []respond.Handler{build(t, "redirect", unauthorized), handler(t, nil), build(t, "www_authenticate", nil)}}
	require.Equal(t, 302, r.Respond(request("/x", nil), pipeline.Unauthenticated("why"), nil).Status)
	require.Equal(t, 403, r.Respond(request("/x", nil), pipeline.Forbidden("why"), nil).Status)
}
