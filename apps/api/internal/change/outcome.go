package change

import (
	"context"

	"gatehouse.internal/api/internal/converge"
)

// Outcome is what the changes of one request leave for its answer.
type Outcome struct{ pending []converge.Mark }

// Pending is the Consistency-Token of what the index does not show yet, "" when it shows everything.
func (o *Outcome) Pending() string {
	if len(o.pending) == 0 {
		return ""
	}
	return converge.Encode(o.pending)
}

type outcomeKey struct{}

// Observe returns a context whose changes report to the outcome.
func Observe(ctx context.Context) (context.Context, *Outcome) {
	outcome := &Outcome{}
	return context.WithValue(ctx, outcomeKey{}, outcome), outcome
}

// outcomeOf is never nil: a change outside of a request reports to nobody.
func outcomeOf(ctx context.Context) *Outcome {
	if outcome, ok := ctx.Value(outcomeKey{}).(*Outcome); ok {
		return outcome
	}
	return &Outcome{}
}
