package engine

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authn"
	respond "gatehouse.internal/authz/internal/pipeline/errors"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
	"gatehouse.internal/libs/telemetry"
)

// Outcome is what a decision came to. The zero value is an error, so a Decision that nobody filled
// in lets nothing pass.
type Outcome int

// The outcomes.
const (
	Failed Outcome = iota
	Denied
	Allowed
)

func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "allow"
	case Denied:
		return "deny"
	default:
		return "error"
	}
}

// Decision is the answer to one request.
type Decision struct {
	Outcome Outcome
	Rule    string // id of the matched rule, "" without one
	Handler string // the handler that decided, or failed
	Status  int
	Code    string
	Reason  string // for the log

	// Set and Remove change an allowed request. No name is in both. They may be shared: nobody may change them.
	Set    http.Header
	Remove []string
	// Rendering is set if this very decision may be made again.
	Rendering *Rendering
	// Response is what a denied caller receives.
	Response pipeline.Response
}

// Engine decides with the current snapshot.
type Engine struct{ current atomic.Pointer[Snapshot] }

// Use makes s current. Requests that began with the one before end with it.
func (e *Engine) Use(s *Snapshot) { e.current.Store(s) }

// Snapshot returns the current snapshot, nil before the first Use.
func (e *Engine) Snapshot() *Snapshot { return e.current.Load() }

// Decide answers a request.
func (e *Engine) Decide(ctx context.Context, r *pipeline.Request) Decision {
	snapshot := e.current.Load()
	if snapshot == nil {
		return Decision{Outcome: Failed, Reason: "no configuration is loaded"}
	}
	return snapshot.decide(ctx, r, nil)
}

// Refuse answers a request that cannot be decided about because it is malformed.
func (e *Engine) Refuse(r *pipeline.Request, denial *pipeline.Denial) Decision {
	snapshot := e.current.Load()
	if snapshot == nil {
		return Decision{Outcome: Failed, Reason: "no configuration is loaded"}
	}
	return snapshot.finish(r, nil, "", denial)
}

// decide answers a request. watch, when there is one, may put another in the place of the matched rule.
func (s *Snapshot) decide(ctx context.Context, r *pipeline.Request, watch func(*compiled) *compiled) Decision {
	if name := s.hopByHop(r); name != "" {
		return s.finish(r, nil, "", pipeline.Invalid("the Connection header names %s", name))
	}
	_, span := telemetry.Begin(ctx, "match")
	index, captures, err := s.set.Find(r.Method, r.Target())
	span.End()
	switch {
	case errors.Is(err, rule.ErrNoMatch):
		return s.finish(r, nil, "", &pipeline.Denial{
			Status: http.StatusNotFound, Code: pipeline.CodeNoRule,
			Detail: "Nothing is served at this address.", Reason: err.Error(),
		})
	case err != nil: // two rules, or a pattern that ran out of time
		return s.finish(r, nil, "", pipeline.RuleError("%v", err))
	}
	matched := s.rules[index]
	if matched.problem != nil {
		return s.finish(r, matched, "", pipeline.RuleError("the rule is invalid: %v", matched.problem))
	}
	if matched.delegated != nil {
		return s.delegate(ctx, r, matched)
	}
	if watch != nil {
		matched = watch(matched)
	}
	session := &pipeline.Session{}
	who, err := matched.identify(ctx, r, session)
	if err != nil {
		return s.finish(r, matched, who, err)
	}
	if decision, kept := s.again(r, matched, pipeline.KnownOf(session)); kept {
		return decision
	}
	pipeline.Complete(session, r, captures)
	handler, err := matched.run(ctx, r, session, who)
	if err != nil {
		return s.finish(r, matched, handler, err)
	}
	return s.keep(r, matched, session, s.allow(r, matched, handler, session))
}

// identify finds out who is calling, also of a caller that is known well. It returns the name of the
// authenticator that had the last word.
func (c *compiled) identify(ctx context.Context, r *pipeline.Request, session *pipeline.Session) (string, error) {
	stage, span := telemetry.Begin(ctx, "authenticate")
	who, err := authenticate(stage, c.authenticators, r, session)
	span.End()
	if err != nil {
		return who, err
	}
	return who, revoked(c.revocations, session)
}

// run takes the request of an identified caller through the other stages. It returns the name of the handler
// that had the last word: the authenticator who, or the one that stopped.
func (c *compiled) run(ctx context.Context, r *pipeline.Request, session *pipeline.Session, who string) (string, error) {
	stage, span := telemetry.Begin(ctx, "authorize")
	err := c.authorizer.handler.Authorize(stage, r, session)
	span.End()
	if err != nil {
		return c.authorizer.name, err
	}
	stage, span = telemetry.Begin(ctx, "mutate")
	defer span.End()
	for _, mutator := range c.mutators {
		if err := mutator.handler.Mutate(stage, r, session); err != nil {
			return mutator.name, err
		}
	}
	return who, nil
}

// authenticate asks one authenticator after the other until one is responsible. Whatever that one
// says stands: a bad cookie is not made good by a later "anonymous".
func authenticate(ctx context.Context, list []named[authn.Authenticator], r *pipeline.Request, session *pipeline.Session) (string, error) {
	for _, authenticator := range list {
		err := authenticator.handler.Authenticate(ctx, r, session)
		if errors.Is(err, pipeline.ErrNotResponsible) {
			continue
		}
		return authenticator.name, err
	}
	return "", pipeline.Unauthenticated("no authenticator was responsible")
}

func (s *Snapshot) allow(r *pipeline.Request, matched *compiled, handler string, session *pipeline.Session) Decision {
	decision := Decision{
		Outcome: Allowed, Rule: matched.id, Handler: handler,
		Status: http.StatusOK, Set: session.Header,
	}
	for _, name := range s.identity {
		if decision.Set.Get(name) == "" {
			decision.Set.Del(name)
			decision.Remove = append(decision.Remove, name)
		}
	}
	decision.Remove = append(decision.Remove, s.aliases(r)...)
	s.stripCookies(r, &decision)
	return decision
}

// stripCookies also looks at what a mutator wrote: cookie repeats those of the client.
func (s *Snapshot) stripCookies(r *pipeline.Request, d *Decision) {
	if slices.Contains(d.Remove, "Cookie") {
		return
	}
	lines, written := d.Set["Cookie"]
	if !written {
		lines = r.Header.Values("Cookie")
	}
	rest, changed := withoutCookies(lines, s.cookies)
	switch {
	case rest == "" && (changed || written):
		d.Set.Del("Cookie")
		d.Remove = append(d.Remove, "Cookie")
	case changed:
		d.Set.Set("Cookie", rest)
	}
}

// finish makes the decision of an error: a denial when it is one, a failure otherwise.
func (s *Snapshot) finish(r *pipeline.Request, matched *compiled, handler string, err error) Decision {
	decision := Decision{Handler: handler}
	var handlers []respond.Handler
	if matched != nil {
		decision.Rule, handlers = matched.id, matched.errors
	}
	var denial *pipeline.Denial
	if !errors.As(err, &denial) {
		decision.Outcome, decision.Status = Failed, http.StatusServiceUnavailable
		decision.Code, decision.Reason = "unavailable", err.Error()
		return decision
	}
	decision.Outcome, decision.Status = Denied, denial.Status
	decision.Code, decision.Reason = denial.Code, denial.Reason
	decision.Response = s.responder.Respond(r, denial, handlers)
	if decision.Response.Status >= 500 && denial.Status < 500 {
		decision.Status, decision.Code = decision.Response.Status, pipeline.CodeRuleError
		decision.Reason += "; and not exactly one error handler is responsible"
	}
	return decision
}

// hopByHop returns an identity header that the client asks proxies to drop (GO-2023-1747).
func (s *Snapshot) hopByHop(r *pipeline.Request) string {
	for _, line := range r.Header.Values("Connection") {
		for token := range strings.SplitSeq(line, ",") {
			name := http.CanonicalHeaderKey(strings.TrimSpace(token))
			if _, found := slices.BinarySearch(s.identity, name); found {
				return name
			}
		}
	}
	return ""
}

// aliases returns the request's headers that many servers read as one of ours: X_User_Id is X-User-Id
// to whatever came from CGI (CVE-2025-64484), and to some X.User.Id is too.
func (s *Snapshot) aliases(r *pipeline.Request) []string {
	var out []string
	for name := range r.Header {
		meant, alias := upstream.Meant(name)
		if !alias {
			continue
		}
		_, known := slices.BinarySearch(s.identity, name)
		if _, found := slices.BinarySearch(s.identity, meant); found && !known {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// withoutCookies returns the Cookie header without the named cookies. It looks for them behind commas
// too, which is how Envoy joins two Cookie lines unless encode_raw_headers is set.
func withoutCookies(lines, names []string) (rest string, changed bool) {
	unwanted := func(cookie string) bool {
		name, _, _ := strings.Cut(cookie, "=")
		return slices.Contains(names, strings.TrimSpace(name))
	}
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			parts := strings.Split(pair, ",")
			wanted := slices.DeleteFunc(parts, unwanted)
			changed = changed || len(wanted) < len(parts)
			if pair = strings.TrimSpace(strings.Join(wanted, ",")); pair != "" {
				kept = append(kept, pair)
			}
		}
	}
	return strings.Join(kept, "; "), changed
}
