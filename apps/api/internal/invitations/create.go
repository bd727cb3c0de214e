package invitations

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// CreateInvitation asks somebody to join.
func (o *Operations) CreateInvitation(ctx context.Context, r openapi.CreateInvitationRequestObject) (openapi.CreateInvitationResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	var created row.Invitation
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		if _, err := rows.LockOrganization(ctx, r.Organization); err != nil {
			return database.Missing(err)
		}
		email, role, now := string(r.Body.Email), string(r.Body.Role), o.Now()
		if err := holds(ctx, rows, r.Organization, caller.UserID, role); err != nil {
			return err
		}
		if err := stranger(ctx, rows, r.Organization, email); err != nil {
			return err
		}
		if err := rows.Retire(ctx, row.RetireParams{OrganizationID: r.Organization, Email: email, At: &now}); err != nil {
			return err
		}
		mail := uuid.Must(uuid.NewV7())
		created, err = rows.Insert(ctx, row.InsertParams{
			ID: uuid.Must(uuid.NewV7()), OrganizationID: r.Organization, Email: email, Role: role, Locale: language(ctx, r.Body.Locale),
			InvitedBy: caller.UserID, MailID: &mail, ExpiresAt: now.Add(o.Settings.Lifetime), At: now,
		})
		if database.Conflicts(err, "invitations_open") {
			return problem.New(problem.AlreadyInvited, "This address has an open invitation. Send that one again.").Because(err)
		}
		if err != nil {
			return err
		}
		if err := o.mail(ctx, u, rows, created, mail); err != nil {
			return err
		}
		u.Audit(event(created, "invitation.create"))
		u.Answer(http.StatusCreated, o.answer(created))
		return nil
	})
	if err != nil {
		return nil, err
	}
	location := "/api/organizations/" + created.OrganizationID.String() + "/invitations/" + created.ID.String()
	return openapi.CreateInvitation201JSONResponse{
		Body:    o.answer(created),
		Headers: openapi.CreateInvitation201ResponseHeaders{ETag: etag.Of(created.Version), Location: &location},
	}, nil
}

// stranger refuses an address of somebody who belongs to the organization.
func stranger(ctx context.Context, rows *row.Queries, organization uuid.UUID, email string) error {
	member, err := rows.IsMember(ctx, row.IsMemberParams{OrganizationID: organization, Email: email})
	if err != nil {
		return err
	}
	if member {
		return problem.New(problem.AlreadyMember, "The person with this address is a member.")
	}
	return nil
}

// language is the one chosen, else the caller's own. An account with the address has the last word when the mail is sent.
func language(ctx context.Context, chosen *openapi.Locale) string {
	if chosen != nil {
		return string(*chosen)
	}
	caller, _ := users.From(ctx)
	return spoken(caller.Locale)
}
