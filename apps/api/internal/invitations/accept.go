package invitations

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
)

// errNothingToDo ends a change that was made before. It never reaches the caller.
var errNothingToDo = problem.New(problem.Conflict, "This was done before.")

// AcceptInvitation makes the caller a member.
func (o *Operations) AcceptInvitation(ctx context.Context, r openapi.AcceptInvitationRequestObject) (openapi.AcceptInvitationResponseObject, error) {
	guest, err := o.guest(ctx)
	if err != nil {
		return nil, err
	}
	var joined openapi.AcceptInvitation200JSONResponse
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		found, err := find(ctx, rows, r.Body.Token, true)
		if err != nil {
			return err
		}
		if err := guest.isMeant(found); err != nil {
			return err
		}
		role, err := rows.Membership(ctx, row.MembershipParams{OrganizationID: found.OrganizationID, UserID: guest.id})
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		member := err == nil
		if member && found.AcceptedBy != nil && *found.AcceptedBy == guest.id {
			joined = openapi.AcceptInvitation200JSONResponse{OrganizationId: found.OrganizationID, Role: openapi.OrganizationRole(role)}
			return errNothingToDo
		}
		if err := o.open(found); err != nil {
			return err
		}
		if member {
			return problem.New(problem.AlreadyMember, "You are a member of this organization.")
		}
		joined = openapi.AcceptInvitation200JSONResponse{OrganizationId: found.OrganizationID, Role: openapi.OrganizationRole(found.Role)}
		return o.join(ctx, u, rows, found, guest)
	})
	if err != nil && !errors.Is(err, errNothingToDo) {
		return nil, err
	}
	return joined, nil
}

// open refuses what can be answered no more.
func (o *Operations) open(i row.Invitation) error {
	switch status(i, o.Now()) {
	case openapi.InvitationStatusOpen:
		return nil
	case openapi.InvitationStatusExpired:
		return problem.New(problem.InvitationExpired, "This invitation was not answered in time. Ask for another one.")
	}
	return over()
}

// join makes the guest a member, when the inviter could make them one today.
func (o *Operations) join(ctx context.Context, u *change.Unit, rows *row.Queries, i row.Invitation, g guest) error {
	held, err := rows.Vouch(ctx, row.VouchParams{OrganizationID: i.OrganizationID, UserID: i.InvitedBy})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if !mayGive(held, i.Role) {
		return problem.New(problem.InvitationVoid, "Whoever invited you may not do so any more. Ask for another invitation.")
	}
	if err := rows.Join(ctx, row.JoinParams{OrganizationID: i.OrganizationID, UserID: g.id, Role: i.Role}); err != nil {
		return err
	}
	accepted, err := rows.Accept(ctx, row.AcceptParams{ID: i.ID, AcceptedBy: g.id, At: o.Now()})
	if err != nil {
		return err
	}
	u.Converge(permission.Of(permission.Organization, i.OrganizationID))
	u.Audit(event(accepted, "invitation.accept"))
	u.Audit(audit.Event{
		Organization: i.OrganizationID, Action: "member.join",
		Target: audit.Target{Kind: "user", ID: g.id.String()}, After: recorded{i.Role},
	})
	return nil
}
