package gateways

import (
	"context"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/gateways/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
)

// GetGateway returns one gateway.
func (o *Operations) GetGateway(ctx context.Context, r openapi.GetGatewayRequestObject) (openapi.GetGatewayResponseObject, error) {
	found, err := row.New(o.Pool).Find(ctx, r.Gateway)
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetGateway200JSONResponse{
		Body: answer(found), Headers: openapi.GetGateway200ResponseHeaders{ETag: etag.Of(found.Version)},
	}, nil
}

// ListGateways lists those of an organization, all of which its members may view.
func (o *Operations) ListGateways(ctx context.Context, r openapi.ListGatewaysRequestObject) (openapi.ListGatewaysResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).List(ctx, row.ListParams{OrganizationID: r.Organization, After: p.After, Rows: p.Rows()})
	if err != nil {
		return nil, database.Problem(err)
	}
	return openapi.ListGateways200JSONResponse(cut(p, found)), nil
}

// ListMyGateways lists all that the caller may view: what the rows say, which a test holds against Keto.
func (o *Operations) ListMyGateways(ctx context.Context, r openapi.ListMyGatewaysRequestObject) (openapi.ListMyGatewaysResponseObject, error) {
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
	rows := row.New(o.Pool)
	var found []row.Gateway
	if subject.Namespace == permission.User {
		found, err = rows.ListOfUser(ctx, row.ListOfUserParams{UserID: caller.UserID, After: p.After, Rows: p.Rows()})
	} else {
		found, err = rows.ListOfSubject(ctx, row.ListOfSubjectParams{
			SubjectKind: string(caller.Kind), SubjectID: subject.ID, After: p.After, Rows: p.Rows(),
		})
	}
	if err != nil {
		return nil, database.Problem(err)
	}
	return openapi.ListMyGateways200JSONResponse(cut(p, found)), nil
}

func cut(p page.Page, found []row.Gateway) openapi.GatewayPage {
	found, next := page.Cut(p, found, func(g row.Gateway) uuid.UUID { return g.ID })
	items := make([]openapi.Gateway, 0, len(found))
	for _, g := range found {
		items = append(items, answer(g))
	}
	return openapi.GatewayPage{Items: items, NextCursor: next}
}
