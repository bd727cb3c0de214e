//go:build integration

package ory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	client "github.com/ory/client-go"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/consent"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/users"
)

// The servers are a running stack's: GATEHOUSE_TEST_KRATOS_PUBLIC_URL and so on.
func base(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv("GATEHOUSE_TEST_" + name)
	require.NotEmpty(t, value, "GATEHOUSE_TEST_%s names no server", name)
	return strings.TrimSuffix(value, "/")
}

func admin(url string) *client.APIClient {
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: url}}
	return client.NewAPIClient(configuration)
}

const password = "correct-horse-battery-41"

// newPerson makes an identity with a password, and forgets it at the end.
func newPerson(t *testing.T, traits map[string]any) (*client.APIClient, uuid.UUID) {
	t.Helper()
	api := admin(base(t, "KRATOS_ADMIN_URL"))
	schemas, response, err := admin(base(t, "KRATOS_PUBLIC_URL")).IdentityAPI.ListIdentitySchemas(t.Context()).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	secret := password
	body := client.NewCreateIdentityBody(schemas[0].Id, traits)
	body.Credentials = &client.IdentityWithCredentials{Password: &client.IdentityWithCredentialsPassword{
		Config: &client.IdentityWithCredentialsPasswordConfig{Password: &secret},
	}}
	created, response, err := api.IdentityAPI.CreateIdentity(t.Context()).CreateIdentityBody(*body).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	t.Cleanup(func() {
		if response, err := api.IdentityAPI.DeleteIdentity(context.Background(), created.Id).Execute(); err == nil {
			_ = response.Body.Close()
		}
	})
	return api, uuid.MustParse(created.Id)
}

// somebody is a person of whom nothing else matters. Hydra issues tokens only of people that Kratos knows.
func somebody(t *testing.T) uuid.UUID {
	t.Helper()
	_, id := newPerson(t, map[string]any{"email": "somebody-" + uuid.NewString()[:8] + "@example.com", "name": "Somebody"})
	return id
}

func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func call(t *testing.T, c *http.Client, method, target string, body any) (*http.Response, map[string]any) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		require.NoError(t, err)
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, target, reader)
	require.NoError(t, err)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	response, err := c.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	answer := map[string]any{}
	_ = json.NewDecoder(response.Body).Decode(&answer) // a redirect has no JSON
	return response, answer
}

// signIn runs a browser login and returns the session cookie.
func signIn(t *testing.T, email string) string {
	t.Helper()
	c, kratos := browser(t), base(t, "KRATOS_PUBLIC_URL")
	_, flow := call(t, c, http.MethodGet, kratos+"/self-service/login/browser", nil)
	id, ok := flow["id"].(string)
	require.True(t, ok, "%v", flow)
	var csrf string
	for _, node := range flow["ui"].(map[string]any)["nodes"].([]any) {
		attributes := node.(map[string]any)["attributes"].(map[string]any)
		if attributes["name"] == "csrf_token" {
			csrf = attributes["value"].(string)
		}
	}
	response, answer := call(t, c, http.MethodPost, kratos+"/self-service/login?flow="+id, map[string]any{
		"method": "password", "identifier": email, "password": password, "csrf_token": csrf,
	})
	require.Equal(t, http.StatusOK, response.StatusCode, "%v", answer)
	for _, cookie := range response.Cookies() {
		if cookie.Name == principal.SessionCookie {
			return cookie.Value
		}
	}
	require.FailNow(t, "no session cookie")
	return ""
}

func TestRealKratos(t *testing.T) {
	email := "Api-" + uuid.NewString()[:8] + "@example.com"
	api, id := newPerson(t, map[string]any{"email": email, "name": "Ann", "locale": "ko"})
	kratos := ory.NewKratosAdmin(base(t, "KRATOS_ADMIN_URL"), ory.HTTPClient(timeout))
	public := ory.NewKratosPublic(base(t, "KRATOS_PUBLIC_URL"), ory.HTTPClient(timeout))
	require.NoError(t, kratos.Ready(t.Context()))
	require.NoError(t, public.Ready(t.Context()))

	found, err := kratos.Identity(t.Context(), id)
	require.NoError(t, err)
	require.True(t, strings.EqualFold(email, found.Email))
	found.Email = ""
	require.Equal(t, users.Identity{ID: id, Name: "Ann", Locale: "ko", Active: true}, found)

	cookie := signIn(t, email)
	session, err := public.Session(t.Context(), cookie)
	require.NoError(t, err)
	require.Equal(t, id, session.UserID)
	require.NotEmpty(t, session.ID)
	require.Equal(t, "aal1", session.AAL)
	require.True(t, strings.EqualFold(email, session.Email))
	require.False(t, session.EmailVerified)

	session, err = public.Session(t.Context(), "garbage", cookie)
	require.NoError(t, err, "Kratos takes the valid one of several")
	require.Equal(t, id, session.UserID)

	_, err = public.Session(t.Context(), "garbage")
	require.ErrorIs(t, err, principal.ErrRejected)

	_, response, err := api.IdentityAPI.PatchIdentity(t.Context(), id.String()).
		JsonPatch([]client.JsonPatch{{Op: "replace", Path: "/state", Value: "inactive"}}).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	found, err = kratos.Identity(t.Context(), id)
	require.NoError(t, err)
	require.False(t, found.Active)
	_, err = public.Session(t.Context(), cookie)
	require.ErrorIs(t, err, principal.ErrRejected)

	response, err = api.IdentityAPI.DeleteIdentity(t.Context(), id.String()).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	_, err = kratos.Identity(t.Context(), id)
	require.ErrorIs(t, err, users.ErrNoIdentity)

	_, err = ory.NewKratosAdmin(base(t, "KRATOS_PUBLIC_URL"), ory.HTTPClient(timeout)).Identity(t.Context(), id)
	require.Error(t, err)
	require.NotErrorIs(t, err, users.ErrNoIdentity, "the public port knows nothing of identities")
}

// newClient makes an OAuth 2.0 client at Hydra, and forgets it at the end.
func newClient(t *testing.T, change func(*client.OAuth2Client)) *client.OAuth2Client {
	t.Helper()
	api := admin(base(t, "HYDRA_ADMIN_URL"))
	wanted := client.NewOAuth2Client()
	wanted.SetScope("openid offline_access email read")
	wanted.Audience = []string{"http://api.example/api"}
	wanted.SetTokenEndpointAuthMethod("client_secret_post")
	change(wanted)
	created, response, err := api.OAuth2API.CreateOAuth2Client(t.Context()).OAuth2Client(*wanted).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	t.Cleanup(func() {
		if response, err := api.OAuth2API.DeleteOAuth2Client(context.Background(), created.GetClientId()).Execute(); err == nil {
			_ = response.Body.Close()
		}
	})
	return created
}

func exchange(t *testing.T, form url.Values) map[string]any {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base(t, "HYDRA_PUBLIC_URL")+"/oauth2/token", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	var answer map[string]any
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.Equal(t, http.StatusOK, response.StatusCode, "%v", answer)
	return answer
}

func TestRealHydraIntrospection(t *testing.T) {
	hydra := ory.NewHydra(base(t, "HYDRA_ADMIN_URL"), ory.HTTPClient(timeout))
	require.NoError(t, hydra.Ready(t.Context()))
	_, err := hydra.Introspect(t.Context(), "garbage")
	require.ErrorIs(t, err, principal.ErrRejected)

	for _, strategy := range []string{"opaque", "jwt"} {
		t.Run(strategy, func(t *testing.T) {
			machine := newClient(t, func(c *client.OAuth2Client) {
				c.GrantTypes = []string{"client_credentials"}
				c.SetAccessTokenStrategy(strategy)
			})
			answer := exchange(t, url.Values{
				"grant_type": {"client_credentials"}, "client_id": {machine.GetClientId()}, "client_secret": {machine.GetClientSecret()},
				"scope": {"read"}, "audience": {"http://api.example/api"},
			})

			token, err := hydra.Introspect(t.Context(), answer["access_token"].(string))

			require.NoError(t, err)
			require.Equal(t, "access_token", token.Use)
			require.Equal(t, machine.GetClientId(), token.Subject)
			require.Equal(t, machine.GetClientId(), token.ClientID)
			require.Equal(t, "read", token.Scope)
			require.Equal(t, []string{"http://api.example/api"}, token.Audience)
			require.NotEmpty(t, token.Issuer)
			require.False(t, token.Expires.IsZero())
		})
	}
}

// code runs the authorization code flow up to the consent challenge, and back with what the API decided.
type code struct {
	browser  *http.Client
	settings *client.OAuth2Client
}

const redirect = "http://127.0.0.1:5555/callback"

func newCode(t *testing.T) code {
	t.Helper()
	return code{browser(t), newClient(t, func(c *client.OAuth2Client) {
		c.SetClientName("Demo")
		c.GrantTypes = []string{"authorization_code"}
		c.ResponseTypes = []string{"code"}
		c.RedirectUris = []string{redirect}
	})}
}

// follow asks Hydra's own port for what it answers at the public origin.
func (c code) follow(t *testing.T, target string) *url.URL {
	t.Helper()
	parsed, err := url.Parse(target)
	require.NoError(t, err)
	response, _ := call(t, c.browser, http.MethodGet, base(t, "HYDRA_PUBLIC_URL")+parsed.Path+"?"+parsed.RawQuery, nil)
	next, err := response.Location()
	require.NoError(t, err)
	return next
}

// challenge is one for subject.
func (c code) challenge(t *testing.T, subject string) string {
	t.Helper()
	start := c.follow(t, "/oauth2/auth?"+url.Values{
		"client_id": {c.settings.GetClientId()}, "response_type": {"code"}, "redirect_uri": {redirect},
		"scope": {"openid email"}, "audience": {"http://api.example/api"}, "state": {"0123456789"},
	}.Encode())
	login := client.NewAcceptOAuth2LoginRequest(subject)
	accepted, response, err := admin(base(t, "HYDRA_ADMIN_URL")).OAuth2API.AcceptOAuth2LoginRequest(t.Context()).
		LoginChallenge(start.Query().Get("login_challenge")).AcceptOAuth2LoginRequest(*login).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	challenge := c.follow(t, accepted.RedirectTo).Query().Get("consent_challenge")
	require.NotEmpty(t, challenge)
	return challenge
}

func TestRealHydraConsentAccepted(t *testing.T) {
	hydra := ory.NewHydra(base(t, "HYDRA_ADMIN_URL"), ory.HTTPClient(timeout))
	subject := somebody(t).String()
	flow := newCode(t)
	challenge := flow.challenge(t, subject)

	asked, err := hydra.ConsentRequest(t.Context(), challenge)
	require.NoError(t, err)
	require.Equal(t, consent.Request{
		ClientID: flow.settings.GetClientId(), ClientName: "Demo", Subject: subject,
		Scopes: []string{"openid", "email"}, Audience: []string{"http://api.example/api"},
	}, asked)

	next, err := hydra.AcceptConsent(t.Context(), challenge, consent.Grant{
		Scopes: []string{"openid"}, Audience: asked.Audience, IDToken: map[string]any{"email": "ann@example.com"},
	})
	require.NoError(t, err)
	back := flow.follow(t, next)
	require.NotEmpty(t, back.Query().Get("code"), back.String())
	answer := exchange(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirect},
		"client_id": {flow.settings.GetClientId()}, "client_secret": {flow.settings.GetClientSecret()},
	})
	token, err := hydra.Introspect(t.Context(), answer["access_token"].(string))
	require.NoError(t, err)
	require.Equal(t, subject, token.Subject)
	require.Equal(t, flow.settings.GetClientId(), token.ClientID)
	require.Equal(t, "openid", token.Scope)
}

// Hydra takes several answers to one challenge, even after one was redeemed. What counts is that the first
// that comes back to it is the last.
func TestRealHydraCountsOneAnswer(t *testing.T) {
	hydra := ory.NewHydra(base(t, "HYDRA_ADMIN_URL"), ory.HTTPClient(timeout))
	accept := func(t *testing.T, challenge string, scopes ...string) string {
		t.Helper()
		next, err := hydra.AcceptConsent(t.Context(), challenge, consent.Grant{Scopes: scopes})
		require.NoError(t, err)
		return next
	}
	for name, first := range map[string]func(t *testing.T, challenge string) string{
		"after yes": func(t *testing.T, challenge string) string { return accept(t, challenge, "openid") },
		"after no": func(t *testing.T, challenge string) string {
			next, err := hydra.RejectConsent(t.Context(), challenge)
			require.NoError(t, err)
			return next
		},
	} {
		t.Run(name, func(t *testing.T) {
			flow := newCode(t)
			challenge := flow.challenge(t, uuid.NewString())
			counts, before := first(t, challenge), accept(t, challenge, "openid", "email")
			flow.follow(t, counts)

			for _, late := range []string{counts, before, accept(t, challenge, "openid", "email")} {
				back := flow.follow(t, late)
				require.Empty(t, back.Query().Get("code"), back.String())
				require.NotEmpty(t, back.Query().Get("error"), back.String())
			}
		})
	}
}

func TestRealHydraConsentRejected(t *testing.T) {
	hydra := ory.NewHydra(base(t, "HYDRA_ADMIN_URL"), ory.HTTPClient(timeout))
	flow := newCode(t)

	next, err := hydra.RejectConsent(t.Context(), flow.challenge(t, uuid.NewString()))

	require.NoError(t, err)
	require.Equal(t, "access_denied", flow.follow(t, next).Query().Get("error"))
}

func TestRealHydraUnknownChallenge(t *testing.T) {
	hydra := ory.NewHydra(base(t, "HYDRA_ADMIN_URL"), ory.HTTPClient(timeout))
	_, err := hydra.ConsentRequest(t.Context(), "unknown")
	require.ErrorIs(t, err, consent.ErrUnknownChallenge)
	_, err = hydra.AcceptConsent(t.Context(), "unknown", consent.Grant{})
	require.ErrorIs(t, err, consent.ErrUnknownChallenge)
}

func TestRealKratosAccount(t *testing.T) {
	email := "account-" + uuid.NewString()[:8] + "@example.com"
	_, id := newPerson(t, map[string]any{"email": email})
	kratos := ory.NewKratosAdmin(base(t, "KRATOS_ADMIN_URL"), ory.HTTPClient(timeout))
	public := ory.NewKratosPublic(base(t, "KRATOS_PUBLIC_URL"), ory.HTTPClient(timeout))
	signedIn := func(cookie string) error { _, err := public.Session(t.Context(), cookie); return err }

	none, err := kratos.Sessions(t.Context(), id)
	require.NoError(t, err)
	require.Empty(t, none)
	require.NoError(t, kratos.EndSessions(t.Context(), id), "nobody is signed in")

	here, there := signIn(t, email), signIn(t, email)
	session, err := public.Session(t.Context(), there)
	require.NoError(t, err)
	sessions, err := kratos.Sessions(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, sessions, 2)
	for _, one := range sessions {
		require.True(t, one.Active)
		require.Equal(t, "aal1", one.AAL)
		require.WithinDuration(t, time.Now(), one.AuthenticatedAt, time.Minute)
		require.True(t, one.ExpiresAt.After(one.AuthenticatedAt))
		require.Contains(t, one.UserAgent, "Go-http-client")
	}
	for range 2 {
		require.NoError(t, kratos.EndSession(t.Context(), session.ID))
	}
	require.NoError(t, kratos.EndSession(t.Context(), uuid.NewString()), "a session that never was has ended")
	require.ErrorIs(t, signedIn(there), principal.ErrRejected)
	require.NoError(t, signedIn(here))
	sessions, err = kratos.Sessions(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, sessions, 2, "that it ended can still be told")

	for range 2 {
		require.NoError(t, kratos.SetActive(t.Context(), id, false))
		require.NoError(t, kratos.EndSessions(t.Context(), id))
	}
	require.NoError(t, kratos.SetActive(t.Context(), id, true))
	require.ErrorIs(t, signedIn(here), principal.ErrRejected, "who returns signs in anew")

	found, err := kratos.ByAddress(t.Context(), strings.ToUpper(email))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, id, found[0].ID)
	found, err = kratos.ByAddress(t.Context(), "nobody-"+email)
	require.NoError(t, err)
	require.Empty(t, found)

	for range 2 {
		require.NoError(t, kratos.DeleteIdentity(t.Context(), id))
	}
	require.ErrorIs(t, kratos.SetActive(t.Context(), id, false), users.ErrNoIdentity)
	require.NoError(t, kratos.EndSessions(t.Context(), id))

	wrong := ory.NewKratosAdmin(base(t, "KRATOS_PUBLIC_URL"), ory.HTTPClient(timeout))
	for name, err := range map[string]error{
		"state": wrong.SetActive(t.Context(), id, false), "identity": wrong.DeleteIdentity(t.Context(), id),
		"sessions": wrong.EndSessions(t.Context(), id), "session": wrong.EndSession(t.Context(), session.ID),
	} {
		require.Error(t, err, "%s: the public port ends nothing, so nothing has ended", name)
		require.NotErrorIs(t, err, users.ErrNoIdentity)
	}
}

func TestRealHydraEndsWhatAPersonAllowed(t *testing.T) {
	hydra := ory.NewHydra(base(t, "HYDRA_ADMIN_URL"), ory.HTTPClient(timeout))
	subject, other := somebody(t), somebody(t)
	token := func(subject uuid.UUID) string {
		flow := newCode(t)
		next, err := hydra.AcceptConsent(t.Context(), flow.challenge(t, subject.String()), consent.Grant{Scopes: []string{"openid"}})
		require.NoError(t, err)
		answer := exchange(t, url.Values{
			"grant_type": {"authorization_code"}, "code": {flow.follow(t, next).Query().Get("code")}, "redirect_uri": {redirect},
			"client_id": {flow.settings.GetClientId()}, "client_secret": {flow.settings.GetClientSecret()},
		})
		return answer["access_token"].(string)
	}
	one, two, others := token(subject), token(subject), token(other)

	for range 2 {
		require.NoError(t, hydra.EndGrants(t.Context(), subject))
	}
	for _, ended := range []string{one, two} {
		_, err := hydra.Introspect(t.Context(), ended)
		require.ErrorIs(t, err, principal.ErrRejected)
	}
	_, err := hydra.Introspect(t.Context(), others)
	require.NoError(t, err)
	require.NoError(t, hydra.EndGrants(t.Context(), uuid.New()), "whoever allowed nothing")
	require.Error(t, ory.NewHydra(base(t, "HYDRA_PUBLIC_URL"), ory.HTTPClient(timeout)).EndGrants(t.Context(), subject))
}
