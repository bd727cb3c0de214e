package server

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/envoy"
	"gatehouse.internal/libs/telemetry"
	"gatehouse.internal/libs/telemetry/telemetrytest"
)

const (
	envoysTrace = "0af7651916cd43dd8448eb211c80319c"
	recorded    = "00-" + envoysTrace + "-b7ad6b7169203331-01"
	unrecorded  = "00-" + envoysTrace + "-b7ad6b7169203331-00"
	// strangers is what a client may write into its request.
	strangers = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

// newTraced is a stack whose spans the returned function reads. ratio is that of the traces that begin here.
func newTraced(t *testing.T, ratio float64, change ...func(*Settings)) (*stack, func() *telemetrytest.Collector) {
	t.Helper()
	collector := telemetrytest.New(t)
	s := newStack(t, append(change, func(s *Settings) { s.Tracing = telemetry.Tracing{Endpoint: collector.URL, Ratio: ratio} })...)
	return s, func() *telemetrytest.Collector { s.spans.Stop(); return collector }
}

// askAs asks as Envoy does when its trace context is this.
func (s *stack) askAs(traceparent string, c call) *authv3.CheckResponse {
	s.t.Helper()
	out, err := s.client.Check(metadata.AppendToOutgoingContext(s.t.Context(), "traceparent", traceparent), c.request())
	require.NoError(s.t, err)
	return out
}

func TestDecisionIsASpanInEnvoysTraceWithItsStagesAndCalls(t *testing.T) {
	s, sent := newTraced(t, 0)
	s.kratos.says(http.StatusOK, session, http.StatusOK)
	s.askAs(recorded, call{path: "/api/me?q=secret-query", headers: append(cookie(), "traceparent", strangers, "x-other", "secret-header")})
	collector := sent()

	check := collector.Named(t, "authz", "Check")
	require.Equal(t, envoysTrace, check.Trace)
	require.Equal(t, "b7ad6b7169203331", check.Parent)
	require.Equal(t, "SERVER", check.Kind)
	require.Equal(t, []string{"4bf92f3577b34da6a3ce929d0e0e4736"}, check.LinkedTraces, "the client's trace is mentioned, and no parent")
	require.Equal(t, map[string]string{
		"authz.outcome": "allow", "authz.rule": "api", "authz.handler": "cookie_session", "authz.status": "200", "authz.code": "",
	}, check.Attributes)

	for _, stage := range []string{"match", "authorize", "mutate"} {
		collector.Child(t, check, stage)
	}
	authenticate := collector.Child(t, check, "authenticate")
	require.Equal(t, map[string]string{"authz.cache.hit": "false"}, authenticate.Attributes)
	call := collector.Child(t, authenticate, "GET 127.0.0.1")
	require.Equal(t, "CLIENT", call.Kind)
	require.Equal(t, "00-"+envoysTrace+"-"+call.ID+"-01", s.kratos.headers().Get("Traceparent"), "Kratos continues the call")
	require.NotContains(t, collector.Text(), "secret")
}

func TestSpanTellsWhetherSomethingKeptAnswered(t *testing.T) {
	s, sent := newTraced(t, 1, func(s *Settings) { s.Cache.SessionTTL = 10 * time.Second })
	s.kratos.says(http.StatusOK, session, http.StatusOK)
	for range 2 {
		s.requireAllowed(call{path: "/api/me", headers: cookie()})
	}
	s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(nil))})
	s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(nil))})
	collector := sent()

	hits := map[string]int{}
	for _, span := range collector.Spans() {
		if hit, noted := span.Attributes["authz.cache.hit"]; noted {
			hits[span.Name+" "+hit]++
		}
	}
	require.Positive(t, hits["authenticate true"])
	require.Positive(t, hits["authenticate false"])
	require.Equal(t, 2, hits["mutate false"], "what was said of a caller is said again without a mutator")
	require.Zero(t, hits["mutate true"])
}

func TestDenialAndFailureAreToldApartInSpans(t *testing.T) {
	s, sent := newTraced(t, 1)
	s.requireDenied(call{path: "/api/me"}, 401, "unauthenticated")
	s.kratos.Close()
	s.requireFailed(call{path: "/api/me", headers: cookie()})
	collector := sent()

	denied := collector.Await(t, "a denial", func(s telemetrytest.Span) bool { return s.Attributes["authz.outcome"] == "deny" })
	require.False(t, denied.Failed, "a denial is an answer")
	require.Equal(t, "unauthenticated", denied.Attributes["authz.code"])
	failed := collector.Await(t, "a failure", func(s telemetrytest.Span) bool { return s.Attributes["authz.outcome"] == "error" })
	require.True(t, failed.Failed)
	require.NotContains(t, collector.Text(), "secret")
}

func TestClientNeitherMakesUsRecordNorChoosesTheTrace(t *testing.T) {
	s, sent := newTraced(t, 0)
	s.requireAllowed(call{path: "/api/me", headers: append(bearer(s.token(nil)), "traceparent", strangers)})
	s.askAs(unrecorded, call{path: "/api/me", headers: append(bearer(s.token(nil)), "traceparent", strangers)})
	require.Empty(t, sent().Spans())
	require.NotContains(t, s.logs.String(), strangers[3:35])
	require.Contains(t, s.logs.String(), `"trace_id":"`+envoysTrace+`"`, "what is not recorded is still found in the log")
}

func TestPanicIsAFailedSpan(t *testing.T) {
	collector := telemetrytest.New(t)
	log := slog.New(slog.DiscardHandler)
	spans, err := telemetry.StartSpans(t.Context(), telemetry.Tracing{Endpoint: collector.URL, Ratio: 1}, "authz", log)
	require.NoError(t, err)
	panics := func(context.Context, any) (any, error) { panic("secret") }
	info := &grpc.UnaryServerInfo{FullMethod: authv3.Authorization_Check_FullMethodName}
	_, err = traced(spans)(t.Context(), nil, info, func(ctx context.Context, in any) (any, error) {
		return recovering(log, newMetrics())(ctx, in, info, panics)
	})
	require.Error(t, err)
	spans.Stop()
	check := collector.Named(t, "authz", "Check")
	require.True(t, check.Failed)
	require.Equal(t, "Internal", check.Status)
	require.NotContains(t, collector.Text(), "secret")
}

func TestTracingSettingsAreVerified(t *testing.T) {
	s := Default()
	s.OathkeeperConfig, s.Tracing = "/x", telemetry.Tracing{Endpoint: "collector", Ratio: 2}
	require.ErrorContains(t, s.Verify(), "tracing.endpoint")
	require.ErrorContains(t, s.Verify(), "tracing.ratio")
}

// BenchmarkCheck shows what spans add to a decision that asks nobody: nothing while tracing is off, and next to nothing
// for the many that Envoy does not record. gRPC's own part, tens of microseconds, is not in it.
func BenchmarkCheck(b *testing.B) {
	collector := telemetrytest.New(b)
	for _, c := range []struct {
		name     string
		tracing  telemetry.Tracing
		incoming metadata.MD
	}{
		{"off", telemetry.Tracing{}, metadata.Pairs("traceparent", unrecorded)},
		{"unrecorded", telemetry.Tracing{Endpoint: collector.URL, Ratio: 1}, metadata.Pairs("traceparent", unrecorded)},
		{"recorded", telemetry.Tracing{Endpoint: collector.URL}, metadata.Pairs("traceparent", recorded)},
	} {
		b.Run(c.name, func(b *testing.B) {
			log := slog.New(slog.DiscardHandler)
			spans, err := telemetry.StartSpans(b.Context(), c.tracing, "authz", log)
			require.NoError(b, err)
			defer spans.Stop()
			snapshot, err := Load(writeConfig(b, "http://127.0.0.1:1", "http://127.0.0.1:1"), nil)
			require.NoError(b, err)
			d := &door{engine: &engine.Engine{}, metrics: newMetrics(), log: log}
			d.engine.Use(snapshot)
			check := func(ctx context.Context, in any) (any, error) {
				return d.Check(ctx, envoy.NewQuestion(in.(*authv3.CheckRequest)))
			}
			if spans != nil {
				next, interceptor, info := check, traced(spans), &grpc.UnaryServerInfo{FullMethod: authv3.Authorization_Check_FullMethodName}
				check = func(ctx context.Context, in any) (any, error) { return interceptor(ctx, in, info, next) }
			}
			ctx, request := metadata.NewIncomingContext(b.Context(), c.incoming), call{path: "/api/public/health"}.request()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := check(ctx, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestWhatEnvoyDoesNotRecordCostsFourAllocationsAtMost(t *testing.T) {
	spans, err := telemetry.StartSpans(t.Context(), telemetry.Tracing{Endpoint: telemetrytest.New(t).URL, Ratio: 1}, "authz", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(spans.Stop)
	interceptor, info := traced(spans), &grpc.UnaryServerInfo{FullMethod: authv3.Authorization_Check_FullMethodName}
	next := func(context.Context, any) (any, error) { return nil, nil }
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("traceparent", unrecorded))
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = interceptor(ctx, nil, info, next) }), 4.0)
}
