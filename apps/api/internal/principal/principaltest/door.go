// Package principaltest stands in for the door in tests: it signs identity tokens and publishes its keys.
package principaltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
)

// What the door's tokens say unless a test says otherwise.
const (
	Issuer   = "http://localhost:8080/.well-known/gatehouse"
	Audience = "gatehouse-api"
)

// Door publishes keys at URL.
type Door struct {
	URL string

	mu      sync.Mutex
	keys    map[string]*ecdsa.PrivateKey
	down    bool
	fetches int
}

// NewDoor returns a door with one key, "first".
func NewDoor(t *testing.T) *Door {
	t.Helper()
	d := &Door{keys: map[string]*ecdsa.PrivateKey{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.URL = server.URL
	d.Rotate(t, "first")
	return d
}

// NewKey makes a P-256 key.
func NewKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// Rotate makes a new key the only one that is published.
func (d *Door) Rotate(t *testing.T, id string) {
	t.Helper()
	key := NewKey(t)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = map[string]*ecdsa.PrivateKey{id: key}
}

// SetDown makes the door stop publishing, or begin again.
func (d *Door) SetDown(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
}

// Fetches tells how often the keys were asked for.
func (d *Door) Fetches() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fetches
}

// Key returns a private key.
func (d *Door) Key(id string) *ecdsa.PrivateKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keys[id]
}

// ServeHTTP publishes the keys.
func (d *Door) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fetches++
	if d.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var set jose.JSONWebKeySet
	for id, key := range d.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &key.PublicKey, KeyID: id, Use: "sig", Algorithm: string(jose.ES256)})
	}
	_ = json.NewEncoder(w).Encode(set)
}

// Claims of a token.
type Claims map[string]any

// With returns the claims with others on top; nil takes a claim away.
func (c Claims) With(others Claims) Claims {
	out := Claims{}
	for _, claims := range []Claims{c, others} {
		for name, value := range claims {
			out[name] = value
			if value == nil {
				delete(out, name)
			}
		}
	}
	return out
}

// Session are the claims of a person's session.
func Session(subject, email string, now time.Time) Claims {
	return registered(subject, now).With(Claims{
		"type": "user", "auth": "session", "sid": "session-1", "aal": "aal1", "email": email, "email_verified": true,
		"client_id": "", "scope": "",
	})
}

// Token are the claims of an access token.
func Token(subject, client, scope string, now time.Time) Claims {
	kind := "user"
	if subject == client {
		kind = "client"
	}
	return registered(subject, now).With(Claims{"type": kind, "auth": "oauth2", "client_id": client, "scope": scope})
}

func registered(subject string, now time.Time) Claims {
	return Claims{
		"iss": Issuer, "aud": []string{Audience}, "sub": subject,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

// Sign makes a token with the published key of that id.
func (d *Door) Sign(t *testing.T, id string, claims Claims) string {
	t.Helper()
	return Sign(t, jose.ES256, d.Key(id), id, claims)
}

// Sign makes a token with any key.
func Sign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, id string, claims Claims) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if id != "" {
		options = options.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	require.NoError(t, err)
	token, err := jwt.Signed(signer).Claims(map[string]any(claims)).Serialize()
	require.NoError(t, err)
	return token
}
