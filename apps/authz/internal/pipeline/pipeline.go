// Package pipeline holds what the stages of a decision share: the request, the session they build,
// and how they say no. Nothing here knows Envoy, and nothing here does I/O.
package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"
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
	// Body is empty unless the proxy was told to send it along.
	Body []byte
	// RemoteIP is the client's address as the proxy computed it. The zero value is unknown.
	RemoteIP netip.Addr
}

// Target is the text that a rule's pattern is compared with. The query is no part of it: a pattern
// that sees the query can be satisfied by whoever writes the query.
func (r *Request) Target() string { return r.Scheme + "://" + r.Host + r.Path }

// URL returns the request's URL for templates. It is assembled, never parsed: parsing would read
// "//admin/x" as a host.
func (r *Request) URL() *url.URL {
	return &url.URL{Scheme: r.Scheme, Host: r.Host, Path: r.Path, RawQuery: r.Query}
}

// Address is the URL that the client asked for, as it wrote it.
func (r *Request) Address() string {
	if r.Query == "" {
		return r.Target()
	}
	return r.Target() + "?" + r.Query
}

// Cookie returns the first cookie of that name. net/http reads it, as it does for Oathkeeper: another
// reader would find a session where Oathkeeper finds none.
func (r *Request) Cookie(name string) (string, bool) {
	cookie, err := (&http.Request{Header: r.Header}).Cookie(name)
	if err != nil {
		return "", false
	}
	return cookie.Value, true
}

// HasCookies tells whether any cookie came with the request.
func (r *Request) HasCookies() bool {
	return len((&http.Request{Header: r.Header}).Cookies()) > 0
}

// Session is what the stages learn about the caller. Its fields are what templates see, under the
// names that Oathkeeper's rule files use, and what a hydrator receives.
type Session struct {
	Subject      string         `json:"subject"`
	Extra        map[string]any `json:"extra"`
	Header       http.Header    `json:"header"`
	MatchContext MatchContext   `json:"match_context"`

	// Credential is for the door itself and leaves with no answer and no question to another server.
	Credential Credential `json:"-"`

	known     *Known
	goodUntil time.Time
}

// Credential names what the caller showed, in the words of the revocation feed. An authenticator fills in
// what it has verified and leaves the rest empty.
type Credential struct {
	Session  string
	Client   string
	Token    string    // the jti, or a TokenHash where there is none
	Key      string    // of an API key
	IssuedAt time.Time // zero when unknown
	// Offline says that nobody was asked: what was issued since, or taken away, can be known from the feed only.
	Offline bool
}

// TokenHash names a token that has no id of its own, without telling the token.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// MatchContext is what the matched rule saw.
type MatchContext struct {
	RegexpCaptureGroups []string    `json:"regexp_capture_groups"`
	URL                 *url.URL    `json:"url"`
	Method              string      `json:"method"`
	Header              http.Header `json:"header"`
}

// NewSession returns the session of a caller of whom nothing is known yet.
func NewSession(r *Request, captures []string) *Session {
	s := &Session{}
	Complete(s, r, captures)
	return s
}

// ErrNotResponsible is an authenticator's answer when the request carries no credential of its kind.
// Only this lets the next authenticator try.
var ErrNotResponsible = errors.New("authenticator not responsible")

// ErrUnsupported is what building a handler ends with when this service has no such handler. Another
// one, a real Oathkeeper, may have it.
var ErrUnsupported = errors.New("not supported")

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
