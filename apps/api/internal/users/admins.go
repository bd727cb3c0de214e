package users

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/users/row"
)

// Addresses finds identities by what they sign in with.
type Addresses interface {
	ByAddress(ctx context.Context, address string) ([]Identity, error)
}

// Admins makes and unmakes the platform's admins. Only the server's own command line does: no permit of the API makes
// anybody an admin of everything.
type Admins struct {
	directory *Directory
	addresses Addresses
	changes   *change.Changes
}

// NewAdmins returns those of a directory.
func NewAdmins(directory *Directory, addresses Addresses, changes *change.Changes) *Admins {
	return &Admins{directory, addresses, changes}
}

// Find returns the person that an identity id or a verified address names. An address that is not verified is anybody's.
func (a *Admins) Find(ctx context.Context, name string) (uuid.UUID, error) {
	if id, err := uuid.Parse(name); err == nil {
		return id, nil
	}
	found, err := a.addresses.ByAddress(ctx, name)
	if err != nil {
		return uuid.Nil, err
	}
	var id uuid.UUID
	for _, identity := range found {
		if identity.EmailVerified && strings.EqualFold(identity.Email, name) {
			if id != uuid.Nil {
				return uuid.Nil, errors.New("more than one identity has this address: name the id")
			}
			id = identity.ID
		}
	}
	if id == uuid.Nil {
		return uuid.Nil, errors.New("no identity has this as its verified address")
	}
	return id, nil
}

// Grant makes an active person an admin, and tells whether they were none.
func (a *Admins) Grant(ctx context.Context, id uuid.UUID) (changed bool, err error) {
	user, err := a.directory.Converge(ctx, id)
	if err != nil {
		return false, err
	}
	if user.State != active {
		return false, errors.New("the person is suspended")
	}
	return a.change(ctx, id, "platform_admin.grant", func(ctx context.Context, u *change.Unit) (int64, error) {
		u.Converge(permission.PlatformObject)
		return row.New(u.Tx).GrantAdmin(ctx, id)
	})
}

// Revoke unmakes an admin, suspended or not, and tells whether they were one.
func (a *Admins) Revoke(ctx context.Context, id uuid.UUID) (changed bool, err error) {
	return a.change(ctx, id, "platform_admin.revoke", func(ctx context.Context, u *change.Unit) (int64, error) {
		u.Withdraw(permission.PlatformTuples([]uuid.UUID{id})...)
		return row.New(u.Tx).Dismiss(ctx, id)
	})
}

// errUnchanged rolls back what would be a change of nothing, its line in the audit log above all.
var errUnchanged = errors.New("unchanged")

// change tells whether act changed any row.
func (a *Admins) change(ctx context.Context, id uuid.UUID, action string, act func(context.Context, *change.Unit) (int64, error)) (bool, error) {
	err := a.changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		u.Audit(audit.Event{Action: action, Target: audit.Target{Kind: "user", ID: id.String()}})
		rows, err := act(ctx, u)
		if err == nil && rows == 0 {
			err = errUnchanged
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	return err == nil, err
}

// List returns the admins.
func (a *Admins) List(ctx context.Context) ([]row.AdminsRow, error) {
	found, err := row.New(a.directory.pool).Admins(ctx)
	if err != nil {
		return nil, fmt.Errorf("platform admins: %w", err)
	}
	return found, nil
}
