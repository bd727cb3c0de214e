//go:build soak

package soak

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// state is how Kratos and Hydra are.
type state int

const (
	sound state = iota
	slow
	// deaf servers take a question and do not answer.
	deaf
	broken
	// unknowing is what they do without their database: "no such session" and "not active", while not ready.
	unknowing
	// recovering servers know again, and do not say so yet.
	recovering
	absent
)

func (s state) String() string {
	return [...]string{"sound", "slow", "deaf", "broken", "unknowing", "recovering", "absent"}[s]
}

// fails tells that errors are to be expected.
func (s state) fails() bool { return s != sound && s != slow }

// servers stand in for Kratos and Hydra at once.
type servers struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu      sync.Mutex
	state   state
	changed chan struct{} // closed when the state is another
	// outages are from when to when the servers failed; the last one's end is zero while they do.
	outages [][2]time.Time
	ended   map[string]time.Time // sessions and tokens that were ended
}

func newServers(t *testing.T) *servers {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s := &servers{key: key, changed: make(chan struct{}), ended: map[string]time.Time{}}
	s.Server = httptest.NewServer(s)
	return s
}

func (s *servers) become(next state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case next.fails() && !s.state.fails():
		s.outages = append(s.outages, [2]time.Time{time.Now(), {}})
	case !next.fails() && s.state.fails():
		s.outages[len(s.outages)-1][1] = time.Now()
	}
	s.state = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// excused tells that a question of that time may have met an outage.
func (s *servers) excused(begin, end time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.outages, func(o [2]time.Time) bool {
		return !end.Before(o[0]) && (o[1].IsZero() || begin.Before(o[1].Add(calm)))
	})
}

func (s *servers) end(credential string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[credential] = time.Now()
}

// forget keeps the list of ended credentials short.
func (s *servers) forget(credential string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ended, credential)
}

func (s *servers) good(credential string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, over := s.ended[credential]
	return strings.HasPrefix(credential, "good-") && !over
}

func (s *servers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	state, changed := s.state, s.changed
	s.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/ready") && (state == unknowing || state == recovering) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	switch state {
	case slow:
		if !wait(r.Context(), 100*time.Millisecond, nil) {
			return
		}
	case deaf:
		wait(r.Context(), time.Minute, changed)
		panic(http.ErrAbortHandler)
	case absent:
		panic(http.ErrAbortHandler)
	case broken:
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/ready"):
	case r.URL.Path == "/keys":
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	case r.URL.Path == "/whoami":
		cookie, err := r.Cookie("session")
		if err != nil || state == unknowing || !s.good(cookie.Value) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, `{"active":true,"subject":%q}`, cookie.Value)
	case r.URL.Path == "/introspect":
		token := r.PostFormValue("token")
		if state == unknowing || !s.good(token) {
			_, _ = fmt.Fprint(w, `{"active":false}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"active":true,"sub":%q,"aud":"soak","client_id":"c"}`, token)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// wait returns false when ctx ends or something else happens first.
func wait(ctx context.Context, d time.Duration, otherwise <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-otherwise:
		return false
	case <-ctx.Done():
		return false
	}
}

// disturb leads the servers through all they can be.
func (r *run) disturb(ctx context.Context) {
	defer r.servers.become(sound)
	for {
		for _, next := range []state{slow, deaf, broken, unknowing, absent} {
			if !wait(ctx, period, nil) {
				return
			}
			r.servers.become(next)
			if !wait(ctx, period, nil) {
				return
			}
			if next == unknowing {
				// A server that is ready again has been answering again: who asks in between must not be told no.
				r.servers.become(recovering)
				if !wait(ctx, upstreamTime, nil) {
					return
				}
			}
			r.servers.become(sound)
		}
	}
}

// token signs a JWT as Hydra would.
func (s *servers) token(subject string, changes map[string]any) string {
	claims := jwt.MapClaims{"iss": "soak", "aud": "soak", "sub": subject, "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range changes {
		claims[name] = value
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = "k"
	signed, err := token.SignedString(s.key)
	if err != nil {
		panic(err)
	}
	return signed
}
