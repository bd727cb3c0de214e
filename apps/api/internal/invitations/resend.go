package invitations

import (
	"context"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
)

// ResendInvitation sends another mail, and with it another token. The caller answers for the invitation from now on, so that
// one whose inviter has left can be saved.
func (o *Operations) ResendInvitation(ctx context.Context, r openapi.ResendInvitationRequestObject) (openapi.ResendInvitationResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	var renewed row.Invitation
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := lock(ctx, rows, r.Organization, r.Invitation)
		if err != nil {
			return err
		}
		if ended(before) {
			return over()
		}
		if err := holds(ctx, rows, r.Organization, caller.UserID, before.Role); err != nil {
			return err
		}
		if err := stranger(ctx, rows, r.Organization, before.Email); err != nil {
			return err
		}
		mail, now := uuid.Must(uuid.NewV7()), o.Now()
		if err := o.mail(ctx, u, rows, before, mail); err != nil {
			return err
		}
		renewed, err = rows.Renew(ctx, row.RenewParams{
			ID: before.ID, MailID: &mail, InvitedBy: caller.UserID, ExpiresAt: now.Add(o.Settings.Lifetime), At: now,
		})
		if err != nil {
			return err
		}
		u.Audit(event(renewed, "invitation.resend"))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.ResendInvitation200JSONResponse{
		Body: o.answer(renewed), Headers: openapi.ResendInvitation200ResponseHeaders{ETag: etag.Of(renewed.Version)},
	}, nil
}
