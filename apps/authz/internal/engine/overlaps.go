package engine

import (
	"fmt"

	"gatehouse.internal/authz/internal/rule"
)

// Overlap names another rule that matches a request that this one matches too. Such a request gets a 500.
type Overlap struct {
	Rule   string `json:"rule"`
	Method string `json:"method"`
	URL    string `json:"url"` // an example
}

// Overlaps counts what is known about pairs of rules.
type Overlaps struct {
	Found int
	// Undecided pairs may overlap or not; see rule.Overlaps.
	Undecided int
}

// Overlaps tells how many pairs of rules match the same requests. Rules lists them.
func (s *Snapshot) Overlaps() Overlaps {
	return Overlaps{Found: len(s.overlaps.Found), Undecided: s.overlaps.Undecided}
}

// OverlapWarnings describes what Overlaps counts in about twice limit lines, the last of each kind for all that are
// left out.
func (s *Snapshot) OverlapWarnings(limit int) []string {
	var out []string
	for i, overlap := range s.overlaps.Found {
		if i == limit {
			out = append(out, fmt.Sprintf("%d more pairs of rules overlap; /rules lists them", len(s.overlaps.Found)-limit))
			break
		}
		out = append(out, fmt.Sprintf("rules %q and %q both match %s %s: such a request gets a 500",
			s.rules[overlap.First].id, s.rules[overlap.Second].id, overlap.Method, overlap.Target))
	}
	for i, pair := range s.overlaps.Open {
		if i == limit {
			break
		}
		out = append(out, fmt.Sprintf("whether rules %q and %q both match some request is not decided", s.rules[pair[0]].id, s.rules[pair[1]].id))
	}
	if n := s.overlaps.Undecided - min(limit, len(s.overlaps.Open)); n > 0 {
		out = append(out, fmt.Sprintf("whether %d more pairs of rules overlap is not decided", n))
	}
	return out
}

// overlapping lists for each rule those that it overlaps with.
func overlapping(s *Snapshot) [][]Overlap {
	out := make([][]Overlap, len(s.rules))
	add := func(to, other int, found rule.Overlap) {
		out[to] = append(out[to], Overlap{Rule: s.rules[other].id, Method: found.Method, URL: found.Target})
	}
	for _, found := range s.overlaps.Found {
		add(found.First, found.Second, found)
		add(found.Second, found.First, found)
	}
	return out
}
