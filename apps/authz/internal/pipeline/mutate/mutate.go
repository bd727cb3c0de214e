// Package mutate writes what the upstream learns about the caller. One file per mutator, named as in
// the rules file.
package mutate

import (
	"context"
	"fmt"
	"time"

	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/pipeline"
)

// Mutator changes the session's headers, which replace the request's on its way to the upstream.
type Mutator interface {
	Mutate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error
	// Headers names every header that this mutator may ever set. A client's own value of any of them
	// is removed from requests whose rule does not set it.
	Headers() []string
}

// Deps are what mutators share.
type Deps struct {
	// Signer returns the signer whose keys are at location.
	Signer func(location string) (*keys.Signer, error)
	Now    func() time.Time
}

// New builds the mutator of that name from its merged configuration.
func New(name string, config map[string]any, deps Deps) (Mutator, error) {
	switch name {
	case "noop":
		return noop{}, nil
	case "header":
		return newHeader(config)
	case "id_token":
		return newIDToken(config, deps)
	default:
		return nil, fmt.Errorf("mutator %q is not supported", name)
	}
}
