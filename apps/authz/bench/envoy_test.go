//go:build bench

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/gatetest"
)

// door is one of Envoy's listeners, with the gate that it asks.
type door struct {
	Name, Listen string
	// Protocol of ext_authz: grpc, http, or empty where nobody is asked.
	Protocol string
	// Port or Socket of the gate.
	Port, Socket string
	gate         target
}

// One Envoy with a listener for each gate. Kratos and Hydra are fakes. An HTTP/1.1 client with kept-alive connections
// asks, and the upstream says whom it was told of.
func TestThroughEnvoy(t *testing.T) {
	w := newWorld(t, fakeServers(t))
	w.scenarios = w.scenarios[:2] // behind Envoy an introspection costs what a session does
	socket := func(name string) string { return "unix://" + filepath.Join(w.folder, name+".sock") }
	authz := w.startAuthz(t, "authz", "", kept)
	doors := []*door{
		{Name: "no ext_authz"},
		{Name: "gRPC that does nothing, TCP", Protocol: "grpc", gate: w.startFloor(t, authz, "")},
		{Name: "gRPC that does nothing, Unix socket", Protocol: "grpc", gate: w.startFloor(t, authz, socket("floor"))},
		{Name: "authz, answers kept 10 s, TCP", Protocol: "grpc", gate: authz},
		{Name: "authz, answers kept 10 s, Unix socket", Protocol: "grpc", gate: w.startAuthz(t, "", socket("authz"), kept)},
		{Name: "Oathkeeper, HTTP", Protocol: "http", gate: w.startOathkeeper(t)},
	}
	envoy := w.startEnvoy(t, doors)
	var targets []target
	for _, d := range doors {
		targets = append(targets, d.target(envoy))
	}
	measure(t, "envoy", w.scenarios, targets)
}

// startEnvoy starts the program that GATEHOUSE_TEST_ENVOY names, with as many workers as the stack's.
func (w *world) startEnvoy(t *testing.T, doors []*door) *gatetest.Process {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-User-Id")) }))
	t.Cleanup(upstream.Close)
	free := gatetest.FreeAddresses(t, len(doors)+1)
	admin := free[len(doors)]
	for i, d := range doors {
		d.Listen = gatetest.Port(free[i])
		if path, isSocket := strings.CutPrefix(d.gate.address, "unix://"); isSocket {
			d.Socket = path
		} else {
			d.Port = gatetest.Port(d.gate.address)
		}
	}
	config, err := template.New("envoy.yaml").Delims("<%", "%>").ParseFiles(filepath.Join("testdata", "envoy.yaml"))
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, config.Execute(&text, map[string]any{
		"Admin": gatetest.Port(admin), "Upstream": gatetest.Port(upstream.URL), "Doors": doors,
		"Removed": []string{"x-user-", "x-client-", "x-subject-", "x-auth-", "x-original-", "x-forwarded-", "x-envoy-"},
	}))
	file := w.write(t, "envoy.yaml", text.Bytes())
	envoy := gatetest.Start(t, nil, nil, variable(t, "GATEHOUSE_TEST_ENVOY"), "-c", file, "--concurrency", "2", "--disable-hot-restart", "--log-level", "warning")
	envoy.Ready(t, "http://"+admin+"/ready")
	return envoy
}

// target asks through the door. The upstream's own CPU is nobody's.
func (d *door) target(envoy *gatetest.Process) target {
	out := target{name: d.Name, parts: append([]part{{"Envoy", envoy.PID}}, d.gate.parts...), weight: 1}
	if d.Protocol == "http" {
		out.weight = slow
	}
	client := newClient()
	out.ask = func(ctx context.Context, r request) error {
		told, err := get(ctx, client, "127.0.0.1:"+d.Listen, r.path, r.sent)
		if err != nil {
			return err
		}
		if asked := d.Protocol != ""; asked && told != r.subject || !asked && told != "" {
			return fmt.Errorf("the upstream is told of %q", told)
		}
		return nil
	}
	return out
}
