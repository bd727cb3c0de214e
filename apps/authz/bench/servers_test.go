//go:build bench

package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"gatehouse.internal/authz/internal/gatetest"
)

// target is what answers requests.
type target struct {
	name    string
	parts   []part        // whose CPU counts
	weight  float64       // a dear one gets fewer requests, so that all take about as long
	least   time.Duration // of a run
	address string        // of the gate: host:port, or unix:///path
	ask     func(context.Context, request) error
}

// slow is the weight of what takes three times as long or more.
const slow = 1. / 3

// check asks a gate over gRPC. Only OK is an answer.
func check(ctx context.Context, client authv3.AuthorizationClient, r request) (*authv3.CheckResponse, error) {
	out, err := client.Check(ctx, r.question, grpc.WaitForReady(true))
	if err == nil && out.GetStatus().GetCode() != int32(codes.OK) {
		err = fmt.Errorf("answered %v", out)
	}
	return out, err
}

func dial(t *testing.T, address string) authv3.AuthorizationClient {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return authv3.NewAuthorizationClient(connection)
}

// overGRPC asks over one connection, as one worker of Envoy does.
func overGRPC(t *testing.T, name, address string, process *gatetest.Process) target {
	t.Helper()
	client := dial(t, address)
	return target{name: name, parts: []part{{"gate", process.PID}}, weight: 1, address: address, ask: func(ctx context.Context, r request) error {
		_, err := check(ctx, client, r)
		return err
	}}
}

// kept are authz's settings for keeping answers of Kratos and Hydra.
var kept = map[string]any{"cache": map[string]any{"session_ttl": "10s", "introspection_ttl": "10s"}}

// traced is kept, with one decision of a hundred sent to a collector that throws it away.
func traced(t *testing.T) map[string]any {
	t.Helper()
	var received atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		received.Add(1)
	}))
	t.Cleanup(func() {
		collector.Close()
		require.Positive(t, received.Load(), "authz has sent no spans: the row is not about traces")
	})
	settings := maps.Clone(kept)
	settings["tracing"] = map[string]any{"endpoint": collector.URL, "ratio": 0.01}
	return settings
}

// startAuthz starts the built program at the address, or at a free one, with these settings more.
func (w *world) startAuthz(t *testing.T, name, address string, more map[string]any) target {
	t.Helper()
	free := gatetest.FreeAddresses(t, 2)
	if address == "" {
		address = free[0]
	}
	settings := map[string]any{
		"grpc": map[string]any{"address": address}, "ops": map[string]any{"address": free[1]}, "oathkeeper_config": w.oathkeeperConfig,
		"upstream": map[string]any{"timeout": "10s"}, // a busy machine is no outage
	}
	maps.Copy(settings, more)
	file := w.write(t, free[1]+".yml", encode(t, settings)) // JSON is YAML
	process := gatetest.Start(t, nil, nil, w.authz, "serve", "--config", file)
	process.Ready(t, "http://"+free[1]+"/readyz")
	return overGRPC(t, name, address, process)
}

// startFloor starts this program again as a server that answers what authz does and does nothing for it.
func (w *world) startFloor(t *testing.T, like target, address string) target {
	t.Helper()
	folder := t.TempDir()
	client := dial(t, like.address)
	for _, s := range w.scenarios {
		out, err := check(t.Context(), client, s.requests[0])
		require.NoError(t, err, s.name)
		encoded, err := proto.Marshal(out)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, s.name), encoded, 0o600))
	}
	if address == "" {
		address = gatetest.FreeAddresses(t, 1)[0]
	}
	process := gatetest.Start(t, nil, []string{floorFolder + "=" + folder, floorAddress + "=" + address}, os.Args[0])
	return overGRPC(t, "gRPC that does nothing", address, process)
}

const (
	floorFolder  = "GATEHOUSE_BENCH_FLOOR"
	floorAddress = "GATEHOUSE_BENCH_ADDRESS"
)

// floor is that server. The path says which answer is wanted.
type floor struct {
	authv3.UnimplementedAuthorizationServer
	answers map[string]*authv3.CheckResponse
}

func (f floor) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	if out := f.answers[in.GetAttributes().GetRequest().GetHttp().GetPath()]; out != nil {
		return out, nil
	}
	return nil, status.Error(codes.NotFound, "no such scenario")
}

func serveFloor(folder string) error {
	f := floor{answers: map[string]*authv3.CheckResponse{}}
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, file := range files {
		encoded, err := os.ReadFile(filepath.Join(folder, file.Name())) // #nosec G304 -- the bench's own
		if err != nil {
			return err
		}
		out := &authv3.CheckResponse{}
		if err := proto.Unmarshal(encoded, out); err != nil {
			return err
		}
		f.answers[path(file.Name())] = out
	}
	network, address := "tcp", os.Getenv(floorAddress)
	if socket, isSocket := strings.CutPrefix(address, "unix://"); isSocket {
		network, address = "unix", socket
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, f)
	return server.Serve(listener)
}

// startOathkeeper asks its decision API over kept-alive connections.
func (w *world) startOathkeeper(t *testing.T) target {
	t.Helper()
	process := gatetest.StartOathkeeper(t, nil, w.oathkeeperConfig, w.oathkeeperAPI)
	client := newClient()
	return target{name: "Oathkeeper", parts: []part{{"gate", process.PID}}, weight: slow, address: w.oathkeeperAPI, ask: func(ctx context.Context, r request) error {
		_, err := get(ctx, client, w.oathkeeperAPI, "/decisions", r.decision)
		return err
	}}
}

// newClient keeps a connection for each request at a time.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency, DisableCompression: true}}
}

// get returns the body of a 200.
func get(ctx context.Context, client *http.Client, address, path string, header http.Header) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return "", err
	}
	request.Host = host
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %d: %s", response.StatusCode, body)
	}
	return string(body), err
}
