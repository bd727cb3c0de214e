//go:build soak

// Package soak keeps authz under mixed load while its rules change every second and the servers that it asks fail in
// every way they know, and judges each single answer: nobody passes who may not, nobody is refused who may, an outage
// is an error and happens only while there is one, and each answer is that of one set of rules. Afterwards no
// goroutine is left, and the memory is what it was.
//
//	make soak MINUTES=5
package soak

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"gatehouse.internal/authz/internal/server"
)

var minutes = flag.Float64("minutes", 1, "how long to go on")

const (
	callers = 16
	// period is how long one state of the servers lasts, sound or not; then they are sound for as long.
	period = 4 * time.Second
	// calm is how long after an outage errors may still come: the breaker lets one try again after its pause.
	calm         = 2 * time.Second
	breakerPause = 300 * time.Millisecond
	// upstreamTime is long, so that a busy machine does not look like an outage, and shorter than one.
	upstreamTime = 3 * time.Second
	// kept is the TTL of every cache: a logout acts after it at the latest.
	kept = time.Second
)

func TestSoak(t *testing.T) {
	before := runtime.NumGoroutine()
	ignored := goleak.IgnoreCurrent()

	servers := newServers(t)
	settings := writeSettings(t, servers.URL)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, settings, io.Discard) }()
	connection, err := grpc.NewClient(settings.GRPC.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	r := &run{servers: servers, client: authv3.NewAuthorizationClient(connection), ops: "http://" + settings.Ops.Address, counts: map[string]int{}}
	_, err = r.client.Check(ctx, question("/open/x"), grpc.WaitForReady(true))
	require.NoError(t, err)

	duration := time.Duration(*minutes * float64(time.Minute))
	over, finish := context.WithTimeout(ctx, duration)
	defer finish()
	var work sync.WaitGroup
	work.Go(func() { r.reload(over, filepath.Dir(settings.OathkeeperConfig)) })
	work.Go(func() { r.disturb(over) })
	for i := range callers {
		work.Go(func() { r.call(over, uint64(i)) })
	}
	r.watch(over)
	work.Wait()
	metrics := r.metrics(t)

	require.NoError(t, connection.Close())
	stop()
	require.NoError(t, <-ended)
	servers.Close()
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, goleak.Find(ignored), "goroutines that were not there before")
	r.report(t, duration, before, metrics)

	require.Empty(t, r.wrong, "answers that are wrong")
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		require.NotZero(t, r.counts[kind], "%s was never tried", kind)
	}
	require.NotZero(t, r.counts["errors during outages"], "the outages were none")
	require.Contains(t, metrics, `authz_reloads_total{result="applied"}`)
	requireFlat(t, "heap", r.heap, 8<<20)
	requireFlat(t, "goroutines", r.goroutines, 50)
}

// requireFlat compares the largest value of the first third with that of the last, and allows for half as much again
// and some slack: a leak of one object per request is many times that.
func requireFlat(t *testing.T, what string, samples []uint64, slack uint64) {
	t.Helper()
	third := len(samples) / 3
	if third == 0 {
		t.Logf("%s: too short to tell", what)
		return
	}
	first, last := slices.Max(samples[:third]), slices.Max(samples[len(samples)-third:])
	require.LessOrEqual(t, last, first+first/2+slack, "%s grows: %v", what, samples)
}

// run is what all goroutines of the soak share.
type run struct {
	servers *servers
	client  authv3.AuthorizationClient
	ops     string

	// busy is held for reading while a question is asked, so that watch can wait for a quiet moment.
	busy sync.RWMutex

	mu     sync.Mutex
	counts map[string]int
	wrong  []string

	heap, goroutines []uint64
	swaps            int
}

func (r *run) count(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[name]++
}

func (r *run) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wrong) < 20 {
		r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
	}
}

// watch looks at memory and goroutines while nothing is asked.
func (r *run) watch(ctx context.Context) {
	tick := time.NewTicker(2 * period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.busy.Lock()
		runtime.GC()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		r.heap = append(r.heap, memory.HeapAlloc)
		r.goroutines = append(r.goroutines, uint64(runtime.NumGoroutine()))
		r.busy.Unlock()
	}
}

func (r *run) metrics(t *testing.T) string {
	t.Helper()
	response, err := http.Get(r.ops + "/metrics")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

func (r *run) report(t *testing.T, duration time.Duration, before int, metrics string) {
	t.Helper()
	total := 0
	for kind := range kinds {
		total += r.counts[kind]
	}
	t.Logf("%v, %d questions, %.0f a second, rules exchanged %d times", duration, total, float64(total)/duration.Seconds(), r.swaps)
	for _, name := range slices.Sorted(maps.Keys(r.counts)) {
		t.Logf("  %-28s %d", name, r.counts[name])
	}
	t.Logf("heap after GC, KiB: %v", scaled(r.heap, 1<<10))
	t.Logf("goroutines in quiet moments: %v; before: %d", r.goroutines, before)
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "authz_reloads_total") || strings.HasPrefix(line, "authz_upstream_errors") || strings.HasPrefix(line, "authz_cache_e") {
			t.Log("  ", strings.TrimSpace(line))
		}
	}
}

func scaled(samples []uint64, by uint64) []uint64 {
	out := make([]uint64, len(samples))
	for i, s := range samples {
		out[i] = s / by
	}
	return out
}
