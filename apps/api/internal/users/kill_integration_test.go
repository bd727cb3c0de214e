//go:build integration

package users_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
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
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/users"
)

// The test starts itself as the process that is killed: with these it advances one operation and ends at one point.
const (
	killDatabase  = "GATEHOUSE_TEST_KILL_DATABASE"
	killOperation = "GATEHOUSE_TEST_KILL_OPERATION"
	killPoint     = "GATEHOUSE_TEST_KILL_POINT"
)

func TestMain(m *testing.M) {
	if os.Getenv(killDatabase) != "" {
		os.Exit(victim())
	}
	databasetest.Main(m)
}

// victim advances an operation with the real Kratos, Hydra and queue, and kills itself on the way.
func victim() int {
	ctx := context.Background()
	pool, err := database.Open(ctx, os.Getenv(killDatabase), 4, 10*time.Second)
	if err != nil {
		return 1
	}
	_, saga, err := realSaga(pool)
	if err != nil {
		return 1
	}
	saga.FailPoint = func(point string) error {
		if point == os.Getenv(killPoint) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it comes at once, but not within this call
		}
		return nil
	}
	if err := saga.Advance(ctx, uuid.MustParse(os.Getenv(killOperation))); err != nil {
		return 1
	}
	return 0 // without the point
}

// realSaga is one with the servers of the running stack.
func realSaga(pool *pgxpool.Pool) (*users.Directory, *users.Saga, error) {
	const patience = 20 * time.Second // a loaded machine is no outage
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		return nil, nil, err
	}
	c := ory.HTTPClient(patience)
	kratos := ory.NewKratosAdmin(os.Getenv("GATEHOUSE_TEST_KRATOS_ADMIN_URL"), c)
	keto := ory.NewKetoIndex(os.Getenv("GATEHOUSE_TEST_KETO_READ_URL"), os.Getenv("GATEHOUSE_TEST_KETO_WRITE_URL"), c)
	index := converge.New(pool, keto, queue, prometheus.NewRegistry())
	directory := users.NewDirectory(pool, kratos, patience)
	saga := users.NewSaga(directory, kratos, ory.NewHydra(os.Getenv("GATEHOUSE_TEST_HYDRA_ADMIN_URL"), c))
	saga.Touch = func(ctx context.Context, tx pgx.Tx, objects ...permission.Object) error {
		_, err := index.Touch(ctx, tx, objects...)
		return err
	}
	saga.Enqueue = func(ctx context.Context, tx pgx.Tx, operation uuid.UUID) error {
		return queue.InsertTx(ctx, tx, users.OperationJob{Operation: operation})
	}
	return directory, saga, nil
}

// atKratos makes the fixture's person a real identity.
func (f fixture) atKratos(t *testing.T) fixture {
	t.Helper()
	body, err := json.Marshal(map[string]any{"schema_id": "person", "traits": map[string]any{"email": "kill-" + uuid.NewString() + "@example.com"}})
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, os.Getenv("GATEHOUSE_TEST_KRATOS_ADMIN_URL")+"/admin/identities", bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, http.StatusCreated, response.StatusCode)
	var made struct {
		ID uuid.UUID `json:"id"`
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&made))
	f.Directory, f.saga, err = realSaga(f.pool)
	require.NoError(t, err)
	f.ann.ID = made.ID
	t.Cleanup(func() {
		kratos := ory.NewKratosAdmin(os.Getenv("GATEHOUSE_TEST_KRATOS_ADMIN_URL"), ory.HTTPClient(time.Minute))
		_ = kratos.DeleteIdentity(context.Background(), made.ID)
	})
	return f
}

// The process really dies, between any two things that it does, and another goes on.
func TestOperationsFinishAfterTheProcessIsKilledAtEachStep(t *testing.T) {
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 10, 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	all := fixture{pool: pool}

	for _, kind := range []users.Kind{users.Suspend, users.Delete} {
		var points []string
		f := all.atKratos(t)
		f.belong(t)
		f.saga.FailPoint = func(point string) error { points = append(points, point); return nil }
		require.NoError(t, f.saga.Advance(t.Context(), f.start(t, f.ann.ID, kind)))

		for _, point := range points {
			t.Run(string(kind)+"/"+point, func(t *testing.T) {
				f := all.atKratos(t)
				objects := f.belong(t)
				operation := f.start(t, f.ann.ID, kind)

				child := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // itself
				child.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GATEHOUSE_TEST_KILL_") }),
					killDatabase+"="+db.URL(t, databasetest.Runtime), killOperation+"="+operation.String(), killPoint+"="+point)
				output, err := child.CombinedOutput()
				exit, ended := errors.AsType[*exec.ExitError](err)
				require.True(t, ended, "it was not killed: %v %s", err, output)
				require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s", output)

				require.NoError(t, f.saga.Advance(t.Context(), operation))
				f.requireEnded(t, kind, objects)
			})
		}
	}
}

// belong gives the person an organization, a gateway's grant, a key and the platform, and returns what the index has of them.
func (f fixture) belong(t *testing.T) []permission.Object {
	t.Helper()
	_, err := f.Converge(t.Context(), f.ann.ID)
	require.NoError(t, err)
	organization, gateway := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	for _, statement := range []string{
		"INSERT INTO organizations (id, slug, name) VALUES ($1, $1::uuid::text, 'O')",
		"INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $3, 'owner')",
		"INSERT INTO gateways (id, organization_id, slug, name, upstream) VALUES ($2, $1, 'gateway', 'G', 'http://g')",
		`INSERT INTO gateway_grants (gateway_id, subject_kind, subject_id, role, granted_by_kind, granted_by_id)
			VALUES ($2, 'user', $3::uuid::text, 'editor', 'user', $3::uuid::text)`,
		"INSERT INTO api_keys (id, user_id, name, prefix, hash, scopes, created_by) VALUES ($2, $3, 'own', $2::uuid::text, 'h', '{}', $3)",
	} {
		// Every statement takes all three, so that one call serves them all.
		_, err := f.pool.Exec(t.Context(), "WITH given AS (SELECT $1::uuid, $2::uuid, $3::uuid) "+statement, organization, gateway, f.ann.ID)
		require.NoError(t, err, statement)
	}
	return []permission.Object{permission.Of(permission.Organization, organization), permission.Of(permission.Gateway, gateway)}
}

func (f fixture) requireEnded(t *testing.T, kind users.Kind, objects []permission.Object) {
	t.Helper()
	id := f.ann.ID
	require.Equal(t, 1, f.count(t, "user_operations WHERE user_id = $1 AND finished_at IS NOT NULL AND requested_by <> 'system'", id))
	require.Zero(t, f.count(t, "user_operations WHERE user_id = $1 AND finished_at IS NULL", id))
	require.NotZero(t, f.count(t, "revocations WHERE kind = 'subject' AND subject_id = $1", id.String()))
	require.NotZero(t, f.count(t, "revocations r JOIN api_keys k ON r.subject_id = k.id::text WHERE r.kind = 'key' AND k.user_id = $1", id))
	if kind == users.Suspend {
		user, err := f.Converge(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, "inactive", user.State)
		return
	}
	_, err := f.Converge(t.Context(), id)
	require.ErrorIs(t, err, users.ErrNoIdentity)
	require.Equal(t, 1, f.count(t, "users WHERE id = $1 AND email = '' AND deleted_at IS NOT NULL", id))
	require.Zero(t, f.count(t, "memberships WHERE user_id = $1", id))
	require.Zero(t, f.count(t, "gateway_grants WHERE subject_id = $1", id.String()))
	require.Zero(t, f.count(t, "api_keys WHERE user_id = $1 AND revoked_at IS NULL", id))
	for _, object := range objects {
		require.Equal(t, 1, f.count(t, "index_state WHERE namespace = $1 AND object = $2 AND wanted > 0", string(object.Namespace), object.ID),
			"nothing would bring the index up to it")
	}
}
