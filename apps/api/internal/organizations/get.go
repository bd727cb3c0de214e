package organizations

import (
	"context"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/organizations/row"
)

// GetOrganization returns one organization.
func (o *Operations) GetOrganization(ctx context.Context, r openapi.GetOrganizationRequestObject) (openapi.GetOrganizationResponseObject, error) {
	found, err := row.New(o.Pool).Find(ctx, r.Organization)
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetOrganization200JSONResponse{
		Body:    answer(found),
		Headers: openapi.GetOrganization200ResponseHeaders{ETag: etag.Of(found.Version)},
	}, nil
}
