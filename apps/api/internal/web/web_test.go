package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/forward"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/web"
)

const public = "http://localhost:8080"

// operations do what a test says. Those that no test is about do not exist.
type operations struct {
	openapi.StrictServerInterface
	me     func(ctx context.Context) (openapi.GetMeResponseObject, error)
	decide func(openapi.ConsentDecision) (openapi.DecideConsentResponseObject, error)
}

func (o operations) GetMe(ctx context.Context, _ openapi.GetMeRequestObject) (openapi.GetMeResponseObject, error) {
	return o.me(ctx)
}

func (operations) GetConsent(context.Context, openapi.GetConsentRequestObject) (openapi.GetConsentResponseObject, error) {
	return openapi.GetConsent200JSONResponse{}, nil
}

func (o operations) DecideConsent(_ context.Context, r openapi.DecideConsentRequestObject) (openapi.DecideConsentResponseObject, error) {
	return o.decide(*r.Body)
}

func (operations) CreateOrganization(context.Context, openapi.CreateOrganizationRequestObject) (openapi.CreateOrganizationResponseObject, error) {
	return openapi.CreateOrganization201JSONResponse{}, nil
}

func (operations) GetPublicHealth(context.Context, openapi.GetPublicHealthRequestObject) (openapi.GetPublicHealthResponseObject, error) {
	return openapi.GetPublicHealth200JSONResponse{Status: openapi.Ok}, nil
}

type service struct {
	http.Handler
	logs    *bytes.Buffer
	metrics *prometheus.Registry
}

// newService serves callers that are who caller says.
func newService(t *testing.T, o operations, caller func() (principal.Principal, error), change ...func(*web.Settings)) service {
	t.Helper()
	if caller == nil {
		caller = func() (principal.Principal, error) {
			return principal.Principal{Kind: principal.User, Auth: principal.Session}, nil
		}
	}
	nowhere, err := url.Parse("http://127.0.0.1:1")
	require.NoError(t, err)
	var logs bytes.Buffer
	metrics := prometheus.NewRegistry()
	settings := web.Settings{
		Log: slog.New(slog.NewJSONHandler(&logs, nil)), Metrics: metrics, PublicURL: public,
		Document: document.Document, Operations: o,
		Authenticate: func(r *http.Request) (context.Context, error) {
			p, err := caller()
			return principal.With(r.Context(), p), err
		},
		Forwarder: &forward.Forwarder{Kratos: nowhere, Hydra: nowhere, Public: nowhere, Transport: http.DefaultTransport, Refuse: web.Refuse},
	}
	for _, c := range change {
		c(&settings)
	}
	handler, err := web.New(settings)
	require.NoError(t, err)
	return service{handler, &logs, metrics}
}

func (s service) send(t *testing.T, method, target string, body io.Reader, header map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, body)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func requireProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code problem.Code) openapi.Problem {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var body openapi.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	require.Equal(t, string(code), body.Code)
	require.Equal(t, "urn:gatehouse:problem:"+string(code), body.Type)
	require.Equal(t, status, body.Status)
	require.NotEmpty(t, body.Title)
	require.Equal(t, w.Header().Get("X-Request-Id"), *body.RequestId)
	return body
}

func TestProblemHidesItsCauseAndTheLogShowsIt(t *testing.T) {
	s := newService(t, operations{me: func(context.Context) (openapi.GetMeResponseObject, error) {
		return nil, errors.New("pq: secret table")
	}}, nil)

	w := s.send(t, "GET", "/api/me", nil, nil)

	requireProblem(t, w, http.StatusInternalServerError, problem.Internal)
	require.NotContains(t, w.Body.String(), "secret table")
	require.Contains(t, s.logs.String(), "secret table")
}

func TestPanicIsAProblem(t *testing.T) {
	s := newService(t, operations{me: func(context.Context) (openapi.GetMeResponseObject, error) { panic("oh") }}, nil)

	w := s.send(t, "GET", "/api/me", nil, nil)

	requireProblem(t, w, http.StatusInternalServerError, problem.Internal)
	require.NotContains(t, w.Body.String(), "goroutine")
	require.Contains(t, s.logs.String(), "panic: oh")
}

func TestUnknownAddressAndMethodAreProblems(t *testing.T) {
	s := newService(t, operations{}, nil)
	requireProblem(t, s.send(t, "GET", "/api/nothing", nil, nil), http.StatusNotFound, problem.NotFound)
	requireProblem(t, s.send(t, "GET", "/", nil, nil), http.StatusNotFound, problem.NotFound)
	requireProblem(t, s.send(t, "GET", "/api/me/", nil, nil), http.StatusNotFound, problem.NotFound)
	requireProblem(t, s.send(t, "GET", "/oauth2/token", nil, nil), http.StatusNotFound, problem.NotFound)
	requireProblem(t, s.send(t, "GET", "/.ory/self-service/login/browser", nil, nil), http.StatusNotFound, problem.NotFound)
	requireProblem(t, s.send(t, "GET", "/.ory/self-service/logout/browser/x", nil, nil), http.StatusNotFound, problem.NotFound)

	w := s.send(t, "DELETE", "/api/public/health", nil, nil)
	requireProblem(t, w, http.StatusMethodNotAllowed, problem.MethodNotAllowed)
	require.Equal(t, "GET", w.Header().Get("Allow"))
}

func TestWhoIsNobodyReachesOnlyWhatIsOpen(t *testing.T) {
	s := newService(t, operations{}, func() (principal.Principal, error) {
		return principal.Principal{}, problem.New(problem.Unauthenticated, "Sign in.")
	})

	require.Equal(t, http.StatusOK, s.send(t, "GET", "/api/public/health", nil, nil).Code)
	w := s.send(t, "GET", "/api/me", nil, nil)
	requireProblem(t, w, http.StatusUnauthorized, problem.Unauthenticated)
	require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	requireProblem(t, s.send(t, "POST", "/api/oauth2/consent", strings.NewReader("{"), nil), http.StatusUnauthorized, problem.Unauthenticated)
}

func TestUnreachableUpstreamOfAnEndingIsAProblem(t *testing.T) {
	s := newService(t, operations{}, nil)
	requireProblem(t, s.send(t, "GET", "/.ory/self-service/logout/browser", nil, nil), http.StatusServiceUnavailable, problem.Unavailable)
}

func TestRequestIDIsKeptWhenItIsSane(t *testing.T) {
	s := newService(t, operations{}, nil)
	for sent, kept := range map[string]bool{
		"abc-123": true, "": false, "with space": false, "tab\t": false, strings.Repeat("x", 129): false, "é": false,
	} {
		got := s.send(t, "GET", "/api/public/health", nil, map[string]string{"X-Request-Id": sent}).Header().Get("X-Request-Id")
		if kept {
			require.Equal(t, sent, got)
			continue
		}
		id, err := uuid.Parse(got)
		require.NoError(t, err, sent)
		require.Equal(t, uuid.Version(7), id.Version())
	}
}

func TestSameOriginRule(t *testing.T) {
	session := principal.Principal{Kind: principal.User, Auth: principal.Session}
	token := principal.Principal{Kind: principal.User, Auth: principal.OAuth2, ClientID: "c", Scopes: []string{"organizations:write"}}
	none := map[string]string{}
	for name, c := range map[string]struct {
		caller principal.Principal
		header map[string]string
		passes bool
	}{
		"session, neither header":           {session, none, false},
		"session, fetch site same-origin":   {session, map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
		"session, fetch site same-site":     {session, map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		"session, fetch site cross-site":    {session, map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		"session, fetch site none":          {session, map[string]string{"Sec-Fetch-Site": "none"}, false},
		"session, our origin":               {session, map[string]string{"Origin": public}, true},
		"session, our origin in capitals":   {session, map[string]string{"Origin": "HTTP://LOCALHOST:8080"}, true},
		"session, another origin":           {session, map[string]string{"Origin": "http://evil.example"}, false},
		"session, another port":             {session, map[string]string{"Origin": "http://localhost:8081"}, false},
		"session, another scheme":           {session, map[string]string{"Origin": "https://localhost:8080"}, false},
		"session, origin null":              {session, map[string]string{"Origin": "null"}, false},
		"session, our origin as a prefix":   {session, map[string]string{"Origin": public + ".evil.example"}, false},
		"session, our origin as a user":     {session, map[string]string{"Origin": "http://localhost:8080@evil.example"}, false},
		"session, a referer proves nothing": {session, map[string]string{"Referer": public + "/"}, false},
		"token, neither header":             {token, none, true},
		"token, another origin":             {token, map[string]string{"Origin": "http://evil.example"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, operations{}, func() (principal.Principal, error) { return c.caller, nil })
			c.header["Content-Type"] = "application/json"

			w := s.send(t, "POST", "/api/organizations", strings.NewReader(`{"name":"Acme","slug":"acme"}`), c.header)

			if c.passes {
				require.Equal(t, http.StatusCreated, w.Code, w.Body.String())
				return
			}
			requireProblem(t, w, http.StatusForbidden, problem.CrossSite)
		})
	}
}

func TestReadingNeedsNoOrigin(t *testing.T) {
	s := newService(t, operations{}, nil)
	require.Equal(t, http.StatusOK, s.send(t, "GET", "/api/oauth2/consent?consent_challenge=c", nil, nil).Code)
}

func TestRequestsThatDoNotFitNameTheField(t *testing.T) {
	s := newService(t, operations{}, nil)
	header := map[string]string{"Origin": public, "Content-Type": "application/json"}
	for name, c := range map[string]struct{ method, target, body, field string }{
		"missing parameter": {"GET", "/api/oauth2/consent", "", "consent_challenge"},
		"empty parameter":   {"GET", "/api/oauth2/consent?consent_challenge=", "", "consent_challenge"},
		"missing field":     {"POST", "/api/oauth2/consent", `{"consent_challenge":"c","csrf_token":"t"}`, "accept"},
		"wrong type":        {"POST", "/api/oauth2/consent", `{"consent_challenge":"c","csrf_token":"t","accept":"yes"}`, "accept"},
		"wrong inner type":  {"POST", "/api/oauth2/consent", `{"consent_challenge":"c","csrf_token":"t","accept":true,"scopes":["a",1]}`, "scopes.1"},
		"unknown field":     {"POST", "/api/oauth2/consent", `{"consent_challenge":"c","csrf_token":"t","accept":true,"admin":true}`, "body"},
		"no JSON":           {"POST", "/api/oauth2/consent", `{`, "body"},
		"no body":           {"POST", "/api/oauth2/consent", ``, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			w := s.send(t, c.method, c.target, body, header)
			p := requireProblem(t, w, http.StatusBadRequest, problem.InvalidRequest)
			require.NotEmpty(t, p.Errors)
			require.Equal(t, c.field, (*p.Errors)[0].Field, w.Body.String())
			require.NotEmpty(t, (*p.Errors)[0].Reason)
		})
	}
}

func TestParameterSentTwiceIsRefusedWithoutRepeatingIt(t *testing.T) {
	s := newService(t, operations{}, nil)
	w := s.send(t, "GET", "/api/oauth2/consent?consent_challenge=secret-a&consent_challenge=secret-b", nil, nil)
	p := requireProblem(t, w, http.StatusBadRequest, problem.InvalidRequest)
	require.Nil(t, p.Errors)
	require.NotContains(t, w.Body.String()+s.logs.String(), "secret-")
}

func TestOtherContentIsRefused(t *testing.T) {
	s := newService(t, operations{}, nil)
	w := s.send(t, "POST", "/api/oauth2/consent", strings.NewReader("accept=true"),
		map[string]string{"Origin": public, "Content-Type": "application/x-www-form-urlencoded"})
	requireProblem(t, w, http.StatusBadRequest, problem.InvalidRequest)
}

func TestTooLargeABodyIsRefused(t *testing.T) {
	s := newService(t, operations{}, nil)
	body := `{"consent_challenge":"` + strings.Repeat("x", 2<<20) + `"}`
	w := s.send(t, "POST", "/api/oauth2/consent", strings.NewReader(body), map[string]string{"Origin": public, "Content-Type": "application/json"})
	requireProblem(t, w, http.StatusRequestEntityTooLarge, problem.TooLarge)
}

func TestOneLogLinePerRequestWithoutSecrets(t *testing.T) {
	s := newService(t, operations{}, nil)

	s.send(t, "GET", "/api/oauth2/consent?consent_challenge=secret-challenge", nil, map[string]string{
		"Authorization": "Bearer secret-token", "Cookie": "ory_kratos_session=secret-cookie", "X-Request-Id": "r-1",
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	})

	require.Equal(t, 1, strings.Count(s.logs.String(), "\n"))
	require.NotContains(t, s.logs.String(), "secret")
	var line map[string]any
	require.NoError(t, json.Unmarshal(s.logs.Bytes(), &line))
	require.Equal(t, "/api/oauth2/consent", line["route"])
	require.Equal(t, "GET", line["method"])
	require.InDelta(t, 200, line["status"], 0)
	require.Equal(t, "r-1", line["request_id"])
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", line["trace_id"])
	require.Contains(t, line, "duration_ms")
}

func TestMetricsNameTemplatesAndNeverPaths(t *testing.T) {
	s := newService(t, operations{}, nil)
	s.send(t, "GET", "/api/public/health", nil, nil)
	s.send(t, "GET", "/a/path/of/nobody", nil, nil)
	s.send(t, "BREW", "/a/path/of/nobody", nil, nil)

	require.Equal(t, 3, testutil.CollectAndCount(s.metrics, "http_server_request_duration_seconds"))
	families, err := s.metrics.Gather()
	require.NoError(t, err)
	text := families[0].String()
	require.Contains(t, text, "/api/public/health")
	require.Contains(t, text, "unmatched")
	require.NotContains(t, text, "nobody")
	require.NotContains(t, text, "BREW")
}
