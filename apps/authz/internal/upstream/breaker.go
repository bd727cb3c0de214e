package upstream

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
	// breakerWindow is the time in which calls are counted.
	breakerWindow = 10 * time.Second
	// breakerLeast is the number of calls below which nothing is known about a server.
	breakerLeast = 10
)

// ErrOpen says that a server was not asked, because at least half of its last calls failed.
var ErrOpen = errors.New("the breaker is open")

// errGateway makes a breaker count an answer that only servers in trouble give. A 500 is not counted: one
// client's request may cause it, and must not close the door for the others.
var errGateway = errors.New("bad gateway, unavailable or gateway timeout")

// breakers keeps one breaker per origin: a server that is down costs its callers an error and no waiting,
// and gets room to come back. After a pause one call at a time may try it again.
type breakers struct {
	pause time.Duration

	mu       sync.Mutex
	byOrigin map[string]*gobreaker.CircuitBreaker[*Response]
}

func newBreakers(pause time.Duration) *breakers {
	return &breakers{pause: pause, byOrigin: map[string]*gobreaker.CircuitBreaker[*Response]{}}
}

// around runs call unless the origin's breaker is open, and counts how it ended.
func (b *breakers) around(origin string, call func() (*Response, error)) (*Response, error) {
	answer, err := b.of(origin).Execute(func() (*Response, error) {
		answer, err := call()
		if err == nil && inTrouble(answer.Status) {
			err = errGateway
		}
		return answer, err
	})
	switch {
	case errors.Is(err, errGateway):
		return answer, nil
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return nil, ErrOpen
	default:
		return answer, err
	}
}

func (b *breakers) of(origin string) *gobreaker.CircuitBreaker[*Response] {
	b.mu.Lock()
	defer b.mu.Unlock()
	breaker := b.byOrigin[origin]
	if breaker == nil {
		breaker = gobreaker.NewCircuitBreaker[*Response](gobreaker.Settings{
			Name: origin, Interval: breakerWindow, BucketPeriod: time.Second, Timeout: b.pause, ReadyToTrip: tripped,
			// The caller went away: that says nothing about the server.
			IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		})
		b.byOrigin[origin] = breaker
	}
	return breaker
}

func tripped(counts gobreaker.Counts) bool {
	ended := counts.TotalSuccesses + counts.TotalFailures
	return ended >= breakerLeast && 2*counts.TotalFailures >= ended
}

func inTrouble(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

var breakerState = prometheus.NewDesc("authz_upstream_breaker_state",
	"State of the breaker of a server: 0 closed, 1 half-open, 2 open (the server is not asked).", []string{"upstream"}, nil)

// Describe implements prometheus.Collector.
func (c *Client) Describe(out chan<- *prometheus.Desc) { out <- breakerState }

// Collect implements prometheus.Collector: the states of the breakers.
func (c *Client) Collect(out chan<- prometheus.Metric) {
	if c.breakers == nil {
		return
	}
	c.breakers.mu.Lock()
	defer c.breakers.mu.Unlock()
	for origin, breaker := range c.breakers.byOrigin {
		out <- prometheus.MustNewConstMetric(breakerState, prometheus.GaugeValue, float64(breaker.State()), origin)
	}
}
