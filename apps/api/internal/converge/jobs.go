package converge

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"gatehouse.internal/api/internal/converge/row"
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

// InsertOpts implements river.JobArgsWithInsertOpts. One at a time is enough, and the next comes by itself.
func (ReconcileJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByState: unfinished}}
}

// PruneJob deletes what has expired.
type PruneJob struct{}

// Kind implements river.JobArgs.
func (PruneJob) Kind() string { return "prune" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (PruneJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByState: unfinished}}
}

var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning,
	rivertype.JobStateScheduled,
}

// How long the periodic jobs may take.
const (
	reconcileTimeout = 10 * time.Minute
	pruneTimeout     = 5 * time.Minute
	pruneInterval    = time.Hour
)

// Register adds the workers of this package.
func (c *Converger) Register(workers *river.Workers, options ReconcileOptions) {
	river.AddWorker(workers, &worker[Job]{work: func(ctx context.Context, job Job) error {
		return c.converge(ctx, Mark{permission.Object{Namespace: job.Namespace, ID: job.ID}, job.Version})
	}})
	river.AddWorker(workers, &worker[ReconcileJob]{timeout: reconcileTimeout, work: func(ctx context.Context, _ ReconcileJob) error {
		options.Show = func(plan Plan) error {
			level := slog.LevelInfo
			if !plan.Empty() {
				level = slog.LevelWarn
			}
			slog.Log(ctx, level, "reconcile", "plan", plan.Summary())
			return nil
		}
		_, err := c.Reconcile(ctx, options)
		return err
	}})
	river.AddWorker(workers, &worker[PruneJob]{timeout: pruneTimeout, work: func(ctx context.Context, _ PruneJob) error {
		return c.prune(ctx)
	}})
}

// Periodic are the jobs that start by the clock. Of several processes one starts them.
func Periodic(reconcile time.Duration) []*river.PeriodicJob {
	return []*river.PeriodicJob{
		river.NewPeriodicJob(river.PeriodicInterval(reconcile),
			func() (river.JobArgs, *river.InsertOpts) { return ReconcileJob{}, nil }, &river.PeriodicJobOpts{RunOnStart: true}),
		river.NewPeriodicJob(river.PeriodicInterval(pruneInterval),
			func() (river.JobArgs, *river.InsertOpts) { return PruneJob{}, nil }, &river.PeriodicJobOpts{RunOnStart: true}),
	}
}

// prune deletes answers and revocations whose time is over. index_state needs none of this: a converge forgets an object
// that is gone.
func (c *Converger) prune(ctx context.Context) error {
	rows := row.New(c.pool)
	keys, err := rows.PruneIdempotencyKeys(ctx)
	if err != nil {
		return err
	}
	revocations, err := rows.PruneRevocations(ctx)
	if err != nil {
		return err
	}
	slog.DebugContext(ctx, "pruned", "idempotency_keys", keys, "revocations", revocations)
	return nil
}

// worker is a function as River's worker.
type worker[T river.JobArgs] struct {
	river.WorkerDefaults[T]
	work    func(ctx context.Context, job T) error
	timeout time.Duration // 0: the queue's
}

// Work implements river.Worker.
func (w *worker[T]) Work(ctx context.Context, job *river.Job[T]) error { return w.work(ctx, job.Args) }

// Timeout implements river.Worker.
func (w *worker[T]) Timeout(*river.Job[T]) time.Duration { return w.timeout }
