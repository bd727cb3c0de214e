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

// WithoutIdentity returns the headers without those that only the door may say, also under an alias such
// as X_User_Id. names are canonical and sorted. Authorization stays: it is a credential and no statement.
func WithoutIdentity(header http.Header, names []string) http.Header {
	out := header.Clone()
	for name := range out {
		meant := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		if _, identity := slices.BinarySearch(names, meant); identity && meant != "Authorization" {
			delete(out, name)
		}
	}
	return out
}
