package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestServiceServesOnAUnixSocketAndDrains(t *testing.T) {
	settings := writeConfig(t, "http://127.0.0.1:1", "http://127.0.0.1:1")
	settings.GRPC.Address = "unix://" + filepath.Join(t.TempDir(), "a.sock")
	settings.Ops.Address = "127.0.0.1:0"
	for range 2 { // the second start finds the first one's socket, or none
		ctx, stop := context.WithCancel(t.Context())
		logs := &lines{}
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, settings, logs) }()

		connection, err := grpc.NewClient(settings.GRPC.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		answer, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
		require.NoError(t, err)
		require.Equal(t, healthv1.HealthCheckResponse_SERVING, answer.GetStatus())
		require.NoError(t, connection.Close())

		stop()
		require.NoError(t, <-ended)
		require.Contains(t, logs.String(), "invalid rule", "a rule that answers 500 is logged at start")
	}
}

func TestServiceRefusesToStart(t *testing.T) {
	settings := writeConfig(t, "http://127.0.0.1:1", "http://127.0.0.1:1")
	settings.GRPC.Address = "unix://" + filepath.Join(t.TempDir(), "a.sock")

	missing := settings
	missing.OathkeeperConfig = "/does/not/exist.yml"
	require.Error(t, Run(t.Context(), missing, &lines{}))

	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	taken := settings
	taken.Ops.Address = listener.Addr().String()
	require.ErrorContains(t, Run(t.Context(), taken, &lines{}), "ops")

	notASocket := settings
	notASocket.GRPC.Address = "unix://" + settings.OathkeeperConfig
	require.ErrorContains(t, Run(t.Context(), notASocket, &lines{}), "grpc", "a file that is no socket is never removed")
	require.FileExists(t, settings.OathkeeperConfig)
}

func TestSocketOfARunningServiceIsNotTakenAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	first, err := listen("unix://" + path)
	require.NoError(t, err)
	_, err = listen("unix://" + path)
	require.ErrorContains(t, err, "in use")

	first.(*net.UnixListener).SetUnlinkOnClose(false) // as when it is killed
	require.NoError(t, first.Close())
	second, err := listen("unix://" + path)
	require.NoError(t, err)
	require.NoError(t, second.Close())
}

func TestServiceStoppedBeforeItServesEndsWell(t *testing.T) {
	settings := writeConfig(t, "http://127.0.0.1:1", "http://127.0.0.1:1")
	settings.GRPC.Address, settings.Ops.Address = "127.0.0.1:0", "127.0.0.1:0"
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for range 20 {
		require.NoError(t, Run(ctx, settings, &lines{}))
	}
}

func TestDecisionInFlightIsFinishedBeforeTheServiceStops(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	kratos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		_, _ = io.WriteString(w, `{"active":true,"identity":{"id":"u-1","traits":{"email":"a@b.c"}}}`)
	}))
	t.Cleanup(kratos.Close)
	settings := writeConfig(t, kratos.URL, "http://127.0.0.1:1")
	settings.GRPC.Address, settings.Ops.Address = "unix://"+filepath.Join(t.TempDir(), "a.sock"), "127.0.0.1:0"
	settings.Upstream.Timeout, settings.Drain = time.Minute, time.Minute
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, settings, &lines{}) }()

	connection, err := grpc.NewClient(settings.GRPC.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	health := healthv1.NewHealthClient(connection)
	_, err = health.Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	require.NoError(t, err)
	type answer struct {
		out *authv3.CheckResponse
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		out, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), call{path: "/page", headers: []string{"cookie", "ory_kratos_session=s"}}.request())
		answered <- answer{out, err}
	}()
	<-asked
	stop()
	close(release)
	got := <-answered
	require.NoError(t, got.err)
	require.NotNil(t, got.out.GetOkResponse(), "%v", got.out)
	require.NoError(t, <-ended)
}
