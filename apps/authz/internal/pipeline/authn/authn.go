// Package authn answers who is calling. One file per authenticator, named as in the rules file.
package authn

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// Authenticator fills the session. It returns pipeline.ErrNotResponsible when the request has no
// credential of its kind, a *pipeline.Denial when it has a bad one, and any other error when it
// could not find out.
type Authenticator interface {
	Authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error
}

// Deps are what authenticators share.
type Deps struct {
	Upstream *upstream.Client
	Keys     *keys.Store
	Now      func() time.Time
	// Caches outlive the rules that use them.
	Caches Caches
	// ChecksumPrefixes begin the tokens that bearer_token asks nobody about unless their checksum holds.
	ChecksumPrefixes []string
	// NextOnError names authenticators whose 401 lets the next one try, where Oathkeeper would stop.
	NextOnError []string
	// Warn is told at load time of settings that work but are dangerous.
	Warn func(format string, args ...any)
}

// New builds the authenticator of that name from its merged configuration.
func New(name string, config map[string]any, deps Deps) (Authenticator, error) {
	built, err := native(name, config, deps)
	if err == nil && slices.Contains(deps.NextOnError, name) {
		return nextOnError{built}, nil
	}
	return built, err
}

func native(name string, config map[string]any, deps Deps) (Authenticator, error) {
	switch name {
	case "noop":
		return noop{}, nil
	case "unauthorized":
		return unauthorized{}, nil
	case "anonymous":
		return newAnonymous(config)
	case "cookie_session":
		return newCookieSession(config, deps)
	case "bearer_token":
		return newBearerToken(config, deps)
	case "jwt":
		return newJWT(config, deps)
	case "oauth2_introspection":
		return newIntrospection(config, deps)
	default:
		return nil, fmt.Errorf("authenticator %q is %w", name, pipeline.ErrUnsupported)
	}
}
