//go:build smoke

// Package smoke tests a running stack through its public door, natively or in compose: the three main jobs, the
// known attacks, and what happens when parts stop. It takes everything it needs to know from `stack demo`.
//
//	SMOKE_STACK   native (default) or compose
//	INSTANCE      which native instance
//	GATEHOUSE_GATE  the gate that the stack was started with
package smoke

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	superuser "gatehouse.internal/stack/internal/database"
	"gatehouse.internal/stack/internal/native"
	"gatehouse.internal/stack/internal/secrets"
	"gatehouse.internal/stack/internal/topology"
)

const repository = "../.."

// stack is a running stack, in either way of running it.
type stack interface {
	// inside sends a request to an inner port of a part.
	inside(t *testing.T, endpoint string, request *http.Request) *http.Response
	// mail is the base URL of Mailpit.
	mail(t *testing.T) string
	// sql runs a statement as the superuser.
	sql(t *testing.T, database, statement string)
	// signingKey is the private JWK Set of identity tokens.
	signingKey(t *testing.T) []byte
	// stop and start one part; start returns when it is ready.
	stop(t *testing.T, service string)
	start(t *testing.T, service string)
	// restart everything, as `make down up` does.
	restart(t *testing.T)
	// logs of every part.
	logs(t *testing.T) string
}

// values of `stack demo`.
var demo struct{ publicURL, apiURL, email, password, clientID, clientSecret string }

var (
	running stack
	// gate decides which of the named differences apply.
	gate = "authz"
)

func TestMain(m *testing.M) {
	if err := connect(); err != nil {
		fmt.Fprintln(os.Stderr, "smoke:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func connect() error {
	if chosen := os.Getenv("GATEHOUSE_GATE"); chosen != "" {
		gate = chosen
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out string
	var err error
	if os.Getenv("SMOKE_STACK") == "compose" {
		running = compose{}
		out, err = command(ctx, "docker", "compose", "run", "--rm", "-T", "--no-deps", "seed", "demo", "--compose")
	} else {
		var instance native.Instance
		if instance, err = native.New(repository, instanceName()); err != nil {
			return err
		}
		running = nativeStack{instance}
		out, err = command(ctx, "stack/run", "demo")
	}
	if err != nil {
		return err
	}
	fields := map[string]*string{
		"PUBLIC_URL": &demo.publicURL, "API_URL": &demo.apiURL, "DEMO_EMAIL": &demo.email, "DEMO_PASSWORD": &demo.password,
		"DEMO_CLIENT_ID": &demo.clientID, "DEMO_CLIENT_SECRET": &demo.clientSecret,
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		into, known := fields[name]
		if !known {
			return fmt.Errorf("`demo` printed %q, which is no KEY=value line that it promises", line)
		}
		*into = value
	}
	return nil
}

func instanceName() string {
	if name := os.Getenv("INSTANCE"); name != "" {
		return name
	}
	return native.Default
}

// command runs a program in the repository and returns what it printed.
func command(ctx context.Context, name string, arguments ...string) (string, error) {
	if strings.Contains(name, "/") {
		name = "./" + name
	}
	c := exec.CommandContext(ctx, name, arguments...)
	c.Dir = repository
	var out, problems bytes.Buffer
	c.Stdout, c.Stderr = &out, &problems
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(arguments, " "), err, problems.String(), out.String())
	}
	return out.String(), nil
}

func must(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	out, err := command(ctx, name, arguments...)
	require.NoError(t, err)
	return out
}

// --- native ---

type nativeStack struct{ instance native.Instance }

func (s nativeStack) layout(t *testing.T) topology.Layout {
	t.Helper()
	layout, err := s.instance.Layout()
	require.NoError(t, err)
	return layout
}

func (s nativeStack) inside(t *testing.T, endpoint string, request *http.Request) *http.Response {
	t.Helper()
	address, err := s.layout(t).Address(endpoint)
	require.NoError(t, err)
	request.URL.Scheme, request.URL.Host = "http", address
	response, err := plain.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func (s nativeStack) mail(t *testing.T) string {
	t.Helper()
	base, err := s.layout(t).URL("mail")
	require.NoError(t, err)
	return base
}

func (s nativeStack) sql(t *testing.T, database, statement string) {
	t.Helper()
	address, err := s.layout(t).Address("postgres")
	require.NoError(t, err)
	config, err := pgx.ParseConfig(superuser.Server{Address: address, Password: s.secrets(t)["postgres"]}.URL())
	require.NoError(t, err)
	config.Database = database
	connection, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	defer func() { _ = connection.Close(context.WithoutCancel(t.Context())) }()
	_, err = connection.Exec(t.Context(), statement)
	require.NoError(t, err)
}

func (s nativeStack) secrets(t *testing.T) secrets.Secrets {
	t.Helper()
	all, err := secrets.Ensure(s.instance.SecretsFile())
	require.NoError(t, err)
	return all
}

func (s nativeStack) signingKey(t *testing.T) []byte {
	return []byte(s.secrets(t)[secrets.IdentityToken])
}

func (s nativeStack) stop(t *testing.T, service string)  { must(t, "stack/run", "stop", service) }
func (s nativeStack) start(t *testing.T, service string) { must(t, "stack/run", "start", service) }
func (s nativeStack) restart(t *testing.T) {
	must(t, "stack/run", "down")
	must(t, "stack/run", "up")
}

// logs also holds those of the run before a restart.
func (s nativeStack) logs(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(filepath.Dir(s.instance.LogFile("")), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		_, _ = all.Write(text)
		return err
	}))
	return all.String()
}

// --- compose ---

type compose struct{}

func (compose) inside(t *testing.T, endpoint string, request *http.Request) *http.Response {
	t.Helper()
	base, err := topology.Compose().URL(endpoint)
	require.NoError(t, err)
	arguments := []string{"compose", "run", "--rm", "-T", "--no-deps", "seed", "fetch", "--compose", "-X", request.Method}
	for name, values := range request.Header {
		for _, value := range values {
			arguments = append(arguments, "-H", name+": "+value)
		}
	}
	if request.Body != nil {
		body, err := io.ReadAll(request.Body)
		require.NoError(t, err)
		arguments = append(arguments, "-d", string(body))
	}
	out := must(t, "docker", append(arguments, base+request.URL.RequestURI())...)
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(out)), request)
	require.NoError(t, err)
	return response
}

func (compose) mail(t *testing.T) string {
	t.Helper()
	return "http://" + strings.TrimSpace(must(t, "docker", "compose", "port", "mailpit", "8025"))
}

func (compose) sql(t *testing.T, database, statement string) {
	t.Helper()
	must(t, "docker", "compose", "exec", "-T", "postgres", "psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", statement)
}

func (compose) signingKey(t *testing.T) []byte {
	t.Helper()
	return []byte(must(t, "docker", "compose", "exec", "-T", "oathkeeper", "cat", "/etc/gatehouse/identity-token.jwks.json"))
}

func (compose) stop(t *testing.T, service string) { must(t, "docker", "compose", "stop", service) }
func (compose) start(t *testing.T, service string) {
	must(t, "docker", "compose", "up", "--wait", "--no-deps", "--no-build", service)
}

func (compose) logs(t *testing.T) string {
	t.Helper()
	return must(t, "docker", "compose", "logs", "--no-color", "--no-log-prefix")
}

func (compose) restart(t *testing.T) {
	must(t, "docker", "compose", "down")
	must(t, "docker", "compose", "up", "--wait", "--no-build")
}

// --- requests ---

// plain follows no redirect and keeps no cookie.
var plain = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// request builds one to the public origin; path may also be a whole URL.
func request(t *testing.T, method, path string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	if strings.HasPrefix(path, "/") {
		path = demo.publicURL + path
	}
	r, err := http.NewRequestWithContext(t.Context(), method, path, body)
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func send(t *testing.T, client *http.Client, r *http.Request) answer {
	t.Helper()
	response, err := client.Do(r)
	require.NoError(t, err)
	return read(t, response)
}

func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, body}
}

func get(t *testing.T, path string, headers ...string) answer {
	t.Helper()
	return send(t, plain, request(t, http.MethodGet, path, nil, headers...))
}

func form(t *testing.T, path string, values url.Values, headers ...string) answer {
	t.Helper()
	return send(t, plain, request(t, http.MethodPost, path, strings.NewReader(values.Encode()),
		append(headers, "Content-Type", "application/x-www-form-urlencoded")...))
}

// eventually asks until the status is the expected one: a part that was started again is ready before the door
// has noticed.
func eventually(t *testing.T, status int, ask func() answer) answer {
	t.Helper()
	var last answer
	require.Eventually(t, func() bool { last = ask(); return last.status == status }, 30*time.Second, 200*time.Millisecond,
		"expected status %d", status)
	return last
}
