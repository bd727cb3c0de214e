// Package limit bounds how often somebody may ask. It protects the service from one caller who asks too much; attempts to
// log in are bounded at the door, where they arrive.
package limit

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// Policy is a token bucket: PerSecond refill it, Burst is its size.
type Policy struct {
	PerSecond float64
	Burst     int
}

// Decision is what a limiter says of one request.
type Decision struct {
	Allowed bool
	// Remaining is how many requests may follow at once.
	Remaining int
	// Retry is how long to wait when the request is not allowed.
	Retry time.Duration
}

// Limiter counts requests by key. One that keeps its counts in one place for all replicas can stand in for Memory. An error
// is an outage of that place.
type Limiter interface {
	Take(ctx context.Context, key string) (Decision, error)
}

// Memory counts in this process: with n replicas a caller has up to n times the policy.
type Memory struct {
	policy  Policy
	now     func() time.Time
	buckets *otter.Cache[string, *rate.Limiter]
}

// keys is how many callers are remembered. One who is forgotten begins with a full bucket.
const keys = 100_000

// NewMemory returns a limiter that knows nobody yet.
func NewMemory(policy Policy, now func() time.Time) (*Memory, error) {
	// A bucket that nobody took from for as long as it takes to fill is like a new one.
	idle := time.Duration(float64(policy.Burst)/policy.PerSecond*float64(time.Second)) + time.Second
	buckets, err := otter.New(&otter.Options[string, *rate.Limiter]{
		MaximumSize: keys, ExpiryCalculator: otter.ExpiryAccessing[string, *rate.Limiter](idle),
	})
	if err != nil {
		return nil, fmt.Errorf("limit: %w", err)
	}
	return &Memory{policy: policy, now: now, buckets: buckets}, nil
}

// Take implements Limiter.
func (m *Memory) Take(_ context.Context, key string) (Decision, error) {
	bucket, _ := m.buckets.ComputeIfAbsent(key, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Limit(m.policy.PerSecond), m.policy.Burst), false
	})
	now := m.now()
	allowed := bucket.AllowN(now, 1)
	tokens := bucket.TokensAt(now)
	decision := Decision{Allowed: allowed, Remaining: max(0, int(math.Floor(tokens)))}
	if !allowed {
		decision.Retry = time.Duration((1 - tokens) / m.policy.PerSecond * float64(time.Second))
	}
	return decision, nil
}

// Policy is the limiter's.
func (m *Memory) Policy() Policy { return m.policy }
