package server

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/revocation"
	"gatehouse.internal/libs/telemetry"
)

// stack is this service between a client that speaks as Envoy does and servers that answer as Kratos
// and Hydra do.
type stack struct {
	t      *testing.T
	client authv3.AuthorizationClient
	ops    *httptest.Server
	engine *engine.Engine
	door   *door
	logs   *lines
	kratos *upstreamServer
	hydra  *upstreamServer
	key    jose.JSONWebKey // Hydra's
	spans  *telemetry.Spans
	clock  *clock
}

// clock is the service's. It goes with the real one until a test moves it.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
	// broken makes the next look at it panic, once.
	broken bool
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		c.broken = false
		panic("the clock is broken: secret")
	}
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func (c *clock) breakOnce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
}

// upstreamServer answers what the test last set, and readiness apart from it.
type upstreamServer struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	body   string
	ready  int
	keys   []byte
	seen   http.Header
	asked  int
	// answer, when a test sets one, is given instead, except for readiness and keys.
	answer http.HandlerFunc
}

func newUpstream(t *testing.T) *upstreamServer {
	t.Helper()
	u := &upstreamServer{status: http.StatusOK, body: "{}", ready: http.StatusOK}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		defer u.mu.Unlock()
		switch {
		case strings.HasSuffix(r.URL.Path, "/health/ready"):
			w.WriteHeader(u.ready)
		case r.URL.Path == "/.well-known/jwks.json":
			if u.keys == nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = w.Write(u.keys)
		case u.answer != nil:
			u.asked++
			u.seen = r.Header
			answer := u.answer
			u.mu.Unlock() // it may take its time
			answer(w, r)
			u.mu.Lock()
		default:
			u.asked++
			u.seen = r.Header
			w.WriteHeader(u.status)
			_, _ = io.WriteString(w, u.body)
		}
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstreamServer) says(status int, body string, ready int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status, u.body, u.ready = status, body, ready
}

func (u *upstreamServer) answers(answer http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

func (u *upstreamServer) questions() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked
}

func (u *upstreamServer) publish(keys []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.keys = keys
}

func (u *upstreamServer) headers() http.Header {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen
}

// lines collects the log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return string(out)
}

// marshalText is v as it stands between quotes in JSON.
func marshalText(t *testing.T, v string) string {
	t.Helper()
	return strings.Trim(marshal(t, v), `"`)
}

// writeConfig fills the folder with what `authz serve` needs and returns the settings.
func writeConfig(t testing.TB, kratos, hydra string) Settings {
	t.Helper()
	folder := t.TempDir()
	fill := strings.NewReplacer("@FOLDER@", folder, "@KRATOS@", kratos, "@HYDRA@", hydra)
	for _, name := range []string{"oathkeeper.yml", "rules.yml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(fill.Replace(string(text))), 0o600))
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private, KeyID: "door", Algorithm: "ES256", Use: "sig"}}}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "id_token.jwks.json"), []byte(marshal(t, set)), 0o600))

	s := Default()
	s.OathkeeperConfig = filepath.Join(folder, "oathkeeper.yml")
	s.Upstream.Timeout = 5 * time.Second
	s.Readiness = []Readiness{
		{Upstream: kratos, URL: kratos + "/admin/health/ready"},
		{Upstream: hydra, URL: hydra + "/health/ready"},
	}
	return s
}

// withRules adds rules to those of testdata; @KRATOS@ and @HYDRA@ are filled in.
func withRules(rules string) func(*Settings) {
	return func(s *Settings) { changeFile(s, "rules.yml", func(text string) string { return text + rules }) }
}

// withConfig replaces a part of oathkeeper.yml.
func withConfig(old, replacement string) func(*Settings) {
	return func(s *Settings) {
		changeFile(s, "oathkeeper.yml", func(text string) string {
			if !strings.Contains(text, old) {
				panic("oathkeeper.yml has no " + old)
			}
			return strings.ReplaceAll(text, old, replacement)
		})
	}
}

func changeFile(s *Settings, name string, change func(string) string) {
	path := filepath.Join(filepath.Dir(s.OathkeeperConfig), name)
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	fill := strings.NewReplacer("@KRATOS@", s.Readiness[0].Upstream, "@HYDRA@", s.Readiness[1].Upstream)
	if err := os.WriteFile(path, []byte(fill.Replace(change(string(text)))), 0o600); err != nil {
		panic(err)
	}
}

// issuerKey is shared: making one takes longer than all the rest of a test.
var issuerKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newStack(t *testing.T, change ...func(*Settings)) *stack {
	t.Helper()
	s := &stack{t: t, kratos: newUpstream(t), hydra: newUpstream(t), logs: &lines{}, engine: &engine.Engine{}, clock: &clock{}}
	private, err := issuerKey()
	require.NoError(t, err)
	s.key = jose.JSONWebKey{Key: private, KeyID: "hydra", Algorithm: "RS256", Use: "sig"}
	s.hydra.publish([]byte(marshal(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.key.Public()}})))

	m := newMetrics()
	settings := writeConfig(t, s.kratos.URL, s.hydra.URL)
	for _, c := range change {
		c(&settings)
	}
	s.spans, err = telemetry.StartSpans(t.Context(), settings.Tracing, "authz", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(s.spans.Stop)
	loader := newLoader(settings, m.upstreamFailed)
	loader.options.Now = s.clock.now
	loader.options.Keys = keys.NewStore(fetcher(loader.options.Upstream), s.clock.now)
	loader.options.Revocations = revocation.NewList(settings.Revocation, s.clock.now) // which nothing keeps up to date
	m.registry.MustRegister(loader.options.Upstream)
	m.registry.MustRegister(settings.keep(&loader.options)...)
	snapshot, _, err := loader.load(t.Context())
	require.NoError(t, err)
	s.engine.Use(snapshot)
	log := slog.New(slog.NewJSONHandler(s.logs, nil))
	s.door = &door{engine: s.engine, metrics: m, log: log}
	server, _ := newGRPC(s.door, log, s.spans)
	handler, _ := ops(s.engine, m, false)
	s.ops = httptest.NewServer(handler)
	t.Cleanup(s.ops.Close)

	listener := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient("passthrough:///door", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	s.client = authv3.NewAuthorizationClient(connection)
	return s
}

// call is a request as Envoy asks about it.
type call struct {
	method, host, path string
	headers            []string // name, value, name, value
	proto              string
	from               string // the address of the client
}

// request is the call as Envoy sends it with encode_raw_headers.
func (c call) request() *authv3.CheckRequest {
	in := &authv3.AttributeContext_HttpRequest{
		Method: cmp.Or(c.method, "GET"), Host: cmp.Or(c.host, "public.example"), Path: c.path, Scheme: "https", HeaderMap: &corev3.HeaderMap{},
	}
	headers := append([]string{"x-forwarded-proto", cmp.Or(c.proto, "http"), "x-request-id", "id-1"}, c.headers...)
	for i := 0; i < len(headers); i += 2 {
		in.HeaderMap.Headers = append(in.HeaderMap.Headers, &corev3.HeaderValue{Key: headers[i], RawValue: []byte(headers[i+1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: in},
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: cmp.Or(c.from, "127.0.0.1")},
		}}},
	}}
}

func (s *stack) ask(c call) (*authv3.CheckResponse, error) {
	s.t.Helper()
	out, err := s.client.Check(s.t.Context(), c.request())
	if err == nil && out.GetDeniedResponse() != nil {
		require.NotEqual(s.t, int32(codes.OK), out.GetStatus().GetCode(), "a denial with status OK would pass")
	}
	return out, err
}

// askLater asks beside the test. An error comes as nil.
func (s *stack) askLater(c call) <-chan *authv3.CheckResponse {
	answered := make(chan *authv3.CheckResponse, 1)
	go func() {
		out, _ := s.client.Check(s.t.Context(), c.request())
		answered <- out
	}()
	return answered
}

// denial is what the client gets.
func (s *stack) denial(c call) *authv3.DeniedHttpResponse {
	s.t.Helper()
	out, err := s.ask(c)
	require.NoError(s.t, err)
	require.NotNil(s.t, out.GetDeniedResponse(), "%v", out)
	return out.GetDeniedResponse()
}

// release lets a server answer that a test holds back; at the latest when the test ends, or the server would not.
type release struct {
	done chan struct{}
	now  func()
}

func newRelease(t *testing.T) release {
	t.Helper()
	r := release{done: make(chan struct{})}
	r.now = sync.OnceFunc(func() { close(r.done) })
	t.Cleanup(r.now)
	return r
}

// passed is what the upstream would get of our headers.
type passed struct {
	set    map[string]string
	remove []string
}

func (s *stack) requireAllowed(c call) passed {
	s.t.Helper()
	out, err := s.ask(c)
	require.NoError(s.t, err)
	require.Equal(s.t, int32(codes.OK), out.GetStatus().GetCode(), "%v", out)
	p := passed{set: map[string]string{}, remove: out.GetOkResponse().GetHeadersToRemove()}
	for _, option := range out.GetOkResponse().GetHeaders() {
		require.Equal(s.t, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD, option.GetAppendAction())
		p.set[option.GetHeader().GetKey()] = option.GetHeader().GetValue()
		require.NotContains(s.t, p.remove, option.GetHeader().GetKey())
	}
	return p
}

func (s *stack) requireDenied(c call, status int, code string) map[string]any {
	s.t.Helper()
	out, err := s.ask(c)
	require.NoError(s.t, err)
	denied := out.GetDeniedResponse()
	require.NotNil(s.t, denied, "%v", out)
	require.EqualValues(s.t, status, denied.GetStatus().GetCode(), denied.GetBody())
	var body map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(denied.GetBody()), &body))
	if code != "" {
		require.Equal(s.t, code, body["code"])
		require.Equal(s.t, "urn:gatehouse:problem:"+code, body["type"])
		require.Equal(s.t, "id-1", body["request_id"])
	}
	return body
}

// requireFailed: an error, so Envoy answers 503 and does not try again.
func (s *stack) requireFailed(c call) {
	s.t.Helper()
	out, err := s.ask(c)
	require.Nil(s.t, out)
	require.Equal(s.t, codes.Internal, status.Code(err), "%v", err)
}

// identity verifies the identity token with the keys that the ops port publishes.
func (s *stack) identity(p passed) jwt.MapClaims {
	s.t.Helper()
	response := s.get("/.well-known/jwks.json")
	var set jose.JSONWebKeySet
	require.NoError(s.t, json.Unmarshal([]byte(response), &set))
	token, found := strings.CutPrefix(p.set["authorization"], "Bearer ")
	require.True(s.t, found)
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		found := set.Key(fmt.Sprint(token.Header["kid"]))
		require.Len(s.t, found, 1)
		return found[0].Key, nil
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience("gatehouse-api"), jwt.WithIssuer("http://public/.well-known/gatehouse"),
		jwt.WithExpirationRequired())
	require.NoError(s.t, err)
	return claims
}

func (s *stack) get(path string) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.ops.URL+path, nil)
	require.NoError(s.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode, string(body))
	return string(body)
}

// token signs an access token as Hydra would; changes with nil remove a claim.
func (s *stack) token(changes map[string]any) string {
	s.t.Helper()
	return s.signed(s.key.Key, s.key.KeyID, changes)
}

// signed is such a token under another key.
func (s *stack) signed(key any, kid string, changes map[string]any) string {
	s.t.Helper()
	now := time.Now().Unix()
	claims := jwt.MapClaims{
		"iss": "http://public", "aud": []string{"http://public/api"}, "sub": "c-1", "client_id": "c-1",
		"scp": []string{"read", "write"}, "iat": now - 1, "nbf": now - 1, "exp": now + 3600,
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = kid
	signed, err := token.SignedString(key)
	require.NoError(s.t, err)
	return signed
}
