//go:build smoke

package smoke

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
)

const redirectURI = "http://127.0.0.1:9899/callback"

// oauthClient is a registered client.
type oauthClient struct{ id, secret string }

func demoClient() oauthClient { return oauthClient{demo.clientID, demo.clientSecret} }

// newClient registers one at Hydra's admin port.
func newClient(t *testing.T, settings map[string]any) oauthClient {
	t.Helper()
	body, err := json.Marshal(settings)
	require.NoError(t, err)
	a := read(t, running.inside(t, "hydra-admin", request(t, http.MethodPost, "/admin/clients", bytes.NewReader(body), "Content-Type", "application/json")))
	require.Equal(t, http.StatusCreated, a.status, string(a.body))
	var created struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	require.NoError(t, json.Unmarshal(a.body, &created))
	return oauthClient{created.ID, created.Secret}
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

func (c oauthClient) token(t *testing.T, values url.Values) tokens {
	t.Helper()
	a := form(t, "/oauth2/token", values, "Authorization", c.basic())
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var got tokens
	require.NoError(t, json.Unmarshal(a.body, &got))
	return got
}

// basic is the client's authentication at Hydra.
func (c oauthClient) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.id+":"+c.secret))
}

// machine gets a token for the client itself.
func (c oauthClient) machine(t *testing.T, values url.Values) string {
	t.Helper()
	values.Set("grant_type", "client_credentials")
	return c.token(t, values).Access
}

func audience() string { return demo.publicURL + "/api" }

// authorize lets a person approve the demo client, from the authorization request to the code.
func (p *person) authorize(t *testing.T, c oauthClient, scopes, verifier string) string {
	t.Helper()
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {redirectURI}, "scope": {scopes}, "state": {rand.Text()},
		"audience": {audience()}, "code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])},
	}
	location := p.redirected(t, "/oauth2/auth?"+query.Encode())
	require.True(t, strings.HasPrefix(location, demo.publicURL+"/auth/login?login_challenge="), location)

	login := parameter(t, location, "login_challenge")
	f := p.begin(t, "/.ory/self-service/login/browser?login_challenge="+url.QueryEscape(login))
	a := p.submit(t, f, map[string]any{"method": "password", "identifier": p.email, "password": p.password})
	require.Equal(t, http.StatusUnprocessableEntity, a.status, string(a.body))
	var next struct {
		To string `json:"redirect_browser_to"`
	}
	require.NoError(t, json.Unmarshal(a.body, &next))
	location = p.redirected(t, next.To)
	require.True(t, strings.HasPrefix(location, demo.publicURL+"/auth/consent?consent_challenge="), location)

	consent := parameter(t, location, "consent_challenge")
	a = send(t, p.client, request(t, http.MethodGet, "/api/oauth2/consent?consent_challenge="+url.QueryEscape(consent), nil))
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var question struct {
		Scopes []string `json:"requested_scopes"`
		CSRF   string   `json:"csrf_token"`
	}
	require.NoError(t, json.Unmarshal(a.body, &question))
	require.ElementsMatch(t, strings.Fields(scopes), question.Scopes)

	body, err := json.Marshal(map[string]any{"consent_challenge": consent, "csrf_token": question.CSRF, "accept": true, "scopes": question.Scopes})
	require.NoError(t, err)
	a = send(t, p.client, request(t, http.MethodPost, "/api/oauth2/consent", bytes.NewReader(body), "Content-Type", "application/json", "Origin", demo.publicURL))
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var accepted struct {
		To string `json:"redirect_to"`
	}
	require.NoError(t, json.Unmarshal(a.body, &accepted))
	location = p.redirected(t, accepted.To)
	require.True(t, strings.HasPrefix(location, redirectURI+"?code="), location)
	return parameter(t, location, "code")
}

// redirected follows one step and returns where it leads.
func (p *person) redirected(t *testing.T, path string) string {
	t.Helper()
	a := send(t, p.client, request(t, http.MethodGet, path, nil))
	require.Contains(t, []int{http.StatusFound, http.StatusSeeOther}, a.status, string(a.body))
	return a.header.Get("Location")
}

func parameter(t *testing.T, location, name string) string {
	t.Helper()
	u, err := url.Parse(location)
	require.NoError(t, err)
	value := u.Query().Get(name)
	require.NotEmpty(t, value, location)
	return value
}

// exchange trades a code for tokens.
func (c oauthClient) exchange(t *testing.T, code, verifier string) tokens {
	t.Helper()
	return c.token(t, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}})
}

// mint signs an identity token with the door's own key.
func mint(t *testing.T, claims map[string]any) string {
	t.Helper()
	var set jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal(running.signingKey(t), &set))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: set.Keys[0]}, (&jose.SignerOptions{}).WithType("JWT"))
	require.NoError(t, err)
	now := time.Now()
	all := map[string]any{
		"iss": demo.publicURL + "/.well-known/gatehouse", "aud": []string{"gatehouse-api"}, "type": "client", "auth": "oauth2",
		"sub": "a-client", "client_id": "a-client", "scope": "", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	for name, value := range claims {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = value
	}
	token, err := jwt.Signed(signer).Claims(all).Serialize()
	require.NoError(t, err)
	return token
}
