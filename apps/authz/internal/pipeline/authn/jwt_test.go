package authn_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
)

const jwks = "http://hydra/.well-known/jwks.json"

func jwtConfig(more map[string]any) map[string]any {
	config := map[string]any{
		"jwks_urls": []any{jwks}, "target_audience": []any{"https://api.example/api"}, "trusted_issuers": []any{"https://issuer"},
		"allowed_algorithms": []any{"RS256", "ES256"},
	}
	for key, value := range more {
		config[key] = value
	}
	return config
}

func claims(change map[string]any) jwt.MapClaims {
	out := jwt.MapClaims{
		"sub": "u-1", "iss": "https://issuer", "aud": []string{"https://api.example/api", "other"}, "client_id": "c-1",
		"exp": now.Unix() + 60, "iat": now.Unix(), "nbf": now.Unix(), "scp": []string{"read", "write"},
	}
	for key, value := range change {
		if value == nil {
			delete(out, key)
		} else {
			out[key] = value
		}
	}
	return out
}

func sign(t testing.TB, key jose.JSONWebKey, method jwt.SigningMethod, c jwt.MapClaims, header map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	token.Header["kid"] = key.KeyID
	for name, value := range header {
		if value == nil {
			delete(token.Header, name)
		} else {
			token.Header[name] = value
		}
	}
	signed, err := token.SignedString(key.Key)
	require.NoError(t, err)
	return signed
}

func rsaKey(t *testing.T, kid string) jose.JSONWebKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "RS256", Use: "sig"}
}

func TestVerifiedClaimsBecomeTheSession(t *testing.T) {
	w := newWorld(t)
	es, rs := newKey(t, "es"), rsaKey(t, "rs")
	w.publish(jwks, es, rs)
	a := w.build("jwt", jwtConfig(nil))
	for _, token := range []string{
		sign(t, es, jwt.SigningMethodES256, claims(nil), nil), sign(t, rs, jwt.SigningMethodRS256, claims(nil), nil),
	} {
		session, err := authenticate(t, a, request(bearer(token)))
		require.NoError(t, err)
		require.Equal(t, "u-1", session.Subject)
		require.Equal(t, "c-1", session.Extra["client_id"])
		require.Equal(t, []string{"read", "write"}, session.Extra["scp"])
	}
}

func TestEdDSAAndTheLargerCurvesAreAcceptedWhereAllowed(t *testing.T) { // ory/oathkeeper#1203
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)
	for algorithm, private := range map[string]any{"EdDSA": ed, "ES256": newKey(t, "k").Key, "ES384": p384, "ES512": p521} {
		w := newKeepingWorld(t)
		key := jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: algorithm, Use: "sig"}
		w.publish(jwks, key)
		token := request(bearer(sign(t, key, jwt.GetSigningMethod(algorithm), claims(nil), nil)))
		for range 2 {
			_, err = authenticate(t, w.build("jwt", jwtConfig(map[string]any{"allowed_algorithms": []any{algorithm}})), token)
			require.NoError(t, err, algorithm)
			_, err = authenticate(t, w.build("jwt", jwtConfig(map[string]any{"allowed_algorithms": []any{"RS256"}})), token)
			requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
		}
	}
}

func TestScopesAreNormalisedToTheListScp(t *testing.T) {
	w := newWorld(t)
	key := newKey(t, "k")
	w.publish(jwks, key)
	a := w.build("jwt", jwtConfig(nil))
	for _, change := range []map[string]any{
		{"scp": "read  write"}, {"scp": nil, "scope": "read write"}, {"scp": nil, "scopes": []string{"read", "write"}},
	} {
		session, err := authenticate(t, a, request(bearer(sign(t, key, jwt.SigningMethodES256, claims(change), nil))))
		require.NoError(t, err)
		require.Equal(t, []string{"read", "write"}, session.Extra["scp"])
		require.NotContains(t, session.Extra, "scope")
		require.NotContains(t, session.Extra, "scopes")
	}
	session, err := authenticate(t, a, request(bearer(sign(t, key, jwt.SigningMethodES256, claims(map[string]any{"scp": nil}), nil))))
	require.NoError(t, err)
	require.Equal(t, []string{}, session.Extra["scp"])
}

func TestOpaqueTokensAreNotTheirs(t *testing.T) {
	a := newWorld(t).build("jwt", jwtConfig(nil))
	for _, header := range []http.Header{nil, bearer("ory_at_x.y"), bearer("a.b.c.d"), {"Authorization": {"Basic a.b.c"}}} {
		_, err := authenticate(t, a, request(header))
		require.ErrorIs(t, err, pipeline.ErrNotResponsible)
	}
}

func TestTokenThatMustNotPassIsUnauthenticated(t *testing.T) {
	w := newWorld(t)
	good, published, rs := newKey(t, "good"), newKey(t, "enc"), rsaKey(t, "rs")
	published.Use = "enc"
	w.publish(jwks, good, published, rs)
	es := jwt.SigningMethodES256
	other := newKey(t, "good") // the same id, another key
	publicPEM := rs.Key.(*rsa.PrivateKey).N.Bytes()
	ps := rs
	ps.Algorithm = "PS256"

	for name, token := range map[string]string{
		"ID token (audience is the client)":  sign(t, good, es, claims(map[string]any{"aud": "c-1"}), nil),
		"no audience":                        sign(t, good, es, claims(map[string]any{"aud": nil}), nil),
		"another audience":                   sign(t, good, es, claims(map[string]any{"aud": []string{"https://api.example/api/"}}), nil),
		"malformed audience":                 sign(t, good, es, claims(map[string]any{"aud": 7}), nil),
		"another issuer":                     sign(t, good, es, claims(map[string]any{"iss": "https://issuer/"}), nil),
		"expired":                            sign(t, good, es, claims(map[string]any{"exp": now.Unix() - 1}), nil),
		"no exp":                             sign(t, good, es, claims(map[string]any{"exp": nil}), nil),
		"issued in the future":               sign(t, good, es, claims(map[string]any{"iat": now.Unix() + 60}), nil),
		"not yet valid":                      sign(t, good, es, claims(map[string]any{"nbf": now.Unix() + 60}), nil),
		"no kid":                             sign(t, good, es, claims(nil), map[string]any{"kid": nil}),
		"unknown kid":                        sign(t, newKey(t, "unknown"), es, claims(nil), nil),
		"critical extension":                 sign(t, good, es, claims(nil), map[string]any{"crit": []string{"b64"}}),
		"another key's signature":            sign(t, other, es, claims(nil), nil),
		"a key that is not for signing":      sign(t, published, es, claims(nil), nil),
		"alg none":                           sign(t, jose.JSONWebKey{Key: jwt.UnsafeAllowNoneSignatureType, KeyID: "good"}, jwt.SigningMethodNone, claims(nil), nil),
		"alg HS256 with the public key":      sign(t, jose.JSONWebKey{Key: publicPEM, KeyID: "rs"}, jwt.SigningMethodHS256, claims(nil), nil),
		"alg that is not allowed":            sign(t, ps, jwt.SigningMethodPS256, claims(nil), nil),
		"alg of another key":                 sign(t, jose.JSONWebKey{Key: good.Key, KeyID: "rs"}, es, claims(nil), nil),
		"exp is text":                        sign(t, good, es, claims(map[string]any{"exp": "1800000060"}), nil),
		"exp is null":                        sign(t, good, es, jwt.MapClaims{"exp": nil, "sub": "u-1", "iss": "https://issuer", "aud": "https://api.example/api"}, nil),
		"exp is a list":                      sign(t, good, es, claims(map[string]any{"exp": []int{1_800_000_060}}), nil),
		"nbf is text":                        sign(t, good, es, claims(map[string]any{"nbf": "soon"}), nil),
		"audience is a list of other things": sign(t, good, es, claims(map[string]any{"aud": []any{7, "https://api.example/api"}}), nil),
		"issuer is a list":                   sign(t, good, es, claims(map[string]any{"iss": []string{"https://issuer"}}), nil),
		"kid is a list":                      sign(t, good, es, claims(nil), map[string]any{"kid": []string{"good"}}),
		"a key of its own in the header":     sign(t, other, es, claims(nil), map[string]any{"jwk": other.Public(), "jku": "http://evil", "x5u": "http://evil"}),
		"far too deep":                       base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("[", 30_000))) + ".e30.x",
		"garbage":                            "a.b.c",
		"empty parts":                        "..",
	} {
		session, err := authenticate(t, w.build("jwt", jwtConfig(nil)), request(bearer(token)))
		require.Error(t, err, name)
		denial := requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
		require.NotContains(t, denial.Error(), token, name)
		require.Empty(t, session.Subject, name)
	}
}

func TestOnlyRS256IsAllowedUnlessTheRuleSaysMore(t *testing.T) {
	w := newWorld(t)
	es, rs := newKey(t, "es"), rsaKey(t, "rs")
	w.publish(jwks, es, rs)
	a := w.build("jwt", map[string]any{"jwks_urls": []any{jwks}})
	_, err := authenticate(t, a, request(bearer(sign(t, rs, jwt.SigningMethodRS256, claims(nil), nil))))
	require.NoError(t, err)
	_, err = authenticate(t, a, request(bearer(sign(t, es, jwt.SigningMethodES256, claims(nil), nil))))
	requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	require.Contains(t, w.warnings[0], "target_audience")
}

func TestUnreachableKeysAreAnOutage(t *testing.T) {
	w := newWorld(t)
	w.keys[jwks] = func() ([]byte, error) { return nil, errors.New("connection refused") }
	_, err := authenticate(t, w.build("jwt", jwtConfig(nil)), request(bearer(sign(t, newKey(t, "k"), jwt.SigningMethodES256, claims(nil), nil))))
	requireOutage(t, err)
}

func TestEveryRequiredScopeMustBeGranted(t *testing.T) {
	w := newWorld(t)
	key := newKey(t, "k")
	w.publish(jwks, key)
	token := bearer(sign(t, key, jwt.SigningMethodES256, claims(nil), nil))
	_, err := authenticate(t, w.build("jwt", jwtConfig(map[string]any{"scope_strategy": "exact", "required_scope": []any{"read", "write"}})), request(token))
	require.NoError(t, err)
	_, err = authenticate(t, w.build("jwt", jwtConfig(map[string]any{"scope_strategy": "exact", "required_scope": []any{"read", "admin"}})), request(token))
	requireDenied(t, err, http.StatusUnauthorized, pipeline.CodeUnauthenticated)
}

func TestTwoIssuersMayUseTheSameKeyID(t *testing.T) {
	w := newWorld(t)
	first, second := newKey(t, "same"), newKey(t, "same")
	w.publish(jwks, first)
	w.publish("http://second", second)
	a := w.build("jwt", jwtConfig(map[string]any{"jwks_urls": []any{jwks, "http://second"}, "trusted_issuers": []any{"https://issuer", "https://second"}}))
	require.Contains(t, w.warnings[0], "any issuer", "the first can sign in the name of the second")
	for _, key := range []jose.JSONWebKey{first, second} {
		_, isPrivate := key.Key.(crypto.Signer)
		require.True(t, isPrivate)
		_, err := authenticate(t, a, request(bearer(sign(t, key, jwt.SigningMethodES256, claims(nil), nil))))
		require.NoError(t, err)
	}
}

// No change to any byte of a good token leaves a good token, except in bits that base64 ignores. That the good
// one is kept changes nothing.
func FuzzChangedTokenIsRefused(f *testing.F) {
	w := newKeepingWorld(f)
	key := newKey(f, "k")
	w.publish(jwks, key)
	a := w.build("jwt", jwtConfig(nil))
	good := sign(f, key, jwt.SigningMethodES256, claims(nil), nil)
	kept := request(bearer(good))
	require.NoError(f, a.Authenticate(f.Context(), kept, pipeline.NewSession(kept, nil)))
	for i := range 20 {
		f.Add(i*17, byte(i))
	}
	f.Fuzz(func(t *testing.T, at int, to byte) {
		changed := []byte(good)
		changed[uint(at)%uint(len(changed))] = to // #nosec G115 -- any index will do
		if string(changed) == good {
			return
		}
		_, err := authenticate(t, a, request(http.Header{"Authorization": {"Bearer " + string(changed)}}))
		if err == nil {
			// The last character of a 64 byte signature has bits to spare.
			require.Equal(t, good[:len(good)-1], string(changed[:len(good)-1]))
		}
	})
}

// Whatever is sent as a token: no panic, no session, and no error that repeats it.
func FuzzTextThatNobodySignedIsRefused(f *testing.F) {
	w := newKeepingWorld(f)
	key := newKey(f, "k")
	w.publish(jwks, key)
	a := w.build("jwt", jwtConfig(nil))
	for _, seed := range []string{
		"", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJub25lIiwia2lkIjoiayJ9.e30.", "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30.AAAA",
		"eyJhbGciOiJFUzI1NiIsImtpZCI6ImsiLCJjcml0IjpbIngiXX0.e30.", "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.eyJleHAiOjFlOTk5fQ.AA", "a.b.c.d", " a.b.c", "\xff.\xff.\xff",
		"eyJraWQiOlsxXX0.W10.", "eyJhbGciOiJFUzI1NiIsImtpZCI6Ilx1MDAwMCJ9.eyJhdWQiOjF9.AAAA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		session, err := authenticate(t, a, request(http.Header{"Authorization": {"Bearer " + token}}))
		require.Error(t, err)
		require.Empty(t, session.Subject)
		require.Empty(t, session.Extra)
		if len(token) > 16 {
			require.NotContains(t, err.Error(), token)
		}
	})
}
