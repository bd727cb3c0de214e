package rule_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/rule"
)

func matchersOf(t testing.TB, compile rule.Strategy, matches ...rule.Match) []*rule.Matcher {
	t.Helper()
	var out []*rule.Matcher
	for i, m := range matches {
		matcher, err := rule.CompileMatch(i, rule.Rule{Match: &m}, compile)
		require.NoError(t, err)
		out = append(out, matcher)
	}
	return out
}

func get(urls ...string) []rule.Match {
	var out []rule.Match
	for _, url := range urls {
		out = append(out, rule.Match{URL: url, Methods: []string{"GET"}})
	}
	return out
}

func TestOverlapsComeWithARequestThatBothMatch(t *testing.T) {
	t.Cleanup(rule.SetBacktrackLimit(time.Minute)) // on a busy machine a match can stand still for longer than the real one
	for _, c := range []struct {
		name        string
		compile     rule.Strategy
		first, next string
		target      string // "" when they do not overlap
	}{
		{"literal", rule.CompileRegexp, "http://h/a", "http://h/a", "http://h/a"},
		{"literals that differ", rule.CompileRegexp, "http://h/a", "http://h/b", ""},
		{"hosts in any case", rule.CompileRegexp, "http://H/a", "http://h/a", "http://h/a"},
		{"rest and literal", rule.CompileRegexp, "<https?>://<[^/]+>/api<(/.*)?>", "https://h/api/x", "https://h/api/x"},
		{"segments apart", rule.CompileRegexp, "http://h/<[^/]+>/a/<.*>", "http://h/<[a-z]*>/b/<.*>", ""},
		{"segments that meet", rule.CompileRegexp, "http://h/<[^/]+>/a/<.*>", "http://h/b/<a|c>/<.*>", "http://h/b/a/"},
		{"segments of unequal number", rule.CompileRegexp, "http://h/<[^/]+>", "http://h/<[^/]+>/a", ""},
		{"segment that may hold a slash", rule.CompileRegexp, "http://h/<.+>/a", "http://h/<[^/]+>/b/a", "http://h/a/b/a"},
		{"beside", rule.CompileRegexp, "<https?>://<[^/]+>/api<(/.*)?>", "<https?>://<[^/]+>/apix<(/.*)?>", ""},
		{"both may", rule.CompileRegexp, "http://h/<a|b>/both", "http://h/a/<.*>", "http://h/a/both"},
		{"schemes", rule.CompileRegexp, "http://h/<.*>", "https://h/<.*>", ""},
		{"numbers and letters", rule.CompileRegexp, "http://h/users/<[0-9]+>", "http://h/users/<[a-z]+>", ""},
		{"numbers and me", rule.CompileRegexp, `http://h/users/<\w+>`, "http://h/users/me", "http://h/users/me"},
		{"word boundary", rule.CompileRegexp, `http://h/<a\b.*>`, "http://h/a<.b>", "http://h/a/b"},
		{"no word boundary", rule.CompileRegexp, `http://h/<a\B.*>`, "http://h/a<[!-/]b>", ""},
		{"anchors inside", rule.CompileRegexp, `http://h/<^a$>`, "http://h/a", ""},
		{"end inside", rule.CompileRegexp, `http://h/<a$>`, "http://h/a", "http://h/a"},
		{"fold", rule.CompileRegexp, `http://h/<(?i)admin>`, "http://h/<[A-Z]+>", "http://h/ADMIN"},
		// No request has these paths, so nobody can meet the overlap.
		{"only in a path with two slashes", rule.CompileRegexp, "http://h/a/<.*>/b", "http://h/a//<b?>", ""},
		{"only in a dot segment", rule.CompileRegexp, "http://h/<[.]+>", "http://h/<..>", ""},
		{"only in a host with capitals", rule.CompileRegexp, "<.*>//H/x", "<.*>/x", ""},
		{"dots that are a name", rule.CompileRegexp, "http://h/<[.]+>", "http://h/<...>", "http://h/..."},
		{"escapes", rule.CompileRegexp, "http://h/<%.*>", "http://h/<[^a-z]{3}>", "http://h/%20"},
		{"beyond regular languages", rule.CompileRegexp, "http://h/<(?!admin).*>", "http://h/user/<.*>", "http://h/user/"},
		{"subtraction", rule.CompileRegexp, "http://h/<[a-z-[aeiou]]+>", "http://h/<.>", "http://h/b"},
		{"beyond, and literally apart", rule.CompileRegexp, "http://h/a/<(?!x).*>", "http://h/b/<.*>", ""},
		{"glob", rule.CompileGlob, "http://h/<*>", "http://h/<{a,b}c>", "http://h/ac"},
		{"globs apart", rule.CompileGlob, "http://h/<*>", "http://h/a/<*>", ""},
		{"glob that crosses", rule.CompileGlob, "http://h/<**>", "http://h/a/<[!a-y]>", "http://h/a/z"},
		{"glob that stops at a dot", rule.CompileGlob, "http://h/<*>x", "http://h/a.<?>", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			matchers := matchersOf(t, c.compile, get(c.first, c.next)...)
			report := rule.FindOverlaps(matchers)
			require.Zero(t, report.Undecided)
			if c.target == "" {
				require.Empty(t, report.Found)
				return
			}
			require.Equal(t, []rule.Overlap{{First: 0, Second: 1, Method: "GET", Target: c.target}}, report.Found)
			_, _, err := rule.NewSet(matchers).Find("GET", c.target)
			require.ErrorIs(t, err, rule.ErrManyMatch)
		})
	}
}

func TestOnlyRulesOfOneMethodOverlap(t *testing.T) {
	url := "http://h/x"
	report := rule.FindOverlaps(matchersOf(t, rule.CompileRegexp,
		rule.Match{URL: url, Methods: []string{"GET", "put"}},
		rule.Match{URL: url, Methods: []string{"POST"}},
		rule.Match{URL: url, Methods: []string{"PUT"}},
		rule.Match{URL: url},
		rule.Match{Authority: "h", FullMethod: "x"},
	))
	require.Equal(t, []rule.Overlap{{First: 0, Second: 2, Method: "PUT", Target: url}}, report.Found)
}

func TestMoreMethodsThanBitsAreStillApart(t *testing.T) {
	var matches []rule.Match
	for i := range 100 {
		matches = append(matches, rule.Match{URL: "http://h/x", Methods: []string{fmt.Sprintf("M%d", i)}})
	}
	report := rule.FindOverlaps(matchersOf(t, rule.CompileRegexp, matches...))
	require.Empty(t, report.Found)
	require.Zero(t, report.Undecided)
}

func TestWhatCannotBeDecidedIsCountedAndNotClaimed(t *testing.T) {
	for name, urls := range map[string][]string{
		"look-ahead excludes the other": {"http://h/<(?!admin).*>", "http://h/admin<.*>"},
		"runs out of time":              {`http://h/<(?!x)(a+)+b>`, "http://h/<a{64}.*!>"},
		"too many states":               {"http://h/<.*a.{40}>", "http://h/<.*b.{40}c>/x/<.*d.{41}>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(rule.SetBacktrackLimit(10 * time.Millisecond))
			report := rule.FindOverlaps(matchersOf(t, rule.CompileRegexp, get(urls...)...))
			require.Empty(t, report.Found)
			require.Equal(t, 1, report.Undecided)
		})
	}
}

// Rules at random: what is reported does match twice, and where nothing is, no target of a sample does.
func TestReportAgreesWithTheMatchers(t *testing.T) {
	t.Cleanup(rule.SetBacktrackLimit(time.Minute))
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed)) // #nosec G404 -- repeatable on purpose
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	var targets []string
	for _, scheme := range []string{"http", "https"} {
		for _, host := range []string{"h", "h.example", "x"} {
			for _, path := range []string{"/", "/a", "/a/", "/a/b", "/b", "/ab", "/A", "/a/b/c", "/a.b", "/a/b.c", "/c"} {
				targets = append(targets, scheme+"://"+host+path)
			}
		}
	}
	for name, strategy := range map[string]struct {
		compile rule.Strategy
		url     func() string
	}{
		"regexp": {rule.CompileRegexp, func() string {
			return pick("http://", "<https?>://", "<.*>://") + pick("h", "<[^/]+>", "h.example", "<[a-z]+(\\.[a-z]+)?>") +
				pick("/", "/a", "/a/", "/A", "/b") + pick("", "<.*>", "<(/.*)?>", "<[^/]*>", "<b|c>", "<(?!b).*>", `<\bb>`)
		}},
		"glob": {rule.CompileGlob, func() string {
			return pick("http://", "<http*>://", "<**>://", "<{http,https}>://") + pick("h", "<*>", "<**>", "<{h,x}>", "<?>", "<*>.<*>") +
				pick("/", "/a", "/a/", "/b") + pick("", "<**>", "<*>", "<?>", "<[!x]>", "<{b,c}>")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			found, none, undecided := 0, 0, 0
			for range 250 {
				matchers := matchersOf(t, strategy.compile, get(strategy.url(), strategy.url())...)
				set := rule.NewSet(matchers)
				report := rule.FindOverlaps(matchers)
				if len(report.Found) > 0 {
					found++
					require.Equal(t, []int{0, 1}, set.All("GET", report.Found[0].Target))
					continue
				}
				if report.Undecided > 0 {
					undecided++
					continue
				}
				none++
				for _, target := range targets {
					require.Less(t, len(set.All("GET", target)), 2, target)
				}
			}
			t.Logf("%d overlap, %d do not, %d are undecided", found, none, undecided)
			require.Positive(t, found)
			require.Positive(t, none)
			require.Less(t, undecided, 25)
		})
	}
}

func TestReportOfManyRulesIsBounded(t *testing.T) {
	var urls []string
	for i := range 3000 {
		urls = append(urls, fmt.Sprintf("http://h/a<.*>%d", i%10))
	}
	report := rule.FindOverlaps(matchersOf(t, rule.CompileRegexp, get(urls...)...))
	require.Len(t, report.Found, 1000)
	require.Positive(t, report.Undecided)
}

func BenchmarkFindOverlaps(b *testing.B) {
	for name, url := range map[string]func(i int) string{
		"distinct":   func(i int) string { return fmt.Sprintf("<https?>://<[^/]+>/api/part%05d<(/.*)?>", i) },
		"hosts":      func(i int) string { return fmt.Sprintf("https://h%05d.example/<.*>", i) },
		"unprefixed": func(i int) string { return fmt.Sprintf("<.*>/api/part%05d", i) },
		"middle":     func(i int) string { return fmt.Sprintf("https://h/<[^/]+>/part%05d/<.*>", i) },
		"catch-all": func(i int) string {
			if i == 0 {
				return "<.*>"
			}
			return fmt.Sprintf("https://h/part%05d/<.*>", i)
		},
	} {
		for _, n := range []int{1000, 10_000} {
			var urls []string
			for i := range n {
				urls = append(urls, url(i))
			}
			matchers := matchersOf(b, rule.CompileRegexp, get(urls...)...)
			b.Run(fmt.Sprintf("%s/rules=%d", name, n), func(b *testing.B) {
				for b.Loop() {
					report := rule.FindOverlaps(matchers)
					b.ReportMetric(float64(len(report.Found)), "found")
					b.ReportMetric(float64(report.Undecided), "undecided")
				}
			})
		}
	}
}
