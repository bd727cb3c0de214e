package database

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

func TestLatestIsTheNewestEmbeddedMigration(t *testing.T) {
	version, err := latest()
	require.NoError(t, err)
	require.Positive(t, version)
}

func TestErrorsOfTheDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code problem.Code
	}{
		"no connection":         {errors.New("dial tcp: refused"), problem.Unavailable},
		"too slow":              {context.DeadlineExceeded, problem.Unavailable},
		"shutting down":         {&pgconn.PgError{Code: "57P01"}, problem.Unavailable},
		"too many connections":  {&pgconn.PgError{Code: "53300"}, problem.Unavailable},
		"a mistake of ours":     {&pgconn.PgError{Code: "42P01"}, problem.Internal},
		"a deadlock":            {&pgconn.PgError{Code: "40P01"}, problem.Unavailable},
		"a NUL":                 {&pgconn.PgError{Code: "22021"}, problem.InvalidRequest},
		"a NUL in JSON":         {&pgconn.PgError{Code: "22P05"}, problem.InvalidRequest},
		"its parent is gone":    {&pgconn.PgError{Code: "23503"}, problem.NotFound},
		"a problem from inside": {problem.New(problem.AccountDisabled, ""), problem.AccountDisabled},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.code, problem.From(Problem(fmt.Errorf("wrapped: %w", c.err))).Code)
		})
	}
}

func TestOpenDoesNotWaitForTheServer(t *testing.T) {
	pool, err := Open(t.Context(), "postgres://nobody@127.0.0.1:1/none", 2, time.Second)
	require.NoError(t, err)
	defer pool.Close()
	require.Error(t, Ready(t.Context(), pool))
}

func TestErrorsHoldNoPassword(t *testing.T) {
	_, err := Open(t.Context(), "postgres://a:hunter2@127.0.0.1:port/none", 2, time.Second)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
	_, err = Migrate{URL: "postgres://a:hunter2@127.0.0.1:port/none"}.Status(t.Context())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}
