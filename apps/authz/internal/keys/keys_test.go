package keys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gatehouse.internal/authz/internal/keys"
)

func key(t *testing.T, kid string) jose.JSONWebKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "ES256", Use: "sig"}
}

func document(t *testing.T, list ...jose.JSONWebKey) []byte {
	t.Helper()
	out, err := json.Marshal(jose.JSONWebKeySet{Keys: list})
	require.NoError(t, err)
	return out
}

// issuer is a key set whose answers and clock the test controls.
type issuer struct {
	mu      sync.Mutex
	body    []byte
	err     error
	fetches atomic.Int32
	clock   time.Time
}

func (i *issuer) publish(body []byte, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.body, i.err = body, err
}

func (i *issuer) fetch(context.Context, string) ([]byte, error) {
	i.fetches.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.body, i.err
}

func (i *issuer) now() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.clock
}

func (i *issuer) pass(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.clock = i.clock.Add(d)
}

var policy = keys.Policy{TTL: 30 * time.Second, MaxWait: 10 * time.Second}

const at = "http://issuer/jwks.json"

func newIssuer(body []byte) (*issuer, *keys.Store) {
	i := &issuer{body: body, clock: time.Unix(1_000_000, 0)}
	return i, keys.NewStore(i.fetch, i.now)
}

func find(t *testing.T, s *keys.Store, kid string) error {
	t.Helper()
	found, err := s.Find(t.Context(), []string{at}, kid, policy)
	if err == nil {
		require.NotEmpty(t, found)
		for _, k := range found {
			require.Equal(t, kid, k.KeyID)
			require.True(t, k.IsPublic())
		}
	}
	return err
}

func TestKeyIsFetchedOnceAndKept(t *testing.T) {
	i, s := newIssuer(document(t, key(t, "a"), key(t, "b")))
	for range 5 {
		require.NoError(t, find(t, s, "a"))
		require.NoError(t, find(t, s, "b"))
	}
	require.EqualValues(t, 1, i.fetches.Load())
}

func TestUnknownKeyIsFetchedForAtALimitedRate(t *testing.T) {
	i, s := newIssuer(document(t, key(t, "a")))
	require.NoError(t, find(t, s, "a"))
	for range 100 {
		require.ErrorIs(t, find(t, s, "made-up"), keys.ErrUnknownKey)
	}
	require.EqualValues(t, 1, i.fetches.Load(), "the set was fetched a moment ago")

	i.pass(6 * time.Second)
	for range 100 {
		require.ErrorIs(t, find(t, s, "made-up"), keys.ErrUnknownKey)
	}
	require.EqualValues(t, 2, i.fetches.Load())
}

func TestNewKeyIsFoundWithoutWaitingForTheTTL(t *testing.T) {
	i, s := newIssuer(document(t, key(t, "a")))
	require.NoError(t, find(t, s, "a"))
	i.publish(document(t, key(t, "a"), key(t, "b")), nil)
	i.pass(6 * time.Second)
	require.NoError(t, find(t, s, "b"))
}

func TestRemovedKeyStopsBeingGood(t *testing.T) { // MicahParks/jwkset GHSA-675f-rq2r-jw82
	i, s := newIssuer(document(t, key(t, "a"), key(t, "b")))
	require.NoError(t, find(t, s, "b"))
	i.publish(document(t, key(t, "a")), nil)
	i.pass(10 * policy.TTL)
	require.ErrorIs(t, find(t, s, "b"), keys.ErrUnknownKey)
}

func TestUnreachableIssuerIsAnOutageAndNotAnUnknownKey(t *testing.T) {
	i, s := newIssuer(nil)
	i.publish(nil, errors.New("connection refused"))
	for range 3 {
		err := find(t, s, "a")
		require.ErrorContains(t, err, "connection refused")
		require.NotErrorIs(t, err, keys.ErrUnknownKey)
	}
	require.EqualValues(t, 1, i.fetches.Load())

	i.publish(document(t, key(t, "a")), nil)
	i.pass(2 * time.Second)
	require.NoError(t, find(t, s, "a"))
}

func TestKnownKeysOutliveAnOutageButNotForEver(t *testing.T) {
	i, s := newIssuer(document(t, key(t, "a")))
	require.NoError(t, find(t, s, "a"))
	i.publish(nil, errors.New("down"))
	i.pass(30 * time.Minute)
	require.NoError(t, find(t, s, "a"))
	i.pass(6 * time.Second)
	require.ErrorContains(t, find(t, s, "other"), "down", "the unknown key may be in the set that cannot be read")
	i.pass(time.Hour)
	require.ErrorContains(t, find(t, s, "a"), "down")
}

func TestWaitingForAnIssuerIsBounded(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s := keys.NewStore(func(context.Context, string) ([]byte, error) { <-release; return nil, errors.New("late") }, time.Now)
	_, err := s.Find(t.Context(), []string{at}, "a", keys.Policy{TTL: time.Minute, MaxWait: time.Millisecond})
	require.ErrorContains(t, err, "not fetched in time")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Find(ctx, []string{at}, "a", policy)
	require.ErrorIs(t, err, context.Canceled)
}

func TestConcurrentRequestsShareOneFetch(t *testing.T) {
	i, s := newIssuer(document(t, key(t, "a")))
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			_, err := s.Find(context.Background(), []string{at}, "a", policy)
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.EqualValues(t, 1, i.fetches.Load())
}

func TestKeysOfTwoIssuersAreNotMixedUp(t *testing.T) { // Centrifugo CVE-2026-49998
	sets := map[string][]byte{"http://a": document(t, key(t, "same")), "http://b": document(t, key(t, "same"))}
	s := keys.NewStore(func(_ context.Context, location string) ([]byte, error) { return sets[location], nil }, time.Now)
	a, err := s.Find(t.Context(), []string{"http://a"}, "same", policy)
	require.NoError(t, err)
	b, err := s.Find(t.Context(), []string{"http://b"}, "same", policy)
	require.NoError(t, err)
	require.NotEqual(t, a[0].Key, b[0].Key)
	both, err := s.Find(t.Context(), []string{"http://a", "http://b"}, "same", policy)
	require.NoError(t, err)
	require.Len(t, both, 2)
}

func TestPasswordOfALocationIsNotLogged(t *testing.T) {
	_, s := newIssuer([]byte("<html>"))
	_, err := s.Find(t.Context(), []string{"http://user:hunter2@issuer/keys?token=hunter3"}, "a", policy)
	require.ErrorContains(t, err, "http://issuer/keys")
	require.NotContains(t, err.Error(), "hunter")
}

func TestOnlySigningKeysCount(t *testing.T) {
	noUse, encryption := key(t, "no-use"), key(t, "enc")
	noUse.Use, encryption.Use = "", "enc"
	symmetric := jose.JSONWebKey{Key: []byte("shared secret"), KeyID: "oct", Algorithm: "HS256", Use: "sig"}
	_, s := newIssuer(document(t, noUse, encryption, symmetric, key(t, "good")))
	require.NoError(t, find(t, s, "good"))
	for _, kid := range []string{"no-use", "enc", "oct"} {
		require.ErrorIs(t, find(t, s, kid), keys.ErrUnknownKey, kid)
	}
}

func TestUnknownKindOfKeyDoesNotHideTheOthers(t *testing.T) {
	good, err := json.Marshal(key(t, "good"))
	require.NoError(t, err)
	_, s := newIssuer([]byte(`{"keys":[{"kty":"FUTURE","kid":"x","use":"sig"},` + string(good) + `]}`))
	require.NoError(t, find(t, s, "good"))
}

func TestDocumentThatIsNoKeySetIsAnOutage(t *testing.T) {
	for _, body := range []string{"<html>", "{}", `{"keys":null}`} {
		_, s := newIssuer([]byte(body))
		require.ErrorContains(t, find(t, s, "a"), "Key Set", body)
	}
}

func TestSignedTokenIsVerifiedByThePublishedKey(t *testing.T) {
	private := key(t, "ours")
	signer, err := keys.NewSigner(document(t, private))
	require.NoError(t, err)
	signed, err := signer.Sign(jwt.MapClaims{"sub": "ann"})
	require.NoError(t, err)

	require.Len(t, signer.Public(), 1)
	published := signer.Public()[0]
	require.True(t, published.IsPublic())
	require.Equal(t, "sig", published.Use)
	token, err := jwt.Parse(signed, func(token *jwt.Token) (any, error) {
		require.Equal(t, "ours", token.Header["kid"])
		return published.Key, nil
	}, jwt.WithValidMethods([]string{"ES256"}))
	require.NoError(t, err)
	require.True(t, token.Valid)
}

func TestLastPrivateKeySignsAndAllArePublished(t *testing.T) {
	next, err := keys.NewSigner(document(t, key(t, "old"), key(t, "new")))
	require.NoError(t, err)
	signed, err := next.Sign(jwt.MapClaims{})
	require.NoError(t, err)
	token, _, err := jwt.NewParser().ParseUnverified(signed, jwt.MapClaims{})
	require.NoError(t, err)
	require.Equal(t, "new", token.Header["kid"])
	require.Len(t, next.Public(), 2)
	for _, published := range next.Public() {
		_, private := published.Key.(crypto.Signer)
		require.False(t, private)
	}
}

func TestUnfitSigningKeysAreRefused(t *testing.T) {
	private, noAlg, noID := key(t, "p"), key(t, "n"), key(t, "")
	noAlg.Algorithm = ""
	wrong := key(t, "w")
	wrong.Algorithm = "RS256"
	for name, body := range map[string][]byte{
		"not a set": []byte("secret-looking"), "empty": []byte(`{"keys":[]}`),
		"only public": document(t, private.Public()), "no alg": document(t, noAlg), "no kid": document(t, noID), "wrong alg": document(t, wrong),
		"symmetric":                       document(t, jose.JSONWebKey{Key: []byte("shared"), KeyID: "s", Algorithm: "HS256"}),
		"symmetric beside one that signs": document(t, jose.JSONWebKey{Key: []byte("shared"), KeyID: "s", Algorithm: "ES256"}, private),
	} {
		_, err := keys.NewSigner(body)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestIdentityOfASignerIsThatOfItsKeyAndAlgorithm(t *testing.T) {
	identity := func(list ...jose.JSONWebKey) string {
		signer, err := keys.NewSigner(document(t, list...))
		require.NoError(t, err)
		return signer.Identity()
	}
	one, same := key(t, "a"), key(t, "a")
	renamed := one
	renamed.KeyID = "b"
	require.Equal(t, identity(one), identity(key(t, "old"), one))
	require.NotEqual(t, identity(one), identity(same), "another key under the same id")
	require.NotEqual(t, identity(one), identity(renamed))

	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	rs := jose.JSONWebKey{Key: private, KeyID: "r", Algorithm: "RS256", Use: "sig"}
	ps := rs
	ps.Algorithm = "PS256"
	require.NotEqual(t, identity(rs), identity(ps))
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
