package web_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/web"
	"gatehouse.internal/libs/telemetry"
	"gatehouse.internal/libs/telemetry/telemetrytest"
)

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callers      = "00-" + callersTrace + "-00f067aa0ba902b7-01"
)

func newTraced(t *testing.T, o operations, ratio float64, behindDoor bool) (service, func() *telemetrytest.Collector) {
	t.Helper()
	collector := telemetrytest.New(t)
	spans, err := telemetry.StartSpans(t.Context(), telemetry.Tracing{Endpoint: collector.URL, Ratio: ratio}, "api", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(spans.Stop)
	s := newService(t, o, nil, func(s *web.Settings) { s.Spans, s.BehindDoor = spans, behindDoor })
	return s, func() *telemetrytest.Collector { spans.Stop(); return collector }
}

func TestBehindTheDoorARequestIsPartOfItsTrace(t *testing.T) {
	s, sent := newTraced(t, operations{}, 0, true)
	s.send(t, "GET", "/api/public/health", nil, map[string]string{"Traceparent": callers})
	span := sent().Named(t, "api", "GET /api/public/health")
	require.Equal(t, callersTrace, span.Trace)
	require.Equal(t, "00f067aa0ba902b7", span.Parent)
}

func TestWithoutADoorNobodyChoosesWhatIsRecorded(t *testing.T) {
	s, sent := newTraced(t, operations{}, 0, false)
	s.send(t, "GET", "/api/public/health", nil, map[string]string{"Traceparent": callers})
	require.Empty(t, sent().Spans())

	s, sent = newTraced(t, operations{}, 1, false)
	s.send(t, "GET", "/api/public/health", nil, map[string]string{"Traceparent": callers})
	span := sent().Named(t, "api", "GET /api/public/health")
	require.Empty(t, span.Parent)
	require.NotEqual(t, callersTrace, span.Trace)
	require.Equal(t, []string{callersTrace}, span.LinkedTraces)
	require.Contains(t, s.logs.String(), span.Trace, "the log names the trace that was recorded")
}

func TestSpanNamesTheTemplateAndNothingThatTheCallerWrote(t *testing.T) {
	s, sent := newTraced(t, operations{me: func(context.Context) (openapi.GetMeResponseObject, error) { panic("canary") }}, 1, true)
	header := map[string]string{"Authorization": "Bearer canary", "Cookie": "ory_kratos_session=canary", "User-Agent": "canary", "X-Request-Id": "canary"}
	s.send(t, "GET", "/api/oauth2/consent?consent_challenge=canary", nil, header)
	s.send(t, "CANARY", "/canary", nil, header)
	s.send(t, "GET", "/api/me", nil, header)
	collector := sent()
	require.Equal(t, "200", collector.Named(t, "api", "GET /api/oauth2/consent").Attributes["http.response.status_code"])
	require.False(t, collector.Named(t, "api", "_OTHER unmatched").Failed)
	require.True(t, collector.Named(t, "api", "GET /api/me").Failed)
	require.NotContains(t, collector.Text(), "canary")
	require.NotContains(t, collector.Text(), "CANARY")
}
