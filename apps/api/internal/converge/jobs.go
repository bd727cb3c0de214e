package converge

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/permission"
)

// Job converges one object up to a version; 0 is always.
type Job struct {
	Namespace permission.Namespace `json:"namespace"`
	ID        string               `json:"id"`
	Version   int64                `json:"version,omitempty"`
}

// Kind implements river.JobArgs.
func (Job) Kind() string { return "converge" }

// InsertOpts implements river.JobArgsWithInsertOpts. At one try a minute this is most of an hour; after that the periodic
// reconciliation sees to the object.
func (Job) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 50} }

// ReconcileJob compares everything and repairs it.
type ReconcileJob struct{}

// Kind implements river.JobArgs.
func (ReconcileJob) Kind() string { return "reconcile" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (ReconcileJob) InsertOpts() river.InsertOpts { return jobs.Once() }

const reconcileTimeout = 10 * time.Minute

// Register adds the workers of this package. options are those of the periodic reconciliation, whose plan goes to the log
// before it is applied.
func (c *Converger) Register(workers *river.Workers, options ReconcileOptions) {
	options.Show = func(plan Plan) error {
		level := slog.LevelInfo
		if !plan.Empty() {
			level = slog.LevelWarn
		}
		slog.Log(context.Background(), level, "reconcile", "plan", plan.Summary())
		return nil
	}
	river.AddWorker(workers, jobs.Worker(0, func(ctx context.Context, job Job) error {
		return c.converge(ctx, Mark{permission.Object{Namespace: job.Namespace, ID: job.ID}, job.Version})
	}))
	river.AddWorker(workers, jobs.Worker(reconcileTimeout, func(ctx context.Context, _ ReconcileJob) error {
		_, err := c.Reconcile(ctx, options)
		return err
	}))
}

// Periodic reconciles at intervals.
func Periodic(interval time.Duration) *river.PeriodicJob { return jobs.Every(interval, ReconcileJob{}) }
