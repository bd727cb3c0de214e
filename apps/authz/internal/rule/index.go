package rule

import (
	"regexp/syntax"
	"slices"
	"sort"
	"strings"
)

// index finds the few matchers that a path can match. It may name too many and never too few: which
// rules match, and that it is one, is decided by comparing them.
type index struct {
	prefixes []string // sorted, each once
	parents  []int    // the longest other prefix that begins this one, or -1
	matchers [][]int  // those that have this prefix
}

func newIndex(byPrefix map[string][]int) *index {
	var x index
	for prefix := range byPrefix {
		x.prefixes = append(x.prefixes, prefix)
	}
	slices.Sort(x.prefixes)
	for i, prefix := range x.prefixes {
		x.matchers = append(x.matchers, byPrefix[prefix])
		parent := i - 1 // sorted: what begins this prefix begins its neighbour too, or is its neighbour
		for parent >= 0 && !strings.HasPrefix(prefix, x.prefixes[parent]) {
			parent = x.parents[parent]
		}
		x.parents = append(x.parents, parent)
	}
	return &x
}

// each calls visit with every matcher whose prefix begins path, until visit returns false. All such
// prefixes begin the greatest one that is not greater than path, because what lies between two texts
// in order begins as both begin.
func (x *index) each(path string, visit func(matcher int) bool) {
	if x == nil {
		return
	}
	at := sort.Search(len(x.prefixes), func(i int) bool { return x.prefixes[i] > path }) - 1
	for ; at >= 0; at = x.parents[at] {
		if !strings.HasPrefix(path, x.prefixes[at]) {
			continue
		}
		for _, matcher := range x.matchers[at] {
			if !visit(matcher) {
				return
			}
		}
	}
}

// pathOf cuts the path off a target: what begins with the third slash, "" if there is none.
func pathOf(target string) string {
	_, rest, _ := strings.Cut(target, "/")
	_, rest, _ = strings.Cut(rest, "/")
	if at := strings.IndexByte(rest, '/'); at >= 0 {
		return rest[at:]
	}
	return ""
}

// pathPrefix returns the literal text from the third slash to the next expression. It is what pathOf
// any matching target begins with, if no expression before it can match a slash.
func pathPrefix(parts []part, hasNoSlash func(string) bool) string {
	slashes := 0
	for at, part := range parts {
		if part.expression {
			joined := at >= 2 && parts[at-1].text == "" // <*><*> is a ** to a glob
			if joined || !hasNoSlash(part.text) {
				return ""
			}
			continue
		}
		for i, c := range part.text {
			if c != '/' {
				continue
			}
			if slashes++; slashes == 3 {
				return part.text[i:]
			}
		}
	}
	return ""
}

// regexpHasNoSlash tells that no match of the expression holds a slash. What only the backtracking
// engine understands, or reads in another way, may hold one.
func regexpHasNoSlash(expression string) bool {
	if ambiguous(expression) {
		return false
	}
	tree, err := syntax.Parse(expression, syntax.Perl)
	return err == nil && noSlash(tree)
}

func noSlash(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpLiteral:
		return !slices.Contains(tree.Rune, '/')
	case syntax.OpCharClass:
		for i := 0; i < len(tree.Rune); i += 2 {
			if tree.Rune[i] <= '/' && '/' <= tree.Rune[i+1] {
				return false
			}
		}
		return true
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return false
	default: // anchors match nothing, the rest is made of others
		return !slices.ContainsFunc(tree.Sub, func(sub *syntax.Regexp) bool { return !noSlash(sub) })
	}
}

// globHasNoSlash: * and ? stop at slashes. A list or a range does not, and a brace may hold anything.
func globHasNoSlash(expression string) bool {
	return !strings.Contains(expression, "**") && !strings.ContainsAny(expression, `/[{\`)
}
