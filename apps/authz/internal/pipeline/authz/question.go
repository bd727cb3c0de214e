package authz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// question is what remote and remote_json have in common: a POST whose status is the answer.
type question struct {
	location *url.URL
	headers  map[string]*pipeline.Template
	names    []string // of headers, sorted
	forward  []string
	client   *upstream.Client
	retry    *upstream.Retry
}

type questionConfig struct {
	Remote  string                `json:"remote"`
	Headers map[string]string     `json:"headers"`
	Forward []string              `json:"forward_response_headers_to_upstream"`
	Retry   *upstream.RetryConfig `json:"retry"`
}

func newQuestion(c questionConfig, deps Deps) (question, error) {
	q := question{headers: map[string]*pipeline.Template{}, forward: c.Forward, client: deps.Upstream}
	var problems []error
	location, err := url.Parse(c.Remote)
	if err != nil || location.Host == "" || (location.Scheme != "http" && location.Scheme != "https") {
		problems = append(problems, errors.New("remote: must be an http:// or https:// URL"))
	}
	q.location = location
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !httpguts.ValidHeaderFieldName(name) {
			problems = append(problems, fmt.Errorf("headers: %q is not a header name", name))
		}
		template, err := pipeline.NewTemplate(name, c.Headers[name])
		if err != nil {
			problems = append(problems, fmt.Errorf("headers.%s: %w", name, err))
		}
		q.headers[name] = template
		q.names = append(q.names, name)
	}
	for _, name := range c.Forward {
		if !httpguts.ValidHeaderFieldName(name) {
			problems = append(problems, fmt.Errorf("forward_response_headers_to_upstream: %q is not a header name", name))
		}
	}
	retry, err := c.Retry.Parse()
	q.retry = retry
	problems = append(problems, err)
	return q, errors.Join(problems...)
}

// ask sends the question and takes 200 for yes and 403 for no. Everything else says nothing about the
// caller: it is an outage.
func (q *question) ask(ctx context.Context, r *pipeline.Request, s *pipeline.Session, contentType string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, q.location.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	set := func(name, value string) error {
		if !httpguts.ValidHeaderFieldValue(value) { // net/http would not send it, which looks like an outage
			return pipeline.Invalid("the %s header holds control characters", name)
		}
		if value != "" {
			request.Header.Set(name, value)
		}
		return nil
	}
	err = errors.Join(set("Content-Type", contentType), set("Authorization", r.Header.Get("Authorization")))
	if err != nil {
		return err
	}
	for _, name := range q.names {
		value, err := q.headers[name].Render(s)
		if err == nil {
			err = set(name, value)
		}
		if err != nil {
			return err
		}
	}
	answer, err := q.client.DoAgain(ctx, request, q.retry)
	if err != nil {
		return err
	}
	return q.judge(ctx, request, answer, s)
}

func (q *question) judge(ctx context.Context, request *http.Request, answer *upstream.Response, s *pipeline.Session) error {
	switch answer.Status {
	case http.StatusOK:
		for _, name := range q.forward {
			s.Header.Set(name, answer.Header.Get(name)) // also an empty one: the client's own must not pass for it
		}
		return nil
	case http.StatusForbidden:
		if err := q.client.ConfirmNegative(ctx, q.location); err != nil {
			return err
		}
		return pipeline.Forbidden("the remote authorizer said no")
	case http.StatusTooManyRequests:
		return pipeline.RateLimited(answer.Header, "the remote authorizer limits its rate")
	default:
		return q.client.Unusable(request, "the remote authorizer answered %d", answer.Status)
	}
}
