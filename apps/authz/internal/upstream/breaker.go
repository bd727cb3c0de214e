package upstream

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/libs/breaker"
)

// ErrOpen says that a server was not asked, because at least half of its last calls failed.
var ErrOpen = breaker.ErrOpen

var breakerState = breaker.State("authz_upstream_breaker_state")

func newBreakers(pause time.Duration) *breaker.Breakers[*Response] {
	return breaker.New(breakerState, pause, func(answer *Response) int { return answer.Status })
}

// Describe implements prometheus.Collector.
func (c *Client) Describe(out chan<- *prometheus.Desc) { out <- breakerState }

// Collect implements prometheus.Collector: the states of the breakers.
func (c *Client) Collect(out chan<- prometheus.Metric) {
	if c.breakers != nil {
		c.breakers.Collect(out)
	}
}
