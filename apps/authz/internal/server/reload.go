package server

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/health"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/libs/service"
)

// loggedOverlaps bounds the lines about overlapping rules: one rule for everything overlaps with all others.
const loggedOverlaps = 20

// reloader puts new configurations into use while the service runs. It reads and compares instead of
// watching: that also sees mounted files that are swapped under a link, and network file systems.
type reloader struct {
	loader  *loader
	engine  *engine.Engine
	healthy *health.Server
	metrics *metrics
	log     *slog.Logger
	last    string // the last error, which is logged once and not every interval
}

// reload looks once. Requests that are under way keep the snapshot that they began with.
func (r *reloader) reload(ctx context.Context) {
	snapshot, changed, err := r.loader.load(ctx)
	if changed {
		r.use(snapshot)
	}
	switch {
	case err == nil:
		r.last = ""
	case ctx.Err() != nil: // told to stop
	default:
		r.metrics.reloads.WithLabelValues("failed").Inc()
		if text := err.Error(); text != r.last {
			r.last = text
			r.log.ErrorContext(ctx, "the configuration could not be reloaded, the last good one stays", "error", err)
		}
	}
}

// use makes the snapshot current and says what is wrong with it.
func (r *reloader) use(snapshot *engine.Snapshot) {
	for _, warning := range snapshot.Warnings() {
		r.log.Warn("configuration", "warning", warning)
	}
	for _, warning := range snapshot.OverlapWarnings(loggedOverlaps) {
		r.log.Warn("configuration", "warning", warning)
	}
	rules := snapshot.Rules()
	for _, rule := range rules {
		if !rule.Valid {
			r.log.Error("invalid rule, requests that match it get 500", "rule", rule.ID, "error", rule.Error)
		}
	}
	snapshot.Warm()
	r.engine.Use(snapshot)
	setServing(r.healthy, ready(snapshot))
	r.metrics.loaded(rules, snapshot.Overlaps())
	r.metrics.reloads.WithLabelValues("applied").Inc()
	r.log.Info("configuration", "rules", len(rules))
}

// part looks every interval until the service stops.
func (r *reloader) part(interval time.Duration) service.Part {
	ctx, cancel := context.WithCancel(context.Background())
	return service.Part{
		Name: "reload",
		Serve: func() error {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-ticker.C:
					r.reload(ctx)
				}
			}
		},
		Stop: func(context.Context) error {
			cancel()
			return nil
		},
	}
}
