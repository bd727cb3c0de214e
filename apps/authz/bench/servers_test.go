//go:build bench

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// target is one server process under load.
type target struct {
	name  string
	pid   int
	share int // it gets 1/share of the requests
	ask   func(ctx context.Context, s scenario) error
	// check is for servers that speak ext_authz.
	check func(ctx context.Context, s scenario) (*authv3.CheckResponse, error)
}

// start runs a server until the test ends. Its output, a log line per decision, goes nowhere.
func start(t *testing.T, environment []string, command ...string) int {
	t.Helper()
	process := exec.Command(command[0], command[1:]...) // #nosec G204 -- ours, or named by the tester
	process.Env = append(os.Environ(), environment...)
	require.NoError(t, process.Start())
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	return process.Process.Pid
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// grpcTarget asks over one connection, as one worker of Envoy does.
func (w *world) grpcTarget(t *testing.T, name, address string, pid int) target {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	client := authv3.NewAuthorizationClient(connection)
	check := func(ctx context.Context, s scenario) (*authv3.CheckResponse, error) {
		out, err := client.Check(ctx, s.question, grpc.WaitForReady(true))
		if err == nil && out.GetStatus().GetCode() != int32(codes.OK) {
			err = fmt.Errorf("answered %v", out)
		}
		return out, err
	}
	return target{name: name, pid: pid, share: 1, check: check, ask: func(ctx context.Context, s scenario) error {
		_, err := check(ctx, s)
		return err
	}}
}

func (w *world) startAuthz(t *testing.T, name string, cache map[string]any) target {
	t.Helper()
	address := freeAddress(t)
	config := w.writeSettings(t, name, address, cache)
	return w.grpcTarget(t, name, address, start(t, nil, w.authz, "serve", "--config", config))
}

// startFloor starts this program again as a server that answers what authz does and does nothing for it.
func (w *world) startFloor(t *testing.T, like target) target {
	t.Helper()
	folder := t.TempDir()
	for _, s := range w.scenarios {
		out, err := like.check(t.Context(), s)
		require.NoError(t, err, s.name)
		encoded, err := proto.Marshal(out)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, s.name), encoded, 0o600))
	}
	address := freeAddress(t)
	pid := start(t, []string{floorFolder + "=" + folder, floorAddress + "=" + address}, os.Args[0])
	return w.grpcTarget(t, "gRPC that does nothing", address, pid)
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
	for _, name := range scenarioNames {
		encoded, err := os.ReadFile(filepath.Join(folder, name)) // #nosec G304 -- the bench's own
		if err != nil {
			return err
		}
		out := &authv3.CheckResponse{}
		if err := proto.Unmarshal(encoded, out); err != nil {
			return err
		}
		f.answers[path(name)] = out
	}
	listener, err := net.Listen("tcp", os.Getenv(floorAddress))
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
	binary := os.Getenv("GATEHOUSE_TEST_OATHKEEPER")
	require.NotEmpty(t, binary, "GATEHOUSE_TEST_OATHKEEPER must name the Oathkeeper to compare with; `make bench-authz` sets it")
	api := "http://" + w.oathkeeperAPI
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency, DisableCompression: true}}
	pid := start(t, []string{"SQA_OPT_OUT=true"}, binary, "serve", "-c", w.oathkeeperConfig)
	ask := func(ctx context.Context, url string, header http.Header) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		request.Header = header
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %d", response.StatusCode)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := errors.New("not asked")
	for pause := time.NewTicker(50 * time.Millisecond); err != nil; {
		select {
		case <-pause.C:
			err = ask(ctx, api+"/health/ready", nil)
		case <-ctx.Done():
			require.NoError(t, err, "Oathkeeper does not become ready")
		}
	}
	return target{name: "Oathkeeper", pid: pid, share: 3, ask: func(ctx context.Context, s scenario) error {
		return ask(ctx, api+"/decisions", s.header)
	}}
}
