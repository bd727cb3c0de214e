//go:build integration

package app

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
)

// server is what the commands of a server's admin work on: a database of its own, and a running stack.
type server struct{ config, database, kratos string }

func newServer(t *testing.T) server {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	s := server{database: db.URL(t, databasetest.Runtime), kratos: os.Getenv("GATEHOUSE_TEST_KRATOS_ADMIN_URL")}
	s.config = settingsFile(t, strings.NewReplacer(
		"postgres://gatehouse_api:x@127.0.0.1:5432/gatehouse?sslmode=disable", s.database,
		"http://127.0.0.1:4433", os.Getenv("GATEHOUSE_TEST_KRATOS_PUBLIC_URL"), "http://127.0.0.1:4434", s.kratos,
		"http://127.0.0.1:4466", os.Getenv("GATEHOUSE_TEST_KETO_READ_URL"), "http://127.0.0.1:4467", os.Getenv("GATEHOUSE_TEST_KETO_WRITE_URL"),
		"upstream_timeout: 2s", "upstream_timeout: 20s",
	).Replace(sample))
	return s
}

// person makes an identity, and forgets it at the end.
func (s server) person(t *testing.T, verified bool) (id, email string) {
	t.Helper()
	email = "admin-" + uuid.NewString() + "@example.com"
	var made struct {
		ID string `json:"id"`
	}
	require.NoError(t, ask(t.Context(), http.MethodPost, s.kratos+"/admin/identities", http.StatusCreated, map[string]any{
		"schema_id": "person", "traits": map[string]any{"email": email},
		"credentials": map[string]any{"password": map[string]any{"config": map[string]any{"password": "correct-" + uuid.NewString()}}},
		"verifiable_addresses": []any{map[string]any{
			"value": email, "verified": verified, "via": "email", "status": map[bool]string{true: "completed", false: "pending"}[verified],
		}},
	}, &made))
	t.Cleanup(func() {
		_ = ask(context.Background(), http.MethodDelete, s.kratos+"/admin/identities/"+made.ID, http.StatusNoContent, nil, nil)
	})
	return made.ID, email
}

func (s server) run(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Main(t.Context(), arguments, &out)
	return out.String(), err
}

func (s server) count(t *testing.T, query string, arguments ...any) (n int) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), s.database)
	require.NoError(t, err)
	defer func() { require.NoError(t, connection.Close(context.Background())) }()
	require.NoError(t, connection.QueryRow(t.Context(), "SELECT count(*) FROM "+query, arguments...).Scan(&n))
	return n
}

func TestAdminCommandMakesAndUnmakesAdmins(t *testing.T) {
	s := newServer(t)
	id, email := s.person(t, true)
	run := func(verb string, names ...string) string {
		t.Helper()
		out, err := s.run(t, append([]string{"admin", verb, "--config", s.config}, names...)...)
		require.NoError(t, err)
		return out
	}
	require.Empty(t, run("list"))
	require.Contains(t, run("grant", strings.ToUpper(email)), id+" is an admin of the platform now")
	require.Contains(t, run("grant", id), "was an admin already")
	require.Contains(t, run("list"), id+"  active")
	require.Contains(t, run("revoke", id), "no admin of the platform any more")
	require.Contains(t, run("revoke", email), "was no admin")
	require.Empty(t, run("list"))
	require.Equal(t, 1, s.count(t, "audit_events WHERE action = 'platform_admin.grant' AND actor_kind = 'system' AND target_id = $1", id))
	require.Equal(t, 1, s.count(t, "audit_events WHERE action = 'platform_admin.revoke' AND actor_kind = 'system' AND target_id = $1", id))
	require.Equal(t, 1, s.count(t, "index_state WHERE namespace = 'Platform'"))
}

func TestAdminCommandRefusesWhomItCannotBeSureOf(t *testing.T) {
	s := newServer(t)
	_, email := s.person(t, false)
	suspended, _ := s.person(t, true)
	require.NoError(t, ask(t.Context(), http.MethodPatch, s.kratos+"/admin/identities/"+suspended, http.StatusOK,
		[]map[string]any{{"op": "replace", "path": "/state", "value": "inactive"}}, nil))
	for name, says := range map[string]string{
		email: "verified address", "nobody-" + email: "verified address", uuid.NewString(): "no such identity", suspended: "suspended",
	} {
		_, err := s.run(t, "admin", "grant", "--config", s.config, name)
		require.ErrorContains(t, err, says)
	}
	require.Zero(t, s.count(t, "platform_admins"))
	require.Zero(t, s.count(t, "audit_events"))
}
