//go:build bench

package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
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
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// scenario is one request, asked again and again.
type scenario struct {
	name     string
	question *authv3.CheckRequest // for ext_authz
	header   http.Header          // for the decision API
}

var scenarioNames = []string{"jwt", "cookie_session", "oauth2_introspection"}

func path(name string) string { return "/api/" + name + "/things/42" }

// world is what all servers share: the answers of the servers that they ask, the rules, the requests.
type world struct {
	authz            string // the built program
	folder           string
	oathkeeperAPI    string
	oathkeeperConfig string
	scenarios        []scenario
}

const (
	session = `{"id":"7a0c1f5e","active":true,"expires_at":"2099-01-01T00:00:00Z","authenticator_assurance_level":"aal1",` +
		`"authentication_methods":[{"method":"password","aal":"aal1"}],"identity":{"id":"9f425a8d-7efc-4768-8f23-7647a74fdf13","schema_id":"default",` +
		`"state":"active","traits":{"email":"ann@example.com","name":{"first":"Ann","last":"Example"}},` +
		`"verifiable_addresses":[{"value":"ann@example.com","verified":true,"via":"email","status":"completed"}]}}`
	introspected = `{"active":true,"token_use":"access_token","sub":"9f425a8d","client_id":"c-1","iss":"https://issuer","aud":["api"],"scope":"read write","exp":4070908800}`
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{folder: t.TempDir()}
	w.authz = filepath.Join(w.folder, "authz")
	built, err := exec.Command("go", "build", "-o", w.authz, "../cmd/authz").CombinedOutput() // #nosec G204
	require.NoError(t, err, string(built))

	issuer, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	door, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	w.write(t, "id_token.jwks.json", encode(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: door, KeyID: "door", Algorithm: "ES256", Use: "sig"}}}))
	upstream := serveUpstream(t, encode(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: issuer.Public(), KeyID: "issuer", Algorithm: "RS256", Use: "sig"}}}))

	proxy, api, metrics := freeAddress(t), freeAddress(t), freeAddress(t)
	w.oathkeeperAPI = api
	fill := strings.NewReplacer("@UPSTREAM@", upstream, "@FOLDER@", w.folder, "@PROXY@", port(proxy), "@API@", port(api), "@METRICS@", port(metrics))
	for _, name := range []string{"oathkeeper.yml", "rules.yml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		w.write(t, name, []byte(fill.Replace(string(text))))
	}
	w.oathkeeperConfig = filepath.Join(w.folder, "oathkeeper.yml")

	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "https://issuer", "aud": []string{"api"}, "sub": "9f425a8d", "client_id": "c-1", "scp": []string{"read", "write"},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "2d1c6a0e-6d5b-4b0a-9c9e-3f6c4c9f4b11",
	})
	token.Header["kid"] = "issuer"
	signed, err := token.SignedString(issuer)
	require.NoError(t, err)
	credentials := map[string][2]string{
		"jwt":                  {"Authorization", "Bearer " + signed},
		"oauth2_introspection": {"Authorization", "Bearer ory_at_" + strings.Repeat("x", 80)},
		"cookie_session":       {"Cookie", "theme=dark; ory_kratos_session=" + strings.Repeat("x", 300)},
	}
	for _, name := range scenarioNames {
		w.scenarios = append(w.scenarios, newScenario(name, credentials[name]))
	}
	return w
}

// newScenario is a request of a browser in both languages.
func newScenario(name string, credential [2]string) scenario {
	fields := [][2]string{
		credential,
		{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		{"Accept", "application/json, text/plain, */*"}, {"Accept-Language", "en-GB,en;q=0.9"}, {"Accept-Encoding", "gzip, deflate, br"},
		{"Referer", "https://app.example.com/things"}, {"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Mode", "cors"}, {"Sec-Fetch-Dest", "empty"},
		{"X-Request-Id", "5f0c8c5e-3c46-9d3b-a2d8-8c2f0c5f7e11"}, {"X-Forwarded-For", "203.0.113.7"}, {"X-Forwarded-Proto", "https"},
	}
	s := scenario{name: name, header: http.Header{}}
	sent := &corev3.HeaderMap{}
	for _, f := range append([][2]string{{":authority", "app.example.com"}, {":path", path(name)}, {":method", "GET"}, {":scheme", "http"}}, fields...) {
		sent.Headers = append(sent.Headers, &corev3.HeaderValue{Key: strings.ToLower(f[0]), RawValue: []byte(f[1])})
	}
	s.question = &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Scheme: "http", Host: "app.example.com", Path: path(name), Protocol: "HTTP/1.1", HeaderMap: sent},
	}}}
	for _, f := range append([][2]string{{"X-Forwarded-Method", "GET"}, {"X-Forwarded-Host", "app.example.com"}, {"X-Forwarded-Uri", path(name)}}, fields...) {
		s.header.Set(f[0], f[1])
	}
	return s
}

// serveUpstream answers as Kratos and Hydra do when all is well. It runs in this process, so what it costs is
// nobody's; a real one costs far more.
func serveUpstream(t *testing.T, keys []byte) string {
	t.Helper()
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/sessions/whoami", answer(session))
	mux.HandleFunc("/admin/oauth2/introspect", answer(introspected))
	mux.HandleFunc("/.well-known/jwks.json", answer(string(keys)))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// writeSettings writes authz's own settings.
func (w *world) writeSettings(t *testing.T, name, address string, cache map[string]any) string {
	t.Helper()
	settings := map[string]any{
		"grpc": map[string]any{"address": address}, "ops": map[string]any{"address": freeAddress(t)},
		"oathkeeper_config": w.oathkeeperConfig, "cache": cache,
	}
	return w.write(t, name+".yml", encode(t, settings)) // JSON is YAML
}

func (w *world) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	file := filepath.Join(w.folder, name)
	require.NoError(t, os.WriteFile(file, content, 0o600))
	return file
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return out
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
