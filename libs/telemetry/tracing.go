package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const (
	// scope names the instrumentation in every span of ours.
	scope = "gatehouse.internal/libs/telemetry"
	// flushTimeout bounds how long a service that stops waits for its collector.
	flushTimeout = 5 * time.Second
)

// Tracing says where spans go, and how many.
type Tracing struct {
	// Endpoint is the URL of an OTLP/HTTP collector, http://collector:4318. Spans go to /v1/traces below it. Without
	// one there are none.
	Endpoint string `mapstructure:"endpoint"`
	// Ratio, 0 to 1, of the traces that begin in this service. One that began before it, at the door, is recorded
	// if the door records it.
	Ratio float64 `mapstructure:"ratio"`
}

// DefaultTracing records nothing. With an endpoint it records one trace of a hundred.
func DefaultTracing() Tracing { return Tracing{Ratio: 0.01} }

// Verify reports every problem at once, by the settings' names under tracing.
func (t Tracing) Verify() error {
	var problems []error
	if t.Endpoint != "" {
		parsed, err := url.Parse(t.Endpoint)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.User != nil || parsed.RawQuery != "" {
			problems = append(problems, errors.New("tracing.endpoint: must be an http:// or https:// URL without user or query"))
		}
	}
	if !(t.Ratio >= 0 && t.Ratio <= 1) { // written so that it refuses NaN, too
		problems = append(problems, errors.New("tracing.ratio: must be between 0 and 1"))
	}
	return errors.Join(problems...)
}

// Spans records what a service does and sends it to a collector, beside requests: one that is slow or gone costs
// spans and nothing else. A nil Spans records nothing. Safe for concurrent use.
type Spans struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	log      *slog.Logger
}

// StartSpans returns nil without an endpoint. service is the name that the log bears, too.
func StartSpans(ctx context.Context, t Tracing, service string, log *slog.Logger) (*Spans, error) {
	if t.Endpoint == "" {
		return nil, nil
	}
	location, err := url.JoinPath(t.Endpoint, "v1", "traces")
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(location))
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exportLog{exporter, log}),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(t.Ratio))),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName(service), semconv.ServiceVersion(version()))),
	)
	return &Spans{provider: provider, tracer: provider.Tracer(scope), log: log}, nil
}

// Stop sends what is left, within five seconds.
func (s *Spans) Stop() {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := s.provider.Shutdown(ctx); err != nil {
		s.log.WarnContext(ctx, "the last spans were not sent", "error", err)
	}
}

// Provider is for libraries that make spans of their own.
func (s *Spans) Provider() trace.TracerProvider {
	if s == nil {
		return noop.NewTracerProvider()
	}
	return s.provider
}

// Continue begins the span of a request from the door, or from whoever else may decide what we record: the trace
// and the decision are the caller's, if it sends any. The caller of Continue ends the span.
func (s *Spans) Continue(ctx context.Context, from propagation.TextMapCarrier, name string) (context.Context, trace.Span) {
	ctx = Propagator.Extract(ctx, from)
	if s == nil {
		return ctx, noop.Span{}
	}
	if parent := trace.SpanContextFromContext(ctx); parent.IsValid() && !parent.IsSampled() {
		return ctx, noop.Span{} // the trace's id travels on all the same
	}
	return s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
}

// Restart begins the span of a request from anybody. A stranger's trace context must neither make us record nor put
// our spans into a trace of its choosing: it becomes a link of a trace of our own. Without Spans it travels on, as an
// id in logs. The caller of Restart ends the span.
func (s *Spans) Restart(ctx context.Context, from propagation.TextMapCarrier, name string) (context.Context, trace.Span) {
	if s == nil {
		return Propagator.Extract(ctx, from), noop.Span{}
	}
	ctx, span := s.tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer))
	Link(ctx, from)
	return ctx, span
}

// exportLog keeps a collector's failures from the SDK's handler, which writes past our log.
type exportLog struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

func (e exportLog) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.log.WarnContext(ctx, "spans were not sent", "spans", len(spans), "error", err)
	}
	return nil
}

// version is that of the running program's module, "(devel)" for a build from a working tree.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
