package principal_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

const audience = "http://localhost:8080/api"

// answers stand in for Kratos and Hydra.
type answers struct {
	session principal.KratosSession
	token   principal.HydraToken
	err     error
	cookies *[]string // those that were asked about
	key     principal.KeyRecord
}

func (a answers) Verify(context.Context, string) (principal.KeyRecord, error) { return a.key, a.err }

func (a answers) Session(_ context.Context, cookies ...string) (principal.KratosSession, error) {
	if a.cookies != nil {
		*a.cookies = cookies
	}
	return a.session, a.err
}

func (a answers) Introspect(context.Context, string) (principal.HydraToken, error) {
	return a.token, a.err
}

func newDirect(a answers) *principal.Direct {
	return &principal.Direct{
		Sessions: a, Tokens: a, Keys: a, Issuer: "http://localhost:8080", Audience: audience,
		Now: func() time.Time { return now },
	}
}

func active(over func(*principal.HydraToken)) principal.HydraToken {
	token := principal.HydraToken{
		Use: "access_token", Issuer: "http://localhost:8080", Subject: client, ClientID: client, Scope: "a",
		Audience: []string{audience}, Expires: now.Add(time.Minute),
	}
	if over != nil {
		over(&token)
	}
	return token
}

func withCookie(t *testing.T) *http.Request {
	t.Helper()
	r := request(t, "")
	r.AddCookie(&http.Cookie{Name: principal.SessionCookie, Value: "c"})
	return r
}

func TestDirectAcceptsASessionCookie(t *testing.T) {
	kratos := answers{session: principal.KratosSession{ID: "s", AAL: "aal2", UserID: uuid.MustParse(person), Email: "a@b.c"}}

	p, err := newDirect(kratos).Verify(withCookie(t))

	require.NoError(t, err)
	require.Equal(t, principal.Session, p.Auth)
	require.Equal(t, person, p.UserID.String())
	require.Equal(t, "s", p.SessionID)
	require.False(t, *p.EmailVerified)
}

func TestDirectPrefersTheTokenOverTheCookie(t *testing.T) {
	hydra := answers{token: active(nil), session: principal.KratosSession{UserID: uuid.MustParse(person)}}
	r := withCookie(t)
	r.Header.Set("Authorization", "Bearer ory_at_x")

	p, err := newDirect(hydra).Verify(r)

	require.NoError(t, err)
	require.Equal(t, principal.Client, p.Kind)
	require.Equal(t, principal.OAuth2, p.Auth)
}

func TestDirectTellsAUserActingThroughAClient(t *testing.T) {
	hydra := answers{token: active(func(token *principal.HydraToken) { token.Subject = person })}

	p, err := newDirect(hydra).Verify(request(t, "aaa.bbb.ccc"))

	require.NoError(t, err)
	require.True(t, p.Delegated())
	require.Equal(t, principal.JWT, p.Auth)
}

func TestDirectAsksTheRegistryAboutAPIKeysAndHydraAboutNone(t *testing.T) {
	registry := answers{key: principal.KeyRecord{ID: uuid.MustParse(person), Scopes: []string{"a"}}, token: active(nil)}

	p, err := newDirect(registry).Verify(request(t, "gh_live_x"))
	require.NoError(t, err)
	require.Equal(t, principal.Principal{
		Kind: principal.APIKey, Auth: principal.ByKey, KeyID: uuid.MustParse(person), Scopes: []string{"a"},
	}, p)

	registry.key = principal.KeyRecord{}
	_, err = newDirect(registry).Verify(request(t, "gh_live_x"))
	requireCode(t, problem.Unauthenticated, err)
}

func TestDirectRefusesTokens(t *testing.T) {
	for name, over := range map[string]func(*principal.HydraToken){
		"a refresh token":  func(token *principal.HydraToken) { token.Use = "refresh_token" },
		"an ID token":      func(token *principal.HydraToken) { token.Use = "" },
		"another audience": func(token *principal.HydraToken) { token.Audience = []string{"http://localhost:8080"} },
		"no audience":      func(token *principal.HydraToken) { token.Audience = nil },
		"another issuer":   func(token *principal.HydraToken) { token.Issuer += "/" },
		"expired":          func(token *principal.HydraToken) { token.Expires = now },
		"no client":        func(token *principal.HydraToken) { token.Subject, token.ClientID = person, "" },
		"nobody":           func(token *principal.HydraToken) { token.Subject, token.ClientID = "", "" },
		"a stranger":       func(token *principal.HydraToken) { token.Subject = "ann" },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newDirect(answers{token: active(over)}).Verify(request(t, "t"))
			requireCode(t, problem.Unauthenticated, err)
		})
	}
}

func TestDirectTellsNoFromNoAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code problem.Code
	}{
		"rejected":      {principal.ErrRejected, problem.Unauthenticated},
		"step-up":       {principal.ErrStepUp, problem.StepUpRequired},
		"anything else": {errors.New("connection refused"), problem.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newDirect(answers{err: c.err}).Verify(withCookie(t))
			requireCode(t, c.code, err)
			_, err = newDirect(answers{err: c.err}).Verify(request(t, "t"))
			requireCode(t, c.code, err)
			_, err = newDirect(answers{err: c.err}).Verify(request(t, "gh_live_x"))
			requireCode(t, c.code, err)
		})
	}
}

func TestDirectWithoutCredentialsIsUnauthenticated(t *testing.T) {
	for name, header := range map[string]http.Header{
		"nothing":          {},
		"identity headers": {"X-User-Id": {person}},
		"basic":            {"Authorization": {"Basic eDp5"}},
		"no token":         {"Authorization": {"Bearer "}},
		"two tokens":       {"Authorization": {"Bearer a", "Bearer b"}},
		"another cookie":   {"Cookie": {"session=x"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, "")
			r.Header = header
			_, err := newDirect(answers{token: active(nil), session: annsSession}).Verify(r)
			requireCode(t, problem.Unauthenticated, err)
		})
	}
}

var annsSession = principal.KratosSession{ID: "s", UserID: uuid.MustParse(person)}

// So the door's rules have it: only a bearer token comes before the cookie.
func TestDirectTakesTheCookieBesideAnAuthorizationThatIsNoBearerToken(t *testing.T) {
	for _, authorization := range []string{"", "Bearer ", "Bearer", "Basic eDp5"} {
		r := withCookie(t)
		r.Header.Set("Authorization", authorization)
		p, err := newDirect(answers{session: annsSession}).Verify(r)
		require.NoError(t, err, authorization)
		require.Equal(t, principal.Session, p.Auth)
	}
}

func TestDirectAsksKratosAboutEveryCookieOfTheName(t *testing.T) {
	var asked []string
	r := withCookie(t)
	r.AddCookie(&http.Cookie{Name: "other", Value: "x"})
	r.AddCookie(&http.Cookie{Name: principal.SessionCookie, Value: "d"})
	_, err := newDirect(answers{session: annsSession, cookies: &asked}).Verify(r)
	require.NoError(t, err)
	require.Equal(t, []string{"c", "d"}, asked)
}

func TestContextWithoutAPrincipalIsUnauthenticated(t *testing.T) {
	_, err := principal.From(t.Context())
	requireCode(t, problem.Unauthenticated, err)

	p, err := principal.From(principal.With(t.Context(), principal.Principal{Kind: principal.Client}))
	require.NoError(t, err)
	require.Equal(t, principal.Client, p.Kind)
}
