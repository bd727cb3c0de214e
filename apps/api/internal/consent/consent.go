// Package consent lets a signed-in person answer what an OAuth 2.0 client asks for. It is the only way
// to Hydra's consent endpoints, which believe anyone: the web app never talks to them. A challenge is
// accepted only for the person it was made for, from the session that was shown the question.
package consent

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// Request is what a client asks for.
type Request struct {
	ClientID, ClientName string
	Subject              string
	Scopes, Audience     []string
}

// Grant is what the person gives.
type Grant struct {
	Scopes, Audience []string
	// IDToken goes into the ID token. Access tokens carry no personal data: they travel to every API that
	// the client calls.
	IDToken map[string]any
}

// What an Authority says of a challenge it does not take. Any other error means that there is no answer.
var (
	ErrUnknownChallenge = errors.New("no such consent challenge")
	ErrExpiredChallenge = errors.New("the consent challenge was used or has expired")
)

// Authority is Hydra. Accept and Reject return where the browser goes next. An authority may take a second
// answer to a challenge, but only one of them ever becomes a grant: that each challenge counts once is its
// promise, and an integration test holds the real one to it.
type Authority interface {
	ConsentRequest(ctx context.Context, challenge string) (Request, error)
	AcceptConsent(ctx context.Context, challenge string, grant Grant) (string, error)
	RejectConsent(ctx context.Context, challenge string) (string, error)
}

// Operations are the use cases: show the question, take the answer.
type Operations struct {
	Authority Authority
	// Secret signs the tokens that tie an answer to the session that was asked.
	Secret []byte
}

// GetConsent implements part of openapi.StrictServerInterface.
func (o *Operations) GetConsent(ctx context.Context, r openapi.GetConsentRequestObject) (openapi.GetConsentResponseObject, error) {
	caller, _, err := person(ctx)
	if err != nil {
		return nil, err
	}
	asked, err := o.asked(ctx, caller, r.Params.ConsentChallenge)
	if err != nil {
		return nil, err
	}
	answer := openapi.GetConsent200JSONResponse{
		RequestedScopes: append([]string{}, asked.Scopes...),
		CsrfToken:       o.token(caller, r.Params.ConsentChallenge),
	}
	answer.Client.Id, answer.Client.Name = asked.ClientID, asked.ClientName
	return answer, nil
}

// DecideConsent implements part of openapi.StrictServerInterface.
func (o *Operations) DecideConsent(ctx context.Context, r openapi.DecideConsentRequestObject) (openapi.DecideConsentResponseObject, error) {
	caller, user, err := person(ctx)
	if err != nil {
		return nil, err
	}
	decision := *r.Body
	if !hmac.Equal([]byte(decision.CsrfToken), []byte(o.token(caller, decision.ConsentChallenge))) {
		return nil, problem.New(problem.Forbidden, "This answer does not belong to the question you were shown. Load the page again.").
			Because(errors.New("wrong csrf_token"))
	}
	asked, err := o.asked(ctx, caller, decision.ConsentChallenge)
	if err != nil {
		return nil, err
	}

	var next string
	if decision.Accept {
		var granted []string
		if decision.Scopes != nil {
			granted = *decision.Scopes
		}
		if err := within(granted, asked.Scopes); err != nil {
			return nil, err
		}
		next, err = o.Authority.AcceptConsent(ctx, decision.ConsentChallenge, Grant{
			Scopes: granted, Audience: asked.Audience, IDToken: about(user, granted),
		})
	} else {
		next, err = o.Authority.RejectConsent(ctx, decision.ConsentChallenge)
	}
	if err != nil {
		return nil, refused(err)
	}
	return openapi.DecideConsent200JSONResponse{RedirectTo: next}, nil
}

// person lets only a signed-in person through. A token could otherwise give its own client more.
func person(ctx context.Context) (principal.Principal, users.User, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return caller, users.User{}, err
	}
	user, admitted := users.From(ctx)
	if !admitted || caller.Auth != principal.Session {
		return caller, user, problem.New(problem.Forbidden, "Only a person who is signed in can answer this.")
	}
	return caller, user, nil
}

// asked returns the request behind a challenge when it was made for the caller.
func (o *Operations) asked(ctx context.Context, caller principal.Principal, challenge string) (Request, error) {
	asked, err := o.Authority.ConsentRequest(ctx, challenge)
	if err != nil {
		return Request{}, refused(err)
	}
	if asked.Subject != caller.UserID.String() {
		return Request{}, problem.New(problem.Forbidden, "This request was made for another account.")
	}
	return asked, nil
}

func refused(err error) error {
	switch {
	case errors.Is(err, ErrUnknownChallenge):
		return problem.New(problem.NotFound, "There is no such consent request.").Because(err)
	case errors.Is(err, ErrExpiredChallenge):
		return problem.New(problem.ChallengeExpired, "This consent request was answered already or has expired. Start again at the application.").Because(err)
	default:
		return problem.New(problem.Unavailable, "Consent cannot be given right now. Try again.").Because(err)
	}
}

func within(granted, requested []string) error {
	var fields []problem.Field
	for i, scope := range granted {
		if !slices.Contains(requested, scope) {
			fields = append(fields, problem.Field{Name: fmt.Sprintf("scopes.%d", i), Reason: "was not requested"})
		}
	}
	if fields != nil {
		return problem.Invalid(fields...)
	}
	return nil
}

// about is what the ID token says of the person: only what the granted scopes are for.
func about(user users.User, granted []string) map[string]any {
	claims := map[string]any{}
	if slices.Contains(granted, "email") {
		claims["email"], claims["email_verified"] = user.Email, user.EmailVerified
	}
	if slices.Contains(granted, "profile") && user.Name != "" {
		claims["name"] = user.Name
	}
	return claims
}

// token ties challenge, person and session together. Lengths come first, so that no two triples make
// the same bytes.
func (o *Operations) token(caller principal.Principal, challenge string) string {
	mac := hmac.New(sha256.New, o.Secret)
	for _, part := range []string{challenge, caller.UserID.String(), caller.SessionID} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
