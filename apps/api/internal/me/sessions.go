package me

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// ListMySessions lists where the caller is signed in.
func (o *Operations) ListMySessions(ctx context.Context, _ openapi.ListMySessionsRequestObject) (openapi.ListMySessionsResponseObject, error) {
	caller, sessions, err := o.sessions(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]openapi.MySession, 0, len(sessions))
	for _, session := range sessions {
		id, err := uuid.Parse(session.ID)
		if err != nil {
			return nil, err
		}
		one := openapi.MySession{
			Id: id, Current: session.ID == caller.SessionID,
			AuthenticatedAt: session.AuthenticatedAt.UTC(), ExpiresAt: session.ExpiresAt.UTC(),
		}
		if session.AAL != "" {
			one.Aal = &session.AAL
		}
		if session.Address != "" {
			one.Address = &session.Address
		}
		if session.UserAgent != "" {
			one.UserAgent = &session.UserAgent
		}
		items = append(items, one)
	}
	return openapi.ListMySessions200JSONResponse{Items: items}, nil
}

// EndMySession signs the caller out in one place.
func (o *Operations) EndMySession(ctx context.Context, r openapi.EndMySessionRequestObject) (openapi.EndMySessionResponseObject, error) {
	_, sessions, err := o.sessions(ctx)
	if err != nil {
		return nil, err
	}
	// Kratos ends any session by its id: that it is the caller's own is checked here.
	sessions = slices.DeleteFunc(sessions, func(session users.Session) bool { return session.ID != r.Session.String() })
	if len(sessions) == 0 {
		return nil, problem.Hidden()
	}
	if err := o.end(ctx, sessions); err != nil {
		return nil, err
	}
	return openapi.EndMySession204Response{}, nil
}

// EndMyOtherSessions signs the caller out everywhere else.
func (o *Operations) EndMyOtherSessions(ctx context.Context, _ openapi.EndMyOtherSessionsRequestObject) (openapi.EndMyOtherSessionsResponseObject, error) {
	caller, sessions, err := o.sessions(ctx)
	if err != nil {
		return nil, err
	}
	sessions = slices.DeleteFunc(sessions, func(session users.Session) bool { return session.ID == caller.SessionID })
	if len(sessions) > 0 {
		if err := o.end(ctx, sessions); err != nil {
			return nil, err
		}
	}
	return openapi.EndMyOtherSessions204Response{}, nil
}

// sessions returns the caller's that are active.
func (o *Operations) sessions(ctx context.Context) (principal.Principal, []users.Session, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return caller, nil, err
	}
	sessions, err := o.Accounts.Sessions(ctx, caller.UserID)
	if err != nil {
		return caller, nil, problem.New(problem.Unavailable, "Your sessions cannot be read right now. Try again.").Because(err)
	}
	return caller, slices.DeleteFunc(sessions, func(session users.Session) bool { return !session.Active }), nil
}

// clocks may differ by this much.
const clocks = time.Minute

// end ends sessions at Kratos, and then tells the doors, which may remember them.
func (o *Operations) end(ctx context.Context, sessions []users.Session) error {
	return o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		for _, session := range sessions {
			if err := o.Accounts.EndSession(ctx, session.ID); err != nil {
				return problem.New(problem.Unavailable, "A session cannot be ended right now. Try again.").Because(err)
			}
			u.Publish(feed.Entry{Kind: feed.Session, ID: session.ID, Expires: session.ExpiresAt.Add(clocks)})
			u.Audit(audit.Event{Action: "session.end", Target: audit.Target{Kind: "session", ID: session.ID}})
		}
		return nil
	})
}
