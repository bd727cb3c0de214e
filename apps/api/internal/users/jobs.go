package users

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"gatehouse.internal/api/internal/users/row"
)

// OperationJob advances an operation on a person.
type OperationJob struct {
	Operation uuid.UUID `json:"operation"`
}

// Kind implements river.JobArgs.
func (OperationJob) Kind() string { return "users.operation" }

// InsertOpts implements river.JobArgsWithInsertOpts. At one try a minute this outlasts a night; after that the sweep begins
// anew.
func (OperationJob) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 1000} }

// ChangedJob looks at an identity that Kratos said has changed. It is not unique in River's sense: that counts running jobs,
// and one that runs may have read the identity before it changed.
type ChangedJob struct {
	Identity uuid.UUID `json:"identity"`
}

// Kind implements river.JobArgs.
func (ChangedJob) Kind() string { return "users.changed" }

// InsertOpts implements river.JobArgsWithInsertOpts. What is given up the sweep finds.
func (ChangedJob) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 20} }

// SweepJob compares everybody with Kratos.
type SweepJob struct{}

// Kind implements river.JobArgs.
func (SweepJob) Kind() string { return "users.sweep" }

// InsertOpts implements river.JobArgsWithInsertOpts. One at a time is enough, and the next comes by itself.
func (SweepJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning,
		rivertype.JobStateScheduled,
	}}}
}

// sweepTimeout is enough for a first sweep of some hundred thousand people; the next goes on where it ended.
const sweepTimeout = time.Hour

// Register adds the workers of this package.
func Register(workers *river.Workers, saga *Saga, sweep *Sweep) {
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[OperationJob]) error {
		return saga.Advance(ctx, job.Args.Operation)
	}))
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[ChangedJob]) error {
		return saga.Notice(ctx, job.Args.Identity)
	}))
	river.AddWorker(workers, &sweeper{sweep: sweep, saga: saga})
}

// Periodic starts the sweep by the clock. Of several processes one does.
func Periodic(interval time.Duration) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(interval),
		func() (river.JobArgs, *river.InsertOpts) { return SweepJob{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}

type sweeper struct {
	river.WorkerDefaults[SweepJob]
	sweep *Sweep
	saga  *Saga
}

// Timeout implements river.Worker.
func (*sweeper) Timeout(*river.Job[SweepJob]) time.Duration { return sweepTimeout }

// Work implements river.Worker.
func (w *sweeper) Work(ctx context.Context, _ *river.Job[SweepJob]) error {
	plan, err := w.sweep.Plan(ctx)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if !plan.Empty() {
		level = slog.LevelWarn
	}
	slog.Log(ctx, level, "sweep", "plan", plan.String())
	if err := w.sweep.Apply(ctx, plan); err != nil {
		return err
	}
	return w.saga.resume(ctx)
}

// resume enqueues operations whose job is lost: given up, or of a database that was restored.
func (s *Saga) resume(ctx context.Context) error {
	open, err := row.New(s.directory.pool).OpenOperations(ctx)
	if err != nil {
		return err
	}
	for _, id := range open {
		err := pgx.BeginFunc(ctx, s.directory.pool, func(tx pgx.Tx) error { return s.Enqueue(ctx, tx, id) })
		if err != nil {
			return err
		}
	}
	return nil
}
