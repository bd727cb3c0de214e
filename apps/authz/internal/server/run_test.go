package server

import (
	"context"
	"net"
	"path/filepath"
	"testing"

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
