//go:build bench

// Package bench measures what a decision costs with authz, with the real Oathkeeper and with a server that does
// nothing: alone, with the real Kratos and Hydra, and behind the real Envoy. It is no test: it fails only when a
// server answers wrongly.
package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
	requests = flag.Int("requests", 6000, "in one run of a target of weight 1")
	document = flag.String("write", "", "the Markdown file to write the results into, between the marks")
)

const (
	// concurrency is the number of requests at a time, each with a credential of its own: identical questions at
	// one time are asked of Kratos or Hydra once, which no two people's are.
	concurrency = 16
	patience    = 5 * time.Minute
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

// Kratos and Hydra are fakes whose own CPU is in no row.
func TestGatesAlone(t *testing.T) {
	w := newWorld(t, fakeServers(t))
	installed := w.startAuthz(t, "authz", "", nil) // it asks Kratos and Hydra for every request
	measure(t, "alone", w.scenarios, []target{
		w.startFloor(t, installed, ""),
		w.startAuthz(t, "authz, answers kept 10 s", "", kept),
		w.startAuthz(t, "authz, answers kept 10 s, 1 % traced", "", traced(t)),
		installed,
		w.startAuthz(t, "authz, nothing kept", "", map[string]any{"cache": map[string]any{"max_entries": 0}}),
		w.startOathkeeper(t),
	})
}

// Everything that works for an answer is counted, down to the database.
func TestGatesWithKratosAndHydra(t *testing.T) {
	servers, parts := realServers(t)
	w := newWorld(t, servers)
	targets := []target{
		w.startAuthz(t, "authz, answers kept 10 s", "", kept),
		w.startAuthz(t, "authz", "", nil),
		w.startOathkeeper(t),
	}
	for i := range targets {
		targets[i].parts = append(targets[i].parts, parts...)
		targets[i].weight = 1. / 6
	}
	targets[0].weight, targets[0].least = 1, 12*time.Second // longer than answers are kept, so that asking again is in it
	measure(t, "kratos-and-hydra", w.scenarios, targets)
}

// part is a process that works for an answer.
type part struct {
	name string
	pid  int
}

// sample is what one run of one scenario cost.
type sample struct {
	cpu      []float64 // of each part, in microseconds per request
	rate     float64   // requests per second
	p50, p99 time.Duration
}

// measure runs every target in turn, so that whatever else the machine does falls on all of them, and writes the
// named section of the document.
func measure(t *testing.T, section string, scenarios []scenario, targets []target) {
	t.Helper()
	begin := machine()
	results := map[string][]sample{}
	for round := range *rounds {
		for _, s := range scenarios {
			for _, target := range targets {
				measured := run(t, target, s, int(float64(*requests)*target.weight))
				key := s.name + "/" + target.name
				results[key] = append(results[key], measured)
				t.Logf("round %d: %s: %.0f us, %.0f/s", round+1, key, measured.total(), measured.rate)
			}
		}
	}
	text := begin + table(scenarios, targets, results)
	t.Log("\n" + text)
	if *document != "" {
		require.NoError(t, write(*document, section, text))
	}
}

// run asks until all requests are answered and the target's time is over, first a few that do not count.
func run(t *testing.T, target target, s scenario, count int) sample {
	t.Helper()
	load(t, target, s, max(concurrency, count/10))
	before, begin := target.cpu(t), time.Now()
	latencies := load(t, target, s, count)
	for time.Since(begin) < target.least {
		latencies = append(latencies, load(t, target, s, count)...)
	}
	took, after := time.Since(begin), target.cpu(t)
	count = len(latencies)
	slices.Sort(latencies)
	out := sample{rate: float64(count) / took.Seconds(), p50: latencies[count/2], p99: latencies[count*99/100]}
	for i := range after {
		out.cpu = append(out.cpu, float64((after[i]-before[i]).Microseconds())/float64(count))
	}
	return out
}

func (s sample) total() (sum float64) {
	for _, one := range s.cpu {
		sum += one
	}
	return sum
}

func load(t *testing.T, target target, s scenario, count int) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	latencies := make([]time.Duration, count)
	var next atomic.Int64
	var failure atomic.Value
	var workers sync.WaitGroup
	for worker := range concurrency {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(count) && failure.Load() == nil; i = next.Add(1) - 1 {
				begin := time.Now()
				if err := target.ask(ctx, s.requests[worker]); err != nil {
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

// cpu is the user and system time that each part has used with its children, also those that have ended: Postgres
// has a process for each connection.
func (target target) cpu(t *testing.T) []time.Duration {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	sums, found := make([]time.Duration, len(target.parts)), make([]bool, len(target.parts))
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // the name before it may hold spaces
		fields := strings.Fields(rest)
		own, parent := filepath.Base(filepath.Dir(file)), fields[1]
		for i, p := range target.parts {
			pid := strconv.Itoa(p.pid)
			if own != pid && parent != pid {
				continue
			}
			found[i] = found[i] || own == pid
			for _, field := range fields[11:15] { // utime, stime, and the two of children that have ended
				ticks, err := strconv.Atoi(field)
				require.NoError(t, err)
				sums[i] += time.Duration(ticks) * tick
			}
		}
	}
	require.NotContains(t, found, false, "%v", target.parts)
	return sums
}
