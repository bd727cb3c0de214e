package products

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/products/row"
)

// SearchDirectory lists published public products, to anyone. Their rows say that they are: no permission is asked.
func (o *Operations) SearchDirectory(ctx context.Context, r openapi.SearchDirectoryRequestObject) (openapi.SearchDirectoryResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	var found []row.DirectoryRow
	if words := strings.TrimSpace(text(r.Params.Q)); words != "" {
		var hits []row.SearchRow
		hits, err = row.New(database.Replanned{Pool: o.Pool}).Search(ctx, row.SearchParams{After: p.After, Words: words, Rows: p.Rows()})
		for _, hit := range hits {
			found = append(found, row.DirectoryRow(hit))
		}
	} else {
		found, err = row.New(o.Pool).Directory(ctx, row.DirectoryParams{After: p.After, Rows: p.Rows()})
	}
	if err != nil {
		return nil, database.Problem(err)
	}
	found, next := page.Cut(p, found, func(f row.DirectoryRow) uuid.UUID { return f.Product.ID })
	items := make([]openapi.DirectoryEntry, 0, len(found))
	for _, f := range found {
		items = append(items, entry(f))
	}
	return openapi.SearchDirectory200JSONResponse{Items: items, NextCursor: next}, nil
}

// GetDirectoryEntry returns one of them by its place.
func (o *Operations) GetDirectoryEntry(ctx context.Context, r openapi.GetDirectoryEntryRequestObject) (openapi.GetDirectoryEntryResponseObject, error) {
	found, err := row.New(o.Pool).Entry(ctx, row.EntryParams{
		OrganizationSlug: r.OrganizationSlug, GatewaySlug: r.GatewaySlug, ProductSlug: r.ProductSlug,
	})
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetDirectoryEntry200JSONResponse(entry(row.DirectoryRow(found))), nil
}

// GetDirectoryDocument returns its OpenAPI document.
func (o *Operations) GetDirectoryDocument(ctx context.Context, r openapi.GetDirectoryDocumentRequestObject) (openapi.GetDirectoryDocumentResponseObject, error) {
	found, err := row.New(o.Pool).Entry(ctx, row.EntryParams{
		OrganizationSlug: r.OrganizationSlug, GatewaySlug: r.GatewaySlug, ProductSlug: r.ProductSlug,
	})
	if err != nil {
		return nil, database.Missing(err)
	}
	document, err := o.document(ctx, found.Product.ID)
	return openapi.GetDirectoryDocument200JSONResponse(document), err
}

func entry(f row.DirectoryRow) openapi.DirectoryEntry {
	out := openapi.DirectoryEntry{
		Path: f.OrganizationSlug + "/" + f.GatewaySlug + "/" + f.Product.Slug, Name: f.Product.Name, Description: f.Product.Description,
		Release: f.Product.Release, FlowTypes: flowTypes(f.Product.FlowTypes), Organization: f.Organization, Gateway: f.Gateway,
		HasDocument: f.Product.HasDocument,
	}
	if f.Product.PublishedAt != nil {
		out.PublishedAt = f.Product.PublishedAt.UTC()
	}
	return out
}
