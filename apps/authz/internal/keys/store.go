// Package keys holds the public keys of those whose tokens we check, and our own signing key.
package keys

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ErrUnknownKey says that a key set was read and holds no such key. It is the token's fault; any
// other error is an outage.
var ErrUnknownKey = errors.New("no key set holds the key")

const (
	// DefaultTTL is Oathkeeper's jwks_ttl.
	DefaultTTL = 30 * time.Second
	// DefaultMaxWait is Oathkeeper's jwks_max_wait.
	DefaultMaxWait = time.Second

	// minInterval is the least time between two fetches of one set. Without it, tokens with made-up
	// key ids would turn this service into an amplifier aimed at the issuer.
	minInterval = 5 * time.Second
	// retryInterval is minInterval after a failure.
	retryInterval = time.Second
	// waitAge, in TTLs, is the age at which a request waits for the fetch: after a quiet night a key
	// that was taken away hours ago must not be good for one more request.
	waitAge = 10
	// maxStale is how long keys are believed while their issuer cannot be reached.
	maxStale = time.Hour
	// FetchTimeout bounds a fetch; it belongs to the set, not to the request that began it. Hydra
	// takes two seconds for its first answer, because it makes its keys then.
	FetchTimeout = 5 * time.Second
)

// Fetch reads the document at a location. Its errors are logged.
type Fetch func(ctx context.Context, location string) ([]byte, error)

// Store keeps one set per location. A key is known by location and id together: two issuers may use
// the same id. Safe for concurrent use.
type Store struct {
	fetch Fetch
	now   func() time.Time

	mu   sync.Mutex
	sets map[string]*set
}

// NewStore returns an empty store.
func NewStore(fetch Fetch, now func() time.Time) *Store {
	return &Store{fetch: fetch, now: now, sets: map[string]*set{}}
}

// Policy is how fresh keys must be.
type Policy struct {
	// TTL is the age at which a set is fetched again, in the background.
	TTL time.Duration
	// MaxWait is how long a request waits for a fetch it needs.
	MaxWait time.Duration
}

// Find returns the signing keys of that id at any of the locations, ErrUnknownKey when all were read and
// have none, and another error when one could not be read.
func (s *Store) Find(ctx context.Context, locations []string, kid string, policy Policy) ([]jose.JSONWebKey, error) {
	var found []jose.JSONWebKey
	var problems []error
	for _, location := range locations {
		keys, err := s.at(location).find(ctx, kid, policy)
		if err != nil {
			problems = append(problems, fmt.Errorf("key set %s: %w", public(location), err))
			continue
		}
		found = append(found, keys...)
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(problems) > 0: // the key may be in the set that could not be read
		return nil, errors.Join(problems...)
	default:
		return nil, ErrUnknownKey
	}
}

// public is a location without its user, password and query, which may be secrets and would be logged.
func public(location string) string {
	parsed, err := url.Parse(location)
	if err != nil {
		return "(not a URL)"
	}
	return (&url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path}).String()
}

// Warm begins to fetch a set, so that the first request finds it there.
func (s *Store) Warm(location string) {
	held := s.at(location)
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.keys == nil {
		held.refresh(s.now())
	}
}

func (s *Store) at(location string) *set {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.sets[location]
	if held == nil {
		held = &set{store: s, location: location}
		s.sets[location] = held
	}
	return held
}

// set is the keys at one location. Each fetch replaces them whole, so a key that was taken away
// stops being good.
type set struct {
	store    *Store
	location string

	mu      sync.Mutex
	keys    map[string][]jose.JSONWebKey
	fetched time.Time     // of keys
	tried   time.Time     // of the last fetch, good or bad
	failure error         // of the last fetch
	pending chan struct{} // closed when the running fetch ends; nil when none runs
}

func (s *set) find(ctx context.Context, kid string, policy Policy) ([]jose.JSONWebKey, error) {
	now := s.store.now()

	s.mu.Lock()
	age := now.Sub(s.fetched)
	stale := s.keys[kid]
	if s.keys == nil || age >= maxStale {
		stale = nil
	}
	var wait chan struct{}
	if len(stale) == 0 || age >= policy.TTL {
		wait = s.refresh(now)
	}
	failure := s.failure
	s.mu.Unlock()

	if len(stale) > 0 && (age < waitAge*policy.TTL || wait == nil) {
		return stale, nil
	}
	if wait == nil { // fetched a moment ago, and not again now
		return nil, failure
	}
	keys, err := s.await(ctx, wait, kid, policy.MaxWait)
	if err != nil && len(stale) > 0 {
		return stale, nil
	}
	return keys, err
}

func (s *set) await(ctx context.Context, fetched <-chan struct{}, kid string, limit time.Duration) ([]jose.JSONWebKey, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-fetched:
	case <-timer.C:
		return nil, errors.New("not fetched in time")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return nil, s.failure
	}
	return s.keys[kid], nil
}

// refresh begins a fetch unless one runs or the last was too recent, and returns what to wait for.
// The caller holds the lock.
func (s *set) refresh(now time.Time) chan struct{} {
	if s.pending != nil {
		return s.pending
	}
	interval := minInterval
	if s.failure != nil {
		interval = retryInterval
	}
	if !s.tried.IsZero() && now.Sub(s.tried) < interval {
		return nil
	}
	done := make(chan struct{})
	s.pending, s.tried = done, now
	go s.fetch(done)
	return done
}

func (s *set) fetch(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), FetchTimeout)
	defer cancel()
	keys, err := s.read(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
	if err == nil {
		s.keys, s.fetched = keys, s.store.now()
	}
	s.pending = nil
	close(done)
}

func (s *set) read(ctx context.Context) (keys map[string][]jose.JSONWebKey, err error) {
	// A panic in a parser must not end the process: this runs outside of any request.
	defer func() {
		if recovered := recover(); recovered != nil {
			err = fmt.Errorf("panic: %v", recovered)
		}
	}()
	data, err := s.store.fetch(ctx, s.location)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// parse keeps the public signing keys. Keys of a kind we do not know are left out, not refused:
// an issuer may publish one for others.
func parse(data []byte) (map[string][]jose.JSONWebKey, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	if document.Keys == nil {
		return nil, errors.New(`not a JSON Web Key Set: no "keys"`)
	}
	keys := map[string][]jose.JSONWebKey{}
	for _, raw := range document.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) != nil || key.KeyID == "" || key.Use != "sig" {
			continue
		}
		if !key.IsPublic() {
			key = key.Public()
		}
		switch key.Key.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			keys[key.KeyID] = append(keys[key.KeyID], key)
		}
	}
	return keys, nil
}
