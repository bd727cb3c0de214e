// Package telemetrytest receives spans in tests: a small OTLP/HTTP collector in the process of the test.
package telemetrytest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// patience bounds a wait that would otherwise hang. Envoy sends its spans every five seconds.
const patience = 30 * time.Second

// Span is one that was received.
type Span struct {
	Service, Name     string
	Trace, ID, Parent string // hexadecimal; Parent is "" for a root
	Kind              string // SERVER, CLIENT, INTERNAL
	Failed            bool
	Attributes        map[string]string
	LinkedTraces      []string
	Status            string // its description
	ServiceVersion    string
}

// Collector keeps every span that it is sent.
type Collector struct {
	// URL is the endpoint to configure.
	URL    string
	server *http.Server

	mu      sync.Mutex
	spans   []Span
	text    string
	arrived chan struct{} // closed and made anew with each batch
}

// Start begins to receive. The caller ends it with Close.
func Start() (*Collector, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Collector{URL: "http://" + listener.Addr().String(), arrived: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.receive)
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	go func() {
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return c, nil
}

// New receives until the test ends.
func New(t testing.TB) *Collector {
	t.Helper()
	c, err := Start()
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// Close ends it.
func (c *Collector) Close() { _ = c.server.Close() }

func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.keep(&request)
	answer, err := proto.Marshal(&collector.ExportTraceServiceResponse{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func (c *Collector) keep(request *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text += prototext.Format(request)
	for _, resource := range request.GetResourceSpans() {
		about := attributes(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans = append(c.spans, read(about, span))
			}
		}
	}
	close(c.arrived)
	c.arrived = make(chan struct{})
}

func read(about map[string]string, span *otlp.Span) Span {
	s := Span{
		Service: about["service.name"], ServiceVersion: about["service.version"], Name: span.GetName(),
		Trace: hex.EncodeToString(span.GetTraceId()), ID: hex.EncodeToString(span.GetSpanId()), Parent: hex.EncodeToString(span.GetParentSpanId()),
		Kind:   span.GetKind().String()[len("SPAN_KIND_"):],
		Failed: span.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR, Status: span.GetStatus().GetMessage(),
		Attributes: attributes(span.GetAttributes()),
	}
	for _, link := range span.GetLinks() {
		s.LinkedTraces = append(s.LinkedTraces, hex.EncodeToString(link.GetTraceId()))
	}
	return s
}

func attributes(list []*common.KeyValue) map[string]string {
	out := make(map[string]string, len(list))
	for _, pair := range list {
		switch value := pair.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[pair.GetKey()] = value.StringValue
		case *common.AnyValue_BoolValue:
			out[pair.GetKey()] = fmt.Sprint(value.BoolValue)
		case *common.AnyValue_IntValue:
			out[pair.GetKey()] = fmt.Sprint(value.IntValue)
		default:
			out[pair.GetKey()] = fmt.Sprint(value)
		}
	}
	return out
}

// Spans returns what has been received so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Text returns everything received so far in a form in which a test can look for what must not be there.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text
}

// Await returns the first span that fits, and waits for it.
func (c *Collector) Await(t testing.TB, what string, fits func(Span) bool) Span {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		arrived, spans := c.arrived, c.spans
		c.mu.Unlock()
		for _, span := range spans {
			if fits(span) {
				return span
			}
		}
		select {
		case <-arrived:
		case <-deadline.C:
			require.FailNow(t, "no such span: "+what, "received:\n%s", c.Text())
		}
	}
}

// Named returns the first span of that service and name, and waits for it.
func (c *Collector) Named(t testing.TB, service, name string) Span {
	t.Helper()
	return c.Await(t, service+": "+name, func(s Span) bool { return s.Service == service && s.Name == name })
}

// Child returns the span of that name whose parent is this one, and waits for it.
func (c *Collector) Child(t testing.TB, parent Span, name string) Span {
	t.Helper()
	return c.Await(t, name+" in "+parent.Name, func(s Span) bool { return s.Trace == parent.Trace && s.Parent == parent.ID && s.Name == name })
}
