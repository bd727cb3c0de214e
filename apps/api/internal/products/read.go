package products

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/products/row"
)

// GetProduct returns one product.
func (o *Operations) GetProduct(ctx context.Context, r openapi.GetProductRequestObject) (openapi.GetProductResponseObject, error) {
	found, err := row.New(o.Pool).Find(ctx, r.Product)
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetProduct200JSONResponse{
		Body: answer(found), Headers: openapi.GetProduct200ResponseHeaders{ETag: etag.Of(found.Version)},
	}, nil
}

// ListProducts lists a gateway's. That the caller may view the gateway is known; private products take more.
func (o *Operations) ListProducts(ctx context.Context, r openapi.ListProductsRequestObject) (openapi.ListProductsResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	subject, err := access.SubjectOf(caller)
	if err != nil {
		return nil, err
	}
	edits, err := o.Rows.Check(ctx, permission.Question{Subject: subject, Permit: "edit", Object: permission.Of(permission.Gateway, r.Gateway)})
	if err != nil {
		return nil, database.Problem(err)
	}
	found, err := row.New(o.Pool).List(ctx, row.ListParams{GatewayID: r.Gateway, After: p.After, Private: edits[0], Rows: p.Rows()})
	if err != nil {
		return nil, database.Problem(err)
	}
	found, next := page.Cut(p, found, func(f row.Product) uuid.UUID { return f.ID })
	items := make([]openapi.Product, 0, len(found))
	for _, f := range found {
		items = append(items, answer(f))
	}
	return openapi.ListProducts200JSONResponse{Items: items, NextCursor: next}, nil
}

// GetProductDocument returns the product's OpenAPI document.
func (o *Operations) GetProductDocument(ctx context.Context, r openapi.GetProductDocumentRequestObject) (openapi.GetProductDocumentResponseObject, error) {
	document, err := o.document(ctx, r.Product)
	return openapi.GetProductDocument200JSONResponse(document), err
}

func (o *Operations) document(ctx context.Context, product uuid.UUID) (map[string]any, error) {
	encoded, err := row.New(o.Pool).Document(ctx, product)
	if err != nil {
		return nil, database.Missing(err)
	}
	var out map[string]any
	return out, json.Unmarshal(encoded, &out)
}
