package server

import (
	"context"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/libs/telemetry"
)

// traced makes a span of each decision, in the trace that Envoy's call belongs to. otelgrpc's handler would do so
// too, but works on every call, recorded or not.
func traced(spans *telemetry.Spans) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if info.FullMethod != authv3.Authorization_Check_FullMethodName {
			return next(ctx, in) // a probe
		}
		ctx, span := spans.Continue(ctx, envoys{ctx}, "Check")
		defer span.End()
		out, err := next(ctx, in)
		if err != nil && span.IsRecording() {
			span.SetStatus(codes.Error, status.Code(err).String())
		}
		return out, err
	}
}

// envoys are the headers of Envoy's own call. Those of the request that it asks about are somebody else's.
type envoys struct{ ctx context.Context }

// Get implements propagation.TextMapCarrier. It copies one value and not, as metadata.FromIncomingContext does, all.
func (e envoys) Get(key string) string {
	if values := metadata.ValueFromIncomingContext(e.ctx, key); len(values) == 1 {
		return values[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier. There is nothing to answer Envoy.
func (envoys) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (envoys) Keys() []string { return []string{"traceparent", "tracestate"} }

// note describes a decision on its span, in words of the configuration and none of the request. The reason stays in the
// log.
func note(ctx context.Context, d engine.Decision) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("authz.outcome", d.Outcome.String()), attribute.String("authz.rule", d.Rule),
		attribute.String("authz.handler", d.Handler), attribute.Int("authz.status", d.Status), attribute.String("authz.code", d.Code),
	)
	if d.Outcome == engine.Failed {
		span.SetStatus(codes.Error, d.Code)
	}
}
