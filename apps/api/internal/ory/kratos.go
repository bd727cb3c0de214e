package ory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	client "github.com/ory/client-go"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/users"
)

// KratosPublic answers for sessions. It implements principal.Sessions.
type KratosPublic struct{ server }

// NewKratosPublic speaks to Kratos' public port.
func NewKratosPublic(base string, c *http.Client) *KratosPublic {
	return &KratosPublic{newServer(base, "/health/ready", c)}
}

// Session implements principal.Sessions.
func (k *KratosPublic) Session(ctx context.Context, cookies ...string) (principal.KratosSession, error) {
	header := make([]string, 0, len(cookies))
	for _, value := range cookies {
		header = append(header, (&http.Cookie{Name: principal.SessionCookie, Value: value}).String())
	}
	session, response, err := k.api.FrontendAPI.ToSession(ctx).Cookie(strings.Join(header, "; ")).Execute()
	switch {
	case status(response) == http.StatusUnauthorized:
		return principal.KratosSession{}, k.certain(ctx, principal.ErrRejected)
	case status(response) == http.StatusForbidden && errorID(err) == "session_aal2_required":
		return principal.KratosSession{}, principal.ErrStepUp
	case err != nil:
		return principal.KratosSession{}, fmt.Errorf("kratos whoami: %d: %w", status(response), clean(err))
	case !session.GetActive() || session.Identity == nil || session.Identity.GetState() == stateInactive:
		return principal.KratosSession{}, principal.ErrRejected
	}
	person, err := identity(session.Identity)
	if err != nil {
		return principal.KratosSession{}, fmt.Errorf("kratos whoami: %w", err)
	}
	return principal.KratosSession{
		ID: session.Id, AAL: string(session.GetAuthenticatorAssuranceLevel()),
		UserID: person.ID, Email: person.Email, EmailVerified: person.EmailVerified,
	}, nil
}

// KratosAdmin reads identities. It implements users.Identities.
type KratosAdmin struct{ server }

// NewKratosAdmin speaks to Kratos' admin port.
func NewKratosAdmin(base string, c *http.Client) *KratosAdmin {
	return &KratosAdmin{newServer(base, "/admin/health/ready", c)}
}

// Identity implements users.Identities. That there is none buries the user's row, so it must be Kratos'
// own word on the admin port (where alone the readiness path exists), not any 404 of a wrong address.
func (k *KratosAdmin) Identity(ctx context.Context, id uuid.UUID) (users.Identity, error) {
	found, response, err := k.api.IdentityAPI.GetIdentity(ctx, id.String()).Execute()
	switch {
	case status(response) == http.StatusNotFound && errorCode(err) == http.StatusNotFound:
		return users.Identity{}, k.certain(ctx, users.ErrNoIdentity)
	case err != nil:
		return users.Identity{}, fmt.Errorf("kratos identity: %d: %w", status(response), clean(err))
	}
	person, err := identity(found)
	if err == nil && person.ID != id {
		err = errors.New("another identity than the one asked for")
	}
	if err != nil {
		return users.Identity{}, fmt.Errorf("kratos identity: %w", err)
	}
	return person, nil
}

const stateInactive = "inactive"

// identity reads what the API copies. An address counts as verified only when it is the one in the
// traits and Kratos says so.
func identity(found *client.Identity) (users.Identity, error) {
	id, err := uuid.Parse(found.Id)
	if err != nil {
		return users.Identity{}, fmt.Errorf("identity id: %w", err)
	}
	encoded, err := json.Marshal(found.Traits)
	if err != nil {
		return users.Identity{}, fmt.Errorf("traits: %w", err)
	}
	var traits struct {
		Email  string `json:"email"`
		Name   string `json:"name"`
		Locale string `json:"locale"`
	}
	if err := json.Unmarshal(encoded, &traits); err != nil {
		return users.Identity{}, fmt.Errorf("traits: %w", err)
	}
	out := users.Identity{
		ID: id, Email: traits.Email, Name: traits.Name, Locale: traits.Locale,
		Active: found.GetState() != stateInactive,
	}
	for _, address := range found.VerifiableAddresses {
		if address.Via == "email" && strings.EqualFold(address.Value, traits.Email) {
			out.EmailVerified = out.EmailVerified || address.Verified
		}
	}
	return out, nil
}

// genericError is the shape of Kratos' errors.
type genericError struct {
	Error struct {
		ID   string `json:"id"`
		Code int    `json:"code"`
	} `json:"error"`
}

func parsed(err error) genericError {
	var out genericError
	if answer, ok := errors.AsType[*client.GenericOpenAPIError](err); ok {
		_ = json.Unmarshal(answer.Body(), &out) // not JSON: not Kratos' word, which the zero value says
	}
	return out
}

func errorID(err error) string { return parsed(err).Error.ID }
func errorCode(err error) int  { return parsed(err).Error.Code }
