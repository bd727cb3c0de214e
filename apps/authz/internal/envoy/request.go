// Package envoy translates between Envoy's ext_authz protocol and the engine. It is the only
// importer of Envoy's types, and it decides nothing about who may do what.
package envoy

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"gatehouse.internal/authz/internal/pipeline"
)

// Parse is Request for a whole message.
func Parse(in *authv3.CheckRequest) (*pipeline.Request, error) { return NewQuestion(in).Request() }

// Request reads what Envoy asks about. A *pipeline.Denial means that the client sent something that
// no honest client sends, and comes with as much of the request as an answer needs; any other error
// means that Envoy is not set up as it must be.
func (q *Question) Request() (*pipeline.Request, error) {
	if !q.asked {
		return nil, errors.New("the check has no HTTP request")
	}
	header := q.headers()
	r := &pipeline.Request{
		ID:     header.Get("X-Request-Id"),
		Method: q.method,
		Host:   strings.ToLower(q.host),
		Header: header,
		Body:   q.content(),
		// Not from X-Forwarded-For, in which anybody may write entries. The zero value when it is no IP.
		RemoteIP: q.remoteIP(),
	}
	// By hand: url.Parse takes "//admin/x" for a host and a path, and decodes (CVE-2026-26205).
	r.Path, r.Query, _ = strings.Cut(q.path, "?")

	scheme, err := scheme(header)
	if err != nil {
		return r, err
	}
	r.Scheme = scheme
	if err := checkHost(r.Host); err != nil {
		return r, err
	}
	if err := checkPath(r.Path, r.Query); err != nil {
		return r, err
	}
	if err := checkAuthorization(header); err != nil {
		return r, err
	}
	return r, nil
}

// content is there with with_request_body only, as bytes or as text.
func (q *Question) content() []byte {
	if q.rawBody != "" {
		return []byte(q.rawBody)
	}
	return []byte(q.body)
}

func (q *Question) remoteIP() netip.Addr {
	address, err := netip.ParseAddr(q.source)
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap()
}

// headers reads header_map (encode_raw_headers: true, duplicates kept) or else headers, in which
// Envoy has joined duplicates with commas.
func (q *Question) headers() http.Header {
	header := make(http.Header, len(q.fields))
	values := make([]string, len(q.fields)) // one array for all lists of one value, which nearly all are
	for i, f := range q.fields {
		if pseudo(f.name) {
			continue
		}
		name := canonical(f.name)
		if held, twice := header[name]; twice {
			header[name] = append(held, f.value)
			continue
		}
		values[i] = f.value
		header[name] = values[i : i+1 : i+1]
	}
	if len(header) > 0 {
		return header
	}
	for name, value := range q.joined {
		if !pseudo(name) {
			header.Add(name, value)
		}
	}
	return header
}

// pseudo headers have attributes of their own.
func pseudo(name string) bool { return strings.HasPrefix(name, ":") }

// canonical is http.CanonicalHeaderKey, which makes a new string of most names that browsers and Envoy send.
func canonical(name string) string {
	if known, found := canonicalNames[name]; found {
		return known
	}
	return http.CanonicalHeaderKey(name)
}

var canonicalNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"accept", "accept-encoding", "accept-language", "authorization", "cache-control", "content-length", "content-type", "cookie",
		"dnt", "if-modified-since", "if-none-match", "origin", "pragma", "priority", "referer", "user-agent", "upgrade-insecure-requests",
		"sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user",
		"traceparent", "tracestate", "x-csrf-token", "x-envoy-external-address", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
	} {
		names[name] = http.CanonicalHeaderKey(name)
	}
	return names
}()

// scheme believes x-forwarded-proto only, which Envoy overwrites. ":scheme" is the client's to choose
// (CVE-2026-33495).
func scheme(header http.Header) (string, error) {
	values := header.Values("X-Forwarded-Proto")
	if len(values) == 0 {
		return "", errors.New("x-forwarded-proto is missing; the proxy must set it (use_remote_address: true)")
	}
	value := strings.ToLower(values[0])
	if len(values) > 1 || (value != "http" && value != "https") {
		return "", pipeline.Invalid("x-forwarded-proto is neither http nor https")
	}
	return value, nil
}

// checkHost keeps a host from reaching into the path of the text that rules are compared with.
func checkHost(host string) error {
	legal := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune(".-_:[]", c)
	}
	if host == "" || strings.ContainsFunc(host, func(c rune) bool { return !legal(c) }) {
		return pipeline.Invalid("the host is malformed")
	}
	return nil
}

// checkPath refuses what two servers may read in two ways: a rule must not see another path than
// the backend does (CVE-2026-33494, CVE-2026-26205).
func checkPath(path, query string) error {
	if !strings.HasPrefix(path, "/") {
		return pipeline.Invalid("the path does not begin with a slash")
	}
	if strings.ContainsFunc(path+query, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return pipeline.Invalid("the path holds control characters")
	}
	// A space ends the path in HTTP/1.1's request line, for a backend that is not strict.
	if strings.ContainsFunc(path, func(c rune) bool { return c == ' ' || c > unicode.MaxASCII }) {
		return pipeline.Invalid("the path holds a character that must be escaped")
	}
	if strings.Contains(path, "#") || strings.Contains(query, "#") {
		return pipeline.Invalid("the path holds a fragment")
	}
	if strings.ContainsAny(path, `\;`) {
		return pipeline.Invalid("the path holds a backslash or a semicolon")
	}
	if strings.Contains(path, "//") {
		return pipeline.Invalid("the path holds two slashes in a row")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return pipeline.Invalid("the path holds a dot segment")
		}
	}
	return checkEscapes(path)
}

// checkEscapes refuses an escape of a character that needs none: whether "/%61dmin" is "/admin" depends on
// who reads it, and the backend receives it as it was sent. Envoy's normalize_path resolves these before
// it asks, and so refuses nobody. What is not UTF-8 is refused too: some readers take %c0%ae for a dot.
func checkEscapes(path string) error {
	decoded := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			var ok bool
			c, ok = unhex(path, i)
			i += 2
			switch {
			case !ok:
				return pipeline.Invalid("the path is not well encoded")
			case c < ' ' || c == 0x7f || strings.IndexByte(`./\`, c) >= 0:
				return pipeline.Invalid("the path hides a dot, a slash, a backslash or a control character")
			case unreserved(c):
				return pipeline.Invalid("the path escapes a character that needs no escape")
			}
		}
		decoded = append(decoded, c)
	}
	if !utf8.Valid(decoded) {
		return pipeline.Invalid("the path is not UTF-8")
	}
	return nil
}

// unreserved are the characters that RFC 3986, 2.3, says to be the same with and without an escape.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// unhex reads the escape at i.
func unhex(path string, i int) (byte, bool) {
	if i+2 >= len(path) {
		return 0, false
	}
	const digits = "0123456789abcdef"
	high := strings.IndexByte(digits, path[i+1]|0x20)
	low := strings.IndexByte(digits, path[i+2]|0x20)
	if high < 0 || low < 0 {
		return 0, false
	}
	return byte(high<<4 | low), true // #nosec G115 -- both are below 16
}

// checkAuthorization refuses a request with two credentials: we might check one and the backend
// believe the other. No basic or bearer credential holds a comma, so a comma is where Envoy joined two.
func checkAuthorization(header http.Header) error {
	values := header.Values("Authorization")
	joined := slices.ContainsFunc(values, func(v string) bool {
		scheme, rest, _ := strings.Cut(v, " ")
		return strings.Contains(rest, ",") && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "basic"))
	})
	if len(values) > 1 || joined {
		return pipeline.Unauthenticated("more than one Authorization header")
	}
	return nil
}
