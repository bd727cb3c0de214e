// Package telemetry holds what every service logs and passes on: structured JSON logs, the request id
// that Envoy gave a request, the W3C trace context (https://www.w3.org/TR/trace-context/), and spans. Neither a log
// nor a span may hold a credential, a query string, a header's value or a body.
package telemetry

import (
	"context"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/propagation"
)

// RequestIDHeader carries the id that Envoy gives each request. Envoy replaces one that a client
// sends, so behind it the value is ours.
const RequestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// Propagator reads and writes W3C trace context headers.
var Propagator propagation.TextMapPropagator = propagation.TraceContext{}

// NewLogger returns a logger that writes one JSON object per line, in UTC, with the name of the
// service. level is debug, info, warn or error.
func NewLogger(w io.Writer, service, level string) (*slog.Logger, error) {
	var min slog.Level
	if err := min.UnmarshalText([]byte(level)); err != nil {
		return nil, err
	}
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: min, ReplaceAttr: utc})
	return slog.New(handler).With("service", service), nil
}

func utc(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.Time(a.Key, a.Value.Time().UTC())
	}
	return a
}

// WithRequestID returns a context that carries the id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
