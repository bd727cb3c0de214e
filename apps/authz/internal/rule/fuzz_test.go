package rule_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"gatehouse.internal/authz/internal/envoy"
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
		set := rule.NewSet(matchers)
		_, _, err = set.Find("GET", target)
		switch {
		case matching > 1 && !errors.Is(err, rule.ErrManyMatch), matching == 1 && errors.Is(err, rule.ErrNoMatch):
			t.Fatalf("%d rules match, and Find says %v", matching, err)
		}
		if len(matchers) > 4 { // of more there is nothing new to learn, and it is slow
			return
		}
		report := rule.FindOverlaps(matchers)
		for _, found := range report.Found {
			if all := set.All(found.Method, found.Target); !slices.Contains(all, found.First) || !slices.Contains(all, found.Second) {
				t.Fatalf("%v match %s %s, and the report says %v", all, found.Method, found.Target, found)
			}
		}
		if !globs && matching > 1 && rule.Requestable(target) && len(report.Found)+report.Undecided == 0 {
			t.Fatalf("%d rules match %q, and the report is empty", matching, target)
		}
	})
}

// A witness must be a request that can be made, and a request that can be made must not be overlooked.
func FuzzRequestableIsWhatTheDoorLetsThrough(f *testing.F) {
	for _, seed := range [][2]string{
		{"h", "/"}, {"h:80", "/a/b/"}, {"[::1]", "/%20%C3%A9"}, {"h", "/..."}, {"h", "/.a/..b"}, {"h", "/.."}, {"h", "/a//b"}, {"h", "/%2e"}, {"h", "/%61"},
		{"h", "/%E0%80%80"}, {"h", "/%ED%A0%80"}, {"h", "/%F4%90%80%80"}, {"h", "/%F0%9F%98%80"}, {"h", "/a b"}, {"h", "/a;b"}, {"h", "/%"}, {"", "/"}, {"h", "/~!$&'()*+,=:@|^`{}<>\""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, host, path string) {
		if strings.Contains(path, "?") || !strings.HasPrefix(path, "/") || strings.ToLower(host) != host {
			return // no request begins otherwise, and a query or a capital in the host never reaches a rule
		}
		r, err := envoy.Parse(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Host: host, Path: path, Headers: map[string]string{"x-forwarded-proto": "https"}},
		}}})
		if possible := err == nil; possible != rule.Requestable("https://"+host+path) {
			t.Fatalf("%v: the door says %v", r, err)
		}
	})
}
