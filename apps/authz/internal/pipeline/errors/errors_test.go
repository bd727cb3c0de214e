package errors_test

import (
	"net/http"
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

func TestUnsupportedHandlersAndConditionsAreRefused(t *testing.T) {
	for name, config := range map[string]map[string]any{
		"redirect": nil, "www_authenticate": nil, "": nil,
		"json": {"when": []any{map[string]any{"request": map[string]any{"remote_ip": map[string]any{"match": []any{"10.0.0.0/8"}}}}}},
	} {
		_, err := respond.New(name, config)
		require.Error(t, err, name)
	}
}
