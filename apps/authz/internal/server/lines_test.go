package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
)

func TestLinesAboutAllowedRequestsAreBounded(t *testing.T) {
	limits, now := newLineLimits(3), time.Unix(1_800_000_000, 0)
	count := func(outcome engine.Outcome, asked int) (written int, leftOut int64) {
		for range asked {
			if left, write := limits.next(outcome, now); write {
				written++
				leftOut += left
			}
		}
		return written, leftOut
	}
	written, leftOut := count(engine.Allowed, 10)
	require.Equal(t, 3, written)
	require.Zero(t, leftOut, "nothing was left out before the last of them")
	for _, outcome := range []engine.Outcome{engine.Denied, engine.Failed} {
		written, _ = count(outcome, unusualLines)
		require.Equal(t, unusualLines, written, "those who are let in do not count")
		written, _ = count(outcome, 5)
		require.Zero(t, written)
	}

	now = now.Add(time.Second)
	written, leftOut = count(engine.Allowed, 10)
	require.Equal(t, 3, written)
	require.EqualValues(t, 7, leftOut, "each that was left out is told of once")
	written, leftOut = count(engine.Denied, 1)
	require.Equal(t, 1, written)
	require.EqualValues(t, 5, leftOut)

	now = now.Add(334 * time.Millisecond)
	written, leftOut = count(engine.Allowed, 1)
	require.Equal(t, 1, written)
	require.EqualValues(t, 7, leftOut)
}

func TestNoLineAboutAllowedRequestsIfSoWished(t *testing.T) {
	_, write := newLineLimits(0).next(engine.Allowed, time.Now())
	require.False(t, write)
	_, write = newLineLimits(0).next(engine.Denied, time.Now())
	require.True(t, write)
}

func TestLogSaysHowManyLinesAreMissingAndMetricsCountThemAll(t *testing.T) {
	s := newStack(t)
	s.kratos.says(http.StatusOK, `{"id":"s-1","active":true,"identity":{"id":"u-1"}}`, http.StatusOK)
	s.door.lines = newLineLimits(1)
	s.door.lines[engine.Allowed].bucket.SetLimit(1e-9) // so that a slow test sees no second line
	cookie := []string{"cookie", "ory_kratos_session=s"}
	for range 5 {
		s.requireAllowed(call{path: "/page", headers: cookie})
	}
	s.requireDenied(call{path: "/nothing/here"}, http.StatusNotFound, "")
	require.Equal(t, 1, strings.Count(s.logs.String(), `"outcome":"allow"`))
	require.Equal(t, 1, strings.Count(s.logs.String(), `"outcome":"deny"`))
	require.Contains(t, s.get("/metrics"), `authz_decisions_total{outcome="allow",rule="web"} 5`)

	s.door.lines[engine.Allowed].bucket.SetLimit(1e9)
	s.requireAllowed(call{path: "/page", headers: cookie})
	written := strings.Split(strings.TrimSpace(s.logs.String()), "\n")
	var last map[string]any
	require.NoError(t, json.Unmarshal([]byte(written[len(written)-1]), &last))
	require.EqualValues(t, 4, last["left_out"])
}

func TestDecisionsAreCountedByRuleAcrossReloads(t *testing.T) {
	m := newMetrics()
	allowed := engine.Decision{Outcome: engine.Allowed, Rule: "a"}
	m.decided(allowed, time.Millisecond) // before anything is loaded
	m.loaded([]engine.RuleStatus{{ID: "a", Valid: true}}, engine.Overlaps{})
	m.decided(allowed, time.Millisecond)
	m.decided(engine.Decision{Outcome: engine.Denied, Rule: "a"}, time.Millisecond)
	m.decided(engine.Decision{}, time.Millisecond)
	m.loaded([]engine.RuleStatus{{ID: "b", Valid: true}}, engine.Overlaps{})
	m.decided(allowed, time.Millisecond) // of a request that began with the rules before
	counted := map[string]float64{}
	families, err := m.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "authz_decisions_total" {
			for _, metric := range family.GetMetric() {
				counted[metric.GetLabel()[1].GetValue()+" "+metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
			}
		}
	}
	require.Equal(t, map[string]float64{"a allow": 3, "a deny": 1, "none error": 1}, counted)
}
