// Package service runs the parts of a process and answers for its health.
package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Part is something that serves until it is told to stop.
type Part struct {
	Name string
	// Serve blocks until the part ends. After Stop it returns nil.
	Serve func() error
	// Stop lets requests in flight finish until ctx ends.
	Stop func(ctx context.Context) error
}

// Run serves all parts until ctx ends, SIGINT or SIGTERM arrives or one of them fails; then it stops
// them in reverse order, each within what is left of drain. beforeStop runs first (readiness goes
// down there, so that a load balancer stops sending).
func Run(ctx context.Context, drain time.Duration, beforeStop func(), parts ...Part) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	var served sync.WaitGroup
	failed := make(chan error, len(parts))
	for _, part := range parts {
		served.Go(func() {
			if err := part.Serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", part.Name, err)
			}
			cancel() // one part ending ends the service: half a service is worse than none
		})
	}
	<-ctx.Done()
	beforeStop()

	stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer stop()
	var problems []error
	for i := len(parts) - 1; i >= 0; i-- {
		if err := parts[i].Stop(stopping); err != nil {
			problems = append(problems, fmt.Errorf("stop %s: %w", parts[i].Name, err))
		}
	}
	served.Wait()
	close(failed)
	for err := range failed {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// HTTP is a part that serves handler on address with limits on how long a client may take.
func HTTP(name, address string, handler http.Handler) (Part, error) {
	listener, err := net.Listen("tcp", address) //nolint:noctx // at start, on an address of this machine
	if err != nil {
		return Part{}, fmt.Errorf("%s: %w", name, err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	return Part{
		Name:  name,
		Serve: func() error { return server.Serve(listener) },
		Stop:  server.Shutdown,
	}, nil
}

// Check tells whether a dependency answers.
type Check func(ctx context.Context) error

// Health answers liveness, readiness and metrics. It belongs on an internal port: it names the
// dependencies and says why one fails.
type Health struct {
	Metrics prometheus.Gatherer
	// Checks by the name of the dependency; all must pass for readiness.
	Checks map[string]Check

	draining atomic.Bool
}

// Drain makes readiness fail from now on.
func (h *Health) Drain() { h.draining.Store(true) }

// Register adds GET /healthz, /readyz and /metrics to mux.
func (h *Health) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.Metrics, promhttp.HandlerOpts{}))
}

func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	if h.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var problems []error
	for name, check := range h.Checks {
		if err := check(ctx); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// Probe asks url once and fails unless it answers 200. Images without a shell use it, by a
// command of the service's own, as their health check.
func Probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}
