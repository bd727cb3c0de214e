package invitations

import (
	"context"
	"errors"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
)

// DeclineInvitation ends an invitation for the person who was invited.
func (o *Operations) DeclineInvitation(ctx context.Context, r openapi.DeclineInvitationRequestObject) (openapi.DeclineInvitationResponseObject, error) {
	guest, err := o.guest(ctx)
	if err != nil {
		return nil, err
	}
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		found, err := find(ctx, rows, r.Body.Token, true)
		if err != nil {
			return err
		}
		if err := guest.isMeant(found); err != nil {
			return err
		}
		if found.DeclinedAt != nil {
			return errNothingToDo
		}
		if err := o.open(found); err != nil {
			return err
		}
		declined, err := rows.Decline(ctx, row.DeclineParams{ID: found.ID, At: o.Now()})
		if err != nil {
			return err
		}
		u.Audit(event(declined, "invitation.decline"))
		return nil
	})
	if err != nil && !errors.Is(err, errNothingToDo) {
		return nil, err
	}
	return openapi.DeclineInvitation204Response{}, nil
}
