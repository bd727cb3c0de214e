package mutate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// hydrator lets another server complete the session.
type hydrator struct {
	config   hydratorConfig
	location *url.URL
	client   *upstream.Client
	identity []string
}

type hydratorConfig struct {
	API struct {
		URL  string `json:"url"`
		Auth *struct {
			Basic struct {
				Username string `json:"username"`
				Password string `json:"password"`
			} `json:"basic"`
		} `json:"auth"`
		// Retry is accepted because Oathkeeper has it; see the authorizer remote.
		Retry struct {
			MaxDelay    string `json:"max_delay"`
			GiveUpAfter string `json:"give_up_after"`
		} `json:"retry"`
	} `json:"api"`
	Cache struct {
		Enabled bool   `json:"enabled"`
		TTL     string `json:"ttl"`
	} `json:"cache"`
}

func newHydrator(config map[string]any, deps Deps) (Mutator, error) {
	var c hydratorConfig
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	var problems []error
	location, err := url.Parse(c.API.URL)
	if err != nil || location.Host == "" || (location.Scheme != "http" && location.Scheme != "https") {
		problems = append(problems, errors.New("api.url: must be an http:// or https:// URL"))
	}
	for key, text := range map[string]string{
		"api.retry.max_delay": c.API.Retry.MaxDelay, "api.retry.give_up_after": c.API.Retry.GiveUpAfter, "cache.ttl": c.Cache.TTL,
	} {
		if _, err := time.ParseDuration(text); text != "" && err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", key, err))
		}
	}
	return &hydrator{config: c, location: location, client: deps.Upstream, identity: deps.Identity}, errors.Join(problems...)
}

func (m *hydrator) Mutate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	question, err := m.question(ctx, r, s)
	if err != nil {
		return err
	}
	answer, err := m.client.Do(ctx, question)
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK {
		return m.client.Unusable(question, "the hydrator answered %d", answer.Status)
	}
	var hydrated pipeline.Session
	if err := json.Unmarshal(answer.Body, &hydrated); err != nil {
		return m.client.Unusable(question, "the hydrator's session cannot be read")
	}
	if hydrated.Subject != s.Subject {
		return m.client.Unusable(question, "the hydrator changed the subject")
	}
	header := http.Header{}
	for name, values := range hydrated.Header {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return m.client.Unusable(question, "the hydrator's session has a malformed header")
			}
			header.Add(name, value)
		}
	}
	// What was matched is ours to say and stays.
	s.Extra, s.Header = hydrated.Extra, header
	return nil
}

// question carries the session, and what the client sent. A hydrator behind the door believes identity headers
// as every server there does, so it must not see those of the client.
func (m *hydrator) question(ctx context.Context, r *pipeline.Request, s *pipeline.Session) (*http.Request, error) {
	header := upstream.WithoutIdentity(r.Header, m.identity)
	told := *s
	told.MatchContext.Header = header
	body, err := json.Marshal(told)
	if err != nil {
		return nil, pipeline.RuleError("hydrator: the session cannot be written as JSON")
	}
	location := *m.location
	query, _ := url.ParseQuery(r.Query) // what can be read of a malformed query still counts
	location.RawQuery = query.Encode()
	question, err := http.NewRequestWithContext(ctx, http.MethodPost, location.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	question.Header = upstream.Forwardable(header)
	if m.config.API.Auth != nil {
		question.SetBasicAuth(m.config.API.Auth.Basic.Username, m.config.API.Auth.Basic.Password)
	}
	question.Header.Set("Content-Type", "application/json")
	return question, nil
}
