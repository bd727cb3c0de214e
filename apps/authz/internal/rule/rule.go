// Package rule reads Oathkeeper's access rules and finds those that match a request. It is pure:
// bytes in, values out, no I/O, so matching can be tested and fuzzed by itself.
package rule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Rule is one access rule as its author wrote it.
type Rule struct {
	ID             string    `json:"id"`
	Version        string    `json:"version"`
	Description    string    `json:"description"`
	Match          *Match    `json:"match"`
	Authenticators []Handler `json:"authenticators"`
	Authorizer     Handler   `json:"authorizer"`
	Mutators       []Handler `json:"mutators"`
	Errors         []Handler `json:"errors"`
	// Upstream is where Oathkeeper's own proxy would send the request. Here Envoy routes.
	Upstream map[string]any `json:"upstream"`

	// Line is where the rule begins in its text, from 1 on; 0 when that is not known.
	Line int `json:"-"`
	// Place is the file and the line, for people. Parse knows no file and leaves it empty.
	Place string `json:"-"`
}

// Handler names a stage's implementation and overrides its global configuration.
type Handler struct {
	Handler string         `json:"handler"`
	Config  map[string]any `json:"config"`
}

// Match says which requests a rule is for.
type Match struct {
	URL     string   `json:"url"`
	Methods []string `json:"methods"`

	// Rules for Oathkeeper's gRPC middleware; HTTP traffic never matches them.
	Authority    string `json:"authority"`
	FullMethod   string `json:"full_method"`
	AllowHTTPGet bool   `json:"allow_http_get"`
}

var (
	// errTwoLists: to read the first and ignore the rest would lose rules.
	errTwoLists = errors.New("something follows the list of rules")
	errNoList   = errors.New("the rules are not a list")
)

// Parse reads a list of rules in JSON or YAML. Unknown keys are refused: a rule that says
// "authorisers" would otherwise lose a stage without anybody noticing. All broken rules are
// reported at once; the others come with the error.
func Parse(data []byte) ([]Rule, error) {
	items, err := itemsOf(data)
	if err != nil {
		return nil, err
	}
	var rules []Rule
	var problems []error
	for i, item := range items {
		decoder := json.NewDecoder(bytes.NewReader(item.text))
		decoder.DisallowUnknownFields()
		var next Rule
		if err := decoder.Decode(&next); err != nil {
			problems = append(problems, fmt.Errorf("line %d: %s: %w", item.line, next.name(i), err))
			continue
		}
		next.Line = item.line
		rules = append(rules, next)
	}
	return rules, errors.Join(problems...)
}

// name is how a rule is called in errors: by id, or by its number when it has none, after its place.
func (r Rule) name(i int) string {
	place := r.Place
	if place != "" {
		place += ": "
	}
	if r.ID == "" {
		return fmt.Sprintf("%srule %d (no id)", place, i+1)
	}
	return fmt.Sprintf("%srule %q", place, r.ID)
}
