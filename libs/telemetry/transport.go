package telemetry

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
)

// Transport passes the request id and the trace context of a request's context on to the upstream, and makes a span of
// the call where the trace is recorded. The span ends when the answer's headers are there. It names method, host and
// status, and nothing that a caller chose: otelhttp's bears the whole URL, in whose query tokens and challenges stand.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := begin(r.Context(), "HTTP call", trace.SpanKindClient)
	defer span.End()
	r = r.Clone(ctx) // RoundTrip must not change the caller's request
	if id := RequestID(ctx); id != "" {
		r.Header.Set(RequestIDHeader, id)
	}
	Propagator.Inject(ctx, propagation.HeaderCarrier(r.Header))
	response, err := t.next.RoundTrip(r)
	if span.IsRecording() {
		describe(span, r, response, err)
	}
	return response, err
}

func describe(span trace.Span, r *http.Request, response *http.Response, err error) {
	method := Method(r.Method)
	span.SetName(method + " " + r.URL.Hostname())
	span.SetAttributes(semconv.HTTPRequestMethodKey.String(method), semconv.ServerAddress(r.URL.Hostname()))
	if port, bad := strconv.Atoi(r.URL.Port()); bad == nil {
		span.SetAttributes(semconv.ServerPort(port))
	}
	if err != nil {
		kind := failure(err)
		span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		span.SetStatus(codes.Error, kind) // the error's own text may hold the URL
		return
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(response.StatusCode))
	if response.StatusCode >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}

func failure(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "transport"
}

// Method returns an HTTP method, or "_OTHER" for an invented one, which must not become a span's or a metric's name.
func Method(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "_OTHER"
}
