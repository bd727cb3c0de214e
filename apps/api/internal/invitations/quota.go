package invitations

import (
	"context"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/problem"
)

// day is what mails are counted over.
const day = 24 * time.Hour

// mail has a mail sent when the change commits, unless there were too many: what we send in an organization's name reaches
// people who never asked for it. The organization is locked, so two requests cannot both be the last that is allowed.
func (o *Operations) mail(ctx context.Context, u *change.Unit, rows *row.Queries, i row.Invitation, mail uuid.UUID) error {
	now := o.Now()
	if err := rows.ForgetMails(ctx, row.ForgetMailsParams{OrganizationID: i.OrganizationID, Before: now.Add(-day)}); err != nil {
		return err
	}
	sent, err := rows.CountMails(ctx, row.CountMailsParams{OrganizationID: i.OrganizationID, InvitationID: i.ID})
	switch {
	case err != nil:
		return err
	case sent.Invitation >= int64(o.Settings.MailsPerInvitation):
		return problem.New(problem.RateLimited, "This invitation was sent too often today.")
	case sent.Organization >= int64(o.Settings.MailsPerOrganization):
		return problem.New(problem.RateLimited, "The organization has sent too many invitations today.")
	}
	u.Enqueue(Send{Mail: mail})
	return rows.AddMail(ctx, row.AddMailParams{ID: mail, InvitationID: i.ID, OrganizationID: i.OrganizationID, AskedAt: now})
}
