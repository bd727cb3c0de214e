package engine

import (
	"context"
	"errors"
	"net/http"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authn"
	"gatehouse.internal/authz/internal/pipeline/authz"
	"gatehouse.internal/authz/internal/pipeline/mutate"
)

// Explanation says how a request is decided about. It is for whoever writes rules.
type Explanation struct {
	Matches  []string          `json:"matches"` // ids of all rules that match; more than one is an error
	Stages   []Stage           `json:"stages"`  // of the one that does, as far as they were asked
	Outcome  string            `json:"outcome"`
	Handler  string            `json:"handler,omitempty"` // that had the last word
	Status   int               `json:"status"`
	Code     string            `json:"code,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Set      map[string]string `json:"set,omitempty"`
	Remove   []string          `json:"remove,omitempty"`
	Response *Answer           `json:"response,omitempty"`
}

// Stage is what one handler said.
type Stage struct {
	Kind    string `json:"kind"`
	Handler string `json:"handler"`
	Said    string `json:"said"`
}

// Answer is what a denied caller receives.
type Answer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// Explain decides about the request, servers asked and all, and tells how.
func (s *Snapshot) Explain(ctx context.Context, r *pipeline.Request) Explanation {
	out := Explanation{Matches: []string{}, Stages: []Stage{}}
	for _, i := range s.set.All(r.Method, r.Target()) {
		out.Matches = append(out.Matches, s.rules[i].id)
	}
	out.fill(s.decide(ctx, r, func(c *compiled) *compiled { return watched(c, &out.Stages) }))
	return out
}

// ExplainRefusal tells of a request that no rule gets to see.
func (s *Snapshot) ExplainRefusal(r *pipeline.Request, denial *pipeline.Denial) Explanation {
	out := Explanation{Matches: []string{}, Stages: []Stage{}}
	out.fill(s.finish(r, nil, "", denial))
	return out
}

func (e *Explanation) fill(d Decision) {
	e.Outcome, e.Handler, e.Status, e.Code, e.Reason, e.Remove = d.Outcome.String(), d.Handler, d.Status, d.Code, d.Reason, d.Remove
	for name := range d.Set {
		if e.Set == nil {
			e.Set = map[string]string{}
		}
		e.Set[name] = d.Set.Get(name)
		if name == "Authorization" || name == "Cookie" { // a signed token is good wherever it is shown
			e.Set[name] = "[redacted]"
		}
	}
	if d.Outcome == Denied {
		e.Response = &Answer{Status: d.Response.Status, Header: d.Response.Header, Body: d.Response.Body}
	}
}

// watched is the rule with handlers that note what they say. Decisions about real requests do without.
func watched(c *compiled, stages *[]Stage) *compiled {
	note := func(kind, handler string, err error) error {
		said := "yes"
		switch {
		case errors.Is(err, pipeline.ErrNotResponsible):
			said = "not responsible"
		case err != nil:
			said = err.Error()
		}
		*stages = append(*stages, Stage{kind, handler, said})
		return err
	}
	out := *c
	out.memory = nil // all stages speak
	out.authenticators = nil
	for _, a := range c.authenticators {
		out.authenticators = append(out.authenticators, named[authn.Authenticator]{a.name, stage(func(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
			return note("authenticator", a.name, a.handler.Authenticate(ctx, r, s))
		})})
	}
	out.authorizer = named[authz.Authorizer]{c.authorizer.name, stage(func(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
		return note("authorizer", c.authorizer.name, c.authorizer.handler.Authorize(ctx, r, s))
	})}
	out.mutators = nil
	for _, m := range c.mutators {
		out.mutators = append(out.mutators, named[mutate.Mutator]{m.name, stage(func(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
			return note("mutator", m.name, m.handler.Mutate(ctx, r, s))
		})})
	}
	return &out
}

// stage is any of the three kinds of handlers.
type stage func(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error

func (f stage) Authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	return f(ctx, r, s)
}

func (f stage) Authorize(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	return f(ctx, r, s)
}

func (f stage) Mutate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	return f(ctx, r, s)
}
