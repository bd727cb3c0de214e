package authz_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authz"
	"gatehouse.internal/authz/internal/upstream"
)

func TestAllowAllowsAndDenyDenies(t *testing.T) {
	allow, err := authz.New("allow", nil, authz.Deps{})
	require.NoError(t, err)
	require.NoError(t, allow.Authorize(t.Context(), &pipeline.Request{}, &pipeline.Session{}))

	deny, err := authz.New("deny", nil, authz.Deps{})
	require.NoError(t, err)
	var denial *pipeline.Denial
	require.ErrorAs(t, deny.Authorize(t.Context(), &pipeline.Request{}, &pipeline.Session{}), &denial)
	require.Equal(t, http.StatusForbidden, denial.Status)
}

func TestOtherAuthorizersAreUnsupported(t *testing.T) {
	for _, name := range []string{"", "keto_engine_acp_ory"} {
		_, err := authz.New(name, nil, authz.Deps{})
		require.ErrorIs(t, err, pipeline.ErrUnsupported, name)
	}
}

// authority is the server that is asked.
type authority struct {
	*httptest.Server
	status, ready int
	header        http.Header
	seen          http.Header
	body          string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{status: http.StatusOK, ready: http.StatusOK}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			w.WriteHeader(a.ready)
			return
		}
		body, _ := io.ReadAll(r.Body)
		a.seen, a.body = r.Header, string(body)
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.status)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) build(t *testing.T, name string, config map[string]any) (authz.Authorizer, []string) {
	t.Helper()
	origin, err := url.Parse(a.URL)
	require.NoError(t, err)
	var warnings []string
	config["remote"] = a.URL + "/check"
	built, err := authz.New(name, config, authz.Deps{
		Upstream: upstream.New(upstream.Options{
			Timeout: 5 * time.Second, MaxConnections: 2, Readiness: map[string]string{upstream.Origin(origin): a.URL + "/ready"},
		}),
		Warn: func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) },
	})
	require.NoError(t, err)
	return built, warnings
}

func ask(t *testing.T, a authz.Authorizer, r *pipeline.Request, subject string) (*pipeline.Session, error) {
	t.Helper()
	s := pipeline.NewSession(r, []string{"a-1"})
	s.Subject = subject
	return s, a.Authorize(t.Context(), r, s)
}

func request() *pipeline.Request {
	return &pipeline.Request{Method: "PUT", Body: []byte("the body"), Header: http.Header{
		"Content-Type": {"text/plain"}, "Authorization": {"Bearer t"}, "Cookie": {"secret=1"},
	}}
}

func TestRemoteSendsTheBodyAndItsOwnHeaders(t *testing.T) {
	server := newAuthority(t)
	a, _ := server.build(t, "remote", map[string]any{"headers": map[string]any{
		"X-Subject": "{{ print .Subject }}", "X-Empty": "{{ print .Extra.nothing }}", "X-Article": "{{ index .MatchContext.RegexpCaptureGroups 0 }}",
	}})
	_, err := ask(t, a, request(), "ann")
	require.NoError(t, err)
	require.Equal(t, "the body", server.body)
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "Authorization": "Bearer t", "X-Subject": "ann", "X-Article": "a-1", "Cookie": "",
	} {
		require.Equal(t, want, server.seen.Get(name), name)
	}
	require.NotContains(t, server.seen, "X-Empty")
}

func TestRemoteJSONSendsThePayload(t *testing.T) {
	server := newAuthority(t)
	payload := `{"subject_id":{{ .Subject | toJson }},"object":{{ index .MatchContext.RegexpCaptureGroups 0 | toJson }}}`
	a, warnings := server.build(t, "remote_json", map[string]any{"payload": payload, "retry": map[string]any{"max_delay": "1s"}})
	require.Empty(t, warnings)
	_, err := ask(t, a, request(), `ann","object":"other`)
	require.NoError(t, err)
	require.Equal(t, "application/json", server.seen.Get("Content-Type"))
	require.JSONEq(t, `{"subject_id":"ann\",\"object\":\"other","object":"a-1"}`, server.body)
}

func TestSubjectCannotChangeTheQuestion(t *testing.T) {
	server := newAuthority(t)
	a, warnings := server.build(t, "remote_json", map[string]any{"payload": `{"object":"a","sub":{"id":"{{ .Subject }}"}}`})
	require.Len(t, warnings, 1)
	for _, subject := range []string{`x","id":"root`, `x","ID":"root`, `x"}} {"a":1`, `x"`} {
		_, err := ask(t, a, request(), subject)
		var denial *pipeline.Denial
		require.ErrorAs(t, err, &denial, subject)
		require.Equal(t, pipeline.CodeRuleError, denial.Code)
		require.Empty(t, server.body, "nobody is asked")
	}
}

func TestAnswersOfTheRemote(t *testing.T) {
	server := newAuthority(t)
	a, _ := server.build(t, "remote", map[string]any{"forward_response_headers_to_upstream": []any{"X-Role", "X-Absent"}})

	server.header = http.Header{"X-Role": {"admin"}, "X-Other": {"1"}, "Retry-After": {"9"}}
	s, err := ask(t, a, request(), "ann")
	require.NoError(t, err)
	require.Equal(t, http.Header{"X-Role": {"admin"}, "X-Absent": {""}}, s.Header)

	for status, code := range map[int]string{403: pipeline.CodeForbidden, 429: pipeline.CodeRateLimited} {
		server.status = status
		s, err = ask(t, a, request(), "ann")
		var denial *pipeline.Denial
		require.ErrorAs(t, err, &denial)
		require.Equal(t, code, denial.Code)
		require.Empty(t, s.Header)
		require.Equal(t, status == 429, denial.Header.Get("Retry-After") == "9")
	}

	for _, server.status = range []int{201, 302, 400, 401, 404, 500, 503} {
		_, err = ask(t, a, request(), "ann")
		require.Error(t, err)
		require.False(t, errorIsDenial(err), "%d says nothing about the caller", server.status)
	}

	server.status, server.ready = http.StatusForbidden, http.StatusServiceUnavailable
	_, err = ask(t, a, request(), "ann")
	require.False(t, errorIsDenial(err), "a no of a server that is not ready is not believed")

	server.Close()
	_, err = ask(t, a, request(), "ann")
	require.Error(t, err)
	require.False(t, errorIsDenial(err))
}

func TestRemoteIsAskedAgainOnlyWithRetry(t *testing.T) {
	for _, name := range []string{"remote", "remote_json"} {
		for _, retries := range []bool{false, true} {
			asked := 0
			server := newAuthority(t)
			server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				require.NotEmpty(t, body, "each time with the question")
				if asked++; asked < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			config := map[string]any{}
			if name == "remote_json" {
				config["payload"] = `{"a":1}`
			}
			if retries {
				config["retry"] = map[string]any{"max_delay": "1ms", "give_up_after": "5s"}
			}
			a, _ := server.build(t, name, config)
			_, err := ask(t, a, request(), "ann")
			require.Equal(t, retries, err == nil)
		}
	}
}

func errorIsDenial(err error) bool {
	var denial *pipeline.Denial
	return errors.As(err, &denial)
}

func TestBrokenConfigurationsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		config map[string]any
		want   string
	}{
		{"remote", nil, "remote:"},
		{"remote", map[string]any{"remote": "ftp://h"}, "remote:"},
		{"remote", map[string]any{"remote": "http://h", "payload": "{}"}, "payload"},
		{"remote", map[string]any{"remote": "http://h", "headers": map[string]any{"a b": ""}}, "a b"},
		{"remote", map[string]any{"remote": "http://h", "headers": map[string]any{"X-A": "{{"}}, "X-A"},
		{"remote", map[string]any{"remote": "http://h", "forward_response_headers_to_upstream": []any{"a:b"}}, "a:b"},
		{"remote", map[string]any{"remote": "http://h", "retry": map[string]any{"max_delay": "soon"}}, "retry"},
		{"remote_json", map[string]any{"remote": "http://h"}, "payload"},
		{"remote_json", map[string]any{"remote": "http://h", "payload": "{{"}, "payload"},
		{"remote_json", map[string]any{"remote": "", "payload": "{}"}, "remote:"},
	} {
		_, err := authz.New(c.name, c.config, authz.Deps{Warn: func(string, ...any) {}})
		require.ErrorContains(t, err, c.want)
	}
}

func TestForwardedHeadersAreKnownBeforehand(t *testing.T) {
	require.Equal(t, []string{"X-Role"}, authz.Headers(map[string]any{"forward_response_headers_to_upstream": []any{"X-Role", 7}}))
	require.Empty(t, authz.Headers(nil))
}
