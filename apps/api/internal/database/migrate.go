package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/golang-migrate/migrate/v4"
	driver "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5/stdlib"

	"gatehouse.internal/migrations"
)

// Status is how far a schema is.
type Status struct {
	Version uint // 0: nothing applied
	Dirty   bool // a migration failed half-way
	Latest  uint // the newest that this binary holds
}

// Migrate moves a schema. Its URL is the owner's, not the service's.
type Migrate struct{ URL string }

// Up applies what is missing, the job queue's schema included. Two at once are safe: one waits for the other.
func (m Migrate) Up(ctx context.Context) error {
	if err := m.run(ctx, func(runner *migrate.Migrate) error { return runner.Up() }); err != nil {
		return err
	}
	return m.upQueue(ctx)
}

// Down takes back the newest migration that is applied; with none applied it does nothing.
func (m Migrate) Down(ctx context.Context) error {
	return m.run(ctx, func(runner *migrate.Migrate) error {
		if _, _, err := runner.Version(); err != nil {
			return err
		}
		return runner.Steps(-1)
	})
}

// Status tells where the schema is.
func (m Migrate) Status(ctx context.Context) (Status, error) {
	var out Status
	err := m.run(ctx, func(runner *migrate.Migrate) (err error) {
		out.Version, out.Dirty, err = runner.Version()
		return err
	})
	if err != nil {
		return out, err
	}
	out.Latest, err = latest()
	return out, err
}

// run lends a runner that holds a connection of its own. Having nothing to do is no error.
func (m Migrate) run(ctx context.Context, do func(*migrate.Migrate) error) (err error) {
	config, err := parse(m.URL)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config.ConnConfig)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	runner, err := m.runner(db)
	if err != nil {
		return err
	}
	defer func() {
		source, database := runner.Close()
		err = errors.Join(err, source, database)
	}()
	if err := do(runner); err != nil && !errors.Is(err, migrate.ErrNoChange) && !errors.Is(err, migrate.ErrNilVersion) {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func (m Migrate) runner(db *sql.DB) (*migrate.Migrate, error) {
	files, err := iofs.New(migrations.Files, ".")
	if err != nil {
		return nil, err
	}
	// Each migration in one transaction with its statements; the driver's advisory lock keeps two
	// runners apart.
	postgres, err := driver.WithInstance(db, &driver.Config{})
	if err != nil {
		return nil, err
	}
	return migrate.NewWithInstance("embedded", files, "postgres", postgres)
}

// latest is the newest version among the embedded migrations.
func latest() (uint, error) {
	files, err := iofs.New(migrations.Files, ".")
	if err != nil {
		return 0, err
	}
	defer func() { _ = files.Close() }()
	version, err := files.First()
	for err == nil {
		var next uint
		if next, err = files.Next(version); err == nil {
			version = next
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return version, nil
}
