//go:build integration

package database_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := database.Open(t.Context(), url, 4, 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func TestUpDownUpTwice(t *testing.T) {
	db := databasetest.New(t)
	schema := database.Migrate{URL: db.URL(t, databasetest.Owner)}
	pool := open(t, db.URL(t, databasetest.Runtime))

	status, err := schema.Status(t.Context())
	require.NoError(t, err)
	require.Zero(t, status.Version)
	require.NoError(t, schema.Down(t.Context()), "nothing to take back is no error")
	require.Error(t, database.Ready(t.Context(), pool))

	for range 2 {
		require.NoError(t, schema.Up(t.Context()))
		require.NoError(t, schema.Up(t.Context()), "up twice changes nothing")
		status, err = schema.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, status.Latest, status.Version)
		require.False(t, status.Dirty)
		require.NoError(t, database.Ready(t.Context(), pool))

		for range status.Latest {
			require.NoError(t, schema.Down(t.Context()))
		}
		status, err = schema.Status(t.Context())
		require.NoError(t, err)
		require.Zero(t, status.Version)
		require.Error(t, database.Ready(t.Context(), pool))
	}
}

func TestTwoAtOnce(t *testing.T) {
	db := databasetest.New(t)
	schema := database.Migrate{URL: db.URL(t, databasetest.Owner)}
	errs := make([]error, 4)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() { errs[i] = schema.Up(context.Background()) })
	}
	running.Wait()
	require.NoError(t, errors.Join(errs...))
	require.NoError(t, database.Ready(t.Context(), open(t, db.URL(t, databasetest.Runtime))))
}

func TestReadyFromTheSchemaOfThisBinaryOn(t *testing.T) {
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	owner, pool := open(t, db.URL(t, databasetest.Owner)), open(t, db.URL(t, databasetest.Runtime))
	require.NoError(t, database.Ready(t.Context(), pool))

	_, err := owner.Exec(t.Context(), "UPDATE schema_migrations SET dirty = true")
	require.NoError(t, err)
	require.ErrorContains(t, database.Ready(t.Context(), pool), "half applied")

	_, err = owner.Exec(t.Context(), "UPDATE schema_migrations SET dirty = false, version = version + 1")
	require.NoError(t, err)
	require.NoError(t, database.Ready(t.Context(), pool), "the next release has migrated, this one still serves")

	_, err = owner.Exec(t.Context(), "UPDATE schema_migrations SET version = version - 2")
	require.NoError(t, err)
	require.ErrorContains(t, database.Ready(t.Context(), pool), "this binary needs")
}

func TestRuntimeRoleCannotDestroy(t *testing.T) {
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool := open(t, db.URL(t, databasetest.Runtime))

	_, err := pool.Exec(t.Context(), "SELECT count(*) FROM users")
	require.NoError(t, err)
	for _, statement := range []string{
		"DELETE FROM users", "TRUNCATE users", "DROP TABLE users", "ALTER TABLE users ADD COLUMN x int", "CREATE TABLE x ()",
		"CREATE INDEX ON users (email)", "UPDATE schema_migrations SET version = 0", "CREATE SCHEMA x",
	} {
		_, err := pool.Exec(t.Context(), statement)
		refusal, ok := errors.AsType[*pgconn.PgError](err)
		require.True(t, ok, statement)
		require.Equal(t, "42501", refusal.Code, statement)
	}
}
