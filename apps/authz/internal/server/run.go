package server

import (
	"context"
	"io"
	"os"
	"runtime/debug"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/libs/service"
	"gatehouse.internal/libs/telemetry"
)

// Run serves until ctx ends or a signal arrives. Logs go to out.
func Run(ctx context.Context, s Settings, out io.Writer) error {
	log, err := telemetry.NewLogger(out, "authz", s.Log.Level)
	if err != nil {
		return err
	}
	collectLess()
	spans, err := telemetry.StartSpans(ctx, s.Tracing, "authz", log)
	if err != nil {
		return err
	}
	defer spans.Stop()
	m := newMetrics()
	revocations, following, err := followRevocations(ctx, s.Revocation, m, log)
	if err != nil {
		return err
	}
	loader := newLoader(s, m.upstreamFailed)
	loader.options.Revocations = revocations
	m.registry.MustRegister(loader.options.Upstream)
	m.registry.MustRegister(s.keep(&loader.options)...)
	snapshot, _, err := loader.load(ctx)
	if err != nil {
		return err
	}
	e := &engine.Engine{}
	grpcServer, healthy := newGRPC(&door{engine: e, metrics: m, log: log, lines: newLineLimits(s.Log.AllowLinesPerSecond)}, log, spans)
	reload := &reloader{loader: loader, engine: e, healthy: healthy, metrics: m, log: log}
	reload.use(snapshot)

	grpcPart, err := grpcPart(s.GRPC.Address, grpcServer, healthy)
	if err != nil {
		return err
	}
	handler, health := ops(e, m, s.Explain)
	opsPart, err := service.HTTP("ops", s.Ops.Address, handler)
	if err != nil {
		return err
	}
	log.Info("serving", "grpc", s.GRPC.Address, "ops", s.Ops.Address)
	// The ops port stops last, so that a probe can still see the drain.
	parts := append([]service.Part{opsPart, reload.part(s.Reload.Interval)}, following...)
	return service.Run(ctx, s.Drain, health.Drain, append(parts, grpcPart)...)
}

// collectLess lets the heap grow to five times what is in use before it is collected, unless GOGC says otherwise.
// What is in use is little, and a decision leaves more behind than it keeps: with Go's own factor of two a third
// of a warm decision's time goes to collections, and to stacks that they shrink. GOMEMLIMIT bounds it all the same.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
