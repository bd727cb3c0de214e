//go:build integration

package clients_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	client "github.com/ory/client-go"
	"github.com/stretchr/testify/require"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/clients"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/ory/hydratest"
	"gatehouse.internal/api/internal/permission"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

const timeout = 20 * time.Second

// fixture is a database with an organization and its admin, and a Hydra of its own.
type fixture struct {
	pool         *pgxpool.Pool
	hydra        *ory.Hydra
	admin        *client.APIClient
	ann          uuid.UUID
	organization uuid.UUID
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	f := fixture{pool: newPool(t), ann: uuid.New(), organization: uuid.New()}
	server := hydratest.Start(t, "http://127.0.0.1:1") // nobody asks for a token here
	f.hydra = ory.NewHydra(server.AdminURL, ory.HTTPClient(timeout))
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: server.AdminURL}}
	f.admin = client.NewAPIClient(configuration)
	populate(t, f.pool, f.ann, f.organization)
	return f
}

func newPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 10, timeout)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func populate(t *testing.T, pool *pgxpool.Pool, person, organization uuid.UUID) {
	t.Helper()
	execute(t, pool, "INSERT INTO users (id, email, email_verified, display_name, locale, state) VALUES ($1, 'ann@example.com', true, '', '', 'active')", person)
	execute(t, pool, "INSERT INTO organizations (id, slug, name) VALUES ($1, 'acme', 'Acme')", organization)
	execute(t, pool, "INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'admin')", organization, person)
}

func execute(t *testing.T, pool *pgxpool.Pool, statement string, arguments ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), statement, arguments...)
	require.NoError(t, err)
}

var wanted = clients.Properties{
	Name: "App", GrantTypes: []string{"authorization_code"}, RedirectURIs: []string{"https://app.example/callback"},
	Scopes: []string{"openid", "gateways:read"}, Audience: []string{"https://gatehouse.example/api"},
}

// register makes a client at Hydra, with a row or without.
func (f fixture) register(t *testing.T, row bool) string {
	t.Helper()
	id, secret, err := f.hydra.RegisterClient(t.Context(), wanted)
	require.NoError(t, err)
	require.NotEmpty(t, secret)
	if row {
		execute(t, f.pool, `INSERT INTO oauth2_clients (id, organization_id, name, grant_types, redirect_uris, scopes, audience, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, id, f.organization, wanted.Name, wanted.GrantTypes, wanted.RedirectURIs, wanted.Scopes, wanted.Audience, f.ann)
	}
	return id
}

// foreign makes a client without our mark.
func (f fixture) foreign(t *testing.T) string {
	t.Helper()
	created, response, err := f.admin.OAuth2API.CreateOAuth2Client(t.Context()).OAuth2Client(*client.NewOAuth2Client()).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return created.GetClientId()
}

// marked are the ids of all clients with our mark.
func (f fixture) marked(t *testing.T) []string {
	t.Helper()
	var ids []string
	for token, more := "", true; more; {
		page, next, err := f.hydra.MarkedClients(t.Context(), token)
		require.NoError(t, err)
		for _, c := range page {
			ids = append(ids, c.ID)
		}
		token, more = next, next != ""
	}
	return ids
}

// sweep sweeps as somebody whose clock is ahead.
func (f fixture) sweep(t *testing.T, ahead time.Duration, maxOrphans int) error {
	t.Helper()
	now := func() time.Time { return time.Now().Add(ahead) }
	return clients.NewKeeper(f.pool, f.hydra, slog.New(slog.DiscardHandler), maxOrphans, now).Sweep(t.Context())
}

func TestSweepRemovesClientsWhoseCreationDidNotCommit(t *testing.T) {
	f := newFixture(t)
	orphan, kept, foreign := f.register(t, false), f.register(t, true), f.foreign(t)

	require.NoError(t, f.sweep(t, 9*time.Minute, 10))
	require.ElementsMatch(t, []string{orphan, kept}, f.marked(t), "its creation may be under way")
	require.NoError(t, f.sweep(t, 11*time.Minute, 10))
	require.Equal(t, []string{kept}, f.marked(t))
	_, response, err := f.admin.OAuth2API.GetOAuth2Client(t.Context(), foreign).Execute()
	require.NoError(t, err, "another's client is left alone")
	require.NoError(t, response.Body.Close())
}

func TestSweepOfARestoredDatabaseRemovesNothing(t *testing.T) {
	f := newFixture(t)
	made := []string{f.register(t, false), f.register(t, false)}
	require.ErrorIs(t, f.sweep(t, time.Hour, 1), clients.ErrManyOrphans)
	require.ElementsMatch(t, made, f.marked(t))
	require.NoError(t, f.sweep(t, time.Hour, 2))
	require.Empty(t, f.marked(t))
}

func TestSweepMakesHydraSayWhatTheRowsSay(t *testing.T) {
	f := newFixture(t)
	id := f.register(t, true)
	other := wanted
	other.Name, other.Scopes, other.RedirectURIs = "Other", []string{"openid", "gateways:read", "gateways:write"}, []string{"https://other.example/"}
	require.NoError(t, f.hydra.SetClient(t.Context(), id, other))
	// What an admin of the platform set at Hydra is not ours to undo.
	_, response, err := f.admin.OAuth2API.PatchOAuth2Client(t.Context(), id).
		JsonPatch([]client.JsonPatch{{Op: "add", Path: "/skip_consent", Value: true}}).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())

	require.NoError(t, f.sweep(t, 0, 0))

	page, _, err := f.hydra.MarkedClients(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, wanted, page[0].Properties)
	found, response, err := f.admin.OAuth2API.GetOAuth2Client(t.Context(), id).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.True(t, found.GetSkipConsent())
}

func TestSweepReadsEveryPage(t *testing.T) {
	f := newFixture(t)
	var made []string
	for range 251 { // a page holds 250
		made = append(made, f.register(t, false))
	}
	require.ElementsMatch(t, made, f.marked(t))
	require.ErrorContains(t, f.sweep(t, time.Hour, 250), ": 251")
}

func TestClientOfHydraThatIsNotThere(t *testing.T) {
	f := newFixture(t)
	none := uuid.NewString()
	require.ErrorIs(t, f.hydra.SetClient(t.Context(), none, wanted), clients.ErrNoClient)
	require.ErrorIs(t, f.hydra.SetClientSecret(t.Context(), none, "s"+none), clients.ErrNoClient)
	require.NoError(t, f.hydra.RemoveClient(t.Context(), none), "one that never was is gone")
	require.NoError(t, f.hydra.EndClientTokens(t.Context(), none))
	marked, err := f.hydra.MarkedClient(t.Context(), none)
	require.NoError(t, err)
	require.False(t, marked)
}

// deaf is a Hydra that fails.
type deaf struct{ clients.Server }

func (deaf) MarkedClients(context.Context, string) ([]clients.Registered, string, error) {
	return nil, "", errors.New("connection refused")
}

func (deaf) MarkedClient(context.Context, string) (bool, error) {
	return false, errors.New("connection refused")
}

func TestWithoutHydraNobodyIsJudged(t *testing.T) {
	pool := newPool(t)
	log := slog.New(slog.DiscardHandler)
	require.Error(t, clients.NewKeeper(pool, deaf{}, log, 10, time.Now).Sweep(t.Context()))
	registry := clients.NewRegistry(pool, deaf{}, log, timeout)
	err := registry.Issuable(t.Context(), uuid.NewString())
	require.Error(t, err)
	require.NotErrorIs(t, err, clients.ErrEnded)
	require.NoError(t, registry.Admit(t.Context(), uuid.NewString()), "a token that Hydra gave to another's client")
}

// Nobody gives a client a scope that they could not use themselves: whoever may create credentials holds every permit of the
// organization that stands behind a scope, and no scope leads to the platform.
func TestNoScopeIsBeyondWhoMayCreateCredentials(t *testing.T) {
	parsed, err := openapi3.NewLoader().LoadFromData(document.Document)
	require.NoError(t, err)
	rules, err := access.Read(parsed)
	require.NoError(t, err)
	pool, ann, organization := newPool(t), uuid.New(), uuid.New()
	populate(t, pool, ann, organization)

	subject, object := permission.Person(ann), permission.Of(permission.Organization, organization)
	questions := []permission.Question{{Subject: subject, Permit: "create_credentials", Object: object}}
	for operation, rule := range rules {
		namespace, permit, _ := strings.Cut(rule.Permit, ".")
		if rule.Scope == "" || rule.Permit == "" {
			continue
		}
		require.NotEqual(t, string(permission.Platform), namespace, operation)
		if namespace == string(permission.Organization) {
			questions = append(questions, permission.Question{Subject: subject, Permit: permission.Permit(permit), Object: object})
		}
	}
	require.Greater(t, len(questions), 5)
	answers, err := permission.NewRows(pool).Check(t.Context(), questions...)
	require.NoError(t, err)
	for i, held := range answers {
		require.True(t, held, questions[i].Permit)
	}
}
