package consent_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/consent"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/ory/orytest"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

const (
	ann = "948581f8-0f0e-4f37-9f7a-3f1f6f1f0a01"
	bob = "0b0e3a52-63a9-4b39-8d3a-0d9c6f1b7c02"
)

func signedIn(t *testing.T, id, session string) context.Context {
	t.Helper()
	user := users.User{ID: uuid.MustParse(id), Email: "ann@example.com", EmailVerified: true, Name: "Ann"}
	ctx := principal.With(t.Context(), principal.Principal{
		Kind: principal.User, Auth: principal.Session, UserID: user.ID, SessionID: session,
	})
	return users.With(ctx, user)
}

func setUp(t *testing.T) (*consent.Operations, *orytest.Stack) {
	t.Helper()
	stack := orytest.New(t)
	stack.Set(func(s *orytest.Stack) {
		s.Challenges["c"] = orytest.Challenge{
			Subject: ann, Client: "demo", Scopes: []string{"openid", "email", "profile"}, Audience: []string{"http://localhost:8080/api"},
		}
		s.Challenges["used"] = orytest.Challenge{Used: true}
	})
	return &consent.Operations{
		Authority: ory.NewHydra(stack.HydraAdmin, ory.HTTPClient(10*time.Second)), Secret: []byte("0123456789abcdef0123456789abcdef"),
	}, stack
}

func ask(ctx context.Context, o *consent.Operations, challenge string) (openapi.GetConsent200JSONResponse, error) {
	answer, err := o.GetConsent(ctx, openapi.GetConsentRequestObject{Params: openapi.GetConsentParams{ConsentChallenge: challenge}})
	shown, _ := answer.(openapi.GetConsent200JSONResponse)
	return shown, err
}

func decide(ctx context.Context, o *consent.Operations, decision openapi.ConsentDecision) (string, error) {
	answer, err := o.DecideConsent(ctx, openapi.DecideConsentRequestObject{Body: &decision})
	outcome, _ := answer.(openapi.DecideConsent200JSONResponse)
	return outcome.RedirectTo, err
}

func token(t *testing.T, ctx context.Context, o *consent.Operations) string { //nolint:revive // t goes first in tests
	t.Helper()
	shown, err := ask(ctx, o, "c")
	require.NoError(t, err)
	return shown.CsrfToken
}

func requireCode(t *testing.T, code problem.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, problem.From(err).Code, err.Error())
}

func TestThePersonSeesWhatIsAsked(t *testing.T) {
	o, _ := setUp(t)

	shown, err := ask(signedIn(t, ann, "s"), o, "c")

	require.NoError(t, err)
	require.Equal(t, "demo", shown.Client.Id)
	require.Equal(t, "Demo", shown.Client.Name)
	require.Equal(t, []string{"openid", "email", "profile"}, shown.RequestedScopes)
	require.NotEmpty(t, shown.CsrfToken)
}

func TestAcceptGrantsTheChosenScopesAndTheRequestedAudience(t *testing.T) {
	o, stack := setUp(t)
	ctx := signedIn(t, ann, "s")
	scopes := []string{"openid", "email"}

	next, err := decide(ctx, o, openapi.ConsentDecision{ConsentChallenge: "c", CsrfToken: token(t, ctx, o), Accept: true, Scopes: &scopes})

	require.NoError(t, err)
	require.Contains(t, next, "consent_verifier")
	require.Equal(t, "accept", stack.Verb)
	require.Equal(t, map[string]any{
		"grant_scope":                 []any{"openid", "email"},
		"grant_access_token_audience": []any{"http://localhost:8080/api"},
		"session":                     map[string]any{"id_token": map[string]any{"email": "ann@example.com", "email_verified": true}},
	}, stack.Decision, "nothing about the person in the access token, no name without the scope")
}

func TestProfileScopeGivesTheName(t *testing.T) {
	o, stack := setUp(t)
	ctx := signedIn(t, ann, "s")
	scopes := []string{"profile"}

	_, err := decide(ctx, o, openapi.ConsentDecision{ConsentChallenge: "c", CsrfToken: token(t, ctx, o), Accept: true, Scopes: &scopes})

	require.NoError(t, err)
	require.Equal(t, map[string]any{"id_token": map[string]any{"name": "Ann"}}, stack.Decision["session"])
}

func TestRefusalTellsTheClient(t *testing.T) {
	o, stack := setUp(t)
	ctx := signedIn(t, ann, "s")

	next, err := decide(ctx, o, openapi.ConsentDecision{ConsentChallenge: "c", CsrfToken: token(t, ctx, o)})

	require.NoError(t, err)
	require.NotEmpty(t, next)
	require.Equal(t, "reject", stack.Verb)
	require.Equal(t, "access_denied", stack.Decision["error"])
}

func TestScopesThatWereNotRequestedAreRefusedByName(t *testing.T) {
	o, stack := setUp(t)
	ctx := signedIn(t, ann, "s")
	scopes := []string{"openid", "admin"}

	_, err := decide(ctx, o, openapi.ConsentDecision{ConsentChallenge: "c", CsrfToken: token(t, ctx, o), Accept: true, Scopes: &scopes})

	requireCode(t, problem.InvalidRequest, err)
	require.Equal(t, []problem.Field{{Name: "scopes.1", Reason: "was not requested"}}, problem.From(err).Fields)
	require.Empty(t, stack.Verb)
}

func TestAnotherPersonsChallengeIsRefused(t *testing.T) {
	o, _ := setUp(t)
	_, err := ask(signedIn(t, bob, "s"), o, "c")
	requireCode(t, problem.Forbidden, err)
}

func TestCSRFTokenFitsOnePersonOneSessionOneChallenge(t *testing.T) {
	o, stack := setUp(t)
	good := token(t, signedIn(t, ann, "s"), o)
	for name, c := range map[string]struct {
		ctx              context.Context
		challenge, token string
	}{
		"another session":   {signedIn(t, ann, "other"), "c", good},
		"another person":    {signedIn(t, bob, "s"), "c", good},
		"another challenge": {signedIn(t, ann, "s"), "used", good},
		"changed":           {signedIn(t, ann, "s"), "c", good[:len(good)-1]},
		"none":              {signedIn(t, ann, "s"), "c", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decide(c.ctx, o, openapi.ConsentDecision{ConsentChallenge: c.challenge, CsrfToken: c.token, Accept: true})
			requireCode(t, problem.Forbidden, err)
			require.Empty(t, stack.Verb)
		})
	}
}

func TestUnknownAndUsedChallengesHaveCodesOfTheirOwn(t *testing.T) {
	o, stack := setUp(t)
	_, err := ask(signedIn(t, ann, "s"), o, "unknown")
	requireCode(t, problem.NotFound, err)
	_, err = ask(signedIn(t, ann, "s"), o, "used")
	requireCode(t, problem.ChallengeExpired, err)

	stack.Set(func(s *orytest.Stack) { s.Broken = true })
	_, err = ask(signedIn(t, ann, "s"), o, "c")
	requireCode(t, problem.Unavailable, err)
}

func TestOnlyASessionMayAnswer(t *testing.T) {
	o, _ := setUp(t)
	user := users.User{ID: uuid.MustParse(ann)}
	delegated := users.With(principal.With(t.Context(), principal.Principal{
		Kind: principal.User, Auth: principal.OAuth2, UserID: user.ID, ClientID: "demo", Scopes: []string{"openid"},
	}), user)
	machine := principal.With(t.Context(), principal.Principal{Kind: principal.Client, Auth: principal.OAuth2, ClientID: "demo"})

	for name, c := range map[string]struct {
		ctx  context.Context
		code problem.Code
	}{
		"a user's token": {delegated, problem.Forbidden},
		"a client":       {machine, problem.Forbidden},
		"nobody":         {t.Context(), problem.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(c.ctx, o, "c")
			requireCode(t, c.code, err)
			_, err = decide(c.ctx, o, openapi.ConsentDecision{ConsentChallenge: "c", CsrfToken: "x"})
			requireCode(t, c.code, err)
		})
	}
}
