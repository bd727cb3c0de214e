// Package prune deletes what has expired: answers kept for repeated requests, and revocations that no credential outlives.
package prune

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/prune/row"
)

// Job prunes once.
type Job struct{}

// Kind implements river.JobArgs.
func (Job) Kind() string { return "prune" }

// InsertOpts implements river.JobArgsWithInsertOpts. The next one comes by itself.
func (Job) InsertOpts() river.InsertOpts { return jobs.Once() }

const (
	interval = time.Hour
	timeout  = 5 * time.Minute
)

// Register adds the worker.
func Register(workers *river.Workers, pool *pgxpool.Pool) {
	river.AddWorker(workers, jobs.Worker(timeout, func(ctx context.Context, _ Job) error {
		keys, err := row.New(pool).IdempotencyKeys(ctx)
		revocations, also := feed.Prune(ctx, pool)
		slog.DebugContext(ctx, "pruned", "idempotency_keys", keys, "revocations", revocations)
		return errors.Join(err, also)
	}))
}

// Periodic prunes every hour.
func Periodic() *river.PeriodicJob { return jobs.Every(interval, Job{}) }
