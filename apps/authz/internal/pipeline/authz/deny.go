package authz

import (
	"context"

	"gatehouse.internal/authz/internal/pipeline"
)

// deny lets nothing pass.
type deny struct{}

func (deny) Authorize(context.Context, *pipeline.Request, *pipeline.Session) error {
	return pipeline.Forbidden("the rule denies everybody")
}
