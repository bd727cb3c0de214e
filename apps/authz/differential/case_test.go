//go:build differential

// Package differential asks the real Oathkeeper's decision API and authz the same questions and compares the
// answers. What may differ is listed in docs/oathkeeper-differences.md and, by the same names, in differences.
package differential

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// batch is one configuration with its rules and the requests asked of it. Its JSON is what a failure prints and
// what testdata holds. @UPSTREAM@ and @KEYS@ in it stand for the servers and key files of the run.
type batch struct {
	Config   map[string]any `json:"config"`
	Rules    []rule         `json:"rules"`
	Requests []request      `json:"requests"`
}

type rule struct {
	ID             string    `json:"id"`
	Match          match     `json:"match"`
	Authenticators []handler `json:"authenticators"`
	Authorizer     handler   `json:"authorizer"`
	Mutators       []handler `json:"mutators"`
	Errors         []handler `json:"errors,omitempty"`
}

type match struct {
	URL     string   `json:"url"`
	Methods []string `json:"methods"`
}

type handler struct {
	Handler string         `json:"handler"`
	Config  map[string]any `json:"config,omitempty"`
}

// request is what the client sent, as the proxy saw it. A header value may hold a symbol of credentials, such
// as @jwt:expired@, so that a printed failure can be read and repeated.
type request struct {
	Method  string      `json:"method"`
	Scheme  string      `json:"scheme"`
	Host    string      `json:"host"`
	Path    string      `json:"path"`
	Query   string      `json:"query,omitempty"`
	Headers [][2]string `json:"headers,omitempty"`
}

func (r request) values(name string) []string {
	var out []string
	for _, h := range r.Headers {
		if strings.EqualFold(h[0], name) {
			out = append(out, h[1])
		}
	}
	return out
}

// carries tells whether any header or the query holds one of the texts.
func (r request) carries(texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(r.Query, text) || slices.ContainsFunc(r.Headers, func(h [2]string) bool { return strings.Contains(h[1], text) })
	})
}

// matched are the rules that a request was made for: every generated rule has a path of its own, /r7.
func (b batch) matched(r request) []rule {
	first, _, _ := strings.Cut(strings.TrimLeft(r.Path, "/"), "/")
	own := regexp.MustCompile("/" + regexp.QuoteMeta(first) + `\b`)
	return slices.DeleteFunc(slices.Clone(b.Rules), func(rule rule) bool { return !own.MatchString(rule.Match.URL) })
}

// marshal writes JSON with < and > as they are.
func marshal(v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(v); err != nil {
		panic(err) // maps, strings and numbers always encode
	}
	return out.Bytes()
}

// compact is the same on one line.
func compact(v any) string {
	var out bytes.Buffer
	if err := json.Compact(&out, marshal(v)); err != nil {
		panic(err)
	}
	return out.String()
}
