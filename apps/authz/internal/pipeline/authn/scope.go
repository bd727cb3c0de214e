package authn

import (
	"fmt"
	"slices"
	"strings"
)

// scopeStrategy tells whether granted scopes cover a required one. nil means that scopes are not
// checked here (Oathkeeper's "none").
type scopeStrategy func(granted []string, required string) bool

func newScopeStrategy(name string) (scopeStrategy, error) {
	switch strings.ToLower(name) {
	case "", "none":
		return nil, nil
	case "exact":
		return slices.Contains[[]string], nil
	case "hierarchic":
		return hierarchic, nil
	case "wildcard":
		return wildcard, nil
	default:
		return nil, fmt.Errorf("scope_strategy: %q is not one of none, exact, hierarchic, wildcard", name)
	}
}

// hierarchic: "photos" covers "photos" and "photos.read".
func hierarchic(granted []string, required string) bool {
	return slices.ContainsFunc(granted, func(scope string) bool {
		return scope != "" && (scope == required || strings.HasPrefix(required, scope+"."))
	})
}

// wildcard: "photos.*" covers "photos.read" and "photos.read.all"; a * inside covers one part.
func wildcard(granted []string, required string) bool {
	return slices.ContainsFunc(granted, func(scope string) bool { return wildcardCovers(scope, required) })
}

func wildcardCovers(scope, required string) bool {
	have, want := strings.Split(scope, "."), strings.Split(required, ".")
	if len(have) > len(want) {
		return false
	}
	for i, part := range have {
		matches := part == want[i] || (part == "*" && want[i] != "")
		if !matches {
			return false
		}
	}
	return len(have) == len(want) || have[len(have)-1] == "*"
}
