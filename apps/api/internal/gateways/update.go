package gateways

import (
	"context"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/gateways/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
)

// UpdateGateway makes the gateway what the caller says.
func (o *Operations) UpdateGateway(ctx context.Context, r openapi.UpdateGatewayRequestObject) (openapi.UpdateGatewayResponseObject, error) {
	if err := usable(r.Body.Upstream); err != nil {
		return nil, err
	}
	var updated row.Gateway
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows, before, err := lock(ctx, u, r.Gateway)
		if err != nil {
			return err
		}
		if err := etag.Match(r.Params.IfMatch, before.Version); err != nil {
			return err
		}
		wanted := row.UpdateParams{ID: before.ID, Slug: r.Body.Slug, Name: r.Body.Name, Upstream: r.Body.Upstream}
		if r.Body.Description != nil {
			wanted.Description = *r.Body.Description
		}
		if updated, err = rows.Update(ctx, wanted); err != nil {
			return taken(err)
		}
		u.Audit(audit.Event{
			Organization: updated.OrganizationID, Action: "gateway.update", Target: target(updated.ID),
			Before: record(before), After: record(updated),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.UpdateGateway200JSONResponse{
		Body: answer(updated), Headers: openapi.UpdateGateway200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}

// DeleteGateway ends a gateway that has no products.
func (o *Operations) DeleteGateway(ctx context.Context, r openapi.DeleteGatewayRequestObject) (openapi.DeleteGatewayResponseObject, error) {
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows, before, err := lock(ctx, u, r.Gateway)
		if err != nil {
			return err
		}
		if err := etag.Match(r.Params.IfMatch, before.Version); err != nil {
			return err
		}
		has, err := rows.HasProducts(ctx, before.ID)
		if err != nil {
			return err
		}
		if has {
			return problem.New(problem.NotEmpty, "The gateway still has products.")
		}
		u.Converge(object(before.ID))
		u.Audit(audit.Event{Organization: before.OrganizationID, Action: "gateway.delete", Target: target(before.ID), Before: record(before)})
		return rows.Delete(ctx, before.ID)
	})
	if err != nil {
		return nil, err
	}
	return openapi.DeleteGateway204Response{}, nil
}
