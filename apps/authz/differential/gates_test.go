//go:build differential

package differential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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

	"gatehouse.internal/authz/internal/gatetest"
	"gatehouse.internal/authz/internal/server"
)

// answer is what a gate says about one request.
type answer struct {
	Status int
	Header http.Header // for the upstream when Status is 200, else for the client
	Remove []string    // for the upstream, authz only
	Body   string
}

// world is what both gates share.
type world struct {
	credentials *credentials
	upstreams   *httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := newCredentials(t)
	return &world{credentials: c, upstreams: newUpstreams(t, c)}
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
		Timeout:       gatetest.Patience,
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	folder, err := os.MkdirTemp(t.TempDir(), "batch")
	require.NoError(t, err)
	api := w.write(t, folder, config, append([]rule{readyRule}, rules...))
	g.oathkeeper = "http://" + api
	process := gatetest.StartOathkeeper(t, &bytes.Buffer{}, filepath.Join(folder, "oathkeeper.json"), api, "GATEHOUSE_DIFFERENTIAL=visible")
	g.stop = append(g.stop, process.Stop)
	g.startAuthz(t, folder)
	return g
}

// write puts the files where both gates read them and returns where Oathkeeper's API will be.
func (w *world) write(t *testing.T, folder string, config map[string]any, rules []rule) string {
	t.Helper()
	addresses := gatetest.FreeAddresses(t, 3)
	listen := func(i int) map[string]any {
		return map[string]any{"host": "127.0.0.1", "port": json.Number(gatetest.Port(addresses[i]))}
	}
	full := map[string]any{
		"log":   map[string]any{"level": "panic"},
		"serve": map[string]any{"proxy": listen(0), "api": listen(1), "prometheus": listen(2)},
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
	return addresses[1]
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
	s.Upstream.Timeout = gatetest.Patience
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

func check(r request) *authv3.CheckRequest {
	path := r.Path
	if r.Query != "" {
		path += "?" + r.Query
	}
	return gatetest.Question(r.Method, r.Scheme, r.Host, path, r.Headers)
}

func header(options []*corev3.HeaderValueOption) http.Header {
	out := http.Header{}
	for _, option := range options {
		out.Add(option.GetHeader().GetKey(), option.GetHeader().GetValue())
	}
	return out
}
