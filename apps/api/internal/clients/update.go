package clients

import (
	"context"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
)

// UpdateClient makes the client what the caller says, at Hydra before it commits: a right that is taken away is gone, or
// nothing was changed. The one case between, that Hydra follows and the commit fails, the sweep repairs.
func (o *Operations) UpdateClient(ctx context.Context, r openapi.UpdateClientRequestObject) (openapi.UpdateClientResponseObject, error) {
	wanted, err := o.wanted(*r.Body)
	if err != nil {
		return nil, err
	}
	var updated row.Oauth2Client
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := rows.Lock(ctx, row.LockParams{OrganizationID: r.Organization, ID: r.Client})
		if err != nil {
			return database.Missing(err)
		}
		if err := etag.Match(r.Params.IfMatch, before.Version); err != nil {
			return err
		}
		updated, err = rows.Update(ctx, row.UpdateParams{
			ID: before.ID, Name: wanted.Name, GrantTypes: wanted.GrantTypes, RedirectUris: wanted.RedirectURIs,
			Scopes: wanted.Scopes, Audience: wanted.Audience,
		})
		if err != nil {
			return err
		}
		u.Audit(audit.Event{
			Organization: updated.OrganizationID, Action: "client.update", Target: target(updated.ID),
			Before: record(before), After: record(updated),
		})
		if err := o.Server.SetClient(ctx, updated.ID, wanted); err != nil {
			return refused(err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.UpdateClient200JSONResponse{
		Body: answer(updated), Headers: openapi.UpdateClient200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}
