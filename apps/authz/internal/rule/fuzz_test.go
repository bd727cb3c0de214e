package rule_test

import (
	"errors"
	"testing"

	"gatehouse.internal/authz/internal/rule"
)

// Whatever a file holds: no panic, and the index finds what comparing every rule finds.
func FuzzRulesAreMatchedWithoutPanic(f *testing.F) {
	f.Add([]byte(sample), "http://h/x", false)
	f.Add([]byte(`[{"match":{"url":"<https?>://<[^/]+>/a<(/.*)?>","methods":["get"]}},{"match":{"url":"<.*>","methods":["GET"]}}]`), "https://h/a/b", false)
	f.Add([]byte(`[{"match":{"url":"http://<*><*>/b","methods":["GET"]}}]`), "http://h/a/b", true)
	f.Add([]byte(`[{"match":{"url":"http://<[!x]>/<{a,b}>","methods":["GET"]}}]`), "http:////b", true)
	f.Fuzz(func(t *testing.T, file []byte, target string, globs bool) {
		rules, err := rule.Parse(file)
		if err != nil {
			return
		}
		compile := rule.CompileRegexp
		if globs {
			compile = rule.CompileGlob
		}
		var matchers []*rule.Matcher
		matching := 0
		for i, r := range rules {
			m, err := rule.CompileMatch(i, r, compile)
			if err != nil || m.Backtracks() { // which may run out of time, and is slow to fuzz
				continue
			}
			matchers = append(matchers, m)
			pattern, err := compile(r.Match.URL)
			if r.Match.FullMethod != "" || err != nil {
				continue
			}
			_, matched, _ := pattern.Match(target)
			for _, method := range r.Match.Methods {
				if method == "GET" && matched {
					matching++
					break
				}
			}
		}
		_, _, err = rule.NewSet(matchers).Find("GET", target)
		switch {
		case matching > 1 && !errors.Is(err, rule.ErrManyMatch), matching == 1 && errors.Is(err, rule.ErrNoMatch):
			t.Fatalf("%d rules match, and Find says %v", matching, err)
		}
	})
}
