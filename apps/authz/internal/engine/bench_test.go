package engine_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/rule"
)

const jwtRule = `
- {id: api, match: {url: "<https?>://<[^/]+>/api<(/.*)?>", methods: [GET]}, authenticators: [{handler: jwt}], authorizer: {handler: allow}, mutators: [%s]}
`

func benchmarkJWT(b *testing.B, key jose.JSONWebKey, method jwt.SigningMethod, mutators string) {
	e := load(b, keySet(b, key.Public()), fmt.Sprintf(jwtRule, mutators))
	token := jwt.NewWithClaims(method, jwt.MapClaims{
		"sub": "u-1", "aud": "api", "client_id": "c-1", "scp": []string{"read"}, "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = key.KeyID
	signed, err := token.SignedString(key.Key)
	require.NoError(b, err)
	r := request("/api/me", http.Header{"Authorization": {"Bearer " + signed}})
	require.Equal(b, engine.Allowed, e.Decide(b.Context(), r).Outcome)
	b.ReportAllocs()
	for b.Loop() {
		e.Decide(b.Context(), r)
	}
}

func BenchmarkDecideJWT(b *testing.B) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	rs := jose.JSONWebKey{Key: private, KeyID: "rs", Algorithm: "RS256", Use: "sig"}
	es := newKey(b, "es")
	header := `{handler: header}`
	b.Run("RS256/header", func(b *testing.B) { benchmarkJWT(b, rs, jwt.SigningMethodRS256, header) })
	b.Run("ES256/header", func(b *testing.B) { benchmarkJWT(b, es, jwt.SigningMethodES256, header) })
	b.Run("RS256/header+id_token", func(b *testing.B) {
		benchmarkJWT(b, rs, jwt.SigningMethodRS256, header+`, {handler: id_token, config: {claims: '{"aud":["up"]}'}}`)
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 50} {
		var matchers []*rule.Matcher
		for i := range n {
			m, err := rule.CompileMatch(i, rule.Rule{Match: &rule.Match{
				URL: fmt.Sprintf("<https?>://<[^/]+>/api/part%d<(/.*)?>", i), Methods: []string{"GET"},
			}})
			require.NoError(b, err)
			matchers = append(matchers, m)
		}
		target := "https://api.example:8080/api/part5/" + strings.Repeat("x", 40)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := rule.Find(matchers, "GET", target); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
