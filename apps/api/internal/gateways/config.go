package gateways

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
)

// verify says everything that is wrong with a configuration whose form is right. What a door could read in two ways is
// refused here, before it is published.
func verify(config openapi.GatewayConfig) error {
	var fields []problem.Field
	served := map[string]int{}
	for i, route := range config.Routes {
		wrong := func(field, reason string) {
			fields = append(fields, problem.Field{Name: fmt.Sprintf("config.routes.%d.%s", i, field), Reason: reason})
		}
		if reason := path(route.Path); reason != "" {
			wrong("path", reason)
		}
		for _, method := range route.Methods {
			key := string(method) + " " + route.Path
			if first, taken := served[key]; taken {
				wrong("methods", fmt.Sprintf("%s is served by routes.%d already", key, first))
				continue
			}
			served[key] = i
		}
		tokens := route.FlowType == openapi.FlowTypeClientCredentials || route.FlowType == openapi.FlowTypeJwtAuth || route.FlowType == openapi.FlowTypeApiKey
		if route.Scopes != nil && len(*route.Scopes) > 0 && !tokens {
			wrong("scopes", "cannot be asked of "+string(route.FlowType))
		}
		if (route.FlowType == openapi.FlowTypeJwtAuth) != (route.Jwt != nil) {
			wrong("jwt", "is needed for jwt-auth, and means nothing elsewhere")
		}
		if route.Jwt != nil && !secure(route.Jwt.JwksUri) {
			wrong("jwt.jwks_uri", "must be an https URL without user or fragment")
		}
	}
	if fields != nil {
		return problem.Semantic(fields...)
	}
	return nil
}

// path returns what is wrong with a route's path, "" for nothing.
func path(text string) string {
	segments := strings.Split(strings.TrimPrefix(text, "/"), "/")
	for i, segment := range segments {
		switch {
		case segment == "." || segment == "..":
			return "must have no dot segments"
		case segment == "" && len(segments) > 1:
			return "must have no empty segments"
		case segment == "**" && i < len(segments)-1:
			return "may have ** only at its end"
		case strings.Contains(segment, "*") && segment != "*" && segment != "**":
			return "may have * only as a whole segment"
		case strings.ContainsFunc(segment, func(r rune) bool { return !strings.ContainsRune(unreserved, r) }):
			return "must be of letters, digits and - . _ ~ ! $ & ' ( ) + , ; = : @, nothing encoded"
		}
	}
	return ""
}

// unreserved are the characters of a path that mean themselves (RFC 3986, section 3.3), and the wildcard.
const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()+,;=:@*"

func secure(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Scheme == "https" && parsed.Hostname() != "" && parsed.User == nil && parsed.Fragment == ""
}

// diff compares two configurations. A route is known by its path and methods.
func diff(from, to openapi.GatewayConfig) openapi.RevisionDiff {
	out := openapi.RevisionDiff{Added: []openapi.Route{}, Removed: []openapi.Route{}}
	out.Changed = make([]struct {
		After  openapi.Route `json:"after"`
		Before openapi.Route `json:"before"`
	}, 0)
	before := map[string]openapi.Route{}
	for _, route := range from.Routes {
		before[name(route)] = route
	}
	for _, route := range to.Routes {
		old, known := before[name(route)]
		delete(before, name(route))
		switch {
		case !known:
			out.Added = append(out.Added, route)
		case fmt.Sprint(plain(old)) != fmt.Sprint(plain(route)):
			out.Changed = append(out.Changed, struct {
				After  openapi.Route `json:"after"`
				Before openapi.Route `json:"before"`
			}{After: route, Before: old})
		}
	}
	for _, route := range from.Routes { // in their order
		if _, left := before[name(route)]; left {
			out.Removed = append(out.Removed, route)
		}
	}
	return out
}

func name(route openapi.Route) string {
	methods := slices.Clone(route.Methods)
	slices.Sort(methods)
	return fmt.Sprint(route.Path, methods)
}

// plain is what a route demands, in a form that equal routes share.
func plain(route openapi.Route) any {
	var scopes []string
	if route.Scopes != nil {
		scopes = slices.Sorted(slices.Values(*route.Scopes))
	}
	var jwt any
	if route.Jwt != nil {
		jwt = *route.Jwt
	}
	return []any{route.FlowType, scopes, jwt}
}
