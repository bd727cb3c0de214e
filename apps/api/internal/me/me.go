// Package me is about whoever is calling: who they are, where they are signed in, what they may do, and how they leave.
package me

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/users"
)

// Operations are the use cases.
type Operations struct {
	Accounts users.Accounts
	Saga     *users.Saga
	Changes  *change.Changes
	// Index answers what somebody may do.
	Index permission.Checker
	Now   func() time.Time
}

// GetMe implements part of openapi.StrictServerInterface.
func (*Operations) GetMe(ctx context.Context, _ openapi.GetMeRequestObject) (openapi.GetMeResponseObject, error) {
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
		err = me.FromMeAPIKey(openapi.MeAPIKey{
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
