package authz

import (
	"context"
	"errors"
	"fmt"

	"gatehouse.internal/authz/internal/pipeline"
)

// remoteJSON asks another server, such as Keto, with a JSON document made from the session.
type remoteJSON struct {
	question
	payload *pipeline.Template
}

func newRemoteJSON(config map[string]any, deps Deps) (Authorizer, error) {
	var c struct {
		questionConfig
		Payload string `json:"payload"`
	}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	if c.Payload == "" {
		return nil, errors.New("payload: missing")
	}
	payload, err := pipeline.NewTemplate("payload", c.Payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	q, err := newQuestion(c.questionConfig, deps)
	if err != nil {
		return nil, err
	}
	for _, action := range pipeline.Unescaped(c.Payload) {
		deps.Warn("remote_json: payload: %s stands in quotes: a value that holds a quote can change the question; write {{ ... | toJson }} without quotes", action)
	}
	return &remoteJSON{q, payload}, nil
}

func (a *remoteJSON) Authorize(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	text, err := a.payload.Render(s)
	if err != nil {
		return err
	}
	// Read here too, though it is sent as it is: a value must not replace a key of the question.
	if _, err := pipeline.DecodeJSON(text); err != nil {
		return pipeline.RuleError("remote_json: payload: %v", err)
	}
	return a.ask(ctx, r, s, "application/json", []byte(text))
}
