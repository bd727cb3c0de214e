//go:build differential

package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"gatehouse.internal/authz/internal/server"
)

// patience bounds what would otherwise hang; no result depends on it.
const patience = 20 * time.Second

// answer is what a gate says about one request.
type answer struct {
	Status int
	Header http.Header // for the upstream when Status is 200, else for the client
	Remove []string    // for the upstream, authz only
	Body   string
}

// world is what both gates share.
type world struct {
	binary      string
	credentials *credentials
	upstreams   *httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	binary := os.Getenv("GATEHOUSE_TEST_OATHKEEPER")
	require.NotEmpty(t, binary, "GATEHOUSE_TEST_OATHKEEPER must name the Oathkeeper to compare with; `make differential` sets it")
	c := newCredentials(t)
	return &world{binary: binary, credentials: c, upstreams: newUpstreams(t, c)}
}

// gates are both servers, running one batch.
type gates struct {
	world      *world
	oathkeeper string // the decision API's URL
	http       *http.Client
	authz      authv3.AuthorizationClient
	stop       []func()
}

func (g *gates) close() {
	for _, stop := range g.stop {
		stop()
	}
}

// start runs both gates with the same configuration and the same rules, each from its own files.
func (w *world) start(t *testing.T, config map[string]any, rules []rule) *gates {
	t.Helper()
	g := &gates{world: w, http: &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	folder, err := os.MkdirTemp(t.TempDir(), "batch")
	require.NoError(t, err)
	g.oathkeeper = w.write(t, folder, config, append([]rule{readyRule}, rules...))
	g.startOathkeeper(t, folder)
	g.startAuthz(t, folder)
	return g
}

// write puts the files where both gates read them and returns the URL of Oathkeeper's API.
func (w *world) write(t *testing.T, folder string, config map[string]any, rules []rule) string {
	t.Helper()
	var ports [3]int
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = listener.Close() }()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	full := map[string]any{
		"log": map[string]any{"level": "panic"},
		"serve": map[string]any{
			"proxy":      map[string]any{"host": "127.0.0.1", "port": ports[0]},
			"api":        map[string]any{"host": "127.0.0.1", "port": ports[1]},
			"prometheus": map[string]any{"host": "127.0.0.1", "port": ports[2]},
		},
	}
	for key, value := range config {
		full[key] = value
	}
	access := map[string]any{"repositories": []string{"file://" + filepath.Join(folder, "rules.json")}}
	if given, isMap := config["access_rules"].(map[string]any); isMap {
		for key, value := range given {
			access[key] = value
		}
	}
	full["access_rules"] = access
	fill := strings.NewReplacer("@UPSTREAM@", w.upstreams.URL, "@KEYS@", w.credentials.folder)
	for name, content := range map[string]any{"oathkeeper.json": full, "rules.json": rules} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(fill.Replace(string(marshal(content)))), 0o600))
	}
	return fmt.Sprintf("http://127.0.0.1:%d", ports[1])
}

// startOathkeeper waits until it has loaded its rules.
func (g *gates) startOathkeeper(t *testing.T, folder string) {
	t.Helper()
	var output bytes.Buffer
	process := exec.Command(g.world.binary, "serve", "-c", filepath.Join(folder, "oathkeeper.json")) // #nosec G204 -- the tester names it
	process.Env = append(os.Environ(), "SQA_OPT_OUT=true", "GATEHOUSE_DIFFERENTIAL=visible")
	process.Stdout, process.Stderr = &output, &output
	require.NoError(t, process.Start())
	ended := make(chan struct{})
	go func() { _ = process.Wait(); close(ended) }()
	g.stop = append(g.stop, func() { _ = process.Process.Kill(); <-ended })

	deadline := time.After(patience)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		response, err := g.http.Get(g.oathkeeper + "/health/ready")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			require.FailNow(t, "Oathkeeper does not start", output.String())
		case <-deadline:
			require.FailNow(t, "Oathkeeper does not become ready", output.String())
		}
	}
}

func (g *gates) startAuthz(t *testing.T, folder string) {
	t.Helper()
	socket := filepath.Join(folder, "authz.sock")
	s := server.Default()
	s.GRPC.Address = "unix://" + socket
	s.Ops.Address = "127.0.0.1:0"
	s.OathkeeperConfig = filepath.Join(folder, "oathkeeper.json")
	s.ProblemJSON.Prefixes = nil // an extension of ours; Oathkeeper's answers are what is compared
	s.StripCookies = nil
	s.Upstream.Timeout = patience
	s.Upstream.BreakerPause = 0 // every request is asked of both
	// The fake servers answer by the question alone, so a kept answer that belongs to another question shows.
	s.Cache.SessionTTL, s.Cache.IntrospectionTTL = 10*time.Second, 10*time.Second
	s.Log.Level = "error"

	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		cancel(server.Run(ctx, s, io.Discard)) // so that a configuration that authz refuses does not look like a slow start
		close(ended)
	}()
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	g.stop = append(g.stop, func() { _ = connection.Close(); cancel(nil); <-ended })
	g.authz = authv3.NewAuthorizationClient(connection)
	_, err = g.authz.Check(ctx, check(readyRequest), grpc.WaitForReady(true))
	require.NoError(t, errors.Join(err, context.Cause(ctx)), "authz does not start")
}

// readyRule lets both gates report ready when all rules of a batch are invalid.
var (
	readyRule = rule{
		ID: "ready", Match: match{URL: "http://ready/", Methods: []string{"GET"}}, Authorizer: handler{Handler: "allow"},
		Authenticators: []handler{{Handler: "noop"}}, Mutators: []handler{{Handler: "noop"}},
	}
	readyRequest = request{Method: "GET", Scheme: "http", Host: "ready", Path: "/"}
)

// fill replaces the symbols and adds what both gates get from Envoy.
func (g *gates) fill(r request) request {
	headers := [][2]string{{"X-Request-Id", "id-1"}, {"User-Agent", "differential"}}
	for _, h := range r.Headers {
		headers = append(headers, [2]string{h[0], g.world.credentials.fill(h[1])})
	}
	r.Headers, r.Query = headers, g.world.credentials.fill(r.Query)
	return r
}

// askOathkeeper gives the query to the decision API as its own: it cuts X-Forwarded-Uri at the "?", so that is
// the only way to have it see what its proxy would see.
func (g *gates) askOathkeeper(ctx context.Context, r request) (answer, error) {
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, g.oathkeeper+"/decisions", nil)
	if err != nil {
		return answer{}, err
	}
	question.URL.RawQuery = r.Query
	question.Host = r.Host
	for _, h := range r.Headers {
		question.Header.Add(h[0], h[1])
	}
	question.Header.Set("X-Forwarded-Method", r.Method)
	question.Header.Set("X-Forwarded-Proto", r.Scheme)
	question.Header.Set("X-Forwarded-Host", r.Host)
	question.Header.Set("X-Forwarded-Uri", r.Path)
	response, err := g.http.Do(question)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	response.Header.Del("Date")
	response.Header.Del("Content-Length")
	return answer{Status: response.StatusCode, Header: response.Header, Body: string(body)}, err
}

// askAuthz takes an error for the 503 that Envoy answers then.
func (g *gates) askAuthz(ctx context.Context, r request) (answer, error) {
	out, err := g.authz.Check(ctx, check(r))
	switch {
	case status.Code(err) == codes.Internal:
		return answer{Status: http.StatusServiceUnavailable, Header: http.Header{}}, nil
	case err != nil:
		return answer{}, err
	case out.GetStatus().GetCode() == int32(codes.OK):
		return answer{Status: http.StatusOK, Header: header(out.GetOkResponse().GetHeaders()), Remove: out.GetOkResponse().GetHeadersToRemove()}, nil
	default:
		denied := out.GetDeniedResponse()
		return answer{Status: int(denied.GetStatus().GetCode()), Header: header(denied.GetHeaders()), Body: denied.GetBody()}, nil
	}
}

// check is the question as Envoy asks it with encode_raw_headers: names in lower case, pseudo-headers among
// them, the path as it was sent.
func check(r request) *authv3.CheckRequest {
	path := r.Path
	if r.Query != "" {
		path += "?" + r.Query
	}
	fields := &corev3.HeaderMap{}
	for _, h := range append([][2]string{
		{":authority", r.Host}, {":path", path}, {":method", r.Method}, {":scheme", r.Scheme}, {"x-forwarded-proto", r.Scheme},
	}, r.Headers...) {
		fields.Headers = append(fields.Headers, &corev3.HeaderValue{Key: strings.ToLower(h[0]), RawValue: []byte(h[1])})
	}
	source := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "127.0.0.1"}}}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: source},
		Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Method: r.Method, Scheme: r.Scheme, Host: r.Host, Path: path, HeaderMap: fields},
		},
	}}
}

func header(options []*corev3.HeaderValueOption) http.Header {
	out := http.Header{}
	for _, option := range options {
		out.Add(option.GetHeader().GetKey(), option.GetHeader().GetValue())
	}
	return out
}
