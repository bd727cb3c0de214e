package engine

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/mutate"
	"gatehouse.internal/authz/internal/rule"
)

// Memory lets a rule say again what it said of the same caller. A decision is kept with what the authenticator
// knows of the credential (pipeline.Known) and so ends with it; an authenticator that keeps nothing makes it
// keep nothing. A nil Memory keeps nothing.
//
// It never decides. A request finds its own rule, its credential is looked at as always (times, keys,
// revocations), and only then the headers that follow are taken from here instead of being written anew:
// of rules for which nothing else can change them, see repeatable.
type Memory struct{ hits, misses prometheus.Counter }

const (
	// maxRulesKept is how many rules keep a decision with one credential. The oldest gives way.
	maxRulesKept = 8
	// maxDecisionKept, in bytes of headers and cookies, bounds a decision that is kept.
	maxDecisionKept = 8 << 10
)

// NewMemory returns a Memory whose metrics have the names of the other caches'.
func NewMemory() *Memory {
	count := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"cache": "decision"}})
	}
	return &Memory{
		hits:   count("authz_cache_hits_total", "Look-ups that found an entry."),
		misses: count("authz_cache_misses_total", "Look-ups that found none."),
	}
}

// Collectors are its metrics.
func (m *Memory) Collectors() []prometheus.Collector { return []prometheus.Collector{m.hits, m.misses} }

// kept is an allowed decision that holds for one caller, one rule and one set of cookies.
type kept struct {
	rule     uint64
	cookies  []string // the client's, of which those that no upstream may see are removed
	until    time.Time
	decision Decision
}

// Rendering is where the writer of a decision leaves what it wrote, for the next time the decision is made.
type Rendering struct {
	once sync.Once
	text []byte
	err  error
}

var errNotWritten = errors.New("the answer could not be written")

// Once returns what write returned the first time, an error if it panicked.
func (r *Rendering) Once(write func() ([]byte, error)) ([]byte, error) {
	r.once.Do(func() {
		r.err = errNotWritten // for those who come after a panic: without it they would have an empty answer, which Envoy takes for a yes
		r.text, r.err = write()
	})
	return r.text, r.err
}

// ruleNumbers count all rules that were ever compiled, so that no reload brings back what an earlier
// configuration said.
var ruleNumbers atomic.Uint64

// memoryFor returns where decisions of the rule are kept, nil if they depend on more than the caller.
func (c *compiler) memoryFor(r rule.Rule, built *compiled) *Memory {
	asksNobody := r.Authorizer.Handler == "allow"
	changing := func(m named[mutate.Mutator]) bool { return !mutate.Repeatable(m.handler) }
	if !asksNobody || slices.ContainsFunc(built.mutators, changing) {
		return nil
	}
	return c.options.Memory
}

// again returns what the rule said of the caller, if it would say the same of this request.
func (s *Snapshot) again(r *pipeline.Request, matched *compiled, known *pipeline.Known) (Decision, bool) {
	if matched.memory == nil || known == nil || known.Memo == nil {
		return Decision{}, false
	}
	list, _ := known.Memo.Load().([]*kept)
	for _, k := range list {
		if k.rule == matched.number && k.holds(r, s.now()) && len(s.aliases(r)) == 0 {
			matched.memory.hits.Inc()
			return k.decision, true
		}
	}
	matched.memory.misses.Inc()
	return Decision{}, false
}

func (k *kept) holds(r *pipeline.Request, now time.Time) bool {
	return (k.until.IsZero() || now.Before(k.until)) && slices.Equal(k.cookies, r.Header["Cookie"])
}

// keep remembers a decision that every stage was asked for. It returns it as it will be given again.
func (s *Snapshot) keep(r *pipeline.Request, matched *compiled, session *pipeline.Session, d Decision) Decision {
	known := pipeline.KnownOf(session)
	if matched.memory == nil || known == nil || known.Memo == nil || len(s.aliases(r)) > 0 {
		return d
	}
	if size(d.Set)+size(http.Header{"Cookie": r.Header["Cookie"]}) > maxDecisionKept {
		return d
	}
	d.Rendering = &Rendering{}
	clones(d.Set["Cookie"])
	k := &kept{rule: matched.number, until: pipeline.GoodUntilOf(session), decision: d, cookies: slices.Clone(r.Header["Cookie"])}
	clones(k.cookies)
	list, _ := known.Memo.Load().([]*kept)
	next := []*kept{k}
	for _, other := range list {
		if other.rule != k.rule && len(next) < maxRulesKept {
			next = append(next, other)
		}
	}
	known.Memo.Store(next) // of two at one time one is lost, and made again
	return d
}

// clones cuts what is kept loose from the request: a header is a part of the text of the whole check, which would be
// kept with it. Of what the upstream is told only the client's cookies come from there.
func clones(lines []string) {
	for i, line := range lines {
		lines[i] = strings.Clone(line)
	}
}

func size(header http.Header) int {
	sum := 0
	for name, values := range header {
		for _, value := range values {
			sum += len(name) + len(value)
		}
	}
	return sum
}
