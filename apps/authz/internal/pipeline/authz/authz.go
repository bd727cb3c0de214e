// Package authz answers whether the caller may. One file per authorizer, named as in the rules file.
package authz

import (
	"context"
	"fmt"

	"gatehouse.internal/authz/internal/pipeline"
)

// Authorizer returns nil, a *pipeline.Denial, or another error when it could not find out.
type Authorizer interface {
	Authorize(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error
}

// New builds the authorizer of that name from its merged configuration.
func New(name string, _ map[string]any) (Authorizer, error) {
	switch name {
	case "allow":
		return allow{}, nil
	case "deny":
		return deny{}, nil
	default:
		return nil, fmt.Errorf("authorizer %q is not supported", name)
	}
}
