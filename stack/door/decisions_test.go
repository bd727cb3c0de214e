//go:build door

package door

import (
	"context"
	"net/http"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

const refusal = `{"type":"urn:gatehouse:problem:step_up_required","code":"step_up_required","status":403,"detail":"the gate's own words"}`

func TestARefusalIsInTheGatesOwnWords(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 409, 429, 451} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			scene(t, deny(status, refusal, "content-type", "application/problem+json", "www-authenticate", `Bearer realm="gatehouse"`, "retry-after", "7"))
			a := authzDoor.get(t, "/api/me")
			require.Equal(t, status, a.status)
			require.Equal(t, refusal, a.body)
			require.Equal(t, []string{"application/problem+json"}, a.header["Content-Type"])
			require.Equal(t, []string{`Bearer realm="gatehouse"`}, a.header["Www-Authenticate"])
			require.Equal(t, []string{"7"}, a.header["Retry-After"])
			require.NotEmpty(t, a.header.Get("X-Request-Id"))
			requireNothingReached(t)
		})
	}
}

func TestARefusalHoldsOverHTTP2AndForEveryBody(t *testing.T) {
	scene(t, deny(http.StatusForbidden, refusal, "content-type", "application/problem+json"))
	a := authzDoor.over2(t, http.MethodGet, "/api/me")
	require.Equal(t, http.StatusForbidden, a.status)
	require.Equal(t, refusal, a.body)
	requireNothingReached(t)

	for name, request := range map[string]string{
		"a body":          "POST /api/me HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		"a chunked body":  "POST /api/me HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"a body promised": "POST /api/me HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, deny(http.StatusForbidden, refusal))
			for _, a := range authzDoor.raw(t, request) {
				if a.status != http.StatusContinue {
					require.Equal(t, http.StatusForbidden, a.status)
				}
			}
			requireNothingReached(t)
		})
	}
}

func TestARefusalCannotBeMadeAPassByItsStatus(t *testing.T) {
	for _, status := range []int{200, 204, 302} {
		scene(t, deny(status, "", "location", "/auth/login"))
		a := authzDoor.get(t, "/api/me")
		require.Equal(t, status, a.status)
		requireNothingReached(t)
	}
	t.Run("a refusal without an answer for the client", func(t *testing.T) {
		scene(t, always(&authv3.CheckResponse{Status: &rpc.Status{Code: int32(codes.PermissionDenied)}}, nil))
		require.Equal(t, http.StatusForbidden, authzDoor.get(t, "/api/me").status)
		requireNothingReached(t)
	})
	t.Run("a refusal that also says pass", func(t *testing.T) {
		scene(t, always(&authv3.CheckResponse{
			Status:       &rpc.Status{Code: int32(codes.Unauthenticated)},
			HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
		}, nil))
		require.GreaterOrEqual(t, authzDoor.get(t, "/api/me").status, 400)
		requireNothingReached(t)
	})
}

// This is Envoy's, and dangerous: the code of the status alone decides, and no status at all is code 0. authz has a
// test of its own that nothing but a pass has that code. Where this test fails one day, Envoy has become safer.
func TestOnlyTheCodeOfTheStatusDecides(t *testing.T) {
	for name, response := range map[string]*authv3.CheckResponse{
		"OK with a refusal in it": {Status: &rpc.Status{}, HttpResponse: denied(http.StatusForbidden, refusal)},
		"OK with nothing":         {Status: &rpc.Status{}},
		"an empty answer":         {},
		"no answer and no error":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, always(response, nil))
			a := authzDoor.get(t, "/api/me", "X-User-Id", forged, "Cookie", session)
			require.Equal(t, http.StatusOK, a.status)
			require.NotContains(t, reached(t, api).header, "Cookie")
			requireNoForgery(t)
		})
	}
}

func TestAGateThatDoesNotAnswerIsAnOutageAndNeverAPass(t *testing.T) {
	for name, answer := range map[string]decision{
		"unavailable": fail(codes.Unavailable), "internal": fail(codes.Internal), "unknown": fail(codes.Unknown),
		"permission denied as an error": fail(codes.PermissionDenied), "unauthenticated as an error": fail(codes.Unauthenticated),
		"unimplemented": fail(codes.Unimplemented), "exhausted": fail(codes.ResourceExhausted), "cancelled": fail(codes.Canceled),
		"it hangs": hang, "it dies": crash,
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, answer)
			a := authzDoor.get(t, "/api/me", "Authorization", "Bearer "+canary)
			requireProblem(t, a, http.StatusServiceUnavailable, "unavailable")
			requireNothingReached(t)

			scene(t, allow())
			require.Equal(t, http.StatusOK, authzDoor.get(t, "/api/me").status, "and when it answers again, so does the door")
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		scene(t, fail(codes.Internal))
		requireProblem(t, authzDoor.over2(t, http.MethodGet, "/api/me"), http.StatusServiceUnavailable, "unavailable")
		requireNothingReached(t)
	})
}

// The gate may have been started anew since the door last spoke to it.
func TestAConnectionToTheGateThatBreaksIsTriedOnceMore(t *testing.T) {
	broken := false
	scene(t, func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		if broken {
			return deny(http.StatusUnauthorized, refusal)(ctx, in)
		}
		broken = true
		return crash(ctx, in)
	})
	require.Equal(t, http.StatusUnauthorized, authzDoor.get(t, "/api/me").status)
	require.Len(t, asked(), 2)
	requireNothingReached(t)
}

// Whatever answers an error says of the gate's inside stays inside.
func TestAnOutageTellsNothingAboutTheGate(t *testing.T) {
	scene(t, fail(codes.Internal))
	a := authzDoor.get(t, "/api/me")
	require.NotContains(t, a.body, "out of order")
	for name, values := range a.header {
		require.NotContains(t, strings.Join(values, ""), "out of order", name)
	}
}

func TestTheGateCannotTurnTheRequestIntoAnother(t *testing.T) {
	for name, value := range map[string]string{
		":path": "/api/public/health", ":method": "GET", ":authority": "evil.example", ":scheme": "https", "host": "evil.example",
		"x-envoy-original-path": "/x", "x-user-id": "alice\r\nX-Client-Id: b", "x bad": "a", "x-user-email": "a\x00b",
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, allow(name, value))
			a := authzDoor.send(t, http.MethodPost, "/api/me", "Content-Length", "0")
			requireProblem(t, a, http.StatusInternalServerError, "internal")
			requireNothingReached(t)
		})
	}
	t.Run("by taking away", func(t *testing.T) {
		for _, name := range []string{":path", ":method", "host", ":authority"} {
			scene(t, allowWithout([]string{name}))
			a := authzDoor.get(t, "/api/me")
			if a.status == http.StatusOK {
				got := reached(t, api)
				require.Equal(t, []string{"GET", "/api/me", "localhost:8080"}, []string{got.method, got.target, got.host})
				continue
			}
			require.Equal(t, http.StatusInternalServerError, a.status)
			requireNothingReached(t)
		}
	})
}

func TestRefusalsThatTheDoorMakesItselfAreProblems(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		t.Run("an escaped slash", func(t *testing.T) {
			scene(t, allow())
			requireEarlyProblem(t, d.get(t, "/api/x%2fy"), http.StatusBadRequest, "invalid_request")
		})
		t.Run("an underscore", func(t *testing.T) {
			scene(t, allow())
			requireEarlyProblem(t, d.get(t, "/api/x", "X_User_Id", "a"), http.StatusBadRequest, "invalid_request")
		})
		t.Run("both framings", func(t *testing.T) {
			scene(t, allow())
			requireEarlyProblem(t, d.send(t, http.MethodPost, "/api/x", "Content-Length", "0", "Transfer-Encoding", "chunked"), http.StatusBadRequest, "invalid_request")
		})
		t.Run("headers that are too large", func(t *testing.T) {
			scene(t, allow())
			requireEarlyProblem(t, d.get(t, "/api/x", "X-Large", strings.Repeat("a", 70<<10)), http.StatusRequestHeaderFieldsTooLarge, "too_large")
		})
		t.Run("a websocket", func(t *testing.T) {
			scene(t, allow())
			a := d.raw(t, strings.Replace(upgrade("/api/x", "websocket"), "Connection: Upgrade", "Connection: Upgrade, close", 1))
			requireProblem(t, a[0], http.StatusForbidden, "forbidden")
		})
		t.Run("an API that breaks off", func(t *testing.T) {
			answers(t, api, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			scene(t, allow())
			requireProblem(t, d.get(t, "/api/x"), http.StatusServiceUnavailable, "unavailable")
		})
		t.Run("an API that talks nonsense", func(t *testing.T) {
			answers(t, api, func(w http.ResponseWriter, _ *http.Request) {
				connection, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, _ = connection.Write([]byte("nonsense\r\n\r\n"))
					_ = connection.Close()
				}
			})
			scene(t, allow())
			requireProblem(t, d.get(t, "/api/x"), http.StatusBadGateway, "unavailable")
		})
	})
	t.Run("but the API's own answers are its own", func(t *testing.T) {
		for _, status := range []int{400, 401, 403, 404, 429, 500, 502, 503, 504} {
			answers(t, api, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(refusal))
			})
			scene(t, allow())
			a := authzDoor.get(t, "/api/x")
			require.Equal(t, status, a.status)
			require.Equal(t, refusal, a.body)
		}
	})
	t.Run("and elsewhere nothing pretends to be the API's", func(t *testing.T) {
		for _, target := range []string{"/x%2fy", "/.ory/x%2fy", "/oauth2/introspect", "/x?y=/api/z%2f", "/apix%2f"} {
			scene(t, allow())
			a := authzDoor.get(t, target)
			require.NotEqual(t, "application/problem+json", a.header.Get("Content-Type"), target)
		}
	})
}

func TestADecisionIsForOneRequestOnly(t *testing.T) {
	scene(t, func(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		if strings.HasPrefix(in.GetAttributes().GetRequest().GetHttp().GetPath(), "/api/public") {
			return allow("x-user-id", "alice")(context.Background(), in)
		}
		return deny(http.StatusUnauthorized, refusal)(context.Background(), in)
	})
	request := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }
	a := authzDoor.raw(t, request("/api/public/1")+request("/api/me")+request("/api/public/2")+head(http.MethodGet, "/api/me"))
	require.Len(t, a, 4)
	require.Equal(t, []int{200, 401, 200, 401}, []int{a[0].status, a[1].status, a[2].status, a[3].status})
	require.Equal(t, []string{"/api/public/1", "/api/public/2"}, targets(api))
	require.Len(t, asked(), 4)
}
