// Package rule reads Oathkeeper's access rules and finds those that match a request. It is pure:
// bytes in, values out, no I/O, so matching can be tested and fuzzed by itself.
package rule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
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

// errTwoLists: to read the first and ignore the rest would lose rules.
var errTwoLists = errors.New("something follows the list of rules")

// Parse reads a list of rules in JSON or YAML. Unknown keys are refused: a rule that says
// "authorisers" would otherwise lose a stage without anybody noticing.
func Parse(data []byte) ([]Rule, error) {
	if !json.Valid(data) {
		var tree any
		document := yaml.NewDecoder(bytes.NewReader(data))
		err := document.Decode(&tree)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err == nil && !errors.Is(document.Decode(new(any)), io.EOF) {
			return nil, errTwoLists
		}
		if data, err = json.Marshal(tree); err != nil {
			return nil, err
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var rules []Rule
	if err := decoder.Decode(&rules); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errTwoLists
	}
	return rules, nil
}

// name is how a rule is called in errors: by id, or by its place when it has none.
func name(i int, id string) string {
	if id == "" {
		return fmt.Sprintf("rule %d (no id)", i+1)
	}
	return fmt.Sprintf("rule %q", id)
}
