// Package jobs runs River, the queue in Postgres. Parts enqueue with the transaction of what they did and bring workers;
// several processes share the work. It is the only package that knows how River is set up.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"gatehouse.internal/libs/service"
)

// Queue enqueues jobs.
type Queue struct{ client *river.Client[pgx.Tx] }

// NewQueue enqueues in the database of pool. It runs nothing.
func NewQueue(pool *pgxpool.Pool) (*Queue, error) {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return nil, fmt.Errorf("river: %w", err)
	}
	return &Queue{client}, nil
}

// InsertTx enqueues a job that exists when, and only when, tx commits.
func (q *Queue) InsertTx(ctx context.Context, tx pgx.Tx, job river.JobArgs) error {
	_, err := q.client.InsertTx(ctx, tx, job, nil)
	return err
}

// Insert enqueues a job now.
func (q *Queue) Insert(ctx context.Context, job river.JobArgs) error {
	_, err := q.client.Insert(ctx, job, nil)
	return err
}

// Work is what a process does: the workers of all kinds, and what starts by the clock.
type Work struct {
	Workers  *river.Workers
	Periodic []*river.PeriodicJob
	// Parallel is how many jobs run at once in this process. Each may hold connections of the pool.
	Parallel int
}

const (
	// timeout is a job's unless its worker has another.
	timeout = 30 * time.Second
	// rescue is when a job of a process that died starts again.
	rescue = time.Minute
	// kept is how long finished jobs stay to be looked at.
	kept = time.Hour
)

// Part runs jobs until the service stops.
func Part(pool *pgxpool.Pool, log *slog.Logger, work Work) (service.Part, error) {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Workers:                     work.Workers,
		PeriodicJobs:                work.Periodic,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: work.Parallel}},
		JobTimeout:                  timeout,
		RescueStuckJobsAfter:        rescue,
		CompletedJobRetentionPeriod: kept,
		RetryPolicy:                 backoff{},
		// Rebuilding an index takes its owner, which the service is not.
		ReindexerSchedule: river.NeverSchedule(),
		Logger:            slog.New(warnings{log.With(slog.String("part", "jobs")).Handler()}),
	})
	if err != nil {
		return service.Part{}, fmt.Errorf("river: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return service.Part{
		Name: "jobs",
		Serve: func() error {
			if err := start(ctx, client, log); err != nil {
				return err
			}
			<-client.Stopped()
			return nil
		},
		Stop: func(within context.Context) error {
			defer cancel()
			if err := client.Stop(within); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			cancel()
			return nil
		},
	}, nil
}

// start tries until the database is there and migrated: a service that waits for its database starts all the same, and says
// that it is not ready.
func start(ctx context.Context, client *river.Client[pgx.Tx], log *slog.Logger) error {
	for {
		err := client.Start(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		log.WarnContext(ctx, "jobs do not run yet", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
	}
}

// backoff doubles from a second to a minute. River's own grows to days, which an index must not be behind.
type backoff struct{}

// NextRetry implements river.ClientRetryPolicy.
func (backoff) NextRetry(job *rivertype.JobRow) time.Time {
	pause := time.Minute
	if failures := len(job.Errors); failures < 6 {
		pause = time.Second << failures
	}
	jitter := time.Duration(rand.Int64N(int64(pause / 4))) //nolint:gosec // spreads tries, hides nothing
	return time.Now().Add(pause + jitter)
}

// warnings keeps River's reports of every few seconds out of the log.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(attributes []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attributes)}
}

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
