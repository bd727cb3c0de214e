// Package engine puts rules and handlers together and decides. What it decides with is an immutable
// Snapshot, compiled at load time; a request sees one snapshot from its beginning to its end.
package engine

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/pipeline/authn"
	"gatehouse.internal/authz/internal/pipeline/authz"
	respond "gatehouse.internal/authz/internal/pipeline/errors"
	"gatehouse.internal/authz/internal/pipeline/mutate"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
)

// identityHeaders are removed from every request that this decision does not set them on, whatever
// the rules say: backends are known to believe them.
var identityHeaders = []string{"Authorization", "X-User-Id", "X-User-Email", "X-Client-Id", "X-Scopes"}

// Options are this service's own part of the configuration.
type Options struct {
	ProblemPrefixes []string
	// StripCookies are cookies that no upstream may see.
	StripCookies []string
	Upstream     *upstream.Client
	Keys         *keys.Store
	Now          func() time.Time
}

// Snapshot is a compiled configuration. It never changes.
type Snapshot struct {
	rules     []*compiled
	matchers  []*rule.Matcher // of rules, by the same index
	responder respond.Responder
	identity  []string // canonical, sorted
	cookies   []string
	public    []jose.JSONWebKey
	warnings  []string
}

// compiled is one rule. One with a problem still matches, and answers 500: dropping it could hand
// its requests to a laxer rule.
type compiled struct {
	id             string
	problem        error
	authenticators []named[authn.Authenticator]
	authorizer     named[authz.Authorizer]
	mutators       []named[mutate.Mutator]
	errors         []respond.Handler
}

// named keeps a handler's name in the rules file, for the log.
type named[T any] struct {
	name    string
	handler T
}

// RuleStatus is what an operator may see of a rule.
type RuleStatus struct {
	ID    string `json:"id"`
	Valid bool   `json:"valid"`
	Error string `json:"error,omitempty"`
}

// Compile builds a snapshot. It fails only when no safe snapshot can be made of the configuration;
// a rule that is wrong in itself is kept, see Rules.
func Compile(config oathkeeper.Config, rules []rule.Rule, o Options) (*Snapshot, error) {
	c := compiler{config: config, options: o, signers: map[string]*keys.Signer{}, public: []jose.JSONWebKey{}}
	snapshot := &Snapshot{cookies: o.StripCookies}
	names := map[string]bool{}
	for _, name := range identityHeaders {
		names[name] = true
	}
	var problems []error
	seen := map[string]bool{}
	for i, r := range rules {
		matcher, err := rule.CompileMatch(i, r)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if seen[r.ID] {
			c.warn(r.ID, "the id is used twice; logs and metrics cannot tell the rules apart")
		}
		seen[r.ID] = true
		if matcher.Backtracks() {
			c.warn(r.ID, "match.url needs a backtracking engine; a match may take up to 250ms")
		}
		snapshot.rules = append(snapshot.rules, c.rule(r))
		snapshot.matchers = append(snapshot.matchers, matcher)
		// Also those of a rule that is invalid: a backend that believes a header believes it on every path.
		for _, h := range r.Mutators {
			for _, name := range mutate.Headers(h.Handler, oathkeeper.Merge(config.Mutators[h.Handler].Config, h.Config)) {
				names[http.CanonicalHeaderKey(name)] = true
			}
		}
	}
	fallback, err := c.fallback()
	problems = append(problems, err)
	snapshot.responder = respond.Responder{Fallback: fallback, ProblemPrefixes: o.ProblemPrefixes}
	snapshot.identity = slices.Sorted(maps.Keys(names))
	snapshot.public = c.public
	snapshot.warnings = c.warnings
	return snapshot, errors.Join(problems...)
}

// Rules lists all rules with what is wrong with each.
func (s *Snapshot) Rules() []RuleStatus {
	out := make([]RuleStatus, len(s.rules))
	for i, r := range s.rules {
		out[i] = RuleStatus{ID: r.id, Valid: r.problem == nil}
		if r.problem != nil {
			out[i].Error = r.problem.Error()
		}
	}
	return out
}

// Warm begins to fetch what requests will need. Compile does no network I/O, so that a configuration
// can be checked where its servers cannot be reached.
func (s *Snapshot) Warm() {
	for _, r := range s.rules {
		for _, authenticator := range r.authenticators {
			if warmer, can := authenticator.handler.(interface{ Warm() }); can {
				warmer.Warm()
			}
		}
	}
}

// Warnings lists settings that work but are dangerous.
func (s *Snapshot) Warnings() []string { return s.warnings }

// PublicKeys are the keys that check the tokens of id_token.
func (s *Snapshot) PublicKeys() []jose.JSONWebKey { return s.public }

type compiler struct {
	config   oathkeeper.Config
	options  Options
	signers  map[string]*keys.Signer
	public   []jose.JSONWebKey
	warnings []string
}

func (c *compiler) warn(id, format string, args ...any) {
	text := fmt.Sprintf("rule %q: ", id) + fmt.Sprintf(format, args...)
	if !slices.Contains(c.warnings, text) {
		c.warnings = append(c.warnings, text)
	}
}

func (c *compiler) rule(r rule.Rule) *compiled {
	out := &compiled{id: r.ID}
	var problems []error
	note := func(kind string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", kind, err))
		}
	}
	if r.Match.FullMethod != "" {
		note("match", errors.New("gRPC matches are not supported; no request reaches this rule"))
	}
	if len(r.Match.Methods) == 0 && r.Match.FullMethod == "" {
		note("match", errors.New("methods is empty; no request reaches this rule"))
	}

	warn := func(format string, args ...any) { c.warn(r.ID, format, args...) }
	deps := authn.Deps{Upstream: c.options.Upstream, Keys: c.options.Keys, Now: c.options.Now, Warn: warn}
	for _, h := range r.Authenticators {
		built, err := build(c.config.Authenticators, "Authenticator", h, func(config map[string]any) (authn.Authenticator, error) {
			return authn.New(h.Handler, config, deps)
		})
		note("authenticators."+h.Handler, err)
		out.authenticators = append(out.authenticators, named[authn.Authenticator]{h.Handler, built})
	}
	if len(r.Authenticators) == 0 {
		note("authenticators", errors.New("must not be empty"))
	}

	authorizer, err := build(c.config.Authorizers, "Authorizer", r.Authorizer, func(config map[string]any) (authz.Authorizer, error) {
		return authz.New(r.Authorizer.Handler, config)
	})
	note("authorizer."+r.Authorizer.Handler, err)
	out.authorizer = named[authz.Authorizer]{r.Authorizer.Handler, authorizer}

	for _, h := range r.Mutators {
		built, err := build(c.config.Mutators, "Mutator", h, func(config map[string]any) (mutate.Mutator, error) {
			return mutate.New(h.Handler, config, mutate.Deps{Signer: c.signer, Now: c.options.Now, Warn: warn})
		})
		note("mutators."+h.Handler, err)
		if err == nil {
			out.mutators = append(out.mutators, named[mutate.Mutator]{h.Handler, built})
		}
	}
	if len(r.Mutators) == 0 {
		note("mutators", errors.New("must not be empty"))
	}

	for _, h := range r.Errors {
		built, err := build(c.config.Errors.Handlers, "Error handler", h, func(config map[string]any) (respond.Handler, error) {
			return respond.New(h.Handler, config)
		})
		note("errors."+h.Handler, err)
		if err == nil {
			out.errors = append(out.errors, built)
		}
	}
	out.problem = errors.Join(problems...)
	return out
}

// build makes one handler from the rule's configuration over the global one.
func build[T any](global map[string]oathkeeper.Handler, kind string, h rule.Handler, construct func(map[string]any) (T, error)) (T, error) {
	var none T
	if h.Handler == "" {
		return none, errors.New("handler must not be empty")
	}
	if !global[h.Handler].Enabled {
		return none, fmt.Errorf("%s %q is disabled per configuration", kind, h.Handler)
	}
	return construct(oathkeeper.Merge(global[h.Handler].Config, h.Config))
}

// signer reads each key file once, however many rules sign with it.
func (c *compiler) signer(location string) (*keys.Signer, error) {
	if signer := c.signers[location]; signer != nil {
		return signer, nil
	}
	data, err := oathkeeper.ReadFileURL(location)
	if err != nil {
		return nil, err
	}
	signer, err := keys.NewSigner(data)
	if err != nil {
		return nil, err
	}
	c.signers[location] = signer
	for _, key := range signer.Public() {
		known := func(other jose.JSONWebKey) bool { return other.KeyID == key.KeyID }
		if !slices.ContainsFunc(c.public, known) {
			c.public = append(c.public, key)
		}
	}
	return signer, nil
}

func (c *compiler) fallback() ([]respond.Handler, error) {
	var out []respond.Handler
	var problems []error
	for _, name := range c.config.Errors.Fallback {
		built, err := build(c.config.Errors.Handlers, "Error handler", rule.Handler{Handler: name}, func(config map[string]any) (respond.Handler, error) {
			return respond.New(name, config)
		})
		if err != nil {
			problems = append(problems, fmt.Errorf("errors.fallback: %w", err))
			continue
		}
		out = append(out, built)
	}
	return out, errors.Join(problems...)
}
