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
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/convergetest"
	"gatehouse.internal/api/internal/permission"
)

// requireWaiting returns when that many statements wait for a lock.
func requireWaiting(t *testing.T, w *convergetest.World, statements int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		err := w.Pool.QueryRow(t.Context(),
			"SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()").Scan(&waiting)
		return err == nil && waiting == statements
	}, 20*time.Second, 5*time.Millisecond)
}

func TestChangeIsShownWhenItWasAwaited(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	gateway := permission.Of(permission.Gateway, w.Gateway(t, organization))
	require.False(t, w.May(t, permission.Person(ann), "view", gateway))

	w.Join(t, organization, ann, "member")
	require.True(t, w.May(t, permission.Person(ann), "view", gateway))
	require.False(t, w.May(t, permission.Person(ann), "manage", gateway))
	w.Join(t, organization, ann, "admin")
	require.True(t, w.May(t, permission.Person(ann), "manage", gateway))
	w.Join(t, organization, ann, "member")
	require.False(t, w.May(t, permission.Person(ann), "manage", gateway))
	w.RequireConverged(t)
}

func TestObjectThatIsGoneLeavesNothing(t *testing.T) {
	w := convergetest.New(t)
	id := w.Gateway(t, w.Organization(t))
	object := permission.Of(permission.Gateway, id)
	marks := w.Change(t, object, "DELETE FROM gateways WHERE id = $1", id)
	w.Await(t, marks)

	tuples, err := w.Tuples.List(t.Context(), object)
	require.NoError(t, err)
	require.Empty(t, tuples)
	var states int
	require.NoError(t, w.Pool.QueryRow(t.Context(), "SELECT count(*) FROM index_state WHERE object = $1", id.String()).Scan(&states))
	require.Zero(t, states)
	w.Await(t, marks)
	w.RequireConverged(t)
}

func TestOutageOfKetoIsCaughtUpWith(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	object := permission.Of(permission.Organization, organization)
	w.Server.Stop(t)

	marks := w.Change(t, object, "INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'owner')", organization, ann)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done, err := w.Index.Await(ctx, marks)
	require.NoError(t, err)
	require.False(t, done)
	require.Error(t, w.Index.Converge(t.Context(), object))

	w.Server.Start(t)
	w.Await(t, marks)
	require.True(t, w.May(t, permission.Person(ann), "transfer", object))
	w.RequireConverged(t)
}

var errBroken = errors.New("the change fails")

func TestWithdrawalOfAChangeThatFailsIsRestored(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	object := permission.Of(permission.Organization, organization)
	w.Join(t, organization, ann, "member")
	tuple := permission.Tuple{Object: object, Relation: "members", Subject: permission.Person(ann).Set()}

	// Behind already, so that there is something to converge before this change ends.
	earlier := w.Change(t, object, "UPDATE organizations SET name = 'y' WHERE id = $1", organization)
	ended := make(chan error, 2)
	err := pgx.BeginFunc(t.Context(), w.Pool, func(tx pgx.Tx) error {
		if _, err := w.Index.Touch(t.Context(), tx, object); err != nil {
			return err
		}
		if err := w.Index.Withdraw(t.Context(), tuple); err != nil {
			return err
		}
		require.False(t, w.May(t, permission.Person(ann), "view", object))
		// What the job does that Withdraw has left, and another request; both must wait for this change to end.
		go func() { ended <- w.Converger().Converge(context.WithoutCancel(t.Context()), object) }()
		go func() {
			_, err := w.Converger().Await(context.WithoutCancel(t.Context()), earlier)
			ended <- err
		}()
		requireWaiting(t, w, 2)
		require.False(t, w.May(t, permission.Person(ann), "view", object))
		return errBroken
	})
	require.ErrorIs(t, err, errBroken)
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.True(t, w.May(t, permission.Person(ann), "view", object))

	var waiting int
	require.NoError(t, w.Pool.QueryRow(t.Context(),
		"SELECT count(*) FROM river_job WHERE kind = 'converge' AND args ->> 'id' = $1 AND args -> 'version' IS NULL", organization.String()).Scan(&waiting))
	require.Equal(t, 1, waiting)
	w.RequireConverged(t)
}

func TestWithdrawFailsWithKeto(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	w.Join(t, organization, ann, "member")
	w.Server.Stop(t)
	require.Error(t, w.Index.Withdraw(t.Context(),
		permission.Tuple{Object: permission.Of(permission.Organization, organization), Relation: "members", Subject: permission.Person(ann).Set()}))
	w.Server.Start(t)
}

func TestReconcileFindsAndRepairsWhateverDiffers(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	w.Join(t, organization, ann, "member")
	object := permission.Of(permission.Organization, organization)
	lost := permission.Tuple{Object: object, Relation: "members", Subject: permission.Person(ann).Set()}
	stray := permission.Tuple{Object: object, Relation: "owners", Subject: permission.Person(ann).Set()}
	orphan := permission.Tuple{Object: permission.Object{Namespace: permission.Gateway, ID: "nobody's"}, Relation: "viewers", Subject: permission.Person(ann).Set()}
	foreign := permission.Tuple{Object: object, Relation: "members", Subject: permission.SubjectSet{ID: "without a namespace"}}
	require.NoError(t, w.Tuples.Write(t.Context(), []permission.Tuple{stray, orphan, foreign}, []permission.Tuple{lost}))

	plan, err := w.Index.Reconcile(t.Context(), converge.ReconcileOptions{})
	require.NoError(t, err)
	require.Equal(t, []permission.Tuple{lost}, plan.Missing)
	require.ElementsMatch(t, []permission.Tuple{stray, orphan, foreign}, plan.Surplus)
	require.True(t, w.May(t, permission.Person(ann), "delete", object), "a plan changes nothing")

	_, err = w.Index.Reconcile(t.Context(), converge.ReconcileOptions{Apply: true})
	require.NoError(t, err)
	require.True(t, w.May(t, permission.Person(ann), "view", object))
	require.False(t, w.May(t, permission.Person(ann), "delete", object))
	w.RequireConverged(t)
}

func TestReconcileDoesNotDeleteTooMuchUnasked(t *testing.T) {
	w := convergetest.New(t)
	var strays []permission.Tuple
	for i := range converge.FewDeletes + 1 {
		strays = append(strays, permission.Tuple{
			Object: permission.Object{Namespace: permission.Gateway, ID: fmt.Sprint(i)}, Relation: "viewers", Subject: permission.Person(uuid.New()).Set(),
		})
	}
	require.NoError(t, w.Tuples.Write(t.Context(), strays, nil))
	options := converge.ReconcileOptions{Apply: true, MaxDeletedShare: 0.9}

	_, err := w.Index.Reconcile(t.Context(), options)
	require.ErrorIs(t, err, converge.ErrTooManyDeletes)
	all, err := w.Tuples.All(t.Context())
	require.NoError(t, err)
	require.Len(t, all, len(strays), "a plan that is refused changes nothing")

	options.Force = true
	_, err = w.Index.Reconcile(t.Context(), options)
	require.NoError(t, err)
	w.RequireConverged(t)
}

func TestRoleThatChangesIsAddedBeforeTheOldOneIsRemoved(t *testing.T) {
	w := convergetest.New(t)
	id := w.Product(t, w.Gateway(t, w.Organization(t)), permission.Private)
	object := permission.Of(permission.Product, id)
	before, err := w.Tuples.List(t.Context(), object)
	require.NoError(t, err)
	marks := w.Change(t, object, "UPDATE products SET visibility = 'public' WHERE id = $1", id)

	var between []permission.Tuple
	index := w.Converger()
	index.FailPoint = func(name string) (err error) {
		if name == "inserted" {
			between, err = w.Tuples.List(t.Context(), object)
		}
		return err
	}
	done, err := index.Await(t.Context(), marks)
	require.NoError(t, err)
	require.True(t, done)
	after, err := w.Tuples.List(t.Context(), object)
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	require.Subset(t, between, before)
	require.Subset(t, between, after)
}

func TestMetricsTellHowFarTheIndexIsBehind(t *testing.T) {
	w := convergetest.New(t)
	registry := prometheus.NewRegistry()
	index := converge.New(w.Pool, w.Tuples, w.Queue, registry)
	gathered := func(name string) map[string]float64 {
		families, err := registry.Gather()
		require.NoError(t, err)
		out := map[string]float64{}
		for _, family := range families {
			if family.GetName() != name {
				continue
			}
			for _, metric := range family.GetMetric() {
				label := ""
				for _, pair := range metric.GetLabel() {
					label = pair.GetValue()
				}
				out[label] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			}
		}
		return out
	}
	require.Equal(t, map[string]float64{"": 0}, gathered("index_objects_behind"))

	id := uuid.Must(uuid.NewV7())
	object := permission.Of(permission.Organization, id)
	marks := w.Change(t, object, "INSERT INTO organizations (id, slug, name) VALUES ($1, $2, 'x')", id, convergetest.Slug())
	w.Exec(t, "UPDATE index_state SET updated_at = now() - interval '90 seconds' WHERE object = $1", id.String())
	require.Equal(t, map[string]float64{"": 1}, gathered("index_objects_behind"))
	require.InDelta(t, 90, gathered("index_oldest_behind_seconds")[""], 20)
	w.Change(t, object, "UPDATE organizations SET name = 'y' WHERE id = $1", id)
	require.InDelta(t, 90, gathered("index_oldest_behind_seconds")[""], 20, "a further change does not make it look younger")

	w.Server.Stop(t)
	require.Error(t, index.Converge(t.Context(), object))
	w.Server.Start(t)
	done, err := index.Await(t.Context(), marks)
	require.NoError(t, err)
	require.True(t, done)
	require.NoError(t, index.Converge(t.Context(), object))
	require.Equal(t, map[string]float64{"": 0}, gathered("index_objects_behind"))
	require.Equal(t, map[string]float64{"": 0}, gathered("index_oldest_behind_seconds"))
	require.Equal(t, map[string]float64{"failed": 1, "unchanged": 2}, gathered("index_converge_duration_seconds"))

	_, err = index.Reconcile(t.Context(), converge.ReconcileOptions{})
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"missing": 0, "surplus": 0}, gathered("index_reconcile_differences"))
	require.Equal(t, map[string]float64{"planned": 1}, gathered("index_reconcile_runs_total"))
}
