package rule

import "slices"

// Overlap is a pair of rules that both match one request: such a request gets an error instead of an answer.
type Overlap struct {
	First, Second int // indexes of the matchers, First < Second
	// Method and Target are a request that both match, tried with the matchers themselves.
	Method, Target string
}

// Overlaps is what is known about all pairs of rules.
type Overlaps struct {
	Found []Overlap // sorted by First and Second
	// Undecided counts the pairs that may overlap or not: the search was given up, at one of the limits or
	// because an expression is beyond regular languages. Of all other pairs it is known that they do not. Globs
	// are read as their documentation says; what the library makes of odd ones may match more.
	Undecided int
	// Open are the first of them by their indexes, for people to look at: at most 20.
	Open [][2]int
}

// Limits of a search. They count steps and not time, so that the same rules get the same report everywhere.
const (
	maxPairs     = 60_000_000 // that are looked at: all of 10,000 rules
	maxSteps     = 10_000_000 // of automata, for all pairs
	maxPairSteps = 200_000    // for one
	maxFound     = 1000       // overlaps
	maxStates    = 20_000     // of one automaton
	maxOpen      = 20         // undecided pairs that are named
	maxTries     = 32         // of targets that only one expression's approximation matches
)

// FindOverlaps compares all pairs of matchers. Which requests two patterns have in common is found by walking
// through the automata of both, and of what a request can look like, at once: what all three accept is a
// witness. It does no I/O. For 10,000 rules it takes from some milliseconds to two seconds.
func FindOverlaps(matchers []*Matcher) Overlaps {
	s := search{matchers: matchers, automata: make([]*automaton, len(matchers)), steps: maxSteps, pairs: maxPairs}
	s.briefs = briefsOf(matchers)
	byPrefix := map[string][]int{}
	for i, m := range matchers {
		if m.pattern != nil && len(m.methods) > 0 {
			byPrefix[m.pattern.prefix] = append(byPrefix[m.pattern.prefix], i)
		}
	}
	// Two paths can only be one if what begins the one begins the other.
	x := newIndex(byPrefix)
	for at, own := range x.matchers {
		for k, i := range own {
			for _, j := range own[k+1:] {
				s.compare(i, j)
			}
			for parent := x.parents[at]; parent >= 0; parent = x.parents[parent] {
				for _, j := range x.matchers[parent] {
					s.compare(min(i, j), max(i, j))
				}
			}
		}
	}
	slices.SortFunc(s.out.Found, func(a, b Overlap) int {
		if a.First != b.First {
			return a.First - b.First
		}
		return a.Second - b.Second
	})
	return s.out
}

// search is for one set of rules.
type search struct {
	matchers    []*Matcher
	briefs      []brief
	automata    []*automaton
	requestable *automaton
	steps       int // that are left
	pairs       int
	out         Overlaps
}

// brief is what sets most rules apart, side by side in memory: of 10,000 rules there are 50 million pairs.
type brief struct {
	methods  uint64   // a bit each; the last is shared by all methods that came too late
	segments [8]int32 // the first literal ones of the outline by number, 0 where there is none
}

func (b *brief) excludes(other *brief) bool {
	if b.methods&other.methods == 0 {
		return true
	}
	for i, segment := range &b.segments {
		if segment != 0 && other.segments[i] != 0 && segment != other.segments[i] {
			return true
		}
	}
	return false
}

func briefsOf(matchers []*Matcher) []brief {
	methods, segments := map[string]int{}, map[string]int32{}
	out := make([]brief, len(matchers))
	for i, m := range matchers {
		for _, method := range m.methods {
			if _, known := methods[method]; !known {
				methods[method] = len(methods)
			}
			out[i].methods |= 1 << min(methods[method], 63)
		}
		if m.pattern == nil {
			continue
		}
		for k, segment := range m.pattern.outline.segments {
			if k == len(out[i].segments) {
				break
			}
			if !segment.literal {
				continue
			}
			if segments[segment.text] == 0 {
				segments[segment.text] = int32(len(segments)) + 1 // #nosec G115 -- there are fewer rules
			}
			out[i].segments[k] = segments[segment.text]
		}
	}
	return out
}

func (s *search) compare(i, j int) {
	s.pairs--
	if s.pairs < 0 {
		s.undecided(i, j)
		return
	}
	if s.briefs[i].excludes(&s.briefs[j]) {
		return
	}
	a, b := s.matchers[i], s.matchers[j]
	if a.pattern.outline.excludes(b.pattern.outline) {
		return
	}
	method := commonMethod(a.methods, b.methods)
	if method == "" {
		return
	}
	if s.steps <= 0 || len(s.out.Found) >= maxFound {
		s.undecided(i, j)
		return
	}
	target, decided := s.witness(i, j)
	switch {
	case target != "":
		s.out.Found = append(s.out.Found, Overlap{First: i, Second: j, Method: method, Target: target})
	case !decided:
		s.undecided(i, j)
	}
}

func (s *search) undecided(i, j int) {
	s.out.Undecided++
	if len(s.out.Open) < maxOpen {
		s.out.Open = append(s.out.Open, [2]int{i, j})
	}
}

func commonMethod(a, b []string) string {
	for _, method := range a {
		if slices.Contains(b, method) {
			return method
		}
	}
	return ""
}

// witness returns a target that both match, or tells whether it is certain that there is none.
func (s *search) witness(i, j int) (target string, decided bool) {
	a, b, form := s.automaton(i), s.automaton(j), s.form()
	if a == nil || b == nil || form == nil {
		return "", false
	}
	first, second := s.matchers[i].pattern, s.matchers[j].pattern
	w := walk{automata: [3]*automaton{form, a, b}, budget: min(maxPairSteps, s.steps), visits: 1}
	if first.linear == nil || second.linear == nil {
		w.visits = 4 // one way to a state may hold what an approximation lets through, and another not
	}
	before, tries, gaveUp := w.budget, 0, false
	exhausted := w.run(func(candidate string) (stop bool) {
		if tries++; tries > maxTries {
			gaveUp = true
			return true
		}
		_, matches, err := first.Match(candidate)
		if matches && err == nil {
			_, matches, err = second.Match(candidate)
		}
		if matches && err == nil {
			target = candidate
		}
		gaveUp = err != nil // out of time: another candidate would be so too
		return target != "" || gaveUp
	})
	s.steps -= before - w.budget
	return target, exhausted && !gaveUp && tries == 0
}

func (s *search) automaton(i int) *automaton {
	if s.automata[i] == nil {
		made, err := newAutomaton(s.matchers[i].pattern.shape, &s.steps)
		if err != nil {
			return nil
		}
		s.automata[i] = made
	}
	return s.automata[i]
}

func (s *search) form() *automaton {
	if s.requestable == nil {
		s.requestable, _ = newAutomaton(requestable, &s.steps) // a constant, which tests compile
	}
	return s.requestable
}

// walk goes through several automata at once, breadth first, so that the first target is a shortest one.
type walk struct {
	automata [3]*automaton
	budget   int // steps that may still be taken
	visits   int // how often the same states may be reached, by different targets

	nodes []node
	seen  map[[3]int32]int
}

type node struct {
	states [3]int32
	parent int32
	by     byte
}

// favourites are what targets are made of where there is a choice.
const favourites = "abcdefghijklmnopqrstuvwxyz0123456789/.-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// run offers every target that all automata accept until stop says so. It tells whether all were offered.
func (w *walk) run(offer func(target string) (stop bool)) (exhausted bool) {
	alphabet := w.alphabet()
	w.seen = map[[3]int32]int{}
	w.nodes = []node{{parent: -1}}
	for at := 0; at < len(w.nodes); at++ {
		from := w.nodes[at].states
		if w.accepting(from) && offer(w.target(at)) {
			return false
		}
		for _, letter := range alphabet {
			if w.budget--; w.budget < 0 {
				return false
			}
			to, alive := w.step(from, letter)
			if w.large() {
				return false
			}
			if !alive || w.seen[to] >= w.visits {
				continue
			}
			w.seen[to]++
			w.nodes = append(w.nodes, node{to, int32(at), letter.by}) // #nosec G115 -- bounded by the budget
		}
	}
	return true
}

// letter stands for the bytes that no automaton tells apart.
type letter struct {
	classes [3]uint8
	by      byte
}

func (w *walk) alphabet() []letter {
	var out []letter
	known := map[[3]uint8]bool{}
	add := func(b byte) {
		var classes [3]uint8
		for i, a := range w.automata {
			classes[i] = a.class[b]
		}
		if !known[classes] {
			known[classes] = true
			out = append(out, letter{classes, b})
		}
	}
	for i := range len(favourites) {
		add(favourites[i])
	}
	for b := byte(minByte); b <= maxByte; b++ {
		add(b)
	}
	return out
}

func (w *walk) step(from [3]int32, l letter) (to [3]int32, alive bool) {
	for i, a := range w.automata {
		if to[i] = a.step(from[i], l.classes[i]); to[i] == dead {
			return to, false
		}
	}
	return to, true
}

func (w *walk) large() bool {
	for _, a := range w.automata {
		if len(a.states) > maxStates {
			return true
		}
	}
	return false
}

func (w *walk) accepting(states [3]int32) bool {
	for i, a := range w.automata {
		if !a.accepting(states[i]) {
			return false
		}
	}
	return true
}

func (w *walk) target(at int) string {
	var out []byte
	for ; w.nodes[at].parent >= 0; at = int(w.nodes[at].parent) {
		out = append(out, w.nodes[at].by)
	}
	slices.Reverse(out)
	return string(out)
}
