package server

import (
	"context"
	"io"

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
	m := newMetrics()
	snapshot, err := Load(s, m.upstreamFailed)
	if err != nil {
		return err
	}
	for _, warning := range snapshot.Warnings() {
		log.Warn("configuration", "warning", warning)
	}
	rules := snapshot.Rules()
	for _, rule := range rules {
		if !rule.Valid {
			log.Error("invalid rule, requests that match it get 500", "rule", rule.ID, "error", rule.Error)
		}
	}
	m.loaded(rules)
	snapshot.Warm()
	e := &engine.Engine{}
	e.Use(snapshot)

	grpcServer, healthy := newGRPC(&door{engine: e, metrics: m, log: log}, log)
	grpcPart, err := grpcPart(s.GRPC.Address, grpcServer, healthy)
	if err != nil {
		return err
	}
	handler, health := ops(e, m)
	opsPart, err := service.HTTP("ops", s.Ops.Address, handler)
	if err != nil {
		return err
	}
	log.Info("serving", "grpc", s.GRPC.Address, "ops", s.Ops.Address, "rules", len(rules))
	// The ops port stops last, so that a probe can still see the drain.
	return service.Run(ctx, s.Drain, health.Drain, opsPart, grpcPart)
}
