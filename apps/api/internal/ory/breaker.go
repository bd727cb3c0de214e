package ory

import (
	"context"
	"errors"
	"fmt"
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
	// breakerPause is how long a server in trouble is left alone. Then one call at a time may try it.
	breakerPause = 2 * time.Second
)

// ErrOpen says that a server was not asked, because at least half of its last calls failed: its callers lose no time,
// and it gets room to come back.
var ErrOpen = errors.New("the breaker is open")

// breakers is a transport that keeps one breaker per origin.
type breakers struct {
	next http.RoundTripper

	mu       sync.Mutex
	byOrigin map[string]*gobreaker.CircuitBreaker[*http.Response]
}

func newBreakers(next http.RoundTripper) *breakers {
	return &breakers{next: next, byOrigin: map[string]*gobreaker.CircuitBreaker[*http.Response]{}}
}

// errTrouble makes a breaker count an answer that only a server in trouble gives. A 500 is none: one request may be its
// cause, and must not close the way for the others.
var errTrouble = errors.New("the server is in trouble")

// RoundTrip implements http.RoundTripper.
func (b *breakers) RoundTrip(r *http.Request) (*http.Response, error) {
	var response *http.Response
	_, err := b.of(r.URL.Scheme + "://" + r.URL.Host).Execute(func() (*http.Response, error) {
		var err error
		response, err = b.next.RoundTrip(r) //nolint:bodyclose // whoever called closes it
		if err == nil && inTrouble(response.StatusCode) {
			err = errTrouble
		}
		return nil, err
	})
	switch {
	case errors.Is(err, errTrouble):
		return response, nil
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return nil, fmt.Errorf("%s: %w", r.URL.Host, ErrOpen)
	}
	return response, err
}

func inTrouble(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

func (b *breakers) of(origin string) *gobreaker.CircuitBreaker[*http.Response] {
	b.mu.Lock()
	defer b.mu.Unlock()
	breaker := b.byOrigin[origin]
	if breaker == nil {
		breaker = gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
			Name: origin, Interval: breakerWindow, BucketPeriod: time.Second, Timeout: breakerPause,
			ReadyToTrip: func(counts gobreaker.Counts) bool {
				ended := counts.TotalSuccesses + counts.TotalFailures
				return ended >= breakerLeast && 2*counts.TotalFailures >= ended
			},
			// The caller went away: that says nothing about the server.
			IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		})
		b.byOrigin[origin] = breaker
	}
	return breaker
}

var breakerState = prometheus.NewDesc("api_upstream_breaker_state",
	"State of the breaker of a server: 0 closed, 1 half-open, 2 open (the server is not asked).", []string{"upstream"}, nil)

// Describe implements prometheus.Collector.
func (b *breakers) Describe(out chan<- *prometheus.Desc) { out <- breakerState }

// Collect implements prometheus.Collector.
func (b *breakers) Collect(out chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for origin, breaker := range b.byOrigin {
		out <- prometheus.MustNewConstMetric(breakerState, prometheus.GaugeValue, float64(breaker.State()), origin)
	}
}

// Metrics reports the breakers of a client that HTTPClient returned.
func Metrics(c *http.Client) prometheus.Collector { return c.Transport.(*breakers) }
