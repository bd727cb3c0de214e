package upstream

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hop are the headers that describe one connection or the body on it, and those that the transport writes.
var hop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade", "Http2-Settings", "Content-Length", "Content-Encoding", "Expect", "Host",
	"Accept-Encoding", // or the answer comes back compressed
}

// Forwardable returns the headers of a client's request that may go on to another server. Values that
// net/http would not send are left out: refusing to send looks like an outage.
func Forwardable(header http.Header) http.Header {
	out := make(http.Header, len(header))
	for name, values := range header {
		for _, value := range values {
			if httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value) {
				out.Add(name, value)
			}
		}
	}
	for _, line := range header.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hop {
		out.Del(name)
	}
	return out
}

// Meant is the header that many servers take name for. Whatever came from CGI tells no hyphen from an underscore
// (CVE-2025-64484), and some, PHP's and lighttpd's among them, none from any other sign: X_User_Id and X.User.Id
// are X-User-Id there. alias tells that name is another spelling of it.
func Meant(name string) (meant string, alias bool) {
	if strings.IndexFunc(name, sign) < 0 {
		return http.CanonicalHeaderKey(name), false
	}
	return http.CanonicalHeaderKey(strings.Map(func(c rune) rune {
		if sign(c) {
			return '-'
		}
		return c
	}, name)), true
}

// sign is what is neither a letter nor a digit nor a hyphen.
func sign(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
}

// WithoutIdentity returns the headers without those that only the door may say, also under an alias such
// as X_User_Id. names are canonical and sorted. Authorization stays: it is a credential and no statement.
func WithoutIdentity(header http.Header, names []string) http.Header {
	out := header.Clone()
	for name := range out {
		meant, _ := Meant(name)
		if _, identity := slices.BinarySearch(names, meant); identity && meant != "Authorization" {
			delete(out, name)
		}
	}
	return out
}
