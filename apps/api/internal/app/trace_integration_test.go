//go:build integration

package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/ory/orytest"
	"gatehouse.internal/api/internal/principal/principaltest"
	"gatehouse.internal/api/internal/users"
	"gatehouse.internal/libs/telemetry"
	"gatehouse.internal/libs/telemetry/telemetrytest"
)

func TestOneTraceFromTheDoorToPostgresAndKratos(t *testing.T) {
	const trace, doors = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	collector := telemetrytest.New(t)
	log := slog.New(slog.DiscardHandler)
	spans, err := telemetry.StartSpans(t.Context(), telemetry.Tracing{Endpoint: collector.URL}, "api", log)
	require.NoError(t, err)
	t.Cleanup(spans.Stop)

	stack, door := orytest.New(t), principaltest.NewDoor(t)
	stack.Set(populate)
	s := valid()
	s.UpstreamTimeout = time.Minute
	s.IdentityToken.JWKSURL, s.Kratos.AdminURL = door.URL, stack.KratosAdmin
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 4, s.UpstreamTimeout, database.Traced(spans))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	servers := newServers(s)
	handler, err := newHandler(s, parts{
		servers: servers, directory: users.NewDirectory(pool, servers.kratosAdmin, s.UpstreamTimeout), keys: ring{}, clients: anyone{}, spans: spans,
	}, log, prometheus.NewRegistry())
	require.NoError(t, err)

	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/me?secret=query", nil)
	token := door.Sign(t, "first", decide(stack, credential{cookie: "ann"}))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Traceparent", "00-"+trace+"-"+doors+"-01")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	spans.Stop()

	request := collector.Named(t, "api", "GET /api/me")
	require.Equal(t, trace, request.Trace)
	require.Equal(t, doors, request.Parent)
	require.Equal(t, "SERVER", request.Kind)
	require.Equal(t, map[string]string{
		"http.request.method": "GET", "http.route": "/api/me", "http.response.status_code": "200",
	}, request.Attributes)
	query := collector.Child(t, request, "SELECT")
	require.Equal(t, "CLIENT", query.Kind)
	require.Equal(t, "postgresql", query.Attributes["db.system.name"])
	require.Contains(t, query.Attributes["db.query.text"], "$1")
	collector.Await(t, "a call of Kratos", func(s telemetrytest.Span) bool {
		return s.Trace == trace && s.Kind == "CLIENT" && s.Attributes["http.response.status_code"] == "200"
	})
	for _, span := range collector.Spans() {
		require.Equal(t, trace, span.Trace, span.Name)
		require.NotEmpty(t, span.Parent, span.Name)
	}
	for _, private := range []string{token, "secret", "ann@example.com", ann} {
		require.NotContains(t, strings.ToLower(collector.Text()), strings.ToLower(private))
	}
}
