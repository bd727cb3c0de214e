package cache_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gatehouse.internal/authz/internal/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestPartsOfAKeyCannotBeShifted(t *testing.T) {
	keys := map[cache.Key][]string{}
	for _, parts := range [][]string{
		nil, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"a\x00", "bc"}, {"ABC"},
	} {
		key := cache.KeyOf(parts...)
		require.NotContains(t, keys, key, "%q", parts)
		keys[key] = parts
	}
	require.Equal(t, cache.KeyOf("a", "b"), cache.KeyOf("a", "b"))
}

func FuzzKeysOfDifferentPartsDiffer(f *testing.F) {
	f.Add("ab", "c", "a", "bc")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		require.Equal(t, a == c && b == d, cache.KeyOf(a, b) == cache.KeyOf(c, d))
	})
}

func TestEntryEndsExactlyWithItsTime(t *testing.T) {
	clock := newClock()
	c := cache.New[string]("test", 10, clock.time)
	key := cache.KeyOf("k")
	c.Set(key, "v", 10*time.Second)
	clock.pass(10*time.Second - time.Nanosecond)
	value, kept := c.Get(key)
	require.True(t, kept)
	require.Equal(t, "v", value)
	clock.pass(time.Nanosecond)
	_, kept = c.Get(key)
	require.False(t, kept)
}

func TestReadingAnEntryDoesNotLengthenIt(t *testing.T) {
	clock := newClock()
	c := cache.New[string]("test", 10, clock.time)
	key := cache.KeyOf("k")
	c.Set(key, "v", 10*time.Second)
	for range 4 {
		clock.pass(3 * time.Second)
		c.Get(key)
	}
	_, kept := c.Get(key)
	require.False(t, kept)
}

func TestEntryWithoutTimeIsNotKept(t *testing.T) {
	c := cache.New[string]("test", 10, newClock().time)
	for _, ttl := range []time.Duration{0, -1} {
		c.Set(cache.KeyOf("k"), "v", ttl)
		_, kept := c.Get(cache.KeyOf("k"))
		require.False(t, kept)
	}
}

func TestNilCacheKeepsNothing(t *testing.T) {
	var c *cache.Cache[string]
	c.Set(cache.KeyOf("k"), "v", time.Hour)
	_, kept := c.Get(cache.KeyOf("k"))
	require.False(t, kept)
}

func TestCacheIsBoundedAndCounts(t *testing.T) {
	c := cache.New[int]("test", 100, newClock().time)
	c.Get(cache.KeyOf("missing"))
	for i := range 10_000 {
		c.Set(cache.KeyOf(strings.Repeat("x", i)), i, time.Hour)
	}
	require.LessOrEqual(t, value(t, c, "authz_cache_entries"), 100.0)
	require.GreaterOrEqual(t, value(t, c, "authz_cache_evictions_total"), 9_900.0)
	require.EqualValues(t, 1, value(t, c, "authz_cache_misses_total"))

}

func TestWhatHasEndedIsClearedAwayWhenTheMetricsAreRead(t *testing.T) {
	clock := newClock()
	c := cache.New[string]("test", 10, clock.time)
	c.Set(cache.KeyOf("k"), "v", time.Second)
	_, kept := c.Get(cache.KeyOf("k"))
	require.True(t, kept)
	require.EqualValues(t, 1, value(t, c, "authz_cache_entries"))
	require.EqualValues(t, 1, value(t, c, "authz_cache_hits_total"))
	clock.pass(time.Minute)
	require.Zero(t, value(t, c, "authz_cache_entries"))
}

func value(t *testing.T, c prometheus.Collector, name string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == name {
			metric := family.GetMetric()[0]
			require.Equal(t, "test", metric.GetLabel()[0].GetValue())
			return metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	require.Fail(t, "no such metric", name)
	return 0
}

func TestMetricsOfTwoCachesLiveSideBySide(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(cache.New[int]("a", 1, time.Now), cache.New[string]("b", 1, time.Now))
	count, err := testutil.GatherAndCount(registry, "authz_cache_hits_total")
	require.NoError(t, err)
	require.Equal(t, 2, count)
}

func BenchmarkHit(b *testing.B) {
	c := cache.New[string]("test", 1000, time.Now)
	token := strings.Repeat("x", 900)
	c.Set(cache.KeyOf("fingerprint", token), "v", time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if _, kept := c.Get(cache.KeyOf("fingerprint", token)); !kept {
			b.Fatal("lost")
		}
	}
}
