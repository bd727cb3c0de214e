package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/envoy"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/libs/telemetry"
)

// door answers Envoy.
type door struct {
	engine  *engine.Engine
	metrics *metrics
	log     *slog.Logger
	lines   *lineLimits
}

// Check implements envoy.Checker.
func (d *door) Check(ctx context.Context, q *envoy.Question) (*envoy.Answer, error) {
	begin := time.Now()
	request, err := q.Request()
	ctx = telling(ctx, request)
	decision := d.decide(ctx, request, err)
	end := time.Now()
	d.metrics.decided(decision, end.Sub(begin))
	d.record(ctx, decision, begin, end)
	note(ctx, decision)
	return envoy.Write(decision)
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

// record writes the one line of a decision, unless there are too many. It names no path, query, cookie or token.
func (d *door) record(ctx context.Context, decision engine.Decision, begin, end time.Time) {
	level := slog.LevelInfo
	if decision.Outcome == engine.Failed {
		level = slog.LevelError
	}
	if !d.log.Enabled(ctx, level) {
		return
	}
	leftOut, write := d.lines.next(decision.Outcome, end)
	if !write {
		return
	}
	attributes := []slog.Attr{
		slog.String("outcome", decision.Outcome.String()),
		slog.String("rule", decision.Rule),
		slog.String("handler", decision.Handler),
		slog.Int("status", decision.Status),
		slog.Float64("duration_ms", float64(end.Sub(begin).Microseconds())/1000),
		slog.String("request_id", telemetry.RequestID(ctx)),
	}
	if decision.Code != "" {
		attributes = append(attributes, slog.String("code", decision.Code))
	}
	if decision.Reason != "" {
		attributes = append(attributes, slog.String("reason", decision.Reason))
	}
	if leftOut > 0 {
		attributes = append(attributes, slog.Int64("left_out", leftOut))
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		attributes = append(attributes, slog.String("trace_id", span.TraceID().String()))
	}
	d.log.LogAttrs(ctx, level, "decision", attributes...)
}
