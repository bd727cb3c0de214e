//go:build door

package door

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const session = "ory_kratos_session=" + canary

// Every request to Hydra, and those that end something there.
var hydraPaths = []string{"/oauth2/auth", "/oauth2/token", "/userinfo", "/.well-known/openid-configuration", "/.well-known/jwks.json"}

func TestTheAPINeverSeesACookie(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		scene(t, allow())
		require.Equal(t, http.StatusOK, d.get(t, "/api/x", "Cookie", session+"; other=1", "cookie", "more=2").status)
		require.NotContains(t, reached(t, api).header, "Cookie")

		scene(t, allow())
		require.Equal(t, http.StatusOK, d.over2(t, http.MethodGet, "/api/x", "cookie", session, "cookie", "other=1").status)
		require.NotContains(t, reached(t, api).header, "Cookie")
	})
	t.Run("also when the gate sets one", func(t *testing.T) {
		scene(t, allow("cookie", session))
		require.Equal(t, http.StatusOK, authzDoor.get(t, "/api/x", "Cookie", session).status)
		require.NotContains(t, reached(t, api).header, "Cookie")
	})
}

func TestTheGateSeesTheSessionCookie(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		scene(t, allow())
		d.get(t, "/api/x", "Cookie", session+"; other=1")
		if d == authzDoor {
			require.Equal(t, []string{session + "; other=1"}, askedOnce(t).headers("cookie"))
			return
		}
		require.Equal(t, []string{session + "; other=1"}, all(oathkeeper)[0].header["Cookie"])
	})
}

func TestTheAPICannotSetACookie(t *testing.T) {
	setsCookies(t, api, session+"; Path=/", "other=1")
	eachDoor(t, func(t *testing.T, d *door) {
		for _, target := range []string{"/api", "/api/x", "/api/x?y=/z"} {
			scene(t, allow())
			a := d.get(t, target)
			require.Equal(t, http.StatusOK, a.status)
			require.NotContains(t, a.header, "Set-Cookie")
		}
	})
}

func TestTheWebAppAndKratosSeeTheSessionCookie(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for target, name := range map[string]string{
			"/": web, "/auth/login": web,
			"/.ory/sessions/whoami": kratos, "/.ory/self-service/settings/browser": kratos,
			"/.ory/self-service/logout": api, // which forwards it to Kratos
			"/oauth2/sessions/logout":   api, // which keeps it from Hydra
		} {
			scene(t, allow())
			require.Equal(t, http.StatusOK, d.get(t, target, "Cookie", "a=1; "+session+"; b=2").status)
			require.Equal(t, []string{"a=1; " + session + "; b=2"}, reached(t, name).header["Cookie"], target)
		}
	})
}

func TestKratosSetsTheSessionCookie(t *testing.T) {
	cookies := []string{session + "; Path=/; HttpOnly; SameSite=Lax", "csrf_token=1; Path=/"}
	setsCookies(t, kratos, cookies...)
	setsCookies(t, api, cookies...)
	eachDoor(t, func(t *testing.T, d *door) {
		for _, target := range []string{"/.ory/self-service/login?flow=1", "/.ory/self-service/logout?token=1"} {
			scene(t, allow())
			require.Equal(t, cookies, d.get(t, target).header["Set-Cookie"])
		}
		scene(t, allow())
		require.Equal(t, cookies, d.send(t, http.MethodPost, "/.ory/self-service/login?flow=1", "Content-Length", "0").header["Set-Cookie"])
	})
}

func TestHydraNeverSeesTheSessionCookie(t *testing.T) {
	for name, row := range map[string]struct {
		sent []string // Cookie headers
		left string
	}{
		"alone":                           {[]string{session}, ""},
		"first":                           {[]string{session + "; a=1; b=2"}, "a=1; b=2"},
		"in the middle":                   {[]string{"a=1; " + session + "; b=2"}, "a=1; b=2"},
		"last":                            {[]string{"a=1; b=2; " + session}, "a=1; b=2"},
		"several times":                   {[]string{session + "; a=1; " + session + "2; b=2; " + session}, "a=1; b=2"},
		"several headers":                 {[]string{"a=1", session, "b=2; " + session + "; c=3", session + "; d=4"}, "a=1; b=2; c=3; d=4"},
		"only in the second header":       {[]string{"a=1", session}, "a=1"},
		"no space":                        {[]string{"a=1;" + session + ";b=2"}, "a=1; b=2"},
		"much space":                      {[]string{"a=1;   \t " + session + "  \t ;   b=2  "}, "a=1; b=2"},
		"a space before the sign":         {[]string{"a=1; ory_kratos_session =" + canary + "; b=2"}, "a=1; b=2"},
		"a tab before the sign":           {[]string{"a=1; ory_kratos_session\t=\t" + canary + "; b=2"}, "a=1; b=2"},
		"a space after the sign":          {[]string{"a=1; ory_kratos_session= " + canary}, "a=1"},
		"a quoted value":                  {[]string{`a="1"; ory_kratos_session="` + canary + `"; b="2"`}, `a="1"; b="2"`},
		"signs in the value":              {[]string{"a=1; " + session + "=x==; b=2"}, "a=1; b=2"},
		"no value":                        {[]string{"a=1; ory_kratos_session; b=2; ory_kratos_session="}, "a=1; b=2"},
		"behind an empty part":            {[]string{"a=1;;;" + session + ";;b=2;"}, "a=1; b=2"},
		"inside quotes, as Go reads them": {[]string{`a="x; ` + session + `; y"; b=2`}, `a="x; y"; b=2`},
		"another cookie's prefix":         {[]string{session + "; ory_kratos_session_x=1; ory_kratos_session.0=2; ory_kratos_session-3=3"}, "ory_kratos_session_x=1; ory_kratos_session.0=2; ory_kratos_session-3=3"},
		"another cookie's suffix":         {[]string{session + "; my_ory_kratos_session=1; x.ory_kratos_session=2"}, "my_ory_kratos_session=1; x.ory_kratos_session=2"},
		"in another cookie's value":       {[]string{"a=ory_kratos_session; b=x=ory_kratos_session=1; " + session}, "a=ory_kratos_session; b=x=ory_kratos_session=1"},
		"another case is another cookie":  {[]string{"Ory_Kratos_Session=1; ORY_KRATOS_SESSION=2; " + session}, "Ory_Kratos_Session=1; ORY_KRATOS_SESSION=2"},
		"with Kratos' CSRF cookie":        {[]string{"csrf_token_0a1b=" + canary + "; a=1; " + session}, "a=1"},
		"none at all":                     {[]string{"ory_hydra_session=1; a=2"}, "ory_hydra_session=1; a=2"},
	} {
		t.Run(name, func(t *testing.T) {
			eachDoor(t, func(t *testing.T, d *door) {
				for _, target := range hydraPaths {
					scene(t, allow())
					var headers, fields []string
					for i, value := range row.sent {
						headers = append(headers, []string{"Cookie", "cookie", "COOKIE"}[i%3], value)
						fields = append(fields, "cookie", value)
					}
					require.Equal(t, http.StatusOK, d.get(t, target, headers...).status)
					require.Equal(t, row.left, strings.Join(reached(t, hydra).header["Cookie"], "; "), target)

					scene(t, allow())
					require.Equal(t, http.StatusOK, d.over2(t, http.MethodGet, target, fields...).status)
					require.Equal(t, row.left, strings.Join(reached(t, hydra).header["Cookie"], "; "), "%s over HTTP/2", target)
				}
			})
		})
	}
	t.Run("HTTP/2 crumbs", func(t *testing.T) {
		scene(t, allow())
		require.Equal(t, http.StatusOK, authzDoor.over2(t, http.MethodGet, "/userinfo", "cookie", "a=1", "cookie", session, "cookie", "b=2", "cookie", session, "cookie", "c=3").status)
		require.Equal(t, []string{"a=1; b=2; c=3"}, reached(t, hydra).header["Cookie"])
	})
}

// What ends a token at Hydra passes through the API, which has no use for the cookie there.
func TestTheSessionCookieDoesNotReachHydraByWayOfTheAPI(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		scene(t, allow())
		require.Equal(t, http.StatusOK, d.get(t, "/oauth2/revoke", "Cookie", "ory_hydra_session=1; "+session, "Authorization", "Basic "+canary).status)
		got := reached(t, api).header
		require.Equal(t, []string{"ory_hydra_session=1"}, got["Cookie"])
		require.Equal(t, []string{"Basic " + canary}, got["Authorization"])
	})
}

func TestHydraSeesItsOwnCookiesAndTheClientsAuthorization(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, target := range hydraPaths {
			scene(t, allow())
			require.Equal(t, http.StatusOK, d.get(t, target, "Authorization", "Basic "+canary,
				"Cookie", "ory_hydra_session=1; "+session+"; ory_hydra_login_csrf_1=2; ory_hydra_consent_csrf_1=3").status)
			got := reached(t, hydra).header
			require.Equal(t, []string{"ory_hydra_session=1; ory_hydra_login_csrf_1=2; ory_hydra_consent_csrf_1=3"}, got["Cookie"])
			require.Equal(t, []string{"Basic " + canary}, got["Authorization"])
		}
	})
}

func TestHydraCannotSetTheSessionCookieButItsOwn(t *testing.T) {
	own := []string{
		"ory_hydra_session=1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly", "ory_hydra_login_csrf_1=a=b; SameSite=Lax",
		"ory_kratos_session_x=1", "my_ory_kratos_session=1", "a=ory_kratos_session", "b=1; Path=/; Comment=ory_kratos_session=1",
	}
	for name, set := range map[string]string{
		"as usual":                "ory_kratos_session=fixed; Path=/",
		"a space before the sign": "ory_kratos_session =fixed; Path=/",
		"a tab before the sign":   "ory_kratos_session\t=fixed",
		"no value":                "ory_kratos_session=; Max-Age=0",
		"no sign":                 "ory_kratos_session; Path=/",
		"a quoted value":          `ory_kratos_session="fixed"`,
		// Browsers store a cookie without a name and send its value alone, which reads as name and value.
		"a cookie without a name":                 "=ory_kratos_session=fixed; Path=/",
		"a cookie without a name, and some space": " = ory_kratos_session=fixed; Path=/",
	} {
		t.Run(name, func(t *testing.T) {
			for _, at := range []int{0, 3, len(own)} {
				cookies := append(append(append([]string{}, own[:at]...), set), own[at:]...)
				setsCookies(t, hydra, cookies...)
				for _, target := range hydraPaths {
					scene(t, allow())
					require.Equal(t, own, authzDoor.get(t, target).header["Set-Cookie"], target)
				}
			}
		})
	}
	t.Run("alone", func(t *testing.T) {
		setsCookies(t, hydra, "ory_kratos_session=fixed", "ory_kratos_session=again")
		scene(t, allow())
		require.NotContains(t, authzDoor.get(t, "/oauth2/auth").header, "Set-Cookie")
	})
	t.Run("HTTP/2", func(t *testing.T) {
		setsCookies(t, hydra, append([]string{"ory_kratos_session=fixed"}, own...)...)
		scene(t, allow())
		require.Equal(t, own, authzDoor.over2(t, http.MethodGet, "/oauth2/auth").header["Set-Cookie"])
	})
	t.Run("by way of the API", func(t *testing.T) {
		setsCookies(t, api, append([]string{"ory_kratos_session=fixed"}, own...)...)
		for _, target := range []string{"/oauth2/revoke", "/oauth2/sessions/logout"} {
			scene(t, allow())
			require.Equal(t, own, authzDoor.get(t, target).header["Set-Cookie"], target)
		}
	})
}

func TestTheWebAppDoesNotSeeTheAuthorization(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for _, target := range []string{"/", "/auth/login", "/apix", "/anything/at/all"} {
			scene(t, allow())
			require.Equal(t, http.StatusOK, d.get(t, target, "Authorization", "Bearer "+canary, "authorization", "Basic "+canary).status)
			require.NotContains(t, reached(t, web).header, "Authorization")
		}
	})
}
