package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Matcher is a compiled Match.
type Matcher struct {
	pattern *Pattern
	methods []string // upper case
}

// CompileMatch compiles what a rule matches. An error here makes the whole set unusable: of a rule
// that cannot be compared with requests nobody knows which ones it was meant to guard.
func CompileMatch(i int, r Rule, compile Strategy) (*Matcher, error) {
	if r.Match == nil {
		return nil, fmt.Errorf("%s: match is missing", r.name(i))
	}
	if r.Match.FullMethod != "" {
		return &Matcher{}, nil // no HTTP request matches it
	}
	pattern, err := compile(r.Match.URL)
	if err != nil {
		return nil, fmt.Errorf("%s: match.url: %w", r.name(i), err)
	}
	m := &Matcher{pattern: pattern}
	for _, method := range r.Match.Methods {
		m.methods = append(m.methods, strings.ToUpper(method))
	}
	return m, nil
}

// Backtracks tells that matching this rule is bounded by a timer only.
func (m *Matcher) Backtracks() bool { return m.pattern != nil && m.pattern.Backtracks() }

// What can go wrong when exactly one rule must match.
var (
	ErrNoMatch   = errors.New("requested url does not match any rules")
	ErrManyMatch = errors.New("expected exactly one rule but found multiple rules")
)

// Set finds the one matcher that matches a request. It is immutable.
type Set struct {
	matchers []*Matcher
	methods  map[string]*index
}

// NewSet indexes the matchers by method and by how the path begins.
func NewSet(matchers []*Matcher) *Set {
	byMethod := map[string]map[string][]int{}
	for i, m := range matchers {
		for _, method := range slices.Compact(slices.Sorted(slices.Values(m.methods))) {
			if byMethod[method] == nil {
				byMethod[method] = map[string][]int{}
			}
			byMethod[method][m.pattern.prefix] = append(byMethod[method][m.pattern.prefix], i)
		}
	}
	s := &Set{matchers: matchers, methods: map[string]*index{}}
	for method, byPrefix := range byMethod {
		s.methods[method] = newIndex(byPrefix)
	}
	return s
}

// All returns every matcher that matches. One that ran out of time is left out.
func (s *Set) All(method, target string) []int {
	var all []int
	s.methods[strings.ToUpper(method)].each(pathOf(target), func(i int) bool {
		if _, matched, err := s.matchers[i].pattern.Match(target); matched && err == nil {
			all = append(all, i)
		}
		return true
	})
	slices.Sort(all)
	return all
}

// Find returns the index of the one matcher that matches and its capture groups. Every matcher that
// could match is compared, so a second match is found wherever it stands in the file.
func (s *Set) Find(method, target string) (found int, captures []string, err error) {
	found = -1
	s.methods[strings.ToUpper(method)].each(pathOf(target), func(i int) bool {
		groups, matched, problem := s.matchers[i].pattern.Match(target)
		switch {
		case problem != nil:
			err = fmt.Errorf("rule at %d: %w", i, problem)
		case matched && found >= 0:
			err = ErrManyMatch
		case matched:
			found, captures = i, groups
		}
		return err == nil
	})
	if err == nil && found < 0 {
		err = ErrNoMatch
	}
	if err != nil {
		return -1, nil, err
	}
	return found, captures, nil
}
