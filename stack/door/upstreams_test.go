//go:build door

package door

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"gatehouse.internal/stack/internal/topology"
)

// The endpoints behind the door, by their names in the topology.
const (
	kratos     = "kratos-public"
	hydra      = "hydra-public"
	api        = "api"
	web        = "web"
	authzOps   = "authz-ops"
	oathkeeper = "oathkeeper-api"
)

// seen is one request that reached an upstream.
type seen struct {
	upstream, method, target, host string
	header                         http.Header
	body                           string
}

// upstream records what reaches it and answers with it.
type upstream struct {
	name   string
	server *http.Server

	mu sync.Mutex
	// begun counts requests from their first byte, also those that a server would not understand.
	begun int
	log   []seen
	// wires hold every byte received, one for each connection.
	wires []*strings.Builder
	// answer, when a test sets one, replaces the echo.
	answer http.HandlerFunc
}

var (
	upstreams = map[string]*upstream{}
	// ports are those of every endpoint, 0 for Envoy's own.
	ports     = map[string]int{}
	authz     = &gate{connections: map[net.Conn]struct{}{}}
	authzGRPC *grpc.Server
)

// startUpstreams chooses a port for every endpoint. Those of Envoy's own listeners are 0: it chooses.
func startUpstreams() error {
	for _, endpoint := range topology.Endpoints {
		ports[endpoint.Name] = 0
	}
	for _, name := range []string{kratos, hydra, api, web, authzOps, oathkeeper} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		u := &upstream{name: name}
		u.server = &http.Server{Handler: u, ConnState: u.state}
		upstreams[name] = u
		ports[name] = l.Addr().(*net.TCPAddr).Port
		go func() {
			if err := u.server.Serve(recorded{l, u}); !errors.Is(err, http.ErrServerClosed) {
				panic(err)
			}
		}()
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ports["authz-grpc"] = l.Addr().(*net.TCPAddr).Port
	authzGRPC = grpc.NewServer()
	authv3.RegisterAuthorizationServer(authzGRPC, authz)
	go func() {
		if err := authzGRPC.Serve(tracked{l, authz}); err != nil {
			panic(err)
		}
	}()
	return nil
}

func stopUpstreams() {
	if authzGRPC != nil {
		authzGRPC.Stop()
	}
	for _, u := range upstreams {
		_ = u.server.Close()
	}
}

func (u *upstream) state(_ net.Conn, state http.ConnState) {
	if state != http.StateActive {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun++
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s := seen{u.name, r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body)}
	u.mu.Lock()
	u.log = append(u.log, s)
	answer := u.answer
	u.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"upstream": s.upstream, "method": s.method, "target": s.target, "headers": s.header})
}

// answers makes the named upstream answer so until the test ends.
func answers(t *testing.T, name string, answer http.HandlerFunc) {
	t.Helper()
	set := func(h http.HandlerFunc) {
		u := upstreams[name]
		u.mu.Lock()
		defer u.mu.Unlock()
		u.answer = h
	}
	set(answer)
	t.Cleanup(func() { set(nil) })
}

// setsCookies makes the named upstream answer with these Set-Cookie headers.
func setsCookies(t *testing.T, name string, cookies ...string) {
	t.Helper()
	answers(t, name, func(w http.ResponseWriter, _ *http.Request) {
		for _, cookie := range cookies {
			w.Header().Add("Set-Cookie", cookie)
		}
		w.WriteHeader(http.StatusOK)
	})
}

// scene forgets what happened before it and chooses how authz answers. Tests do not run in parallel: what
// reached an upstream must be what this test sent.
func scene(t *testing.T, answer decision) {
	t.Helper()
	authz.begin(answer)
	for _, u := range upstreams {
		u.mu.Lock()
		u.log, u.begun = nil, 0
		for _, wire := range u.wires {
			wire.Reset()
		}
		u.mu.Unlock()
	}
}

// backends are the upstreams that are no gate.
func backends() []*upstream {
	var all []*upstream
	for name, u := range upstreams {
		if name != oathkeeper {
			all = append(all, u)
		}
	}
	return all
}

// begun counts the requests that reached a backend, understood or not.
func begun() (n int) {
	for _, u := range backends() {
		u.mu.Lock()
		n += u.begun
		u.mu.Unlock()
	}
	return n
}

// reached returns the request that reached the named upstream. It must be the only one, and no other backend may
// have got any.
func reached(t *testing.T, name string) seen {
	t.Helper()
	u := upstreams[name]
	u.mu.Lock()
	defer u.mu.Unlock()
	require.Len(t, u.log, 1, "requests that reached %s", name)
	for _, other := range backends() {
		if other != u {
			other.mu.Lock()
			n := other.begun
			other.mu.Unlock()
			require.Zero(t, n, "%s got a request that was for %s", other.name, name)
		}
	}
	return u.log[0]
}

// all returns every request that reached the named upstream.
func all(name string) []seen {
	u := upstreams[name]
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]seen(nil), u.log...)
}

func requireNothingReached(t *testing.T) {
	t.Helper()
	for _, u := range backends() {
		u.mu.Lock()
		n := u.begun
		u.mu.Unlock()
		require.Zero(t, n, "a request reached %s:\n%s", u.name, wire(u.name))
	}
}

// wire returns every byte that reached the named upstream.
func wire(name string) string {
	u := upstreams[name]
	u.mu.Lock()
	defer u.mu.Unlock()
	var text strings.Builder
	for _, one := range u.wires {
		text.WriteString(one.String())
	}
	return text.String()
}

// line is a request line as an upstream got it, byte by byte, with the Accept header by which a test may tell the
// request from others.
type line struct{ target, accept string }

func lines(name string) (found []line) {
	for text := range strings.SplitSeq(wire(name), "\r\n") {
		if rest, isRequest := strings.CutSuffix(text, " HTTP/1.1"); isRequest {
			_, target, _ := strings.Cut(rest, " ")
			found = append(found, line{target: target})
		}
		if accept, isAccept := strings.CutPrefix(text, "accept: "); isAccept && len(found) > 0 {
			found[len(found)-1].accept = accept
		}
	}
	return found
}

// targets returns the request targets as the named upstream got them, byte by byte.
func targets(name string) (found []string) {
	for _, one := range lines(name) {
		found = append(found, one.target)
	}
	return found
}

// recorded is a listener whose connections write down what they receive.
type recorded struct {
	net.Listener
	upstream *upstream
}

func (l recorded) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.upstream.mu.Lock()
	defer l.upstream.mu.Unlock()
	wire := &strings.Builder{}
	l.upstream.wires = append(l.upstream.wires, wire)
	return recordedConnection{c, l.upstream, wire}, nil
}

type recordedConnection struct {
	net.Conn
	upstream *upstream
	wire     *strings.Builder
}

func (c recordedConnection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.upstream.mu.Lock()
	defer c.upstream.mu.Unlock()
	c.wire.Write(p[:n])
	return n, err
}

// upgrades accepts a websocket and repeats what it is sent.
func upgrades(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	connection, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = connection.Close() }()
	_, _ = fmt.Fprint(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	line, _ := bufio.NewReader(buffered).ReadString('\n')
	_, _ = io.WriteString(connection, line)
}
