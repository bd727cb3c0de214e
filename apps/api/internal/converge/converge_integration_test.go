//go:build integration

package converge_test

import (
	"context"
	"errors"
	"fmt"
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
	"gatehouse.internal/api/internal/ketotest"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/permission"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

// world is a platform of its own: Postgres with the schema, Keto without tuples.
type world struct {
	pool   *pgxpool.Pool
	keto   *ketotest.Server
	index  *ory.KetoIndex
	check  *ory.Keto
	rows   *permission.Rows
	queue  *jobs.Queue
	change *converge.Converger
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 8, 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := &world{pool: pool, keto: ketotest.New(t, nil), rows: permission.NewRows(pool)}
	client := ory.HTTPClient(10 * time.Second)
	w.index = ory.NewKetoIndex(w.keto.ReadURL, w.keto.WriteURL, client)
	w.check = ory.NewKeto(w.keto.ReadURL, client)
	w.queue, err = jobs.NewQueue(pool)
	require.NoError(t, err)
	w.change = w.converger()
	return w
}

// converger is one as a process has it that has just started.
func (w *world) converger() *converge.Converger {
	return converge.New(w.pool, w.index, w.queue, prometheus.NewRegistry())
}

func (w *world) exec(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	_, err := w.pool.Exec(t.Context(), statement, arguments...)
	require.NoError(t, err)
}

func (w *world) person(t *testing.T) uuid.UUID {
	t.Helper()
	id := uuid.New()
	w.exec(t, "INSERT INTO users (id, email, email_verified, display_name, locale, state) VALUES ($1, '', false, '', '', 'active')", id)
	return id
}

// do commits a change of rows and returns what is to be awaited.
func (w *world) do(t *testing.T, object permission.Object, statement string, arguments ...any) []converge.Mark {
	t.Helper()
	var marks []converge.Mark
	require.NoError(t, pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(t.Context(), statement, arguments...); err != nil {
			return err
		}
		marks, err = w.change.Touch(t.Context(), tx, object)
		return err
	}))
	return marks
}

func (w *world) await(t *testing.T, marks []converge.Mark) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done, err := w.change.Await(ctx, marks)
	require.NoError(t, err)
	require.True(t, done)
}

func (w *world) organization(t *testing.T) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	w.await(t, w.do(t, permission.Of(permission.Organization, id), "INSERT INTO organizations (id, slug, name) VALUES ($1, $2, 'x')", id, slug()))
	return id
}

func (w *world) gateway(t *testing.T, organization uuid.UUID) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	w.await(t, w.do(t, permission.Of(permission.Gateway, id),
		"INSERT INTO gateways (id, organization_id, slug, name, upstream) VALUES ($1, $2, $3, 'x', 'http://x')", id, organization, slug()))
	return id
}

func (w *world) join(t *testing.T, organization, person uuid.UUID, role string) {
	t.Helper()
	w.await(t, w.do(t, permission.Of(permission.Organization, organization), `
		INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)
		ON CONFLICT (organization_id, user_id) DO UPDATE SET role = excluded.role`, organization, person, role))
}

func slug() string { return "s" + uuid.NewString()[:8] }

// may asks Keto.
func (w *world) may(t *testing.T, subject permission.Subject, permit permission.Permit, object permission.Object) bool {
	t.Helper()
	answers, err := w.check.Check(t.Context(), permission.Question{Subject: subject, Permit: permit, Object: object})
	require.NoError(t, err)
	return answers[0]
}

func (w *world) requireNothingToDo(t *testing.T) {
	t.Helper()
	plan, err := w.change.Reconcile(t.Context(), converge.ReconcileOptions{})
	require.NoError(t, err)
	require.True(t, plan.Empty(), "%v", plan)
	var behind int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM index_state WHERE converged < wanted").Scan(&behind))
	require.Zero(t, behind)
}

// requireWaiting returns when a statement waits for a lock.
func (w *world) requireWaiting(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		err := w.pool.QueryRow(t.Context(),
			"SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()").Scan(&waiting)
		return err == nil && waiting > 0
	}, 20*time.Second, 5*time.Millisecond)
}

func TestChangeIsShownWhenItWasAwaited(t *testing.T) {
	w := newWorld(t)
	ann, organization := w.person(t), w.organization(t)
	gateway := permission.Of(permission.Gateway, w.gateway(t, organization))
	require.False(t, w.may(t, permission.Person(ann), "view", gateway))

	w.join(t, organization, ann, "member")
	require.True(t, w.may(t, permission.Person(ann), "view", gateway))
	require.False(t, w.may(t, permission.Person(ann), "manage", gateway))
	w.join(t, organization, ann, "admin")
	require.True(t, w.may(t, permission.Person(ann), "manage", gateway))
	w.join(t, organization, ann, "member")
	require.False(t, w.may(t, permission.Person(ann), "manage", gateway))
	w.requireNothingToDo(t)
}

func TestObjectThatIsGoneLeavesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.gateway(t, w.organization(t))
	object := permission.Of(permission.Gateway, id)
	marks := w.do(t, object, "DELETE FROM gateways WHERE id = $1", id)
	w.await(t, marks)

	tuples, err := w.index.List(t.Context(), object)
	require.NoError(t, err)
	require.Empty(t, tuples)
	var states int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM index_state WHERE object = $1", id.String()).Scan(&states))
	require.Zero(t, states)
	w.await(t, marks)
	w.requireNothingToDo(t)
}

func TestOutageOfKetoIsCaughtUpWith(t *testing.T) {
	w := newWorld(t)
	ann, organization := w.person(t), w.organization(t)
	object := permission.Of(permission.Organization, organization)
	w.keto.Stop(t)

	marks := w.do(t, object, "INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'owner')", organization, ann)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done, err := w.change.Await(ctx, marks)
	require.NoError(t, err)
	require.False(t, done)
	require.Error(t, w.change.Converge(t.Context(), object))

	w.keto.Start(t)
	w.await(t, marks)
	require.True(t, w.may(t, permission.Person(ann), "transfer", object))
	w.requireNothingToDo(t)
}

var errBroken = errors.New("the change fails")

func TestWithdrawalOfAChangeThatFailsIsRestored(t *testing.T) {
	w := newWorld(t)
	ann, organization := w.person(t), w.organization(t)
	object := permission.Of(permission.Organization, organization)
	w.join(t, organization, ann, "member")
	tuple := permission.Tuple{Object: object, Relation: "members", Subject: permission.Person(ann).Set()}

	restored := make(chan error, 1)
	err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		if _, err := w.change.Touch(t.Context(), tx, object); err != nil {
			return err
		}
		if err := w.change.Withdraw(t.Context(), tuple); err != nil {
			return err
		}
		require.False(t, w.may(t, permission.Person(ann), "view", object))
		// What the job does that Withdraw has left; it must wait for this change to end.
		go func() { restored <- w.converger().Converge(context.WithoutCancel(t.Context()), object) }()
		w.requireWaiting(t)
		require.False(t, w.may(t, permission.Person(ann), "view", object))
		return errBroken
	})
	require.ErrorIs(t, err, errBroken)
	require.NoError(t, <-restored)
	require.True(t, w.may(t, permission.Person(ann), "view", object))

	var waiting int
	require.NoError(t, w.pool.QueryRow(t.Context(),
		"SELECT count(*) FROM river_job WHERE kind = 'converge' AND args ->> 'id' = $1 AND args -> 'version' IS NULL", organization.String()).Scan(&waiting))
	require.Equal(t, 1, waiting)
	w.requireNothingToDo(t)
}

func TestWithdrawFailsWithKeto(t *testing.T) {
	w := newWorld(t)
	ann, organization := w.person(t), w.organization(t)
	w.join(t, organization, ann, "member")
	w.keto.Stop(t)
	require.Error(t, w.change.Withdraw(t.Context(),
		permission.Tuple{Object: permission.Of(permission.Organization, organization), Relation: "members", Subject: permission.Person(ann).Set()}))
	w.keto.Start(t)
}

func TestReconcileFindsAndRepairsWhateverDiffers(t *testing.T) {
	w := newWorld(t)
	ann, organization := w.person(t), w.organization(t)
	w.join(t, organization, ann, "member")
	object := permission.Of(permission.Organization, organization)
	lost := permission.Tuple{Object: object, Relation: "members", Subject: permission.Person(ann).Set()}
	stray := permission.Tuple{Object: object, Relation: "owners", Subject: permission.Person(ann).Set()}
	orphan := permission.Tuple{Object: permission.Object{Namespace: permission.Gateway, ID: "nobody's"}, Relation: "viewers", Subject: permission.Person(ann).Set()}
	foreign := permission.Tuple{Object: object, Relation: "members", Subject: permission.SubjectSet{ID: "without a namespace"}}
	require.NoError(t, w.index.Write(t.Context(), []permission.Tuple{stray, orphan, foreign}, []permission.Tuple{lost}))

	plan, err := w.change.Reconcile(t.Context(), converge.ReconcileOptions{})
	require.NoError(t, err)
	require.Equal(t, []permission.Tuple{lost}, plan.Missing)
	require.ElementsMatch(t, []permission.Tuple{stray, orphan, foreign}, plan.Surplus)
	require.True(t, w.may(t, permission.Person(ann), "delete", object), "a plan changes nothing")

	_, err = w.change.Reconcile(t.Context(), converge.ReconcileOptions{Apply: true})
	require.NoError(t, err)
	require.True(t, w.may(t, permission.Person(ann), "view", object))
	require.False(t, w.may(t, permission.Person(ann), "delete", object))
	w.requireNothingToDo(t)
}

func TestReconcileDoesNotDeleteTooMuchUnasked(t *testing.T) {
	w := newWorld(t)
	var strays []permission.Tuple
	for i := range converge.FewDeletes + 1 {
		strays = append(strays, permission.Tuple{
			Object: permission.Object{Namespace: permission.Gateway, ID: fmt.Sprint(i)}, Relation: "viewers", Subject: permission.Person(uuid.New()).Set(),
		})
	}
	require.NoError(t, w.index.Write(t.Context(), strays, nil))
	options := converge.ReconcileOptions{Apply: true, MaxDeletedShare: 0.9}

	_, err := w.change.Reconcile(t.Context(), options)
	require.ErrorIs(t, err, converge.ErrTooManyDeletes)
	all, err := w.index.All(t.Context())
	require.NoError(t, err)
	require.Len(t, all, len(strays), "a plan that is refused changes nothing")

	options.Force = true
	_, err = w.change.Reconcile(t.Context(), options)
	require.NoError(t, err)
	w.requireNothingToDo(t)
}
