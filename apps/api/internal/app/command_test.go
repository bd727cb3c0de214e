package app

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	document "gatehouse.internal/api/openapi"
)

func TestWrongArgumentsGetTheUsage(t *testing.T) {
	for _, arguments := range []string{
		"", "dance", "serve", "serve --config", "serve --config x y", "serve --port 1", "migrate", "health",
		"reconcile", "reconcile --config x --plan --apply", "reconcile --config x --force", "reconcile --config x y",
		"admin", "admin grant", "admin grant --config x", "admin grant --config x a b", "admin list --config x a", "admin make --config x a",
		"sweep", "sweep --config x --plan --apply", "sweep --config x --force", "sweep --config x y",
	} {
		var out bytes.Buffer
		require.ErrorIs(t, Main(t.Context(), strings.Fields(arguments), &out), errUsage, arguments)
		require.Empty(t, out.String())
	}
}

func TestOpenapiPrintsTheDocument(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Main(t.Context(), []string{"openapi"}, &out))
	require.Equal(t, document.Document, out.Bytes())
}

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const sample = `
mode: edge
public_url: http://localhost:8080
public: {address: "127.0.0.1:3001"}
internal: {address: "0.0.0.0:3002"}
internal_secret: 0123456789abcdef0123456789abcdef
database: {url: "postgres://gatehouse_api:x@127.0.0.1:5432/gatehouse?sslmode=disable", max_connections: 10}
identity_token: {issuer: "http://localhost:8080/.well-known/gatehouse", audience: gatehouse-api, jwks_url: "http://127.0.0.1:9192/.well-known/jwks.json"}
kratos: {public_url: "http://127.0.0.1:4433", admin_url: "http://127.0.0.1:4434", webhook_secret: 00112233445566778899aabbccddeeff}
api_keys: {gate_secret: ffeeddccbbaa99887766554433221100}
hydra: {public_url: "http://127.0.0.1:4444", admin_url: "http://127.0.0.1:4445", webhook_secret: 0f1e2d3c4b5a69788796a5b4c3d2e1f0}
clients: {max_orphans: 0} # a test may name a Hydra whose clients are another's
keto: {read_url: "http://127.0.0.1:4466", write_url: "http://127.0.0.1:4467"}
consent: {csrf_secret: fedcba9876543210fedcba9876543210}
smtp: {address: "127.0.0.1:1025", from: "Gatehouse <no-reply@gatehouse.example>"}
upstream_timeout: 2s
drain: 10s
log: {level: info}
`

func TestHealthAsksTheServiceOnThisMachine(t *testing.T) {
	ready := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ready || r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	file := settingsFile(t, strings.Replace(sample, "0.0.0.0:3002", "0.0.0.0:"+port, 1))

	require.NoError(t, Main(t.Context(), []string{"health", "--config", file}, &bytes.Buffer{}))
	ready = false
	require.Error(t, Main(t.Context(), []string{"health", "--config", file}, &bytes.Buffer{}))
}

func TestUnknownSettingStopsTheStart(t *testing.T) {
	err := Main(t.Context(), []string{"serve", "--config", settingsFile(t, sample+"\nmoed: direct\n")}, &bytes.Buffer{})
	require.ErrorContains(t, err, "moed")
}
