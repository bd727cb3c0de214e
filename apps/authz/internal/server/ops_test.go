package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
)

func TestOpsShowsRulesMetricsAndPublicKeysOnly(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/admin"}, 403, "")
	s.requireDenied(call{path: "/nothing"}, 404, "")

	require.Equal(t, "ok\n", s.get("/healthz"))
	require.Equal(t, "ok\nrule \"unsupported\" is invalid and answers 500\n", s.get("/readyz"))

	var rules []engine.RuleStatus
	require.NoError(t, json.Unmarshal([]byte(s.get("/rules")), &rules))
	valid := map[string]bool{}
	for _, r := range rules {
		valid[r.ID] = r.Valid
	}
	require.True(t, valid["api"])
	require.False(t, valid["unsupported"])

	metrics := s.get("/metrics")
	require.Contains(t, metrics, `authz_decisions_total{outcome="deny",rule="admin"} 1`)
	require.Contains(t, metrics, `authz_decisions_total{outcome="deny",rule="none"} 1`)
	require.Contains(t, metrics, `authz_decision_duration_seconds_count{outcome="deny"} 2`)

	published := s.get("/.well-known/jwks.json")
	require.Contains(t, published, `"kid":"door"`)
	require.NotContains(t, published, `"d":`)
}

func TestNotReadyWithoutAValidRule(t *testing.T) {
	e := &engine.Engine{}
	e.Use(&engine.Snapshot{})
	handler, health := ops(e, newMetrics(), false)
	probe := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		return w.Code
	}
	require.Equal(t, http.StatusServiceUnavailable, probe())

	s := newStack(t)
	e.Use(s.engine.Snapshot())
	require.Equal(t, http.StatusOK, probe())
	health.Drain()
	require.Equal(t, http.StatusServiceUnavailable, probe())
}

func TestReadinessDoesNotDependOnOthers(t *testing.T) {
	s := newStack(t)
	s.kratos.Close()
	s.hydra.Close()
	require.Contains(t, s.get("/readyz"), "ok")
}
