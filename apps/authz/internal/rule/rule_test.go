package rule_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/rule"
)

func TestPatternMatchesLikeOathkeeper(t *testing.T) {
	for _, c := range []struct {
		pattern, target string
		captures        []string // nil means no match
	}{
		{"https://a.b/c", "https://a.b/c", []string{}},
		{"https://a.b/c", "https://a.b/c/", nil},
		{"https://a.b/c", "https://aXb/c", nil}, // the dot is literal
		{"https://a.b/c", "https://a.b/C", nil}, // paths are case-sensitive
		{"https://a.b/<.*>", "https://a.b/", []string{""}},
		{"https://a.b/<.*>", "https://a.b/x/y", []string{"x/y"}},
		{"<https?>://<[^/]+>/api<(/.*)?>", "http://h:8080/api", []string{"http", "h:8080", "", ""}},
		{"<https?>://<[^/]+>/api<(/.*)?>", "https://h/api/x", []string{"https", "h", "/x", "/x"}},
		{"<https?>://<[^/]+>/api<(/.*)?>", "https://h/apix", nil},
		{"<https?>://<[^/]+>/api<(/.*)?>", "https://h/x/api/y", nil},
		{"http://h/<a|b>", "http://h/b", []string{"b"}},
		{"http://h/<a|b>", "http://h/ab", nil},
		{"http://h/<(a)|(b)>", "http://h/a", []string{"a", "a", ""}},
		{"http://h/<(?P<name>x+)>", "http://h/xx", []string{"xx", "xx"}},
		{"http://h/<(?P<name>x)(y)>", "http://h/xy", []string{"xy", "y", "x"}}, // Oathkeeper's engine numbers named groups last
		{"http://h/<(?!admin).*>", "http://h/user", []string{"user"}},          // look-ahead: backtracking engine
		{"http://h/<(?!admin).*>", "http://h/admin", nil},
		{"http://h/<[a-z-[aeiou]]>", "http://h/b", []string{"b"}}, // subtracts, in Oathkeeper's engine
		{"http://h/<[a-z-[aeiou]]>", "http://h/a", nil},
		// Hosts are equal in any case, on both sides.
		{"https://API.Example/X", "https://api.example/X", []string{}},
		{"https://API.Example/X", "https://api.example/x", nil},
		{"HTTPS://h/x", "https://h/x", []string{}},
		{"HTTP<s?>://h/x", "https://h/x", []string{"s"}},
		// What follows an expression that may span the host is a path, whose case matters.
		{"<.*>/Admin", "https://h/Admin", []string{"https://h"}},
		{"<.*>/Admin", "https://h/admin", nil},
		{"https://<[A-Z]+>.Example/<[A-Z]+>", "https://api.example/X", []string{"api", "X"}},
		{"https://<[A-Z]+>.Example/<[A-Z]+>", "https://api.example/x", nil},
		// The end is the end: no engine may overlook a final newline.
		{"http://h/x", "http://h/x\n", nil},
		{"http://h/<(?!y)x>", "http://h/x\n", nil},
		{"http://h/<x$>", "http://h/x\n", nil},
	} {
		pattern, err := rule.CompileRegexp(c.pattern)
		require.NoError(t, err, c.pattern)
		captures, matched, err := pattern.Match(c.target)
		require.NoError(t, err, c.pattern)
		require.Equal(t, c.captures != nil, matched, "%s on %q", c.pattern, c.target)
		if matched {
			require.Equal(t, c.captures, captures, "%s on %q", c.pattern, c.target)
		}
	}
}

func TestBrokenPatternIsRefused(t *testing.T) {
	for _, text := range []string{"", "http://h/<", "http://h/>", "http://h/<a", "http://h/<(>", "http://h/<a)|(b>", "http://h/<[>"} {
		_, err := rule.CompileRegexp(text)
		require.Error(t, err, text)
	}
}

func TestOnlyPatternsBeyondRE2Backtrack(t *testing.T) {
	for text, want := range map[string]bool{
		"http://h/<.*>": false, `http://h/<\w+[^/]*>`: false, "http://h/<(?!a).*>": true,
		`http://h/<(?i)[\W]>`: true, "http://h/<(?i)ſ>": true, "http://h/<[[:^digit:]]>": true, // read in two ways
	} {
		pattern, err := rule.CompileRegexp(text)
		require.NoError(t, err)
		require.Equal(t, want, pattern.Backtracks(), text)
	}
}

func TestRunawayPatternEndsInAnError(t *testing.T) {
	pattern, err := rule.CompileRegexp(`http://h/<(?!x)(a+)+>`)
	require.NoError(t, err)
	_, matched, err := pattern.Match("http://h/" + strings.Repeat("a", 64) + "!")
	require.Error(t, err)
	require.False(t, matched)
}

func TestExactlyOneRuleMustMatch(t *testing.T) {
	set := setOf(t, rule.CompileRegexp,
		rule.Match{URL: "http://h/a/<.*>", Methods: []string{"GET"}},
		rule.Match{URL: "http://h/a/<.*>", Methods: []string{"post"}},
		rule.Match{URL: "http://h/b", Methods: []string{"GET"}},
		rule.Match{URL: "http://h/<a|b>/both", Methods: []string{"GET"}},
	)
	index, captures, err := set.Find("GET", "http://h/a/x")
	require.NoError(t, err)
	require.Equal(t, 0, index)
	require.Equal(t, []string{"x"}, captures)

	index, _, err = set.Find("POST", "http://h/a/x")
	require.NoError(t, err, "methods compare without case")
	require.Equal(t, 1, index)

	_, _, err = set.Find("DELETE", "http://h/a/x")
	require.ErrorIs(t, err, rule.ErrNoMatch)

	_, _, err = set.Find("GET", "http://h/a/both")
	require.ErrorIs(t, err, rule.ErrManyMatch)

	_, _, err = rule.NewSet(nil).Find("GET", "http://h/")
	require.ErrorIs(t, err, rule.ErrNoMatch)
}

func TestGRPCMatchIsReachedByNoRequest(t *testing.T) {
	set := setOf(t, rule.CompileRegexp, rule.Match{Authority: "h", FullMethod: "pkg.Service/Call"})
	_, _, err := set.Find("POST", "grpc://h/pkg.Service/Call")
	require.ErrorIs(t, err, rule.ErrNoMatch)
}

func TestRuleWithoutMatchCannotBeCompiled(t *testing.T) {
	_, err := rule.CompileMatch(2, rule.Rule{}, rule.CompileRegexp)
	require.ErrorContains(t, err, "rule 3 (no id)")
	_, err = rule.CompileMatch(0, rule.Rule{ID: "x", Match: &rule.Match{URL: "<"}}, rule.CompileRegexp)
	require.ErrorContains(t, err, `rule "x"`)
}

const sample = `
- id: one
  version: v0.40.0
  description: an example
  match: {url: "http://h/<.*>", methods: [GET]}
  authenticators: [{handler: jwt, config: {target_audience: [x]}}]
  authorizer: {handler: allow}
  mutators: [{handler: header, config: {headers: {X-User: "{{ print .Subject }}"}}}]
  errors: [{handler: json}]
  upstream: {url: "http://u", preserve_host: true}
`

func TestYAMLAndJSONReadTheSame(t *testing.T) {
	fromYAML, err := rule.Parse([]byte(sample))
	require.NoError(t, err)
	fromJSON, err := rule.Parse([]byte(`[{"id":"one","version":"v0.40.0","description":"an example",
		"match":{"url":"http://h/<.*>","methods":["GET"]},
		"authenticators":[{"handler":"jwt","config":{"target_audience":["x"]}}],
		"authorizer":{"handler":"allow"},
		"mutators":[{"handler":"header","config":{"headers":{"X-User":"{{ print .Subject }}"}}}],
		"errors":[{"handler":"json"}],
		"upstream":{"url":"http://u","preserve_host":true}}]`))
	require.NoError(t, err)
	require.Equal(t, 2, fromYAML[0].Line)
	require.Equal(t, 1, fromJSON[0].Line)
	fromJSON[0].Line = 2
	require.Equal(t, fromJSON, fromYAML)
}

func TestEveryBrokenRuleIsReportedWithItsLine(t *testing.T) {
	for name, text := range map[string]string{
		"JSON": "[\n {\"id\":\"a\",\n  \"x\":1},\n {\"id\":\"b\"}\n,\n\n {\"id\": 7},\n {\"id\":\"d\",\"match\":[]}]",
		"YAML": "#\n- id: a\n  x: 1\n- id: b\n\n\n- id: 7\n- {id: d, match: []}\n",
		"tabs": "[\n\t{\"id\":\"a\",\n\t\"x\":1},\n\t{\"id\":\"b\"}\n,\n\n\t{\"id\": 7},\n\t{\"id\":\"d\",\"match\":[]}]",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rule.Parse([]byte(text))
			require.ErrorContains(t, err, `line 2: rule "a": json: unknown field "x"`)
			require.ErrorContains(t, err, "line 7: rule 3 (no id)")
			require.ErrorContains(t, err, `line 8: rule "d"`)
			require.NotContains(t, err.Error(), `"b"`)
		})
	}
}

func TestAliasesBetweenRulesAreUnderstood(t *testing.T) {
	rules, err := rule.Parse([]byte("- {id: a, authorizer: &open {handler: allow}}\n- {id: b, authorizer: *open}\n"))
	require.NoError(t, err)
	require.Equal(t, "allow", rules[1].Authorizer.Handler)
}

func TestEmptyListsAreNoRules(t *testing.T) {
	for _, text := range []string{"", "null", "~", "[]", "# nothing\n"} {
		rules, err := rule.Parse([]byte(text))
		require.NoError(t, err, text)
		require.Empty(t, rules, text)
	}
}

func TestBrokenRulesAreRefused(t *testing.T) {
	for _, text := range []string{`{"id":"not a list"}`, `[{"id":"x","authorisers":[]}]`, `- id: [`, `[{"id":1}]`, "- {id: a}\n---\n- {id: b}\n", `[] []`} {
		_, err := rule.Parse([]byte(text))
		require.Error(t, err, text)
	}
}
