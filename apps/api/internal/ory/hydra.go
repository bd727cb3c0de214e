package ory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	client "github.com/ory/client-go"

	"gatehouse.internal/api/internal/consent"
	"gatehouse.internal/api/internal/principal"
)

// Hydra is Hydra's admin port. It implements principal.Tokens, consent.Authority and users.Grants.
type Hydra struct{ server }

// NewHydra speaks to Hydra's admin port.
func NewHydra(base string, c *http.Client) *Hydra {
	return &Hydra{newServer(base, "/health/ready", c)}
}

// Introspect implements principal.Tokens.
func (h *Hydra) Introspect(ctx context.Context, token string) (principal.HydraToken, error) {
	found, response, err := h.api.OAuth2API.IntrospectOAuth2Token(ctx).Token(token).Execute()
	if err != nil {
		return principal.HydraToken{}, fmt.Errorf("hydra introspection: %d: %w", status(response), clean(err))
	}
	if !found.Active {
		return principal.HydraToken{}, h.certain(ctx, principal.ErrRejected)
	}
	return principal.HydraToken{
		Use: found.GetTokenUse(), Issuer: found.GetIss(), Subject: found.GetSub(), ClientID: found.GetClientId(),
		Scope: found.GetScope(), Audience: found.Aud, Expires: time.Unix(found.GetExp(), 0),
	}, nil
}

// ConsentRequest implements consent.Authority.
func (h *Hydra) ConsentRequest(ctx context.Context, challenge string) (consent.Request, error) {
	found, response, err := h.api.OAuth2API.GetOAuth2ConsentRequest(ctx).ConsentChallenge(challenge).Execute()
	if err != nil {
		return consent.Request{}, challengeError(response, err)
	}
	if found.Client == nil || found.GetSubject() == "" {
		return consent.Request{}, errors.New("hydra consent: a request without client or subject")
	}
	name := found.Client.GetClientName()
	if name == "" {
		name = found.Client.GetClientId()
	}
	return consent.Request{
		ClientID: found.Client.GetClientId(), ClientName: name, Subject: found.GetSubject(),
		Scopes: found.RequestedScope, Audience: found.RequestedAccessTokenAudience,
	}, nil
}

// AcceptConsent implements consent.Authority. Nothing is remembered: each time a client asks, the person
// answers.
func (h *Hydra) AcceptConsent(ctx context.Context, challenge string, grant consent.Grant) (string, error) {
	session := client.NewAcceptOAuth2ConsentRequestSession()
	session.IdToken = grant.IDToken
	accept := client.NewAcceptOAuth2ConsentRequest()
	accept.GrantScope = grant.Scopes
	accept.GrantAccessTokenAudience = grant.Audience
	accept.Session = session
	next, response, err := h.api.OAuth2API.AcceptOAuth2ConsentRequest(ctx).
		ConsentChallenge(challenge).AcceptOAuth2ConsentRequest(*accept).Execute()
	if err != nil {
		return "", challengeError(response, err)
	}
	return next.RedirectTo, nil
}

// RejectConsent implements consent.Authority.
func (h *Hydra) RejectConsent(ctx context.Context, challenge string) (string, error) {
	reject := client.NewRejectOAuth2Request()
	reject.SetError("access_denied")
	reject.SetErrorDescription("The person refused.")
	reject.SetStatusCode(http.StatusForbidden)
	next, response, err := h.api.OAuth2API.RejectOAuth2ConsentRequest(ctx).
		ConsentChallenge(challenge).RejectOAuth2Request(*reject).Execute()
	if err != nil {
		return "", challengeError(response, err)
	}
	return next.RedirectTo, nil
}

// EndGrants implements users.Grants: what the person allowed to clients, with every token that came of it, and their logins.
// Hydra answers the same when there is nothing to end.
func (h *Hydra) EndGrants(ctx context.Context, user uuid.UUID) error {
	response, err := h.api.OAuth2API.RevokeOAuth2ConsentSessions(ctx).Subject(user.String()).All(true).Execute()
	if err := failed("hydra consent sessions", response, err); err != nil {
		return err
	}
	response, err = h.api.OAuth2API.RevokeOAuth2LoginSessions(ctx).Subject(user.String()).Execute()
	return failed("hydra login sessions", response, err)
}

// challengeError reads how Hydra refuses a challenge: 404 when it never made it, 401 when it has expired, 410
// when it knows it to be used, which it often does not.
func challengeError(response *http.Response, err error) error {
	switch status(response) {
	case http.StatusNotFound:
		return consent.ErrUnknownChallenge
	case http.StatusGone, http.StatusUnauthorized:
		return consent.ErrExpiredChallenge
	default:
		return fmt.Errorf("hydra consent: %d: %w", status(response), clean(err))
	}
}
