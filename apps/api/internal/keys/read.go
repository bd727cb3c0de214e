package keys

import (
	"context"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/keys/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
)

// ListOrganizationAPIKeys lists an organization's keys.
func (o *Operations) ListOrganizationAPIKeys(ctx context.Context, r openapi.ListOrganizationAPIKeysRequestObject) (openapi.ListOrganizationAPIKeysResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).ListOfOrganization(ctx, row.ListOfOrganizationParams{OrganizationID: r.Organization, After: p.After, Rows: p.Rows()})
	if err != nil {
		return nil, database.Problem(err)
	}
	return openapi.ListOrganizationAPIKeys200JSONResponse(cut(p, found)), nil
}

// ListMyAPIKeys lists the caller's own keys.
func (o *Operations) ListMyAPIKeys(ctx context.Context, r openapi.ListMyAPIKeysRequestObject) (openapi.ListMyAPIKeysResponseObject, error) {
	of, err := ofCaller(ctx)
	if err != nil {
		return nil, err
	}
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).ListOfUser(ctx, row.ListOfUserParams{UserID: *of.user, After: p.After, Rows: p.Rows()})
	if err != nil {
		return nil, database.Problem(err)
	}
	return openapi.ListMyAPIKeys200JSONResponse(cut(p, found)), nil
}

func cut(p page.Page, found []row.ApiKey) openapi.APIKeyPage {
	found, next := page.Cut(p, found, func(key row.ApiKey) uuid.UUID { return key.ID })
	items := make([]openapi.APIKey, 0, len(found))
	for _, key := range found {
		items = append(items, answer(key))
	}
	return openapi.APIKeyPage{Items: items, NextCursor: next}
}

// GetOrganizationAPIKey returns one of an organization's keys.
func (o *Operations) GetOrganizationAPIKey(ctx context.Context, r openapi.GetOrganizationAPIKeyRequestObject) (openapi.GetOrganizationAPIKeyResponseObject, error) {
	found, err := o.find(ctx, ofOrganization(r.Organization), r.Key)
	if err != nil {
		return nil, err
	}
	return openapi.GetOrganizationAPIKey200JSONResponse{
		Body: answer(found), Headers: openapi.GetOrganizationAPIKey200ResponseHeaders{ETag: etag.Of(found.Version)},
	}, nil
}

// GetMyAPIKey returns one of the caller's own keys.
func (o *Operations) GetMyAPIKey(ctx context.Context, r openapi.GetMyAPIKeyRequestObject) (openapi.GetMyAPIKeyResponseObject, error) {
	of, err := ofCaller(ctx)
	if err != nil {
		return nil, err
	}
	found, err := o.find(ctx, of, r.Key)
	if err != nil {
		return nil, err
	}
	return openapi.GetMyAPIKey200JSONResponse{
		Body: answer(found), Headers: openapi.GetMyAPIKey200ResponseHeaders{ETag: etag.Of(found.Version)},
	}, nil
}

func (o *Operations) find(ctx context.Context, of owner, id uuid.UUID) (row.ApiKey, error) {
	found, err := row.New(o.Pool).Find(ctx, row.FindParams{ID: id, OrganizationID: of.organization, UserID: of.user})
	if err != nil {
		return found, database.Missing(err)
	}
	return found, nil
}
