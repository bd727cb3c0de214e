package invitations

import (
	"context"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
)

// GetInvitation returns one invitation.
func (o *Operations) GetInvitation(ctx context.Context, r openapi.GetInvitationRequestObject) (openapi.GetInvitationResponseObject, error) {
	found, err := row.New(o.Pool).Find(ctx, row.FindParams{OrganizationID: r.Organization, ID: r.Invitation})
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetInvitation200JSONResponse{
		Body: o.answer(found), Headers: openapi.GetInvitation200ResponseHeaders{ETag: etag.Of(found.Version)},
	}, nil
}
