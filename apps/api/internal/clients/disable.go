package clients

import (
	"context"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
)

// DisableClient refuses the client tokens, and those that it has. From the commit on Hydra issues none (Registry.Issuable)
// and the API takes none (Registry.Admit); jobs end those that are out.
func (o *Operations) DisableClient(ctx context.Context, r openapi.DisableClientRequestObject) (openapi.DisableClientResponseObject, error) {
	changed, err := o.setDisabled(ctx, r.Organization, r.Client, true)
	if err != nil {
		return nil, err
	}
	return openapi.DisableClient200JSONResponse{
		Body: answer(changed), Headers: openapi.DisableClient200ResponseHeaders{ETag: etag.Of(changed.Version)},
	}, nil
}

// EnableClient lets the client get tokens again.
func (o *Operations) EnableClient(ctx context.Context, r openapi.EnableClientRequestObject) (openapi.EnableClientResponseObject, error) {
	changed, err := o.setDisabled(ctx, r.Organization, r.Client, false)
	if err != nil {
		return nil, err
	}
	return openapi.EnableClient200JSONResponse{
		Body: answer(changed), Headers: openapi.EnableClient200ResponseHeaders{ETag: etag.Of(changed.Version)},
	}, nil
}

func (o *Operations) setDisabled(ctx context.Context, organization uuid.UUID, id string, disabled bool) (row.Oauth2Client, error) {
	var changed row.Oauth2Client
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := rows.Lock(ctx, row.LockParams{OrganizationID: organization, ID: id})
		if err != nil {
			return database.Missing(err)
		}
		if disabled == (before.DisabledAt != nil) {
			return problem.New(problem.Conflict, "The client is that already.")
		}
		if changed, err = rows.SetDisabled(ctx, row.SetDisabledParams{ID: before.ID, Disabled: disabled}); err != nil {
			return err
		}
		event := audit.Event{
			Organization: changed.OrganizationID, Action: "client.enable", Target: target(changed.ID), Before: record(before), After: record(changed),
		}
		if disabled {
			event.Action = "client.disable"
			u.Publish(ended(changed.ID, time.Now()))
			u.Enqueue(End{ID: changed.ID}, End{ID: changed.ID, Late: true})
		}
		u.Audit(event)
		return nil
	})
	return changed, err
}

// ended takes away what was issued to a client until now, and spares what it gets once it is enabled again.
func ended(id string, now time.Time) feed.Entry {
	now = now.UTC()
	return feed.Entry{Kind: feed.Client, ID: id, NotBefore: &now, Expires: now.Add(feed.Lifetime)}
}
