package principal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/problem"
)

// SessionCookie is the name of Kratos' session cookie.
const SessionCookie = "ory_kratos_session"

// What Sessions and Tokens say when the answer is no. Any other error means that there is no answer.
var (
	ErrRejected = errors.New("the credential is not valid")
	ErrStepUp   = errors.New("the session lacks the second factor")
)

// KratosSession is a session as Kratos reports it.
type KratosSession struct {
	ID, AAL       string
	UserID        uuid.UUID
	Email         string
	EmailVerified bool
}

// Sessions answers whose the session cookies are. A browser may send several of that name (of other paths,
// or domains above ours): Kratos takes the one that is valid. A negative must be certain: Kratos answers
// 401 also when its database is down.
type Sessions interface {
	Session(ctx context.Context, cookies ...string) (KratosSession, error)
}

// HydraToken is an active token as Hydra reports it.
type HydraToken struct {
	Use, Issuer, Subject, ClientID, Scope string
	Audience                              []string
	Expires                               time.Time
}

// Tokens answers what a token is. A negative must be certain, as for Sessions.
type Tokens interface {
	Introspect(ctx context.Context, token string) (HydraToken, error)
}

// KeyPrefix begins every API key.
const KeyPrefix = "gh_"

// KeyRecord is a good API key as the registry knows it.
type KeyRecord struct {
	ID      uuid.UUID
	Scopes  []string
	Issued  time.Time
	Expires *time.Time // nil: never
}

// APIKeys answers whose secret an API key is, with ErrRejected for every one that is not good.
type APIKeys interface {
	Verify(ctx context.Context, secret string) (KeyRecord, error)
}

// Direct verifies the credentials themselves, for running the API without the door.
type Direct struct {
	Sessions Sessions
	Tokens   Tokens
	Keys     APIKeys
	// Issuer is Hydra's; Audience is the API's name in access tokens.
	Issuer, Audience string
	Now              func() time.Time
}

// Verify implements Verifier. As by the door's rules, a bearer token that is there must be valid, and only
// without one do cookies count.
func (d *Direct) Verify(r *http.Request) (Principal, error) {
	token, err := bearer(r)
	if err != nil {
		return Principal{}, unauthenticated(err)
	}
	switch {
	case strings.HasPrefix(token, KeyPrefix):
		return d.key(r.Context(), token)
	case token != "":
		return d.token(r.Context(), token)
	}
	var cookies []string
	for _, cookie := range r.CookiesNamed(SessionCookie) {
		cookies = append(cookies, cookie.Value)
	}
	if cookies == nil {
		return Principal{}, unauthenticated(errNoCredentials)
	}
	return d.session(r.Context(), cookies)
}

func (d *Direct) key(ctx context.Context, secret string) (Principal, error) {
	record, err := d.Keys.Verify(ctx, secret)
	if err != nil {
		return Principal{}, negative(err)
	}
	p, err := ofKey(record.ID, record.Scopes)
	if err != nil {
		return Principal{}, unauthenticated(err)
	}
	return p, nil
}

func (d *Direct) token(ctx context.Context, raw string) (Principal, error) {
	token, err := d.Tokens.Introspect(ctx, raw)
	if err != nil {
		return Principal{}, negative(err)
	}
	if err := d.accept(token); err != nil {
		return Principal{}, unauthenticated(err)
	}
	auth := OAuth2
	if strings.Count(raw, ".") == 2 && !strings.HasPrefix(raw, "ory_") {
		auth = JWT
	}
	p, err := ofToken(auth, token.Subject, token.ClientID, token.Scope)
	if err != nil {
		return Principal{}, unauthenticated(err)
	}
	return p, nil
}

func (d *Direct) accept(token HydraToken) error {
	switch {
	case token.Use != "access_token":
		return fmt.Errorf("%q is not an access token", token.Use)
	case token.Issuer != d.Issuer:
		return errors.New("a token of another issuer")
	case !slices.Contains(token.Audience, d.Audience):
		return errors.New("a token for another audience")
	case !token.Expires.After(d.Now()):
		return errors.New("an expired token")
	}
	return nil
}

func (d *Direct) session(ctx context.Context, cookies []string) (Principal, error) {
	s, err := d.Sessions.Session(ctx, cookies...)
	if err != nil {
		return Principal{}, negative(err)
	}
	p := Principal{
		Kind: User, Auth: Session, UserID: s.UserID, SessionID: s.ID, AAL: s.AAL,
		Email: s.Email, EmailVerified: &s.EmailVerified,
	}
	if err := p.check(); err != nil {
		return Principal{}, unauthenticated(err)
	}
	return p, nil
}

func negative(err error) error {
	switch {
	case errors.Is(err, ErrRejected):
		return unauthenticated(err)
	case errors.Is(err, ErrStepUp):
		return problem.New(problem.StepUpRequired, "Complete the second factor to continue.").Because(err)
	default:
		return unavailable(err)
	}
}
