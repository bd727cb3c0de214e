// Package audit writes down who did what. A row is written in the transaction of the change it tells of, so neither is
// ever without the other, and nothing changes a row afterwards: the service's database role cannot.
package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/audit/row"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/request"
)

// Event is one change. Before and After are what a reader of the log may see: never a secret.
type Event struct {
	// Organization is uuid.Nil for what belongs to none.
	Organization uuid.UUID
	// Action is a dotted verb, "organization.create"; actions are added, never changed.
	Action string
	Target Target
	Before any
	After  any
}

// Target is what was changed.
type Target struct{ Kind, ID string }

// Actor is who did it.
type Actor struct {
	Kind, ID string
	ClientID string // the client that a person acted through
}

// System acts where nobody asked: a job, or a command on the server.
var System = Actor{Kind: "system", ID: "gatehouse"}

// ActorOf names the principal of ctx; outside of a request it is System.
func ActorOf(ctx context.Context) Actor {
	caller, err := principal.From(ctx)
	if err != nil {
		return System
	}
	actor := Actor{Kind: string(caller.Kind), ID: caller.ID()}
	if caller.Delegated() {
		actor.ClientID = caller.ClientID
	}
	return actor
}

// Record adds the event to the transaction.
func Record(ctx context.Context, tx pgx.Tx, event Event) error {
	before, err := document(event.Before)
	if err != nil {
		return err
	}
	after, err := document(event.After)
	if err != nil {
		return err
	}
	actor, info := ActorOf(ctx), request.From(ctx)
	parameters := row.AddParams{
		ID: uuid.Must(uuid.NewV7()), ActorKind: actor.Kind, ActorID: actor.ID,
		Action: event.Action, TargetKind: event.Target.Kind, TargetID: event.Target.ID,
		RequestID: info.ID, Before: before, After: after,
	}
	if event.Organization != uuid.Nil {
		parameters.OrganizationID = &event.Organization
	}
	if actor.ClientID != "" {
		parameters.ActorClientID = &actor.ClientID
	}
	if info.Address.IsValid() {
		parameters.Address = &info.Address
	}
	return row.New(tx).Add(ctx, parameters)
}

func document(value any) ([]byte, error) {
	if value == nil {
		return nil, nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return encoded, nil
}
