package cache

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

// Unbounded is what a question answers that knows no end of its answer: the look-up's own bound holds.
const Unbounded = time.Duration(math.MaxInt64)

// Lookup asks other servers, one question of a kind at a time, and keeps their answers. A nil Lookup
// asks every time. Safe for concurrent use.
type Lookup[V any] struct {
	options Options
	found   *Cache[V]
	// refused is apart from found, so that made-up credentials cannot drive good ones out.
	refused *Cache[error]
	running singleflight.Group
}

// Options bound a Lookup.
type Options struct {
	Name       string // of its metrics; refusals are counted under Name + "_refused"
	MaxEntries int    // of answers, and as many of refusals
	// TTL and RefusedTTL bound what is kept, from when it was asked for: the answer may have changed since. With a TTL of 0 nothing is, and only questions asked at
	// one time share an answer.
	TTL        time.Duration
	RefusedTTL time.Duration
	// Timeout bounds a question. It belongs to the question and not to a caller: whoever asked first may
	// go away while others wait for the same answer.
	Timeout time.Duration
	// Stale, if set, tells that what is kept may have been taken away unnoticed: then everything is asked.
	Stale func() bool
	Now   func() time.Time
}

// NewLookup returns a look-up that knows nothing yet.
func NewLookup[V any](o Options) *Lookup[V] {
	l := &Lookup[V]{options: o}
	if o.MaxEntries > 0 && o.TTL > 0 {
		l.found = New[V](o.Name, o.MaxEntries, o.Now)
	}
	if l.found != nil && o.RefusedTTL > 0 {
		l.refused = New[error](o.Name+"_refused", o.MaxEntries, o.Now)
	}
	return l
}

// Keeps tells whether the next caller with the same key may get the same answer for this long.
func (l *Lookup[V]) Keeps(holds time.Duration) bool { return l != nil && l.found != nil && holds > 0 }

// Ask finds something out. The duration is how long the answer holds at most: of a value, or of an error
// that is a believable refusal. It must be 0 for an error that only says that nothing was found out.
type Ask[V any] func(context.Context) (V, time.Duration, error)

// Do returns what is kept under key, or asks. Of callers that come with the same key while a question is
// under way, all get its answer; one that stops waiting stops nobody else.
func (l *Lookup[V]) Do(ctx context.Context, key Key, ask Ask[V]) (V, error) {
	if l == nil {
		value, _, err := ask(ctx)
		return value, err
	}
	var none V
	if l.options.Stale == nil || !l.options.Stale() {
		if value, kept := l.found.Get(key); kept {
			Note(ctx, true)
			return value, nil
		}
		if refusal, kept := l.refused.Get(key); kept {
			Note(ctx, true)
			return none, refusal
		}
	}
	Note(ctx, false)
	answered := l.running.DoChan(string(key[:]), func() (any, error) {
		// Request id and trace of the first caller travel on; its deadline and its going away do not.
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.options.Timeout)
		defer cancel()
		return l.ask(detached, key, ask)
	})
	select {
	case answer := <-answered:
		if answer.Err != nil {
			return none, answer.Err
		}
		return answer.Val.(V), nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (l *Lookup[V]) ask(ctx context.Context, key Key, ask Ask[V]) (value V, err error) {
	// This runs outside of any request, where a panic would end the process.
	defer func() {
		if recovered := recover(); recovered != nil {
			err = fmt.Errorf("panic of type %T: %s", recovered, debug.Stack()) // the value may quote the request
		}
	}()
	asked := l.options.Now()
	value, holds, err := ask(ctx)
	spent := l.options.Now().Sub(asked)
	if err != nil {
		l.refused.Set(key, err, min(holds, l.options.RefusedTTL)-spent)
		return value, err
	}
	l.found.Set(key, value, min(holds, l.options.TTL)-spent)
	return value, nil
}

// Collectors are its metrics.
func (l *Lookup[V]) Collectors() []prometheus.Collector {
	if l == nil || l.found == nil {
		return nil
	}
	if l.refused == nil {
		return []prometheus.Collector{l.found}
	}
	return []prometheus.Collector{l.found, l.refused}
}
