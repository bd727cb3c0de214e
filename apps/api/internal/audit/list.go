package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/audit/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
)

// Operations are the use cases of those who read the log.
type Operations struct{ Pool *pgxpool.Pool }

// ListAuditEvents returns a page of an organization's log.
func (o *Operations) ListAuditEvents(ctx context.Context, r openapi.ListAuditEventsRequestObject) (openapi.ListAuditEventsResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := o.read(ctx, p, filter{r.Organization, r.Params.Actor, r.Params.Action, r.Params.Target, r.Params.From, r.Params.Until})
	if err != nil {
		return nil, err
	}
	found, next := page.Cut(p, found, func(e row.AuditEvent) uuid.UUID { return e.ID })
	items := make([]openapi.AuditEvent, 0, len(found))
	for _, event := range found {
		items = append(items, answer(event))
	}
	return openapi.ListAuditEvents200JSONResponse{Items: items, NextCursor: next}, nil
}

// filter is which events are asked for; nil is all.
type filter struct {
	organization          uuid.UUID
	actor, action, target *string
	from, until           *time.Time
}

// read returns one row more than fits the page, when there is one.
func (o *Operations) read(ctx context.Context, p page.Page, f filter) ([]row.AuditEvent, error) {
	before := p.After
	if before == uuid.Nil {
		before = uuid.Max
	}
	found, err := row.New(o.Pool).List(ctx, row.ListParams{
		OrganizationID: &f.organization, BeforeID: before, Actor: f.actor, Action: f.action, Target: f.target,
		Since: f.from, Until: f.until, Rows: p.Rows(),
	})
	if err != nil {
		return nil, database.Problem(fmt.Errorf("audit: %w", err))
	}
	return found, nil
}

func answer(e row.AuditEvent) openapi.AuditEvent {
	out := openapi.AuditEvent{Id: e.ID, At: e.At.UTC(), Action: e.Action, RequestId: e.RequestID}
	out.Actor.Type, out.Actor.Id, out.Actor.ClientId = openapi.AuditEventActorType(e.ActorKind), e.ActorID, e.ActorClientID
	out.Target.Type, out.Target.Id = e.TargetKind, e.TargetID
	if e.Address != nil {
		address := e.Address.String()
		out.Address = &address
	}
	if e.Before != nil {
		out.Before = json.RawMessage(e.Before)
	}
	if e.After != nil {
		out.After = json.RawMessage(e.After)
	}
	return out
}
