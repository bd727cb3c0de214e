package rule_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/rule"
)

// scan is what Find must agree with: every rule compared, no index.
func scan(t *testing.T, matches []rule.Match, patterns []*rule.Pattern, method, target string) (int, error) {
	t.Helper()
	found := -1
	for i, m := range matches {
		listed := false
		for _, allowed := range m.Methods {
			listed = listed || strings.EqualFold(allowed, method)
		}
		_, matched, err := patterns[i].Match(target)
		require.NoError(t, err)
		if listed && matched && found >= 0 {
			return -1, rule.ErrManyMatch
		}
		if listed && matched {
			found = i
		}
	}
	if found < 0 {
		return -1, rule.ErrNoMatch
	}
	return found, nil
}

func TestIndexNeverHidesAMatch(t *testing.T) {
	t.Cleanup(rule.SetBacktrackLimit(time.Minute))
	const seed = 4
	random := rand.New(rand.NewPCG(seed, seed)) // #nosec G404 -- repeatable on purpose
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	strategies := []struct {
		name             string
		compile          rule.Strategy
		front, host, end []string
	}{
		{
			"regexp", rule.CompileRegexp,
			[]string{"http://", "<https?>://", "<.*>://", "<(http|https)>://", "", "<.*>", "http:<//|/>", `<\w+:>//`},
			[]string{"h", "<[^/]+>", "H.example", "<.+>", `<[a-z]+(\.[a-z]+)?>`, "<(?!x)h>", `<\S+>`, "<h/a|h>", `<h\x2fa|h>`, "<(?s).>", "<[ -~]+>"},
			[]string{"", "<.*>", "<(/.*)?>", "<[^/]*>", "<b|c>", "<(?!b).*>"},
		},
		{
			"glob", rule.CompileGlob,
			[]string{"http://", "<http*>://", "<**>://", "<{http,https}>://", "", "<**>", "http:<//>"},
			[]string{"h", "<*>", "<**>", "<*><*>", "<[!x]>", "<{h,h/a}>", "<?>", "H.example", "<*>.<*>"},
			[]string{"", "<**>", "<*>", "<?>", "<[!x]>"},
		},
	}
	literals := []string{"/", "/a", "/a/", "/a/b", "/A", "/b", "/a/b/c", "", "/ab"}
	methods := []string{"GET", "get", "POST"}
	targets := []string{"http://h", "http:", "", "ftp://h/a/b", "http:///a", "http://h//a"}
	for _, host := range []string{"h", "h.example", "x"} {
		for _, scheme := range []string{"http", "https"} {
			for _, literal := range append(literals, "/a/c", "/a/b/b", "/abc", "/a/b.c") {
				targets = append(targets, scheme+"://"+host+literal)
			}
		}
	}
	for _, strategy := range strategies {
		t.Run(strategy.name, func(t *testing.T) {
			outcomes := map[string]int{}
			for round := range 300 {
				var matches []rule.Match
				var patterns []*rule.Pattern
				for range 1 + random.IntN(12) {
					m := rule.Match{
						URL:     pick(strategy.front) + pick(strategy.host) + pick(literals) + pick(strategy.end),
						Methods: []string{pick(methods), pick(methods)},
					}
					pattern, err := strategy.compile(m.URL)
					if err != nil {
						continue // such as an empty one
					}
					matches, patterns = append(matches, m), append(patterns, pattern)
				}
				indexed := setOf(t, strategy.compile, matches...)
				for _, target := range targets {
					method := pick(methods)
					want, wantErr := scan(t, matches, patterns, method, target)
					got, _, err := indexed.Find(method, target)
					require.Equal(t, want, got, "round %d: %v %s %s", round, matches, method, target)
					require.ErrorIs(t, err, wantErr, "round %d: %v %s %s", round, matches, method, target)
					outcomes[fmt.Sprint(errors.Unwrap(wantErr), wantErr)]++
				}
			}
			require.Len(t, outcomes, 3, "none, one and many have all been seen")
		})
	}
}

func setOf(t testing.TB, compile rule.Strategy, matches ...rule.Match) *rule.Set {
	t.Helper()
	var out []*rule.Matcher
	for i, m := range matches {
		matcher, err := rule.CompileMatch(i, rule.Rule{Match: &m}, compile)
		require.NoError(t, err)
		out = append(out, matcher)
	}
	return rule.NewSet(out)
}

func TestGlobMatchesLikeOathkeeper(t *testing.T) {
	for _, c := range []struct {
		pattern, target string
		want            bool
	}{
		{"https://a.b/c", "https://a.b/c", true},
		{"https://a.b/<*>", "https://a.b/c", true},
		{"https://a.b/<*>", "https://a.b/c/d", false},
		{"https://a.b/<*>", "https://a.b/c.d", false},
		{"https://a.b/<**>", "https://a.b/c.d/e", true},
		{"https://<*>.b/c", "https://a.b/c", true},
		{"https://<*>.b/c", "https://a.a.b/c", false},
		{"<{http,https}>://h/<[ab]>?", "http://h/a?", true}, // outside of <> a question mark is itself
		{"<{http,https}>://h/<?>", "https://h/x", true},
		{"https://h/*", "https://h/x", false},
		{"https://<[A-B]>.X/Y", "https://a.x/Y", true}, // hosts in any case
		{"https://<[A-B]>.X/Y", "https://a.x/y", false},
	} {
		pattern, err := rule.CompileGlob(c.pattern)
		require.NoError(t, err, c.pattern)
		captures, matched, err := pattern.Match(c.target)
		require.NoError(t, err)
		require.Equal(t, c.want, matched, "%s on %s", c.pattern, c.target)
		require.Empty(t, captures)
		require.False(t, pattern.Backtracks())
	}
	for _, text := range []string{"", "http://h/<", "http://h/<[>"} {
		_, err := rule.CompileGlob(text)
		require.Error(t, err, text)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 50, 1000, 10_000} {
		var matches []rule.Match
		for i := range n {
			matches = append(matches, rule.Match{URL: fmt.Sprintf("<https?>://<[^/]+>/api/part%05d<(/.*)?>", i), Methods: []string{"GET", "POST"}})
		}
		set := setOf(b, rule.CompileRegexp, matches...)
		target := "https://api.example:8080/api/part00005/" + strings.Repeat("x", 40)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := set.Find("GET", target); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
