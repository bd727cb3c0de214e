//go:build door

package door

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hidden is the request that an attacker would hide inside or behind another.
const hidden = "GET /api/admin HTTP/1.1\r\nHost: h\r\nX-Hidden: yes\r\nConnection: close\r\n\r\n"

func post(framing, body string) string {
	return "POST /api/x HTTP/1.1\r\nHost: h\r\n" + framing + "\r\n" + body
}

// Two servers that read the end of a message in two places can be made to read two requests where the gate was
// asked about one. What is not plainly framed is refused.
func TestAmbiguousFramingIsRefusedAndNothingIsSmuggled(t *testing.T) {
	for name, request := range map[string]string{
		"CL.TE":                            post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
		"TE.CL":                            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n"+hidden+"\r\n0\r\n\r\n"),
		"CL of 0 and TE":                   post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
		"two lengths":                      post("Content-Length: 0\r\nContent-Length: 90\r\n", hidden),
		"two lengths in one header":        post("Content-Length: 0, 90\r\n", hidden),
		"two lengths, one of them garbage": post("Content-Length: 0\r\nContent-Length: x\r\n", hidden),
		"a signed length":                  post("Content-Length: +0\r\n", hidden),
		"a negative length":                post("Content-Length: -1\r\n", hidden),
		"a hexadecimal length":             post("Content-Length: 0x0\r\n", hidden),
		"a length with a space in it":      post("Content-Length: 0 0\r\n", hidden),
		"a length with a point":            post("Content-Length: 0.0\r\n", hidden),
		"a length beyond 64 bits":          post("Content-Length: 18446744073709551616\r\n", hidden),
		"an empty length":                  post("Content-Length:\r\n", hidden),
		"a space before the colon, CL":     post("Content-Length : 0\r\n", hidden),
		"a space before the colon, TE":     post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+hidden),
		"a tab before the colon, TE":       post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"+hidden),
		"an unknown coding":                post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+hidden),
		"identity":                         post("Transfer-Encoding: identity\r\n", hidden),
		"gzip before chunked":              post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"+hidden),
		"chunked before identity":          post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+hidden),
		"chunked twice":                    post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"+hidden),
		"two codings in two headers":       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+hidden),
		"two codings, the first unknown":   post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
		"a quoted coding":                  post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"+hidden),
		"a coding with a parameter":        post("Transfer-Encoding: chunked;x=y\r\n", "0\r\n\r\n"+hidden),
		"a coding behind a control byte":   post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"+hidden),
		"a coding before a control byte":   post("Transfer-Encoding: chunked\x0c\r\n", "0\r\n\r\n"+hidden),
		"a coding in an underscore":        post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"+hidden),
		"an empty coding":                  post("Transfer-Encoding:\r\n", "0\r\n\r\n"+hidden),
		"a coding and HTTP/1.0":            "POST /api/x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a chunk size in 0x":               post("Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"+hidden),
		"a signed chunk size":              post("Transfer-Encoding: chunked\r\n", "+0\r\n\r\n"+hidden),
		"a negative chunk size":            post("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"+hidden),
		"a chunk size beyond 64 bits":      post("Transfer-Encoding: chunked\r\n", "10000000000000000\r\n\r\n"+hidden),
		"a chunk size that is none":        post("Transfer-Encoding: chunked\r\n", "g\r\n\r\n"+hidden),
		"an empty chunk size":              post("Transfer-Encoding: chunked\r\n", "\r\n\r\n"+hidden),
		"no version":                       "GET /api/x\r\n\r\n" + hidden,
		"HTTP/1.0":                         "GET /api/x HTTP/1.0\r\nHost: h\r\n\r\n" + hidden,
		"HTTP/1.2":                         "GET /api/x HTTP/1.2\r\nHost: h\r\n\r\n" + hidden,
		"HTTP/3.0":                         "GET /api/x HTTP/3.0\r\nHost: h\r\n\r\n" + hidden,
		"a space in the target":            "GET /api/x y HTTP/1.1\r\nHost: h\r\n\r\n" + hidden,
		"a space before the method":        " GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n" + hidden,
		"a header without a colon":         "GET /api/x HTTP/1.1\r\nHost: h\r\nNonsense\r\n\r\n" + hidden,
		"a header without a name":          "GET /api/x HTTP/1.1\r\nHost: h\r\n: nonsense\r\n\r\n" + hidden,
		"a header with a space in it":      "GET /api/x HTTP/1.1\r\nHost: h\r\nNon sense: a\r\n\r\n" + hidden,
		"a NUL in a value":                 "GET /api/x HTTP/1.1\r\nHost: h\r\nX-A: a\x00b\r\n\r\n" + hidden,
		"a folded first header":            "GET /api/x HTTP/1.1\r\n Host: h\r\n\r\n" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			eachDoor(t, func(t *testing.T, d *door) {
				scene(t, allow())
				a := d.raw(t, request)
				require.NotEmpty(t, a)
				requireNotSmuggled(t)
				require.Len(t, a, 1, "one message had several answers")
				require.Contains(t, []int{http.StatusBadRequest, http.StatusUpgradeRequired, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported}, a[0].status)
				require.NotContains(t, wire(api), "/api/x", "it was refused and passed on")
			})
		})
	}
}

// requireNotSmuggled says that nobody got the hidden request, and no API one that the gate was not asked about.
func requireNotSmuggled(t *testing.T) {
	t.Helper()
	for _, u := range backends() {
		for _, s := range all(u.name) {
			require.NotContains(t, s.header, "X-Hidden")
			require.NotContains(t, s.target, "admin")
		}
	}
	require.LessOrEqual(t, begun(), 1)
}

// What Envoy puts right by itself is harmless as long as the API gets one plainly framed request.
func TestOddButUnambiguousFramingIsOneRequest(t *testing.T) {
	for name, row := range map[string]struct{ request, body string }{
		"another case":                {post("TRANSFER-ENCODING: CHUNKED\r\nConnection: close\r\n", "5\r\nhello\r\n0\r\n\r\n"), "hello"},
		"space around the coding":     {post("Transfer-Encoding: \t chunked \t \r\nConnection: close\r\n", "5\r\nhello\r\n0\r\n\r\n"), "hello"},
		"a chunk extension":           {post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "5;x=y\r\nhello\r\n0;z\r\n\r\n"), "hello"},
		"zeros before the chunk size": {post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "0005\r\nhello\r\n00\r\n\r\n"), "hello"},
		"a request as a body":         {post(fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n", len(hidden)), hidden), hidden},
		"a request as a chunk":        {post("Transfer-Encoding: chunked\r\nConnection: close\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)), hidden},
		"a trailer":                   {post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "5\r\nhello\r\n0\r\nX-User-Id: forged\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"), "hello"},
		"an empty line before":        {"\r\n" + post("Content-Length: 5\r\nConnection: close\r\n", "hello"), "hello"},
		"the same length twice":       {post("Content-Length: 5\r\nContent-Length: 5\r\nConnection: close\r\n", "hello"), "hello"},
		"the same length in one":      {post("Content-Length: 5, 5\r\nConnection: close\r\n", "hello"), "hello"},
		"zeros before the length":     {post("Content-Length: 0005\r\nConnection: close\r\n", "hello"), "hello"},
		"bare LFs":                    {strings.ReplaceAll(post("Content-Length: 5\r\nConnection: close\r\n", "hello"), "\r\n", "\n"), "hello"},
		"one bare LF":                 {post("X-A: b\nContent-Length: 5\r\nConnection: close\r\n", "hello"), "hello"},
		"a folded header":             {post("X-A: b\r\n Content-Length: 0\r\nContent-Length: 5\r\nConnection: close\r\n", "hello"), "hello"},
		"a folded coding":             {post("Transfer-Encoding:\r\n chunked\r\nConnection: close\r\n", "5\r\nhello\r\n0\r\n\r\n"), "hello"},
		"a bare CR":                   {post("X-A: b\rContent-Length: 0\r\nContent-Length: 5\r\nConnection: close\r\n", "hello"), "hello"},
		"a bare LF after a chunk":     {post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "5\r\nhello\n0\r\n\r\n"), "hello"},
		"a bare LF after a size":      {post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "5\nhello\r\n0\r\n\r\n"), "hello"},
		"a bare LF in an extension":   {post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "5;\nhello\r\n0\r\n\r\n"), "hello"},
		"a chunk beyond its size":     {post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "5\r\nhello and more\r\n0\r\n\r\n"), "hello"},
		"space in the request line":   {"GET  /api/x  HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", ""},
		"a body that was not needed":  {fmt.Sprintf("GET /api/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(hidden), hidden), hidden},
	} {
		t.Run(name, func(t *testing.T) {
			eachDoor(t, func(t *testing.T, d *door) {
				scene(t, allow())
				a := d.raw(t, row.request)
				require.Len(t, a, 1)
				requireNotSmuggled(t)
				if a[0].status == http.StatusBadRequest {
					require.NotContains(t, wire(api), "hello")
					return
				}
				require.Equal(t, http.StatusOK, a[0].status)
				got := reached(t, api)
				require.Equal(t, "/api/x", got.target)
				require.Equal(t, row.body, got.body)
				require.Empty(t, got.header["X-User-Id"])
				requirePlainlyFramed(t)
			})
		})
	}
}

// requirePlainlyFramed reads the bytes that reached the API as a strict server would.
func requirePlainlyFramed(t *testing.T) {
	t.Helper()
	text := wire(api)
	head, _, found := strings.Cut(text, "\r\n\r\n")
	require.True(t, found)
	lengths, codings := 0, 0
	for line := range strings.SplitSeq(head, "\r\n") {
		require.False(t, strings.ContainsAny(line, "\r\n\x00"), "%q", line)
		require.False(t, strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"), "%q", line)
		name, value, _ := strings.Cut(strings.ToLower(line), ": ")
		switch name {
		case "content-length":
			lengths++
			require.Regexp(t, `^[0-9]+$`, value)
		case "transfer-encoding":
			codings++
			require.Equal(t, "chunked", value)
		}
	}
	require.LessOrEqual(t, lengths+codings, 1, text)
}

func TestRequestsInARowAreEachDecided(t *testing.T) {
	scene(t, allow())
	a := authzDoor.raw(t, post("Content-Length: 5\r\n", "hello")+post("Transfer-Encoding: chunked\r\n", "5\r\nworld\r\n0\r\n\r\n")+hidden)
	require.Len(t, a, 3)
	require.Len(t, asked(), 3)
	require.Len(t, all(api), 3)
}

// The framing of HTTP/2 is its own: headers that would frame the request again behind the door are refused
// (request smuggling by downgrade).
func TestHTTP2CannotWriteTheFramingOfHTTP1(t *testing.T) {
	framed := func(more ...string) []string { return fields(http.MethodPost, "/api/x", more...) }
	cases := map[string][]string{
		"a coding":                      framed("transfer-encoding", "chunked"),
		"a length that is too short":    framed("content-length", "1"),
		"a length that is too long":     framed("content-length", "100"),
		"two lengths":                   framed("content-length", "5", "content-length", "6"),
		"a length that is none":         framed("content-length", "x"),
		"a connection header":           framed("connection", "close"),
		"keep-alive":                    framed("keep-alive", "timeout=5"),
		"an upgrade":                    framed("upgrade", "websocket"),
		"te other than trailers":        framed("te", "gzip"),
		"a name in upper case":          framed("X-Upper", "a"),
		"CRLF in a value":               framed("x-a", "b\r\nTransfer-Encoding: chunked"),
		"LF in a value":                 framed("x-a", "b\nX-User-Id: forged"),
		"NUL in a value":                framed("x-a", "b\x00c"),
		"CRLF in a name":                framed("x-a\r\ntransfer-encoding", "chunked"),
		"a colon in a name":             framed("x-a: b", "c"),
		"a space in a name":             framed("x a", "b"),
		"an empty name":                 framed("", "b"),
		"CRLF in the path":              {":method", "POST", ":scheme", "http", ":authority", "h", ":path", "/api/x HTTP/1.1\r\nX-User-Id: forged\r\n\r\n"},
		"a space in the path":           {":method", "POST", ":scheme", "http", ":authority", "h", ":path", "/api/x HTTP/1.1"},
		"CRLF in the method":            {":method", "GET /api/admin HTTP/1.1\r\nHost: h\r\n\r\nPOST", ":scheme", "http", ":authority", "h", ":path", "/api/x"},
		"a space in the method":         {":method", "GET /api/admin", ":scheme", "http", ":authority", "h", ":path", "/api/x"},
		"CRLF in the authority":         {":method", "POST", ":scheme", "http", ":authority", "h\r\nX-User-Id: forged", ":path", "/api/x"},
		"two paths":                     framed(":path", "/api/public"),
		"two methods":                   framed(":method", "GET"),
		"no path":                       {":method", "POST", ":scheme", "http", ":authority", "h"},
		"an empty path":                 {":method", "POST", ":scheme", "http", ":authority", "h", ":path", ""},
		"no method":                     {":scheme", "http", ":authority", "h", ":path", "/api/x"},
		"no scheme":                     {":method", "POST", ":authority", "h", ":path", "/api/x"},
		"an unknown pseudo-header":      framed(":user", "a"),
		"a pseudo-header after headers": {":method", "POST", ":scheme", "http", ":authority", "h", "x-a", "b", ":path", "/api/x"},
		"a status":                      framed(":status", "200"),
		"a protocol":                    framed(":protocol", "websocket"),
	}
	var names []string
	var requests [][]string
	for name, request := range cases {
		names, requests = append(names, name), append(requests, request)
	}
	eachDoor(t, func(t *testing.T, d *door) {
		scene(t, allow())
		for i, a := range d.h2Together(t, "hello", requests) {
			require.Contains(t, []int{0, http.StatusBadRequest, http.StatusForbidden}, a.status, "%s: %s", names[i], a.body)
		}
		for _, u := range backends() {
			require.Empty(t, wire(u.name), "something was refused and passed on")
		}
	})
	t.Run("and what is right passes", func(t *testing.T) {
		scene(t, allow())
		require.Equal(t, http.StatusOK, authzDoor.h2(t, "hello", framed("content-length", "5", "te", "trailers")...).status)
		require.Equal(t, "hello", reached(t, api).body)
	})
}

// An answer of an upstream must not become two either.
func TestAnUpstreamCannotAnswerTwice(t *testing.T) {
	for name, response := range map[string]string{
		"behind the length":  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Hidden: yes\r\n\r\npoison",
		"both framings":      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nX-Hidden: yes\r\nContent-Length: 0\r\n\r\n",
		"two lengths":        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"a body with no 204": "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nX-Hidden: yes\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			answers(t, api, func(w http.ResponseWriter, _ *http.Request) {
				connection, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				_, _ = connection.Write([]byte(response))
				_ = connection.Close()
			})
			scene(t, allow())
			a := authzDoor.raw(t, "GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n"+head(http.MethodGet, "/"))
			require.LessOrEqual(t, len(a), 2)
			for _, one := range a {
				require.NotContains(t, one.header, "X-Hidden")
			}
		})
	}
}
