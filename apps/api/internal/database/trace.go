package database

import (
	"context"
	"errors"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/libs/telemetry"
)

// Traced makes a span of each query inside a span that is recorded: its text, which has placeholders, never its
// arguments, and of an error its SQLSTATE.
func Traced(spans *telemetry.Spans) Option {
	return func(config *pgxpool.Config) {
		if spans == nil {
			return
		}
		config.ConnConfig.Tracer = queries{otelpgx.NewTracer(
			otelpgx.WithTracerProvider(spans.Provider()), otelpgx.WithDisableConnectionDetailsInAttributes(),
		)}
	}
}

// queries are what is traced. pgx looks for more methods on its tracer (connect, prepare, batch): each would report
// errors with all that they say, so this one has no others.
type queries struct{ tracer *otelpgx.Tracer }

// TraceQueryStart implements pgx.QueryTracer.
func (q queries) TraceQueryStart(ctx context.Context, c *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return q.tracer.TraceQueryStart(ctx, c, data)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (q queries) TraceQueryEnd(ctx context.Context, c *pgx.Conn, data pgx.TraceQueryEndData) {
	data.Err = bare(data.Err)
	q.tracer.TraceQueryEnd(ctx, c, data)
}

// bare is an error without its text: pgx and Postgres quote arguments in theirs.
func bare(err error) error {
	for _, plain := range []error{pgx.ErrNoRows, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, plain) {
			return plain
		}
	}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &pgconn.PgError{Severity: "ERROR", Code: answer.Code, Message: "Postgres refused"}
	}
	if err != nil {
		return errors.New("the query failed")
	}
	return nil
}
