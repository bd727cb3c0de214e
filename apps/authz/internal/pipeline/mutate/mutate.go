// Package mutate writes what the upstream learns about the caller. One file per mutator, named as in
// the rules file.
package mutate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// Mutator changes the session's headers, which replace the request's on its way to the upstream.
type Mutator interface {
	Mutate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error
}

// Deps are what mutators share.
type Deps struct {
	// Signer returns the signer whose keys are at location.
	Signer   func(location string) (*keys.Signer, error)
	Upstream *upstream.Client
	// Identity are the headers that only this service may set, canonical and sorted.
	Identity []string
	Now      func() time.Time
	// Tokens are those that id_token minted and may use again. They outlive the rules.
	Tokens *cache.Cache[string]
	// Hydrations are answers of hydrators whose rules let them be kept. They outlive the rules. nil keeps nothing.
	Hydrations *cache.Lookup[[]byte]
	// Warn is told at load time of settings that work but are dangerous.
	Warn func(format string, args ...any)
}

// New builds the mutator of that name from its merged configuration.
func New(name string, config map[string]any, deps Deps) (Mutator, error) {
	switch name {
	case "noop":
		return noop{}, nil
	case "header":
		return newHeader(config)
	case "cookie":
		return newCookie(config)
	case "hydrator":
		return newHydrator(config, deps)
	case "id_token":
		return newIDToken(config, deps)
	default:
		return nil, fmt.Errorf("mutator %q is %w", name, pipeline.ErrUnsupported)
	}
}

// Headers names every header that the mutator of that name may ever set with its merged configuration,
// valid or not. A client's own value of any of them is removed from requests whose rule does not set it.
// A hydrator's headers are known only when it answers, and Cookie holds cookies that are nobody's identity.
func Headers(name string, config map[string]any) []string {
	switch name {
	case "header":
		headers, _ := config["headers"].(map[string]any)
		return slices.Collect(maps.Keys(headers))
	case "id_token":
		return []string{"Authorization"}
	default:
		return nil
	}
}
