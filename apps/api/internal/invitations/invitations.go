// Package invitations is about asking people to join an organization, by mail. An invitation opens with a token that only its
// mail has: here is the token's hash. It must never be enough to hold the token, nor to own the address: whoever joins
// shows both, and whoever asked them must still hold what they gave.
package invitations

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// Settings bound what invitations may do.
type Settings struct {
	// Lifetime is how long one can be accepted.
	Lifetime time.Duration `mapstructure:"lifetime"`
	// MailsPerInvitation and MailsPerOrganization are how many mails each may cause within 24 hours.
	MailsPerInvitation   int `mapstructure:"mails_per_invitation"`
	MailsPerOrganization int `mapstructure:"mails_per_organization"`
}

// Defaults are what need not be said.
func Defaults() Settings {
	return Settings{Lifetime: 7 * 24 * time.Hour, MailsPerInvitation: 5, MailsPerOrganization: 200}
}

// Verify reports every problem at once.
func (s Settings) Verify() error {
	var problems []error
	if s.Lifetime < time.Minute || s.Lifetime > 90*24*time.Hour {
		problems = append(problems, errors.New("invitations.lifetime: must be from a minute to 90 days"))
	}
	if s.MailsPerInvitation < 1 {
		problems = append(problems, errors.New("invitations.mails_per_invitation: must be positive"))
	}
	if s.MailsPerOrganization < 1 {
		problems = append(problems, errors.New("invitations.mails_per_organization: must be positive"))
	}
	return errors.Join(problems...)
}

// Operations are the use cases.
type Operations struct {
	Pool    *pgxpool.Pool
	Changes *change.Changes
	// Identities has Kratos' own word on whose an address is.
	Identities users.Identities
	Settings   Settings
	Now        func() time.Time
}

// rank orders roles. Who is nothing to the organization has rank 0.
var rank = map[string]int{"member": 1, "admin": 2, "owner": 3}

// mayGive tells whether one whose role is held may invite others to a role. The permit to invite is an admin's.
func mayGive(held, role string) bool {
	return rank[held] >= rank["admin"] && rank[held] >= rank[role]
}

// holds refuses a caller who does not hold now what is given.
func holds(ctx context.Context, rows *row.Queries, organization, caller uuid.UUID, role string) error {
	held, err := rows.Vouch(ctx, row.VouchParams{OrganizationID: organization, UserID: caller})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if !mayGive(held, role) {
		return problem.New(problem.Forbidden, "Nobody can invite to a role above their own.")
	}
	return nil
}

// lock takes the organization's lock and then the invitation's: every change of one that exists begins here.
func lock(ctx context.Context, rows *row.Queries, organization, id uuid.UUID) (row.Invitation, error) {
	if _, err := rows.LockOrganization(ctx, organization); err != nil {
		return row.Invitation{}, database.Missing(err)
	}
	found, err := rows.Lock(ctx, row.LockParams{OrganizationID: organization, ID: id})
	if err != nil {
		return row.Invitation{}, database.Missing(err)
	}
	return found, nil
}

// status is what an invitation is at a time. One that was taken back after its time is still one whose time was over.
func status(i row.Invitation, at time.Time) openapi.InvitationStatus {
	switch {
	case i.AcceptedAt != nil:
		return openapi.InvitationStatusAccepted
	case i.DeclinedAt != nil:
		return openapi.InvitationStatusDeclined
	case i.RevokedAt != nil && i.RevokedAt.Before(i.ExpiresAt):
		return openapi.InvitationStatusRevoked
	case i.RevokedAt != nil || !at.Before(i.ExpiresAt):
		return openapi.InvitationStatusExpired
	}
	return openapi.InvitationStatusOpen
}

// ended tells whether nothing can become of an invitation any more. One that expired can be sent again.
func ended(i row.Invitation) bool {
	return i.AcceptedAt != nil || i.DeclinedAt != nil || i.RevokedAt != nil
}

func over() error {
	return problem.New(problem.InvitationEnded, "This invitation has been answered or taken back.")
}

// sameAddress compares without regard to the case of ASCII letters. Unicode knows letters that only become one of them
// when they are folded: those are other addresses.
func sameAddress(a, b string) bool { return a != "" && lower(a) == lower(b) }

func lower(address string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, address)
}

func (o *Operations) answer(i row.Invitation) openapi.Invitation {
	return openapi.Invitation{
		Id: i.ID, OrganizationId: i.OrganizationID, Email: i.Email, Role: openapi.OrganizationRole(i.Role),
		Locale: openapi.Locale(i.Locale), Status: status(i, o.Now()), InvitedBy: i.InvitedBy, AcceptedBy: i.AcceptedBy,
		SentAt: utc(i.SentAt), ExpiresAt: i.ExpiresAt.UTC(), CreatedAt: i.CreatedAt.UTC(), UpdatedAt: i.UpdatedAt.UTC(),
	}
}

func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	in := at.UTC()
	return &in
}

// recorded is what the audit log shows of an invitation. The address is not in it: nothing is ever deleted from that log.
type recorded struct {
	Role string `json:"role"`
}

func event(i row.Invitation, action string) audit.Event {
	return audit.Event{
		Organization: i.OrganizationID, Action: action,
		Target: audit.Target{Kind: "invitation", ID: i.ID.String()}, After: recorded{i.Role},
	}
}
