package gateways

import (
	"context"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/gateways/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
)

// ListAccess lists everyone who may reach the gateway, with each reason why.
func (o *Operations) ListAccess(ctx context.Context, r openapi.ListAccessRequestObject) (openapi.ListAccessResponseObject, error) {
	p, err := page.Of(nil, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	after, err := page.Parts(r.Params.Cursor, 3)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).Access(ctx, row.AccessParams{
		GatewayID: r.Gateway, AfterKind: after[0], AfterSubject: after[1], AfterBecause: after[2], Rows: p.Rows(),
	})
	if err != nil {
		return nil, database.Problem(err)
	}
	found, next := page.CutParts(p, found, func(a row.AccessRow) []string { return []string{a.Kind, a.Subject, a.Because} })
	items := make([]openapi.AccessReason, 0, len(found))
	for _, a := range found {
		items = append(items, openapi.AccessReason{
			Type: openapi.AccessReasonType(a.Kind), Subject: a.Subject, Name: a.Name, Role: openapi.GatewayRole(a.Role),
			Because: openapi.AccessReasonBecause(a.Because),
		})
	}
	return openapi.ListAccess200JSONResponse{Items: items, NextCursor: next}, nil
}
