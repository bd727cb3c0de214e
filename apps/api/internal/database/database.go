// Package database opens Postgres, tells how it is, and owns the schema's migrations. It is the only
// importer of golang-migrate.
package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/api/internal/problem"
)

// Verify tells whether url is one that Open takes. It never repeats it: it holds a password.
func Verify(url string) error {
	_, err := parse(url)
	return err
}

func parse(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("not a Postgres URL")
	}
	return config, nil
}

// Option changes how Open opens.
type Option func(*pgxpool.Config)

// Open returns a pool of at most connections. It does not wait for the server: a service whose database
// is not there yet starts and says that it is not ready.
func Open(ctx context.Context, url string, connections int32, timeout time.Duration, options ...Option) (*pgxpool.Pool, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	config.ConnConfig.ConnectTimeout = timeout
	for _, option := range options {
		option(config)
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// Problem turns an error of the database into one for the caller: an outage is Unavailable, a text that Postgres cannot hold is
// the caller's InvalidRequest, a mistake of ours stays Internal, and a problem raised inside a transaction is kept.
func Problem(err error) error {
	if _, ok := errors.AsType[*problem.Problem](err); ok {
		return err
	}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch answer.Code {
		case unrepresentable, untranslatable:
			return problem.Invalid(problem.Field{Name: "request", Reason: "holds text that cannot be kept: a NUL, or no UTF-8"}).Because(err)
		case orphan:
			return problem.Hidden().Because(err)
		}
	}
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok && !unconnected && unwritable(answer.Code) {
		return problem.New(problem.InvalidRequest, "A text of the request holds a character that is none.").Because(err)
	}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok && !unconnected && !outage(answer.Code) {
		return err
	}
	return problem.New(problem.Unavailable, "The database does not answer right now. Try again.").Because(err)
}

// SQLSTATEs that the caller caused.
const (
	unrepresentable = "22021" // character_not_in_repertoire
	untranslatable  = "22P05" // untranslatable_character: \u0000 in JSON
	orphan          = "23503" // foreign_key_violation: what a new row belongs to was deleted meanwhile
)

// Missing is Problem for a row that was asked for by its id: without one there is nothing that the caller may see. The index
// may still know an object whose row is gone.
func Missing(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return problem.Hidden().Because(err)
	}
	return Problem(err)
}

// Conflicts tells whether err is the database's refusal of a row because of the named constraint.
func Conflicts(err error, constraint string) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return ok && answer.ConstraintName == constraint
}

// outage tells, by the class of a SQLSTATE, whether the server could not rather than would not:
// connection, resources, operator intervention, and rolled back in favour of another transaction.
func outage(state string) bool {
	class := state[:min(2, len(state))]
	return class == "08" || class == "40" || class == "53" || class == "57"
}

// unwritable tells, by the SQLSTATE, whether a text is no UTF-8 or holds U+0000. JSON and URLs can hold both, text and jsonb of
// Postgres neither; a schema has no way to say so for every text.
func unwritable(state string) bool { return state == "22021" || state == "22P05" }

// Ready fails unless Postgres answers and holds at least the schema that this binary was built for. A newer
// one will do: while a release rolls out, the one before serves on the schema that is already migrated, and
// refusing it would take every replica out at once.
func Ready(ctx context.Context, pool *pgxpool.Pool) error {
	want, err := latest()
	if err != nil {
		return err
	}
	var version uint
	var dirty bool
	err = pool.QueryRow(ctx, "SELECT version, dirty FROM schema_migrations").Scan(&version, &dirty)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("schema: no version, this binary needs %d", want)
	case err != nil:
		return err
	case dirty:
		return fmt.Errorf("schema: version %d is half applied", version)
	case version < want:
		return fmt.Errorf("schema: version %d, this binary needs %d", version, want)
	}
	return readyQueue(ctx, pool)
}

// Metrics reports the state of a pool.
func Metrics(pool *pgxpool.Pool) prometheus.Collector { return collector{pool} }

type collector struct{ pool *pgxpool.Pool }

var (
	connections = prometheus.NewDesc("db_pool_connections", "Connections of the pool.", []string{"state"}, nil)
	limit       = prometheus.NewDesc("db_pool_connections_max", "The most connections the pool opens.", nil, nil)
	waited      = prometheus.NewDesc("db_pool_waits_total", "Requests that waited for a connection.", nil, nil)
)

func (c collector) Describe(out chan<- *prometheus.Desc) {
	out <- connections
	out <- limit
	out <- waited
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	stat := c.pool.Stat()
	gauge := func(desc *prometheus.Desc, value int32, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	gauge(connections, stat.AcquiredConns(), "used")
	gauge(connections, stat.IdleConns(), "idle")
	gauge(limit, stat.MaxConns())
	out <- prometheus.MustNewConstMetric(waited, prometheus.CounterValue, float64(stat.EmptyAcquireCount()))
}
