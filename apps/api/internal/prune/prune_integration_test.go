//go:build integration

package prune_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/prune"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

func count(t *testing.T, pool *pgxpool.Pool, query string) int {
	t.Helper()
	var found int
	require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&found))
	return found
}

func TestWhatHasExpiredGoesAndTheEndOfTheFeedStays(t *testing.T) {
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 4, 20*time.Second)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	for _, statement := range []string{
		`INSERT INTO idempotency_keys (principal, operation, organization, key, request_hash, status, body, expires_at) VALUES
			('p', 'o', '', 'old', '', 200, '{}', now() - interval '1 second'), ('p', 'o', '', 'new', '', 200, '{}', now() + interval '1 hour')`,
		`INSERT INTO revocations (kind, subject_id, expires_at) VALUES
			('session', 'old', now() - interval '1 hour'), ('session', 'last', now() - interval '1 hour')`,
	} {
		_, err := pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	workers := river.NewWorkers()
	prune.Register(workers, pool)
	part, err := jobs.Part(pool, slog.New(slog.DiscardHandler), jobs.Work{Workers: workers, Parallel: 1})
	require.NoError(t, err)
	queue, err := jobs.NewQueue(pool)
	require.NoError(t, err)
	require.NoError(t, queue.Insert(t.Context(), prune.Job{}))
	require.NoError(t, queue.Insert(t.Context(), prune.Job{}))
	require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM river_job"), "one at a time is enough")

	served := make(chan error, 1)
	go func() { served <- part.Serve() }()
	require.Eventually(t, func() bool { return count(t, pool, "SELECT count(*) FROM river_job WHERE state = 'completed'") == 1 },
		20*time.Second, 20*time.Millisecond)
	require.NoError(t, part.Stop(t.Context()))
	require.NoError(t, <-served)
	require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM idempotency_keys WHERE key = 'new'"))
	require.Zero(t, count(t, pool, "SELECT count(*) FROM idempotency_keys WHERE key = 'old'"))
	require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM revocations WHERE subject_id = 'last'"))
	require.Zero(t, count(t, pool, "SELECT count(*) FROM revocations WHERE subject_id = 'old'"))
}
