package mutate_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/mutate"
	"gatehouse.internal/authz/internal/upstream"
)

type hydration struct {
	status int
	body   string

	request *http.Request
	sent    string
	asked   int
}

func (h *hydration) build(t *testing.T, api map[string]any) mutate.Mutator {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.request, h.sent = r, string(body)
		w.WriteHeader(h.status)
		_, _ = io.WriteString(w, h.body)
	}))
	t.Cleanup(server.Close)
	api["url"] = server.URL + "/hydrate?configured=1"
	m, err := mutate.New("hydrator", map[string]any{"api": api, "cache": map[string]any{"enabled": true, "ttl": "60s"}},
		mutate.Deps{
			Upstream: upstream.New(upstream.Options{Timeout: 5 * time.Second, MaxConnections: 1}), Identity: []string{"Authorization", "X-User-Id"},
		})
	require.NoError(t, err)
	return m
}

func hydrate(t *testing.T, m mutate.Mutator) (*pipeline.Session, error) {
	t.Helper()
	r := &pipeline.Request{
		Method: "GET", Scheme: "https", Host: "h", Path: "/a", Query: "q=1&q=2",
		Header: http.Header{"Authorization": {"Bearer t"}, "X-A": {"1"}, "X-User-Id": {"forged"}, "Connection": {"close"}, "Accept-Encoding": {"br"}},
	}
	s := pipeline.NewSession(r, []string{"c"})
	s.Subject, s.Extra = "ann", map[string]any{"k": "v"}
	s.Header.Set("X-Before", "1")
	s.Credential = pipeline.Credential{Session: "secret-session"}
	return s, m.Mutate(t.Context(), r, s)
}

func TestHydratorSeesTheSessionAndCompletesIt(t *testing.T) {
	h := &hydration{status: 200, body: `{"subject":"ann","extra":{"k":"v","role":"admin"},"header":{"x-role":["admin"]},"match_context":{"method":"DELETE"}}`}
	s, err := hydrate(t, h.build(t, map[string]any{}))
	require.NoError(t, err)
	require.JSONEq(t, `{"subject":"ann","extra":{"k":"v"},"header":{"X-Before":["1"]},"match_context":{"regexp_capture_groups":["c"],"method":"GET",
		"url":{"Scheme":"https","Opaque":"","User":null,"Host":"h","Path":"/a","RawPath":"","OmitHost":false,"ForceQuery":false,"RawQuery":"q=1&q=2","Fragment":"","RawFragment":""},
		"header":{"Authorization":["Bearer t"],"X-A":["1"],"Connection":["close"],"Accept-Encoding":["br"]}}}`, h.sent)
	require.Equal(t, "q=1&q=2", h.request.URL.RawQuery, "the client's query replaces the configured one")
	require.Equal(t, "Bearer t", h.request.Header.Get("Authorization"))
	require.Empty(t, h.request.Header.Get("X-User-Id"))
	require.Equal(t, "application/json", h.request.Header.Get("Content-Type"))

	require.Equal(t, map[string]any{"k": "v", "role": "admin"}, s.Extra)
	require.Equal(t, http.Header{"X-Role": {"admin"}}, s.Header)
	require.Equal(t, "GET", s.MatchContext.Method)
	require.Equal(t, "secret-session", s.Credential.Session, "what can be revoked stays known")
}

func TestHydratorLogsIn(t *testing.T) {
	h := &hydration{status: 200, body: `{"subject":"ann"}`}
	_, err := hydrate(t, h.build(t, map[string]any{"auth": map[string]any{"basic": map[string]any{"username": "u", "password": "p"}}}))
	require.NoError(t, err)
	user, password, _ := h.request.BasicAuth()
	require.Equal(t, "u/p", user+"/"+password)
}

func TestUnusableHydrationsAreOutages(t *testing.T) {
	for _, h := range []*hydration{
		{status: 401, body: `{"subject":"ann"}`}, {status: 500}, {status: 204}, {status: 200, body: "no"}, {status: 200, body: `{"subject":"root"}`},
		{status: 200, body: `{"subject":"ann","header":{"a b":["1"]}}`}, {status: 200, body: `{"subject":"ann","header":{"x-a":["1\n2"]}}`},
	} {
		s, err := hydrate(t, h.build(t, map[string]any{}))
		require.Error(t, err)
		var denial *pipeline.Denial
		require.NotErrorAs(t, err, &denial)
		require.Equal(t, "1", s.Header.Get("X-Before"), "the session stays as it was")
	}
}

func TestBrokenHydratorConfigurationsAreRefused(t *testing.T) {
	for want, config := range map[string]map[string]any{
		"api.url": nil, "cache.ttl": {"api": map[string]any{"url": "http://h"}, "cache": map[string]any{"ttl": "soon"}},
		"api.retry.max_delay": {"api": map[string]any{"url": "http://h", "retry": map[string]any{"max_delay": "x"}}}, "uri": {"api": map[string]any{"uri": "http://h"}},
	} {
		_, err := mutate.New("hydrator", config, mutate.Deps{})
		require.ErrorContains(t, err, want)
	}
}

// kept builds a hydrator that keeps answers, and a function that lets time pass. The cache reads the time beside requests, too.
func (h *hydration) kept(t *testing.T, config map[string]any) (m mutate.Mutator, pass func(time.Duration), hydrations *cache.Lookup[[]byte]) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.asked++
		body, _ := io.ReadAll(r.Body)
		h.request, h.sent = r, string(body)
		w.WriteHeader(h.status)
		_, _ = io.WriteString(w, h.body)
	}))
	t.Cleanup(server.Close)
	var passed atomic.Int64 // nanoseconds
	hydrations = cache.NewLookup[[]byte](cache.Options{
		Name: "hydrator", MaxEntries: 10, TTL: cache.Unbounded, Timeout: time.Second,
		Now: func() time.Time { return time.Unix(1000, passed.Load()) },
	})
	m, err := mutate.New("hydrator", map[string]any{"api": map[string]any{"url": server.URL}, "cache": config}, mutate.Deps{
		Upstream: upstream.New(upstream.Options{Timeout: time.Second, MaxConnections: 1}), Hydrations: hydrations,
	})
	require.NoError(t, err)
	return m, func(d time.Duration) { passed.Add(int64(d)) }, hydrations
}

func asked() (*pipeline.Request, *pipeline.Session) {
	r := &pipeline.Request{Method: "GET", Scheme: "https", Host: "h", Path: "/a", Query: "q=1", Header: http.Header{"Cookie": {"a=1"}, "X-Request-Id": {"1"}}}
	s := pipeline.NewSession(r, []string{"c"})
	s.Subject, s.Extra = "ann", map[string]any{"k": "v"}
	return r, s
}

func TestHydrationIsKeptForItsTime(t *testing.T) {
	h := &hydration{status: 200, body: `{"subject":"ann","extra":{"deep":{"role":"admin"}},"header":{"x-role":["admin"]}}`}
	m, pass, _ := h.kept(t, map[string]any{"enabled": true, "ttl": "30s"})
	for n := range 3 {
		r, s := asked()
		r.Header.Set("X-Request-Id", strconv.Itoa(n)) // of every request its own; the server is not told
		r.Header.Set("Traceparent", strconv.Itoa(n))
		require.NoError(t, m.Mutate(t.Context(), r, s))
		require.Equal(t, map[string]any{"deep": map[string]any{"role": "admin"}}, s.Extra)
		require.Equal(t, http.Header{"X-Role": {"admin"}}, s.Header)
		s.Extra["deep"].(map[string]any)["role"] = "changed by a template"
		s.Header.Set("X-Role", "changed by a later mutator")
		require.Equal(t, strconv.Itoa(n), r.Header.Get("X-Request-Id"), "the upstream's stays")
	}
	require.Equal(t, 1, h.asked)
	require.NotContains(t, h.sent, "Request-Id")
	require.NotContains(t, h.request.Header, "X-Request-Id")

	pass(30 * time.Second)
	r, s := asked()
	require.NoError(t, m.Mutate(t.Context(), r, s))
	require.Equal(t, 2, h.asked)
}

func TestHydrationIsKeptForAMinuteByDefaultAndOnlyOnRequest(t *testing.T) {
	for name, c := range map[string]struct {
		config map[string]any
		after  time.Duration
		asked  int
	}{
		"within the minute": {map[string]any{"enabled": true}, 59 * time.Second, 1},
		"after it":          {map[string]any{"enabled": true}, time.Minute, 2},
		"not enabled":       {map[string]any{"ttl": "1h"}, 0, 2},
		"no time":           {map[string]any{"enabled": true, "ttl": "0s"}, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hydration{status: 200, body: `{"subject":"ann"}`}
			m, pass, _ := h.kept(t, c.config)
			for range 2 {
				r, s := asked()
				require.NoError(t, m.Mutate(t.Context(), r, s))
				pass(c.after)
			}
			require.Equal(t, c.asked, h.asked)
		})
	}
}

func TestWhateverReachesTheHydratorIsPartOfTheQuestion(t *testing.T) {
	for name, change := range map[string]func(*pipeline.Request, *pipeline.Session){
		"method":         func(_ *pipeline.Request, s *pipeline.Session) { s.MatchContext.Method = "PUT" },
		"path":           func(_ *pipeline.Request, s *pipeline.Session) { s.MatchContext.URL.Path = "/b" },
		"query":          func(r *pipeline.Request, _ *pipeline.Session) { r.Query = "q=2" },
		"header":         func(r *pipeline.Request, _ *pipeline.Session) { r.Header.Set("Cookie", "a=2") },
		"another header": func(r *pipeline.Request, _ *pipeline.Session) { r.Header.Set("X-A", "1") },
		"header twice":   func(r *pipeline.Request, _ *pipeline.Session) { r.Header.Add("Cookie", "a=1") },
		"capture":        func(_ *pipeline.Request, s *pipeline.Session) { s.MatchContext.RegexpCaptureGroups = []string{"d"} },
		"extra":          func(_ *pipeline.Request, s *pipeline.Session) { s.Extra["k"] = "w" },
		"set header":     func(_ *pipeline.Request, s *pipeline.Session) { s.Header.Set("X-Before", "1") },
	} {
		t.Run(name, func(t *testing.T) {
			h := &hydration{status: 200, body: `{"subject":"ann"}`}
			m, _, _ := h.kept(t, map[string]any{"enabled": true})
			r, s := asked()
			require.NoError(t, m.Mutate(t.Context(), r, s))
			r, s = asked()
			change(r, s)
			require.NoError(t, m.Mutate(t.Context(), r, s))
			require.Equal(t, 2, h.asked)
		})
	}
	h := &hydration{status: 200, body: `{"subject":"ann"}`}
	m, _, _ := h.kept(t, map[string]any{"enabled": true})
	r, s := asked()
	require.NoError(t, m.Mutate(t.Context(), r, s))
	r, s = asked()
	s.Subject = "bob"
	require.Error(t, m.Mutate(t.Context(), r, s), "what was kept is about ann")
}

func TestTwoHydratorsShareNoAnswers(t *testing.T) {
	one, two := &hydration{status: 200, body: `{"subject":"ann","extra":{"of":1}}`}, &hydration{status: 200, body: `{"subject":"ann","extra":{"of":2}}`}
	first, _, shared := one.kept(t, map[string]any{"enabled": true})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, two.body) }))
	t.Cleanup(server.Close)
	second, err := mutate.New("hydrator", map[string]any{"api": map[string]any{"url": server.URL}, "cache": map[string]any{"enabled": true}}, mutate.Deps{
		Upstream: upstream.New(upstream.Options{Timeout: time.Second, MaxConnections: 1}), Hydrations: shared,
	})
	require.NoError(t, err)
	r, s := asked()
	require.NoError(t, first.Mutate(t.Context(), r, s))
	r, s = asked()
	require.NoError(t, second.Mutate(t.Context(), r, s))
	require.EqualValues(t, 2, s.Extra["of"])
}

func TestNothingButAUsableHydrationIsKept(t *testing.T) {
	for name, bad := range map[string]hydration{
		"no": {status: 401}, "outage": {status: 500}, "another subject": {status: 200, body: `{"subject":"root"}`}, "no session": {status: 200, body: "no"},
		"malformed header": {status: 200, body: `{"subject":"ann","header":{"a b":["1"]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := bad
			m, _, _ := h.kept(t, map[string]any{"enabled": true})
			r, s := asked()
			require.Error(t, m.Mutate(t.Context(), r, s))
			h.status, h.body = 200, `{"subject":"ann","extra":{"now":"good"}}`
			r, s = asked()
			require.NoError(t, m.Mutate(t.Context(), r, s))
			require.Equal(t, "good", s.Extra["now"])
		})
	}
	long := &hydration{status: 200, body: `{"subject":"ann","extra":{"long":"` + strings.Repeat("x", 64<<10) + `"}}`}
	m, _, _ := long.kept(t, map[string]any{"enabled": true})
	for range 2 {
		r, s := asked()
		require.NoError(t, m.Mutate(t.Context(), r, s))
	}
	require.Equal(t, 2, long.asked, "too long to keep")
}

func TestHydratorIsAskedAgainOnlyWithRetry(t *testing.T) {
	for _, c := range []struct {
		api    map[string]any
		status int
	}{{map[string]any{}, 0}, {map[string]any{"retry": map[string]any{"max_delay": "1ms"}}, 200}} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked++; asked < 3 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			_, _ = io.WriteString(w, `{"subject":"ann"}`)
		}))
		t.Cleanup(server.Close)
		c.api["url"] = server.URL
		m, err := mutate.New("hydrator", map[string]any{"api": c.api}, mutate.Deps{Upstream: upstream.New(upstream.Options{Timeout: 5 * time.Second, MaxConnections: 1})})
		require.NoError(t, err)
		_, err = hydrate(t, m)
		require.Equal(t, c.status == 200, err == nil)
	}
}
