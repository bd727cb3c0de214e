// Package revocation knows what was taken away before it expired. It follows a feed, or reads a file, and
// answers from memory whether what a caller showed still counts.
//
// It must never forget a revocation before its time, nor pass for up to date when it cannot know: whoever
// asks is told that the list is stale, and decides. docs/revocation-feed.md is the contract with who publishes.
package revocation

import (
	"errors"
	"sync"
	"time"
)

// Why Check refuses.
var (
	ErrRevoked = errors.New("the credential was revoked")
	// ErrStale is an outage, not a decision about the caller.
	ErrStale = errors.New("the revocation list is stale")
)

// errFull stops the follower where it is: to drop an entry would give back what was taken away.
var errFull = errors.New("more entries than revocation.max_entries")

// sweepInterval is how often expired entries are looked for. They stop counting by themselves.
const sweepInterval = time.Minute

// Facts are what is known of a caller. Empty ones match nothing.
type Facts struct {
	Subject string
	Session string
	Client  string
	TokenID string
	KeyID   string
	// IssuedAt is zero when unknown, and then an entry counts whatever its NotBefore is.
	IssuedAt time.Time
	// Offline says that nobody else was asked about the credential.
	Offline bool
}

// List is what is revoked now. A nil List revokes nothing and is never stale: there is no feed.
// Safe for concurrent use.
type List struct {
	now          func() time.Time
	limit        int
	maxStaleness time.Duration
	allowStale   bool

	mu          sync.RWMutex
	entries     *entries
	contact     time.Time // when the answer that was the feed's end was asked for; zero while behind
	swept       time.Time
	subscribers []func(Entry)
}

// NewList returns an empty list, which is stale until a Follower has read its source to the end.
// It is nil when the settings name no source.
func NewList(s Settings, now func() time.Time) *List {
	if !s.Enabled() {
		return nil
	}
	return &List{
		now: now, limit: s.MaxEntries, maxStaleness: s.MaxStaleness, allowStale: s.WhenStale == Allow,
		entries: newEntries(), swept: now(),
	}
}

// Check returns nil, ErrRevoked or ErrStale. Staleness matters to an offline credential only, and only if
// the settings do not accept it: others were just confirmed by who issued them.
func (l *List) Check(f Facts) error {
	switch {
	case l.Revoked(f):
		return ErrRevoked
	case f.Offline && l.Stale() && !l.allowStale:
		return ErrStale
	default:
		return nil
	}
}

// Revoked tells whether any of the facts was revoked.
func (l *List) Revoked(f Facts) bool {
	if l == nil {
		return false
	}
	now := l.now()
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.entries.match(Subject, f.Subject, f.IssuedAt, now) ||
		l.entries.match(Session, f.Session, f.IssuedAt, now) ||
		l.entries.match(Client, f.Client, f.IssuedAt, now) ||
		l.entries.match(Token, f.TokenID, f.IssuedAt, now) ||
		l.entries.match(Key, f.KeyID, f.IssuedAt, now)
}

// Stale tells whether a revocation may exist that the list does not have: its end was never read, or too long ago.
func (l *List) Stale() bool {
	if l == nil {
		return false
	}
	contact := l.lastContact()
	return contact.IsZero() || l.now().Sub(contact) > l.maxStaleness
}

// Subscribe calls f for each entry that becomes known from now on, after it counts. f must not block.
func (l *List) Subscribe(f func(Entry)) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subscribers = append(l.subscribers, f)
}

func (l *List) lastContact() time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.contact
}

func (l *List) size() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.entries.size
}

// apply takes a page in. asked is when it was asked for: what was published later need not be in it.
func (l *List) apply(p page, asked time.Time) error {
	fresh, subscribers, err := l.merge(p, asked)
	for _, entry := range fresh {
		for _, tell := range subscribers {
			tell(entry)
		}
	}
	return err
}

func (l *List) merge(p page, asked time.Time) (fresh []Entry, subscribers []func(Entry), err error) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) >= sweepInterval || l.entries.size+len(p.Entries) > l.limit {
		l.entries.sweep(now)
		l.swept = now
	}
	into := l.entries
	if p.whole {
		into = newEntries()
	}
	for _, entry := range p.Entries {
		if !entry.Expires.After(now) || into.covers(entry) {
			continue
		}
		if into.size == l.limit {
			l.contact = time.Time{}
			if p.whole { // the one before stays
				fresh = nil
			}
			return fresh, l.subscribers, errFull
		}
		if !l.entries.covers(entry) {
			fresh = append(fresh, entry)
		}
		into.add(entry)
	}
	l.entries = into
	if !p.More {
		l.contact = asked
	}
	return fresh, l.subscribers, nil
}

// lostPlace makes the list stale until the feed has been read to its end again. What is known stays.
func (l *List) lostPlace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.contact = time.Time{}
}
