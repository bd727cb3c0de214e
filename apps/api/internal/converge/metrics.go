package converge

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/api/internal/converge/row"
)

type metrics struct {
	pool        *pgxpool.Pool
	durations   *prometheus.HistogramVec
	runs        *prometheus.CounterVec
	differences *prometheus.GaugeVec
	reconciling prometheus.Gauge
}

var (
	behindObjects = prometheus.NewDesc("index_objects_behind", "Objects whose rows the index does not show yet.", nil, nil)
	behindSeconds = prometheus.NewDesc("index_oldest_behind_seconds", "For how long the oldest of them has been behind.", nil, nil)
)

func newMetrics(pool *pgxpool.Pool, registry prometheus.Registerer) *metrics {
	m := &metrics{
		pool: pool,
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "index_converge_duration_seconds", Help: "How long converging one object took, by how it ended.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"outcome"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "index_reconcile_runs_total", Help: "Comparisons of everything, by how they ended.",
		}, []string{"outcome"}),
		differences: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "index_reconcile_differences", Help: "Tuples that the last comparison found missing or surplus.",
		}, []string{"kind"}),
		reconciling: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "index_reconcile_last_time_seconds", Help: "When this process last compared everything, as a Unix time.",
		}),
	}
	registry.MustRegister(m.durations, m.runs, m.differences, m.reconciling, m)
	return m
}

func (m *metrics) converged(end outcome, took time.Duration) {
	m.durations.WithLabelValues(string(end)).Observe(took.Seconds())
}

func (m *metrics) reconciled(plan Plan, end string) {
	m.runs.WithLabelValues(end).Inc()
	if end == "failed" {
		return
	}
	m.differences.WithLabelValues("missing").Set(float64(len(plan.Missing)))
	m.differences.WithLabelValues("surplus").Set(float64(len(plan.Surplus)))
	m.reconciling.SetToCurrentTime()
}

// Describe implements prometheus.Collector for what only the database knows.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	out <- behindObjects
	out <- behindSeconds
}

// scrape is how long a scrape may wait for the database. Without an answer the two metrics are absent.
const scrape = time.Second

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrape)
	defer cancel()
	found, err := row.New(m.pool).Behind(ctx)
	if err != nil {
		return
	}
	out <- prometheus.MustNewConstMetric(behindObjects, prometheus.GaugeValue, float64(found.Objects))
	out <- prometheus.MustNewConstMetric(behindSeconds, prometheus.GaugeValue, found.Oldest)
}
