package jobs

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
)

func TestRetriesSlowDownToOneAMinute(t *testing.T) {
	for failures, least := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 6: time.Minute, 40: time.Minute} {
		before := time.Now()
		next := backoff{}.NextRetry(&rivertype.JobRow{Errors: make([]rivertype.AttemptError, failures)})
		require.WithinRange(t, next, before.Add(least), time.Now().Add(least+least/4), "%d failures", failures)
	}
}

type nothing struct{}

func (nothing) Kind() string { return "nothing" }

// signal tells that something was logged.
type signal struct {
	slog.Handler
	logged chan<- struct{}
}

func (s signal) Enabled(context.Context, slog.Level) bool { return true }

func (s signal) Handle(context.Context, slog.Record) error {
	s.logged <- struct{}{}
	return nil
}

func TestPartStopsWhileItsDatabaseIsNotThere(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	require.NoError(t, err)
	defer pool.Close()
	workers := river.NewWorkers()
	river.AddWorker(workers, Worker(0, func(context.Context, nothing) error { return nil }))
	tried := make(chan struct{}, 100)
	part, err := Part(pool, slog.New(signal{slog.DiscardHandler, tried}), Work{Workers: workers, Parallel: 1})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- part.Serve() }()
	<-tried

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, part.Stop(ctx))
	select {
	case err := <-served:
		require.NoError(t, err)
	case <-ctx.Done():
		require.FailNow(t, "it still runs")
	}
}
