package mutate_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/mutate"
	"gatehouse.internal/authz/internal/upstream"
)

type hydration struct {
	status int
	body   string

	request *http.Request
	sent    string
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
		"max_delay": {"api": map[string]any{"url": "http://h", "retry": map[string]any{"max_delay": "x"}}}, "uri": {"api": map[string]any{"uri": "http://h"}},
	} {
		_, err := mutate.New("hydrator", config, mutate.Deps{})
		require.ErrorContains(t, err, want)
	}
}
