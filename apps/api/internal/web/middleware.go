package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/libs/telemetry"
)

// identify gives the request its id and its place in a trace.
func identify(spans *telemetry.Spans, behindDoor bool) gin.HandlerFunc {
	begin := spans.Restart
	if behindDoor {
		begin = spans.Continue
	}
	return func(c *gin.Context) {
		id := c.GetHeader(telemetry.RequestIDHeader)
		if !printable(id) {
			id = uuid.Must(uuid.NewV7()).String()
		}
		ctx := telemetry.WithRequestID(c.Request.Context(), id)
		ctx, span := begin(ctx, propagation.HeaderCarrier(c.Request.Header), "request")
		defer finish(span, c)
		c.Request = c.Request.WithContext(ctx)
		c.Header(telemetry.RequestIDHeader, id)
		c.Next()
	}
}

// finish ends a request's span. It names the route and, like the log, nothing that the caller wrote.
func finish(span trace.Span, c *gin.Context) {
	if span.IsRecording() {
		method, status := telemetry.Method(c.Request.Method), c.Writer.Status()
		span.SetName(method + " " + route(c))
		span.SetAttributes(
			attribute.String("http.request.method", method), attribute.String("http.route", route(c)),
			attribute.Int("http.response.status_code", status),
		)
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}

// route is the request's template: a path that is nobody's would be a name of its own each time.
func route(c *gin.Context) string {
	if template := c.FullPath(); template != "" {
		return template
	}
	return "unmatched"
}

// printable refuses ids that do not belong in a header or a log.
func printable(id string) bool {
	for _, char := range []byte(id) {
		if char <= ' ' || char > '~' {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// observe writes one log line and one measurement per request. Neither holds the query or a header: they
// carry secrets.
func observe(log *slog.Logger, metrics prometheus.Registerer) gin.HandlerFunc {
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_server_request_duration_seconds",
		Help: "How long requests took, by route template and class of the status.",
	}, []string{"method", "route", "status"})
	metrics.MustRegister(duration)

	return func(c *gin.Context) {
		start := time.Now()
		var left notes
		c.Request = c.Request.WithContext(withNotes(c.Request.Context(), &left))
		defer func() {
			route, method, status := route(c), c.Request.Method, c.Writer.Status()
			took := time.Since(start)
			duration.WithLabelValues(known(method), route, strconv.Itoa(status/100)+"xx").Observe(took.Seconds())

			level := slog.LevelInfo
			attributes := []slog.Attr{
				slog.String("method", method), slog.String("route", route), slog.Int("status", status),
				slog.Float64("duration_ms", float64(took.Microseconds())/1000),
				slog.String("request_id", telemetry.RequestID(c.Request.Context())),
			}
			if span := trace.SpanContextFromContext(c.Request.Context()); span.IsValid() {
				attributes = append(attributes, slog.String("trace_id", span.TraceID().String()))
			}
			if left.problem != nil {
				attributes = append(attributes, slog.String("code", string(left.problem.Code)), slog.Any("error", left.problem))
			}
			if err := c.Errors.Last(); err != nil {
				attributes = append(attributes, slog.Any("error", err.Err))
			}
			if status >= http.StatusInternalServerError {
				level = slog.LevelError
			}
			log.LogAttrs(c.Request.Context(), level, "request", attributes...)
		}()
		c.Next()
	}
}

// known keeps invented methods from becoming labels.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// recovered turns a panic into a problem, and ends the connection when an answer had begun.
func recovered(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(cause) // how a proxy tells the server to drop the connection
		}
		err := fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		if c.Writer.Written() {
			_ = c.Error(err)
			panic(http.ErrAbortHandler)
		}
		refuse(c, err)
	}()
	c.Next()
}

func limited(c *gin.Context) {
	if c.Request.Body != nil {
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, bodyLimit)
	}
}

// private keeps answers out of every cache: what they say depends on who asks.
func private(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
}

// authenticate finds the caller of every operation that the document does not declare open to anyone.
func authenticate(document *openapi3.T, verify func(*http.Request) (context.Context, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		if found := operation(document, c.Request.Method, c.FullPath()); found != nil && found.Security != nil && len(*found.Security) == 0 {
			return
		}
		ctx, err := verify(c.Request)
		if err != nil {
			refuse(c, err)
			return
		}
		c.Request = c.Request.WithContext(ctx)
	}
}

// sameOrigin refuses changes that another site makes a signed-in browser send. Behind the door the API
// sees no cookie; that the caller is a session is how it knows. Tokens are not sent by browsers unasked.
func sameOrigin(public string) gin.HandlerFunc {
	return func(c *gin.Context) {
		switch c.Request.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			return
		}
		caller, err := principal.From(c.Request.Context())
		if err != nil || caller.Auth != principal.Session {
			return
		}
		if c.GetHeader("Sec-Fetch-Site") == "same-origin" || isOrigin(c.GetHeader("Origin"), public) {
			return
		}
		refuse(c, problem.New(problem.CrossSite, "A signed-in browser may send this from our own pages only."))
	}
}

// isOrigin compares what a browser writes with what a person configured: case, and a port that is the
// scheme's own, mean nothing.
func isOrigin(text, public string) bool {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || parsed.Path != "" {
		return false
	}
	own, err := url.Parse(public)
	return err == nil && origin(parsed) == origin(own)
}

func origin(of *url.URL) string {
	scheme, host, port := strings.ToLower(of.Scheme), strings.ToLower(of.Hostname()), of.Port()
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
