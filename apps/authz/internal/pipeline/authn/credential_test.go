package authn_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
)

// What the revocation feed can name must come from where its issuer put it, whatever a rule takes into Extra.
func TestSessionTellsWhatCanBeRevoked(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, `{"id":"s-1","key_id":"k-1","issued_at":"2026-11-22T10:00:00.5Z","subject":"u-1","extra":{"id":"forged"}}`)
	for name, header := range map[string]http.Header{"cookie_session": cookies(), "bearer_token": bearer("gh_x")} {
		a := w.build(name, map[string]any{"check_session_url": w.server.URL, "subject_from": "subject"})
		session, err := authenticate(t, a, request(header))
		require.NoError(t, err)
		require.Equal(t, pipeline.Credential{
			Session: "s-1", Key: "k-1", IssuedAt: time.Date(2026, 11, 22, 10, 0, 0, 500_000_000, time.UTC),
		}, session.Credential)
	}
}

func TestSessionOfAnotherShapeStillPasses(t *testing.T) {
	w := newWorld(t)
	w.says(http.StatusOK, `{"id":7,"issued_at":1700000000,"subject":"u-1"}`)
	session, err := authenticate(t, w.build("cookie_session", map[string]any{"check_session_url": w.server.URL}), request(cookies()))
	require.NoError(t, err)
	require.Zero(t, session.Credential)
}

func TestIntrospectedTokenTellsWhatCanBeRevoked(t *testing.T) {
	w := newWorld(t)
	a := w.build("oauth2_introspection", hydra(w, nil))
	for name, c := range map[string]struct {
		answer map[string]any
		want   pipeline.Credential
	}{
		"opaque": {
			map[string]any{"iat": now.Unix(), "ext": map[string]any{"jti": "forged", "iat": 1, "client_id": "forged"}},
			pipeline.Credential{Client: "c-1", Token: pipeline.TokenHash("opaque"), IssuedAt: now},
		},
		"with an id": {map[string]any{"jti": "t-1"}, pipeline.Credential{Client: "c-1", Token: "t-1"}},
		"odd":        {map[string]any{"jti": 7, "iat": "today"}, pipeline.Credential{Client: "c-1", Token: pipeline.TokenHash("opaque")}},
	} {
		t.Run(name, func(t *testing.T) {
			w.knows(c.answer)
			session, err := authenticate(t, a, request(bearer("opaque")))
			require.NoError(t, err)
			require.Equal(t, c.want, session.Credential)
		})
	}
	require.Equal(t, "sha256:6d229884c1268bb0ab32d8da315d0fe52f9147228bd830a37bc9fb28a954940d", pipeline.TokenHash("opaque"))
}

func TestJWTTellsWhatCanBeRevoked(t *testing.T) {
	w := newWorld(t)
	key := newKey(t, "k")
	w.publish(jwks, key)
	a := w.build("jwt", jwtConfig(nil))
	full := sign(t, key, jwt.SigningMethodES256, claims(map[string]any{"jti": "t-1", "sid": "s-1"}), nil)
	session, err := authenticate(t, a, request(bearer(full)))
	require.NoError(t, err)
	require.Equal(t, pipeline.Credential{Session: "s-1", Client: "c-1", Token: "t-1", IssuedAt: now, Offline: true}, session.Credential)

	bare := sign(t, key, jwt.SigningMethodES256, claims(map[string]any{"iat": nil, "client_id": nil}), nil)
	signed, last := bare[:strings.LastIndexByte(bare, '.')], len(bare)-1
	// The last character has four bits beyond the signature's end, and nobody looks at them.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	other := bare[:last] + alphabet[strings.IndexByte(alphabet, bare[last])+1:][:1]
	for _, spelling := range []string{bare, other} {
		session, err = authenticate(t, a, request(bearer(spelling)))
		require.NoError(t, err)
		require.Equal(t, pipeline.Credential{Token: pipeline.TokenHash(signed), Offline: true}, session.Credential)
	}
}
