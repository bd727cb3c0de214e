package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry says how often a question may be asked when nobody answers. nil means once. It is for questions that
// change nothing: one may be asked and answered twice.
type Retry struct {
	MaxDelay    time.Duration // of a pause between two tries
	GiveUpAfter time.Duration // after it no other try begins; it does not end one
}

const (
	// maxTries is what Oathkeeper does: one try and four more.
	maxTries = 5
	// firstDelay is before the second try, give or take a half. All tries share the time of one call, so the
	// first pauses must be short.
	firstDelay = 20 * time.Millisecond
)

// RetryConfig is Oathkeeper's configuration of it, with the defaults of its schema.
type RetryConfig struct {
	MaxDelay    string `json:"max_delay"`
	GiveUpAfter string `json:"give_up_after"`
}

// Parse returns nil for nil: without the key nothing is tried again.
func (c *RetryConfig) Parse() (*Retry, error) {
	if c == nil {
		return nil, nil
	}
	out := &Retry{MaxDelay: 100 * time.Millisecond, GiveUpAfter: time.Second}
	var problems []error
	for _, key := range []struct {
		name, text string
		value      *time.Duration
	}{{"retry.max_delay", c.MaxDelay, &out.MaxDelay}, {"retry.give_up_after", c.GiveUpAfter, &out.GiveUpAfter}} {
		if key.text == "" {
			continue
		}
		duration, err := time.ParseDuration(key.text)
		if err != nil || duration < 0 {
			problems = append(problems, fmt.Errorf("%s: %q is not a duration", key.name, key.text))
		}
		*key.value = duration
	}
	return out, errors.Join(problems...)
}

// errAgain marks an answer after which the server is asked again.
var errAgain = errors.New("the server is in trouble")

// DoAgain is Do, with more tries while the server cannot be reached or answers with a 5xx. All of them together
// take no longer than the timeout of one call, so that a try that is not answered in time was the last. The last
// answer is returned whatever its status is.
func (c *Client) DoAgain(ctx context.Context, r *http.Request, retry *Retry) (*Response, error) {
	if retry == nil {
		return c.Do(ctx, r)
	}
	whole := min(retry.GiveUpAfter, c.timeout)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if deadline, set := ctx.Deadline(); set {
		whole = min(whole, time.Until(deadline))
	}
	if whole <= 0 { // MaxElapsedTime takes 0 for no limit
		return c.Do(ctx, r)
	}
	pause := backoff.NewExponentialBackOff() // with jitter: what failed together must not come back together
	pause.InitialInterval, pause.MaxInterval = min(firstDelay, retry.MaxDelay), retry.MaxDelay

	var last error
	answer, err := backoff.Retry(ctx, func() (*Response, error) {
		var answer *Response
		answer, last = c.try(ctx, r)
		switch {
		case last == nil && answer.Status >= 500 && answer.Status != http.StatusNotImplemented:
			return answer, errAgain
		case last != nil && !unreached(last):
			return nil, backoff.Permanent(last)
		}
		return answer, last
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(maxTries), backoff.WithMaxElapsedTime(whole))
	if answer != nil {
		return answer, nil // also with errAgain, or when the time was over in a pause
	}
	if last != nil {
		return nil, last
	}
	return nil, err
}

// try asks with a body of its own: sending one uses it up.
func (c *Client) try(ctx context.Context, r *http.Request) (*Response, error) {
	again := r.Clone(ctx)
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
	}
	return c.Do(ctx, again)
}

// unreached tells that another try may get an answer: the connection failed, while there is time left.
func unreached(err error) bool {
	return !errors.Is(err, ErrOpen) && !errors.Is(err, errTooLarge) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}
