package engine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authz"
	respond "gatehouse.internal/authz/internal/pipeline/errors"
	"gatehouse.internal/authz/internal/pipeline/mutate"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
)

// delegate is what log and metrics call a real Oathkeeper that decides for a rule.
const delegate = "delegate"

// delegation hands a rule's requests to the decision API of a real Oathkeeper, for rules that use what
// this service does not do itself.
type delegation struct {
	url    *url.URL
	client *upstream.Client
	// names are the headers that the rule declares. Oathkeeper's noop echoes all of the client's.
	names []string
}

// refusal is what Oathkeeper wrote to say no. It is passed on in Oathkeeper's own form.
type refusal struct {
	denial   *pipeline.Denial
	response pipeline.Response
}

func (a refusal) Responsible(*pipeline.Request, *pipeline.Denial) bool { return true }

func (a refusal) Respond(*pipeline.Request, *pipeline.Denial) pipeline.Response { return a.response }

// delegate decides as Oathkeeper does.
func (s *Snapshot) delegate(ctx context.Context, r *pipeline.Request, matched *compiled) Decision {
	header, refused, err := matched.delegated.ask(ctx, r, s.identity)
	if err != nil {
		return s.finish(r, matched, delegate, err)
	}
	if refused != nil {
		spoken := *matched
		spoken.errors = []respond.Handler{refused}
		return s.finish(r, &spoken, delegate, refused.denial)
	}
	session := pipeline.NewSession(r, nil)
	session.Header = header
	return s.allow(r, matched, delegate, session)
}

// ask returns the headers of a yes, or a refusal, or an error. identity are headers that the client has
// no business sending.
func (d *delegation) ask(ctx context.Context, r *pipeline.Request, identity []string) (http.Header, *refusal, error) {
	location := *d.url
	location.RawQuery = r.Query // Oathkeeper ignores one in X-Forwarded-Uri
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil)
	if err != nil {
		return nil, nil, pipeline.Invalid("the request cannot be forwarded to Oathkeeper")
	}
	question.Header = upstream.Forwardable(upstream.WithoutIdentity(r.Header, identity))
	for name := range question.Header {
		meant, _ := upstream.Meant(name)
		if strings.HasPrefix(meant, "X-Forwarded-") && meant != "X-Forwarded-For" {
			question.Header.Del(name)
		}
	}
	question.Header.Set("X-Forwarded-Method", r.Method)
	question.Header.Set("X-Forwarded-Proto", r.Scheme)
	question.Header.Set("X-Forwarded-Host", r.Host)
	question.Header.Set("X-Forwarded-Uri", r.Path)

	answer, err := d.client.Do(ctx, question)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case answer.Status == http.StatusOK:
		header := http.Header{}
		for _, name := range d.names {
			if value := answer.Header.Get(name); value != "" {
				header.Set(name, value)
			}
		}
		return header, nil, nil
	case answer.Status == http.StatusNotFound:
		return nil, nil, pipeline.RuleError("Oathkeeper knows no rule for this request")
	case answer.Status < 300 || answer.Status >= 500:
		return nil, nil, d.client.Unusable(question, "Oathkeeper answered %d", answer.Status)
	}
	if err := d.client.ConfirmNegative(ctx, d.url); err != nil {
		return nil, nil, err
	}
	return nil, newRefusal(answer), nil
}

func newRefusal(answer *upstream.Response) *refusal {
	out := &refusal{response: pipeline.Response{Status: answer.Status, Header: http.Header{}, Body: string(answer.Body)}}
	for _, name := range []string{"Content-Type", "Location", "Retry-After", "Www-Authenticate", "X-Content-Type-Options"} {
		if value := answer.Header.Get(name); value != "" {
			out.response.Header.Set(name, value)
		}
	}
	switch {
	case answer.Status == http.StatusTooManyRequests:
		out.denial = pipeline.RateLimited(answer.Header, "Oathkeeper limits its rate")
	case answer.Status == http.StatusUnauthorized || answer.Status < 400: // a redirect leads to a login page
		out.denial = pipeline.Unauthenticated("Oathkeeper answered %d", answer.Status)
	default:
		out.denial = pipeline.Forbidden("Oathkeeper answered %d", answer.Status)
	}
	return out
}

// delegation makes one for the rule, or explains why there is none.
func (c *compiler) delegation(r rule.Rule) (*delegation, error) {
	if c.options.Delegate == "" {
		return nil, errors.New("it needs an Oathkeeper, and delegate.url is not set")
	}
	location, err := url.Parse(c.options.Delegate)
	if err != nil {
		return nil, errors.New("delegate.url: not a URL")
	}
	names := c.headers(r)
	if slices.ContainsFunc(r.Mutators, func(h rule.Handler) bool { return h.Handler == "cookie" }) {
		names = append(names, "Cookie")
	}
	return &delegation{url: location, client: c.options.Upstream, names: names}, nil
}

// headers are those that the rule may set, also one that is invalid: a backend that believes a header
// believes it on every path.
func (c *compiler) headers(r rule.Rule) []string {
	names := authz.Headers(merged(c.config.Authorizers, r.Authorizer))
	for _, h := range r.Mutators {
		names = append(names, mutate.Headers(h.Handler, merged(c.config.Mutators, h))...)
	}
	for i, name := range names {
		names[i] = http.CanonicalHeaderKey(name)
	}
	return names
}
