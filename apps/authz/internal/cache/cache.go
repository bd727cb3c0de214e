// Package cache keeps what was found out about a credential, for a bounded time and in bounded memory, and
// lets identical questions asked at one time share one answer. It must never decide: whoever takes a value
// from here judges it anew.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/libs/telemetry"
)

// Key identifies a question. It is a whole SHA-256: with a shorter one, somebody could look for a token
// that shares the key of another's.
type Key [sha256.Size]byte

// KeyOf hashes the parts. Each follows its length, so that ("ab", "c") and ("a", "bc") differ.
func KeyOf(parts ...string) Key {
	var usual [1 << 10]byte // holds most tokens, and is no object of its own
	text := usual[:0]
	for _, part := range parts {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	return sha256.Sum256(text)
}

// Note tells the span of ctx, if there is one, whether something kept answered.
func Note(ctx context.Context, hit bool) { telemetry.Flag(ctx, "authz.cache.hit", hit) }

// Cache is a bounded map whose entries end. Values are shared between requests: nobody may change one.
// A nil Cache keeps nothing. Safe for concurrent use.
type Cache[V any] struct {
	entries *otter.Cache[Key, entry[V]]
	hits    *prometheus.Desc
	misses  *prometheus.Desc
	evicted *prometheus.Desc
	size    *prometheus.Desc
}

type entry[V any] struct {
	value V
	ttl   time.Duration
}

// New returns a cache of at most maxEntries. The name is for its metrics.
func New[V any](name string, maxEntries int, now func() time.Time) *Cache[V] {
	label := prometheus.Labels{"cache": name}
	describe := func(metric, help string) *prometheus.Desc { return prometheus.NewDesc(metric, help, nil, label) }
	return &Cache[V]{
		entries: otter.Must(&otter.Options[Key, entry[V]]{
			MaximumSize:      maxEntries,
			ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[Key, entry[V]]) time.Duration { return e.Value.ttl }),
			Clock:            clock(now),
			StatsRecorder:    stats.NewCounter(),
		}),
		hits:    describe("authz_cache_hits_total", "Look-ups that found an entry."),
		misses:  describe("authz_cache_misses_total", "Look-ups that found none."),
		evicted: describe("authz_cache_evictions_total", "Entries that made room or whose time was over."),
		size:    describe("authz_cache_entries", "Entries now."),
	}
}

// Get returns the value under key unless its time is over.
func (c *Cache[V]) Get(key Key) (V, bool) {
	if c == nil {
		var none V
		return none, false
	}
	found, kept := c.entries.GetIfPresent(key)
	return found.value, kept
}

// Set keeps value for ttl, and not at all if ttl is not positive.
func (c *Cache[V]) Set(key Key, value V, ttl time.Duration) {
	if c != nil && ttl > 0 {
		c.entries.Set(key, entry[V]{value, ttl})
	}
}

// Describe implements prometheus.Collector.
func (c *Cache[V]) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect implements prometheus.Collector.
func (c *Cache[V]) Collect(out chan<- prometheus.Metric) {
	if c == nil {
		return
	}
	c.entries.CleanUp() // so that what is counted is what is there; see clock
	counted := c.entries.Stats()
	out <- prometheus.MustNewConstMetric(c.hits, prometheus.CounterValue, float64(counted.Hits))
	out <- prometheus.MustNewConstMetric(c.misses, prometheus.CounterValue, float64(counted.Misses))
	out <- prometheus.MustNewConstMetric(c.evicted, prometheus.CounterValue, float64(counted.Evictions))
	out <- prometheus.MustNewConstMetric(c.size, prometheus.GaugeValue, float64(c.entries.EstimatedSize()))
}

// clock is the time that entries end by.
type clock func() time.Time

func (c clock) NowNano() int64 { return c().UnixNano() }

// Tick never ticks: an entry whose time is over is not returned, and goes when the next ones come or the
// metrics are read, so no goroutine needs to look for it.
func (c clock) Tick(time.Duration) <-chan time.Time { return nil }
