package pipeline

import (
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// Known is what an authenticator found out about a credential. Requests that show the same credential share
// it for as long as the authenticator keeps it, so nobody may change what it holds.
type Known struct {
	Subject    string
	Extra      map[string]any
	Credential Credential

	// Memo is for the engine: what was made of this caller ends with what is known of it. It is nil if the
	// authenticator will have forgotten the caller when the next request comes.
	Memo *atomic.Value
}

// Keep allows for a Memo.
func (k *Known) Keep() { k.Memo = &atomic.Value{} }

// Introduce tells the session who is calling. Extra follows with Complete.
func (k *Known) Introduce(s *Session) {
	s.Subject, s.Credential, s.known = k.Subject, k.Credential, k
}

// KnownOf returns what the session's caller was introduced as, nil if by nobody. It is no
// method of Session, because templates can call those.
func KnownOf(s *Session) *Known { return s.known }

// Complete gives the session what the stages after the authenticators read. Extra is a copy, because
// templates have functions that change maps (sprig's set and merge) and must not change the next request's.
func Complete(s *Session, r *Request, captures []string) {
	if s.known != nil {
		s.Extra = clone(s.known.Extra)
	}
	s.Header = http.Header{}
	s.MatchContext = MatchContext{
		RegexpCaptureGroups: captures,
		URL:                 r.URL(),
		Method:              r.Method,
		Header:              r.Header,
	}
}

// GoodUntil notes that a header of the session may not be handed out any more at t.
func GoodUntil(s *Session, t time.Time) {
	if s.goodUntil.IsZero() || t.Before(s.goodUntil) {
		s.goodUntil = t
	}
}

// GoodUntilOf returns the earliest time of GoodUntil, zero if there is no such bound.
func GoodUntilOf(s *Session) time.Time { return s.goodUntil }

// clone copies what JSON decodes to, and the lists that authenticators make, to the bottom.
func clone(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[key] = cloneValue(value)
	}
	return out
}

func cloneValue(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return clone(value)
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = cloneValue(item)
		}
		return out
	case []string:
		return slices.Clone(value)
	default:
		return value
	}
}
