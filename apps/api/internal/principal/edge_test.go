package principal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/principal/principaltest"
	"gatehouse.internal/api/internal/problem"
)

const (
	person = "948581f8-0f0e-4f37-9f7a-3f1f6f1f0a01"
	client = "0b0e3a52-63a9-4b39-8d3a-0d9c6f1b7c02" // Hydra's own ids look like a person's
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func request(t *testing.T, token string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/me", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func newEdge(door *principaltest.Door) *principal.Edge {
	clock := func() time.Time { return now }
	return &principal.Edge{
		Issuer: principaltest.Issuer, Audience: principaltest.Audience, Now: clock,
		Keys: principal.NewKeys(door.URL, http.DefaultClient, time.Minute, clock),
	}
}

func requireCode(t *testing.T, code problem.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, problem.From(err).Code, err.Error())
}

func TestEdgeAcceptsASession(t *testing.T) {
	door := principaltest.NewDoor(t)
	yes := true

	p, err := newEdge(door).Verify(request(t, door.Sign(t, "first", principaltest.Session(person, "ann@example.com", now))))

	require.NoError(t, err)
	require.Equal(t, principal.Principal{
		Kind: principal.User, Auth: principal.Session, UserID: uuid.MustParse(person),
		SessionID: "session-1", AAL: "aal1", Email: "ann@example.com", EmailVerified: &yes,
	}, p)
	require.False(t, p.Delegated())
}

func TestEdgeTakesAVerifiedClaimThatATemplateRenderedAsText(t *testing.T) {
	door := principaltest.NewDoor(t)
	for claim, want := range map[any]any{"true": true, "false": false, true: true, false: false, "": nil, "maybe": nil, 1: nil} {
		claims := principaltest.Session(person, "ann@example.com", now).With(principaltest.Claims{"email_verified": claim})
		p, err := newEdge(door).Verify(request(t, door.Sign(t, "first", claims)))
		require.NoError(t, err)
		if want == nil {
			require.Nil(t, p.EmailVerified, "%v", claim)
			continue
		}
		require.Equal(t, want, *p.EmailVerified, "%v", claim)
	}
}

func TestEdgeTellsAClientFromAUserActingThroughOne(t *testing.T) {
	door := principaltest.NewDoor(t)
	edge := newEdge(door)

	machine, err := edge.Verify(request(t, door.Sign(t, "first", principaltest.Token(client, client, "a b", now))))
	require.NoError(t, err)
	require.Equal(t, principal.Client, machine.Kind)
	require.Equal(t, uuid.Nil, machine.UserID, "a client's id is never a user's, even when it looks like one")
	require.Equal(t, client, machine.ClientID)
	require.Equal(t, []string{"a", "b"}, machine.Scopes)
	require.False(t, machine.Delegated())

	delegated, err := edge.Verify(request(t, door.Sign(t, "first", principaltest.Token(person, client, "a", now))))
	require.NoError(t, err)
	require.Equal(t, principal.User, delegated.Kind)
	require.True(t, delegated.Delegated())
	require.Equal(t, []string{"a"}, delegated.Scopes)
	require.Equal(t, client, delegated.ClientID)
}

func TestEdgeTellsAnAPIKeyFromThePersonWhoseItIs(t *testing.T) {
	door := principaltest.NewDoor(t)
	claims := principaltest.Session(person, "", now).With(principaltest.Claims{"type": "api_key", "auth": "api_key", "scope": "a b"})

	p, err := newEdge(door).Verify(request(t, door.Sign(t, "first", claims)))

	require.NoError(t, err)
	require.Equal(t, principal.Principal{
		Kind: principal.APIKey, Auth: principal.ByKey, KeyID: uuid.MustParse(person), Scopes: []string{"a", "b"},
	}, p, "whose it is, only its row says")
	require.False(t, p.Delegated())
}

func TestEdgeRefuses(t *testing.T) {
	door := principaltest.NewDoor(t)
	session := principaltest.Session(person, "ann@example.com", now)
	sign := func(over principaltest.Claims) string { return door.Sign(t, "first", session.With(over)) }
	token := func(over principaltest.Claims) string {
		return door.Sign(t, "first", principaltest.Token(person, client, "a", now).With(over))
	}
	public, err := x509.MarshalPKIXPublicKey(&door.Key("first").PublicKey)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)

	for name, raw := range map[string]string{
		"garbage":                     "garbage",
		"alg none":                    unsigned(t, session),
		"HS256 with the public key":   principaltest.Sign(t, jose.HS256, public, "first", session),
		"ES384":                       principaltest.Sign(t, jose.ES384, p384, "first", session),
		"signed by another key":       principaltest.Sign(t, jose.ES256, principaltest.NewKey(t), "first", session),
		"unknown key id":              principaltest.Sign(t, jose.ES256, principaltest.NewKey(t), "other", session),
		"no key id":                   principaltest.Sign(t, jose.ES256, door.Key("first"), "", session),
		"another issuer":              sign(principaltest.Claims{"iss": "http://localhost:8080"}),
		"issuer with a slash":         sign(principaltest.Claims{"iss": principaltest.Issuer + "/"}),
		"no issuer":                   sign(principaltest.Claims{"iss": nil}),
		"another backend's audience":  sign(principaltest.Claims{"aud": []string{"gatehouse-web"}}),
		"no audience":                 sign(principaltest.Claims{"aud": nil}),
		"expired":                     sign(principaltest.Claims{"exp": now.Add(-time.Minute).Unix()}),
		"no expiry":                   sign(principaltest.Claims{"exp": nil}),
		"not valid yet":               sign(principaltest.Claims{"nbf": now.Add(time.Minute).Unix()}),
		"issued in the future":        sign(principaltest.Claims{"iat": now.Add(time.Minute).Unix()}),
		"no subject":                  sign(principaltest.Claims{"sub": nil}),
		"subject is no identity":      sign(principaltest.Claims{"sub": "ann"}),
		"subject in another form":     sign(principaltest.Claims{"sub": "urn:uuid:" + person}),
		"no type":                     sign(principaltest.Claims{"type": nil}),
		"API key by a session":        sign(principaltest.Claims{"type": "api_key"}),
		"person by an API key":        sign(principaltest.Claims{"auth": "api_key"}),
		"client by an API key":        token(principaltest.Claims{"type": "client", "auth": "api_key"}),
		"API key by a token":          token(principaltest.Claims{"type": "api_key"}),
		"API key that is no id":       sign(principaltest.Claims{"type": "api_key", "auth": "api_key", "sub": "ann"}),
		"API key in another form":     sign(principaltest.Claims{"type": "api_key", "auth": "api_key", "sub": "urn:uuid:" + person}),
		"API key of nobody":           sign(principaltest.Claims{"type": "api_key", "auth": "api_key", "sub": uuid.Nil.String()}),
		"unknown authentication":      sign(principaltest.Claims{"auth": "basic"}),
		"session of a client":         sign(principaltest.Claims{"type": "client", "client_id": person}),
		"session with a client":       sign(principaltest.Claims{"client_id": client}),
		"session without an id":       sign(principaltest.Claims{"sid": nil}),
		"user's token without client": token(principaltest.Claims{"client_id": ""}),
		"client called a user":        token(principaltest.Claims{"sub": client, "type": "user"}),
		"user called a client":        token(principaltest.Claims{"type": "client"}),
		"nobody's token":              token(principaltest.Claims{"sub": "", "client_id": "", "type": "client"}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newEdge(door).Verify(request(t, raw))
			requireCode(t, problem.Unauthenticated, err)
		})
	}
}

func TestEdgeBelievesNoOtherHeader(t *testing.T) {
	door := principaltest.NewDoor(t)
	good := door.Sign(t, "first", principaltest.Session(person, "ann@example.com", now))
	for name, set := range map[string]func(http.Header){
		"nothing":          func(http.Header) {},
		"identity headers": func(h http.Header) { h.Set("X-User-Id", person); h.Set("X-User-Email", "a@b.c") },
		"a session cookie": func(h http.Header) { h.Set("Cookie", principal.SessionCookie+"=x") },
		"basic":            func(h http.Header) { h.Set("Authorization", "Basic "+good) },
		"no token":         func(h http.Header) { h.Set("Authorization", "Bearer ") },
		"two tokens":       func(h http.Header) { h.Add("Authorization", "Bearer "+good); h.Add("Authorization", "Bearer "+good) },
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, "")
			set(r.Header)
			_, err := newEdge(door).Verify(r)
			requireCode(t, problem.Unauthenticated, err)
		})
	}
}

func unsigned(t *testing.T, claims principaltest.Claims) string {
	t.Helper()
	body, err := json.Marshal(claims)
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT","kid":"first"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(body) + "."
}
