package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/envoy"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/libs/telemetry"
)

// door answers Envoy.
type door struct {
	authv3.UnimplementedAuthorizationServer
	engine  *engine.Engine
	metrics *metrics
	log     *slog.Logger
}

// Check implements envoy.service.auth.v3.Authorization.
func (d *door) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	begin := time.Now()
	request, err := envoy.Parse(in)
	ctx = telling(ctx, request)
	decision := d.decide(ctx, request, err)
	d.record(ctx, decision, time.Since(begin))
	note(ctx, decision)
	return envoy.Render(decision)
}

func (d *door) decide(ctx context.Context, r *pipeline.Request, err error) engine.Decision {
	var denial *pipeline.Denial
	switch {
	case err == nil:
		return d.engine.Decide(ctx, r)
	case errors.As(err, &denial):
		return d.engine.Refuse(r, denial)
	default:
		return engine.Decision{Outcome: engine.Failed, Reason: err.Error()}
	}
}

// telling gives the context what upstream calls and the log pass on: request id and trace.
func telling(ctx context.Context, r *pipeline.Request) context.Context {
	if r == nil {
		return ctx
	}
	ctx = telemetry.WithRequestID(ctx, r.ID)
	if trace.SpanContextFromContext(ctx).IsValid() {
		// Envoy's trace, or one of our own. The request's header is its client's, to whom Envoy may not have listened.
		telemetry.Link(ctx, propagation.HeaderCarrier(r.Header))
		return ctx
	}
	return telemetry.Propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
}

// record writes the one line of a decision. It names no path, query, cookie or token.
func (d *door) record(ctx context.Context, decision engine.Decision, took time.Duration) {
	d.metrics.decided(decision, took)
	level := slog.LevelInfo
	if decision.Outcome == engine.Failed {
		level = slog.LevelError
	}
	if !d.log.Enabled(ctx, level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("outcome", decision.Outcome.String()),
		slog.String("rule", decision.Rule),
		slog.String("handler", decision.Handler),
		slog.Int("status", decision.Status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("request_id", telemetry.RequestID(ctx)),
	}
	if decision.Code != "" {
		attributes = append(attributes, slog.String("code", decision.Code))
	}
	if decision.Reason != "" {
		attributes = append(attributes, slog.String("reason", decision.Reason))
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		attributes = append(attributes, slog.String("trace_id", span.TraceID().String()))
	}
	d.log.LogAttrs(ctx, level, "decision", attributes...)
}
