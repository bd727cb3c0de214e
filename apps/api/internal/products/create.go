package products

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/products/row"
)

// CreateProduct makes a product that is not published.
func (o *Operations) CreateProduct(ctx context.Context, r openapi.CreateProductRequestObject) (openapi.CreateProductResponseObject, error) {
	var created row.Product
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		if err := rows.HoldOrganization(ctx, r.Gateway); err != nil {
			return err
		}
		organization, err := rows.Organization(ctx, r.Gateway)
		if err != nil {
			return database.Missing(err)
		}
		wanted := row.InsertParams{
			ID: uuid.Must(uuid.NewV7()), GatewayID: r.Gateway, Slug: r.Body.Slug, Name: r.Body.Name,
			Description: text(r.Body.Description), Release: text(r.Body.Release),
			Visibility: string(r.Body.Visibility), FlowTypes: names(r.Body.FlowTypes),
		}
		if created, err = rows.Insert(ctx, wanted); err != nil {
			return taken(err)
		}
		u.Converge(object(created.ID))
		u.Audit(audit.Event{Organization: organization, Action: "product.create", Target: target(created.ID), After: record(created)})
		u.Answer(http.StatusCreated, answer(created))
		return nil
	})
	if err != nil {
		return nil, err
	}
	location := "/api/products/" + created.ID.String()
	return openapi.CreateProduct201JSONResponse{
		Body:    answer(created),
		Headers: openapi.CreateProduct201ResponseHeaders{ETag: etag.Of(created.Version), Location: &location},
	}, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
