// Package database makes one database and role per part on the shared Postgres server. Running it again
// changes nothing, but gives each role the password of the secrets file.
package database

import (
	"context"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
)

// Server is a superuser's access.
type Server struct {
	Address, Password string
}

// owners maps each database to the role that owns it.
var owners = []struct{ database, owner string }{
	{"kratos", "kratos"},
	{"hydra", "hydra"},
	{"keto", "keto"},
	{"gatehouse", "gatehouse_owner"},
}

// runtime is the API's own role: it may connect, and gets its rights on tables from the migrations.
const runtime = "gatehouse_api"

// URL returns the connection URL, password included.
func (s Server) URL() string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", s.Password), Host: s.Address, Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// Connect opens a connection to the maintenance database.
func (s Server) Connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.URL())
}

// Ensure creates what is missing. password returns a role's password.
func (s Server) Ensure(ctx context.Context, password func(role string) (string, error)) error {
	connection, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close(ctx) }()

	for _, entry := range owners {
		if err := ensureRole(ctx, connection, entry.owner, password); err != nil {
			return err
		}
		if err := ensureDatabase(ctx, connection, entry.database, entry.owner); err != nil {
			return err
		}
	}
	if err := ensureRole(ctx, connection, runtime, password); err != nil {
		return err
	}
	_, err = connection.Exec(ctx, "GRANT CONNECT ON DATABASE gatehouse TO "+name(runtime))
	return err
}

func ensureRole(ctx context.Context, connection *pgx.Conn, role string, password func(string) (string, error)) error {
	secret, err := password(role)
	if err != nil {
		return err
	}
	verb := "ALTER"
	var exists bool
	if err := connection.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		verb = "CREATE"
	}
	var quoted string
	if err := connection.QueryRow(ctx, "SELECT quote_literal($1::text)", secret).Scan(&quoted); err != nil {
		return err
	}
	if _, err := connection.Exec(ctx, verb+" ROLE "+name(role)+" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD "+quoted); err != nil {
		return fmt.Errorf("role %s could not be created or changed", role) // the statement holds the password
	}
	return nil
}

func ensureDatabase(ctx context.Context, connection *pgx.Conn, database, owner string) error {
	var exists bool
	if err := connection.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if _, err := connection.Exec(ctx, "CREATE DATABASE "+name(database)+" OWNER "+name(owner)); err != nil {
			return err
		}
	}
	// By default every role may connect to every database.
	_, err := connection.Exec(ctx, "REVOKE ALL ON DATABASE "+name(database)+" FROM PUBLIC")
	return err
}

func name(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }
