//go:build integration || bench

// Package databasetest gives tests a database of their own on a real Postgres: one in a container where
// a Docker engine is reachable, else the server that GATEHOUSE_TEST_DATABASE_URL (a superuser's URL) names. With
// neither the tests fail: a suite that skips itself proves nothing.
package databasetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

// The roles that exist before the migrations run, as in the stack.
const (
	Owner   = "gatehouse_owner"
	Runtime = "gatehouse_api"
)

var server string

// Main runs the tests of a package against one server. Call it from TestMain.
func Main(m *testing.M) { Run(m, func(passed bool) bool { return passed }) }

// Run is Main with a last word on whether the package passed.
func Run(m *testing.M, judge func(passed bool) bool) {
	stop, err := start(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "databasetest:", err)
		os.Exit(1)
	}
	passed := judge(m.Run() == 0)
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "databasetest:", err)
	}
	if !passed {
		os.Exit(1)
	}
	os.Exit(0)
}

func start(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return nil }
	if docker(ctx) {
		image := cmp.Or(os.Getenv("GATEHOUSE_TEST_POSTGRES_IMAGE"), "postgres:18")
		container, err := postgres.Run(ctx, image, postgres.BasicWaitStrategies())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", image, err), testcontainers.TerminateContainer(container))
		}
		stop = func() error { return testcontainers.TerminateContainer(container) }
		if server, err = container.ConnectionString(ctx, "sslmode=disable"); err != nil {
			return nil, errors.Join(err, stop())
		}
	} else if server = os.Getenv("GATEHOUSE_TEST_DATABASE_URL"); server == "" {
		return nil, errors.New("no Docker engine and no GATEHOUSE_TEST_DATABASE_URL")
	}
	return stop, errors.Join(execute(ctx, server, role(Owner, "NOLOGIN")), execute(ctx, server, role(Runtime, "LOGIN")))
}

// docker tells whether an engine answers.
func docker(ctx context.Context) (reachable bool) {
	defer func() {
		if recover() != nil { // testcontainers panics where it finds no engine at all
			reachable = false
		}
	}()
	provider, err := testcontainers.ProviderDocker.GetProvider()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return provider.Health(ctx) == nil
}

// role creates one that is not there yet, and leaves one that is: the server may be a running stack's.
func role(name, login string) string {
	return fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %s %s; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`, name, login)
}

// Database is one that only the calling test uses.
type Database struct{ name string }

// New creates an empty database that Owner owns, as the stack does, and drops it at the end.
func New(t *testing.T) Database {
	t.Helper()
	name := "test_" + uuid.NewString()
	require.NoError(t, execute(t.Context(), server, fmt.Sprintf("CREATE DATABASE %q OWNER %s", name, Owner)))
	t.Cleanup(func() {
		require.NoError(t, execute(context.Background(), server, fmt.Sprintf("DROP DATABASE %q WITH (FORCE)", name)))
	})
	return Database{name}
}

// URL connects as role, "" for the superuser. The superuser takes the role on: no password of a role is needed or changed.
func (d Database) URL(t *testing.T, role string) string {
	t.Helper()
	parsed, err := url.Parse(server)
	require.NoError(t, err)
	parsed.Path = "/" + d.name
	if role != "" {
		query := parsed.Query()
		query.Set("role", role)
		parsed.RawQuery = query.Encode()
	}
	return parsed.String()
}

func execute(ctx context.Context, url, statement string) (err error) {
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.Close(ctx)) }()
	_, err = connection.Exec(ctx, statement)
	return err
}
