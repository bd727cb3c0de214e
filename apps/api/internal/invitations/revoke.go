package invitations

import (
	"context"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
)

// RevokeInvitation takes an invitation back. Any admin may, whatever its role: nobody has lost anything by it.
func (o *Operations) RevokeInvitation(ctx context.Context, r openapi.RevokeInvitationRequestObject) (openapi.RevokeInvitationResponseObject, error) {
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := lock(ctx, rows, r.Organization, r.Invitation)
		if err != nil {
			return err
		}
		if err := etag.Match(r.Params.IfMatch, before.Version); err != nil {
			return err
		}
		if ended(before) {
			return over()
		}
		revoked, err := rows.Revoke(ctx, row.RevokeParams{ID: before.ID, At: o.Now()})
		if err != nil {
			return err
		}
		u.Audit(event(revoked, "invitation.revoke"))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.RevokeInvitation204Response{}, nil
}
