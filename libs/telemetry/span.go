package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Begin begins a span inside the one of ctx. Where that is not recorded, which is almost always, it does nothing and
// allocates nothing. The caller ends the span.
func Begin(ctx context.Context, name string) (context.Context, trace.Span) {
	return begin(ctx, name, trace.SpanKindInternal)
}

func begin(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, noop.Span{}
	}
	// The parent's provider: whoever began the trace chose where it goes.
	return parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind))
}

// Flag notes a yes or no on the span of ctx, at no cost where none is recorded.
func Flag(ctx context.Context, key string, value bool) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.Bool(key, value))
	}
}

// Link notes on the span of ctx which trace its client speaks of.
func Link(ctx context.Context, from propagation.TextMapCarrier) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	client := trace.SpanContextFromContext(Propagator.Extract(context.Background(), from))
	if client.IsValid() {
		// Without its tracestate, which is the client's own text.
		span.AddLink(trace.Link{SpanContext: client.WithTraceState(trace.TraceState{})})
	}
}
