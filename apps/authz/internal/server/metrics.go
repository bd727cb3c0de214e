package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gatehouse.internal/authz/internal/engine"
)

// metrics have bounded labels only: rule ids and origins come from configuration, never from a request.
type metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	upstream  *prometheus.CounterVec
	rules     *prometheus.GaugeVec
	overlaps  *prometheus.GaugeVec
	reloads   *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authz_decisions_total", Help: "Decisions by rule id and outcome (allow, deny, error).",
		}, []string{"rule", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "authz_decision_duration_seconds", Help: "Time a decision took, by outcome.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, .7, 1, 2.5},
		}, []string{"outcome"}),
		upstream: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authz_upstream_errors_total", Help: "Calls to other servers that got no usable answer.",
		}, []string{"upstream", "reason"}),
		rules: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "authz_rules", Help: "Loaded rules by state (valid, delegated, invalid).",
		}, []string{"state"}),
		overlaps: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "authz_rules_overlapping", Help: "Pairs of rules that match the same requests, which get a 500 (found), and pairs of which that is not known (undecided).",
		}, []string{"state"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authz_reloads_total", Help: "Configurations put into use (applied), and attempts to read one that failed.",
		}, []string{"result"}),
	}
	m.registry.MustRegister(m.decisions, m.duration, m.upstream, m.rules, m.overlaps, m.reloads,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) decided(d engine.Decision, took time.Duration) {
	rule := d.Rule
	if rule == "" {
		rule = "none"
	}
	m.decisions.WithLabelValues(rule, d.Outcome.String()).Inc()
	m.duration.WithLabelValues(d.Outcome.String()).Observe(took.Seconds())
}

func (m *metrics) upstreamFailed(origin, reason string) {
	m.upstream.WithLabelValues(origin, reason).Inc()
}

func (m *metrics) loaded(rules []engine.RuleStatus, overlaps engine.Overlaps) {
	m.overlaps.WithLabelValues("found").Set(float64(overlaps.Found))
	m.overlaps.WithLabelValues("undecided").Set(float64(overlaps.Undecided))
	states := map[string]int{"valid": 0, "delegated": 0, "invalid": 0}
	for _, r := range rules {
		switch {
		case !r.Valid:
			states["invalid"]++
		case r.Delegated:
			states["delegated"]++
		default:
			states["valid"]++
		}
	}
	for state, n := range states {
		m.rules.WithLabelValues(state).Set(float64(n))
	}
}
