//go:build differential

package differential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/gatetest"
)

// credentials sign what symbols such as @jwt:expired@ stand for.
type credentials struct {
	folder string // of the key files
	public []byte // the issuer's key set
	tokens map[string]string
}

func newCredentials(t *testing.T) *credentials {
	t.Helper()
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	es, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)

	c := &credentials{folder: t.TempDir(), tokens: map[string]string{}}
	c.public = marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: rs.Public(), KeyID: "rs", Algorithm: "RS256", Use: "sig"},
		{Key: rs.Public(), KeyID: "any", Use: "sig"},
		{Key: rs.Public(), KeyID: "enc", Algorithm: "RS256", Use: "enc"},
		{Key: es.Public(), KeyID: "es", Algorithm: "ES256", Use: "sig"},
	}})
	require.NoError(t, os.WriteFile(filepath.Join(c.folder, "id_token.jwks.json"), gatetest.SigningKeys(t), 0o600))

	now := time.Now().Unix()
	for name, v := range jwtVariants(now) {
		claims := jwt.MapClaims{
			"iss": "https://issuer", "aud": []string{"api", "other"}, "sub": "u-1", "client_id": "c-1",
			"scp": []string{"read", "photos.write"}, "iat": now - 60, "nbf": now - 60, "exp": now + 24*3600,
		}
		maps.Copy(claims, v.claims)
		maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
		method, key, kid := jwt.SigningMethod(jwt.SigningMethodRS256), any(rs), "rs"
		switch v.sign {
		case "es256":
			method, key, kid = jwt.SigningMethodES256, es, "es"
		case "rs512":
			method, kid = jwt.SigningMethodRS512, "any"
		case "ps256":
			method, kid = jwt.SigningMethodPS256, "any"
		case "rs512 with a key for rs256":
			method = jwt.SigningMethodRS512
		case "hs256 with the public key":
			method, key = jwt.SigningMethodHS256, c.public
		case "none":
			method, key = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
		case "stranger":
			key = stranger
		}
		token := jwt.NewWithClaims(method, claims)
		token.Header["kid"] = kid
		maps.Copy(token.Header, v.header)
		maps.DeleteFunc(token.Header, func(_ string, value any) bool { return value == nil })
		signed, err := token.SignedString(key)
		require.NoError(t, err, name)
		c.tokens[name] = signed + v.suffix
	}
	return c
}

type jwtVariant struct {
	sign           string
	header, claims map[string]any // laid over the defaults; nil removes
	suffix         string
}

func jwtVariants(now int64) map[string]jwtVariant {
	type m = map[string]any
	return map[string]jwtVariant{
		"ok": {}, "es256": {sign: "es256"}, "rs512": {sign: "rs512"}, "ps256": {sign: "ps256"},
		"rs512-key-rs256": {sign: "rs512 with a key for rs256"}, "hs256": {sign: "hs256 with the public key"},
		"none": {sign: "none"}, "stranger": {sign: "stranger"}, "tampered": {suffix: "x"}, "four-parts": {suffix: ".x"},
		"no-kid": {header: m{"kid": nil}}, "kid-unknown": {header: m{"kid": "nobody"}}, "kid-number": {header: m{"kid": 1}},
		"kid-enc": {header: m{"kid": "enc"}}, "crit": {header: m{"crit": []string{"x"}, "x": 1}}, "typ": {header: m{"typ": "at+jwt"}},
		"no-exp": {claims: m{"exp": nil}}, "expired": {claims: m{"exp": now - 3600}}, "exp-float": {claims: m{"exp": float64(now) + 3600.5}},
		"exp-text": {claims: m{"exp": "tomorrow"}}, "exp-zero": {claims: m{"exp": 0}}, "exp-huge": {claims: m{"exp": 1e15}},
		"nbf-future": {claims: m{"nbf": now + 3600}}, "no-nbf": {claims: m{"nbf": nil}}, "iat-future": {claims: m{"iat": now + 3600}},
		"no-iat": {claims: m{"iat": nil}}, "aud-text": {claims: m{"aud": "api"}}, "aud-other": {claims: m{"aud": []string{"other"}}},
		"no-aud": {claims: m{"aud": nil}}, "aud-number": {claims: m{"aud": 7}}, "aud-mixed": {claims: m{"aud": []any{"api", 7}}},
		"iss-other": {claims: m{"iss": "https://issuer/"}}, "no-iss": {claims: m{"iss": nil}}, "iss-number": {claims: m{"iss": 7}},
		"scope-text": {claims: m{"scp": nil, "scope": "read photos.write"}}, "scope-spaces": {claims: m{"scp": nil, "scope": " read  photos.write "}},
		"scopes": {claims: m{"scp": nil, "scopes": []string{"read"}}}, "scope-twice": {claims: m{"scope": "admin"}},
		"scope-number": {claims: m{"scp": 7}}, "scope-mixed": {claims: m{"scp": []any{"read", 7}}}, "no-scope": {claims: m{"scp": nil}},
		"scope-wild": {claims: m{"scp": []string{"photos.*"}}}, "scope-parent": {claims: m{"scp": []string{"photos"}}},
		"no-sub": {claims: m{"sub": nil}}, "sub-number": {claims: m{"sub": 7}}, "sub-empty": {claims: m{"sub": ""}},
		"sub-unicode": {claims: m{"sub": "zoë-日本"}}, "sub-lines": {claims: m{"sub": "a\r\nX-Evil: 1"}}, "sub-quote": {claims: m{"sub": `a","role":"admin`}},
		"nested": {claims: m{"extra": m{"list": []any{1, "two", nil}, "deep": m{"er": true}}}}, "numbers": {claims: m{"n": 12345678901234567, "f": 1.5}},
		"huge": {claims: m{"blob": strings.Repeat("x", 6000)}},
	}
}

func (c *credentials) names() []string { return slices.Sorted(maps.Keys(c.tokens)) }

var symbol = regexp.MustCompile(`@(jwt|long):([a-z0-9-]+)@`)

// fill replaces the symbols in a header value or a query.
func (c *credentials) fill(text string) string {
	return symbol.ReplaceAllStringFunc(text, func(s string) string {
		found := symbol.FindStringSubmatch(s)
		if length, err := strconv.Atoi(found[2]); err == nil && found[1] == "long" {
			return strings.Repeat("x", length)
		}
		return c.tokens[found[2]]
	})
}
