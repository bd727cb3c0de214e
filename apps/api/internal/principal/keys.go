package principal

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ErrUnknownKey says that the door publishes no such key.
var ErrUnknownKey = errors.New("unknown key")

const (
	// keysFresh is how long a set is used without looking again: the bound on a withdrawn key.
	keysFresh = time.Minute
	// keysUsable is how long the last good set serves while the door does not answer.
	keysUsable = 15 * time.Minute
	// keysInterval is the least time between two fetches. Tokens with invented key ids must not
	// become requests to the door.
	keysInterval = time.Second

	keysLimit = 1 << 20
)

// Keys are the door's public keys, fetched when needed. A fetched set replaces the one before: a key
// that is no longer published stops working.
type Keys struct {
	url     string
	client  *http.Client
	timeout time.Duration
	now     func() time.Time

	mu      sync.Mutex
	set     map[string]*ecdsa.PublicKey
	fetched time.Time // when set came
	tried   time.Time
	failure error // of the last try
	running *fetch
}

type fetch struct {
	done chan struct{}
	err  error
}

// NewKeys returns the keys published at url. A fetch takes at most timeout.
func NewKeys(url string, client *http.Client, timeout time.Duration, now func() time.Time) *Keys {
	return &Keys{url: url, client: client, timeout: timeout, now: now}
}

// Key returns the key with this id, ErrUnknownKey when the door does not publish it, and another error
// when that cannot be found out.
func (k *Keys) Key(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	k.mu.Lock()
	key, age := k.set[id], k.now().Sub(k.fetched)
	if key != nil && age < keysUsable {
		if age >= keysFresh {
			_ = k.start(ctx) // nobody waits for it: a good key is at hand
		}
		k.mu.Unlock()
		return key, nil
	}
	running := k.start(ctx)
	failure := k.failure
	k.mu.Unlock()

	if running != nil {
		select {
		case <-running.done:
			failure = running.err
		case <-ctx.Done():
			failure = ctx.Err()
		}
	}
	if failure != nil {
		return nil, fmt.Errorf("keys of the identity token: %w", failure)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.set[id]; key != nil {
		return key, nil
	}
	return nil, ErrUnknownKey
}

// start returns the fetch under way, begins one, or returns nil when the last one is too recent. The
// caller holds the lock. A fetch outlives the request that began it, since others may wait for it.
func (k *Keys) start(ctx context.Context) *fetch {
	if k.running != nil {
		return k.running
	}
	if !k.tried.IsZero() && k.now().Sub(k.tried) < keysInterval {
		return nil
	}
	k.tried = k.now()
	k.running = &fetch{done: make(chan struct{})}
	go k.run(context.WithoutCancel(ctx), k.running)
	return k.running
}

func (k *Keys) run(ctx context.Context, f *fetch) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	set, err := k.get(ctx)

	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.set, k.fetched = set, k.now()
	}
	f.err, k.failure, k.running = err, err, nil
	close(f.done)
}

func (k *Keys) get(ctx context.Context) (map[string]*ecdsa.PublicKey, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	response, err := k.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", k.url, response.Status)
	}
	var published jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(response.Body, keysLimit)).Decode(&published); err != nil {
		return nil, fmt.Errorf("%s: %w", k.url, err)
	}
	set := make(map[string]*ecdsa.PublicKey, len(published.Keys))
	for _, entry := range published.Keys {
		if key, ok := usable(entry); ok {
			set[entry.KeyID] = key
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%s publishes no ES256 key", k.url)
	}
	return set, nil
}

func usable(entry jose.JSONWebKey) (*ecdsa.PublicKey, bool) {
	key, ok := entry.Key.(*ecdsa.PublicKey)
	ok = ok && entry.KeyID != "" && key.Curve == elliptic.P256() &&
		(entry.Use == "" || entry.Use == "sig") &&
		(entry.Algorithm == "" || entry.Algorithm == string(jose.ES256))
	return key, ok
}
