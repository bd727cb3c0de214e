//go:build door

package door

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tricks are request targets that two servers could read in two ways.
var tricks = []string{
	"/api/x", "/api/x/", "/api", "/api/", "/api?", "/api/x?", "/api/x?a=b&c=/../d", "/api/x?a=%2e%2e%2f%00", "/api/x?//evil", "/api/x??y",
	"/api/public/../me", "/api/public/./me", "/api/public/..", "/api/public/.", "/api/public/../", "/api/..", "/api/../api/me",
	"/api/../../../api/me", "/../api/me", "/./api/me", "/x/../api/me", "/.ory/../api/me", "/oauth2/auth/../../api/me",
	"/api/public/%2e%2e/me", "/api/public/%2E%2E/me", "/api/public/.%2e/me", "/api/public/%2e./me", "/api/public/%2e/me", "/%2e%2e/api/me",
	"/api/public/%252e%252e/me", "/api/public/%25%32%65/me", "/api/public/%u002e%u002e/me", "/api/public/%c0%ae%c0%ae/me",
	"/api/public/.../me", "/api/public/..%20/me", "/api/public/..%09/me", "/api/public/.. /me", "/api/public/..;/me", "/api/public;/../me",
	"/api/public/..;x=y/me", "/api;/me", "/api/me;x=y", "/api/public/;/../me", "/api/public/%3b/../me",
	"//api/me", "///api/me", "/api//me", "/api///me//", "/api/public//../me", "/api/public/..//me", "//../api/me", "//evil.example/api/me", "/api//evil.example/me",
	"/api/public/..%2fme", "/api/public/..%2Fme", "/api/public%2f..%2fme", "/api%2fme", "/%2fapi/me", "/api/me%2f", "/%2f%2fapi/me",
	"/api/public/..%5cme", "/api/public/..%5Cme", "/api%5cme", `/api/public/..\me`, `/api\me`, `\api\me`, `/api/public\..\me`,
	"/api/x%00", "/api/%00/../me", "/api/x%0a", "/api/x%0d%0aX-User-Id:%20a", "/api/x%20HTTP/1.1", "/api/x%09", "/api/x%7f", "/api/x%23/../me", "/api/x%3f/../me",
	"/api/x#y", "/api/x#/../public", "/api/x?y#z", "#/api/x", "/api/public/health#/../../me",
	"/%61pi/me", "/a%70%69/me", "/api/%6de", "/api/%6De", "/API/me", "/Api/me", "/api/ME", "/api/%4De",
	"/api/x%", "/api/x%2", "/api/x%zz", "/api/x%%32%66", "/api/%", "/api/x%-1", "/api/%c3%a9", "/api/%ff", "/api/%e2%80%ae", "/api/~x", "/api/%7ex",
	"/api/!$&'()*+,;=:@x", "/api/a|b", "/api/a^b", "/api/a`b", "/api/a{b}", "/api/a[b]", `/api/a"b`, "/api/a<b>", "/api/%20", "/api/+", "/api/a+b",
	"/api/.htaccess", "/api/.", "/api/..x", "/api/x..", "/api/.x/..y", "/api/~/../me",
	"http://h/api/me", "http://h//api/me", "http://h/api/public/../me", "http://h/api/public/%2e%2e/me", "http://h/api/x%2fy", "http://h/api/x#y",
	"http://h", "http://h?/api/me", "http://h/../api/me", "HTTP://h/api/me", "http:///api/me", "http:/api/me", "http:api/me", "//h/api/me", "api/me", "*", "", "?/api/me", "/",
	"/api/" + strings.Repeat("a/../", 200) + "me", "/" + strings.Repeat("/", 300) + "api/me", "/api/" + strings.Repeat("%2e%2e/", 100) + "me",
	"/api/\x01", "/api/\x7f", "/api/\t", "/api/\x0b", "/api/\x0c", "/api/\x00x", "/api/caf\xc3\xa9", "/api/\xff", "/api/\xe2\x80\xae", "/api/x?\xff",
}

// gateLines are what the gate was asked about.
func gateLines(d *door) (found []line) {
	if d == oathkeeperDoor {
		for _, one := range lines(oathkeeper) {
			path, inside := strings.CutPrefix(one.target, "/decisions")
			if !inside {
				path = "outside /decisions: " + one.target
			}
			found = append(found, line{path, one.accept})
		}
		return found
	}
	for _, q := range asked() {
		found = append(found, line{q.GetPath(), strings.Join(q.headers("accept"), "")})
	}
	return found
}

func gatePaths(d *door) (paths []string) {
	for _, one := range gateLines(d) {
		paths = append(paths, one.target)
	}
	return paths
}

// The invariant on which every rule stands: what reaches the API is what the gate was asked about, byte by byte
// (CVE-2026-33494, CVE-2026-26205, CVE-2026-42274, GO-2026-4742, CVE-2021-32779, CVE-2026-73553).
func TestThePathThatTheGateIsAskedAboutIsThePathThatTheAPIGets(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, trick := range tricks {
			t.Run(fmt.Sprintf("%.60q", trick), func(t *testing.T) {
				scene(t, allow())
				a := d.raw(t, "GET "+trick+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
				require.Len(t, a, 1)
				require.LessOrEqual(t, begun(), 1, "one request became several")
				requireSamePath(t, a[0], gateLines(d), lines(api))
			})
		}
		t.Run("HTTP/2", func(t *testing.T) {
			scene(t, allow())
			var requests [][]string
			for i, trick := range tricks {
				requests = append(requests, fields(http.MethodGet, trick, "accept", fmt.Sprint("trick/", i)))
			}
			found := d.h2Together(t, "", requests)
			atGate, atAPI := gateLines(d), lines(api)
			for i, trick := range tricks {
				t.Run(fmt.Sprintf("%.60q", trick), func(t *testing.T) {
					requireSamePath(t, found[i], with(atGate, fmt.Sprint("trick/", i)), with(atAPI, fmt.Sprint("trick/", i)))
				})
			}
			require.Empty(t, with(atAPI, ""), "requests that nobody sent")
		})
	})
}

func with(all []line, accept string) (found []line) {
	for _, one := range all {
		if one.accept == accept {
			found = append(found, one)
		}
	}
	return found
}

func requireSamePath(t *testing.T, a answer, atGate, atAPI []line) {
	t.Helper()
	for _, u := range backends() {
		for _, target := range targets(u.name) {
			require.True(t, u.name == api || !isAPI(target), "%s got %s undecided", u.name, target)
		}
	}
	require.LessOrEqual(t, len(atAPI), 1, "one request became several")
	if len(atAPI) == 0 {
		// It was refused, or went to the web app.
		require.Contains(t, []int{0, http.StatusOK, http.StatusBadRequest, http.StatusNotFound}, a.status, a.body)
		if a.status != http.StatusBadRequest { // then the gate could not read it
			require.Empty(t, atGate)
		}
		return
	}
	require.Equal(t, atGate, atAPI, "the gate was asked about another path")
	path, _, _ := strings.Cut(atAPI[0].target, "?")
	require.True(t, isAPI(path), path)
	require.NotContains(t, path, "//")
	require.NotContains(t, path, `\`)
	require.NotContains(t, atAPI[0].target, "#")
	for segment := range strings.SplitSeq(strings.ToLower(path), "/") {
		require.NotContains(t, []string{".", ".."}, strings.ReplaceAll(segment, "%2e", "."), path)
		require.NotContains(t, segment, "%2f")
		require.NotContains(t, segment, "%5c")
		require.NotContains(t, segment, "%00")
	}
}

func isAPI(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	return path == "/api" || strings.HasPrefix(path, "/api/")
}

// No path to another upstream may be one that this upstream reads as a path that is not its own.
func TestTricksDoNotLeaveAnUpstreamsOwnPaths(t *testing.T) {
	for _, prefix := range []string{"/.ory/self-service", "/.ory/sessions", "/.ory/schemas", "/.ory/.well-known/ory", "/oauth2/auth", "/oauth2/token", "/userinfo"} {
		for _, trick := range []string{
			"/../../admin/identities", "/..%2f..%2fadmin/identities", "/%2e%2e/%2e%2e/admin/identities", "/..;/..;/admin/identities", `\..\..\admin`,
			"/..%5c..%5cadmin", "//../..//admin/identities", "/%2e%2e%2fadmin", "/../health/ready", "%2f..%2f..%2fmetrics", "/./../../metrics/prometheus", "%00/../admin", "#/../admin",
		} {
			scene(t, allow())
			authzDoor.get(t, prefix+trick)
			for _, target := range targets(kratos) {
				path, _, _ := strings.Cut(target, "?")
				require.NotContains(t, strings.ToLower(path), "%2f", trick)
				require.NotContains(t, strings.ToLower(path), "%5c", trick)
				require.NotContains(t, path, `\`, trick)
				require.NotContains(t, path+"/", "/../", trick)
				require.Regexp(t, `^/(self-service|sessions|schemas|\.well-known/ory)(/|$)`, path)
			}
			for _, target := range targets(hydra) {
				path, _, _ := strings.Cut(target, "?")
				require.Contains(t, []string{"/oauth2/auth", "/oauth2/token", "/userinfo", "/.well-known/openid-configuration", "/.well-known/jwks.json"}, path, trick)
			}
		}
	}
}

// X-Forwarded-Uri and its relatives said to other gates that another path was asked for (CVE-2026-40575,
// CVE-2026-76835, CVE-2023-27487).
func TestNoHeaderChangesThePathThatIsDecided(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, name := range []string{"X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Envoy-Original-Path", "X-Envoy-Original-Url", "Path", ":path", "Destination"} {
			scene(t, allow())
			a := d.get(t, "/api/me", name, "/api/public/health")
			if a.status == http.StatusBadRequest {
				requireNothingReached(t)
				continue
			}
			require.Equal(t, []string{"/api/me"}, gatePaths(d), name)
			require.Equal(t, []string{"/api/me"}, targets(api), name)
		}
	})
}
