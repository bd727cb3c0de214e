package authn

import (
	"context"
	"errors"

	"gatehouse.internal/authz/internal/pipeline"
)

// nextOnError turns "these credentials are bad" into "not mine", for rules that let in also those whose cookie
// has run out. It is for a 401 only: a missing second factor, a rate limit and an outage still stop.
type nextOnError struct{ Authenticator }

func (a nextOnError) Authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	err := a.Authenticator.Authenticate(ctx, r, s)
	var denial *pipeline.Denial
	if errors.As(err, &denial) && denial.Code == pipeline.CodeUnauthenticated {
		return pipeline.ErrNotResponsible
	}
	return err
}

// Warm passes on what the wrapped authenticator may have to fetch.
func (a nextOnError) Warm() {
	if warmer, can := a.Authenticator.(interface{ Warm() }); can {
		warmer.Warm()
	}
}
