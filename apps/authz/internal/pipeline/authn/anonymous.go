package authn

import (
	"cmp"
	"context"

	"gatehouse.internal/authz/internal/pipeline"
)

// anonymous accepts those who send no Authorization header.
type anonymous struct {
	Subject string `json:"subject"`
}

func newAnonymous(config map[string]any) (Authenticator, error) {
	var a anonymous
	if err := pipeline.Decode(config, &a); err != nil {
		return nil, err
	}
	a.Subject = cmp.Or(a.Subject, "anonymous") // for Oathkeeper an empty subject is none
	return a, nil
}

func (a anonymous) Authenticate(_ context.Context, r *pipeline.Request, s *pipeline.Session) error {
	if r.Header.Get("Authorization") != "" {
		return pipeline.ErrNotResponsible
	}
	s.Subject = a.Subject
	return nil
}
