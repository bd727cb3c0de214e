package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/envoy"
	"gatehouse.internal/libs/service"
	"gatehouse.internal/libs/telemetry"
)

// maxCheck bounds one CheckRequest, in bytes: Envoy's headers are at most 60 KiB by default, and bodies are not sent.
const maxCheck = 1 << 20

// streamWorkers are goroutines that wait for requests. One that is begun for a request first grows its stack, which
// takes longer than most decisions. When all of them wait for a server, gRPC begins more as it would without.
const streamWorkers = 64

func newGRPC(d *door, log *slog.Logger, spans *telemetry.Spans) (*grpc.Server, *health.Server) {
	interceptors := []grpc.UnaryServerInterceptor{recovering(log, d.metrics)}
	if spans != nil {
		interceptors = append([]grpc.UnaryServerInterceptor{traced(spans)}, interceptors...)
	}
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxCheck),
		grpc.ForceServerCodecV2(envoy.NewCodec()),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.ChainUnaryInterceptor(interceptors...),
	)
	envoy.Register(server, d)
	healthy := health.NewServer()
	healthv1.RegisterHealthServer(server, healthy)
	setServing(healthy, errNoRules) // until there is a configuration
	return server, healthy
}

// setServing tells gRPC health checks what /readyz tells others, for the server as a whole and for the service by
// its name: an Envoy that checks its hosts leaves one alone that could answer nothing but 404 and 500.
func setServing(healthy *health.Server, problem error) {
	status := healthv1.HealthCheckResponse_SERVING
	if problem != nil {
		status = healthv1.HealthCheckResponse_NOT_SERVING
	}
	healthy.SetServingStatus("", status)
	healthy.SetServingStatus(authv3.Authorization_ServiceDesc.ServiceName, status)
}

// recovering answers a panic with an error, which Envoy does not take for a yes.
func recovering(log *slog.Logger, m *metrics) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (out any, err error) {
		defer func() {
			if recovered := recover(); recovered != nil {
				// The value may quote the request; the stack says where.
				log.ErrorContext(ctx, "panic", "type", fmt.Sprintf("%T", recovered), "stack", string(debug.Stack()))
				m.decided(engine.Decision{Outcome: engine.Failed}, 0)
				out, err = nil, status.Error(codes.Internal, "the request could not be decided about")
			}
		}()
		return next(ctx, in)
	}
}

func grpcPart(address string, server *grpc.Server, healthy *health.Server) (service.Part, error) {
	listener, err := listen(address)
	if err != nil {
		return service.Part{}, fmt.Errorf("grpc: %w", err)
	}
	return service.Part{
		Name: "grpc",
		Serve: func() error {
			if err := server.Serve(listener); !errors.Is(err, grpc.ErrServerStopped) {
				return err
			}
			return nil // told to stop before it began
		},
		Stop: func(ctx context.Context) error {
			healthy.Shutdown()
			stopped := make(chan struct{})
			go func() { server.GracefulStop(); close(stopped) }()
			select {
			case <-stopped:
				return nil
			case <-ctx.Done():
				server.Stop() // ends GracefulStop too
				<-stopped
				return ctx.Err()
			}
		},
	}, nil
}

func listen(address string) (net.Listener, error) {
	var config net.ListenConfig
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		return config.Listen(context.Background(), "tcp", address)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		// A killed process leaves its socket behind. One that still answers is another's to remove: it
		// would take ours away when it ends.
		if connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path); err == nil {
			_ = connection.Close()
			return nil, fmt.Errorf("%s is in use", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return config.Listen(context.Background(), "unix", path)
}
