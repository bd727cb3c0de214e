//go:build bench

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	document "gatehouse.internal/api/openapi"
	"gatehouse.internal/libs/config"

	"gatehouse.internal/api/internal/app"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/permission"
)

// patience bounds one request or query.
const patience = time.Minute

const (
	// settingsFile names, for the service's process, the stack's settings; without is set when it asks for no permit.
	settingsFile = "GATEHOUSE_BENCH_SETTINGS"
	without      = "GATEHOUSE_BENCH_UNCHECKED"
	name         = "bench_api"
)

// world is the stack with an API of ours in the place of its own, over a database of ours.
type world struct {
	size                            databasetest.Size
	public, session, person         string
	organization, gateway           string // of the person
	members, owned, offered, events int    // of these
	api                             int    // process
	stop                            func()
	settings                        string
	client                          *http.Client
}

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	require.NotEmpty(t, value, "%s is not set: `make bench-api` does", name)
	return strings.TrimSuffix(value, "/")
}

func newWorld(t *testing.T) *world {
	t.Helper()
	part := func(n float64) int { return max(5000, int(n**share)) }
	w := &world{
		size:   databasetest.Size{Users: part(1e6), Organizations: part(1e5), Gateways: part(1e5), Products: part(3e5)},
		public: variable(t, "PUBLIC_URL"), settings: filepath.Join(variable(t, "GATEHOUSE_TEST_STACK"), "config", "api", "api.yml"),
		client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}, stop: func() {},
	}
	t.Cleanup(func() { w.stop() })
	w.fill(t)
	w.start(t, checked)
	w.session = w.logIn(t)
	w.possess(t)
	return w
}

// superuser connects to a database of the stack's server.
func superuser(t *testing.T, database, role string) string {
	t.Helper()
	parsed, err := url.Parse(variable(t, "GATEHOUSE_TEST_DATABASE_URL"))
	require.NoError(t, err)
	parsed.Path = "/" + database
	if role != "" {
		query := parsed.Query()
		query.Set("role", role)
		parsed.RawQuery = query.Encode()
	}
	return parsed.String()
}

// fill makes the database, unless an earlier run has left it.
func (w *world) fill(t *testing.T) {
	t.Helper()
	server, err := pgx.Connect(t.Context(), superuser(t, "postgres", ""))
	require.NoError(t, err)
	defer func() { _ = server.Close(context.Background()) }()
	_, err = server.Exec(t.Context(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	require.NoError(t, err)
	_, err = server.Exec(t.Context(), "CREATE DATABASE "+name+" OWNER "+databasetest.Owner)
	require.NoError(t, err)
	t.Cleanup(func() {
		w.stop()
		connection, err := pgx.Connect(context.Background(), superuser(t, "postgres", ""))
		require.NoError(t, err)
		defer func() { _ = connection.Close(context.Background()) }()
		_, err = connection.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, err)
	})
	require.NoError(t, database.Migrate{URL: superuser(t, name, databasetest.Owner)}.Up(t.Context()))
	connection, err := pgx.Connect(t.Context(), superuser(t, name, databasetest.Owner))
	require.NoError(t, err)
	defer func() { _ = connection.Close(context.Background()) }()
	begin := time.Now()
	require.NoError(t, databasetest.Fill(t.Context(), connection, w.size))
	t.Logf("filled in %s", time.Since(begin).Round(time.Second))
}

// possess gives the person who is logged in a membership in every organization, an organization and a gateway with much in them,
// and the platform, in the rows and in Keto.
func (w *world) possess(t *testing.T) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.public+"/api/me", nil)
	require.NoError(t, err)
	request.Header.Set("Cookie", "ory_kratos_session="+w.session)
	response, err := w.client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	var me struct{ ID string }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&me))
	w.person = me.ID

	organization, gateway := databasetest.ID(databasetest.Organization, 0), databasetest.ID(databasetest.Gateway, 0)
	w.organization, w.gateway = "/api/organizations/"+organization.String(), "/api/gateways/"+gateway.String()
	w.execute(t, "INSERT INTO memberships (organization_id, user_id, role) SELECT id, $1, 'owner' FROM organizations", w.person)
	w.execute(t, "INSERT INTO platform_admins (user_id) VALUES ($1)", w.person)
	w.members = 5000
	w.execute(t, `INSERT INTO memberships (organization_id, user_id, role) SELECT $1, id, 'member' FROM users WHERE id <= $2 ON CONFLICT DO NOTHING`,
		organization, databasetest.ID(databasetest.User, w.members-1))
	// Rows of others become theirs: their ids stay in the order that the pages have.
	w.owned, w.offered, w.events = w.size.Gateways/10, w.size.Products/10, w.size.Gateways
	w.execute(t, "UPDATE gateways SET organization_id = $1 WHERE id <= $2", organization, databasetest.ID(databasetest.Gateway, w.owned-1))
	w.execute(t, "UPDATE products SET gateway_id = $1 WHERE id <= $2", gateway, databasetest.ID(databasetest.Product, w.offered-1))
	owner, err := pgx.Connect(t.Context(), superuser(t, name, databasetest.Owner)) // the service itself may change no event
	require.NoError(t, err)
	defer func() { _ = owner.Close(context.Background()) }()
	_, err = owner.Exec(t.Context(), "UPDATE audit_events SET organization_id = $1 WHERE id <= $2", organization, databasetest.ID(databasetest.Event, w.events-1))
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), "VACUUM ANALYZE")
	require.NoError(t, err)

	running := w.inProcess(t, slog.New(slog.DiscardHandler))
	for _, object := range []permission.Object{
		permission.PlatformObject, permission.Of(permission.Organization, organization), permission.Of(permission.Gateway, gateway),
	} {
		require.NoError(t, running.Converge(t.Context(), object))
	}
}

func (w *world) execute(t *testing.T, statement string, arguments ...any) int64 {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), superuser(t, name, databasetest.Runtime))
	require.NoError(t, err)
	defer func() { _ = connection.Close(context.Background()) }()
	tag, err := connection.Exec(t.Context(), statement, arguments...)
	require.NoError(t, err)
	return tag.RowsAffected()
}

// settings are the stack's, with our database, and nothing that happens by the clock.
func settings(file string) (app.Settings, error) {
	s, err := config.Load(file, "BENCH", app.Defaults())
	if err != nil {
		return s, err
	}
	parsed, err := url.Parse(s.Database.URL.Reveal())
	if err != nil {
		return s, err
	}
	parsed.Path = "/" + name
	s.Database.URL = config.Secret(parsed.String())
	s.Reconcile.Interval, s.Sweep.Interval = 1000*time.Hour, 1000*time.Hour
	s.Limits.PerPrincipal, s.Limits.PerAddress = app.Limit{PerSecond: 1e6, Burst: 1e6}, app.Limit{PerSecond: 1e6, Burst: 1e6}
	return s, nil
}

// inProcess is the service in this program, for what has no route.
func (w *world) inProcess(t *testing.T, log *slog.Logger) *app.App {
	t.Helper()
	s, err := settings(w.settings)
	require.NoError(t, err)
	s.UpstreamTimeout = patience
	out, err := app.New(t.Context(), s, log)
	require.NoError(t, err)
	t.Cleanup(out.Close)
	return out
}

type mode string

const (
	checked   mode = ""
	unchecked mode = "yes"
)

// The rule of the operation that is measured without its permit, as the document has it and as it is then.
const (
	withPermit    = `x-access: {permit: Gateway.view, object: gateway, scope: "gateways:read"}`
	withoutPermit = `x-access: {self: true, scope: "gateways:read"}`
)

// serve is the service's process.
func serve(file string) error {
	s, err := settings(file)
	if err != nil {
		return err
	}
	if os.Getenv(without) != string(checked) {
		changed := bytes.ReplaceAll(document.Document, []byte(withPermit), []byte(withoutPermit))
		if bytes.Equal(changed, document.Document) {
			return fmt.Errorf("the document has no %s", withPermit)
		}
		document.Document = changed
	}
	return app.Run(context.Background(), s, io.Discard)
}

// start runs this program as the service, in the place of one that runs.
func (w *world) start(t *testing.T, m mode) {
	t.Helper()
	w.stop()
	process := exec.Command(os.Args[0]) // #nosec G204 -- this program
	process.Env = append(os.Environ(), settingsFile+"="+w.settings, without+"="+string(m))
	process.Stderr = os.Stderr
	require.NoError(t, process.Start())
	w.api = process.Process.Pid
	w.stop = func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		w.stop = func() {}
	}
	require.Eventually(t, func() bool {
		response, err := http.Get(w.public + "/api/public/health") // #nosec G107 -- ours
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusOK
	}, patience, 100*time.Millisecond, "the service does not come up")
}

// logIn goes through the browser's flow as the demo person, and returns the session's cookie.
func (w *world) logIn(t *testing.T) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar, Timeout: patience}
	exchange := func(method, target string, body []byte, into any) {
		request, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Accept", "application/json")
		request.Header.Set("Content-Type", "application/json")
		response, err := browser.Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.NoError(t, json.NewDecoder(response.Body).Decode(into))
	}
	var flow struct {
		UI struct {
			Action string
			Nodes  []struct{ Attributes struct{ Name, Value any } }
		}
	}
	exchange(http.MethodGet, w.public+"/.ory/self-service/login/browser", nil, &flow)
	form := map[string]any{"method": "password", "identifier": variable(t, "DEMO_EMAIL"), "password": variable(t, "DEMO_PASSWORD")}
	for _, node := range flow.UI.Nodes {
		if node.Attributes.Name == "csrf_token" {
			form["csrf_token"] = node.Attributes.Value
		}
	}
	encoded, err := json.Marshal(form)
	require.NoError(t, err)
	exchange(http.MethodPost, flow.UI.Action, encoded, &struct{}{})
	origin, err := url.Parse(w.public)
	require.NoError(t, err)
	for _, cookie := range jar.Cookies(origin) {
		if cookie.Name == "ory_kratos_session" {
			return cookie.Value
		}
	}
	require.FailNow(t, "logging in gave no session")
	return ""
}

// cpu is the user and system time of a process, and of this stack's Keto and Postgres, whose processes come and go: it counts
// those that have ended with their parent.
func (w *world) cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stack := variable(t, "GATEHOUSE_TEST_STACK")
	text, err := os.ReadFile(filepath.Join(stack, "data", "postgres", "postmaster.pid")) // #nosec G304 -- the stack's
	require.NoError(t, err)
	postmaster, _, _ := strings.Cut(string(text), "\n")
	var sum time.Duration
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, file := range files {
		stat, err := os.ReadFile(file) // #nosec G304 -- /proc
		if err != nil {
			continue // it has ended
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline")) // #nosec G304 -- /proc
		arguments := strings.Split(string(line), "\x00")
		_, rest, _ := strings.Cut(string(stat), ") ") // the name before it may hold spaces
		fields := strings.Fields(rest)
		id := filepath.Base(filepath.Dir(file))
		keto := slices.Contains(arguments, filepath.Join(stack, "config", "keto", "keto.yml"))
		switch {
		case id == strconv.Itoa(pid), keto, fields[1] == postmaster:
			sum += ticks(t, fields[11:13]) // utime, stime
		case id == postmaster:
			sum += ticks(t, fields[11:15]) // and those of children that have ended
		}
	}
	return sum
}

// ticks of /proc/<pid>/stat are 1/100 s on every Linux that Go runs on.
func ticks(t *testing.T, fields []string) time.Duration {
	t.Helper()
	var sum time.Duration
	for _, field := range fields {
		n, err := strconv.Atoi(field)
		require.NoError(t, err)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}
