//go:build door

package door

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table of the public origin. nowhere is the door's own 404.
const nowhere = ""

var routes = []struct {
	method, target string
	upstream, gets string
}{
	// The API. Every one of these is decided.
	{"GET", "/api", api, "/api"},
	{"GET", "/api/", api, "/api/"},
	{"GET", "/api?q=1", api, "/api?q=1"},
	{"GET", "/api/me", api, "/api/me"},
	{"POST", "/api/gateways/g/products?x=/../y", api, "/api/gateways/g/products?x=/../y"},
	{"DELETE", "/api/gateways/g", api, "/api/gateways/g"},
	{"OPTIONS", "/api/me", api, "/api/me"},
	{"HEAD", "/api/public/health", api, "/api/public/health"},
	{"GET", "/api/public/health", api, "/api/public/health"},
	{"GET", "/api/.ory/sessions", api, "/api/.ory/sessions"},

	// What only begins or looks like the API is the web app's.
	{"GET", "/apix", web, "/apix"},
	{"GET", "/apix/me", web, "/apix/me"},
	{"GET", "/api.json", web, "/api.json"},
	{"GET", "/api;x/me", web, "/api;x/me"},
	{"GET", "/API/me", web, "/API/me"},
	{"GET", "/x/api/me", web, "/x/api/me"},

	// What ends a session or a token goes to the API.
	{"GET", "/.ory/self-service/logout", api, "/.ory/self-service/logout"},
	{"GET", "/.ory/self-service/logout?token=t", api, "/.ory/self-service/logout?token=t"},
	{"GET", "/.ory/self-service/logout/browser", api, "/.ory/self-service/logout/browser"},
	{"DELETE", "/.ory/self-service/logout/api", api, "/.ory/self-service/logout/api"},
	{"DELETE", "/.ory/sessions", api, "/.ory/sessions"},
	{"DELETE", "/.ory/sessions/11111111-1111-1111-1111-111111111111", api, "/.ory/sessions/11111111-1111-1111-1111-111111111111"},
	{"POST", "/oauth2/revoke", api, "/oauth2/revoke"},
	{"GET", "/oauth2/sessions/logout?state=s", api, "/oauth2/sessions/logout?state=s"},
	{"POST", "/oauth2/sessions/logout", api, "/oauth2/sessions/logout"},
	// In other spellings too, or a session would end that nobody hears of.
	{"GET", "/.ory/self-service/%6cogout", api, "/.ory/self-service/logout"},
	{"GET", "/.ory/self-service//logout", api, "/.ory/self-service/logout"},
	{"GET", "/.ory/self-service/x/../logout/browser", api, "/.ory/self-service/logout/browser"},
	{"DELETE", "/.ory/sessions/", api, "/.ory/sessions/"},
	{"DELETE", "/.ory/./%73essions", api, "/.ory/sessions"},
	{"POST", "/oauth2/%72evoke", api, "/oauth2/revoke"},

	// Kratos, without the prefix.
	{"GET", "/.ory/self-service/logoutx", kratos, "/self-service/logoutx"},
	{"GET", "/.ory/sessions", kratos, "/sessions"},
	{"GET", "/.ory/sessions/whoami", kratos, "/sessions/whoami"},
	{"GET", "/.ory/self-service/login/browser?return_to=/.ory/x", kratos, "/self-service/login/browser?return_to=/.ory/x"},
	{"POST", "/.ory/self-service/login?flow=1", kratos, "/self-service/login?flow=1"},
	{"POST", "/.ory/self-service/registration?flow=1", kratos, "/self-service/registration?flow=1"},
	{"POST", "/.ory/self-service/recovery?flow=1", kratos, "/self-service/recovery?flow=1"},
	{"POST", "/.ory/self-service/verification?flow=1", kratos, "/self-service/verification?flow=1"},
	{"POST", "/.ory/self-service/settings?flow=1", kratos, "/self-service/settings?flow=1"},
	{"GET", "/.ory/self-service/errors?id=1", kratos, "/self-service/errors?id=1"},
	{"GET", "/.ory/self-service/methods/oidc/callback/google?code=c", kratos, "/self-service/methods/oidc/callback/google?code=c"},
	{"GET", "/.ory/schemas", kratos, "/schemas"},
	{"GET", "/.ory/schemas/person", kratos, "/schemas/person"},
	{"GET", "/.ory/.well-known/ory/webauthn.js", kratos, "/.well-known/ory/webauthn.js"},
	{"GET", "/.ory/sessions/.ory/x", kratos, "/sessions/.ory/x"},

	// Hydra: these and no other.
	{"GET", "/oauth2/auth?client_id=c", hydra, "/oauth2/auth?client_id=c"},
	{"POST", "/oauth2/token", hydra, "/oauth2/token"},
	{"GET", "/userinfo", hydra, "/userinfo"},
	{"GET", "/.well-known/openid-configuration", hydra, "/.well-known/openid-configuration"},
	{"GET", "/.well-known/jwks.json", hydra, "/.well-known/jwks.json"},

	// The keys of the identity token, and nothing else of that port.
	{"GET", "/.well-known/gatehouse/jwks.json", authzOps, "/.well-known/jwks.json"},
	{"GET", "/.well-known/gatehouse/jwks.json?x=/metrics", authzOps, "/.well-known/jwks.json?x=/metrics"},

	// Nothing else of the servers is public.
	{"GET", "/oauth2", nowhere, ""},
	{"GET", "/oauth2/", nowhere, ""},
	{"POST", "/oauth2/introspect", nowhere, ""},
	{"POST", "/oauth2/introspection", nowhere, ""},
	{"POST", "/oauth2/register", nowhere, ""},
	{"POST", "/oauth2/device/auth", nowhere, ""},
	{"GET", "/oauth2/auth/requests/login?challenge=c", nowhere, ""},
	{"GET", "/oauth2/auth/sessions/login", nowhere, ""},
	{"POST", "/oauth2/token/", nowhere, ""},
	{"POST", "/oauth2/token/hook", nowhere, ""},
	{"POST", "/oauth2/revoke/", nowhere, ""},
	{"GET", "/oauth2/fallbacks/error", nowhere, ""},
	{"GET", "/.ory", nowhere, ""},
	{"GET", "/.ory/", nowhere, ""},
	{"GET", "/.ory/admin/identities", nowhere, ""},
	{"GET", "/.ory/identities", nowhere, ""},
	{"GET", "/.ory/health/ready", nowhere, ""},
	{"GET", "/.ory/metrics/prometheus", nowhere, ""},
	{"GET", "/.ory/version", nowhere, ""},
	{"GET", "/.ory/.well-known/jwks.json", nowhere, ""},
	{"GET", "/.ory/selfservice", nowhere, ""},

	// Everything else is the web app's, whatever it is called elsewhere.
	{"GET", "/", web, "/"},
	{"GET", "/auth/login?flow=1", web, "/auth/login?flow=1"},
	{"GET", "/.oryx/sessions", web, "/.oryx/sessions"},
	{"GET", "/oauth2x", web, "/oauth2x"},
	{"GET", "/userinfo/", web, "/userinfo/"},
	{"GET", "/.well-known/jwks.json/", web, "/.well-known/jwks.json/"},
	{"GET", "/.well-known/gatehouse", web, "/.well-known/gatehouse"},
	{"GET", "/.well-known/gatehouse/", web, "/.well-known/gatehouse/"},
	{"GET", "/.well-known/gatehouse/jwks.json/", web, "/.well-known/gatehouse/jwks.json/"},
	{"GET", "/.well-known/gatehouse/jwks.jsonx", web, "/.well-known/gatehouse/jwks.jsonx"},
	{"GET", "/.well-known/gatehouse/metrics", web, "/.well-known/gatehouse/metrics"},
	{"GET", "/metrics", web, "/metrics"},
	{"GET", "/rules", web, "/rules"},
	{"GET", "/readyz", web, "/readyz"},
	{"GET", "/decisions/api/me", web, "/decisions/api/me"},
	{"GET", "/config_dump", web, "/config_dump"},
	{"GET", "/sessions/whoami", web, "/sessions/whoami"},
	{"GET", "/admin/identities", web, "/admin/identities"},
}

func TestEveryRouteLeadsWhereTheTableSaysAndOnlyTheAPIIsDecided(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, route := range routes {
			t.Run(route.method+" "+route.target, func(t *testing.T) {
				scene(t, allow())
				a := d.send(t, route.method, route.target)
				if route.upstream == nowhere {
					require.Equal(t, http.StatusNotFound, a.status)
					require.Equal(t, "not found\n", a.body)
					requireNothingReached(t)
				} else {
					require.Equal(t, http.StatusOK, a.status)
					got := reached(t, route.upstream)
					require.Equal(t, route.method, got.method)
					require.Equal(t, route.gets, got.target)
				}
				decided := route.upstream == api && (strings.HasPrefix(route.target, "/api"))
				require.Equal(t, decided, len(asked())+len(all(oathkeeper)) == 1, "asked the gate")
				require.Equal(t, decided, len(asked())+len(all(oathkeeper)) > 0, "asked the gate")
			})
		}
	})
}

func TestEveryMethodUnderTheAPIIsDecided(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE"} {
		t.Run(method, func(t *testing.T) {
			scene(t, deny(http.StatusUnauthorized, "no"))
			require.Equal(t, http.StatusUnauthorized, authzDoor.send(t, method, "/api/x").status)
			require.Equal(t, method, askedOnce(t).GetMethod())
			requireNothingReached(t)
		})
	}
}

func TestTheGateIsAskedAboutTheMethodThatTheAPIGets(t *testing.T) {
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Forwarded-Method", "X-Original-Method"} {
		scene(t, allow())
		require.Equal(t, http.StatusOK, authzDoor.send(t, http.MethodPost, "/api/x", header, "GET").status)
		require.Equal(t, http.MethodPost, askedOnce(t).GetMethod())
		got := reached(t, api)
		require.Equal(t, http.MethodPost, got.method)
		require.NotContains(t, got.header, http.CanonicalHeaderKey(header))
	}
	for _, method := range []string{"get", "Get", "FOO", "DELETEX"} {
		scene(t, allow())
		require.Equal(t, http.StatusBadRequest, authzDoor.send(t, method, "/api/x").status, method)
		require.Equal(t, http.StatusBadRequest, authzDoor.send(t, method, "/.ory/sessions").status, method)
		requireNothingReached(t)
	}
}

func TestTheDoorIsNoTunnel(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, target := range []string{"127.0.0.1:9901", "localhost:8080", "h:443", "/api/x", "http://h/api/x", "*"} {
			scene(t, allow())
			for _, a := range d.raw(t, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\nConnection: close\r\n\r\n") {
				require.GreaterOrEqual(t, a.status, 400, target)
			}
			requireNothingReached(t)
		}
		scene(t, allow())
		for _, a := range d.h2Together(t, "", [][]string{
			{":method", "CONNECT", ":authority", "h:443"},
			{":method", "CONNECT", ":scheme", "http", ":authority", "h", ":path", "/api/x", ":protocol", "websocket"},
			{":method", "CONNECT", ":scheme", "http", ":authority", "h", ":path", "/", ":protocol", "websocket"},
		}) {
			require.True(t, a.status == 0 || a.status >= 400, a.status)
		}
		requireNothingReached(t)
	})
}

func TestJWKSIsAllThatTheKeysRouteReveals(t *testing.T) {
	for _, target := range []string{
		"/.well-known/gatehouse/jwks.json/../../metrics", "/.well-known/gatehouse/jwks.json/metrics", "/.well-known/gatehouse/../rules",
		"/.well-known/gatehouse/jwks.json%2f..%2fmetrics", "/.well-known/gatehouse/jwks.json/..%2f..%2fmetrics", "/.well-known/gatehouse//metrics",
		"/.well-known/gatehouse/jwks.json;/../metrics", "/.well-known/gatehouse/jwks.json%3f/../metrics", "/.well-known/gatehouse/%6dwks.json/../metrics",
	} {
		scene(t, allow())
		authzDoor.get(t, target)
		require.Empty(t, targets(authzOps), target)
	}
	scene(t, allow())
	setsCookies(t, authzOps, session)
	a := authzDoor.send(t, http.MethodPost, "/.well-known/gatehouse/jwks.json", "Cookie", session, "Authorization", "Bearer "+canary)
	require.NotContains(t, a.header, "Set-Cookie")
	require.Equal(t, []string{"/.well-known/jwks.json"}, targets(authzOps))
	got := reached(t, authzOps).header
	require.NotContains(t, got, "Cookie")
	require.NotContains(t, got, "Authorization")
}

// --- upgrades ---

func upgrade(target, to string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: " + to + "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
}

func TestAWebsocketIsRefusedInProduction(t *testing.T) {
	answers(t, web, upgrades)
	answers(t, api, upgrades)
	for _, to := range []string{"websocket", "WebSocket", "WEBSOCKET"} {
		for _, target := range []string{"/", "/_next/webpack-hmr", "/api/x", "/.ory/sessions", "/userinfo", "/.ory/self-service/logout"} {
			scene(t, allow())
			a := authzDoor.raw(t, strings.Replace(upgrade(target, to), "Connection: Upgrade", "Connection: Upgrade, close", 1))
			require.Len(t, a, 1)
			require.Equal(t, http.StatusForbidden, a[0].status, target)
			requireNothingReached(t)
		}
	}
}

func TestAWebsocketToTheWebAppOnlyIsAllowedInDevelopment(t *testing.T) {
	answers(t, web, upgrades)
	answers(t, api, upgrades)
	t.Run("the web app", func(t *testing.T) {
		scene(t, allow())
		connection := oathkeeperDoor.dial(t, "")
		defer func() { _ = connection.Close() }()
		_, err := io.WriteString(connection, upgrade("/_next/webpack-hmr", "websocket"))
		require.NoError(t, err)
		reader := bufio.NewReader(connection)
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
		require.NoError(t, response.Body.Close())
		_, err = io.WriteString(connection, "hello\n")
		require.NoError(t, err)
		line, err := reader.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "hello\n", line)
		reached(t, web)
	})
	for _, target := range []string{"/api/x", "/.ory/sessions", "/userinfo", "/.ory/self-service/logout"} {
		t.Run(target, func(t *testing.T) {
			scene(t, allow())
			a := oathkeeperDoor.raw(t, strings.Replace(upgrade(target, "websocket"), "Connection: Upgrade", "Connection: Upgrade, close", 1))
			require.Len(t, a, 1)
			require.Equal(t, http.StatusForbidden, a[0].status)
			requireNothingReached(t)
		})
	}
}

// An upgrade to HTTP/2 in the clear would open a tunnel past the door's rules.
func TestAnUpgradeToHTTP2IsNotPassedOn(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, target := range []string{"/", "/api/x", "/.ory/sessions", "/userinfo"} {
			scene(t, allow())
			d.raw(t, "GET "+target+" HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
			for _, u := range backends() {
				for _, s := range all(u.name) {
					require.NotContains(t, s.header, "Upgrade")
					require.NotContains(t, s.header, "Http2-Settings")
				}
			}
		}
	})
}

// --- attempts ---

// The bucket is refilled once a minute: should that happen here, there are still fewer than half of the answers.
func TestAttemptsAreCountedByTheConnectionsAddress(t *testing.T) {
	d := oathkeeperDoor
	for _, flow := range []string{"login", "registration", "recovery", "verification"} {
		t.Run(flow, func(t *testing.T) {
			passed := func(from, target string) (n int) {
				for i := range 5 * attempts {
					client := fmt.Sprintf("203.0.113.%d", i)
					a := d.rawFrom(t, from, head(http.MethodPost, target, "Content-Length", "0", "X-Forwarded-For", client, "X-Real-Ip", client,
						"Forwarded", "for="+client, "True-Client-Ip", client, "X-Envoy-External-Address", client))
					require.Len(t, a, 1)
					if a[0].status == http.StatusOK {
						n++
						continue
					}
					require.Equal(t, http.StatusTooManyRequests, a[0].status)
				}
				return n
			}
			scene(t, allow())
			first := passed("127.0.0.3", "/.ory/self-service/"+flow+"?flow=1")
			require.GreaterOrEqual(t, first, attempts)
			require.LessOrEqual(t, first, 2*attempts)
			require.Len(t, all(kratos), first)
			require.LessOrEqual(t, passed("127.0.0.3", "/.ory//self-service/./"+strings.Replace(flow, "o", "%6f", 1)+"?x"), attempts, "another spelling has no bucket of its own")
			require.GreaterOrEqual(t, passed("127.0.0.4", "/.ory/self-service/"+flow+"?flow=1"), attempts, "another address does")
		})
	}
}
