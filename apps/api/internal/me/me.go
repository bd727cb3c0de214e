// Package me answers GET /api/me: who is calling.
package me

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/users"
)

// Operation is the use case; anyone who is somebody may ask.
type Operation struct{}

// GetMe implements part of openapi.StrictServerInterface.
func (Operation) GetMe(ctx context.Context, _ openapi.GetMeRequestObject) (openapi.GetMeResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	var me openapi.Me
	switch caller.Kind {
	case principal.Client:
		err = me.FromMeClient(openapi.MeClient{Id: caller.ClientID, Scopes: scopes(caller)})
		return openapi.GetMe200JSONResponse(me), err
	case principal.APIKey:
		err = me.FromMeApiKey(openapi.MeApiKey{
			Id: caller.KeyID, Scopes: scopes(caller), OrganizationId: known(caller.OrganizationID), UserId: known(caller.UserID),
		})
		return openapi.GetMe200JSONResponse(me), err
	}

	user, admitted := users.From(ctx)
	if !admitted {
		return nil, errors.New("a user who was not admitted reached an operation")
	}
	answer := openapi.MeUser{Id: user.ID, Email: user.Email, Name: user.Name}
	if caller.Delegated() {
		granted := scopes(caller)
		answer.ClientId, answer.Scopes = &caller.ClientID, &granted
	}
	err = me.FromMeUser(answer)
	return openapi.GetMe200JSONResponse(me), err
}

// known is nil for no id.
func known(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// scopes is never null in the answer.
func scopes(p principal.Principal) []string { return append([]string{}, p.Scopes...) }
