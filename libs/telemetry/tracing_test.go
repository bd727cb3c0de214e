package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"gatehouse.internal/libs/telemetry"
	"gatehouse.internal/libs/telemetry/telemetrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	recorded   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unrecorded = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	itsTrace   = "0af7651916cd43dd8448eb211c80319c"
	itsSpan    = "b7ad6b7169203331"
)

func caller(traceparent string) propagation.TextMapCarrier {
	return propagation.HeaderCarrier{"Traceparent": {traceparent}}
}

func start(t *testing.T, ratio float64) (*telemetry.Spans, *telemetrytest.Collector) {
	t.Helper()
	collector := telemetrytest.New(t)
	spans, err := telemetry.StartSpans(t.Context(), telemetry.Tracing{Endpoint: collector.URL, Ratio: ratio}, "api", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(spans.Stop)
	return spans, collector
}

func TestWithoutAnEndpointNothingIsRecordedAndTheTraceTravelsOn(t *testing.T) {
	spans, err := telemetry.StartSpans(t.Context(), telemetry.DefaultTracing(), "api", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Nil(t, spans)
	for _, serve := range []func(context.Context, propagation.TextMapCarrier, string) (context.Context, trace.Span){spans.Continue, spans.Restart} {
		ctx, span := serve(t.Context(), caller(recorded), "request")
		require.False(t, span.IsRecording())
		require.Equal(t, itsTrace, trace.SpanContextFromContext(ctx).TraceID().String())
		_, inner := telemetry.Begin(ctx, "inner")
		require.False(t, inner.IsRecording())
	}
	require.NotNil(t, spans.Provider())
	spans.Stop()
}

func TestTheDoorsTraceAndDecisionAreOurs(t *testing.T) {
	spans, collector := start(t, 0)
	ctx, span := spans.Continue(t.Context(), caller(recorded), "request")
	telemetry.Flag(ctx, "noted", true)
	_, inner := telemetry.Begin(ctx, "inner")
	inner.End()
	span.End()
	for _, ratio := range []float64{0, 1} {
		undecided, none := start(t, ratio)
		ctx, span := undecided.Continue(t.Context(), caller(unrecorded), "request")
		require.False(t, span.IsRecording(), "the door does not record it")
		require.Equal(t, itsTrace, trace.SpanContextFromContext(ctx).TraceID().String())
		span.End()
		undecided.Stop()
		require.Empty(t, none.Spans())
	}
	spans.Stop()

	request := collector.Named(t, "api", "request")
	require.Equal(t, itsTrace, request.Trace)
	require.Equal(t, itsSpan, request.Parent)
	require.Equal(t, "SERVER", request.Kind)
	require.Equal(t, map[string]string{"noted": "true"}, request.Attributes)
	require.NotEmpty(t, request.ServiceVersion)
	collector.Child(t, request, "inner")
}

func TestTheRatioIsOfTracesThatBeginHere(t *testing.T) {
	for ratio, want := range map[float64]bool{0: false, 1: true} {
		spans, _ := start(t, ratio)
		_, span := spans.Continue(t.Context(), propagation.HeaderCarrier{}, "request")
		require.Equal(t, want, span.IsRecording())
		span.End()
	}
}

func TestAStrangerNeitherMakesUsRecordNorChoosesTheTrace(t *testing.T) {
	none, _ := start(t, 0)
	_, span := none.Restart(t.Context(), caller(recorded), "request")
	require.False(t, span.IsRecording())
	span.End()

	spans, collector := start(t, 1)
	stranger := propagation.HeaderCarrier{"Traceparent": {unrecorded}, "Tracestate": {"stranger=text"}}
	ctx, span := spans.Restart(t.Context(), stranger, "request")
	require.True(t, span.IsRecording(), "nor not record")
	require.NotEqual(t, itsTrace, trace.SpanContextFromContext(ctx).TraceID().String())
	span.End()
	spans.Stop()

	request := collector.Named(t, "api", "request")
	require.Empty(t, request.Parent)
	require.Equal(t, []string{itsTrace}, request.LinkedTraces)
	require.NotContains(t, collector.Text(), "stranger")
}

func TestACallIsASpanWithoutItsPathQueryHeadersOrError(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Trace", r.Header.Get("Traceparent"))
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "canary")
	}))
	t.Cleanup(upstream.Close)
	spans, collector := start(t, 1)
	ctx, span := spans.Continue(t.Context(), propagation.HeaderCarrier{}, "request")

	ask := func(next http.RoundTripper) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, "CANARY", upstream.URL+"/canary?token=canary", nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer canary")
		return telemetry.Transport(next).RoundTrip(request)
	}
	kept := &http.Transport{}
	t.Cleanup(kept.CloseIdleConnections)
	response, err := ask(kept)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	_, err = ask(transport(func(*http.Request) (*http.Response, error) { return nil, errors.New("canary") })) //nolint:bodyclose // there is none
	require.EqualError(t, err, "canary")
	_, err = ask(transport(func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded })) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, context.DeadlineExceeded)
	span.End()
	spans.Stop()

	request := collector.Named(t, "api", "request")
	call := collector.Child(t, request, "_OTHER 127.0.0.1")
	require.Equal(t, "CLIENT", call.Kind)
	require.Equal(t, "503", call.Attributes["http.response.status_code"])
	require.True(t, call.Failed)
	require.Equal(t, "00-"+call.Trace+"-"+call.ID+"-01", response.Header.Get("X-Trace"), "the upstream's parent is the call")
	for _, kind := range []string{"transport", "timeout"} {
		collector.Await(t, kind, func(s telemetrytest.Span) bool { return s.Parent == request.ID && s.Attributes["error.type"] == kind })
	}
	require.NotContains(t, collector.Text(), "canary")
	require.NotContains(t, collector.Text(), "CANARY")
}

func TestACollectorThatIsGoneCostsALogLine(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var log bytes.Buffer
	spans, err := telemetry.StartSpans(t.Context(), telemetry.Tracing{Endpoint: gone.URL, Ratio: 1}, "api", slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	_, span := spans.Continue(t.Context(), propagation.HeaderCarrier{}, "request")
	span.End()
	spans.Stop()
	require.Contains(t, log.String(), "spans were not sent")
}

func TestWhatIsNotRecordedAllocatesNothing(t *testing.T) {
	spans, _ := start(t, 1)
	ctx, _ := spans.Continue(t.Context(), caller(unrecorded), "request")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		inner, span := telemetry.Begin(ctx, "inner")
		telemetry.Flag(inner, "noted", true)
		telemetry.Link(inner, nil)
		span.End()
	}))
}

func TestTracingSettingsAreChecked(t *testing.T) {
	require.NoError(t, telemetry.DefaultTracing().Verify())
	require.NoError(t, telemetry.Tracing{Endpoint: "https://collector.example/otlp", Ratio: 1}.Verify())
	for _, bad := range []telemetry.Tracing{
		{Endpoint: "collector:4317"}, {Endpoint: "ftp://collector"}, {Endpoint: "http://"}, {Endpoint: "http://user:secret@collector"}, {Endpoint: "http://collector?x"},
	} {
		require.ErrorContains(t, bad.Verify(), "tracing.endpoint", bad.Endpoint)
		require.NotContains(t, bad.Verify().Error(), "secret")
	}
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		require.ErrorContains(t, telemetry.Tracing{Ratio: bad}.Verify(), "tracing.ratio")
	}
}
