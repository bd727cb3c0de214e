package me

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// recent is how old a sign-in may be for what cannot be taken back. It is Kratos' privileged_session_max_age, after which
// it asks for the password again itself.
const recent = 15 * time.Minute

// DeleteMe deletes the caller's account.
func (o *Operations) DeleteMe(ctx context.Context, _ openapi.DeleteMeRequestObject) (openapi.DeleteMeResponseObject, error) {
	caller, sessions, err := o.sessions(ctx)
	if err != nil {
		return nil, err
	}
	// Kratos' word, not the door's: what the door knows of a session may be as old as its cache.
	here := slices.IndexFunc(sessions, func(session users.Session) bool { return session.ID == caller.SessionID })
	if here < 0 || o.Now().Sub(sessions[here].AuthenticatedAt) >= recent {
		return nil, problem.New(problem.RecentLoginRequired, "Sign in again, and then delete your account.")
	}
	started, err := o.Saga.Request(ctx, o.Changes, caller.UserID, users.Delete, func(ctx context.Context, tx pgx.Tx) error {
		return users.OwnsAlone(ctx, tx, caller.UserID)
	})
	if err != nil {
		return nil, err
	}
	return openapi.DeleteMe200JSONResponse(started), nil
}
