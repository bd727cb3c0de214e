//go:build door

package door

import (
	"context"
	"net"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/stretchr/testify/require"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// decision is how authz answers a check.
type decision func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)

// gate stands in for authz: it answers as the test says and records what it was asked.
type gate struct {
	authv3.UnimplementedAuthorizationServer

	mu          sync.Mutex
	answer      decision
	checks      []*authv3.CheckRequest
	connections map[net.Conn]struct{}
	// over is closed when the scene is.
	over chan struct{}
}

func (g *gate) begin(answer decision) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over != nil {
		close(g.over)
	}
	g.answer, g.checks, g.over = answer, nil, make(chan struct{})
}

func (g *gate) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	g.mu.Lock()
	g.checks = append(g.checks, in)
	answer := g.answer
	g.mu.Unlock()
	return answer(ctx, in)
}

// question is what the gate was asked about.
type question struct {
	*authv3.AttributeContext_HttpRequest
	source string
}

// headers returns the values of a header, byte by byte, in lower case as Envoy sends the names.
func (q question) headers(name string) (values []string) {
	for _, field := range q.GetHeaderMap().GetHeaders() {
		if field.GetKey() != name {
			continue
		}
		value := field.GetValue()
		if raw := field.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		values = append(values, value)
	}
	return values
}

func asked() (all []question) {
	authz.mu.Lock()
	defer authz.mu.Unlock()
	for _, check := range authz.checks {
		all = append(all, question{check.GetAttributes().GetRequest().GetHttp(), check.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress()})
	}
	return all
}

// askedOnce returns the only question.
func askedOnce(t *testing.T) question {
	t.Helper()
	questions := asked()
	require.Len(t, questions, 1, "questions to the gate")
	return questions[0]
}

// --- answers ---

func header(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func pairs(headers []string) (options []*corev3.HeaderValueOption) {
	for i := 0; i+1 < len(headers); i += 2 {
		options = append(options, header(headers[i], headers[i+1]))
	}
	return options
}

func always(response *authv3.CheckResponse, err error) decision {
	return func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) { return response, err }
}

// allow lets the request pass with these headers.
func allow(headers ...string) decision { return allowWithout(nil, headers...) }

// allowWithout also takes headers away.
func allowWithout(remove []string, headers ...string) decision {
	return always(&authv3.CheckResponse{
		Status: &rpc.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: pairs(headers), HeadersToRemove: remove,
		}},
	}, nil)
}

func denied(httpStatus int, body string, headers ...string) *authv3.CheckResponse_DeniedResponse {
	return &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(httpStatus)}, Body: body, Headers: pairs(headers),
	}}
}

// deny refuses the request with an answer for the client.
func deny(httpStatus int, body string, headers ...string) decision {
	return always(&authv3.CheckResponse{
		Status:       &rpc.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: denied(httpStatus, body, headers...),
	}, nil)
}

func fail(code codes.Code) decision { return always(nil, status.Error(code, "out of order")) }

// hang answers after the scene, and then with OK. It does not heed its deadline, which is the moment until which
// the door would still take an answer.
func hang(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	authz.mu.Lock()
	over := authz.over
	authz.mu.Unlock()
	<-over
	return &authv3.CheckResponse{Status: &rpc.Status{Code: int32(codes.OK)}}, nil
}

// crash ends every connection in the middle of the question.
func crash(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	authz.mu.Lock()
	for connection := range authz.connections {
		_ = connection.Close()
	}
	authz.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

// tracked is a listener that knows the gate's open connections.
type tracked struct {
	net.Listener
	gate *gate
}

func (l tracked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	t := &trackedConnection{c, l.gate}
	l.gate.connections[t] = struct{}{}
	return t, nil
}

type trackedConnection struct {
	net.Conn
	gate *gate
}

func (c *trackedConnection) Close() error {
	go func() { // crash holds the lock while it closes
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		delete(c.gate.connections, c)
	}()
	return c.Conn.Close()
}
