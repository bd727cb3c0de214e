package revocation

import (
	"slices"
	"time"
)

// Kind says what an Entry's ID names.
type Kind string

// The kinds of entries.
const (
	Subject Kind = "subject" // all that a person, or a client for itself, holds
	Session Kind = "session"
	Client  Kind = "client" // all that was issued to an OAuth2 client, whoever the subject is
	Token   Kind = "token"
	Key     Kind = "key" // an API key
)

func (k Kind) known() bool {
	return slices.Contains([]Kind{Subject, Session, Client, Token, Key}, k)
}

// Entry takes something away.
type Entry struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
	// NotBefore spares what was issued after it; zero spares nothing.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Expires is when the entry can be forgotten, because all that it takes away has ended by itself.
	Expires time.Time `json:"expires"`
}

// entries is a set of Entry. Its state depends on what was added and on the time, not on the order or on
// how often: an entry stays until it expires or another of its name says at least as much.
type entries struct {
	spans map[name][]span
	size  int // number of spans
}

type name struct {
	kind Kind
	id   string
}

type span struct{ notBefore, expires time.Time }

func newEntries() *entries { return &entries{spans: map[name][]span{}} }

// includes tells whether s takes away all that other does, for as long.
func (s span) includes(other span) bool {
	return !s.expires.Before(other.expires) && s.reaches(other.notBefore)
}

// reaches tells whether what was issued at t is taken away. An unknown t is the zero time, as is the
// NotBefore that spares nothing.
func (s span) reaches(t time.Time) bool {
	return s.notBefore.IsZero() || (!t.IsZero() && !t.After(s.notBefore))
}

func (e *entries) add(entry Entry) {
	if e.covers(entry) {
		return
	}
	at, added := name{entry.Kind, entry.ID}, span{entry.NotBefore, entry.Expires}
	held := e.spans[at]
	kept := slices.DeleteFunc(held, added.includes)
	e.size += len(kept) + 1 - len(held)
	e.spans[at] = append(kept, added)
}

// covers tells whether adding the entry would change nothing.
func (e *entries) covers(entry Entry) bool {
	wanted := span{entry.NotBefore, entry.Expires}
	return slices.ContainsFunc(e.spans[name{entry.Kind, entry.ID}], func(s span) bool { return s.includes(wanted) })
}

func (e *entries) match(kind Kind, id string, issued, now time.Time) bool {
	return slices.ContainsFunc(e.spans[name{kind, id}], func(s span) bool {
		return now.Before(s.expires) && (issued.IsZero() || s.reaches(issued))
	})
}

// sweep drops what has expired.
func (e *entries) sweep(now time.Time) {
	expired := func(s span) bool { return !now.Before(s.expires) }
	for at, held := range e.spans {
		if !slices.ContainsFunc(held, expired) {
			continue
		}
		kept := slices.DeleteFunc(held, expired)
		e.size -= len(held) - len(kept)
		if len(kept) == 0 {
			delete(e.spans, at)
		} else {
			e.spans[at] = kept
		}
	}
}
