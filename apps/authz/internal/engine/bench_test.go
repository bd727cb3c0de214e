package engine_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/pipeline/authn"
	"gatehouse.internal/authz/internal/pipeline/mutate"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
)

const benchConfiguration = `
access_rules: {repositories: [unused]}
authenticators:
  jwt: {enabled: true, config: {jwks_urls: ["http://issuer"], allowed_algorithms: [RS256, ES256], target_audience: [api]}}
  cookie_session: {enabled: true, config: {check_session_url: "%[1]s/whoami", preserve_path: true, force_method: GET, only: [ory_kratos_session], extra_from: "@this", subject_from: identity.id}}
  oauth2_introspection: {enabled: true, config: {introspection_url: "%[1]s/introspect", target_audience: [api]}}
authorizers: {allow: {enabled: true}}
mutators:
  header: {enabled: true, config: {headers: {X-User-Id: "{{ print .Subject }}", X-Scopes: "{{ if .Extra.scp }}{{ join \" \" .Extra.scp }}{{ else }}{{ print .Extra.scope }}{{ end }}"}}}
  id_token:
    enabled: true
    config: {issuer_url: "https://door", ttl: 60s, jwks_url: "file://%[2]s", claims: '{"aud":["up"],"client_id":{{ print .Extra.client_id | toJson }}}'}
`

const benchRule = `
- {id: api, match: {url: "<https?>://<[^/]+>/api<(/.*)?>", methods: [GET]}, authenticators: [{handler: %s}], authorizer: {handler: allow}, mutators: [%s]}
`

const benchSession = `{"id":"s-1","active":true,"authenticator_assurance_level":"aal1","identity":{"id":"u-1","state":"active",
"traits":{"email":"a@b.c","name":{"first":"Ann","last":"Lee"}},"verifiable_addresses":[{"id":"v-1","value":"a@b.c","verified":true,"via":"email"}]}}`

// benchmark decides one request over and over. Of a cold decision nothing is kept.
func benchmark(b *testing.B, issuer []byte, handler, mutators string, warm bool, header http.Header) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := benchSession
		if r.URL.Path == "/introspect" {
			body = `{"active":true,"sub":"u-1","client_id":"c-1","scope":"read write","aud":["api"]}`
		}
		_, _ = fmt.Fprint(w, body)
	}))
	b.Cleanup(server.Close)
	signing := filepath.Join(b.TempDir(), "keys.json")
	require.NoError(b, os.WriteFile(signing, keySet(b, newKey(b, "door")), 0o600))
	config, err := oathkeeper.Parse(fmt.Appendf(nil, benchConfiguration, server.URL, signing))
	require.NoError(b, err)
	rules, err := rule.Parse(fmt.Appendf(nil, benchRule, handler, mutators))
	require.NoError(b, err)
	options := engine.Options{
		Upstream: upstream.New(upstream.Options{Timeout: time.Second, MaxConnections: 1}),
		Keys:     keys.NewStore(func(context.Context, string) ([]byte, error) { return issuer, nil }, time.Now),
		Now:      time.Now,
	}
	if warm {
		options.Caches = authn.NewCaches(authn.CacheOptions{
			MaxEntries: 100, SessionTTL: time.Hour, IntrospectionTTL: time.Hour, Timeout: time.Second, Now: time.Now,
		})
		options.Memory = engine.NewMemory()
		options.Tokens = cache.New[mutate.Token]("id_token", 100, time.Now)
	}
	snapshot, err := engine.Compile(config, rules, options)
	require.NoError(b, err)
	e := &engine.Engine{}
	e.Use(snapshot)
	r := request("/api/me", header)
	decision := e.Decide(b.Context(), r)
	require.Equal(b, engine.Allowed, decision.Outcome, decision.Reason)
	b.ReportAllocs()
	for b.Loop() {
		e.Decide(b.Context(), r)
	}
}

func bearerOf(b *testing.B, key jose.JSONWebKey) http.Header {
	b.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(key.Algorithm), jwt.MapClaims{
		"sub": "u-1", "aud": "api", "client_id": "c-1", "scp": []string{"read"}, "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = key.KeyID
	signed, err := token.SignedString(key.Key)
	require.NoError(b, err)
	return http.Header{"Authorization": {"Bearer " + signed}}
}

const headerAndToken = `{handler: header}, {handler: id_token}`

func BenchmarkDecideCold(b *testing.B) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	for _, key := range []jose.JSONWebKey{{Key: private, KeyID: "rs", Algorithm: "RS256", Use: "sig"}, newKey(b, "es")} {
		issuer, header := keySet(b, key.Public()), bearerOf(b, key)
		b.Run(key.Algorithm+"/header", func(b *testing.B) { benchmark(b, issuer, "jwt", `{handler: header}`, false, header) })
		b.Run(key.Algorithm+"/header+id_token", func(b *testing.B) { benchmark(b, issuer, "jwt", headerAndToken, false, header) })
	}
}

func BenchmarkDecideWarm(b *testing.B) {
	key := newKey(b, "es")
	issuer := keySet(b, key.Public())
	for handler, header := range map[string]http.Header{
		"jwt":                  bearerOf(b, key),
		"cookie_session":       {"Cookie": {"ory_kratos_session=MTczMjM0NTY3OHxhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==; theme=dark"}},
		"oauth2_introspection": {"Authorization": {"Bearer ory_at_abcdefghijklmnopqrstuvwxyz"}},
	} {
		b.Run(handler+"/header", func(b *testing.B) { benchmark(b, issuer, handler, `{handler: header}`, true, header) })
		b.Run(handler+"/header+id_token", func(b *testing.B) { benchmark(b, issuer, handler, headerAndToken, true, header) })
	}
}
