//go:build differential

package differential

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// observation is one mismatch with all that explains it.
type observation struct {
	mismatch
	config       map[string]any
	rules        []rule // those that the request was made for
	request      request
	theirs, ours answer
}

// uses tells whether a handler of that name is in the rule.
func (o observation) uses(name string) bool {
	return slices.ContainsFunc(o.rules, func(r rule) bool {
		all := slices.Concat(r.Authenticators, r.Mutators, r.Errors, []handler{r.Authorizer})
		return slices.ContainsFunc(all, func(h handler) bool { return h.Handler == name })
	})
}

// writes tells whether the rule's configuration holds the text.
func (o observation) writes(text string) bool {
	return strings.Contains(compact(o.rules), text)
}

// only tells whether authz alone sets the header.
func (o observation) only(header string) bool {
	return o.What == "header "+header && o.Theirs == "" && o.Ours != ""
}

// suspicious are paths that two servers may read in two ways.
func suspicious(path string) bool {
	return regexp.MustCompile(`(?i)//|/\.\.?(/|$)|[\\;#]|[^ -~]|%(00|2e|2f|5c|61|c0|$|.?$|[^0-9a-f]|.[^0-9a-f])`).MatchString(path)
}

// difference is one that is wanted. docs/oathkeeper-differences.md says why, under the same id.
type difference struct {
	id   string
	fits func(o observation) bool
}

var differences = []difference{
	// What authz refuses before any rule is asked.
	{"strict-path", func(o observation) bool { return o.refused(400) && suspicious(o.request.Path) }},
	{"hop-by-hop", func(o observation) bool { return o.refused(400) && len(o.request.values("Connection")) > 0 }},
	{"one-authorization", func(o observation) bool {
		values := o.request.values("Authorization")
		return o.refused(401) && (len(values) > 1 || strings.Contains(strings.Join(values, ""), ","))
	}},
	{"host-case", func(o observation) bool {
		upper := o.request.Host != strings.ToLower(o.request.Host)
		return (o.theirs.Status == 404 || o.theirs.Status != 200 && o.disguised()) && (upper || o.writes("://Example")) || upper && o.Ours != "" && strings.EqualFold(o.Theirs, o.Ours)
	}},

	// What rules and their templates mean.
	{"checked-at-load", func(o observation) bool {
		return o.refused(500) && (o.writes("{{ .Subject\"") || o.writes("{{ nothing }}") || o.writes(`"mutators":null`) || o.writes(`"authenticators":null`) ||
			o.writes(`"payload":"not JSON"`) || o.scopesWithoutStrategy() || o.usesDisabled())
	}},
	{"template-cache", func(o observation) bool {
		rendered := o.What != "status" || o.theirs.Status == 500 || o.ours.Status == 500 || o.disguised()
		return rendered && o.repeatsHeader()
	}},
	{"no-environment", func(o observation) bool { return o.refused(500) && o.writes("{{ env ") }},
	{"claims-twice", func(o observation) bool { return o.refused(500) && o.writes(`\"a\":1,\"a\":2`) }},

	// What credentials mean.
	{"outage", func(o observation) bool {
		return o.failed() && (o.request.carries("outage-") || o.uses("oauth2_introspection") && o.request.carries("tok-status-"))
	}},
	{"outage-authorizer", func(o observation) bool {
		return o.failed() && o.request.carries("verdict-") && (o.uses("remote") || o.uses("remote_json"))
	}},
	{"outage-hydrator", func(o observation) bool {
		return o.failed() && o.uses("hydrator") && len(o.request.values("X-Hydrate")) > 0
	}},
	{"head-session", func(o observation) bool {
		return o.failed() && o.request.Method == "HEAD" && (o.uses("cookie_session") || o.uses("bearer_token"))
	}},
	{"session-over", func(o observation) bool { return o.refused(401) && o.request.carries("inactive", "disabled") }},
	{"exp-required", func(o observation) bool { return o.refused(401) && o.request.carries("@jwt:no-exp@", "@jwt:exp-zero@") }},
	{"crit", func(o observation) bool { return o.refused(401) && o.request.carries("@jwt:crit@") }},
	{"key-algorithm", func(o observation) bool { return o.refused(401) && o.request.carries("@jwt:rs512-key-rs256@") }},
	{"aud-malformed", func(o observation) bool {
		return o.refused(401) && o.request.carries("@jwt:aud-mixed@", "@jwt:aud-number@")
	}},
	{"control-characters", func(o observation) bool { return o.refused(400) && o.request.carries("@jwt:sub-lines@") }},
	{"introspection-401", func(o observation) bool {
		return o.refused(401) && o.theirs.Status != 200 && o.uses("oauth2_introspection") && o.request.carries("refresh", "aud-", "iss-", "tok-")
	}},

	// What leaves.
	{"grpc-status", func(o observation) bool { return o.bothRefuse() && o.request.carries("application/grpc") }},
	{"noop-echo", func(o observation) bool {
		return strings.HasPrefix(o.What, "header ") && o.ours.Status == 200 && o.uses("noop") && (o.Ours == "" && o.echoed() || o.writes("MatchContext.Header"))
	}},
	{"no-store", func(o observation) bool { return o.only("Cache-Control") && o.ours.Status != 200 }},
	{"challenge", func(o observation) bool { return o.only("Www-Authenticate") && o.ours.Status == 401 }},
	{"verbose", func(o observation) bool {
		return o.What == "body" && (o.writes(`"verbose":true`) || strings.Contains(compact(o.config), `"verbose":true`))
	}},
	{"own-mistakes", func(o observation) bool {
		return o.What == "body" && (strings.Contains(o.Theirs, "more than one error handler") || strings.Contains(o.Theirs, "Unable to execute error handler"))
	}},
	{"remote-ip", func(o observation) bool {
		return o.writes(`"remote_ip"`) && strings.Contains(o.theirs.Body, "remote_ip")
	}},
	{"cidr", func(o observation) bool { return o.writes(`"cidr"`) && o.ours.Status != 200 }},
	{"content-type", func(o observation) bool {
		return o.theirs.Status == 500 && o.writes(`"content_type"`) && o.request.carries("nonsense;;")
	}},
	{"media-types", func(o observation) bool {
		return o.bothRefuse() && o.request.carries("Application/JSON;") && o.writes(`"accept"`)
	}},
	{"return-to", func(o observation) bool {
		return (o.What == "header Location" || o.What == "body") && strings.Contains(o.request.Path, "%") && o.writes("return_to")
	}},
}

// refused tells whether authz refuses with the status, and Oathkeeper does not. Behind a redirect or a
// www_authenticate the status cannot be seen.
func (o observation) refused(status int) bool {
	return o.What == "status" && o.ours.Status == status || o.ours.Status != 200 && o.disguised()
}

func (o observation) bothRefuse() bool { return o.theirs.Status != 200 && o.ours.Status != 200 }

// failed tells whether authz takes for an outage what Oathkeeper decides about.
func (o observation) failed() bool { return o.What == "status" && o.ours.Status == 503 }

// disguised tells whether an error handler can hide the status.
func (o observation) disguised() bool {
	fallback := compact(o.config["errors"].(map[string]any)["fallback"])
	return o.uses("redirect") || o.uses("www_authenticate") || fallback != `["json"]`
}

// usesDisabled tells whether the rule names a handler that the configuration switches off.
func (o observation) usesDisabled() bool {
	for _, section := range []string{"authenticators", "authorizers", "mutators"} {
		handlers, _ := o.config[section].(map[string]any)
		for name, settings := range handlers {
			if settings.(map[string]any)["enabled"] == false && o.uses(name) {
				return true
			}
		}
	}
	return false
}

func (o observation) scopesWithoutStrategy() bool {
	return slices.ContainsFunc(o.rules, func(r rule) bool {
		return slices.ContainsFunc(r.Authenticators, func(h handler) bool {
			scopes, given := h.Config["required_scope"]
			return h.Handler == "jwt" && given && compact(scopes) != "[]" && h.Config["scope_strategy"] == "none"
		})
	})
}

// echoed tells whether Oathkeeper's value is the first of the request's own.
func (o observation) echoed() bool {
	name := strings.TrimPrefix(o.What, "header ")
	if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains([]string{"Accept-Encoding", "User-Agent", "X-Request-Id"}, name) {
		return true
	}
	return len(o.request.values(name)) > 0
}

// repeatsHeader tells whether two header mutators of one rule set the same header.
func (o observation) repeatsHeader() bool {
	settings, _ := o.config["mutators"].(map[string]any)["header"].(map[string]any)
	global, _ := settings["config"].(map[string]any)
	return slices.ContainsFunc(o.rules, func(r rule) bool {
		var names []string
		for _, m := range r.Mutators {
			if m.Handler == "header" {
				own := headersOf(m.Config)
				maps.Copy(own, headersOf(global))
				names = slices.AppendSeq(names, maps.Keys(own))
			}
		}
		slices.Sort(names)
		return len(slices.Compact(slices.Clone(names))) < len(names)
	})
}

func headersOf(config map[string]any) map[string]any {
	out := map[string]any{}
	headers, _ := config["headers"].(map[string]any)
	maps.Copy(out, headers)
	return out
}
