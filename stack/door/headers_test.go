//go:build door

package door

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// One path for each upstream and each way to it.
var everywhere = []string{
	"/api/x", "/", "/.ory/sessions/whoami", "/.ory/self-service/logout", "/oauth2/revoke", "/userinfo", "/oauth2/token",
	"/.well-known/gatehouse/jwks.json",
}

// Headers that say who is calling or what was asked for: some server, library or gate believes each of them.
var forgeable = []string{
	"x-user-id", "x-user-email", "x-user-roles", "x-user-name-that-nobody-thought-of",
	"x-client-id", "x-client-ip", "x-client-cert",
	"x-subject-id", "x-subject-token",
	"x-auth-user", "x-auth-request-user", "x-auth-request-email",
	"x-scopes",
	"x-original-url", "x-original-uri", "x-original-method", "x-original-host", "x-original-forwarded-for",
	"x-forwarded-uri", "x-forwarded-method", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-port", "x-forwarded-server",
	"x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-path", "x-forwarded-access-token", "x-forwarded-preferred-username", "x-forwarded-by",
	"x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-client-cert",
	"forwarded", "x-real-ip", "true-client-ip", "x-rewrite-url",
	"x-http-method-override", "x-http-method", "x-method-override",
	"x-envoy-original-path", "x-envoy-internal", "x-envoy-external-address", "x-envoy-decorator-operation", "x-envoy-max-retries",
	"x-envoy-upstream-alt-stat-name", "x-envoy-ip-tags", "x-envoy-downstream-service-cluster", "x-envoy-original-host",
}

const forged = "forged"

func title(name string) string {
	words := strings.Split(name, "-")
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "-")
}

// requireNoForgery looks for the forged value under whatever name.
func requireNoForgery(t *testing.T) {
	t.Helper()
	for name := range upstreams {
		for _, s := range all(name) {
			for header, values := range s.header {
				for _, value := range values {
					require.NotContains(t, value, forged, "%s reached %s", header, name)
				}
			}
		}
	}
	for _, q := range asked() {
		for _, field := range q.GetHeaderMap().GetHeaders() {
			require.NotContains(t, string(field.GetRawValue())+field.GetValue(), forged, "the gate was shown %s", field.GetKey())
		}
	}
}

// CVE-2023-27487, CVE-2026-48020, CVE-2026-54763 and CVE-2026-40575 are about such headers being believed.
func TestNoForgedIdentityReachesAnyone(t *testing.T) {
	spellings := map[string]func(string) string{
		"as usual": title, "lower case": strings.ToLower, "upper case": strings.ToUpper,
		"mixed case": func(s string) string { return s[:1] + strings.ToUpper(s[1:3]) + s[3:] },
	}
	eachDoor(t, func(t *testing.T, d *door) {
		for spelling, spell := range spellings {
			for _, target := range everywhere {
				t.Run(spelling+" "+target, func(t *testing.T) {
					for names := range slices.Chunk(forgeable, 25) { // Envoy takes 100 headers
						scene(t, allow())
						var headers []string
						for _, name := range names {
							headers = append(headers, spell(name), forged, spell(name), "", spell(name), forged+"-again")
						}
						require.Equal(t, http.StatusOK, d.get(t, target, headers...).status)
						require.Equal(t, 1, begun())
						requireNoForgery(t)
					}
				})
			}
		}
		t.Run("HTTP/2", func(t *testing.T) {
			scene(t, allow())
			var headers []string
			for _, name := range forgeable {
				headers = append(headers, name, forged, name, forged+"-again")
			}
			require.Equal(t, http.StatusOK, d.over2(t, http.MethodGet, "/api/x", headers...).status)
			reached(t, api)
			requireNoForgery(t)
		})
	})
}

// A header by another spelling is refused, or is not a header of that name to anybody.
func TestNoForgedIdentityComesInADisguise(t *testing.T) {
	for name, request := range map[string]string{
		"a space before the colon": "GET /api/x HTTP/1.1\r\nHost: h\r\nX-User-Id : forged\r\nConnection: close\r\n\r\n",
		"a tab before the colon":   "GET /api/x HTTP/1.1\r\nHost: h\r\nX-User-Id\t: forged\r\nConnection: close\r\n\r\n",
		"a space before the name":  "GET /api/x HTTP/1.1\r\nHost: h\r\n X-User-Id: forged\r\nConnection: close\r\n\r\n",
		"a folded line":            "GET /api/x HTTP/1.1\r\nHost: h\r\nX-Harmless: a\r\n X-User-Id: forged\r\nConnection: close\r\n\r\n",
		"a control byte":           "GET /api/x HTTP/1.1\r\nHost: h\r\n\x01X-User-Id: forged\r\nConnection: close\r\n\r\n",
		"a bare CR":                "GET /api/x HTTP/1.1\r\nHost: h\r\nX-Harmless: a\rX-User-Id: forged\r\nConnection: close\r\n\r\n",
		"a bare LF":                "GET /api/x HTTP/1.1\r\nHost: h\r\nX-Harmless: a\nX-User-Id: forged\r\nConnection: close\r\n\r\n",
		"a NUL":                    "GET /api/x HTTP/1.1\r\nHost: h\r\nX-Harmless: a\x00\r\nX-User-Id\x00: forged\r\nConnection: close\r\n\r\n",
		"a trailer":                "POST /api/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-User-Id\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nX-User-Id: forged\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			eachDoor(t, func(t *testing.T, d *door) {
				scene(t, allow())
				a := d.raw(t, request)
				require.Len(t, a, 1)
				if a[0].status == http.StatusBadRequest {
					requireNothingReached(t)
					return
				}
				for line := range strings.Lines(wire(api)) {
					name, _, _ := strings.Cut(strings.ToLower(line), ":")
					require.NotContains(t, name, "user-id", line)
				}
				require.Empty(t, reached(t, api).header["X-User-Id"])
				for _, q := range asked() {
					require.Empty(t, q.headers("x-user-id"))
				}
			})
		})
	}
}

// CVE-2025-64484: many servers read X_User_Id as X-User-Id.
func TestHeaderNamesWithUnderscoresAreRefused(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, name := range []string{"X_User_Id", "x_user-id", "X-User_Email", "_", "authorization_", "x_forwarded_proto"} {
			for _, target := range everywhere {
				scene(t, allow())
				require.Equal(t, http.StatusBadRequest, d.get(t, target, name, forged).status, name)
				requireNothingReached(t)
			}
			scene(t, allow())
			a := d.over2(t, http.MethodGet, "/api/x", strings.ToLower(name), forged)
			require.Contains(t, []int{0, http.StatusBadRequest}, a.status, "a stream that is reset has no status")
			requireNothingReached(t)
		}
	})
	require.Empty(t, asked())
}

func TestTheGatesHeadersOverwriteTheClients(t *testing.T) {
	scene(t, allow("authorization", "Bearer minted", "x-user-id", "alice", "x-scopes", "", "x-custom", "the gate's"))
	a := authzDoor.get(t, "/api/x", "Authorization", "Bearer "+canary, "X-User-Id", forged, "X-Scopes", forged,
		"X-Custom", "one", "x-custom", "two", "X-CUSTOM", "three")
	require.Equal(t, http.StatusOK, a.status)
	got := reached(t, api).header
	require.Equal(t, []string{"Bearer minted"}, got["Authorization"])
	require.Equal(t, []string{"alice"}, got["X-User-Id"])
	require.Equal(t, []string{"the gate's"}, got["X-Custom"])
	require.Equal(t, "", strings.Join(got["X-Scopes"], ""))
}

// Envoy does not read the raw value of a header in an answer.
func TestAValueThatIsNotUTF8StillTakesTheClientsAway(t *testing.T) {
	scene(t, always(&authv3.CheckResponse{
		Status: &rpc.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{Headers: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "authorization", RawValue: []byte("Bearer \xff")},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}}},
	}, nil))
	require.Equal(t, http.StatusOK, authzDoor.get(t, "/api/x", "Authorization", "Bearer "+canary).status)
	require.NotContains(t, reached(t, api).header.Get("Authorization"), canary)
}

func TestOfSeveralAuthorizationsOnlyTheGatesIsLeft(t *testing.T) {
	scene(t, allow("authorization", "Bearer minted"))
	require.Equal(t, http.StatusOK, authzDoor.get(t, "/api/x", "Authorization", "Bearer "+canary, "authorization", "Basic "+canary).status)
	require.Equal(t, []string{"Bearer minted"}, reached(t, api).header["Authorization"])
	shown := askedOnce(t).headers("authorization")
	require.Contains(t, strings.Join(shown, ","), "Basic "+canary, "the gate sees both, or it could not refuse them")
	require.Contains(t, strings.Join(shown, ","), "Bearer "+canary)
}

func TestTheGateTakesHeadersAway(t *testing.T) {
	scene(t, allowWithout([]string{"authorization", "x-custom"}, "x-user-id", "alice"))
	a := authzDoor.get(t, "/api/x", "Authorization", "Bearer "+canary, "X-Custom", "one", "x-custom", "two", "X-Kept", "kept")
	require.Equal(t, http.StatusOK, a.status)
	got := reached(t, api).header
	require.NotContains(t, got, "Authorization")
	require.NotContains(t, got, "X-Custom")
	require.Equal(t, []string{"alice"}, got["X-User-Id"])
	require.Equal(t, []string{"kept"}, got["X-Kept"])
}

// GHSA-w9mr-28mw-j8hg: naming a header in Connection made the proxy drop what the gate had set.
func TestAHopByHopHeaderDoesNotTakeTheGatesAway(t *testing.T) {
	for _, connection := range []string{"close, authorization, x-user-id", "authorization", "close, cookie, x-forwarded-proto, x-request-id", "x-user-id, close, keep-alive"} {
		scene(t, allow("authorization", "Bearer minted", "x-user-id", "alice"))
		a := authzDoor.raw(t, "GET /api/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+canary+"\r\nConnection: "+connection+"\r\nConnection: close\r\n\r\n")
		require.Len(t, a, 1)
		if a[0].status == http.StatusBadRequest {
			requireNothingReached(t)
			continue
		}
		got := reached(t, api).header
		require.Equal(t, []string{"Bearer minted"}, got["Authorization"], connection)
		require.Equal(t, []string{"alice"}, got["X-User-Id"], connection)
		require.Equal(t, []string{"http"}, got["X-Forwarded-Proto"], connection)
	}
}

func TestForwardedForAndProtoAreTheConnections(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, target := range everywhere {
			t.Run(target, func(t *testing.T) {
				scene(t, allow())
				request := "GET " + target + " HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.8, 10.0.0.1\r\n" +
					"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Scheme: https\r\nConnection: close\r\n\r\n"
				require.Len(t, d.raw(t, request), 1)
				var got seen
				for _, u := range backends() {
					if log := all(u.name); len(log) > 0 {
						got = log[0]
					}
				}
				require.Equal(t, []string{"http"}, got.header["X-Forwarded-Proto"])
				require.Len(t, got.header["X-Forwarded-For"], 1)
				address := net.ParseIP(got.header.Get("X-Forwarded-For"))
				require.NotNil(t, address, "one address and not a list: %q", got.header["X-Forwarded-For"])
				require.NotContains(t, []string{"203.0.113.7", "203.0.113.8", "10.0.0.1"}, address.String())
			})
		}
	})
	t.Run("the gate is shown the connection's address", func(t *testing.T) {
		scene(t, allow())
		a := authzDoor.rawFrom(t, "127.0.0.2", head(http.MethodGet, "/api/x", "X-Forwarded-For", "203.0.113.7", "X-Real-Ip", "203.0.113.7"))
		require.Equal(t, http.StatusOK, a[0].status)
		require.Equal(t, "127.0.0.2", askedOnce(t).source)
	})
}

// CVE-2026-33495: the scheme that a client writes decided which rule applied.
func TestTheSchemeIsNotTheClientsToChoose(t *testing.T) {
	for name, send := range map[string]func() answer{
		"HTTP/2 :scheme": func() answer {
			return authzDoor.h2(t, "", ":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/api/x", "x-forwarded-proto", "https")
		},
		"absolute target": func() answer {
			return authzDoor.raw(t, "GET https://h/api/x HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n")[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, allow())
			if a := send(); a.status != http.StatusOK {
				require.Contains(t, []int{0, http.StatusBadRequest, http.StatusForbidden}, a.status)
				requireNothingReached(t)
				return
			}
			require.Equal(t, []string{"http"}, askedOnce(t).headers("x-forwarded-proto"))
			require.Equal(t, []string{"http"}, reached(t, api).header["X-Forwarded-Proto"])
		})
	}
}

func TestTheGateAndTheAPISeeTheSameHost(t *testing.T) {
	for _, host := range []string{"localhost", "localhost:8080", "LocalHost:8080", "localhost:80", "localhost:0", "localhost.", "localhost.:8080", "[::1]:8080", "evil.example", "a.b:99999", "a\r\nHost: b"} {
		t.Run(host, func(t *testing.T) {
			scene(t, allow())
			a := authzDoor.raw(t, "GET /api/x HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			require.Len(t, a, 1)
			if a[0].status == http.StatusBadRequest {
				requireNothingReached(t)
				return
			}
			require.Equal(t, askedOnce(t).GetHost(), reached(t, api).host)
			require.NotContains(t, askedOnce(t).GetHost()+":", ".:", "a trailing dot is another name for the same host")
		})
	}
	t.Run("a target that names another host", func(t *testing.T) {
		scene(t, allow())
		a := authzDoor.raw(t, "GET http://evil.example/api/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		require.Len(t, a, 1)
		require.Equal(t, askedOnce(t).GetHost(), reached(t, api).host)
		require.Equal(t, "/api/x", askedOnce(t).GetPath())
	})
	t.Run("HTTP/2 with :authority and another host", func(t *testing.T) {
		scene(t, allow())
		authzDoor.over2(t, http.MethodGet, "/api/x", "host", "evil.example")
		if begun() == 0 {
			return
		}
		require.Equal(t, "localhost:8080", askedOnce(t).GetHost())
		require.Equal(t, "localhost:8080", reached(t, api).host)
	})
}

func TestAHostThatIsNoneIsRefused(t *testing.T) {
	for name, request := range map[string]string{
		"none":          "GET /api/x HTTP/1.1\r\nConnection: close\r\n\r\n",
		"a space":       "GET /api/x HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
		"a path in it":  "GET /api/x HTTP/1.1\r\nHost: a/api/public\r\nConnection: close\r\n\r\n",
		"a query in it": "GET /api/x HTTP/1.1\r\nHost: a?b\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			eachDoor(t, func(t *testing.T, d *door) {
				scene(t, allow())
				a := d.raw(t, request)
				require.Len(t, a, 1)
				require.Equal(t, http.StatusBadRequest, a[0].status)
				requireNothingReached(t)
			})
		})
	}
}

func TestTheRequestIDIsTheDoors(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, target := range everywhere {
			scene(t, allow())
			a := d.get(t, target, "X-Request-Id", "forged", "x-request-id", "forged-again")
			id := a.header.Get("X-Request-Id")
			require.NoError(t, uuid.Validate(id))
			for _, u := range upstreams {
				for _, s := range all(u.name) {
					require.Equal(t, []string{id}, s.header["X-Request-Id"], "%s at %s", target, u.name)
				}
			}
			for _, q := range asked() {
				require.Equal(t, []string{id}, q.headers("x-request-id"))
			}
		}
	})
}

// CVE-2023-27488: a byte that is not UTF-8 made the call to the gate fail. It must not become a pass.
func TestBytesThatAreNotUTF8DoNotPassTheGate(t *testing.T) {
	const odd = "caf\xe9\xff\xc3\x28"
	t.Run("the gate is shown them as they are", func(t *testing.T) {
		scene(t, allow())
		require.Equal(t, http.StatusOK, authzDoor.get(t, "/api/x", "X-Odd", odd, "Cookie", odd+"="+canary).status)
		require.Equal(t, []string{odd}, askedOnce(t).headers("x-odd"))
		require.Equal(t, []string{odd}, reached(t, api).header["X-Odd"])
	})
	t.Run("a refusal stays one", func(t *testing.T) {
		scene(t, deny(http.StatusUnauthorized, "no"))
		require.Equal(t, http.StatusUnauthorized, authzDoor.get(t, "/api/x", "X-Odd", odd, "Authorization", odd).status)
		requireNothingReached(t)
	})
	for _, target := range []string{"/api/\xff", "/api/caf\xe9", "/api/x?q=\xff", "/api/\xc3\x28/..", "/api/\xc0\xaf../x", "/api/\xed\xa0\x80"} {
		t.Run("in the target "+strings.ToValidUTF8(target, "?"), func(t *testing.T) {
			scene(t, allow())
			a := authzDoor.get(t, target)
			if a.status != http.StatusOK {
				require.Contains(t, []int{http.StatusBadRequest, http.StatusServiceUnavailable}, a.status)
				requireNothingReached(t)
				return
			}
			require.Equal(t, []string{askedOnce(t).GetPath()}, targets(api), "the gate was asked about another path")
		})
	}
}

func TestHeadersThatAreTooLargeAreRefused(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for name, headers := range map[string][]string{
			"one":  {"X-Large", strings.Repeat("a", 70<<10)},
			"many": slices.Repeat([]string{"X-Many", "a"}, 150),
		} {
			t.Run(name, func(t *testing.T) {
				scene(t, allow())
				a := d.get(t, "/api/x", headers...)
				require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, a.status)
				requireNothingReached(t)
			})
		}
		t.Run("a target", func(t *testing.T) {
			scene(t, allow())
			a := d.get(t, "/api/"+strings.Repeat("a", 70<<10))
			require.Contains(t, []int{http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge}, a.status)
			requireNothingReached(t)
		})
	})
}

func TestWhatTheAPIIsBuiltWithIsNotTold(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, name := range []string{api, web, kratos, hydra} {
			answers(t, name, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Server", "echo/1.0")
				w.Header().Set("X-Powered-By", "echo")
			})
		}
		for _, target := range []string{"/api/x", "/", "/.ory/sessions/whoami", "/userinfo"} {
			scene(t, allow())
			a := d.get(t, target)
			require.Equal(t, "envoy", a.header.Get("Server"))
			require.NotContains(t, a.header, "X-Powered-By")
			for name := range a.header {
				require.False(t, strings.HasPrefix(name, "X-Envoy-"), name)
			}
		}
	})
}
