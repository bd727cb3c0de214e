package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// Every way that is known to make a verifier of JWTs accept what its issuer has not signed for it.
func TestForgedJWTsAre401(t *testing.T) {
	s := newStack(t)
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	good := jwt.MapClaims{"iss": "http://public", "aud": "http://public/api", "sub": "root", "client_id": "root", "exp": time.Now().Add(time.Hour).Unix()}
	sign := func(method jwt.SigningMethod, key any, header map[string]any) string {
		token := jwt.NewWithClaims(method, good)
		token.Header["kid"] = "hydra"
		for name, value := range header {
			token.Header[name] = value
			if value == nil {
				delete(token.Header, name)
			}
		}
		signed, err := token.SignedString(key)
		require.NoError(t, err)
		return signed
	}
	ownPublic := jose.JSONWebKey{Key: own.Public(), KeyID: "hydra", Algorithm: "RS256", Use: "sig"}
	published := s.key.Public().Key.(*rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(published)
	require.NoError(t, err)
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	set := []byte(marshal(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.key.Public()}}))
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString([]byte(marshal(t, v))) }
	unsigned := func(alg string) string {
		return part(map[string]any{"alg": alg, "kid": "hydra", "typ": "JWT"}) + "." + part(good) + "."
	}
	valid := strings.Split(s.token(nil), ".")

	tokens := map[string]string{
		"alg none": unsigned("none"), "alg None": unsigned("None"), "alg NONE": unsigned("NONE"), "alg empty": unsigned(""), "alg RS256 without signature": unsigned("RS256"),
		"no alg":                          part(map[string]any{"kid": "hydra"}) + "." + part(good) + "." + valid[2],
		"HS256 with the public key, PEM":  sign(jwt.SigningMethodHS256, block, nil),
		"HS256 with the public key, DER":  sign(jwt.SigningMethodHS256, der, nil),
		"HS256 with the published set":    sign(jwt.SigningMethodHS256, set, nil),
		"HS256 with nothing":              sign(jwt.SigningMethodHS256, []byte{}, nil),
		"RS384, which is not allowed":     sign(jwt.SigningMethodRS384, s.key.Key, nil),
		"PS256, which is not allowed":     sign(jwt.SigningMethodPS256, s.key.Key, nil),
		"ES256 of somebody":               sign(jwt.SigningMethodES256, elliptic, nil),
		"another's key, our kid":          sign(jwt.SigningMethodRS256, own, nil),
		"jwk in the header":               sign(jwt.SigningMethodRS256, own, map[string]any{"jwk": ownPublic}),
		"jku in the header":               sign(jwt.SigningMethodRS256, own, map[string]any{"jku": s.kratos.URL + "/jku"}),
		"x5u in the header":               sign(jwt.SigningMethodRS256, own, map[string]any{"x5u": s.kratos.URL, "x5c": []string{base64.StdEncoding.EncodeToString(der)}}),
		"no kid":                          sign(jwt.SigningMethodRS256, s.key.Key, map[string]any{"kid": nil}),
		"empty kid":                       sign(jwt.SigningMethodRS256, s.key.Key, map[string]any{"kid": ""}),
		"kid that is a list":              sign(jwt.SigningMethodRS256, s.key.Key, map[string]any{"kid": []string{"hydra"}}),
		"kid that is a number":            sign(jwt.SigningMethodRS256, s.key.Key, map[string]any{"kid": 0}),
		"kid with a path":                 sign(jwt.SigningMethodHS256, []byte{}, map[string]any{"kid": "../../../../dev/null"}),
		"kid with SQL":                    sign(jwt.SigningMethodRS256, own, map[string]any{"kid": "x' UNION SELECT 'key"}),
		"kid in capitals":                 sign(jwt.SigningMethodRS256, s.key.Key, map[string]any{"kid": "HYDRA"}),
		"kid with a space":                sign(jwt.SigningMethodRS256, s.key.Key, map[string]any{"kid": "hydra "}),
		"crit":                            sign(jwt.SigningMethodRS256, s.key.Key, map[string]any{"crit": []string{"x"}, "x": 1}),
		"b64 false":                       sign(jwt.SigningMethodRS256, s.key.Key, map[string]any{"crit": []string{"b64"}, "b64": false}),
		"claims exchanged":                valid[0] + "." + part(good) + "." + valid[2],
		"header exchanged":                part(map[string]any{"alg": "RS256", "kid": "hydra", "a": 1}) + "." + valid[1] + "." + valid[2],
		"signature cut":                   valid[0] + "." + valid[1] + "." + valid[2][:len(valid[2])-4],
		"signature of zeros":              valid[0] + "." + valid[1] + "." + strings.Repeat("A", len(valid[2])),
		"no signature":                    valid[0] + "." + valid[1] + ".",
		"padding":                         valid[0] + "=." + valid[1] + "=." + valid[2] + "==",
		"claims that are no object":       valid[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`[]`)) + "." + valid[2],
		"ID token":                        s.token(map[string]any{"aud": []string{"c-1"}, "nonce": "n", "at_hash": "h"}),
		"audience that begins like ours":  s.token(map[string]any{"aud": "http://public/api/x"}),
		"audience in another case":        s.token(map[string]any{"aud": "http://PUBLIC/api"}),
		"no audience":                     s.token(map[string]any{"aud": nil}),
		"audience that is a map":          s.token(map[string]any{"aud": map[string]any{"http://public/api": true}}),
		"another issuer":                  s.token(map[string]any{"iss": "http://other"}),
		"issuer with a slash":             s.token(map[string]any{"iss": "http://public/"}),
		"no issuer":                       s.token(map[string]any{"iss": nil}),
		"issuer that is a list":           s.token(map[string]any{"iss": []string{"http://public"}}),
		"expired":                         s.token(map[string]any{"exp": time.Now().Add(-time.Second).Unix()}),
		"expires as text":                 s.token(map[string]any{"exp": "4070908800"}),
		"never expires":                   s.token(map[string]any{"exp": nil}),
		"not valid yet":                   s.token(map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}),
		"issued in the future":            s.token(map[string]any{"iat": time.Now().Add(time.Minute).Unix()}),
		"our own identity token's issuer": s.token(map[string]any{"iss": "http://public/.well-known/gatehouse"}),
	}
	s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(nil))})
	for name, token := range tokens {
		t.Run(name, func(*testing.T) {
			s.requireDenied(call{path: "/api/me", headers: bearer(token)}, 401, "unauthenticated")
			require.NotContains(t, s.logs.String(), token)
		})
	}
	t.Run("a key that is not for signatures", func(t *testing.T) {
		s := newStack(t)
		encryption := s.key.Public()
		encryption.Use = "enc"
		s.hydra.publish([]byte(marshal(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{encryption}})))
		s.requireDenied(call{path: "/api/me", headers: bearer(s.token(nil))}, 401, "unauthenticated")
	})
	require.Zero(t, s.kratos.questions(), "a token's header sends nobody anywhere")
}

func TestIdentityTokenOfTheDoorIsNoCredential(t *testing.T) {
	s := newStack(t)
	minted := s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(nil))}).set["authorization"]
	s.requireDenied(call{path: "/api/me", headers: []string{"authorization", minted}}, 401, "unauthenticated")
}

func TestKeptJWTEndsWithItsTime(t *testing.T) {
	s := newStack(t)
	token := s.token(map[string]any{"exp": time.Now().Add(time.Minute).Unix()})
	for range 2 {
		s.requireAllowed(call{path: "/api/me", headers: bearer(token)})
	}
	s.clock.advance(2 * time.Minute)
	s.requireDenied(call{path: "/api/me", headers: bearer(token)}, 401, "unauthenticated")
}
