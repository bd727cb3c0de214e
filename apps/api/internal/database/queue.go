package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// The tables of the job queue are River's own, and so are their migrations: they go up with ours and never down, for an
// older binary works with a newer queue and jobs outlive a step back.

// queueGrants let the service use the queue. It owns none of it, as it owns none of our tables.
const queueGrants = `
GRANT SELECT, INSERT, UPDATE, DELETE ON river_job, river_leader, river_queue, river_notification TO gatehouse_api;
GRANT USAGE ON SEQUENCE river_job_id_seq, river_notification_id_seq TO gatehouse_api;
GRANT SELECT ON river_migration TO gatehouse_api`

// upQueue applies what is missing of the queue's schema. River's migrations do not exclude each other: the lock does.
func (m Migrate) upQueue(ctx context.Context) error {
	config, err := parse(m.URL)
	if err != nil {
		return err
	}
	config.MaxConns = 2 // one holds the lock
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('migrate.queue'), 0)"); err != nil {
			return err
		}
		runner, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		if _, err := runner.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
		if _, err := pool.Exec(ctx, queueGrants); err != nil {
			return fmt.Errorf("queue: grants: %w", err)
		}
		return nil
	})
}

// readyQueue fails unless the queue's schema is at least the one this binary was built for.
func readyQueue(ctx context.Context, pool *pgxpool.Pool) error {
	want, err := latestQueue()
	if err != nil {
		return err
	}
	var version int
	if err := pool.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM river_migration WHERE line = 'main'").Scan(&version); err != nil {
		return err
	}
	if version < want {
		return fmt.Errorf("queue: version %d, this binary needs %d", version, want)
	}
	return nil
}

// latestQueue is the newest version among River's migrations.
func latestQueue() (int, error) {
	runner, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		return 0, err
	}
	all := runner.AllVersions()
	if len(all) == 0 {
		return 0, errors.New("queue: no migrations")
	}
	return all[len(all)-1].Version, nil
}
