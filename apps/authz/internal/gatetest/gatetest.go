// Package gatetest is what the tests and measurements share that run authz beside the real Oathkeeper: it starts
// programs, makes keys and writes questions as Envoy does. Only tests import it.
package gatetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

// Patience bounds what would otherwise hang; no result depends on it.
const Patience = 20 * time.Second

// Process is a running program.
type Process struct {
	PID    int
	name   string
	output io.Writer
	kill   context.CancelFunc
	ended  chan struct{}
}

// Start runs a program until Stop or the end of the test. What it prints goes to output; nil throws it away.
func Start(t *testing.T, output io.Writer, environment []string, command ...string) *Process {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context())
	program := exec.CommandContext(ctx, command[0], command[1:]...) // #nosec G702 -- ours, or named by the tester
	program.Env = append(os.Environ(), environment...)
	program.Stdout, program.Stderr = output, output
	require.NoError(t, program.Start())
	p := &Process{PID: program.Process.Pid, name: command[0], output: output, kill: kill, ended: make(chan struct{})}
	go func() {
		_ = program.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.Stop)
	return p
}

// Stop kills the program and waits for its end.
func (p *Process) Stop() {
	p.kill()
	<-p.ended
}

// Ready waits until url answers 200. It fails the test when the program ends before or takes longer than Patience.
func (p *Process) Ready(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		require.NoError(t, err)
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-p.ended:
			require.FailNow(t, p.name+" does not start", p.output)
		case <-ctx.Done():
			p.Stop() // it writes no more output then
			require.FailNow(t, p.name+" does not become ready", p.output)
		}
	}
}

// StartOathkeeper starts the program that GATEHOUSE_TEST_OATHKEEPER names, whose decision API is at api, and waits
// until it has loaded its rules.
func StartOathkeeper(t *testing.T, output io.Writer, config, api string, environment ...string) *Process {
	t.Helper()
	program := os.Getenv("GATEHOUSE_TEST_OATHKEEPER")
	require.NotEmpty(t, program, "GATEHOUSE_TEST_OATHKEEPER must name the Oathkeeper to compare with; make sets it")
	p := Start(t, output, append(environment, "SQA_OPT_OUT=true"), program, "serve", "-c", config)
	p.Ready(t, "http://"+api+"/health/ready")
	return p
}

// FreeAddresses returns different host:port on loopback at which nobody listens.
func FreeAddresses(t *testing.T, count int) []string {
	t.Helper()
	out := make([]string, count)
	for i := range out {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = listener.Close() }() // not before all are chosen
		out[i] = listener.Addr().String()
	}
	return out
}

// Port is that of a host:port.
func Port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// SigningKeys is a new private JWK Set for identity tokens.
func SigningKeys(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	out, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "door", Algorithm: "ES256", Use: "sig"}}})
	require.NoError(t, err)
	return out
}

// Question is a request as Envoy asks about it with encode_raw_headers: names in lower case, pseudo-headers among
// them, the path as it was sent.
func Question(method, scheme, host, path string, headers [][2]string) *authv3.CheckRequest {
	fields := &corev3.HeaderMap{}
	for _, h := range append([][2]string{
		{":authority", host}, {":path", path}, {":method", method}, {":scheme", scheme}, {"x-forwarded-proto", scheme},
	}, headers...) {
		fields.Headers = append(fields.Headers, &corev3.HeaderValue{Key: strings.ToLower(h[0]), RawValue: []byte(h[1])})
	}
	source := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "127.0.0.1"}}}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: source},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: method, Scheme: scheme, Host: host, Path: path, HeaderMap: fields,
		}},
	}}
}
