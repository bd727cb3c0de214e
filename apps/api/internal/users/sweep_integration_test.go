//go:build integration

package users_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/users"
)

// Page implements users.Census, three at a time in the order of ids.
func (k *kratos) Page(_ context.Context, token string) (page []users.Identity, next string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return nil, "", k.err
	}
	ids := slices.SortedFunc(maps.Keys(k.identities), func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	for _, id := range ids {
		if id.String() <= token {
			continue
		}
		if page = append(page, k.identities[id]); len(page) == 3 {
			return page, id.String(), nil
		}
	}
	return page, "", nil
}

func (k *kratos) forget(ids ...uuid.UUID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		delete(k.identities, id)
	}
}

// people makes identities beside Ann's.
func (f fixture) people(n int) (ids []uuid.UUID) {
	for i := range n {
		id := uuid.New()
		f.kratos.set(users.Identity{ID: id, Email: fmt.Sprintf("%d@example.com", i), Active: true})
		ids = append(ids, id)
	}
	return ids
}

// sweep plans and applies.
func (f fixture) sweep(t *testing.T, force bool) (users.Plan, error) {
	t.Helper()
	s := users.NewSweep(f.Directory, f.kratos, f.saga)
	s.Force = force
	plan, err := s.Plan(t.Context())
	require.NoError(t, err)
	return plan, s.Apply(t.Context(), plan)
}

func TestSweepMakesAnEmptyTableEqual(t *testing.T) {
	f := newFixture(t)
	f.people(10)

	plan, err := f.sweep(t, false)
	require.NoError(t, err)
	require.Equal(t, "11 identities, 0 rows: 11 to update, 0 to bury, 0 to finish, 0 returned", plan.String())
	require.Equal(t, 11, f.rows(t))

	plan, err = f.sweep(t, false)
	require.NoError(t, err)
	require.True(t, plan.Empty())
	require.Equal(t, "11 identities, 11 rows: 0 to update, 0 to bury, 0 to finish, 0 returned", plan.String())
}

func TestSweepFindsWhatKratosToldNobody(t *testing.T) {
	f := newFixture(t)
	ids := f.people(6)
	_, err := f.sweep(t, false)
	require.NoError(t, err)

	f.kratos.set(users.Identity{ID: ids[0], Email: "0@example.com", Active: false})
	f.kratos.set(users.Identity{ID: ids[1], Email: "new@example.com", EmailVerified: true, Name: "N", Locale: "en", Active: true})
	f.kratos.forget(ids[2])
	plan, err := f.sweep(t, false)
	require.NoError(t, err)
	require.ElementsMatch(t, []users.Difference{
		{ID: ids[0], Fields: []string{"state"}},
		{ID: ids[1], Fields: []string{"email", "email_verified", "display_name", "locale"}},
	}, plan.Differing)
	require.Equal(t, []uuid.UUID{ids[2]}, plan.Gone)
	var printed strings.Builder
	_, err = plan.WriteTo(&printed)
	require.NoError(t, err)
	require.Contains(t, printed.String(), "update "+ids[0].String()+": state\n")
	require.Contains(t, printed.String(), "bury   "+ids[2].String()+"\n")
	require.NotContains(t, printed.String(), "example.com", "a plan is logged")

	var state, email string
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT state FROM users WHERE id = $1", ids[0]).Scan(&state))
	require.Equal(t, "inactive", state)
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT email FROM users WHERE id = $1", ids[1]).Scan(&email))
	require.Equal(t, "new@example.com", email)
	var buried bool
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT deleted_at IS NOT NULL FROM users WHERE id = $1", ids[2]).Scan(&buried))
	require.True(t, buried)

	f.kratos.set(users.Identity{ID: ids[2], Email: "back@example.com", Active: true})
	plan, err = f.sweep(t, false)
	require.NoError(t, err)
	require.True(t, plan.Empty())
	require.Equal(t, []uuid.UUID{ids[2]}, plan.Returned)
}

// absent is a Kratos whose pages lack people whom it knows: made while the pages were read, say.
type absent struct{ *kratos }

func (absent) Page(context.Context, string) ([]users.Identity, string, error) { return nil, "", nil }

func TestSweepBuriesNobodyWhomKratosKnowsByTheirID(t *testing.T) {
	f := newFixture(t)
	_, err := f.Converge(t.Context(), f.ann.ID)
	require.NoError(t, err)

	plan, err := users.NewSweep(f.Directory, absent{f.kratos}, f.saga).Plan(t.Context())
	require.NoError(t, err)
	require.True(t, plan.Empty())
}

func TestSweepIsNoBetterThanKratosAnswer(t *testing.T) {
	f := newFixture(t)
	_, err := f.Converge(t.Context(), f.ann.ID)
	require.NoError(t, err)
	s := users.NewSweep(f.Directory, absent{f.kratos}, f.saga)
	f.kratos.err = errors.New("readiness answered 503")
	_, err = s.Plan(t.Context())
	require.ErrorContains(t, err, "503", "nobody is missing because Kratos is")
}

func TestSweepDoesNotBelieveThatManyAreGone(t *testing.T) {
	f := newFixture(t)
	ids := f.people(99)
	_, err := f.sweep(t, false)
	require.NoError(t, err)

	f.kratos.forget(ids[:21]...) // more than twenty, and more than one in twenty
	changed := f.ann
	changed.Name = "Changed"
	f.kratos.set(changed)
	plan, err := f.sweep(t, false)
	require.ErrorIs(t, err, users.ErrTooManyGone)
	require.Len(t, plan.Gone, 21)
	again, err := users.NewSweep(f.Directory, f.kratos, f.saga).Plan(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, plan.Gone, again.Gone, "nothing was done")
	require.Equal(t, plan.Differing, again.Differing, "nor believed")

	_, err = f.sweep(t, true)
	require.NoError(t, err)
	plan, err = f.sweep(t, false)
	require.NoError(t, err)
	require.True(t, plan.Empty())
}

func TestSweepBuriesAFewUnasked(t *testing.T) {
	f := newFixture(t)
	ids := f.people(20)
	_, err := f.sweep(t, false)
	require.NoError(t, err)
	f.kratos.forget(ids...)

	_, err = f.sweep(t, false)
	require.NoError(t, err)
	plan, err := f.sweep(t, false)
	require.NoError(t, err)
	require.Equal(t, "1 identities, 1 rows: 0 to update, 0 to bury, 0 to finish, 0 returned", plan.String())
}

func TestSweepTurnsAnOldPlanIntoWhatIsTrueNow(t *testing.T) {
	f := newFixture(t)
	_, err := f.Converge(t.Context(), f.ann.ID)
	require.NoError(t, err)
	f.kratos.forget(f.ann.ID)
	s := users.NewSweep(f.Directory, f.kratos, f.saga)
	plan, err := s.Plan(t.Context())
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{f.ann.ID}, plan.Gone)

	f.kratos.set(f.ann) // Kratos' backup was restored before the plan was applied
	require.NoError(t, s.Apply(t.Context(), plan))
	_, err = f.Admit(t.Context(), session(f.ann))
	require.NoError(t, err)
}
