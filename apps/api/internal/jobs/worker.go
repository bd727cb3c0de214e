package jobs

import (
	"context"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Worker returns a function as a worker of jobs whose arguments are T. timeout is how long one may take, 0 the queue's.
func Worker[T river.JobArgs](timeout time.Duration, work func(ctx context.Context, job T) error) river.Worker[T] {
	return &worker[T]{work: work, timeout: timeout}
}

type worker[T river.JobArgs] struct {
	river.WorkerDefaults[T]
	work    func(ctx context.Context, job T) error
	timeout time.Duration
}

// Work implements river.Worker.
func (w *worker[T]) Work(ctx context.Context, job *river.Job[T]) error { return w.work(ctx, job.Args) }

// Timeout implements river.Worker.
func (w *worker[T]) Timeout(*river.Job[T]) time.Duration { return w.timeout }

// Once are the options of a job that starts by the clock: one at a time, and not tried again, since the next comes by itself.
func Once() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning,
		rivertype.JobStateScheduled,
	}}}
}

// Every starts job at intervals, the first time when a process takes the lead. Of several processes one does.
func Every(interval time.Duration, job river.JobArgs) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(interval),
		func() (river.JobArgs, *river.InsertOpts) { return job, nil }, &river.PeriodicJobOpts{RunOnStart: true})
}
