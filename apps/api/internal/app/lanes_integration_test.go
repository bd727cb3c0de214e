//go:build integration

package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/ory/kratostest"
	"gatehouse.internal/api/internal/principal/principaltest"
)

// The race of the lanes that fill the table of users: a real Kratos, the API as a process that is killed, its
// sweep as a command, and people who come, change and go meanwhile.
const (
	everybody  = 5000
	registered = 300 // by themselves; the rest by an operator, which Kratos tells nobody
	perImport  = 235
	registrars = 3
	callers    = 3
	changes    = 3 // after each import, of each kind: suspend, rename, delete
	killEvery  = 5 // imports
)

// lanes is the race and what it counts.
type lanes struct {
	kratos   kratostest.Kratos
	door     *principaltest.Door
	database string
	program  string
	config   string
	public   string
	internal string

	known    ledger
	messages atomic.Int64
	answers  atomic.Int64
	sweeps   atomic.Int64
}

func newLanes(t *testing.T) *lanes {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	l := &lanes{
		door: principaltest.NewDoor(t), database: db.URL(t, databasetest.Runtime),
		program:  filepath.Join(t.TempDir(), "api"),
		public:   fmt.Sprintf("127.0.0.1:%d", kratostest.FreePort(t)),
		internal: fmt.Sprintf("127.0.0.1:%d", kratostest.FreePort(t)),
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", l.program, "../../cmd/api")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)

	relay := httptest.NewServer(l.relay())
	t.Cleanup(relay.Close)
	l.kratos = kratostest.Start(t, relay.URL)
	l.config = settingsFile(t, strings.NewReplacer(
		"127.0.0.1:3001", l.public, "0.0.0.0:3002", l.internal,
		"postgres://gatehouse_api:x@127.0.0.1:5432/gatehouse?sslmode=disable", l.database,
		"http://127.0.0.1:9192/.well-known/jwks.json", l.door.URL,
		"http://127.0.0.1:4445", os.Getenv("GATEHOUSE_TEST_HYDRA_ADMIN_URL"),
		"http://127.0.0.1:4433", l.kratos.PublicURL, "http://127.0.0.1:4434", l.kratos.AdminURL,
		"00112233445566778899aabbccddeeff", l.kratos.WebhookSecret,
	).Replace(sample))
	return l
}

// relay counts Kratos' messages on their way to the API; they are lost while it is down.
func (l *lanes) relay() http.Handler {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: l.internal})
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	proxy.ModifyResponse = func(response *http.Response) error {
		if response.StatusCode == http.StatusNoContent {
			l.messages.Add(1)
		}
		return nil
	}
	return proxy
}

// serve starts the API and returns how to kill it.
func (l *lanes) serve(t *testing.T) (kill func()) {
	t.Helper()
	api := exec.CommandContext(context.WithoutCancel(t.Context()), l.program, "serve", "--config", l.config)
	api.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	api.Stdout, api.Stderr = &log, &log
	require.NoError(t, api.Start())
	kratostest.Await(t, "http://"+l.internal+"/healthz")
	return func() {
		_ = api.Process.Kill()
		_ = api.Wait()
		if t.Failed() {
			t.Logf("api:\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
	}
}

// ledger is who was made, and who is gone.
type ledger struct {
	mu      sync.Mutex
	ids     []string
	deleted map[string]bool
}

func (l *ledger) add(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, ids...)
}

// any returns somebody, who may be gone.
func (l *ledger) any() (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ids) == 0 {
		return "", false
	}
	return l.ids[rand.IntN(len(l.ids))], true
}

// take returns somebody who is not gone, and marks them as gone.
func (l *ledger) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if id := l.ids[rand.IntN(len(l.ids))]; !l.deleted[id] {
			l.deleted[id] = true
			return id
		}
	}
}

// ask sends JSON and fails on any status but want.
func ask(ctx context.Context, method, target string, want int, body, into any, headers ...string) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != want {
		return fmt.Errorf("%s %s: %d %s", method, target, response.StatusCode, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// register is one person who comes by themselves, and every tenth corrects their name after.
func (l *lanes) register(ctx context.Context, n int) error {
	var flow struct {
		UI struct {
			Action string `json:"action"`
		} `json:"ui"`
	}
	// Forms name the public origin, which is not where this Kratos is.
	here := func() string {
		_, rest, _ := strings.Cut(flow.UI.Action, "/.ory/")
		return l.kratos.PublicURL + "/" + rest
	}
	if err := ask(ctx, http.MethodGet, l.kratos.PublicURL+"/self-service/registration/api", http.StatusOK, nil, &flow); err != nil {
		return err
	}
	traits := map[string]any{"email": fmt.Sprintf("self-%d@example.com", n), "name": "By Herself"}
	var answer struct {
		Token    string `json:"session_token"`
		Identity struct {
			ID string `json:"id"`
		} `json:"identity"`
	}
	err := ask(ctx, http.MethodPost, here(), http.StatusOK,
		map[string]any{"method": "password", "password": "correct-" + uuid.NewString(), "traits": traits}, &answer)
	if err != nil {
		return err
	}
	if n%10 == 0 { // before the ledger knows them: nobody suspends or deletes them meanwhile
		traits["name"] = "By Herself, Corrected"
		err := ask(ctx, http.MethodGet, l.kratos.PublicURL+"/self-service/settings/api", http.StatusOK, nil, &flow, "X-Session-Token", answer.Token)
		if err != nil {
			return err
		}
		err = ask(ctx, http.MethodPost, here(), http.StatusOK, map[string]any{"method": "profile", "traits": traits}, nil, "X-Session-Token", answer.Token)
		if err != nil {
			return err
		}
	}
	l.known.add(answer.Identity.ID)
	return nil
}

// imports makes people in bulk, as an operator does.
func (l *lanes) imports(ctx context.Context, from, to int) error {
	var creations []map[string]any
	for n := from; n < to; n++ {
		creations = append(creations, map[string]any{"create": map[string]any{
			"schema_id": "person", "traits": map[string]any{"email": fmt.Sprintf("import-%d@example.com", n), "name": "Imported", "locale": "ko"},
		}})
	}
	var answer struct {
		Identities []struct {
			Identity string `json:"identity"`
		} `json:"identities"`
	}
	if err := ask(ctx, http.MethodPatch, l.kratos.AdminURL+"/admin/identities", http.StatusOK, map[string]any{"identities": creations}, &answer); err != nil {
		return err
	}
	for _, made := range answer.Identities {
		l.known.add(made.Identity)
	}
	return nil
}

// operate suspends one person, renames another and deletes a third. Kratos tells nobody.
func (l *lanes) operate(ctx context.Context) error {
	patch := func(path string, value any) error {
		id, _ := l.known.any()
		err := ask(ctx, http.MethodPatch, l.kratos.AdminURL+"/admin/identities/"+id, http.StatusOK,
			[]map[string]any{{"op": "replace", "path": path, "value": value}}, nil)
		if err != nil && strings.Contains(err.Error(), "404") {
			return nil // was deleted before
		}
		return err
	}
	return errors.Join(
		patch("/state", "inactive"), patch("/traits/name", "By An Operator"),
		ask(ctx, http.MethodDelete, l.kratos.AdminURL+"/admin/identities/"+l.known.take(), http.StatusNoContent, nil, nil),
	)
}

// call is somebody's request by way of the door. The API may be down.
func (l *lanes) call(t *testing.T, ctx context.Context) error {
	id, found := l.known.any()
	if !found {
		return nil
	}
	token := l.door.Sign(t, "first", principaltest.Token(id, demo, "openid", time.Now()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.public+"/api/me", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil // killed, or the race is over
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	switch response.StatusCode {
	case http.StatusOK:
		l.answers.Add(1)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable, http.StatusTooManyRequests: // gone, suspended, busy
	default:
		return fmt.Errorf("GET /api/me: %s", response.Status)
	}
	return nil
}

// sweep runs the command. While people are few, the deleted among them are too many for it.
func (l *lanes) sweep(ctx context.Context, switches ...string) (string, error) {
	command := exec.CommandContext(ctx, l.program, append([]string{"sweep", "--config", l.config}, switches...)...)
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestThreeLanesRaceAndEveryRowEqualsItsIdentity(t *testing.T) {
	l := newLanes(t)
	l.known.deleted = map[string]bool{}
	kill := l.serve(t)
	defer func() { kill() }()
	start := time.Now()

	coming, ctx := errgroup.WithContext(t.Context())
	racing, stop := context.WithCancel(ctx)
	defer stop()
	for r := range registrars {
		coming.Go(func() error {
			for n := r; n < registered; n += registrars {
				if err := l.register(ctx, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	imported := make(chan int)
	coming.Go(func() error {
		defer close(imported)
		for n := registered; n < everybody; n += perImport {
			if err := l.imports(ctx, n, min(n+perImport, everybody)); err != nil {
				return err
			}
			select {
			case imported <- n:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	var lasting errgroup.Group
	for range callers {
		lasting.Go(func() error {
			for racing.Err() == nil {
				if err := l.call(t, racing); err != nil {
					return err
				}
			}
			return nil
		})
	}
	lasting.Go(func() error {
		for racing.Err() == nil {
			output, err := l.sweep(racing, "--apply")
			if err != nil && racing.Err() == nil && !strings.Contains(output, "too many people are gone") {
				return fmt.Errorf("%w: %s", err, output)
			}
			l.sweeps.Add(1)
		}
		return nil
	})

	for n := range imported { // people are changed and the API is killed all along
		for range changes {
			require.NoError(t, l.operate(ctx))
		}
		if n/perImport%killEvery == killEvery-1 {
			kill()
			kill = l.serve(t)
		}
	}
	require.NoError(t, coming.Wait())
	stop()
	require.NoError(t, lasting.Wait())
	raced := time.Since(start)

	start = time.Now()
	output, err := l.sweep(t.Context(), "--apply")
	require.NoError(t, err, output)
	swept := time.Since(start)
	output, err = l.sweep(t.Context(), "--plan")
	require.NoError(t, err, output)
	require.Contains(t, output, ": 0 to update, 0 to bury, 0 to finish, 0 returned")
	l.requireEqual(t)

	t.Logf("raced %s, swept the rest in %s; %d messages, %d requests, %d sweeps; %d deleted", raced.Round(time.Millisecond), swept.Round(time.Millisecond),
		l.messages.Load(), l.answers.Load(), l.sweeps.Load(), len(l.known.deleted))
	require.NotZero(t, l.messages.Load(), "the web hooks took no part")
	require.NotZero(t, l.answers.Load(), "the requests took no part")
	require.NotZero(t, l.sweeps.Load(), "the sweep took no part")
}

// copied is what the table copies of an identity.
type copied struct{ email, name, locale, state string }

// requireEqual compares the table with Kratos, by neither's code.
func (l *lanes) requireEqual(t *testing.T) {
	t.Helper()
	var identities []struct {
		ID     string `json:"id"`
		State  string `json:"state"`
		Traits struct {
			Email  string `json:"email"`
			Name   string `json:"name"`
			Locale string `json:"locale"`
		} `json:"traits"`
	}
	require.NoError(t, ask(t.Context(), http.MethodGet, fmt.Sprintf("%s/admin/identities?page_size=%d", l.kratos.AdminURL, 2*everybody),
		http.StatusOK, nil, &identities))
	want := map[string]copied{}
	for _, identity := range identities {
		want[identity.ID] = copied{identity.Traits.Email, identity.Traits.Name, identity.Traits.Locale, identity.State}
	}
	require.Len(t, want, everybody-len(l.known.deleted))

	connection, err := pgx.Connect(t.Context(), l.database)
	require.NoError(t, err)
	defer func() { require.NoError(t, connection.Close(context.WithoutCancel(t.Context()))) }()
	rows, err := connection.Query(t.Context(), "SELECT id::text, email, display_name, locale, state, deleted_at FROM users")
	require.NoError(t, err)
	living := map[string]copied{}
	for rows.Next() {
		var id string
		var user copied
		var deleted *time.Time
		require.NoError(t, rows.Scan(&id, &user.email, &user.name, &user.locale, &user.state, &deleted))
		if deleted == nil {
			living[id] = user
			continue
		}
		require.True(t, l.known.deleted[id], "%s was not deleted", id)
		require.Equal(t, copied{state: "inactive"}, user, "a tombstone holds no data")
	}
	require.NoError(t, rows.Err())
	require.Equal(t, want, living)
}
