// Package engine puts rules and handlers together and decides. What it decides with is an immutable
// Snapshot, compiled at load time; a request sees one snapshot from its beginning to its end.
package engine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authn"
	"gatehouse.internal/authz/internal/pipeline/authz"
	respond "gatehouse.internal/authz/internal/pipeline/errors"
	"gatehouse.internal/authz/internal/pipeline/mutate"
	"gatehouse.internal/authz/internal/revocation"
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
	// Delegate is the decision API of an Oathkeeper, "" without one.
	Delegate string
	Upstream *upstream.Client
	Keys     *keys.Store
	// Caches, Tokens and Hydrations outlive snapshots. Their zero values keep nothing.
	Caches     authn.Caches
	Tokens     *cache.Cache[string]
	Hydrations *cache.Lookup[[]byte]
	// ChecksumPrefixes and NextOnError are extensions of authenticators, see authn.Deps.
	ChecksumPrefixes []string
	NextOnError      []string
	// Revocations outlives snapshots. nil revokes nothing.
	Revocations *revocation.List
	Now         func() time.Time
}

// Snapshot is a compiled configuration. It never changes.
type Snapshot struct {
	rules     []*compiled
	set       *rule.Set // of rules, by the same index
	responder respond.Responder
	identity  []string // canonical, sorted
	cookies   []string
	public    []jose.JSONWebKey
	warnings  []string
	overlaps  rule.Overlaps // by the index of rules

	files       map[string][sha256.Size]byte // what was read of the key files
	fileProblem error
}

// compiled is one rule. One with a problem still matches, and answers 500: dropping it could hand
// its requests to a laxer rule.
type compiled struct {
	id             string
	place          string // in the files, for people
	problem        error
	revocations    *revocation.List
	authenticators []named[authn.Authenticator]
	authorizer     named[authz.Authorizer]
	mutators       []named[mutate.Mutator]
	errors         []respond.Handler
	delegated      *delegation // then it alone decides
}

// named keeps a handler's name in the rules file, for the log.
type named[T any] struct {
	name    string
	handler T
}

// RuleStatus is what an operator may see of a rule.
type RuleStatus struct {
	ID    string `json:"id"`
	Place string `json:"place,omitempty"` // file and line
	Valid bool   `json:"valid"`
	// Delegated says that an Oathkeeper decides for this rule.
	Delegated bool   `json:"delegated,omitempty"`
	Error     string `json:"error,omitempty"`
	// Overlaps are rules that match some request that this one matches.
	Overlaps []Overlap `json:"overlaps,omitempty"`
}

// Compile builds a snapshot. It fails only when no safe snapshot can be made of the configuration;
// a rule that is wrong in itself is kept, see Rules.
func Compile(config oathkeeper.Config, rules []rule.Rule, o Options) (*Snapshot, error) {
	c := compiler{
		config: config, options: o,
		signers: map[string]*keys.Signer{}, warned: map[string]bool{}, public: []jose.JSONWebKey{}, files: map[string][sha256.Size]byte{},
	}
	strategy := rule.CompileRegexp
	if config.AccessRules.MatchingStrategy == "glob" {
		strategy = rule.CompileGlob
	}
	c.identity = c.identityOf(rules)
	snapshot := &Snapshot{cookies: o.StripCookies, identity: c.identity}
	var problems []error
	var matchers []*rule.Matcher
	seen := map[string]bool{}
	for i, r := range rules {
		matcher, err := rule.CompileMatch(i, r, strategy)
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
		built := c.rule(r)
		built.place = r.Place
		snapshot.rules = append(snapshot.rules, built)
		matchers = append(matchers, matcher)
	}
	fallback, err := c.fallback()
	problems = append(problems, err)
	snapshot.responder = respond.Responder{Fallback: fallback, ProblemPrefixes: o.ProblemPrefixes}
	snapshot.public = c.public
	snapshot.set = rule.NewSet(matchers)
	if len(matchers) == len(rules) { // or the indexes would not be those of the rules; then nothing is served either
		snapshot.overlaps = rule.FindOverlaps(matchers)
	}
	snapshot.warnings = c.warnings
	snapshot.files, snapshot.fileProblem = c.files, errors.Join(c.fileProblems...)
	return snapshot, errors.Join(problems...)
}

// Rules lists all rules with what is wrong with each.
func (s *Snapshot) Rules() []RuleStatus {
	out := make([]RuleStatus, len(s.rules))
	overlaps := overlapping(s)
	for i, r := range s.rules {
		out[i] = RuleStatus{ID: r.id, Place: r.place, Valid: r.problem == nil, Delegated: r.delegated != nil, Overlaps: overlaps[i]}
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

// FilesChanged tells whether a key file holds something else now. One that cannot be read has not changed.
func (s *Snapshot) FilesChanged() bool {
	for location, sum := range s.files {
		if data, err := oathkeeper.ReadFileURL(location); err == nil && sha256.Sum256(data) != sum {
			return true
		}
	}
	return false
}

// FileProblem says which key files could not be used.
func (s *Snapshot) FileProblem() error { return s.fileProblem }

type compiler struct {
	config   oathkeeper.Config
	options  Options
	signers  map[string]*keys.Signer
	public   []jose.JSONWebKey
	warnings []string
	warned   map[string]bool
	identity []string // as in Snapshot

	files        map[string][sha256.Size]byte
	fileProblems []error
}

func (c *compiler) warn(id, format string, args ...any) {
	text := fmt.Sprintf("rule %q: ", id) + fmt.Sprintf(format, args...)
	if !c.warned[text] {
		c.warned[text] = true
		c.warnings = append(c.warnings, text)
	}
}

// identityOf names the headers that any of the rules may set.
func (c *compiler) identityOf(rules []rule.Rule) []string {
	names := map[string]bool{}
	for _, name := range identityHeaders {
		names[name] = true
	}
	for _, r := range rules {
		for _, name := range c.headers(r) {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (c *compiler) rule(r rule.Rule) *compiled {
	out := &compiled{id: r.ID, revocations: c.options.Revocations}
	var problems, unsupported []error
	note := func(kind string, err error) {
		switch {
		case errors.Is(err, pipeline.ErrUnsupported):
			unsupported = append(unsupported, fmt.Errorf("%s: %w", kind, err))
		case err != nil:
			problems = append(problems, fmt.Errorf("%s: %w", kind, err))
		}
	}
	migration, err := rule.Migration(r)
	note("version", err)
	if migration != "" { // what the handlers below would say of it is about a form that they do not know
		return c.unsupported(r, fmt.Errorf("version %s: an Oathkeeper rewrites %s: a migration is %w", r.Version, migration, pipeline.ErrUnsupported))
	}
	if r.Match.FullMethod != "" {
		note("match", errors.New("gRPC matches are not supported; no request reaches this rule"))
	}
	if len(r.Match.Methods) == 0 && r.Match.FullMethod == "" {
		note("match", errors.New("methods is empty; no request reaches this rule"))
	}

	warn := func(format string, args ...any) { c.warn(r.ID, format, args...) }
	deps := authn.Deps{
		Upstream: c.options.Upstream, Keys: c.options.Keys, Now: c.options.Now, Warn: warn,
		Caches: c.options.Caches, ChecksumPrefixes: c.options.ChecksumPrefixes, NextOnError: c.options.NextOnError,
	}
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
		return authz.New(r.Authorizer.Handler, config, authz.Deps{Upstream: c.options.Upstream, Warn: warn})
	})
	note("authorizer."+r.Authorizer.Handler, err)
	out.authorizer = named[authz.Authorizer]{r.Authorizer.Handler, authorizer}

	for _, h := range r.Mutators {
		built, err := build(c.config.Mutators, "Mutator", h, func(config map[string]any) (mutate.Mutator, error) {
			return mutate.New(h.Handler, config, mutate.Deps{
				Signer: c.signer, Upstream: c.options.Upstream, Tokens: c.options.Tokens, Identity: c.identity,
				Hydrations: c.options.Hydrations, Now: c.options.Now, Warn: warn,
			})
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
	// Only what is right in itself is handed on: who looks for a mistake should find it here.
	if len(unsupported) > 0 && len(problems) == 0 {
		return c.unsupported(r, errors.Join(unsupported...))
	}
	out.problem = errors.Join(append(unsupported, problems...)...)
	return out
}

// unsupported is a rule that an Oathkeeper decides for or, without one, nobody.
func (c *compiler) unsupported(r rule.Rule, why error) *compiled {
	delegated, err := c.delegation(r)
	if err != nil {
		return &compiled{id: r.ID, problem: errors.Join(why, err)}
	}
	c.warn(r.ID, "an Oathkeeper decides, at %s: %v", upstream.Origin(delegated.url), why)
	if strings.HasSuffix(r.Match.URL, "/") {
		c.warn(r.ID, "match.url ends with a slash, which Oathkeeper from 26.2 on cuts off requests: it finds no rule then")
	}
	return &compiled{id: r.ID, delegated: delegated}
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
	return construct(merged(global, h))
}

func merged(global map[string]oathkeeper.Handler, h rule.Handler) map[string]any {
	return oathkeeper.Merge(global[h.Handler].Config, h.Config)
}

// signer reads each key file once, however many rules sign with it.
func (c *compiler) signer(location string) (*keys.Signer, error) {
	if signer := c.signers[location]; signer != nil {
		return signer, nil
	}
	data, err := oathkeeper.ReadFileURL(location)
	if err != nil {
		c.fileProblems = append(c.fileProblems, err)
		return nil, err
	}
	c.files[location] = sha256.Sum256(data)
	signer, err := keys.NewSigner(data)
	if err != nil {
		c.fileProblems = append(c.fileProblems, fmt.Errorf("%s: %w", location, err))
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
