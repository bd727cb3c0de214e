package gateways

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/gateways/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
)

// CreateGateway makes a gateway that the caller owns.
func (o *Operations) CreateGateway(ctx context.Context, r openapi.CreateGatewayRequestObject) (openapi.CreateGatewayResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	if err := usable(r.Body.Upstream); err != nil {
		return nil, err
	}
	var created row.Gateway
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		if err := rows.HoldOrganization(ctx, r.Organization); err != nil {
			return err
		}
		// The creator is given the gateway: somebody who was removed a moment ago must not be.
		if err := access.Still(ctx, u.Tx, "create_gateway", permission.Of(permission.Organization, r.Organization)); err != nil {
			return err
		}
		wanted := row.InsertParams{
			ID: uuid.Must(uuid.NewV7()), OrganizationID: r.Organization, Slug: r.Body.Slug, Name: r.Body.Name, Upstream: r.Body.Upstream,
		}
		if r.Body.Description != nil {
			wanted.Description = *r.Body.Description
		}
		if created, err = rows.Insert(ctx, wanted); err != nil {
			return taken(err)
		}
		// Only people may create one, so the creator is one.
		if _, err := rows.PutGrant(ctx, row.PutGrantParams{
			GatewayID: created.ID, SubjectKind: permission.KindUser, SubjectID: caller.UserID.String(), Role: string(permission.Owner),
			GrantedByKind: string(caller.Kind), GrantedByID: caller.ID(),
		}); err != nil {
			return err
		}
		u.Converge(object(created.ID))
		u.Audit(audit.Event{Organization: created.OrganizationID, Action: "gateway.create", Target: target(created.ID), After: record(created)})
		u.Answer(http.StatusCreated, answer(created))
		return nil
	})
	if err != nil {
		return nil, err
	}
	location := "/api/gateways/" + created.ID.String()
	return openapi.CreateGateway201JSONResponse{
		Body:    answer(created),
		Headers: openapi.CreateGateway201ResponseHeaders{ETag: etag.Of(created.Version), Location: &location},
	}, nil
}
