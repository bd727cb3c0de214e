package invitations

import (
	"context"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
)

// ListInvitations lists an organization's invitations, those that can be accepted unless all are asked for.
func (o *Operations) ListInvitations(ctx context.Context, r openapi.ListInvitationsRequestObject) (openapi.ListInvitationsResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).List(ctx, row.ListParams{
		OrganizationID: r.Organization, After: p.After, Rows: p.Rows(), At: o.Now(),
		OnlyOpen: r.Params.State == nil || *r.Params.State != openapi.ListInvitationsParamsStateAll,
	})
	if err != nil {
		return nil, database.Problem(err)
	}
	found, next := page.Cut(p, found, func(i row.Invitation) uuid.UUID { return i.ID })
	items := make([]openapi.Invitation, 0, len(found))
	for _, i := range found {
		items = append(items, o.answer(i))
	}
	return openapi.ListInvitations200JSONResponse{Items: items, NextCursor: next}, nil
}
