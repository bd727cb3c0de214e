package principal

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// leeway forgives clocks of two machines that differ a little. The tokens live a minute.
const leeway = 5 * time.Second

// Edge verifies the identity token that the door gives every request.
type Edge struct {
	Issuer   string
	Audience string
	Keys     *Keys
	Now      func() time.Time
}

type claims struct {
	Type          string `json:"type"`
	Auth          Auth   `json:"auth"`
	ClientID      string `json:"client_id"`
	Scope         string `json:"scope"`
	SessionID     string `json:"sid"`
	AAL           string `json:"aal"`
	Email         string `json:"email"`
	EmailVerified any    `json:"email_verified"`
}

// Verify implements Verifier.
func (e *Edge) Verify(r *http.Request) (Principal, error) {
	raw, err := bearer(r)
	if err != nil {
		return Principal{}, unauthenticated(err)
	}
	if raw == "" {
		return Principal{}, unauthenticated(errNoCredentials)
	}
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return Principal{}, unauthenticated(fmt.Errorf("identity token: %w", err))
	}
	if len(token.Headers) != 1 || token.Headers[0].KeyID == "" {
		return Principal{}, unauthenticated(errors.New("identity token names no key"))
	}
	key, err := e.Keys.Key(r.Context(), token.Headers[0].KeyID)
	if errors.Is(err, ErrUnknownKey) {
		return Principal{}, unauthenticated(err)
	}
	if err != nil {
		return Principal{}, unavailable(err)
	}

	var registered jwt.Claims
	var own claims
	if err := token.Claims(key, &registered, &own); err != nil {
		return Principal{}, unauthenticated(fmt.Errorf("identity token: %w", err))
	}
	p, err := e.principal(registered, own)
	if err != nil {
		return Principal{}, unauthenticated(fmt.Errorf("identity token: %w", err))
	}
	return p, nil
}

func (e *Edge) principal(registered jwt.Claims, own claims) (Principal, error) {
	if registered.Expiry == nil {
		return Principal{}, errors.New("no expiry")
	}
	expected := jwt.Expected{Issuer: e.Issuer, AnyAudience: jwt.Audience{e.Audience}, Time: e.Now()}
	if err := registered.ValidateWithLeeway(expected, leeway); err != nil {
		return Principal{}, err
	}
	if own.Auth == OAuth2 || own.Auth == JWT {
		p, err := ofToken(own.Auth, registered.Subject, own.ClientID, own.Scope)
		if err == nil && string(p.Kind) != own.Type {
			err = fmt.Errorf("type %q contradicts its subject", own.Type)
		}
		return p, err
	}
	if own.Auth == ByKey {
		id, err := uuid.Parse(registered.Subject)
		if err != nil || id.String() != registered.Subject || own.Type != string(APIKey) {
			return Principal{}, errors.New("not the subject of an API key")
		}
		return ofKey(id, strings.Fields(own.Scope))
	}
	p := Principal{
		Kind: Kind(own.Type), Auth: own.Auth, ClientID: own.ClientID,
		SessionID: own.SessionID, AAL: own.AAL,
		Email: own.Email, EmailVerified: truth(own.EmailVerified),
	}
	var err error
	if p.UserID, err = identity(registered.Subject); err != nil {
		return p, err
	}
	return p, p.check()
}

// truth reads a claim that a template may have rendered as a boolean or as text. Anything else says
// nothing.
func truth(claim any) *bool {
	var value bool
	switch claim {
	case true, "true":
		value = true
	case false, "false":
	default:
		return nil
	}
	return &value
}
