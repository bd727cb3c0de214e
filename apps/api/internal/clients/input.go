package clients

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
)

const (
	authorizationCode = string(openapi.GrantAuthorizationCode)
	refreshToken      = string(openapi.GrantRefreshToken)
)

// personal are the scopes about the person that a client acts for (OpenID Connect Core 1.0, sections 5.4 and 11).
var personal = []string{"openid", "offline_access", "profile", "email"}

// wanted reads what a caller wants of a client, or says everything that is wrong with it. Whoever may create credentials
// could use every scope of the vocabulary themselves (TestNoScopeIsBeyondWhoMayCreateCredentials), and a scope
// gives nothing without the permit of whoever the token is of.
func (o *Operations) wanted(body openapi.ClientInput) (Properties, error) {
	p := Properties{Name: body.Name, RedirectURIs: []string{}, Scopes: slices.Clone(body.Scopes), Audience: []string{o.Audience}}
	for _, grant := range body.GrantTypes {
		p.GrantTypes = append(p.GrantTypes, string(grant))
	}
	forPeople := slices.Contains(p.GrantTypes, authorizationCode)
	var wrong []problem.Field
	say := func(name, reason string) { wrong = append(wrong, problem.Field{Name: name, Reason: reason}) }

	if slices.Contains(p.GrantTypes, refreshToken) && !forPeople {
		say("grant_types", "refresh_token needs authorization_code")
	}
	if body.RedirectUris != nil {
		p.RedirectURIs = append(p.RedirectURIs, *body.RedirectUris...)
	}
	if forPeople != (len(p.RedirectURIs) > 0) {
		say("redirect_uris", "are needed for authorization_code, and only there")
	}
	for _, uri := range p.RedirectURIs {
		if reason := unfitRedirect(uri); reason != "" {
			say("redirect_uris", reason)
		}
	}
	for _, scope := range p.Scopes {
		if !slices.Contains(o.Scopes, scope) && (!forPeople || !slices.Contains(personal, scope)) {
			say("scopes", scope+" is none that the client could use")
		}
	}
	if body.Audience != nil {
		for _, audience := range *body.Audience {
			if audience == o.Audience {
				continue
			}
			if !isHTTPS(audience) {
				say("audience", "must be https URLs without user, query or fragment")
			}
			p.Audience = append(p.Audience, audience)
		}
	}
	if wrong != nil {
		return p, problem.Semantic(wrong...)
	}
	return p, nil
}

// unfitRedirect says why people could not be sent back to an address, "" when they can. Whoever receives what is sent
// there can act for them, so it must be one place that only its owner can be (RFC 9700, section 2.1; RFC 8252, section 7.3).
func unfitRedirect(text string) string {
	parsed, err := url.Parse(text)
	switch {
	case err != nil || parsed.Opaque != "" || parsed.Hostname() == "":
		return "must be URLs with a host"
	case !plain(text):
		return "must hold only visible ASCII, and no wildcard or backslash"
	case parsed.User != nil:
		return "must have no user"
	case strings.Contains(text, "#"):
		return "must have no fragment"
	case parsed.Scheme == "https", parsed.Scheme == "http" && isLoopback(parsed.Hostname()):
		return ""
	}
	return "must be https, or http at a loopback address"
}

func isHTTPS(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Scheme == "https" && parsed.Opaque == "" && parsed.Hostname() != "" && parsed.User == nil &&
		plain(text) && !strings.ContainsAny(text, "?#")
}

// plain refuses what one parser reads otherwise than another: browsers take a backslash for a slash.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '\\' })
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
