//go:build integration

package users_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// work is what a saga hands on, and what it did at the other servers.
type work struct {
	mu      sync.Mutex
	queued  []uuid.UUID
	touched []permission.Object
	calls   []string
	// sessions are everybody's at Kratos.
	sessions []users.Session
	down     string // the call that fails
}

func (w *work) call(format string, arguments ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := fmt.Sprintf(format, arguments...)
	if w.down != "" && strings.HasPrefix(name, w.down) {
		return errors.New("connection refused: 10.0.0.7")
	}
	w.calls = append(w.calls, name)
	return nil
}

// servers are Kratos and Hydra as a saga uses them.
type servers struct {
	*kratos
	*work
}

func (s servers) SetActive(_ context.Context, id uuid.UUID, active bool) error {
	if err := s.call("active %t", active); err != nil {
		return err
	}
	s.kratos.mu.Lock()
	defer s.kratos.mu.Unlock()
	identity, found := s.identities[id]
	if !found {
		return users.ErrNoIdentity
	}
	identity.Active = active
	s.identities[id] = identity
	return nil
}

func (s servers) EndSessions(context.Context, uuid.UUID) error { return s.call("sessions") }
func (s servers) EndSession(context.Context, string) error     { return s.call("session") }
func (s servers) EndGrants(context.Context, uuid.UUID) error   { return s.call("grants") }
func (s servers) Sessions(context.Context, uuid.UUID) ([]users.Session, error) {
	return slices.Clone(s.sessions), s.call("list")
}

func (s servers) DeleteIdentity(_ context.Context, id uuid.UUID) error {
	if err := s.call("delete"); err != nil {
		return err
	}
	s.forget(id)
	return nil
}

// newSaga is what a process has that was started anew.
func (f fixture) newSaga() *users.Saga {
	s := users.NewSaga(f.Directory, servers{f.kratos, f.work}, servers{f.kratos, f.work})
	s.Enqueue = func(_ context.Context, _ pgx.Tx, operation uuid.UUID) error {
		f.work.mu.Lock()
		defer f.work.mu.Unlock()
		f.work.queued = append(f.work.queued, operation)
		return nil
	}
	s.Touch = func(_ context.Context, _ pgx.Tx, objects ...permission.Object) error {
		f.work.mu.Lock()
		defer f.work.mu.Unlock()
		f.work.touched = append(f.work.touched, objects...)
		return nil
	}
	return s
}

func (f fixture) start(t *testing.T, user uuid.UUID, kind users.Kind) uuid.UUID {
	t.Helper()
	var operation uuid.UUID
	require.NoError(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		started, err := f.saga.Start(t.Context(), tx, user, kind, users.Requester{By: "User:x", RequestID: "r"})
		operation = started.ID
		return err
	}))
	return operation
}

// another is the same world about another person.
func (f fixture) another() fixture {
	f.ann.ID = uuid.New()
	f.kratos.set(f.ann)
	f.saga = f.newSaga()
	return f
}

// belongings are one of everything that a person can have. They belong to one organization alone and to another with others.
type belongings struct{ alone, shared, gateway, key, other uuid.UUID }

func (f fixture) give(t *testing.T) belongings {
	t.Helper()
	_, err := f.Converge(t.Context(), f.ann.ID)
	require.NoError(t, err)
	bob := users.Identity{ID: uuid.New(), Email: "bob@example.com", Active: true}
	f.kratos.set(bob)
	_, err = f.Converge(t.Context(), bob.ID)
	require.NoError(t, err)

	id := func() uuid.UUID { return uuid.Must(uuid.NewV7()) }
	b := belongings{id(), id(), id(), id(), bob.ID}
	exec := func(statement string, arguments ...any) {
		t.Helper()
		_, err := f.pool.Exec(t.Context(), statement, arguments...)
		require.NoError(t, err)
	}
	exec("INSERT INTO organizations (id, slug, name) VALUES ($1, $1::uuid::text, 'A'), ($2, $2::uuid::text, 'S')", b.alone, b.shared)
	exec("INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'owner'), ($3, $2, 'owner'), ($3, $4, 'owner')",
		b.alone, f.ann.ID, b.shared, bob.ID)
	exec("INSERT INTO gateways (id, organization_id, slug, name, upstream) VALUES ($1, $2, 'gateway', 'G', 'http://g')", b.gateway, b.shared)
	exec(`INSERT INTO gateway_grants (gateway_id, subject_kind, subject_id, role, granted_by_kind, granted_by_id)
		VALUES ($1, 'user', $2, 'editor', 'user', $3), ($1, 'user', $3, 'editor', 'user', $2)`, b.gateway, f.ann.ID.String(), bob.ID.String())
	exec("INSERT INTO platform_admins (user_id) VALUES ($1)", f.ann.ID)
	exec("INSERT INTO api_keys (id, user_id, name, prefix, hash, scopes, created_by) VALUES ($1, $2, 'own', $1::uuid::text, 'h', '{}', $2)", b.key, f.ann.ID)
	exec("INSERT INTO api_keys (id, organization_id, name, prefix, hash, scopes, created_by) VALUES ($1, $2, 'theirs', $1::uuid::text, 'h', '{}', $3)",
		id(), b.shared, f.ann.ID)
	return b
}

func (f fixture) count(t *testing.T, query string, arguments ...any) (n int) {
	t.Helper()
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+query, arguments...).Scan(&n))
	return n
}

// requireSuspended holds after a suspension, however it came about.
func (f fixture) requireSuspended(t *testing.T, b belongings) {
	t.Helper()
	_, err := f.Admit(t.Context(), token(f.ann))
	requireCode(t, problem.AccountDisabled, err)
	require.False(t, f.kratos.identities[f.ann.ID].Active)
	require.NotZero(t, f.count(t, "revocations WHERE kind = 'subject' AND subject_id = $1 AND not_before IS NOT NULL", f.ann.ID.String()))
	require.NotZero(t, f.count(t, "revocations WHERE kind = 'key' AND subject_id = $1 AND expires_at < now() + interval '2 minutes'", b.key.String()), "a key that rests may work again")
	require.Equal(t, 2, f.count(t, "memberships WHERE user_id = $1", f.ann.ID))
	require.Equal(t, 2, f.count(t, "api_keys WHERE created_by = $1 AND revoked_at IS NULL", f.ann.ID))
}

func (f fixture) requireDeleted(t *testing.T, b belongings) {
	t.Helper()
	_, err := f.Admit(t.Context(), token(f.ann))
	requireCode(t, problem.Unauthenticated, err)
	require.NotContains(t, f.kratos.identities, f.ann.ID)
	require.Zero(t, f.count(t, "memberships WHERE user_id = $1", f.ann.ID))
	require.Zero(t, f.count(t, "gateway_grants WHERE subject_id = $1", f.ann.ID.String()))
	require.Zero(t, f.count(t, "platform_admins WHERE user_id = $1", f.ann.ID))
	require.Zero(t, f.count(t, "api_keys WHERE user_id = $1 AND revoked_at IS NULL", f.ann.ID))
	require.Equal(t, 1, f.count(t, "users WHERE id = $1 AND email = '' AND display_name = '' AND deleted_at IS NOT NULL", f.ann.ID))
	require.NotZero(t, f.count(t, "revocations WHERE kind = 'key' AND subject_id = $1", b.key.String()))
	for _, object := range []permission.Object{
		permission.Of(permission.Organization, b.alone), permission.Of(permission.Organization, b.shared),
		permission.Of(permission.Gateway, b.gateway), permission.PlatformObject,
	} {
		require.Contains(t, f.work.touched, object)
	}

	require.Equal(t, 1, f.count(t, "api_keys WHERE organization_id = $1 AND revoked_at IS NULL", b.shared), "it is the organization's")
	require.Equal(t, 1, f.count(t, "memberships WHERE user_id = $1", b.other))
	require.Equal(t, 1, f.count(t, "gateway_grants WHERE subject_id = $1", b.other.String()))
}

func TestSuspensionEndsEverythingThatWasSignedIn(t *testing.T) {
	f := newFixture(t)
	b := f.give(t)
	operation := f.start(t, f.ann.ID, users.Suspend)
	require.Equal(t, []uuid.UUID{operation}, f.work.queued)

	require.NoError(t, f.saga.Advance(t.Context(), operation))
	f.requireSuspended(t, b)
	require.Equal(t, []string{"active false", "sessions", "grants"}, f.work.calls)
	require.NoError(t, f.saga.Advance(t.Context(), operation), "a finished operation is left alone")
	require.Len(t, f.work.calls, 3)
	require.Equal(t, 1, f.count(t, "user_operations"), "what it did at Kratos starts no other")

	operation = f.start(t, f.ann.ID, users.Reactivate)
	require.NoError(t, f.saga.Advance(t.Context(), operation))
	_, err := f.Admit(t.Context(), token(f.ann))
	require.NoError(t, err)
}

func TestDeletionLeavesATombstoneAndNothingElse(t *testing.T) {
	f := newFixture(t)
	b := f.give(t)
	operation := f.start(t, f.ann.ID, users.Delete)
	require.NoError(t, f.saga.Advance(t.Context(), operation))
	f.requireDeleted(t, b)
	require.Equal(t, []string{"active false", "sessions", "grants", "delete"}, f.work.calls)
}

// A kill is a fail point that ends the attempt; a restart is a saga that knows nothing of it.
func TestOperationsFinishAfterAKillAtEachStep(t *testing.T) {
	kill := errors.New("killed")
	all := newFixture(t)
	for _, kind := range []users.Kind{users.Suspend, users.Delete} {
		var points []string
		f := all.another()
		f.give(t)
		f.saga.FailPoint = func(point string) error { points = append(points, point); return nil }
		require.NoError(t, f.saga.Advance(t.Context(), f.start(t, f.ann.ID, kind)))
		require.NotEmpty(t, points)

		for _, point := range points {
			t.Run(string(kind)+"/"+point, func(t *testing.T) {
				f := all.another()
				b := f.give(t)
				operation := f.start(t, f.ann.ID, kind)
				f.saga.FailPoint = func(at string) error {
					if at == point {
						return kill
					}
					return nil
				}
				require.ErrorIs(t, f.saga.Advance(t.Context(), operation), kill)
				require.NoError(t, f.newSaga().Advance(t.Context(), operation))
				if kind == users.Delete {
					f.requireDeleted(t, b)
				} else {
					f.requireSuspended(t, b)
				}
			})
		}
	}
}

func TestFailureStopsAtItsStepAndIsShown(t *testing.T) {
	f := newFixture(t)
	b := f.give(t)
	operation := f.start(t, f.ann.ID, users.Suspend)
	f.work.down = "grants"
	require.Error(t, f.saga.Advance(t.Context(), operation))
	require.Zero(t, f.count(t, "revocations"), "nothing is published before it has ended")

	var encoded []byte
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT steps FROM user_operations").Scan(&encoded))
	var steps []users.Step
	require.NoError(t, json.Unmarshal(encoded, &steps))
	failed := slices.IndexFunc(steps, func(s users.Step) bool { return s.Error != "" })
	require.Equal(t, "end_grants", steps[failed].Name)
	require.NotContains(t, steps[failed].Error, "10.0.0.7", "the network is nobody's business")
	require.NotNil(t, steps[failed-1].DoneAt)
	require.Nil(t, steps[failed+1].DoneAt)

	f.work.down = ""
	require.NoError(t, f.saga.Advance(t.Context(), operation))
	f.requireSuspended(t, b)
	require.Zero(t, f.count(t, "user_operations WHERE steps::text LIKE '%\"error\"%'"))
}

func TestOnePersonHasOneOperationAtATime(t *testing.T) {
	f := newFixture(t)
	f.give(t)
	f.start(t, f.ann.ID, users.Suspend)
	err := pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := f.saga.Start(t.Context(), tx, f.ann.ID, users.Reactivate, users.Requester{By: "User:x"})
		return err
	})
	requireCode(t, problem.OperationInProgress, err)
}

func TestTwoProcessesDoAStepOnce(t *testing.T) {
	f := newFixture(t)
	b := f.give(t)
	operation := f.start(t, f.ann.ID, users.Delete)
	other := f.newSaga()
	require.NoError(t, race(func() error {
		return errors.Join(f.saga.Advance(context.Background(), operation), other.Advance(context.Background(), operation))
	}))
	f.requireDeleted(t, b)
	require.Equal(t, []string{"active false", "sessions", "grants", "delete"}, f.work.calls)
}

func TestDeletionAtKratosIsCompleted(t *testing.T) {
	f := newFixture(t)
	b := f.give(t)
	f.kratos.forget(f.ann.ID)
	_, err := f.Converge(t.Context(), f.ann.ID)
	require.ErrorIs(t, err, users.ErrNoIdentity)
	require.Len(t, f.work.queued, 1)
	require.NoError(t, f.saga.Advance(t.Context(), f.work.queued[0]))
	f.requireDeleted(t, b)
	require.Equal(t, 1, f.count(t, "user_operations WHERE requested_by = 'system' AND kind = 'delete'"))
}

func TestSuspensionAtKratosIsCompleted(t *testing.T) {
	f := newFixture(t)
	b := f.give(t)
	suspended := f.ann
	suspended.Active = false
	f.kratos.set(suspended)
	for range 2 { // seen twice
		_, err := f.Converge(t.Context(), f.ann.ID)
		require.NoError(t, err)
	}
	require.Len(t, f.work.queued, 1)
	require.NoError(t, f.saga.Advance(t.Context(), f.work.queued[0]))
	f.requireSuspended(t, b)
	require.Equal(t, []string{"sessions", "grants"}, f.work.calls)
}

func TestOperatorWhoChangedTheirMindAtKratosIsRight(t *testing.T) {
	f := newFixture(t)
	f.give(t)
	suspended := f.ann
	suspended.Active = false
	f.kratos.set(suspended)
	_, err := f.Converge(t.Context(), f.ann.ID)
	require.NoError(t, err)

	f.kratos.set(f.ann)
	require.NoError(t, f.saga.Advance(t.Context(), f.work.queued[0]))
	_, err = f.Admit(t.Context(), token(f.ann))
	require.NoError(t, err)
}

func TestSweepFinishesADeletionOfWhichSomethingIsLeft(t *testing.T) {
	f := newFixture(t)
	b := f.give(t)
	_, err := f.pool.Exec(t.Context(), "UPDATE users SET deleted_at = now(), email = '', display_name = '' WHERE id = $1", f.ann.ID)
	require.NoError(t, err)
	f.kratos.forget(f.ann.ID)

	plan, err := f.sweep(t, false)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{f.ann.ID}, plan.Remaining)
	require.Len(t, f.work.queued, 1)
	plan, err = f.sweep(t, false)
	require.NoError(t, err)
	require.True(t, plan.Empty(), "it is under way")
	require.NoError(t, f.saga.Advance(t.Context(), f.work.queued[0]))
	f.requireDeleted(t, b)
	plan, err = f.sweep(t, false)
	require.NoError(t, err)
	require.True(t, plan.Empty())
}

func TestStepOfANewerReleaseIsNotPassedOver(t *testing.T) {
	f := newFixture(t)
	f.give(t)
	operation := f.start(t, f.ann.ID, users.Suspend)
	_, err := f.pool.Exec(t.Context(), `UPDATE user_operations SET steps = '[{"name":"from_the_future"}]'`)
	require.NoError(t, err)
	require.ErrorContains(t, f.saga.Advance(t.Context(), operation), "unknown step")
	require.Equal(t, 1, f.count(t, "user_operations WHERE finished_at IS NULL"))
}

func TestSessionsThatAMessageFindsEndedArePublishedOnce(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	f.work.sessions = []users.Session{
		{ID: "here", Active: true, ExpiresAt: now.Add(time.Hour)},
		{ID: "there", ExpiresAt: now.Add(time.Hour)},
		{ID: "long ago", ExpiresAt: now.Add(-time.Second)},
	}
	for range 3 {
		require.NoError(t, f.saga.Notice(t.Context(), f.ann.ID))
	}
	require.Equal(t, 1, f.rows(t))
	require.Equal(t, 1, f.count(t, "revocations"))
	require.Equal(t, 1, f.count(t, "revocations WHERE kind = 'session' AND subject_id = 'there' AND expires_at > now() + interval '1 hour'"))

	f.work.sessions[0].Active = false
	require.NoError(t, f.saga.Notice(t.Context(), f.ann.ID))
	require.Equal(t, 2, f.count(t, "revocations"))

	require.NoError(t, f.saga.Notice(t.Context(), uuid.New()), "somebody who is gone already")
	f.work.down = "list"
	requireCode(t, problem.Unavailable, f.saga.Notice(t.Context(), f.ann.ID))
	f.kratos.err = errors.New("connection refused")
	requireCode(t, problem.Unavailable, f.saga.Notice(t.Context(), f.ann.ID))
}
