package mutate_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/mutate"
)

// mint is a door whose tokens are kept, and a time that the test moves.
type mint struct {
	t      *testing.T
	passed atomic.Int64 // nanoseconds
	tokens *cache.Cache[mutate.Token]
}

func newMint(t *testing.T) *mint {
	m := &mint{t: t}
	m.tokens = cache.New[mutate.Token]("id_token", 100, m.now)
	return m
}

func (m *mint) now() time.Time { return now.Add(time.Duration(m.passed.Load())) }

// token is what a rule of this configuration sends to the upstream.
func (m *mint) token(signer *keys.Signer, change map[string]any, s *pipeline.Session) string {
	m.t.Helper()
	config := map[string]any{
		"issuer_url": "https://door", "jwks_url": "file:///keys.json", "ttl": "60s",
		"claims": `{"aud":["up"],"org":{{ print .Extra.org | toJson }}}`,
	}
	for key, value := range change {
		config[key] = value
	}
	d := deps(signer)
	d.Tokens, d.Now = m.tokens, m.now
	built, err := mutate.New("id_token", config, d) // a reload builds it anew
	require.NoError(m.t, err)
	require.NoError(m.t, mutated(m.t, built, s))
	return s.Header.Get("Authorization")
}

func TestMintedTokenIsUsedAgainWhileATenthOfItsTimeIsLeft(t *testing.T) {
	m, signer := newMint(t), newSigner(t)
	org := func() *pipeline.Session { return session(map[string]any{"org": "o-1"}) }
	first := m.token(signer, nil, org())
	for _, at := range []time.Duration{0, 30 * time.Second, 54*time.Second - 1} {
		m.passed.Store(int64(at))
		require.Equal(t, first, m.token(signer, nil, org()))
	}
	m.passed.Store(int64(54 * time.Second))
	s := org()
	second := m.token(signer, nil, s)
	require.NotEqual(t, first, second)
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(second[len("Bearer "):], claims)
	require.NoError(t, err)
	require.EqualValues(t, now.Unix()+54+60, claims["exp"])
}

func TestMintedTokenIsNobodyElses(t *testing.T) {
	m, signer := newMint(t), newSigner(t)
	first := m.token(signer, nil, session(map[string]any{"org": "o-1"}))
	other := session(map[string]any{"org": "o-1"})
	other.Subject = "u-2"
	for name, token := range map[string]string{
		"subject":                 m.token(signer, nil, other),
		"claims":                  m.token(signer, nil, session(map[string]any{"org": "o-2"})),
		"audience":                m.token(signer, map[string]any{"claims": `{"aud":["elsewhere"],"org":"o-1"}`}, session(nil)),
		"issuer":                  m.token(signer, map[string]any{"issuer_url": "https://another"}, session(map[string]any{"org": "o-1"})),
		"ttl":                     m.token(signer, map[string]any{"ttl": "61s"}, session(map[string]any{"org": "o-1"})),
		"key under the same name": m.token(newSigner(t), nil, session(map[string]any{"org": "o-1"})),
	} {
		require.NotEqual(t, first, token, name)
	}
	require.Equal(t, first, m.token(signer, nil, session(map[string]any{"org": "o-1"})))
}
