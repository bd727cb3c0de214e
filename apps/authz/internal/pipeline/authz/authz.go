// Package authz answers whether the caller may. One file per authorizer, named as in the rules file.
package authz

import (
	"context"
	"fmt"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// Authorizer returns nil, a *pipeline.Denial, or another error when it could not find out.
type Authorizer interface {
	Authorize(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error
}

// Deps are what authorizers share.
type Deps struct {
	Upstream *upstream.Client
	// Warn is told at load time of settings that work but are dangerous.
	Warn func(format string, args ...any)
}

// New builds the authorizer of that name from its merged configuration.
func New(name string, config map[string]any, deps Deps) (Authorizer, error) {
	switch name {
	case "allow":
		return allow{}, nil
	case "deny":
		return deny{}, nil
	case "remote":
		return newRemote(config, deps)
	case "remote_json":
		return newRemoteJSON(config, deps)
	default:
		return nil, fmt.Errorf("authorizer %q is %w", name, pipeline.ErrUnsupported)
	}
}

// Headers names every header that the authorizer may set on the request to the upstream, from its
// merged configuration, valid or not.
func Headers(config map[string]any) []string {
	var names []string
	list, _ := config["forward_response_headers_to_upstream"].([]any)
	for _, item := range list {
		if name, isText := item.(string); isText {
			names = append(names, name)
		}
	}
	return names
}
