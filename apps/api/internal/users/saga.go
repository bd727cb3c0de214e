package users

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users/row"
)

// Kind is what is done to a person.
type Kind string

// The kinds.
const (
	Suspend    Kind = "suspend"
	Reactivate Kind = "reactivate"
	Delete     Kind = "delete"
)

// Step is one of an operation, in the form in which it is stored.
type Step struct {
	Name   string     `json:"name"`
	DoneAt *time.Time `json:"done_at,omitempty"`
	// Error is what the last try ended with, in words that an admin of the platform may see.
	Error string `json:"error,omitempty"`
}

// Saga suspends, reactivates and deletes people. Four servers know of a person and no transaction spans them, so each is
// an operation: a row of steps in an order that is safe to be left at any point, each of which may be repeated. A step
// is done when the row says so; a process that dies leaves the next one to do the step again.
type Saga struct {
	directory *Directory
	accounts  Accounts
	grants    Grants
	// Touch notes in tx that rows which the permission index shows have changed.
	Touch func(ctx context.Context, tx pgx.Tx, objects ...permission.Object) error
	// Enqueue makes somebody Advance the operation after tx has committed.
	Enqueue func(ctx context.Context, tx pgx.Tx, operation uuid.UUID) error
	// Now is the time by which what was issued before is told from what is issued after.
	Now func() time.Time
	// FailPoint, when a test sets it, is called around every step and may fail there or end the process.
	FailPoint func(name string) error
}

// NewSaga returns one for the people of a directory. What happened to them at Kratos itself is completed from now on: whoever
// was suspended or deleted there loses the rest as well.
func NewSaga(directory *Directory, accounts Accounts, grants Grants) *Saga {
	s := &Saga{directory: directory, accounts: accounts, grants: grants, Now: time.Now}
	directory.follow = s.followKratos
	return s
}

// Requester is who asked for an operation.
type Requester struct {
	// By is a subject ("User:<id>"), or SystemRequester.
	By string
	// RequestID is the request's, "" outside of one.
	RequestID string
}

// SystemRequester stands for nobody: something was found to be so.
const SystemRequester = "system"

// Start begins an operation when tx commits. A person has one at a time.
func (s *Saga) Start(ctx context.Context, tx pgx.Tx, user uuid.UUID, kind Kind, by Requester) (row.UserOperation, error) {
	return s.start(ctx, tx, user, kind, by, order[kind])
}

func (s *Saga) start(ctx context.Context, tx pgx.Tx, user uuid.UUID, kind Kind, by Requester, names []string) (row.UserOperation, error) {
	steps, err := json.Marshal(planned(names))
	if err != nil {
		return row.UserOperation{}, err
	}
	operation, err := row.New(tx).StartOperation(ctx, row.StartOperationParams{
		ID: uuid.Must(uuid.NewV7()), UserID: user, Kind: string(kind), RequestedBy: by.By, RequestID: by.RequestID, Steps: steps,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return row.UserOperation{}, errBusy
	}
	if err != nil {
		return row.UserOperation{}, err
	}
	return operation, s.Enqueue(ctx, tx, operation.ID)
}

var errBusy = problem.New(problem.OperationInProgress, "Another operation on this person is not finished.")

// followKratos starts what an operator who used Kratos' admin port did not think of.
func (s *Saga) followKratos(ctx context.Context, tx pgx.Tx, user uuid.UUID, kind Kind) error {
	_, err := s.start(ctx, tx, user, kind, Requester{By: SystemRequester}, following[kind])
	if errors.Is(err, errBusy) { // it is our own operation that was seen
		return nil
	}
	return err
}

// Advance does what is left of an operation, and returns nil when nothing is. Whoever else does so at the same time waits.
func (s *Saga) Advance(ctx context.Context, operation uuid.UUID) error {
	for {
		finished, err := s.advance(ctx, operation)
		if err != nil || finished {
			return err
		}
	}
}

// advance does one step. The row is locked meanwhile: a step of one operation is never done twice at once.
func (s *Saga) advance(ctx context.Context, id uuid.UUID) (finished bool, err error) {
	turn, err := s.directory.turn(ctx)
	if err != nil {
		return false, err
	}
	defer turn()
	var name string
	err = pgx.BeginFunc(ctx, s.directory.pool, func(tx pgx.Tx) error {
		operation, err := row.New(tx).LockOperation(ctx, id)
		if err != nil {
			return err
		}
		if finished = operation.FinishedAt != nil; finished {
			return nil
		}
		var steps []Step
		if err := json.Unmarshal(operation.Steps, &steps); err != nil {
			return err
		}
		next := firstOpen(steps)
		if next < len(steps) {
			name = steps[next].Name
			if err := s.do(ctx, tx, name, operation); err != nil {
				return err
			}
			now := s.Now().UTC()
			steps[next].DoneAt, steps[next].Error = &now, ""
		}
		finished = next+1 >= len(steps)
		return save(ctx, tx, operation.ID, steps, finished, s.Now())
	})
	if err != nil {
		s.note(ctx, id, name, err)
		return false, database.Problem(fmt.Errorf("operation %s, step %s: %w", id, name, err))
	}
	return finished, s.at(name + " recorded")
}

func (s *Saga) do(ctx context.Context, tx pgx.Tx, name string, operation row.UserOperation) error {
	act, known := actions[name]
	if !known {
		return fmt.Errorf("unknown step %q", name) // of a newer release: it must not be passed over
	}
	if err := s.at(name + " begun"); err != nil {
		return err
	}
	if err := act(s, ctx, tx, operation); err != nil {
		return err
	}
	return s.at(name + " acted")
}

func (s *Saga) at(point string) error {
	if s.FailPoint == nil {
		return nil
	}
	return s.FailPoint(point)
}

func firstOpen(steps []Step) int {
	for i, step := range steps {
		if step.DoneAt == nil {
			return i
		}
	}
	return len(steps)
}

func save(ctx context.Context, tx pgx.Tx, operation uuid.UUID, steps []Step, finished bool, now time.Time) error {
	encoded, err := json.Marshal(steps)
	if err != nil {
		return err
	}
	parameters := row.SaveOperationParams{ID: operation, Steps: encoded}
	if finished {
		parameters.FinishedAt = &now
	}
	return row.New(tx).SaveOperation(ctx, parameters)
}

// note keeps why a step failed where the platform's admins see it. The transaction of the step is gone with what it wrote.
func (s *Saga) note(ctx context.Context, id uuid.UUID, name string, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.directory.timeout)
	defer cancel()
	err := pgx.BeginFunc(ctx, s.directory.pool, func(tx pgx.Tx) error {
		operation, err := row.New(tx).LockOperation(ctx, id)
		if err != nil {
			return err
		}
		var steps []Step
		if err := json.Unmarshal(operation.Steps, &steps); err != nil {
			return err
		}
		if i := firstOpen(steps); i < len(steps) && steps[i].Name == name {
			steps[i].Error = "It did not succeed and will be tried again."
			return save(ctx, tx, id, steps, false, time.Time{})
		}
		return nil
	})
	slog.WarnContext(ctx, "operation on a person", "operation", id, "step", name, "error", errors.Join(cause, err))
}
