// Package pipeline holds what the stages of a decision share: the request, the session they build,
// and how they say no. Nothing here knows Envoy, and nothing here does I/O.
package pipeline

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Request is what a client asked for, as the proxy in front saw and cleaned it.
type Request struct {
	ID     string // X-Request-Id
	Method string
	Scheme string // lower case
	Host   string // lower case, with the port if there is one
	Path   string // as the upstream will receive it, undecoded; no query
	Query  string // without the "?"; never part of matching
	Header http.Header
}

// Target is the text that a rule's pattern is compared with. The query is no part of it: a pattern
// that sees the query can be satisfied by whoever writes the query.
func (r *Request) Target() string { return r.Scheme + "://" + r.Host + r.Path }

// URL returns the request's URL for templates. It is assembled, never parsed: parsing would read
// "//admin/x" as a host.
func (r *Request) URL() *url.URL {
	return &url.URL{Scheme: r.Scheme, Host: r.Host, Path: r.Path, RawQuery: r.Query}
}

// Cookie returns the first cookie of that name.
func (r *Request) Cookie(name string) (string, bool) {
	for _, line := range r.Header.Values("Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			key, value, found := strings.Cut(strings.TrimSpace(pair), "=")
			if found && strings.TrimSpace(key) == name {
				return strings.Trim(value, `"`), true
			}
		}
	}
	return "", false
}

// HasCookies tells whether any cookie came with the request.
func (r *Request) HasCookies() bool {
	for _, line := range r.Header.Values("Cookie") {
		if strings.Contains(line, "=") {
			return true
		}
	}
	return false
}

// Session is what the stages learn about the caller. Its fields are what templates see, under the
// names that Oathkeeper's rule files use.
type Session struct {
	Subject      string
	Extra        map[string]any
	Header       http.Header
	MatchContext MatchContext
}

// MatchContext is what the matched rule saw.
type MatchContext struct {
	RegexpCaptureGroups []string
	URL                 *url.URL
	Method              string
	Header              http.Header
}

// NewSession returns the empty session a request starts with.
func NewSession(r *Request, captures []string) *Session {
	return &Session{
		Header: http.Header{},
		MatchContext: MatchContext{
			RegexpCaptureGroups: captures,
			URL:                 r.URL(),
			Method:              r.Method,
			Header:              r.Header,
		},
	}
}

// ErrNotResponsible is an authenticator's answer when the request carries no credential of its kind.
// Only this lets the next authenticator try.
var ErrNotResponsible = errors.New("authenticator not responsible")

// Denial is a decision: this request may not pass. Any other error of a stage is an outage, which
// must look like one (503) and never like a decision.
type Denial struct {
	Status int
	Code   string // stable, for programs
	Detail string // for the caller
	Reason string // for the log; never a credential
	Header http.Header
}

func (d *Denial) Error() string { return fmt.Sprintf("%d %s: %s", d.Status, d.Code, d.Reason) }

// The codes of denials that the stages share.
const (
	CodeUnauthenticated = "unauthenticated"
	CodeForbidden       = "forbidden"
	CodeStepUp          = "step_up_required"
	CodeInvalidRequest  = "invalid_request"
	CodeRateLimited     = "rate_limited"
	CodeNoRule          = "no_rule"
	CodeRuleError       = "rule_error"
)

// Unauthenticated denies because the credentials are missing or not good.
func Unauthenticated(reason string, args ...any) *Denial {
	return &Denial{
		Status: http.StatusUnauthorized, Code: CodeUnauthenticated,
		Detail: "The request has no valid credentials.", Reason: fmt.Sprintf(reason, args...),
	}
}

// Forbidden denies because good credentials do not suffice.
func Forbidden(reason string, args ...any) *Denial {
	return &Denial{
		Status: http.StatusForbidden, Code: CodeForbidden,
		Detail: "The credentials do not allow this request.", Reason: fmt.Sprintf(reason, args...),
	}
}

// Invalid denies because the request is malformed or looks like a trick.
func Invalid(reason string, args ...any) *Denial {
	text := fmt.Sprintf(reason, args...)
	return &Denial{
		Status: http.StatusBadRequest, Code: CodeInvalidRequest,
		Detail: "The request was refused: " + text + ".", Reason: text,
	}
}

// RuleError denies because the rules themselves are wrong; the operator must act, not the caller.
func RuleError(reason string, args ...any) *Denial {
	return &Denial{
		Status: http.StatusInternalServerError, Code: CodeRuleError,
		Detail: "The access rule for this request has an error.", Reason: fmt.Sprintf(reason, args...),
	}
}

// RateLimited passes an upstream's 429 on.
func RateLimited(upstream http.Header, reason string, args ...any) *Denial {
	denial := &Denial{
		Status: http.StatusTooManyRequests, Code: CodeRateLimited,
		Detail: "Too many requests.", Reason: fmt.Sprintf(reason, args...),
	}
	if wait := upstream.Get("Retry-After"); wait != "" {
		denial.Header = http.Header{"Retry-After": {wait}}
	}
	return denial
}

// Response is what a denied caller receives.
type Response struct {
	Status int
	Header http.Header
	Body   string
}
