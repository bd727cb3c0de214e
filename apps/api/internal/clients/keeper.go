package clients

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"gatehouse.internal/api/internal/jobs"
)

// Keeper keeps Hydra's clients and the rows together, in the background.
type Keeper struct {
	pool   *pgxpool.Pool
	server Server
	log    *slog.Logger
	now    func() time.Time
	// maxOrphans is the most clients that one sweep removes.
	maxOrphans int
}

// NewKeeper returns the keeper of the clients in pool.
func NewKeeper(pool *pgxpool.Pool, server Server, log *slog.Logger, maxOrphans int, now func() time.Time) *Keeper {
	return &Keeper{pool: pool, server: server, log: log, now: now, maxOrphans: maxOrphans}
}

// SweepJob compares all clients with Hydra's.
type SweepJob struct{}

// Kind implements river.JobArgs.
func (SweepJob) Kind() string { return "clients.sweep" }

// InsertOpts implements river.JobArgsWithInsertOpts. The next one comes by itself.
func (SweepJob) InsertOpts() river.InsertOpts { return jobs.Once() }

// sweepTimeout is enough for ten thousand clients.
const sweepTimeout = 5 * time.Minute

// Register adds the workers of this package.
func Register(workers *river.Workers, k *Keeper) {
	river.AddWorker(workers, jobs.Worker(0, k.forget))
	river.AddWorker(workers, jobs.Worker(0, k.end))
	river.AddWorker(workers, jobs.Worker(sweepTimeout, func(ctx context.Context, _ SweepJob) error { return k.Sweep(ctx) }))
}

// Periodic starts the sweep by the clock.
func Periodic(interval time.Duration) *river.PeriodicJob { return jobs.Every(interval, SweepJob{}) }
