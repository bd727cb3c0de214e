//go:build differential

package differential

import (
	"maps"
	"slices"
	"testing"
)

// shrink takes away what is not needed for the same result: first of the request, which costs a question each,
// then of the rules, which costs a start of both gates each, then the configuration of handlers that no rule uses.
func (w *world) shrink(t *testing.T, g *gates, b batch, r request, same func(differs result) bool) batch {
	t.Helper()
	try := func(smaller request) {
		if same(g.differ(t, b, smaller)) {
			r = smaller
		}
	}
	for i := len(r.Headers) - 1; i >= 0; i-- {
		smaller := r
		smaller.Headers = slices.Delete(slices.Clone(r.Headers), i, i+1)
		try(smaller)
	}
	smaller := r
	smaller.Query = ""
	try(smaller)

	b = batch{Config: b.Config, Rules: b.matched(r), Requests: []request{r}}
	for again := true; again; {
		again = false
		for _, smaller := range smallerRules(b) {
			started := w.start(t, smaller.Config, smaller.Rules)
			again = same(started.differ(t, smaller, r))
			started.close()
			if again {
				b = smaller
				break
			}
		}
	}
	b.Config = onlyUsed(b)
	return b
}

func onlyUsed(b batch) map[string]any {
	out := maps.Clone(b.Config)
	all := observation{rules: b.Rules}
	for _, section := range []string{"authenticators", "authorizers", "mutators"} {
		handlers := maps.Clone(out[section].(map[string]any))
		maps.DeleteFunc(handlers, func(name string, _ any) bool { return name != "noop" && name != "allow" && !all.uses(name) })
		out[section] = handlers
	}
	return out
}

// smallerRules are the batches with one part of a rule less.
func smallerRules(b batch) []batch {
	var out []batch
	for i, r := range b.Rules {
		change := func(change func(*rule)) {
			smaller := r
			change(&smaller)
			rules := slices.Clone(b.Rules)
			rules[i] = smaller
			out = append(out, batch{Config: b.Config, Rules: rules, Requests: b.Requests})
		}
		if len(b.Rules) > 1 {
			out = append(out, batch{Config: b.Config, Rules: slices.Delete(slices.Clone(b.Rules), i, i+1), Requests: b.Requests})
		}
		lists := map[string]func(*rule) *[]handler{
			"authenticators": func(r *rule) *[]handler { return &r.Authenticators },
			"mutators":       func(r *rule) *[]handler { return &r.Mutators },
			"errors":         func(r *rule) *[]handler { return &r.Errors },
		}
		for _, name := range slices.Sorted(maps.Keys(lists)) {
			of := lists[name]
			for j, h := range *of(&r) {
				if len(*of(&r)) > 1 || name == "errors" {
					change(func(r *rule) { list := of(r); *list = slices.Delete(slices.Clone(*list), j, j+1) })
				}
				for key := range h.Config {
					change(func(r *rule) {
						list := of(r)
						*list = slices.Clone(*list)
						(*list)[j].Config = without(h.Config, key)
					})
				}
			}
		}
		for key := range r.Authorizer.Config {
			change(func(smaller *rule) { smaller.Authorizer.Config = without(r.Authorizer.Config, key) })
		}
	}
	return out
}

func without(config map[string]any, key string) map[string]any {
	out := maps.Clone(config)
	delete(out, key)
	return out
}
