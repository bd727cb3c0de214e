package authn

import (
	"context"

	"gatehouse.internal/authz/internal/pipeline"
)

// unauthorized refuses everybody.
type unauthorized struct{}

func (unauthorized) Authenticate(context.Context, *pipeline.Request, *pipeline.Session) error {
	return pipeline.Unauthenticated("the rule refuses everybody")
}
