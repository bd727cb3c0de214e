package users

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/request"
	"gatehouse.internal/api/internal/users/row"
)

// Operations are the use cases of the platform's admins.
type Operations struct {
	Pool    *pgxpool.Pool
	Changes *change.Changes
	Saga    *Saga
}

// patience is how long a request waits for an operation that it started. It goes on without it.
const patience = 3 * time.Second

// ListUsers searches people.
func (o *Operations) ListUsers(ctx context.Context, r openapi.ListUsersRequestObject) (openapi.ListUsersResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	parameters := row.SearchParams{After: p.After, AtMost: p.Rows()}
	if r.Params.Email != nil {
		parameters.Email = *r.Params.Email
	}
	if r.Params.Name != nil {
		parameters.Name = *r.Params.Name
	}
	if r.Params.State != nil {
		parameters.State = stored[*r.Params.State]
	}
	found, err := row.New(database.Replanned{Pool: o.Pool}).Search(ctx, parameters)
	if err != nil {
		return nil, database.Missing(err)
	}
	found, next := page.Cut(p, found, func(f row.SearchRow) uuid.UUID { return f.User.ID })
	items := make([]openapi.User, 0, len(found))
	for _, f := range found {
		items = append(items, shown(f.User, f.PlatformAdmin))
	}
	return openapi.ListUsers200JSONResponse{Items: items, NextCursor: next}, nil
}

// GetUser returns one person, deleted or not.
func (o *Operations) GetUser(ctx context.Context, r openapi.GetUserRequestObject) (openapi.GetUserResponseObject, error) {
	found, err := row.New(o.Pool).One(ctx, r.User)
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetUser200JSONResponse(shown(found.User, found.PlatformAdmin)), nil
}

// ListUserOperations lists what was done to a person, newest first.
func (o *Operations) ListUserOperations(ctx context.Context, r openapi.ListUserOperationsRequestObject) (openapi.ListUserOperationsResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	rows := row.New(o.Pool)
	if _, err := rows.Get(ctx, r.User); err != nil {
		return nil, database.Missing(err)
	}
	found, err := rows.OperationsOf(ctx, row.OperationsOfParams{UserID: r.User, Before: p.After, AtMost: p.Rows()})
	if err != nil {
		return nil, database.Missing(err)
	}
	found, next := page.Cut(p, found, func(operation row.UserOperation) uuid.UUID { return operation.ID })
	items := make([]openapi.UserOperation, 0, len(found))
	for _, operation := range found {
		one, err := Shown(operation)
		if err != nil {
			return nil, err
		}
		items = append(items, one)
	}
	return openapi.ListUserOperations200JSONResponse{Items: items, NextCursor: next}, nil
}

// StartUserOperation suspends, reactivates or deletes a person.
func (o *Operations) StartUserOperation(ctx context.Context, r openapi.StartUserOperationRequestObject) (openapi.StartUserOperationResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	if r.User == caller.UserID { // an admin who locks themselves out by a slip
		return nil, problem.New(problem.Forbidden, "This is your own account. Delete it by DELETE /api/me.")
	}
	started, err := o.Saga.Request(ctx, o.Changes, r.User, Kind(r.Body.Kind), nil)
	if err != nil {
		return nil, err
	}
	return openapi.StartUserOperation201JSONResponse(started), nil
}

// ListOwnerlessOrganizations lists organizations whose owners are all gone or suspended.
func (o *Operations) ListOwnerlessOrganizations(ctx context.Context, r openapi.ListOwnerlessOrganizationsRequestObject) (openapi.ListOwnerlessOrganizationsResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).Ownerless(ctx, row.OwnerlessParams{After: p.After, AtMost: p.Rows()})
	if err != nil {
		return nil, database.Missing(err)
	}
	found, next := page.Cut(p, found, func(f row.OwnerlessRow) uuid.UUID { return f.ID })
	items := make([]openapi.OwnerlessOrganization, 0, len(found))
	for _, f := range found {
		items = append(items, openapi.OwnerlessOrganization{Id: f.ID, Slug: f.Slug, Name: f.Name, CreatedAt: f.CreatedAt.UTC()})
	}
	return openapi.ListOwnerlessOrganizations200JSONResponse{Items: items, NextCursor: next}, nil
}

// Request starts an operation for the caller of ctx and goes with it as far as it gets in a moment. allowed may refuse it
// within the transaction.
func (s *Saga) Request(
	ctx context.Context, changes *change.Changes, user uuid.UUID, kind Kind, allowed func(context.Context, pgx.Tx) error,
) (openapi.UserOperation, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return openapi.UserOperation{}, err
	}
	subject, err := access.SubjectOf(caller)
	if err != nil {
		return openapi.UserOperation{}, err
	}
	by := Requester{By: subject.String(), RequestID: request.From(ctx).ID}
	var started row.UserOperation
	err = changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		found, err := row.New(u.Tx).Get(ctx, user)
		if err != nil {
			return database.Missing(err)
		}
		if found.DeletedAt != nil {
			return problem.New(problem.AccountDeleted, "This person is deleted.")
		}
		if allowed != nil {
			if err := allowed(ctx, u.Tx); err != nil {
				return err
			}
		}
		u.Audit(audit.Event{
			Action: "user." + string(kind), Target: audit.Target{Kind: "user", ID: user.String()},
			Before: recorded{found.State},
		})
		started, err = s.Start(ctx, u.Tx, user, kind, by)
		return err
	})
	if err != nil {
		return openapi.UserOperation{}, err
	}
	s.goOn(ctx, &started)
	return Shown(started)
}

// recorded is what the audit log shows of a person.
type recorded struct {
	State string `json:"state"`
}

// goOn works on an operation while somebody waits for it. What is left a job does, so no failure matters here.
func (s *Saga) goOn(ctx context.Context, operation *row.UserOperation) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_ = s.Advance(ctx, operation.ID) // it has written down and logged why not
	if now, err := row.New(s.directory.pool).Operation(ctx, operation.ID); err == nil {
		*operation = now
	}
}

// OwnsAlone fails when the person is the last owner of an organization who may act.
func OwnsAlone(ctx context.Context, tx pgx.Tx, user uuid.UUID) error {
	if err := row.New(tx).HoldOwned(ctx, user); err != nil {
		return err
	}
	alone, err := row.New(tx).OwnedAlone(ctx, user)
	if err != nil {
		return err
	}
	if len(alone) > 0 {
		return problem.New(problem.LastOwner, "You are the last owner of an organization. Transfer or delete it first.")
	}
	return nil
}

// stored are the states as the table has them.
var stored = map[openapi.UserState]string{
	openapi.UserStateActive: active, openapi.UserStateSuspended: inactive, openapi.UserStateDeleted: "deleted",
}

func shown(user row.User, platformAdmin bool) openapi.User {
	out := openapi.User{
		Id: user.ID, Email: user.Email, EmailVerified: user.EmailVerified, Name: user.DisplayName, Locale: user.Locale,
		State: openapi.UserStateActive, PlatformAdmin: platformAdmin,
		CreatedAt: user.CreatedAt.UTC(), UpdatedAt: user.UpdatedAt.UTC(),
	}
	switch {
	case user.DeletedAt != nil:
		out.State = openapi.UserStateDeleted
	case user.State != active:
		out.State = openapi.UserStateSuspended
	}
	return out
}

// Shown is an operation in the words of the API.
func Shown(operation row.UserOperation) (openapi.UserOperation, error) {
	var steps []Step
	if err := json.Unmarshal(operation.Steps, &steps); err != nil {
		return openapi.UserOperation{}, fmt.Errorf("operation %s: %w", operation.ID, err)
	}
	out := openapi.UserOperation{
		Id: operation.ID, Kind: openapi.UserOperationKind(operation.Kind), RequestedBy: operation.RequestedBy,
		Steps: make([]openapi.UserOperationStep, 0, len(steps)), CreatedAt: operation.CreatedAt.UTC(), FinishedAt: operation.FinishedAt,
	}
	for _, step := range steps {
		one := openapi.UserOperationStep{Name: step.Name, DoneAt: step.DoneAt}
		if step.Error != "" {
			one.Error = &step.Error
		}
		out.Steps = append(out.Steps, one)
	}
	return out, nil
}
