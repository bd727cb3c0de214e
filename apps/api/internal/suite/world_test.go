//go:build integration

// Package suite tests the API from outside: HTTP against the whole service on a real Postgres, Kratos, Hydra and Keto. The
// tests stand in for the door: they sign the identity tokens that it would. Which outcomes of which operations have been seen is
// counted, and one that the document promises and no test has seen fails the suite.
package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	client "github.com/ory/client-go"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/app"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/mail"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal/principaltest"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/libs/config"
)

// world is one API with a database of its own. Kratos, Hydra and Keto are shared with other worlds: ids keep them apart.
type world struct {
	t        *testing.T
	settings settings
	database databasetest.Database
	door     *principaltest.Door
	api      *app.App
	server   *httptest.Server
	stop     func()
	logs     *logs
}

// logs are what the API has written, of every level.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// environment names a server of the running stack.
func environment(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv("GATEHOUSE_TEST_" + name)
	require.NotEmpty(t, value, "GATEHOUSE_TEST_%s names no server", name)
	return strings.TrimSuffix(value, "/")
}

// newWorld starts an API. change may alter its settings.
func newWorld(t *testing.T, change ...func(*settings)) *world {
	t.Helper()
	w := &world{t: t, database: databasetest.New(t), door: principaltest.NewDoor(t), logs: &logs{}}
	require.NoError(t, database.Migrate{URL: w.database.URL(t, databasetest.Owner)}.Up(t.Context()))

	s := app.Defaults()
	s.PublicURL = publicURL
	s.InternalSecret = secret("i")
	s.Consent.CSRFSecret = secret("c")
	s.Database.URL = config.Secret(w.database.URL(t, databasetest.Runtime))
	s.IdentityToken.Issuer, s.IdentityToken.Audience, s.IdentityToken.JWKSURL = principaltest.Issuer, principaltest.Audience, w.door.URL
	s.Kratos.PublicURL, s.Kratos.AdminURL = environment(t, "KRATOS_PUBLIC_URL"), environment(t, "KRATOS_ADMIN_URL")
	s.Kratos.WebhookSecret = secret("k")
	s.APIKeys.GateSecret = secret("g")
	s.Hydra.PublicURL, s.Hydra.AdminURL = environment(t, "HYDRA_PUBLIC_URL"), environment(t, "HYDRA_ADMIN_URL")
	s.Hydra.WebhookSecret = secret("h")
	s.Clients.MaxOrphans = 0 // the clients of other worlds are none of ours
	s.Keto.ReadURL, s.Keto.WriteURL = environment(t, "KETO_READ_URL"), environment(t, "KETO_WRITE_URL")
	s.SMTP.Address, s.SMTP.TLS, s.SMTP.From = environment(t, "SMTP_ADDRESS"), mail.None, "Gatehouse <no-reply@gatehouse.example>"
	s.Reconcile.MaxDeletedShare = 0 // the tuples of other worlds are none of ours
	s.Limits.PerPrincipal, s.Limits.PerAddress = app.Limit{PerSecond: 1e6, Burst: 1e6}, app.Limit{PerSecond: 1e6, Burst: 1e6}
	s.UpstreamTimeout = 20 * time.Second // a loaded machine is no outage
	for _, alter := range change {
		alter(&s)
	}
	require.NoError(t, s.Verify())
	w.settings = s
	w.start(s)
	t.Cleanup(func() { w.stop() })
	return w
}

// secret is one that settings take, another for each name.
func secret(name string) config.Secret {
	return config.Secret(strings.Repeat(name+"-0123456789", 3))
}

const publicURL = "http://localhost:8080"

type settings = app.Settings

// start runs the API until stop.
func (w *world) start(s settings) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	api, err := app.New(ctx, s, slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	require.NoError(w.t, err)
	ended := make(chan error, 1)
	go func() { ended <- api.Work(ctx) }()
	w.api, w.server = api, httptest.NewServer(api.Public)
	w.stop = func() {
		w.server.Close()
		cancel()
		require.NoError(w.t, <-ended)
		api.Close()
	}
}

// restart runs the API anew with other settings; nil is those of the beginning.
func (w *world) restart(change func(*settings)) {
	w.t.Helper()
	w.stop()
	s := w.settings
	if change != nil {
		change(&s)
	}
	w.start(s)
}

// in is the world in a subtest.
func (w *world) in(t *testing.T) *world {
	out := *w
	out.t = t
	return &out
}

// caller is somebody with a credential, as the door presents it.
type caller struct {
	id     string
	claims principaltest.Claims
}

// nobody has no credential.
var nobody = caller{}

// person makes somebody with a verified address.
func (w *world) person() caller {
	w.t.Helper()
	return w.register(address(), true, "")
}

// address is one that nobody else has.
func address() string { return "p-" + uuid.NewString() + "@example.com" }

// register makes an identity at Kratos, and forgets it at the end.
func (w *world) register(email string, verified bool, locale string) caller {
	w.t.Helper()
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: w.settings.Kratos.AdminURL}}
	kratos := client.NewAPIClient(configuration)
	traits := map[string]any{"email": email, "name": "Person " + email[2:6]}
	if locale != "" {
		traits["locale"] = locale
	}
	created, response, err := kratos.IdentityAPI.CreateIdentity(w.t.Context()).CreateIdentityBody(client.CreateIdentityBody{
		SchemaId: schema(w.t), Traits: traits,
		VerifiableAddresses: []client.VerifiableIdentityAddress{{Value: email, Verified: verified, Via: "email", Status: "completed"}},
	}).Execute()
	require.NoError(w.t, err)
	require.NoError(w.t, response.Body.Close())
	w.t.Cleanup(func() {
		if response, err := kratos.IdentityAPI.DeleteIdentity(context.Background(), created.Id).Execute(); err == nil {
			_ = response.Body.Close()
		}
	})
	return caller{created.Id, principaltest.Session(created.Id, email, time.Now()).With(principaltest.Claims{"email_verified": verified})}
}

func schema(t *testing.T) string {
	t.Helper()
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: environment(t, "KRATOS_PUBLIC_URL")}}
	schemas, response, err := client.NewAPIClient(configuration).IdentityAPI.ListIdentitySchemas(t.Context()).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return schemas[0].Id
}

// through is the person acting through a client that was given scopes.
func (c caller) through(client string, scopes ...string) caller {
	return caller{c.id, principaltest.Token(c.id, client, strings.Join(scopes, " "), time.Now())}
}

// machine is a client acting for itself.
func machine(id string, scopes ...string) caller {
	return caller{id, principaltest.Token(id, id, strings.Join(scopes, " "), time.Now())}
}

// request is one call of the API.
type request struct {
	method, path string
	body         any
	header       map[string]string
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// do sends a request as a caller, the way a page of our own would.
func (w *world) do(as caller, r request) answer {
	w.t.Helper()
	var body io.Reader
	if r.body != nil {
		encoded, isRaw := r.body.([]byte)
		if !isRaw {
			var err error
			encoded, err = json.Marshal(r.body)
			require.NoError(w.t, err)
		}
		body = bytes.NewReader(encoded)
	}
	out, err := http.NewRequestWithContext(w.t.Context(), r.method, w.server.URL+r.path, body)
	require.NoError(w.t, err)
	if body != nil {
		out.Header.Set("Content-Type", "application/json")
	}
	if as.claims != nil {
		out.Header.Set("Authorization", "Bearer "+w.door.Sign(w.t, "first", as.claims))
		out.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, value := range r.header {
		out.Header.Set(name, value)
	}
	response, err := w.server.Client().Do(out)
	require.NoError(w.t, err)
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	if out.Header.Get("Consistency-Token") == "" { // which may add a 409 to any operation
		seen.record(w.t, r.method, out.URL.Path, response.StatusCode)
	}
	return answer{w.t, response.StatusCode, response.Header, read}
}

func (w *world) get(as caller, path string) answer {
	w.t.Helper()
	return w.do(as, request{method: http.MethodGet, path: path})
}

func (w *world) post(as caller, path string, body any) answer {
	w.t.Helper()
	return w.do(as, request{method: http.MethodPost, path: path, body: body})
}

func (w *world) patch(as caller, path string, body any) answer {
	w.t.Helper()
	return w.do(as, request{method: http.MethodPatch, path: path, body: body})
}

func (w *world) put(as caller, path string, body any) answer {
	w.t.Helper()
	return w.do(as, request{method: http.MethodPut, path: path, body: body})
}

func (w *world) delete(as caller, path string) answer {
	w.t.Helper()
	return w.do(as, request{method: http.MethodDelete, path: path})
}

// requires a success, whether or not the index shows it yet.
func (a answer) requires(status int) answer {
	a.t.Helper()
	if a.status == http.StatusAccepted && status < 300 && a.header.Get("Consistency-Token") != "" {
		return a
	}
	require.Equal(a.t, status, a.status, string(a.body))
	return a
}

// refused requires a problem.
func (a answer) refused(code problem.Code) answer {
	a.t.Helper()
	require.Equal(a.t, problem.New(code, "").Status(), a.status, string(a.body))
	require.Equal(a.t, "application/problem+json", a.header.Get("Content-Type"))
	require.Equal(a.t, string(code), a.text("code"))
	return a
}

// json is the body.
func (a answer) json() map[string]any {
	a.t.Helper()
	var out map[string]any
	require.NoError(a.t, json.Unmarshal(a.body, &out), string(a.body))
	return out
}

// text is a member of the body.
func (a answer) text(name string) string {
	a.t.Helper()
	value, _ := a.json()[name].(string)
	return value
}

// items are those of a page.
func (a answer) items() []map[string]any {
	a.t.Helper()
	var out struct {
		Items []map[string]any `json:"items"`
	}
	require.NoError(a.t, json.Unmarshal(a.body, &out), string(a.body))
	return out.Items
}

// organization makes one that as owns.
func (w *world) organization(as caller) string {
	w.t.Helper()
	return w.post(as, "/api/organizations", map[string]any{"name": "Acme", "slug": slug()}).requires(http.StatusCreated).text("id")
}

// slug is one that nobody else has.
func slug() string { return "s-" + strings.ReplaceAll(uuid.NewString(), "-", "") }

// member makes somebody a member of an organization without an invitation, by the rows alone and the command that repairs the index.
func (w *world) member(organization string, role string) caller {
	w.t.Helper()
	person := w.person()
	w.get(person, "/api/me").requires(http.StatusOK) // the row of the user
	w.execute("INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)", organization, person.id, role)
	require.NoError(w.t, w.api.Converge(w.t.Context(), permission.Object{Namespace: permission.Organization, ID: organization}))
	return person
}

// execute runs a statement as the service's own role.
func (w *world) execute(statement string, arguments ...any) {
	w.t.Helper()
	require.NoError(w.t, w.try(statement, arguments...))
}

func (w *world) try(statement string, arguments ...any) error {
	w.t.Helper()
	connection := w.connect()
	defer func() { require.NoError(w.t, connection.Close(context.Background())) }()
	_, err := connection.Exec(w.t.Context(), statement, arguments...)
	return err
}

func (w *world) connect() *pgx.Conn {
	w.t.Helper()
	connection, err := pgx.Connect(w.t.Context(), w.database.URL(w.t, databasetest.Runtime))
	require.NoError(w.t, err)
	return connection
}

// whileLocked runs act while a request of the caller with the same Idempotency-Key is being worked on.
func (w *world) whileLocked(operation string, as caller, organization string, act func(header map[string]string)) {
	w.t.Helper()
	connection := w.connect()
	defer func() { require.NoError(w.t, connection.Close(context.Background())) }()
	key := uuid.NewString()
	_, err := connection.Exec(w.t.Context(), "SELECT pg_advisory_lock(hashtext('idempotency'), hashtext($1))",
		strings.Join([]string{"user:" + as.id + ":", operation, organization, key}, "\n"))
	require.NoError(w.t, err)
	act(map[string]string{"Idempotency-Key": key})
}
