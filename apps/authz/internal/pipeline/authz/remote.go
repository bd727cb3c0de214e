package authz

import (
	"context"

	"gatehouse.internal/authz/internal/pipeline"
)

// remote asks another server with the request's own body.
type remote struct{ question }

func newRemote(config map[string]any, deps Deps) (Authorizer, error) {
	var c questionConfig
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	q, err := newQuestion(c, deps)
	if err != nil {
		return nil, err
	}
	deps.Warn("remote: the question is the caller's own body, and empty unless the proxy sends it (with_request_body); " +
		"a server that takes its question from the body, as Keto does, needs remote_json")
	return &remote{q}, nil
}

func (a *remote) Authorize(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	return a.ask(ctx, r, s, r.Header.Get("Content-Type"), r.Body)
}
