// Package access decides whether a verified caller may run an operation. What an operation demands stands beside it in
// the OpenAPI document (`x-access`) and nowhere else; an operation that says nothing is a mistake that stops the start.
package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse.internal/api/internal/permission"
)

// Rule is what one operation demands.
type Rule struct {
	// Anyone needs no caller.
	Anyone bool `json:"anyone,omitempty"`
	// Self is about the caller alone.
	Self bool `json:"self,omitempty"`
	// Permit is "Namespace.permit", asked about the object that the path parameter Object names. Platform has one
	// object and needs no parameter.
	Permit string `json:"permit,omitempty"`
	Object string `json:"object,omitempty"`
	// Scope is what a token or a key must carry. A session needs none, and neither does a caller who asks who it is.
	Scope string `json:"scope,omitempty"`
	// Sensitive is for a person's own session alone: no client acting for them, no client, no key.
	Sensitive bool `json:"sensitive,omitempty"`
	// Confirm asks the rows as well as the index, so that a right which was taken away is gone although the index lags.
	Confirm bool `json:"confirm,omitempty"`

	namespace permission.Namespace
	permit    permission.Permit
}

// Rules are those of a document, by operationId.
type Rules map[string]Rule

// Read returns the document's rules, or everything that is wrong with them.
func Read(document *openapi3.T) (Rules, error) {
	rules := Rules{}
	var problems []error
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			rule, err := read(operation, path)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s %s: %w", method, path, err))
			}
			rules[operation.OperationID] = rule
		}
	}
	return rules, errors.Join(problems...)
}

func read(operation *openapi3.Operation, path string) (Rule, error) {
	var rule Rule
	declared, found := operation.Extensions["x-access"]
	if !found {
		return rule, errors.New("no x-access")
	}
	encoded, err := json.Marshal(declared)
	if err != nil {
		return rule, err
	}
	decoder := json.NewDecoder(strings.NewReader(string(encoded)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&rule); err != nil {
		return rule, fmt.Errorf("x-access: %w", err)
	}
	if open := operation.Security != nil && len(*operation.Security) == 0; open != rule.Anyone {
		return rule, errors.New("x-access.anyone and security disagree")
	}
	return rule, rule.resolve(path)
}

// resolve checks that the rule says one thing, and finds its permit in the model.
func (r *Rule) resolve(path string) error {
	ways := 0
	for _, way := range []bool{r.Anyone, r.Self, r.Permit != ""} {
		if way {
			ways++
		}
	}
	switch {
	case ways != 1:
		return errors.New("x-access is one of anyone, self, permit")
	case r.Anyone && (r.Scope != "" || r.Sensitive || r.Confirm):
		return errors.New("x-access: anyone has no conditions")
	case r.Scope != "" && r.Sensitive:
		return errors.New("x-access: no token has a sensitive operation, whatever its scope")
	case r.Permit != "" && r.Scope == "" && !r.Sensitive:
		return errors.New("x-access: a permit needs a scope, or is sensitive")
	case r.Permit == "":
		return nil
	}
	namespace, permit, _ := strings.Cut(r.Permit, ".")
	r.namespace, r.permit = permission.Namespace(namespace), permission.Permit(permit)
	if !slices.Contains(permission.Permits[r.namespace], r.permit) {
		return fmt.Errorf("x-access: the model has no permit %s", r.Permit)
	}
	if r.namespace == permission.Platform {
		return nil
	}
	if r.Object == "" || !strings.Contains(path, "{"+r.Object+"}") {
		return errors.New("x-access.object is no parameter of the path")
	}
	return nil
}

// Scopes is the vocabulary: every scope that some operation demands, sorted.
func (r Rules) Scopes() []string {
	var out []string
	for _, rule := range r {
		if rule.Scope != "" {
			out = append(out, rule.Scope)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
