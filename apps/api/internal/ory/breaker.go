package ory

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/libs/breaker"
)

// breakerPause is how long a server in trouble is left alone. Then one call at a time may try it.
const breakerPause = 2 * time.Second

// guarded is a transport that leaves servers in trouble alone.
type guarded struct {
	*breaker.Breakers[*http.Response]
	next http.RoundTripper
}

func newGuarded(next http.RoundTripper) guarded {
	status := func(answer *http.Response) int { return answer.StatusCode }
	return guarded{breaker.New(breaker.State("api_upstream_breaker_state"), breakerPause, status), next}
}

// RoundTrip implements http.RoundTripper.
func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := g.Around(r.URL.Scheme+"://"+r.URL.Host, func() (*http.Response, error) { return g.next.RoundTrip(r) })
	if errors.Is(err, breaker.ErrOpen) {
		err = fmt.Errorf("%s: %w", r.URL.Host, err)
	}
	return answer, err
}

// Metrics reports the breakers of a client that HTTPClient returned.
func Metrics(c *http.Client) prometheus.Collector { return c.Transport.(guarded) }
