//go:build integration

// Package convergetest gives a test a platform of its own: the schema on a real Postgres, a real Keto with the stack's
// model, and rows that are made as operations make them. Its users call databasetest.Main.
package convergetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/ory/ketotest"
	"gatehouse.internal/api/internal/permission"
)

// World is a platform without anyone in it.
type World struct {
	Database databasetest.Database
	Pool     *pgxpool.Pool // as the service's role
	Server   *ketotest.Server
	Tuples   *ory.KetoIndex
	Keto     *ory.Keto
	Rows     *permission.Rows
	Queue    *jobs.Queue
	Index    *converge.Converger
}

const patience = 20 * time.Second

// New starts one.
func New(t *testing.T) *World {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	return Open(t, db, ketotest.New(t, nil))
}

// Open uses what is there already.
func Open(t *testing.T, db databasetest.Database, keto *ketotest.Server) *World {
	t.Helper()
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 8, patience)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	client := ory.HTTPClient(patience)
	w := &World{
		Database: db, Pool: pool, Server: keto, Rows: permission.NewRows(pool),
		Tuples: ory.NewKetoIndex(keto.ReadURL, keto.WriteURL, client), Keto: ory.NewKeto(keto.ReadURL, client),
	}
	w.Queue, err = jobs.NewQueue(pool)
	require.NoError(t, err)
	w.Index = w.Converger()
	return w
}

// Converger is one as a process has it that has just started.
func (w *World) Converger() *converge.Converger {
	return converge.New(w.Pool, w.Tuples, w.Queue, prometheus.NewRegistry())
}

// Exec runs a statement and tells nobody.
func (w *World) Exec(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	_, err := w.Pool.Exec(t.Context(), statement, arguments...)
	require.NoError(t, err)
}

// Change runs a statement as an operation would, and returns what is to be awaited.
func (w *World) Change(t *testing.T, object permission.Object, statement string, arguments ...any) []converge.Mark {
	t.Helper()
	var marks []converge.Mark
	require.NoError(t, pgx.BeginFunc(t.Context(), w.Pool, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(t.Context(), statement, arguments...); err != nil {
			return err
		}
		marks, err = w.Index.Touch(t.Context(), tx, object)
		return err
	}))
	return marks
}

// Await converges.
func (w *World) Await(t *testing.T, marks []converge.Mark) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done, err := w.Index.Await(ctx, marks)
	require.NoError(t, err)
	require.True(t, done, "%v", marks)
}

// Person makes one.
func (w *World) Person(t *testing.T) uuid.UUID {
	t.Helper()
	id := uuid.New()
	w.Exec(t, "INSERT INTO users (id, email, email_verified, display_name, locale, state) VALUES ($1, '', false, '', '', 'active')", id)
	return id
}

// Organization makes one without members.
func (w *World) Organization(t *testing.T) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	w.Await(t, w.Change(t, permission.Of(permission.Organization, id),
		"INSERT INTO organizations (id, slug, name) VALUES ($1, $2, 'x')", id, Slug()))
	return id
}

// Join gives a person a role, instead of the one before.
func (w *World) Join(t *testing.T, organization, person uuid.UUID, role permission.Role) {
	t.Helper()
	w.Await(t, w.Change(t, permission.Of(permission.Organization, organization), `
		INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)
		ON CONFLICT (organization_id, user_id) DO UPDATE SET role = excluded.role`, organization, person, role))
}

// Leave takes it away.
func (w *World) Leave(t *testing.T, organization, person uuid.UUID) {
	t.Helper()
	w.Await(t, w.Change(t, permission.Of(permission.Organization, organization),
		"DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2", organization, person))
}

// Gateway makes one of an organization.
func (w *World) Gateway(t *testing.T, organization uuid.UUID) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	w.Await(t, w.Change(t, permission.Of(permission.Gateway, id),
		"INSERT INTO gateways (id, organization_id, slug, name, upstream) VALUES ($1, $2, $3, 'x', 'http://x')", id, organization, Slug()))
	return id
}

// Grant gives a role on a gateway, instead of the one before.
func (w *World) Grant(t *testing.T, gateway uuid.UUID, kind, subject string, role permission.Role) {
	t.Helper()
	w.Await(t, w.Change(t, permission.Of(permission.Gateway, gateway), `
		INSERT INTO gateway_grants (gateway_id, subject_kind, subject_id, role, granted_by_kind, granted_by_id)
		VALUES ($1, $2, $3, $4, 'user', '')
		ON CONFLICT (gateway_id, subject_kind, subject_id) DO UPDATE SET role = excluded.role`, gateway, kind, subject, role))
}

// Revoke takes it away.
func (w *World) Revoke(t *testing.T, gateway uuid.UUID, kind, subject string) {
	t.Helper()
	w.Await(t, w.Change(t, permission.Of(permission.Gateway, gateway),
		"DELETE FROM gateway_grants WHERE gateway_id = $1 AND subject_kind = $2 AND subject_id = $3", gateway, kind, subject))
}

// Product makes one of a gateway.
func (w *World) Product(t *testing.T, gateway uuid.UUID, visibility permission.Visibility) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	w.Await(t, w.Change(t, permission.Of(permission.Product, id),
		"INSERT INTO products (id, gateway_id, slug, name, visibility) VALUES ($1, $2, $3, 'x', $4)", id, gateway, Slug(), visibility))
	return id
}

// PlatformAdmin makes a person one.
func (w *World) PlatformAdmin(t *testing.T, person uuid.UUID) {
	t.Helper()
	w.Await(t, w.Change(t, permission.PlatformObject, "INSERT INTO platform_admins (user_id) VALUES ($1) ON CONFLICT DO NOTHING", person))
}

// Slug is one that nobody has.
func Slug() string { return "s" + uuid.NewString()[:8] }

// May asks Keto.
func (w *World) May(t *testing.T, subject permission.Subject, permit permission.Permit, object permission.Object) bool {
	t.Helper()
	answers, err := w.Keto.Check(t.Context(), permission.Question{Subject: subject, Permit: permit, Object: object})
	require.NoError(t, err)
	return answers[0]
}

// RequireConverged holds everything in Keto against everything in Postgres.
func (w *World) RequireConverged(t *testing.T) {
	t.Helper()
	plan, err := w.Index.Reconcile(t.Context(), converge.ReconcileOptions{})
	require.NoError(t, err)
	require.Empty(t, plan.Missing)
	require.Empty(t, plan.Surplus)
	var behind int
	require.NoError(t, w.Pool.QueryRow(t.Context(), "SELECT count(*) FROM index_state WHERE converged < wanted").Scan(&behind))
	require.Zero(t, behind)
}
