//go:build integration

package keys_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/keys"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

// people answers for those who may act.
type people struct {
	mu    sync.Mutex
	gone  map[uuid.UUID]error
	asked int
}

func (p *people) Admit(_ context.Context, who principal.Principal) (users.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if err := p.gone[who.UserID]; err != nil {
		return users.User{}, err
	}
	return users.User{ID: who.UserID, Name: "Ann"}, nil
}

type fixture struct {
	*keys.Registry
	pool         *pgxpool.Pool
	db           databasetest.Database
	people       *people
	logs         *bytes.Buffer
	ann, bob     uuid.UUID
	organization uuid.UUID
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 10, 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	f := fixture{
		pool: pool, db: db, people: &people{gone: map[uuid.UUID]error{}}, logs: &bytes.Buffer{},
		ann: uuid.New(), bob: uuid.New(), organization: uuid.New(),
	}
	f.Registry = keys.NewRegistry(pool, f.people, slog.New(slog.NewJSONHandler(f.logs, nil)), 10*time.Second)
	for _, person := range []uuid.UUID{f.ann, f.bob} {
		f.exec(t, "INSERT INTO users (id, email, email_verified, display_name, locale, state) VALUES ($1, $2, true, '', '', 'active')", person, person.String()+"@example.com")
	}
	f.exec(t, "INSERT INTO organizations (id, slug, name) VALUES ($1, 'acme', 'Acme')", f.organization)
	f.exec(t, "INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'admin')", f.organization, f.ann)
	return f
}

func (f fixture) exec(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	_, err := f.pool.Exec(t.Context(), statement, arguments...)
	require.NoError(t, err)
}

// text makes a secret as the package documents it.
func text(random string) string {
	begin := "gh_live_" + random
	return fmt.Sprintf("%s_%08x", begin, crc32.ChecksumIEEE([]byte(begin)))
}

var one = text(strings.Repeat("A", 10) + strings.Repeat("B", 42))

// key adds a row for secret: Ann's own, or the organization's that Ann made.
func (f fixture) key(t *testing.T, secret string, ofOrganization bool) uuid.UUID {
	t.Helper()
	id, sum := uuid.New(), sha256.Sum256([]byte(secret))
	organization, user := uuid.NullUUID{}, uuid.NullUUID{UUID: f.ann, Valid: true}
	if ofOrganization {
		organization, user = uuid.NullUUID{UUID: f.organization, Valid: true}, uuid.NullUUID{}
	}
	f.exec(t, `INSERT INTO api_keys (id, organization_id, user_id, name, prefix, hash, scopes, created_by)
		VALUES ($1, $2, $3, 'CI', $4, $5, '{gateways:read,gateways:write}', $6)`, id, organization, user, secret[:18], sum[:], f.ann)
	return id
}

func requireCode(t *testing.T, code problem.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, problem.From(err).Code, err.Error())
}

func asKey(id uuid.UUID) principal.Principal {
	return principal.Principal{Kind: principal.APIKey, Auth: principal.ByKey, KeyID: id, Scopes: []string{"everything"}}
}

func TestGoodKeyIsKnown(t *testing.T) {
	for name, ofOrganization := range map[string]bool{"a person's": false, "an organization's": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.key(t, one, ofOrganization)

			record, err := f.Verify(t.Context(), one)
			require.NoError(t, err)
			require.Equal(t, id, record.ID)
			require.Equal(t, []string{"gateways:read", "gateways:write"}, record.Scopes)
			require.Nil(t, record.Expires)

			p, user, err := f.Admit(t.Context(), asKey(id))
			require.NoError(t, err)
			require.Equal(t, []string{"gateways:read", "gateways:write"}, p.Scopes, "the row's, not the token's")
			if ofOrganization {
				require.Equal(t, f.organization, p.OrganizationID)
				require.Equal(t, uuid.Nil, p.UserID)
				require.Nil(t, user)
				return
			}
			require.Equal(t, uuid.Nil, p.OrganizationID)
			require.Equal(t, f.ann, p.UserID)
			require.Equal(t, f.ann, user.ID)
		})
	}
}

func TestKeyThatIsNotGoodIsRefusedTheSameWayWhateverTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		ofOrganization bool
		secret         string // another than the key's
		spoil          func(t *testing.T, f fixture)
	}{
		"revoked":               {spoil: func(t *testing.T, f fixture) { f.exec(t, "UPDATE api_keys SET revoked_at = now()") }},
		"expired":               {spoil: func(t *testing.T, f fixture) { f.exec(t, "UPDATE api_keys SET expires_at = now()") }},
		"of a suspended person": {spoil: func(_ *testing.T, f fixture) { f.people.gone[f.ann] = problem.New(problem.AccountDisabled, "") }},
		"of a deleted person":   {spoil: func(_ *testing.T, f fixture) { f.people.gone[f.ann] = problem.New(problem.Unauthenticated, "") }},
		"of an organization, made by somebody who left it":   {ofOrganization: true, spoil: func(t *testing.T, f fixture) { f.exec(t, "DELETE FROM memberships") }},
		"of an organization, made by somebody now suspended": {ofOrganization: true, spoil: func(_ *testing.T, f fixture) { f.people.gone[f.ann] = problem.New(problem.AccountDisabled, "") }},
		"gone with its organization":                         {ofOrganization: true, spoil: func(t *testing.T, f fixture) { f.exec(t, "DELETE FROM api_keys") }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.key(t, one, c.ofOrganization)
			want := f.verify(t, text(strings.Repeat("Z", 52))) // of no key
			c.spoil(t, f)

			_, err := f.Verify(t.Context(), one)
			require.ErrorIs(t, err, keys.ErrRejected)
			_, _, err = f.Admit(t.Context(), asKey(id))
			requireCode(t, problem.Unauthenticated, err)
			got := f.verify(t, one)
			require.Equal(t, http.StatusUnauthorized, got.Code)
			require.Equal(t, want.Body.String(), got.Body.String())
			require.Equal(t, want.Header(), got.Header())
		})
	}
}

func TestOtherSecretsOfTheSamePrefixAreRefused(t *testing.T) {
	f := newFixture(t)
	f.key(t, one, false)
	for _, random := range []string{strings.Repeat("A", 10) + strings.Repeat("B", 41) + "C", strings.Repeat("A", 52)} {
		_, err := f.Verify(t.Context(), text(random))
		require.ErrorIs(t, err, keys.ErrRejected)
	}
	require.Zero(t, f.people.asked, "who does not know the secret learns nothing of its holder")
}

func TestKeyEndsWithItsTime(t *testing.T) {
	f := newFixture(t)
	f.key(t, one, false)
	f.exec(t, "UPDATE api_keys SET expires_at = now() + interval '1 hour'")
	record, err := f.Verify(t.Context(), one)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), *record.Expires, time.Minute)
}

func TestUseIsNotedOnceAnHourAndChangesNothingElse(t *testing.T) {
	f := newFixture(t)
	f.key(t, one, false)
	read := func() (used *time.Time, version int64, updated time.Time, writes string) {
		require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT last_used_at, version, updated_at, xmin::text FROM api_keys").Scan(&used, &version, &updated, &writes))
		return used, version, updated, writes
	}
	unused, version, updated, _ := read()
	require.Nil(t, unused)

	_, err := f.Verify(t.Context(), one)
	require.NoError(t, err)
	used, sameVersion, sameTime, write := read()
	require.NotNil(t, used)
	require.Zero(t, used.Minute()+used.Second()+used.Nanosecond())
	require.Equal(t, version, sameVersion)
	require.Equal(t, updated, sameTime)

	for range 3 {
		_, err = f.Verify(t.Context(), one)
		require.NoError(t, err)
	}
	_, _, _, later := read()
	require.Equal(t, write, later, "no write for a use that is noted already")

	f.exec(t, "UPDATE api_keys SET last_used_at = last_used_at - interval '1 hour'")
	_, err = f.Verify(t.Context(), one)
	require.NoError(t, err)
	again, _, _, _ := read()
	require.Equal(t, used.UTC(), again.UTC())
}

func (f fixture) verify(t *testing.T, secret string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/internal/api-keys/verify", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	keys.Handler(f.Registry, refuse).ServeHTTP(w, r)
	return w
}

func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	p := problem.From(err)
	http.Error(w, p.Detail, p.Status())
}

func TestGateIsToldWhatItNeeds(t *testing.T) {
	f := newFixture(t)
	id := f.key(t, one, true)
	f.exec(t, "UPDATE api_keys SET expires_at = '2100-01-01T00:00:00Z', updated_at = '2026-11-23T12:00:00.123456Z'")
	w := f.verify(t, one)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var answer map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	for _, name := range []string{"issued_at", "expires_at"} {
		at, err := time.Parse(time.RFC3339, answer[name].(string))
		require.NoError(t, err)
		answer[name] = at.UTC().Format(time.RFC3339Nano)
	}
	require.Equal(t, map[string]any{
		"subject": id.String(), "key_id": id.String(), "scope": "gateways:read gateways:write",
		"issued_at": "2026-11-23T12:00:00.123456Z", "expires_at": "2100-01-01T00:00:00Z",
	}, answer)
}

func TestGateThatSendsNoKeyIsRefused(t *testing.T) {
	f := newFixture(t)
	f.key(t, one, false)
	for name, header := range map[string]http.Header{
		"nothing":      {},
		"basic":        {"Authorization": {"Basic " + one}},
		"two keys":     {"Authorization": {"Bearer " + one, "Bearer " + one}},
		"not a key":    {"Authorization": {"Bearer ory_at_x"}},
		"other header": {"X-Api-Key": {one}},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/internal/api-keys/verify", nil)
		r.Header = header
		w := httptest.NewRecorder()
		keys.Handler(f.Registry, refuse).ServeHTTP(w, r)
		require.Equal(t, http.StatusUnauthorized, w.Code, name)
	}
}

func TestOutageIsNotANo(t *testing.T) {
	f := newFixture(t)
	id := f.key(t, one, false)
	f.people.gone[f.ann] = problem.New(problem.Unavailable, "")
	_, err := f.Verify(t.Context(), one)
	requireCode(t, problem.Unavailable, err)
	_, _, err = f.Admit(t.Context(), asKey(id))
	requireCode(t, problem.Unavailable, err)

	f.people.gone[f.ann] = errors.New("a bug")
	require.Equal(t, http.StatusInternalServerError, f.verify(t, one).Code)

	f.pool.Close()
	_, err = f.Verify(t.Context(), one)
	requireCode(t, problem.Unavailable, err)
	_, _, err = f.Admit(t.Context(), asKey(id))
	requireCode(t, problem.Unavailable, err)
	require.Equal(t, http.StatusServiceUnavailable, f.verify(t, one).Code)
	require.Equal(t, http.StatusUnauthorized, f.verify(t, "gh_mistyped").Code, "nobody is asked about these")
	require.NotContains(t, f.logs.String(), one)
}

// Anyone may send what looks like a key.
func TestWhoTriesKeysLeavesConnectionsToOthers(t *testing.T) {
	f := newFixture(t)
	superuser, err := pgx.Connect(t.Context(), f.db.URL(t, "none"))
	require.NoError(t, err)
	defer func() { require.NoError(t, superuser.Close(context.Background())) }()
	blocking, err := superuser.Begin(t.Context())
	require.NoError(t, err)
	_, err = blocking.Exec(t.Context(), "LOCK TABLE api_keys")
	require.NoError(t, err)

	var trying sync.WaitGroup
	errs := make(chan error, 30)
	for range cap(errs) {
		trying.Go(func() {
			_, err := f.Verify(context.Background(), one)
			errs <- err
		})
	}
	require.Eventually(t, func() bool { return f.pool.Stat().AcquiredConns() == 5 }, 10*time.Second, time.Millisecond)
	var found int
	require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT count(*) FROM users").Scan(&found))
	require.LessOrEqual(t, f.pool.Stat().AcquiredConns(), int32(5))

	require.NoError(t, blocking.Rollback(t.Context()))
	trying.Wait()
	close(errs)
	for err := range errs {
		require.ErrorIs(t, err, keys.ErrRejected)
	}
}
