package database

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Replanned is a pool whose queries are planned anew each time, for the values that they are given. That costs a fraction of a
// millisecond, and it is for searches only: what is best for a rare word is worst for a common one, and the plan that
// Postgres keeps for a prepared statement knows neither.
type Replanned struct{ *pgxpool.Pool }

// Query implements the interface of sqlc's queries.
func (r Replanned) Query(ctx context.Context, statement string, arguments ...any) (pgx.Rows, error) {
	return r.Pool.Query(ctx, statement, append([]any{pgx.QueryExecModeCacheDescribe}, arguments...)...)
}
