package organizations

import (
	"context"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/organizations/row"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/principal"
)

// ListOrganizations lists those that the caller belongs to: a person's memberships. A client or an organization's key
// belongs to nothing and has what it was granted.
func (o *Operations) ListOrganizations(ctx context.Context, r openapi.ListOrganizationsRequestObject) (openapi.ListOrganizationsResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).ListOf(ctx, row.ListOfParams{UserID: caller.UserID, After: p.After, Rows: p.Rows()})
	if err != nil {
		return nil, database.Missing(err)
	}
	found, next := page.Cut(p, found, func(f row.ListOfRow) uuid.UUID { return f.ID })
	items := make([]openapi.OrganizationOfCaller, 0, len(found))
	for _, f := range found {
		items = append(items, openapi.OrganizationOfCaller{
			Id: f.ID, Slug: f.Slug, Name: f.Name, Role: openapi.OrganizationRole(f.Role),
			CreatedAt: f.CreatedAt.UTC(), UpdatedAt: f.UpdatedAt.UTC(),
		})
	}
	return openapi.ListOrganizations200JSONResponse{Items: items, NextCursor: next}, nil
}
