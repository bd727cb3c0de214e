package revocation

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"gatehouse.internal/libs/service"
)

const (
	// pollInterval is between two questions to a source that answers at once though it has nothing new.
	pollInterval = 500 * time.Millisecond
	minBackoff   = 250 * time.Millisecond
	maxBackoff   = 10 * time.Second
)

// Follower keeps a List up to date with its source.
type Follower struct {
	list   *List
	source source
	log    *slog.Logger

	cursor   string
	failures int  // since the last answer that was of use
	patient  bool // the end was reached: the next question may be kept open
}

// NewFollower returns a follower of the source that the settings name. failed is told of calls to a feed that
// got no usable answer, as upstream.Options.Failed is.
func NewFollower(s Settings, list *List, log *slog.Logger, failed func(origin, reason string)) (*Follower, error) {
	if s.File != "" {
		return &Follower{list: list, source: file(s.File), log: log}, nil
	}
	source, err := newFeed(s, failed)
	if err != nil {
		return nil, err
	}
	return &Follower{list: list, source: source, log: log}, nil
}

// CatchUp follows until the list is up to date, or until ctx ends. A service that does so before it serves
// does not begin with a stale list.
func (f *Follower) CatchUp(ctx context.Context) {
	for ctx.Err() == nil && f.list.Stale() {
		f.step(ctx)
	}
}

// Part runs the follower beside the other parts of the service.
func (f *Follower) Part() service.Part {
	ctx, cancel := context.WithCancel(context.Background())
	return service.Part{
		Name: "revocation",
		Serve: func() error {
			for ctx.Err() == nil {
				f.step(ctx)
			}
			return nil
		},
		Stop: func(context.Context) error { cancel(); return nil },
	}
}

// step takes in one page, and leaves the source alone for a while where there is a reason to.
func (f *Follower) step(ctx context.Context) {
	asked, patient := f.list.now(), f.patient
	moved, err := f.advance(ctx, asked)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.patient = false // once the source is back, learning where its end is must not take a long poll
		f.failures++
		f.log.Warn("revocation", "error", err, "failures", f.failures, "stale", f.list.Stale())
		wait(ctx, backoff(f.failures))
		return
	}
	if f.failures > 0 {
		f.failures = 0
		f.log.Info("revocation: the source answers again", "entries", f.list.size())
	}
	if patient && !moved && f.list.now().Sub(asked) < pollInterval {
		wait(ctx, pollInterval)
	}
}

// advance moves the cursor only past what the list has taken in.
func (f *Follower) advance(ctx context.Context, asked time.Time) (moved bool, err error) {
	p, err := f.source.next(ctx, f.cursor, f.patient)
	switch {
	case errors.Is(err, errGone):
		f.list.lostPlace()
		f.cursor = ""
		return false, err
	case err != nil:
		return false, err
	case p.More && p.Cursor == f.cursor:
		return false, errors.New("the feed has more and does not move on")
	}
	if err := f.list.apply(p, asked); err != nil {
		return false, err
	}
	moved = p.Cursor != f.cursor
	f.cursor, f.patient = p.Cursor, !p.More
	return moved, nil
}

// backoff doubles, with half of it left to chance: many of us lose the same feed at the same moment.
func backoff(failures int) time.Duration {
	full := min(minBackoff<<min(failures-1, 10), maxBackoff)
	return full/2 + rand.N(full/2) // #nosec G404 -- chance, not a secret
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
