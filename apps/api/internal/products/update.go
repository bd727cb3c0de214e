package products

import (
	"context"
	"time"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/products/row"
)

// UpdateProduct makes the product what the caller says.
func (o *Operations) UpdateProduct(ctx context.Context, r openapi.UpdateProductRequestObject) (openapi.UpdateProductResponseObject, error) {
	var updated row.Product
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		l, err := lock(ctx, u, r.Product, r.Params.IfMatch)
		if err != nil {
			return err
		}
		wanted := string(r.Body.Visibility)
		if wider(l.before.Visibility, wanted) {
			// The rows are asked: the caller's right may have gone a moment ago.
			if err := access.Still(ctx, u.Tx, "publish", object(l.before.ID)); err != nil {
				return err
			}
		}
		updated, err = l.rows.Update(ctx, row.UpdateParams{
			ID: l.before.ID, Slug: r.Body.Slug, Name: r.Body.Name, Description: text(r.Body.Description),
			Release: text(r.Body.Release), Visibility: wanted, FlowTypes: names(r.Body.FlowTypes),
		})
		if err != nil {
			return taken(err)
		}
		u.Converge(object(updated.ID))
		u.Withdraw(permission.Without(tuples(l.before), tuples(updated))...)
		l.audited("product.update", updated)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.UpdateProduct200JSONResponse{
		Body: answer(updated), Headers: openapi.UpdateProduct200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}

func tuples(p row.Product) []permission.Tuple {
	return permission.ProductTuples(p.ID, p.GatewayID, permission.Visibility(p.Visibility))
}

// wider tells whether more people may see a product with the second visibility.
func wider(before, after string) bool {
	rank := map[string]int{string(permission.Private): 0, string(permission.WithinOrganization): 1, string(permission.Public): 2}
	return rank[after] > rank[before]
}

// DeleteProduct ends a product.
func (o *Operations) DeleteProduct(ctx context.Context, r openapi.DeleteProductRequestObject) (openapi.DeleteProductResponseObject, error) {
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		l, err := lock(ctx, u, r.Product, r.Params.IfMatch)
		if err != nil {
			return err
		}
		u.Converge(object(l.before.ID))
		u.Audit(audit.Event{Organization: l.organization, Action: "product.delete", Target: target(l.before.ID), Before: record(l.before)})
		return l.rows.Delete(ctx, l.before.ID)
	})
	if err != nil {
		return nil, err
	}
	return openapi.DeleteProduct204Response{}, nil
}

// PublishProduct publishes a product. Doing it again changes nothing, not even the time.
func (o *Operations) PublishProduct(ctx context.Context, r openapi.PublishProductRequestObject) (openapi.PublishProductResponseObject, error) {
	now := time.Now()
	updated, err := o.setPublished(ctx, r.Product, r.Params.IfMatch, &now, "product.publish")
	if err != nil {
		return nil, err
	}
	return openapi.PublishProduct200JSONResponse{
		Body: answer(updated), Headers: openapi.PublishProduct200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}

// UnpublishProduct takes a product out of the directory.
func (o *Operations) UnpublishProduct(ctx context.Context, r openapi.UnpublishProductRequestObject) (openapi.UnpublishProductResponseObject, error) {
	updated, err := o.setPublished(ctx, r.Product, r.Params.IfMatch, nil, "product.unpublish")
	if err != nil {
		return nil, err
	}
	return openapi.UnpublishProduct200JSONResponse{
		Body: answer(updated), Headers: openapi.UnpublishProduct200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}

func (o *Operations) setPublished(ctx context.Context, id openapi.ProductID, ifMatch *string, at *time.Time, action string) (row.Product, error) {
	var updated row.Product
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		l, err := lock(ctx, u, id, ifMatch)
		if err != nil {
			return err
		}
		updated = l.before
		if (l.before.PublishedAt != nil) != (at != nil) {
			if updated, err = l.rows.SetPublished(ctx, row.SetPublishedParams{ID: id, PublishedAt: at}); err != nil {
				return err
			}
		}
		l.audited(action, updated)
		return nil
	})
	return updated, err
}
