// Package principal answers who is calling. It believes only what it can verify: in edge mode the door's
// signed identity token, in direct mode Kratos', Hydra's and the key registry's own word. It must never read an identity
// from any other header.
package principal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/problem"
)

// Kind tells people from machines.
type Kind string

// The kinds.
const (
	User   Kind = "user"
	Client Kind = "client"
	APIKey Kind = "api_key"
)

// Auth is how the principal proved itself.
type Auth string

// The ways.
const (
	Session Auth = "session"
	OAuth2  Auth = "oauth2"
	JWT     Auth = "jwt"
	ByKey   Auth = "api_key"
)

// Principal is a verified caller.
type Principal struct {
	Kind Kind
	Auth Auth
	// UserID is the identity's id of a User, or of the owner of a person's API key, which admission fills in. It
	// is not taken from a client's subject, which may look just like it.
	UserID uuid.UUID
	// KeyID is the API key's.
	KeyID uuid.UUID
	// OrganizationID is that of an organization's API key, which admission fills in.
	OrganizationID uuid.UUID
	// ClientID is the OAuth 2.0 client: the principal itself, or the one that a User acts through.
	ClientID string
	// Scopes limit a token or a key. A session has none and needs none.
	Scopes []string
	// SessionID and AAL (authenticator assurance level) belong to a session.
	SessionID string
	AAL       string
	// Email is what the session says; empty when it says nothing. The copy in the database is what is shown.
	Email         string
	EmailVerified *bool
}

// ID is the principal's own, within its kind.
func (p Principal) ID() string {
	switch p.Kind {
	case Client:
		return p.ClientID
	case APIKey:
		return p.KeyID.String()
	}
	return p.UserID.String()
}

// Delegated tells whether a person acts through a client.
func (p Principal) Delegated() bool { return p.Kind == User && p.ClientID != "" }

// check makes contradictions impossible to act on, whoever made them.
func (p Principal) check() error {
	token := p.Auth == OAuth2 || p.Auth == JWT
	switch {
	case p.Auth != Session && p.Auth != ByKey && !token:
		return fmt.Errorf("unknown authentication %q", p.Auth)
	case (p.Kind == APIKey) != (p.Auth == ByKey):
		return errors.New("a key that is none, or a principal by another's key")
	case (p.Kind == APIKey) != (p.KeyID != uuid.Nil):
		return errors.New("a key without an id, or the id of a key without one")
	case p.Kind == APIKey && (p.ClientID != "" || p.SessionID != "" || p.UserID != uuid.Nil):
		return errors.New("a key with a client, a session or a person")
	case p.Kind == User && p.UserID == uuid.Nil:
		return errors.New("a user without an id")
	case p.Kind == User && p.Auth == Session && p.ClientID != "":
		return errors.New("a session with a client")
	case p.Auth == Session && p.SessionID == "": // what is bound to a session would be bound to nothing
		return errors.New("a session without an id")
	case p.Kind == User && token && p.ClientID == "":
		return errors.New("a user's token without the client it was given to")
	case p.Kind == User && p.ClientID == p.UserID.String():
		return errors.New("a client posing as a user")
	case p.Kind == Client && (p.ClientID == "" || !token):
		return errors.New("a client without an id or a token")
	case p.Kind != User && p.Kind != Client && p.Kind != APIKey:
		return fmt.Errorf("unknown type %q", p.Kind)
	}
	return nil
}

// ofToken tells a client from a user acting through one, the same way for every kind of token.
func ofToken(auth Auth, subject, clientID, scope string) (Principal, error) {
	p := Principal{Kind: User, Auth: auth, ClientID: clientID, Scopes: strings.Fields(scope)}
	if subject == clientID {
		p.Kind = Client
		return p, p.check()
	}
	var err error
	if p.UserID, err = identity(subject); err != nil {
		return p, err
	}
	return p, p.check()
}

// ofKey is the principal behind an API key. Whose it is, admission finds out.
func ofKey(id uuid.UUID, scopes []string) (Principal, error) {
	p := Principal{Kind: APIKey, Auth: ByKey, KeyID: id, Scopes: scopes}
	return p, p.check()
}

// identity reads an identity id in the one form that Kratos writes.
func identity(subject string) (uuid.UUID, error) {
	id, err := uuid.Parse(subject)
	if err != nil || id.String() != subject {
		return uuid.Nil, errors.New("a user's subject is not an identity id")
	}
	return id, nil
}

// Verifier finds out who sent a request. Its errors are problems.
type Verifier interface {
	Verify(r *http.Request) (Principal, error)
}

func unauthenticated(cause error) error {
	return problem.New(problem.Unauthenticated, "Sign in or send a valid access token.").Because(cause)
}

func unavailable(cause error) error {
	return problem.New(problem.Unavailable, "Who you are cannot be verified right now. Try again.").Because(cause)
}

var errNoCredentials = errors.New("no credentials")

// bearer returns the request's bearer token, or "" when it carries none: credentials of another scheme
// are none of ours, at the door too.
func bearer(r *http.Request) (string, error) {
	if len(r.Header.Values("Authorization")) > 1 {
		return "", errors.New("more than one Authorization")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	return token, nil
}

type contextKey struct{}

// With returns a context that carries the verified principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From returns the principal of the request that ctx belongs to. A context without one is refused: an
// operation that asks must not run for nobody.
func From(ctx context.Context) (Principal, error) {
	p, ok := ctx.Value(contextKey{}).(Principal)
	if !ok {
		return Principal{}, unauthenticated(errNoCredentials)
	}
	return p, nil
}
