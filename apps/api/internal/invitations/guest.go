package invitations

import (
	"bytes"
	"context"
	"errors"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// guest is the caller as somebody who was invited.
type guest struct {
	id      uuid.UUID
	address string // verified, or ""
}

// guest asks Kratos who the caller is. The copy in the database, and what the door knows of a session, may be as old as an
// address that was somebody else's by now.
func (o *Operations) guest(ctx context.Context) (guest, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return guest{}, err
	}
	identity, err := o.Identities.Identity(ctx, caller.UserID)
	switch {
	case errors.Is(err, users.ErrNoIdentity):
		return guest{}, problem.New(problem.Unauthenticated, "Sign in or send a valid access token.").Because(err)
	case err != nil:
		return guest{}, problem.New(problem.Unavailable, "Your address cannot be verified right now. Try again.").Because(err)
	case !identity.Active:
		return guest{}, problem.New(problem.AccountDisabled, "This account is disabled.")
	case !identity.EmailVerified:
		return guest{id: identity.ID}, nil
	}
	return guest{id: identity.ID, address: identity.Email}, nil
}

// isMeant refuses everybody but the person whose address was invited. It says nothing of that address: whether the caller's
// own is verified comes first and does not depend on it.
func (g guest) isMeant(i row.Invitation) error {
	switch {
	case i.AcceptedBy != nil && *i.AcceptedBy == g.id: // whatever their address is today
		return nil
	case g.address == "":
		return problem.New(problem.AddressUnverified, "Verify your address first.")
	case !sameAddress(g.address, i.Email):
		return problem.New(problem.InvitationForAnother, "This invitation is for another address than yours.")
	}
	return nil
}

// find reads the invitation that a token opens, locked when told to. A token that opens none is like an id that nothing has.
func find(ctx context.Context, rows *row.Queries, text string, locked bool) (row.Invitation, error) {
	hash := token(text).hash()
	found, err := rows.ByToken(ctx, hash)
	if err != nil {
		return found, database.Missing(err)
	}
	if !locked {
		return found, nil
	}
	if found, err = lock(ctx, rows, found.OrganizationID, found.ID); err != nil {
		return found, err
	}
	if !bytes.Equal(found.TokenHash, hash) { // sent again in between
		return found, problem.Hidden()
	}
	return found, nil
}
