package organizations

import (
	"context"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/organizations/row"
)

// UpdateOrganization gives an organization another name or slug.
func (o *Operations) UpdateOrganization(ctx context.Context, r openapi.UpdateOrganizationRequestObject) (openapi.UpdateOrganizationResponseObject, error) {
	var updated row.Organization
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := rows.Lock(ctx, r.Organization)
		if err != nil {
			return database.Missing(err)
		}
		if err := etag.Match(r.Params.IfMatch, before.Version); err != nil {
			return err
		}
		wanted := row.UpdateParams{ID: before.ID, Slug: before.Slug, Name: before.Name}
		if r.Body.Slug != nil {
			wanted.Slug = *r.Body.Slug
		}
		if r.Body.Name != nil {
			wanted.Name = *r.Body.Name
		}
		if updated, err = rows.Update(ctx, wanted); err != nil {
			return taken(err)
		}
		u.Audit(audit.Event{
			Organization: updated.ID, Action: "organization.update", Target: target(updated.ID),
			Before: record(before), After: record(updated),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.UpdateOrganization200JSONResponse{
		Body:    answer(updated),
		Headers: openapi.UpdateOrganization200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}
