package keys

import (
	"context"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/keys/row"
	"gatehouse.internal/api/internal/openapi"
)

// UpdateOrganizationAPIKey gives an organization's key another name.
func (o *Operations) UpdateOrganizationAPIKey(ctx context.Context, r openapi.UpdateOrganizationAPIKeyRequestObject) (openapi.UpdateOrganizationAPIKeyResponseObject, error) {
	updated, err := o.rename(ctx, ofOrganization(r.Organization), r.Key, r.Params.IfMatch, r.Body.Name)
	if err != nil {
		return nil, err
	}
	return openapi.UpdateOrganizationAPIKey200JSONResponse{
		Body: answer(updated), Headers: openapi.UpdateOrganizationAPIKey200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}

// UpdateMyAPIKey gives one of the caller's own keys another name.
func (o *Operations) UpdateMyAPIKey(ctx context.Context, r openapi.UpdateMyAPIKeyRequestObject) (openapi.UpdateMyAPIKeyResponseObject, error) {
	of, err := ofCaller(ctx)
	if err != nil {
		return nil, err
	}
	updated, err := o.rename(ctx, of, r.Key, r.Params.IfMatch, r.Body.Name)
	if err != nil {
		return nil, err
	}
	return openapi.UpdateMyAPIKey200JSONResponse{
		Body: answer(updated), Headers: openapi.UpdateMyAPIKey200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}

func (o *Operations) rename(ctx context.Context, of owner, id uuid.UUID, ifMatch *string, name string) (updated row.ApiKey, err error) {
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := lock(ctx, rows, of, id, ifMatch)
		if err != nil {
			return err
		}
		if updated, err = rows.Rename(ctx, row.RenameParams{ID: before.ID, Name: name}); err != nil {
			return err
		}
		u.Audit(of.event("api_key.update", updated, record(before), record(updated)))
		return nil
	})
	return updated, err
}
