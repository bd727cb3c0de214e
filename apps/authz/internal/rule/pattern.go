package rule

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dlclark/regexp2"
	"github.com/gobwas/glob"
)

// backtrackLimit is how long a pattern that Go's linear-time engine cannot compile may run for one
// request. It is Oathkeeper's own limit.
var backtrackLimit = 250 * time.Millisecond

// Pattern is a compiled match.url. It is safe for concurrent use.
type Pattern struct {
	linear       *regexp.Regexp
	backtracking *regexp2.Regexp
	glob         glob.Glob

	// prefix begins every path that can match, "" when that cannot be said of any.
	prefix string
	// outline tells cheaply of most pairs of patterns that they have no target in common.
	outline outline
	// shape is a regular expression that matches all that the pattern does, and more where the pattern is none.
	shape string
}

// Backtracks tells that the pattern needs look-around or back-references, so its running time is
// bounded by a timer only.
func (p *Pattern) Backtracks() bool { return p.backtracking != nil }

// Strategy compiles match.url: CompileRegexp or CompileGlob.
type Strategy func(text string) (*Pattern, error)

// CompileRegexp compiles text in which every <expr> is a regular expression and everything else is
// literal. Host and scheme are compared in lower case, because browsers, DNS and backends take
// "EXAMPLE.com" for "example.com".
func CompileRegexp(text string) (*Pattern, error) {
	parts, err := parse(text)
	if err != nil {
		return nil, err
	}
	var expr, shape strings.Builder
	for i, part := range parts {
		if !part.expression {
			expr.WriteString(regexp.QuoteMeta(part.text))
			shape.WriteString(regexp.QuoteMeta(part.text))
			continue
		}
		// Compiled alone first: "a)|(b" would balance inside the group and escape the anchors.
		if _, err := regexp2.Compile(part.text, regexp2.RE2); err != nil {
			return nil, fmt.Errorf("<%s>: %w", part.text, err)
		}
		if part.place == inHost {
			parts[i].text = "(?i)" + part.text
		}
		expr.WriteString("(" + parts[i].text + ")")
		shape.WriteString(shapeOf(parts[i].text))
	}
	// \A and \z, not ^ and $: "$" also matches before a final newline in backtracking engines.
	anchored := `\A` + expr.String() + `\z`
	pattern := &Pattern{prefix: pathPrefix(parts, regexpHasNoSlash), outline: outlineOf(parts, regexpHasNoSlash)}
	if linear, err := regexp.Compile(anchored); err == nil && !ambiguous(anchored) {
		pattern.linear, pattern.shape = linear, anchored
		return pattern, nil
	}
	backtracking, err := regexp2.Compile(anchored, regexp2.RE2)
	if err != nil {
		return nil, err
	}
	backtracking.MatchTimeout = backtrackLimit
	pattern.backtracking, pattern.shape = backtracking, `\A`+shape.String()+`\z`
	return pattern, nil
}

// CompileGlob compiles text in which every <expr> is a glob and everything else is literal: * and ?
// stop at a dot and at a slash, ** does not. There are no capture groups.
func CompileGlob(text string) (*Pattern, error) {
	parts, err := parse(text)
	if err != nil {
		return nil, err
	}
	var expr strings.Builder
	for _, part := range parts {
		switch {
		case !part.expression:
			expr.WriteString(glob.QuoteMeta(part.text))
		case part.place == inHost:
			expr.WriteString(strings.ToLower(part.text))
		default:
			expr.WriteString(part.text)
		}
	}
	compiled, err := glob.Compile(expr.String(), '.', '/')
	if err != nil {
		return nil, err
	}
	return &Pattern{
		glob: compiled, prefix: pathPrefix(parts, globHasNoSlash), outline: outlineOf(parts, globHasNoSlash),
		shape: `\A` + globShape(expr.String()) + `\z`,
	}, nil
}

// ambiguous tells that the two engines read an expression in two ways: [a-z-[aeiou]] subtracts in
// Oathkeeper's, \Q is a letter there, (?i)[\W] holds an i, (?i)ſ is no s, and named groups are numbered after all others. Rules were written for
// Oathkeeper's. Random expressions over ASCII targets showed no other difference; paths are ASCII.
func ambiguous(expr string) bool {
	nonASCII := strings.ContainsFunc(expr, func(c rune) bool { return c > unicode.MaxASCII })
	return nonASCII || slices.ContainsFunc([]string{"-[", `\Q`, `\W`, "[[:^", "(?P<", "(?<"}, func(s string) bool { return strings.Contains(expr, s) })
}

// Match compares the whole target and returns the capture groups, "" for those that took no part.
func (p *Pattern) Match(target string) (captures []string, matched bool, err error) {
	if p.glob != nil {
		return []string{}, p.glob.Match(target), nil
	}
	if p.linear != nil {
		found := p.linear.FindStringSubmatch(target)
		if found == nil {
			return nil, false, nil
		}
		return found[1:], true, nil
	}
	found, err := p.backtracking.FindStringMatch(target)
	if err != nil || found == nil {
		return nil, false, err
	}
	groups := found.Groups()[1:]
	captures = make([]string, len(groups))
	for i, group := range groups {
		captures[i] = group.String()
	}
	return captures, true, nil
}

type part struct {
	text       string
	expression bool  // between < and >
	place      place // of an expression
}

// parse cuts text into its parts and lowers the literals of scheme and host.
func parse(text string) ([]part, error) {
	if text == "" {
		return nil, errors.New("match.url is empty")
	}
	parts, err := split(text)
	where := inScheme
	for i := range parts {
		if parts[i].expression {
			parts[i].place = where
		} else {
			parts[i].text, where = lowerAuthority(parts[i].text, where)
		}
	}
	return parts, err
}

// split cuts at the outermost < and >; inner ones belong to the expression, as in (?P<name>x).
func split(text string) ([]part, error) {
	var parts []part
	depth, start := 0, 0
	for i, c := range text {
		switch c {
		case '<':
			if depth++; depth == 1 {
				parts = append(parts, part{text: text[start:i]})
				start = i + 1
			}
		case '>':
			if depth--; depth < 0 {
				return nil, fmt.Errorf("%q has a > without a <", text)
			}
			if depth == 0 {
				parts = append(parts, part{text: text[start:i], expression: true})
				start = i + 1
			}
		}
	}
	if depth != 0 {
		return nil, fmt.Errorf("%q has a < without a >", text)
	}
	return append(parts, part{text: text[start:]}), nil
}

type place int

const (
	inScheme place = iota
	inHost
	inPath
)

// lowerAuthority lowers the literal's scheme and host and leaves its path alone. An expression that
// spans host and path, like <.*>, is left as it is: nobody can tell where its host ends.
func lowerAuthority(literal string, where place) (string, place) {
	var out strings.Builder
	if where == inScheme {
		before, after, found := strings.Cut(literal, "://")
		if !found { // "http" before <s?>, or "/Path" after a <.*> that spans scheme, host and more
			if strings.Contains(literal, "/") {
				return literal, inPath
			}
			return strings.ToLower(literal), inScheme
		}
		out.WriteString(strings.ToLower(before))
		out.WriteString("://")
		literal, where = after, inHost
	}
	if where == inHost {
		slash := strings.IndexByte(literal, '/')
		if slash < 0 {
			out.WriteString(strings.ToLower(literal))
			return out.String(), inHost
		}
		out.WriteString(strings.ToLower(literal[:slash]))
		literal, where = literal[slash:], inPath
	}
	out.WriteString(literal)
	return out.String(), where
}
