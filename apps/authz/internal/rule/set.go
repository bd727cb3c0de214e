package rule

import (
	"errors"
	"fmt"
	"strings"
)

// Matcher is a compiled Match.
type Matcher struct {
	pattern *Pattern
	methods []string
}

// CompileMatch compiles what a rule matches. An error here makes the whole set unusable: of a rule
// that cannot be compared with requests nobody knows which ones it was meant to guard.
func CompileMatch(i int, r Rule) (*Matcher, error) {
	if r.Match == nil {
		return nil, fmt.Errorf("%s: match is missing", name(i, r.ID))
	}
	if r.Match.FullMethod != "" {
		return &Matcher{}, nil // no HTTP request matches it
	}
	pattern, err := CompilePattern(r.Match.URL)
	if err != nil {
		return nil, fmt.Errorf("%s: match.url: %w", name(i, r.ID), err)
	}
	return &Matcher{pattern: pattern, methods: r.Match.Methods}, nil
}

// Backtracks tells that matching this rule is bounded by a timer only.
func (m *Matcher) Backtracks() bool { return m.pattern != nil && m.pattern.Backtracks() }

func (m *Matcher) matches(method, target string) ([]string, bool, error) {
	if m.pattern == nil {
		return nil, false, nil
	}
	for _, allowed := range m.methods {
		if strings.EqualFold(allowed, method) {
			return m.pattern.Match(target)
		}
	}
	return nil, false, nil
}

// What can go wrong when exactly one rule must match.
var (
	ErrNoMatch   = errors.New("requested url does not match any rules")
	ErrManyMatch = errors.New("expected exactly one rule but found multiple rules")
)

// Find returns the index of the one matcher that matches and its capture groups. Every candidate is
// compared, so a second match is found wherever it stands in the file.
func Find(matchers []*Matcher, method, target string) (index int, captures []string, err error) {
	index = -1
	for i, m := range matchers {
		groups, matched, err := m.matches(method, target)
		if err != nil {
			return -1, nil, fmt.Errorf("rule at %d: %w", i, err)
		}
		if !matched {
			continue
		}
		if index >= 0 {
			return -1, nil, ErrManyMatch
		}
		index, captures = i, groups
	}
	if index < 0 {
		return -1, nil, ErrNoMatch
	}
	return index, captures, nil
}
