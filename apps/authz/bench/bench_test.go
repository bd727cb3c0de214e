//go:build bench

// Package bench measures how much CPU one decision costs a server process, for authz, for the real Oathkeeper
// and for a gRPC server that does nothing. It is no test: it fails only when a server answers wrongly.
package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	rounds   = flag.Int("rounds", 5, "interleaved runs; the median counts")
	requests = flag.Int("requests", 6000, "per run of a gRPC server; Oathkeeper gets a third, it takes as long")
	document = flag.String("write", "", "the Markdown file to write the results into, between the marks")
)

const (
	concurrency = 16
	patience    = 30 * time.Second
	// ticks of /proc/<pid>/stat are 1/100 s on every Linux that Go runs on.
	tick = 10 * time.Millisecond
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(floorFolder); folder != "" {
		fmt.Fprintln(os.Stderr, serveFloor(folder))
		os.Exit(1)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// sample is what one run of one scenario cost.
type sample struct {
	cpu     float64 // microseconds per request
	rate    float64 // requests per second
	latency time.Duration
}

func TestCPUPerRequest(t *testing.T) {
	w := newWorld(t)
	installed := w.startAuthz(t, "authz", map[string]any{}) // as installed: it asks Kratos and Hydra for every request
	targets := []target{
		w.startFloor(t, installed),
		w.startAuthz(t, "authz, answers kept 10 s", map[string]any{"session_ttl": "10s", "introspection_ttl": "10s"}),
		installed,
		w.startAuthz(t, "authz, nothing kept", map[string]any{"max_entries": 0}),
		w.startOathkeeper(t),
	}
	results := map[string][]sample{}
	for round := range *rounds {
		for _, s := range w.scenarios {
			for _, target := range targets {
				measured := run(t, target, s, *requests/target.share)
				key := s.name + "/" + target.name
				results[key] = append(results[key], measured)
				t.Logf("round %d: %s: %.0f us, %.0f/s", round+1, key, measured.cpu, measured.rate)
			}
		}
	}
	text := report(w.scenarios, targets, results)
	t.Log("\n" + text)
	if *document != "" {
		require.NoError(t, write(*document, text))
	}
}

// run asks until all requests are answered, first a few that do not count.
func run(t *testing.T, target target, s scenario, count int) sample {
	t.Helper()
	load(t, target, s, count/10)
	before, begin := cpu(t, target.pid), time.Now()
	latencies := load(t, target, s, count)
	took, used := time.Since(begin), cpu(t, target.pid)-before
	slices.Sort(latencies)
	return sample{
		cpu:     float64(used.Microseconds()) / float64(count),
		rate:    float64(count) / took.Seconds(),
		latency: latencies[len(latencies)*99/100],
	}
}

func load(t *testing.T, target target, s scenario, count int) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	latencies := make([]time.Duration, count)
	var next atomic.Int64
	var failure atomic.Value
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(count) && failure.Load() == nil; i = next.Add(1) - 1 {
				begin := time.Now()
				if err := target.ask(ctx, s); err != nil {
					failure.Store(err)
				}
				latencies[i] = time.Since(begin)
			}
		})
	}
	workers.Wait()
	if err, failed := failure.Load().(error); failed {
		require.NoError(t, err, "%s: %s", target.name, s.name)
	}
	return latencies
}

// cpu is the user and system time that the process has used.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ") // the name before it may hold spaces
	fields := strings.Fields(rest)
	var sum time.Duration
	for _, field := range fields[11:13] { // utime, stime
		ticks, err := strconv.Atoi(field)
		require.NoError(t, err)
		sum += time.Duration(ticks) * tick
	}
	return sum
}
