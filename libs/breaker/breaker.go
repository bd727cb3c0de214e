// Package breaker leaves a server alone that is in trouble: its callers get an error and lose no time, and it gets room
// to come back. It must never turn an outage into an answer.
package breaker

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

const (
	// Window is the time in which calls are counted.
	Window = 10 * time.Second
	// least is the number of calls below which nothing is known about a server.
	least = 10
)

// ErrOpen says that a server was not asked, because at least half of its last calls failed.
var ErrOpen = errors.New("the breaker is open")

// errTrouble makes a breaker count an answer that only servers in trouble give. A 500 is not counted: one client's
// request may cause it, and must not close the way for the others.
var errTrouble = errors.New("bad gateway, unavailable or gateway timeout")

// Breakers keeps one breaker per origin. It is safe for concurrent use.
type Breakers[R any] struct {
	pause  time.Duration
	status func(R) int
	state  *prometheus.Desc

	mu       sync.Mutex
	byOrigin map[string]*gobreaker.CircuitBreaker[R]
}

// State describes the gauge that Collect reports, by the server's origin.
func State(metric string) *prometheus.Desc {
	return prometheus.NewDesc(metric,
		"State of the breaker of a server: 0 closed, 1 half-open, 2 open (the server is not asked).", []string{"upstream"}, nil)
}

// New returns breakers that leave a server alone for pause, after which one call at a time may try it again. status is the
// HTTP status of an answer.
func New[R any](state *prometheus.Desc, pause time.Duration, status func(R) int) *Breakers[R] {
	return &Breakers[R]{pause: pause, status: status, state: state, byOrigin: map[string]*gobreaker.CircuitBreaker[R]{}}
}

// Around runs call unless the origin's breaker is open, and counts how it ended.
func (b *Breakers[R]) Around(origin string, call func() (R, error)) (R, error) {
	answer, err := b.Of(origin).Execute(func() (R, error) {
		answer, err := call()
		if err == nil && inTrouble(b.status(answer)) {
			err = errTrouble
		}
		return answer, err
	})
	switch {
	case errors.Is(err, errTrouble):
		return answer, nil
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return answer, ErrOpen
	}
	return answer, err
}

// Of returns the breaker of one origin.
func (b *Breakers[R]) Of(origin string) *gobreaker.CircuitBreaker[R] {
	b.mu.Lock()
	defer b.mu.Unlock()
	breaker := b.byOrigin[origin]
	if breaker == nil {
		breaker = gobreaker.NewCircuitBreaker[R](gobreaker.Settings{
			Name: origin, Interval: Window, BucketPeriod: time.Second, Timeout: b.pause, ReadyToTrip: tripped,
			// The caller went away: that says nothing about the server.
			IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		})
		b.byOrigin[origin] = breaker
	}
	return breaker
}

func tripped(counts gobreaker.Counts) bool {
	ended := counts.TotalSuccesses + counts.TotalFailures
	return ended >= least && 2*counts.TotalFailures >= ended
}

func inTrouble(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// Describe implements prometheus.Collector.
func (b *Breakers[R]) Describe(out chan<- *prometheus.Desc) { out <- b.state }

// Collect implements prometheus.Collector: the states of the breakers.
func (b *Breakers[R]) Collect(out chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for origin, breaker := range b.byOrigin {
		out <- prometheus.MustNewConstMetric(b.state, prometheus.GaugeValue, float64(breaker.State()), origin)
	}
}
