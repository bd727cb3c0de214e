package authn

import (
	"context"

	"gatehouse.internal/authz/internal/pipeline"
)

// noop accepts everybody and learns nothing.
type noop struct{}

func (noop) Authenticate(context.Context, *pipeline.Request, *pipeline.Session) error { return nil }
