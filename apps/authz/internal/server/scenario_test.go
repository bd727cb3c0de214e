package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	session = `{"id":"s-1","active":true,"authenticator_assurance_level":"aal1","identity":{"id":"u-1","traits":{"email":"ann@example"},
		"verifiable_addresses":[{"value":"ann@example","verified":true},{"value":"other@example","verified":false}]}}`
	secondFactor = `{"error":{"id":"session_aal2_required","code":403}}`
	active       = `{"active":true,"token_use":"access_token","sub":"u-1","client_id":"c-1","scope":"read","aud":["http://public/api"],"ext":{"k":"v"}}`
)

func cookie() []string { return []string{"cookie", "ory_kratos_session=secret-cookie; theme=dark"} }

func bearer(token string) []string { return []string{"authorization", "Bearer " + token} }

func TestPersonWithACookiePasses(t *testing.T) {
	s := newStack(t)
	s.kratos.says(http.StatusOK, session, http.StatusOK)

	p := s.requireAllowed(call{path: "/api/me?q=secret-query", headers: append(cookie(), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")})

	require.Equal(t, "u-1", p.set["x-user-id"])
	require.Equal(t, "ann@example", p.set["x-user-email"])
	require.Equal(t, "theme=dark", p.set["cookie"], "the session cookie stays at the door")
	require.ElementsMatch(t, []string{"x-client-id", "x-scopes"}, p.remove)
	claims := s.identity(p)
	require.Equal(t, "u-1", claims["sub"])
	require.Equal(t, "user", claims["type"])
	require.Equal(t, "session", claims["auth"])

	require.Equal(t, "id-1", s.kratos.headers().Get("X-Request-Id"))
	require.Contains(t, s.kratos.headers().Get("Traceparent"), "0af7651916cd43dd8448eb211c80319c")
	log := s.logs.String()
	for _, want := range []string{`"rule":"api"`, `"handler":"cookie_session"`, `"outcome":"allow"`, `"request_id":"id-1"`, `"trace_id":"0af7651916cd43dd8448eb211c80319c"`} {
		require.Contains(t, log, want)
	}
	require.NotContains(t, log, "secret")
}

func TestExpiredSessionIs401(t *testing.T) {
	s := newStack(t)
	s.kratos.says(http.StatusUnauthorized, "{}", http.StatusOK)
	s.requireDenied(call{path: "/api/me", headers: cookie()}, 401, "unauthenticated")
	out, err := s.ask(call{path: "/api/me", headers: cookie()})
	require.NoError(t, err)
	var challenge string
	for _, h := range out.GetDeniedResponse().GetHeaders() {
		if h.GetHeader().GetKey() == "www-authenticate" {
			challenge = h.GetHeader().GetValue()
		}
	}
	require.Equal(t, "Bearer", challenge)
}

func TestMissingSecondFactorIsStepUp403(t *testing.T) {
	s := newStack(t)
	s.kratos.says(http.StatusForbidden, secondFactor, http.StatusOK)
	body := s.requireDenied(call{path: "/api/me", headers: cookie()}, 403, "step_up_required")
	require.Equal(t, "Complete the second factor to continue.", body["detail"])
}

func TestOutagesAreErrorsAndNeverALogout(t *testing.T) {
	t.Run("kratos answers 500", func(t *testing.T) {
		s := newStack(t)
		s.kratos.says(http.StatusInternalServerError, "{}", http.StatusOK)
		s.requireFailed(call{path: "/api/me", headers: cookie()})
		require.Contains(t, s.get("/metrics"), `authz_upstream_errors_total{reason="unusable",upstream="`+s.kratos.URL+`"} 1`)
	})
	t.Run("kratos answers 401 while it is not ready", func(t *testing.T) {
		s := newStack(t)
		s.kratos.says(http.StatusUnauthorized, "{}", http.StatusServiceUnavailable)
		s.requireFailed(call{path: "/api/me", headers: cookie()})
		require.Contains(t, s.logs.String(), `"outcome":"error"`)
	})
	t.Run("kratos is gone", func(t *testing.T) {
		s := newStack(t)
		s.kratos.Close()
		s.requireFailed(call{path: "/api/me", headers: cookie()})
	})
	t.Run("hydra says inactive while it is not ready", func(t *testing.T) {
		s := newStack(t)
		s.hydra.says(http.StatusOK, `{"active":false}`, http.StatusServiceUnavailable)
		s.requireFailed(call{path: "/api/me", headers: bearer("ory_at_x")})
	})
	t.Run("hydra is gone", func(t *testing.T) {
		s := newStack(t)
		s.hydra.Close()
		s.requireFailed(call{path: "/api/me", headers: bearer("ory_at_x")})
	})
	t.Run("hydra's keys cannot be read", func(t *testing.T) {
		s := newStack(t)
		s.hydra.publish(nil)
		s.requireFailed(call{path: "/api/me", headers: bearer(s.token(nil))})
	})
}

func TestOpaqueTokenIsIntrospected(t *testing.T) {
	s := newStack(t)
	s.hydra.says(http.StatusOK, active, http.StatusOK)

	p := s.requireAllowed(call{path: "/api/me", headers: bearer("ory_at_x")})

	require.Equal(t, "u-1", p.set["x-user-id"])
	require.Equal(t, "c-1", p.set["x-client-id"])
	require.Equal(t, "read", p.set["x-scopes"])
	claims := s.identity(p)
	require.Equal(t, "user", claims["type"], "a user who acts through a client")
	require.Equal(t, "c-1", claims["client_id"])

	s.hydra.says(http.StatusOK, `{"active":false}`, http.StatusOK)
	s.requireDenied(call{path: "/api/me", headers: bearer("ory_at_x")}, 401, "unauthenticated")
}

func TestMachineWithAJWTPasses(t *testing.T) {
	s := newStack(t)
	p := s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(nil))})
	require.NotContains(t, p.set, "x-user-id", "a client is nobody's user")
	require.Contains(t, p.remove, "x-user-id")
	require.Equal(t, "c-1", p.set["x-client-id"])
	require.Equal(t, "read write", p.set["x-scopes"])
	claims := s.identity(p)
	require.Equal(t, "client", claims["type"])
	require.NotEqual(t, s.token(nil), strings.TrimPrefix(p.set["authorization"], "Bearer "), "the client's token stays at the door")
}

func TestBadJWTsAre401(t *testing.T) {
	s := newStack(t)
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "root", "aud": "http://public/api", "exp": 1 << 40})
	none.Header["kid"] = "hydra"
	unsigned, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	unknown := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{})
	unknown.Header["kid"] = "unknown"
	unknownKey, err := unknown.SignedString(s.key.Key)
	require.NoError(t, err)
	for name, token := range map[string]string{
		"another audience": s.token(map[string]any{"aud": "http://public/other"}),
		"ID token":         s.token(map[string]any{"aud": "c-1"}),
		"another issuer":   s.token(map[string]any{"iss": "http://public/"}),
		"expired":          s.token(map[string]any{"exp": 1}),
		"no exp":           s.token(map[string]any{"exp": nil}),
		"alg none":         unsigned,
		"unknown key":      unknownKey,
		"tampered":         s.token(nil) + "x",
	} {
		t.Run(name, func(*testing.T) {
			s.requireDenied(call{path: "/api/me", headers: bearer(token)}, 401, "unauthenticated")
			require.NotContains(t, s.logs.String(), token)
		})
	}
}

func TestNobodyIs401(t *testing.T) {
	newStack(t).requireDenied(call{path: "/api/me"}, 401, "unauthenticated")
}

func TestPublicRuleStripsForgedIdentity(t *testing.T) {
	s := newStack(t)
	p := s.requireAllowed(call{path: "/api/public/health", headers: append(cookie(),
		"x-user-id", "root", "x-user-email", "root@example", "x-client-id", "c", "x-scopes", "all", "authorization", "Bearer forged")})
	require.Equal(t, map[string]string{"cookie": "theme=dark"}, p.set)
	require.ElementsMatch(t, []string{"x-user-id", "x-user-email", "x-client-id", "x-scopes", "authorization"}, p.remove)
}

func TestForgedIdentityIsReplacedOrRemoved(t *testing.T) {
	s := newStack(t)
	p := s.requireAllowed(call{path: "/api/me", headers: append(bearer(s.token(nil)), "x-user-id", "root", "x-client-id", "forged")})
	require.Contains(t, p.remove, "x-user-id")
	require.Equal(t, "c-1", p.set["x-client-id"])
}

func TestRulesThatDoNotFit(t *testing.T) {
	s := newStack(t)
	s.requireDenied(call{path: "/api/me", method: "DELETE"}, 404, "no_rule")
	s.requireDenied(call{path: "/api/twice"}, 500, "rule_error")
	body := s.requireDenied(call{path: "/nothing"}, 404, "")
	require.Equal(t, map[string]any{"error": map[string]any{
		"code": 404.0, "status": "Not Found", "request": "id-1", "message": "The requested resource could not be found",
	}}, body, "outside of the problem prefixes the answer is Oathkeeper's")
	s.requireDenied(call{path: "/unsupported"}, 500, "")
	s.requireDenied(call{path: "/admin"}, 403, "")
}

func TestGRPCClientGetsAGRPCStatus(t *testing.T) {
	out, err := newStack(t).ask(call{path: "/api/me", headers: []string{"content-type", "application/grpc"}})
	require.NoError(t, err)
	headers := map[string]string{}
	for _, h := range out.GetDeniedResponse().GetHeaders() {
		headers[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	require.Equal(t, "16", headers["grpc-status"])
	require.Empty(t, out.GetDeniedResponse().GetBody())
}

func TestPanicLetsNothingPass(t *testing.T) {
	logs := &lines{}
	m := newMetrics()
	log := slog.New(slog.NewJSONHandler(logs, nil))
	out, err := recovering(log, m)(t.Context(), nil, nil, func(context.Context, any) (any, error) { panic("secret") })
	require.Nil(t, out)
	require.Equal(t, codes.Internal, status.Code(err))
	require.Contains(t, logs.String(), "panic")
	require.NotContains(t, logs.String(), `"secret"`)
}

// What a token carries in "ext" or in claims of its issuer's is flattened beside what we know of it. A template
// that asks only for .Extra.identity would take such a token for a session, which needs no scopes.
func TestTokenThatCarriesAnIdentityIsNoSession(t *testing.T) {
	s := newStack(t)
	forged := map[string]any{"id": "u-9", "traits": map[string]any{"email": "a@b.c"}, "verifiable_addresses": []any{map[string]any{"value": "a@b.c", "verified": true}}}
	s.hydra.says(http.StatusOK, marshal(t, map[string]any{
		"active": true, "token_use": "access_token", "sub": "u-1", "client_id": "c-1", "iss": "http://public", "aud": []string{"http://public/api"},
		"ext": map[string]any{"identity": forged},
	}), http.StatusOK)
	for _, token := range []string{"ory_at_x", s.token(map[string]any{"identity": forged, "sub": "u-1"})} {
		passed := s.requireAllowed(call{path: "/api/me", headers: bearer(token)})
		claims := s.identity(passed)
		require.NotEqual(t, "session", claims["auth"])
		require.Equal(t, "c-1", claims["client_id"])
		require.Contains(t, passed.remove, "x-user-email")
	}
}
