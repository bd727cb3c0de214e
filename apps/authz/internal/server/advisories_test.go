package server

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
)

// Each test is named after an advisory on Oathkeeper or a peer and shows that it does not concern us.

func TestCVE_2026_33494_PathTraversalReachesNoOtherRule(t *testing.T) {
	s := newStack(t)
	for _, path := range []string{
		"/api/public/../me", "/api/public/%2e%2e/me", "/api/public/..%2fme", "/api/public/%2E%2E%2Fme", "/api/public/./x",
		`/api/public/..\me`, "/api/public/..%5cme", "/api/public/..;/me",
	} {
		s.requireDenied(call{path: path}, 400, "invalid_request")
	}
}

func TestCVE_2026_33495_SchemeOfTheClientIsIgnored(t *testing.T) {
	s := newStack(t) // ask sends :scheme https
	s.requireDenied(call{path: "/secure", proto: "http"}, 404, "")
	s.requireAllowed(call{path: "/secure", proto: "https"})
	s.requireDenied(call{path: "/secure", proto: "http", headers: []string{"x-forwarded-proto", "https"}}, 400, "")
}

func TestCVE_2026_33496_AnswersOfOneIntrospectionServerAreNotUsedForAnother(t *testing.T) {
	t.Log("nothing is cached: see TestOpaqueTokenIsIntrospected, where a second request sees the token inactive")
	s := newStack(t)
	s.hydra.says(http.StatusOK, active, http.StatusOK)
	s.requireAllowed(call{path: "/api/me", headers: bearer("ory_at_x")})
	s.hydra.says(http.StatusOK, `{"active":false}`, http.StatusOK)
	s.requireDenied(call{path: "/api/me", headers: bearer("ory_at_x")}, 401, "unauthenticated")
}

func TestGO_2023_1747_ConnectionHeaderCannotDropIdentity(t *testing.T) {
	s := newStack(t)
	for _, value := range []string{"x-user-id", "close, X-USER-ID", "authorization"} {
		s.requireDenied(call{path: "/api/public/x", headers: []string{"connection", value}}, 400, "invalid_request")
	}
}

func TestCVE_2026_26205_TwoSlashesAreNoHost(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "//admin"}, 400, "")
	s.requireDenied(call{path: "//internal.example/api/public/x"}, 400, "")
	s.requireDenied(call{path: "/api//public/x"}, 400, "invalid_request")
}

func TestGHSA_7774_7vr3_cc8j_HostCaseChangesNothing(t *testing.T) { // also heimdall GHSA-72h4-mxfc-jx37
	s := newStack(t)
	for _, host := range []string{"internal.example", "INTERNAL.example", "Internal.Example"} {
		s.requireDenied(call{host: host, path: "/host"}, 403, "")
	}
}

func TestCVE_2026_57209_HostCannotBringAPath(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{host: "h/api/public", path: "/x"}, 400, "")
	s.requireDenied(call{host: "h@x", path: "/api/public/x"}, 400, "invalid_request")
}

func TestCVE_2025_54576_QueryMatchesNoRule(t *testing.T) { // also GO-2026-4742
	s := newStack(t)
	s.requireDenied(call{path: "/api/me?x=/api/public/health"}, 401, "unauthenticated")
	s.requireDenied(call{path: "/?http://h/api/public/health"}, 404, "")
}

func TestCVE_2026_76835_ForwardedRequestHeadersAreIgnored(t *testing.T) {
	s := newStack(t)
	forged := []string{
		"x-forwarded-uri", "/api/public/health", "x-forwarded-method", "GET", "x-forwarded-host", "h", "x-original-url", "/api/public/health",
		"x-forwarded-prefix", "/api/public", "x-envoy-original-path", "/api/public/health",
	}
	s.requireDenied(call{path: "/api/me", headers: forged}, 401, "unauthenticated")
	s.requireDenied(call{path: "/admin", headers: forged}, 403, "")
}

func TestCVE_2021_32777_TwoCredentialsAreRefused(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/api/me", headers: append(bearer(s.token(nil)), "authorization", "Bearer other")}, 401, "unauthenticated")
}

func TestCVE_2023_27488_BytesThatAreNotUTF8AreNoWayAround(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/api/me", headers: []string{"x-any", "\xff\xfe"}}, 401, "unauthenticated")
	s.requireDenied(call{path: "/api/me", headers: []string{"x-request-id2", "\xff", "authorization", "Bearer \xff.\xff.\xff"}}, 401, "unauthenticated")
}

func TestEncodedLettersHideNoPath(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/%61dmin"}, 400, "")
	s.requireDenied(call{path: "/api/%70ublic/x"}, 400, "invalid_request")
}

func TestOKAndDeniedAreNeverMixed(t *testing.T) {
	s := newStack(t)
	for _, c := range []call{
		{path: "/api/me"}, {path: "/nothing"}, {path: "/admin"}, {path: "/api/twice"}, {path: "//x"}, {path: "/unsupported"}, {path: "/api/public/x"},
	} {
		out, err := s.ask(c)
		require.NoError(t, err)
		if out.GetStatus().GetCode() == 0 {
			require.Nil(t, out.GetDeniedResponse())
			require.NotNil(t, out.GetOkResponse())
		} else {
			require.Nil(t, out.GetOkResponse())
			require.NotNil(t, out.GetDeniedResponse())
		}
	}
	require.Equal(t, engine.Failed, engine.Decision{}.Outcome)
}
