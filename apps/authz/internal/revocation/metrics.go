package revocation

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	entriesDesc = prometheus.NewDesc("authz_revocation_entries", "Entries held, expired ones among them for up to a minute.", nil, nil)
	lagDesc     = prometheus.NewDesc("authz_revocation_lag_seconds",
		"Since when a revocation could be missing. +Inf until the source has been read to its end.", nil, nil)
	contactDesc = prometheus.NewDesc("authz_revocation_last_contact_timestamp_seconds",
		"When the source was last asked and had nothing further. 0 until then.", nil, nil)
	staleDesc = prometheus.NewDesc("authz_revocation_stale", "1 while the list is stale.", nil, nil)
)

// Describe implements prometheus.Collector.
func (l *List) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{entriesDesc, lagDesc, contactDesc, staleDesc} {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (l *List) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	gauge(entriesDesc, float64(l.size()))
	lag, contact, stale := math.Inf(1), 0.0, 0.0
	if at := l.lastContact(); !at.IsZero() {
		lag, contact = l.now().Sub(at).Seconds(), float64(at.UnixMilli())/1000
	}
	if l.Stale() {
		stale = 1
	}
	gauge(lagDesc, lag)
	gauge(contactDesc, contact)
	gauge(staleDesc, stale)
}
