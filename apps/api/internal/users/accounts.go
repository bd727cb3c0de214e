package users

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Accounts changes what Kratos has of a person. Each call may be repeated, and what is not there any more is no error,
// except where it says so.
type Accounts interface {
	// SetActive lets the person sign in, or not. ErrNoIdentity says that there is nobody.
	SetActive(ctx context.Context, user uuid.UUID, active bool) error
	// EndSessions ends all sessions.
	EndSessions(ctx context.Context, user uuid.UUID) error
	// EndSession ends one. Whose it is, is the caller's to check.
	EndSession(ctx context.Context, session string) error
	// Sessions are those that have not expired for long, the ended ones among them.
	Sessions(ctx context.Context, user uuid.UUID) ([]Session, error)
	// DeleteIdentity removes the person with everything that Kratos has of them.
	DeleteIdentity(ctx context.Context, user uuid.UUID) error
}

// Grants ends what a person allowed to OAuth 2.0 clients: at Hydra nothing ends with the sessions at Kratos.
type Grants interface {
	EndGrants(ctx context.Context, user uuid.UUID) error
}

// Session is one of a person's at Kratos.
type Session struct {
	ID              string
	Active          bool
	AAL             string
	AuthenticatedAt time.Time
	ExpiresAt       time.Time
	// Address and UserAgent are those that used it last; what a browser says of itself.
	Address, UserAgent string
}
