package web

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"gatehouse.internal/api/internal/limit"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// Limits bound how often one caller, and one address, may ask. nil bounds nothing.
type Limits struct{ PerPrincipal, PerAddress limit.Limiter }

// byAddress counts before anything is verified: what an anonymous caller makes us do is bounded, too.
func byAddress(limiter limit.Limiter) gin.HandlerFunc {
	return func(c *gin.Context) {
		if from := address(c.Request); limiter != nil && from.IsValid() {
			if from.Is6() { // a client has a whole network of them
				prefix, _ := from.WithZone("").Prefix(64) // 64 bits fit
				bounded(c, limiter, "address", prefix.String())
				return
			}
			bounded(c, limiter, "address", from.String())
		}
	}
}

// byPrincipal counts what one caller asks, from however many addresses.
func byPrincipal(limiter limit.Limiter) gin.HandlerFunc {
	return func(c *gin.Context) {
		if caller, err := principal.From(c.Request.Context()); limiter != nil && err == nil {
			bounded(c, limiter, "principal", string(caller.Kind)+":"+caller.ID()+":"+caller.ClientID)
		}
	}
}

// bounded takes one request from a bucket and says how much is left (draft-ietf-httpapi-ratelimit-headers). A limiter that is
// out of order lets requests pass: it protects from load and decides about no right.
func bounded(c *gin.Context, limiter limit.Limiter, name, key string) {
	decision, err := limiter.Take(context.WithoutCancel(c.Request.Context()), name+":"+key)
	if err != nil {
		_ = c.Error(fmt.Errorf("limiter: %w", err))
		return
	}
	wait := strconv.Itoa(int(math.Ceil(decision.Retry.Seconds())))
	c.Header("RateLimit", fmt.Sprintf("%q;r=%d;t=%s", name, decision.Remaining, wait))
	if decision.Allowed {
		return
	}
	if decision.Retry < time.Second {
		wait = "1"
	}
	c.Header("Retry-After", wait)
	refuse(c, problem.New(problem.RateLimited, "Too many requests. Try again later."))
}
