//go:build bench

package bench

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/gatetest"
)

// scenario is one way to say who is calling.
type scenario struct {
	name     string
	requests [concurrency]request
}

// request is what one client sends again and again, as each server is asked about it.
type request struct {
	subject  string               // whom the upstream is told of; empty where that is not known beforehand
	question *authv3.CheckRequest // to ext_authz over gRPC
	decision http.Header          // to Oathkeeper's decision API
	sent     http.Header          // by the client itself
	path     string
}

const host = "app.example.com"

func path(scenario string) string { return "/api/" + scenario + "/things/42" }

// servers are whom the gates ask, and what their clients present.
type servers struct {
	sessions, introspection, keys, audience string // URLs, and the audience of tokens
	credentials                             []credentials
}

// credentials are those of one scenario, one for each request at a time.
type credentials struct {
	scenario, header, subject string
	values                    [concurrency]string
}

// world is what all gates share: the rules, and the requests.
type world struct {
	authz            string // the built program
	folder           string
	oathkeeperAPI    string
	oathkeeperConfig string
	scenarios        []scenario
}

func newWorld(t *testing.T, servers servers) *world {
	t.Helper()
	w := &world{folder: t.TempDir()}
	w.authz = filepath.Join(w.folder, "authz")
	built, err := exec.Command("go", "build", "-o", w.authz, "../cmd/authz").CombinedOutput() // #nosec G204
	require.NoError(t, err, string(built))
	w.write(t, "id_token.jwks.json", gatetest.SigningKeys(t))

	free := gatetest.FreeAddresses(t, 3)
	w.oathkeeperAPI = free[0]
	fill := strings.NewReplacer("@SESSIONS@", servers.sessions, "@INTROSPECTION@", servers.introspection, "@KEYS@", servers.keys, "@AUDIENCE@", servers.audience,
		"@FOLDER@", w.folder, "@API@", gatetest.Port(free[0]), "@PROXY@", gatetest.Port(free[1]), "@METRICS@", gatetest.Port(free[2]))
	for _, name := range []string{"oathkeeper.yml", "rules.yml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		w.write(t, name, []byte(fill.Replace(string(text))))
	}
	w.oathkeeperConfig = filepath.Join(w.folder, "oathkeeper.yml")
	for _, c := range servers.credentials {
		s := scenario{name: c.scenario}
		for i, value := range c.values {
			s.requests[i] = newRequest(c, value)
		}
		w.scenarios = append(w.scenarios, s)
	}
	return w
}

// newRequest is a request of a browser.
func newRequest(c credentials, value string) request {
	browser := [][2]string{
		{c.header, value},
		{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		{"Accept", "application/json, text/plain, */*"}, {"Accept-Language", "en-GB,en;q=0.9"}, {"Accept-Encoding", "gzip, deflate, br"},
		{"Referer", "https://app.example.com/things"}, {"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Mode", "cors"}, {"Sec-Fetch-Dest", "empty"},
	}
	envoy := slices.Concat(browser, [][2]string{{"X-Request-Id", "5f0c8c5e-3c46-9d3b-a2d8-8c2f0c5f7e11"}, {"X-Forwarded-For", "203.0.113.7"}})
	r := request{subject: c.subject, sent: http.Header{}, decision: http.Header{}, path: path(c.scenario)}
	for _, f := range browser {
		r.sent.Set(f[0], f[1])
	}
	for _, f := range slices.Concat(envoy, [][2]string{
		{"X-Forwarded-Method", "GET"}, {"X-Forwarded-Proto", "http"}, {"X-Forwarded-Host", host}, {"X-Forwarded-Uri", r.path},
	}) {
		r.decision.Set(f[0], f[1])
	}
	r.question = gatetest.Question(http.MethodGet, "http", host, r.path, envoy)
	return r
}

const (
	person  = "9f425a8d-7efc-4768-8f23-7647a74fdf13"
	session = `{"id":"7a0c1f5e","active":true,"expires_at":"2099-01-01T00:00:00Z","authenticator_assurance_level":"aal1",` +
		`"authentication_methods":[{"method":"password","aal":"aal1"}],"identity":{"id":"` + person + `","schema_id":"default",` +
		`"state":"active","traits":{"email":"ann@example.com","name":{"first":"Ann","last":"Example"}},` +
		`"verifiable_addresses":[{"value":"ann@example.com","verified":true,"via":"email","status":"completed"}]}}`
	introspected = `{"active":true,"token_use":"access_token","sub":"` + person + `","client_id":"c-1","iss":"https://issuer","aud":["api"],"scope":"read write","exp":4070908800}`
)

// fakeServers answer as Kratos and Hydra do when all is well. They run in this process, so what they cost is nobody's.
func fakeServers(t *testing.T) servers {
	t.Helper()
	issuer, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	keys := encode(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: issuer.Public(), KeyID: "issuer", Algorithm: "RS256", Use: "sig"}}})
	mux := http.NewServeMux()
	for path, body := range map[string]string{"/sessions": session, "/introspection": introspected, "/keys": string(keys)} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	tokens := credentials{scenario: "jwt", header: "Authorization", subject: person}
	cookies := credentials{scenario: "cookie_session", header: "Cookie", subject: person}
	opaque := credentials{scenario: "oauth2_introspection", header: "Authorization", subject: person}
	now := time.Now()
	for i := range concurrency {
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
			"iss": "https://issuer", "aud": []string{"api"}, "sub": person, "client_id": "c-1", "scp": []string{"read", "write"},
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(), "jti": fmt.Sprintf("2d1c6a0e-6d5b-4b0a-9c9e-3f6c4c9f4b%02x", i),
		})
		token.Header["kid"] = "issuer"
		signed, err := token.SignedString(issuer)
		require.NoError(t, err)
		tokens.values[i] = "Bearer " + signed
		cookies.values[i] = fmt.Sprintf("theme=dark; ory_kratos_session=%0300d", i)
		opaque.values[i] = fmt.Sprintf("Bearer ory_at_%080d", i)
	}
	return servers{
		sessions: server.URL + "/sessions", introspection: server.URL + "/introspection", keys: server.URL + "/keys", audience: "api",
		credentials: []credentials{tokens, cookies, opaque},
	}
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
