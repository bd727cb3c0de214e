//go:build integration

package users_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// kratos answers from memory, and counts how many read one identity at the same time.
type kratos struct {
	mu         sync.Mutex
	identities map[uuid.UUID]users.Identity
	err        error
	reads      int
	inside     int
	most       int
	enter      func()
}

func (k *kratos) Identity(_ context.Context, id uuid.UUID) (users.Identity, error) {
	k.mu.Lock()
	k.reads++
	k.inside++
	k.most = max(k.most, k.inside)
	enter := k.enter
	k.mu.Unlock()
	if enter != nil {
		enter()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inside--
	found, ok := k.identities[id]
	switch {
	case k.err != nil:
		return users.Identity{}, k.err
	case !ok:
		return users.Identity{}, users.ErrNoIdentity
	}
	return found, nil
}

func (k *kratos) set(identity users.Identity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.identities[identity.ID] = identity
}

type fixture struct {
	*users.Directory
	kratos *kratos
	pool   *pgxpool.Pool
	ann    users.Identity
	saga   *users.Saga
	work   *work
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 10, 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	ann := users.Identity{ID: uuid.New(), Email: "ann@example.com", EmailVerified: true, Name: "Ann", Locale: "ko", Active: true}
	k := &kratos{identities: map[uuid.UUID]users.Identity{ann.ID: ann}}
	f := fixture{Directory: users.NewDirectory(pool, k, 10*time.Second), kratos: k, pool: pool, ann: ann, work: &work{}}
	f.saga = f.newSaga()
	return f
}

func session(identity users.Identity) principal.Principal {
	return principal.Principal{
		Kind: principal.User, Auth: principal.Session, UserID: identity.ID,
		Email: identity.Email, EmailVerified: &identity.EmailVerified,
	}
}

// token is a person's principal through a client.
func token(identity users.Identity) principal.Principal {
	return principal.Principal{Kind: principal.User, Auth: principal.OAuth2, UserID: identity.ID, ClientID: "c"}
}

func (f fixture) rows(t *testing.T) (count int) {
	t.Helper()
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT count(*) FROM users").Scan(&count))
	return count
}

func requireCode(t *testing.T, code problem.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, problem.From(err).Code, err.Error())
}

func TestFirstSightMakesTheRowAndLaterOnesReadIt(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		user, err := f.Admit(t.Context(), session(f.ann))
		require.NoError(t, err)
		require.Equal(t, users.User{ID: f.ann.ID, Email: "ann@example.com", EmailVerified: true, Name: "Ann", Locale: "ko"}, user)
	}
	require.Equal(t, 1, f.rows(t))
	require.Equal(t, 1, f.kratos.reads)
}

// race runs do many times at once.
func race(do func() error) error {
	errs := make([]error, 50)
	var racing sync.WaitGroup
	for i := range errs {
		racing.Go(func() { errs[i] = do() })
	}
	racing.Wait()
	return errors.Join(errs...)
}

func TestRaceOfFirstSightsMakesOneRow(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, race(func() error { _, err := f.Admit(context.Background(), session(f.ann)); return err }))
	require.Equal(t, 1, f.rows(t))
}

func TestRaceOfConvergesReadsTheIdentityInsideItsLock(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, race(func() error { _, err := f.Converge(context.Background(), f.ann.ID); return err }))
	require.Equal(t, 1, f.rows(t))
	require.Equal(t, 1, f.kratos.most)
}

func TestSlowKratosDoesNotStopThePeopleWhoAreKnown(t *testing.T) {
	f := newFixture(t)
	_, err := f.Admit(t.Context(), session(f.ann))
	require.NoError(t, err)
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	f.kratos.enter = func() { asked <- struct{}{}; <-answer }

	var strangers sync.WaitGroup
	for range 50 {
		strangers.Go(func() { _, _ = f.Admit(context.Background(), principal.Principal{UserID: uuid.New()}) })
	}
	for range 5 { // half of the connections
		<-asked
	}
	_, err = f.Admit(t.Context(), session(f.ann))
	close(answer)
	strangers.Wait()

	require.NoError(t, err)
	require.Equal(t, 5, f.kratos.most)
}

func TestIdentitiesDoNotWaitForEachOther(t *testing.T) {
	f := newFixture(t)
	bob := users.Identity{ID: uuid.New(), Email: "bob@example.com", Active: true}
	f.kratos.set(bob)
	var together sync.WaitGroup
	together.Add(2)
	f.kratos.enter = func() { together.Done(); together.Wait() } // ends only when both are inside
	errs := make([]error, 2)
	var racing sync.WaitGroup
	for i, identity := range []users.Identity{f.ann, bob} {
		racing.Go(func() { _, errs[i] = f.Admit(context.Background(), session(identity)) })
	}
	racing.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 2, f.rows(t))
}

func TestTokenThatDisagreesMakesTheRowEqualToTheIdentity(t *testing.T) {
	f := newFixture(t)
	_, err := f.Admit(t.Context(), session(f.ann))
	require.NoError(t, err)
	changed := f.ann
	changed.Email, changed.EmailVerified, changed.Name = "ann@new.example", false, "Ann N."
	f.kratos.set(changed)

	user, err := f.Admit(t.Context(), session(changed))
	require.NoError(t, err)
	require.Equal(t, users.User{ID: f.ann.ID, Email: "ann@new.example", Name: "Ann N.", Locale: "ko"}, user)

	user, err = f.Admit(t.Context(), session(f.ann)) // an older token never turns the row back
	require.NoError(t, err)
	require.Equal(t, "ann@new.example", user.Email)
}

func TestTokenWithoutAnAddressReadsNothing(t *testing.T) {
	f := newFixture(t)
	_, err := f.Admit(t.Context(), session(f.ann))
	require.NoError(t, err)

	_, err = f.Admit(t.Context(), token(f.ann))

	require.NoError(t, err)
	require.Equal(t, 1, f.kratos.reads)
}

// passTenSeconds makes every row as old as a revocation may be.
func (f fixture) passTenSeconds(t *testing.T) {
	t.Helper()
	_, err := f.pool.Exec(t.Context(), "UPDATE users SET updated_at = updated_at - interval '10 seconds'")
	require.NoError(t, err)
}

// Kratos tells nobody of these, and no session is there to be refused.
func TestSuspensionReachesATokenWithinTenSeconds(t *testing.T) {
	f := newFixture(t)
	_, err := f.Admit(t.Context(), token(f.ann))
	require.NoError(t, err)
	suspended := f.ann
	suspended.Active = false
	f.kratos.set(suspended)

	f.passTenSeconds(t)
	for range 3 {
		_, err = f.Admit(t.Context(), token(f.ann))
		requireCode(t, problem.AccountDisabled, err)
	}
	require.Equal(t, 2, f.kratos.reads, "who is suspended cannot make every request a question to Kratos")

	f.kratos.set(f.ann)
	f.passTenSeconds(t)
	_, err = f.Admit(t.Context(), token(f.ann))
	require.NoError(t, err)
}

func TestDeletionReachesATokenWithinTenSeconds(t *testing.T) {
	f := newFixture(t)
	_, err := f.Admit(t.Context(), token(f.ann))
	require.NoError(t, err)
	f.kratos.mu.Lock()
	delete(f.kratos.identities, f.ann.ID)
	f.kratos.mu.Unlock()

	f.passTenSeconds(t)
	_, err = f.Admit(t.Context(), token(f.ann))
	requireCode(t, problem.Unauthenticated, err)
}

func TestSessionNeedsNoSecondLookHoweverOldTheRow(t *testing.T) {
	f := newFixture(t)
	_, err := f.Admit(t.Context(), session(f.ann))
	require.NoError(t, err)
	f.passTenSeconds(t)
	_, err = f.Admit(t.Context(), session(f.ann))
	require.NoError(t, err)
	require.Equal(t, 1, f.kratos.reads)
}

func TestSuspendedPersonIsRefusedUntilKratosSaysOtherwise(t *testing.T) {
	f := newFixture(t)
	suspended := f.ann
	suspended.Active = false
	f.kratos.set(suspended)
	_, err := f.Admit(t.Context(), session(f.ann))
	requireCode(t, problem.AccountDisabled, err)

	f.kratos.set(f.ann)
	_, err = f.Admit(t.Context(), session(f.ann))
	require.NoError(t, err)
}

func TestDeletedPersonLeavesATombstoneThatNothingRevives(t *testing.T) {
	f := newFixture(t)
	_, err := f.Admit(t.Context(), session(f.ann))
	require.NoError(t, err)
	f.kratos.mu.Lock()
	delete(f.kratos.identities, f.ann.ID)
	f.kratos.mu.Unlock()

	_, err = f.Converge(t.Context(), f.ann.ID)
	require.ErrorIs(t, err, users.ErrNoIdentity)
	_, err = f.Admit(t.Context(), session(f.ann))
	requireCode(t, problem.Unauthenticated, err)

	f.kratos.set(f.ann) // an id that came back is still a dead person's
	_, err = f.Converge(t.Context(), f.ann.ID)
	require.ErrorIs(t, err, users.ErrNoIdentity)
	_, err = f.Admit(t.Context(), session(f.ann))
	requireCode(t, problem.Unauthenticated, err)

	var email, name string
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT email, display_name FROM users").Scan(&email, &name))
	require.Empty(t, email+name)
}

func TestIdentityThatNeverWasLeavesNoRow(t *testing.T) {
	f := newFixture(t)
	_, err := f.Admit(t.Context(), principal.Principal{Kind: principal.User, UserID: uuid.New()})
	requireCode(t, problem.Unauthenticated, err)
	require.Zero(t, f.rows(t))
}

func TestKratosOutageIsUnavailableAndChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.kratos.err = errors.New("connection refused")
	_, err := f.Admit(t.Context(), session(f.ann))
	requireCode(t, problem.Unavailable, err)
	require.Zero(t, f.rows(t))
}

func TestDatabaseOutageIsUnavailable(t *testing.T) {
	f := newFixture(t)
	f.pool.Close()
	_, err := f.Admit(t.Context(), session(f.ann))
	requireCode(t, problem.Unavailable, err)
}
