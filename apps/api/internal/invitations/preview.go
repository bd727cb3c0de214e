package invitations

import (
	"context"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
)

// PreviewInvitation tells the person who was invited what to.
func (o *Operations) PreviewInvitation(ctx context.Context, r openapi.PreviewInvitationRequestObject) (openapi.PreviewInvitationResponseObject, error) {
	guest, err := o.guest(ctx)
	if err != nil {
		return nil, err
	}
	rows := row.New(o.Pool)
	found, err := find(ctx, rows, r.Body.Token, false)
	if err != nil {
		return nil, err
	}
	if err := guest.isMeant(found); err != nil {
		return nil, err
	}
	about, err := rows.Described(ctx, row.DescribedParams{OrganizationID: found.OrganizationID, InvitedBy: found.InvitedBy})
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.PreviewInvitation200JSONResponse{
		OrganizationName: about.Name, OrganizationSlug: about.Slug, Inviter: about.Inviter,
		Role: openapi.OrganizationRole(found.Role), Status: status(found, o.Now()), ExpiresAt: found.ExpiresAt.UTC(),
	}, nil
}
