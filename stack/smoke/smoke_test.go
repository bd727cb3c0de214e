//go:build smoke

package smoke

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/stack/internal/opl"
)

// --- the three main jobs ---

func TestAnyoneCanAskForPublicHealth(t *testing.T) {
	for _, headers := range [][]string{nil, {"Authorization", "Bearer garbage"}, {"Cookie", "ory_kratos_session=garbage"}} {
		require.Equal(t, http.StatusOK, get(t, "/api/public/health", headers...).status)
	}
}

func TestAPersonRegistersLogsInAndSeesWhoTheyAre(t *testing.T) {
	p := newPerson(t)
	p.register(t)
	who := p.me(t).identity(t)
	require.Equal(t, "user", who.Type)
	require.Equal(t, p.email, who.Email)
	require.Equal(t, "Smoke Test", who.Name)
	require.NoError(t, uuid.Validate(who.ID))
	require.Empty(t, who.ClientID)

	p.client = browser(t)
	requireProblem(t, p.me(t), http.StatusUnauthorized, "unauthenticated")
	p.logIn(t)
	require.Equal(t, who.ID, p.me(t).identity(t).ID)
}

func TestTheDemoPersonLogsIn(t *testing.T) {
	p := &person{email: demo.email, password: demo.password, client: browser(t)}
	p.logIn(t)
	require.Equal(t, demo.email, p.me(t).identity(t).Email)
}

func TestAMachineCallsTheAPIWithAnOpaqueToken(t *testing.T) {
	token := demoClient().machine(t, url.Values{"audience": {audience()}, "scope": {"demo"}})
	require.True(t, strings.HasPrefix(token, "ory_at_"))
	who := get(t, "/api/me", "Authorization", "Bearer "+token).identity(t)
	require.Equal(t, identity{Type: "client", ID: demo.clientID, Scopes: []string{"demo"}}, who)
}

func TestAMachineCallsTheAPIWithAJWT(t *testing.T) {
	c := newClient(t, map[string]any{"grant_types": []string{"client_credentials"}, "scope": "one two", "audience": []string{audience()}, "access_token_strategy": "jwt"})
	token := c.machine(t, url.Values{"audience": {audience()}, "scope": {"one two"}})
	require.Equal(t, 2, strings.Count(token, "."))
	who := get(t, "/api/me", "Authorization", "Bearer "+token).identity(t)
	require.Equal(t, identity{Type: "client", ID: c.id, Scopes: []string{"one", "two"}}, who)
}

func TestAuthorizationCodeWithPKCE(t *testing.T) {
	p := signedIn(t)
	person := p.me(t).identity(t)
	verifier := rand.Text() + rand.Text()
	code := p.authorize(t, demoClient(), "openid offline_access demo", verifier)
	got := demoClient().exchange(t, code, verifier)

	who := get(t, "/api/me", "Authorization", "Bearer "+got.Access).identity(t)
	require.Equal(t, "user", who.Type)
	require.Equal(t, person.ID, who.ID)
	require.Equal(t, demo.clientID, who.ClientID)
	require.ElementsMatch(t, []string{"openid", "offline_access", "demo"}, who.Scopes)

	t.Run("the ID token and the refresh token are no access tokens", func(t *testing.T) {
		for _, token := range []string{got.ID, got.Refresh} {
			a := get(t, "/api/me", "Authorization", "Bearer "+token)
			require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, a.status, string(a.body))
			if gate == "authz" {
				require.Equal(t, http.StatusUnauthorized, a.status)
			}
		}
	})
}

// --- mail and pages stay on the public origin ---

func TestMailLinksLeadToThePublicOrigin(t *testing.T) {
	p := signedIn(t)
	var text string
	require.Eventually(t, func() bool {
		found := send(t, plain, request(t, http.MethodGet, running.mail(t)+"/api/v1/search?query="+url.QueryEscape("to:"+p.email), nil))
		var list struct {
			Messages []struct{ ID string } `json:"messages"`
		}
		if json.Unmarshal(found.body, &list) != nil || len(list.Messages) == 0 {
			return false
		}
		message := send(t, plain, request(t, http.MethodGet, running.mail(t)+"/api/v1/message/"+list.Messages[0].ID, nil))
		var content struct{ Text string }
		if json.Unmarshal(message.body, &content) != nil {
			return false
		}
		text = content.Text
		return true
	}, 30*time.Second, 200*time.Millisecond, "no mail for %s", p.email)
	links := regexp.MustCompile(`https?://\S+`).FindAllString(text, -1)
	for _, link := range links {
		require.True(t, strings.HasPrefix(link, demo.publicURL+"/"), link)
	}
	require.Regexp(t, `\b\d{6}\b`, text, "the verification code")
}

func TestDiscoveryNamesThePublicOriginOnly(t *testing.T) {
	a := get(t, "/.well-known/openid-configuration")
	require.Equal(t, http.StatusOK, a.status)
	var document map[string]any
	require.NoError(t, json.Unmarshal(a.body, &document))
	require.Equal(t, demo.publicURL, document["issuer"])
	for name, value := range document {
		if text, isText := value.(string); isText && strings.HasPrefix(text, "http") {
			require.True(t, strings.HasPrefix(text, demo.publicURL), "%s: %s", name, text)
		}
	}
}

func TestThePublicKeysOfTheIdentityTokenHoldNoPrivatePart(t *testing.T) {
	a := get(t, "/.well-known/gatehouse/jwks.json")
	require.Equal(t, http.StatusOK, a.status)
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(a.body, &set))
	require.NotEmpty(t, set.Keys)
	for _, key := range set.Keys {
		require.NotContains(t, key, "d")
		require.Equal(t, "ES256", key["alg"])
	}
}

func TestTheWebAppServesItsPages(t *testing.T) {
	require.Equal(t, http.StatusOK, get(t, "/").status)
	a := get(t, "/auth/login")
	require.Equal(t, demo.publicURL+"/.ory/self-service/login/browser", strings.SplitN(a.header.Get("Location"), "?", 2)[0])
}

// --- attacks ---

// Headers by which somebody could claim to be somebody else, in the spellings that servers take for the same.
var identityHeaders = []string{
	"X-User-Id", "x-user-id", "X-USER-ID", "X-User-Email", "X-User-Roles", "X-Client-Id", "X-Scopes", "X-Subject-Id", "X-Auth-User",
	"X-Forwarded-User", "X-Original-User", "X-Authenticated-Userid",
}

func TestAForgedIdentityHeaderMakesNobody(t *testing.T) {
	victim := signedIn(t).me(t).identity(t)
	for _, header := range identityHeaders {
		requireProblem(t, get(t, "/api/me", header, victim.ID), http.StatusUnauthorized, "unauthenticated")
	}
	token := demoClient().machine(t, url.Values{"audience": {audience()}})
	for _, header := range identityHeaders {
		who := get(t, "/api/me", header, victim.ID, "Authorization", "Bearer "+token).identity(t)
		require.Equal(t, "client", who.Type, header)
		require.Equal(t, demo.clientID, who.ID, header)
	}
	t.Run("an underscore for a dash is refused", func(t *testing.T) {
		a := raw(t, "GET /api/me HTTP/1.1\r\nHost: %HOST%\r\nX_User_Id: "+victim.ID+"\r\nConnection: close\r\n\r\n")
		require.Equal(t, http.StatusBadRequest, a.status)
	})
	t.Run("a hop-by-hop header does not take ours away", func(t *testing.T) {
		a := get(t, "/api/me", "Connection", "authorization, x-user-id", "Authorization", "Bearer "+token)
		require.Contains(t, []int{http.StatusOK, http.StatusUnauthorized, http.StatusBadRequest}, a.status)
		if a.status == http.StatusOK {
			require.Equal(t, demo.clientID, a.identity(t).ID)
		}
	})
}

func TestHeadersThatNameAnotherRequestAreIgnored(t *testing.T) {
	for _, headers := range [][]string{
		{"X-Forwarded-Uri", "/api/public/health", "X-Forwarded-Method", "GET"},
		{"X-Original-Url", "/api/public/health"},
		{"X-Rewrite-Url", "/api/public/health"},
		{"X-Forwarded-Prefix", "/api/public"},
		{"X-Envoy-Original-Path", "/api/public/health"},
		{"X-Forwarded-Host", "evil.example"},
		{"X-Forwarded-Proto", "https"},
	} {
		requireProblem(t, get(t, "/api/me", headers...), http.StatusUnauthorized, "unauthenticated")
	}
}

func TestTheAPIItselfBelievesNoHeader(t *testing.T) {
	victim := signedIn(t).me(t).identity(t)
	for _, header := range append([]string{"X-User-Id", "X-Client-Id"}, identityHeaders[:1]...) {
		a := read(t, running.inside(t, "api", request(t, http.MethodGet, "/api/me", nil, header, victim.ID, "X-User-Email", victim.Email)))
		requireProblem(t, a, http.StatusUnauthorized, "unauthenticated")
	}
}

func TestTheAPIBelievesOnlyAnIdentityTokenMintedForIt(t *testing.T) {
	ask := func(token string) answer {
		return read(t, running.inside(t, "api", request(t, http.MethodGet, "/api/me", nil, "Authorization", "Bearer "+token)))
	}
	require.Equal(t, "a-client", ask(mint(t, nil)).identity(t).ID, "the control: this one is right")
	for name, claims := range map[string]map[string]any{
		"another backend": {"aud": []string{"another-backend"}},
		"no audience":     {"aud": nil},
		"another issuer":  {"iss": "https://elsewhere.example"},
		"expired":         {"exp": time.Now().Add(-10 * time.Minute).Unix()},
		"never expires":   {"exp": nil},
		"not yet valid":   {"nbf": time.Now().Add(10 * time.Minute).Unix()},
	} {
		t.Run(name, func(t *testing.T) {
			requireProblem(t, ask(mint(t, claims)), http.StatusUnauthorized, "unauthenticated")
		})
	}
	t.Run("and the door takes none", func(t *testing.T) {
		requireProblem(t, get(t, "/api/me", "Authorization", "Bearer "+mint(t, nil)), http.StatusUnauthorized, "unauthenticated")
	})
}

func TestTokensThatAreNoAccessTokensForTheAPIAreRefused(t *testing.T) {
	other := newClient(t, map[string]any{"grant_types": []string{"client_credentials"}, "audience": []string{"https://other.example"}, "access_token_strategy": "jwt"})
	opaqueOther := newClient(t, map[string]any{"grant_types": []string{"client_credentials"}, "audience": []string{"https://other.example"}})
	for name, token := range map[string]string{
		"garbage":                 "garbage",
		"garbage of three parts":  "a.b.c",
		"an unknown opaque token": "ory_at_" + rand.Text() + "." + rand.Text(),
		"no audience":             demoClient().machine(t, url.Values{}),
		"another audience":        opaqueOther.machine(t, url.Values{"audience": {"https://other.example"}}),
		"another audience, JWT":   other.machine(t, url.Values{"audience": {"https://other.example"}}),
		"no audience, JWT":        other.machine(t, url.Values{}),
		"an unsigned JWT":         "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
	} {
		t.Run(name, func(t *testing.T) {
			a := get(t, "/api/me", "Authorization", "Bearer "+token)
			if gate == "oathkeeper" && a.status == http.StatusForbidden {
				// Oathkeeper answers 403 where a valid opaque token has another audience.
				requireProblem(t, a, http.StatusForbidden, "forbidden")
				return
			}
			requireProblem(t, a, http.StatusUnauthorized, "unauthenticated")
		})
	}
}

func TestATokenThatIsPresentMustBeValidEvenBesideAGoodCookie(t *testing.T) {
	p := signedIn(t)
	requireProblem(t, p.me(t, "Authorization", "Bearer garbage"), http.StatusUnauthorized, "unauthenticated")
}

func TestPathTricksGetTheAnswerOfTheNormalisedPathOrAreRefused(t *testing.T) {
	for path, normalised := range map[string]string{
		"/api/public/../me":           "/api/me",
		"/api/public/%2e%2e/me":       "/api/me",
		"/api/public/.%2e/me":         "/api/me",
		"/api/public/..%2fme":         "",
		"/api/public/%2e%2e%2fme":     "",
		"/api/public%2f..%2fme":       "",
		"/api/public/..%5cme":         "",
		"/api/public/..;/me":          "/api/public/..;/me",
		"/api/public//../me":          "/api/public/me", // RFC 3986 takes the empty segment away
		"//api/me":                    "/api/me",
		"/api//me":                    "/api/me",
		"/api/./me":                   "/api/me",
		"/api/public/%252e%252e/me":   "/api/public/%252e%252e/me",
		"/api/me/../public/health":    "/api/public/health",
		"/api/public/health/../../me": "/api/me",
		"/web/../api/me":              "/api/me",
		"/api/public\\..\\me":         "/api/me",
		"/api/me#/../public/health":   "",
		"/api/public/%00/../me":       "",
		"/.ory/../api/me":             "/api/me",
		"/oauth2/auth/../../api/me":   "/api/me",
		"/api/me?/../public/health":   "/api/me",
		"/api/public/health;/../me":   "/api/public/me",
	} {
		t.Run(path, func(t *testing.T) {
			a := raw(t, "GET "+path+" HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n")
			if a.status == http.StatusBadRequest {
				return
			}
			require.NotEmpty(t, normalised, "must be refused, got %d", a.status)
			expected := raw(t, "GET "+normalised+" HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n")
			require.Equal(t, expected.status, a.status)
		})
	}
}

// raw sends bytes that no HTTP client would write.
func raw(t *testing.T, text string) answer {
	t.Helper()
	u, err := url.Parse(demo.publicURL)
	require.NoError(t, err)
	var dialer net.Dialer
	connection, err := dialer.DialContext(t.Context(), "tcp", u.Host)
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	_, err = connection.Write([]byte(strings.ReplaceAll(text, "%HOST%", u.Host)))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	return read(t, response)
}

func TestRefusalsBeforeADecisionAreProblemsToo(t *testing.T) {
	requireProblem(t, raw(t, "GET /api/me%2fx HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n"), http.StatusBadRequest, "invalid_request")
	requireProblem(t, get(t, "/api/nothing-here"), http.StatusNotFound, "no_rule")
}

func TestNothingElseOfTheServersIsPublic(t *testing.T) {
	for _, path := range []string{
		"/.ory/admin/identities", "/.ory/health/ready", "/.ory/metrics/prometheus", "/.ory/version", "/.ory/identities", "/.ory",
		"/oauth2/introspect", "/oauth2/device/auth", "/oauth2/register", "/admin/clients", "/admin/identities", "/clients",
		"/relation-tuples", "/decisions/api/me", "/rules", "/metrics", "/readyz", "/internal/health", "/config_dump", "/stats",
	} {
		require.Equal(t, http.StatusNotFound, get(t, path).status, path)
	}
}

func TestTheRequestIDIsTheDoors(t *testing.T) {
	a := get(t, "/api/me", "X-Request-Id", "chosen-by-the-client")
	require.NotEqual(t, "chosen-by-the-client", a.header.Get("X-Request-Id"))
	require.NoError(t, uuid.Validate(a.header.Get("X-Request-Id")))
}

func TestAPostFromAnotherSiteIsRefused(t *testing.T) {
	p := signedIn(t)
	for _, headers := range [][]string{nil, {"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		a := send(t, p.client, request(t, http.MethodPost, "/api/oauth2/consent", strings.NewReader(`{}`), append(headers, "Content-Type", "application/json")...))
		requireProblem(t, a, http.StatusForbidden, "cross_site_request")
	}
}

func TestConsentIsGivenByTheOneWhoLoggedIn(t *testing.T) {
	a := send(t, signedIn(t).client, request(t, http.MethodGet, "/api/oauth2/consent?consent_challenge=unknown", nil))
	require.Contains(t, []int{http.StatusNotFound, http.StatusGone, http.StatusBadRequest}, a.status, string(a.body))
	token := demoClient().machine(t, url.Values{"audience": {audience()}})
	requireProblem(t, get(t, "/api/oauth2/consent?consent_challenge=unknown", "Authorization", "Bearer "+token), http.StatusForbidden, "session_required")
}

func TestAttemptsAreLimitedByAddress(t *testing.T) {
	// Verification has a bucket of its own, which no other test needs.
	limited := 0
	for range 100 {
		a := form(t, "/.ory/self-service/verification?flow="+uuid.NewString(), url.Values{})
		if a.status == http.StatusTooManyRequests {
			limited++
		}
	}
	require.Positive(t, limited)
}

// --- sessions ---

func TestASecondFactorThatIsEnrolledIsRequired(t *testing.T) {
	p := signedIn(t)
	secret := p.enrol(t)
	p.client = browser(t)
	a := p.enterPassword(t)
	require.Equal(t, http.StatusUnprocessableEntity, a.status, "Kratos leads on to the second step")
	require.Contains(t, string(a.body), demo.publicURL+"/.ory/self-service/login/browser?aal=aal2")
	requireRefusal(t, p.me(t), secondFactorMissing)
	p.stepUp(t, secret)
	require.Equal(t, p.email, p.me(t).identity(t).Email)
}

func TestAnExpiredSessionIsNoSession(t *testing.T) {
	p := signedIn(t)
	who := p.me(t).identity(t)
	running.sql(t, "kratos", "UPDATE sessions SET expires_at = now() - interval '1 hour' WHERE identity_id = '"+uuid.MustParse(who.ID).String()+"'")
	refused(t, func() answer { return p.me(t) })
}

// --- the permission model ---

func TestKetoHasLoadedAModelAndABrokenOneIsFound(t *testing.T) {
	a := read(t, running.inside(t, "keto-read", request(t, http.MethodGet, "/namespaces", nil)))
	require.Contains(t, string(a.body), "Organization")
	s, isNative := running.(nativeStack)
	if !isNative {
		return // the check of a broken file needs Keto's OPL port from here
	}
	oplURL, err := s.layout(t).URL("keto-opl")
	require.NoError(t, err)
	readURL, err := s.layout(t).URL("keto-read")
	require.NoError(t, err)
	broken := filepath.Join(t.TempDir(), "broken.ts")
	require.NoError(t, os.WriteFile(broken, []byte("class User implements Namespace {}\nclass A implements Namespace { permits = { x: (ctx: Context) => this.related.none.includes(ctx.subject) } }\n"), 0o600))
	require.ErrorContains(t, opl.Check(t.Context(), oplURL, readURL, broken), ":2:")
}
