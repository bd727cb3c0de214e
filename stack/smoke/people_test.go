//go:build smoke

package smoke

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"
)

// person is somebody with a browser of their own, without the pages: Kratos' browser flows as JSON.
type person struct {
	email, password string
	client          *http.Client
}

func newPerson(t *testing.T) *person {
	t.Helper()
	return &person{
		email:    "smoke-" + strings.ToLower(rand.Text()) + "@example.com",
		password: "correct-" + rand.Text(),
		client:   browser(t),
	}
}

func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &http.Client{Jar: jar, Timeout: plain.Timeout, CheckRedirect: plain.CheckRedirect}
}

// flow is what the tests need of a Kratos flow.
type flow struct {
	ID string `json:"id"`
	UI struct {
		Action string `json:"action"`
		Nodes  []struct {
			Attributes struct {
				ID    string `json:"id"`
				Name  string `json:"name"`
				Value any    `json:"value"`
				Text  struct {
					Context struct {
						Secret string `json:"secret"`
					} `json:"context"`
				} `json:"text"`
			} `json:"attributes"`
		} `json:"nodes"`
		Messages []struct {
			Text string `json:"text"`
		} `json:"messages"`
	} `json:"ui"`
}

// csrf finds the token by its name: the order of nodes differs between Kratos' generations.
func (f flow) csrf() any {
	for _, node := range f.UI.Nodes {
		if node.Attributes.Name == "csrf_token" {
			return node.Attributes.Value
		}
	}
	return ""
}

func (p *person) begin(t *testing.T, path string) flow {
	t.Helper()
	a := send(t, p.client, request(t, http.MethodGet, path, nil, "Accept", "application/json"))
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var f flow
	require.NoError(t, json.Unmarshal(a.body, &f))
	require.True(t, strings.HasPrefix(f.UI.Action, demo.publicURL+"/.ory/"), "forms are posted to the public origin, not to %s", f.UI.Action)
	return f
}

func (p *person) submit(t *testing.T, f flow, values map[string]any) answer {
	t.Helper()
	values["csrf_token"] = f.csrf()
	body, err := json.Marshal(values)
	require.NoError(t, err)
	return send(t, p.client, request(t, http.MethodPost, f.UI.Action, bytes.NewReader(body),
		"Accept", "application/json", "Content-Type", "application/json"))
}

func (p *person) register(t *testing.T) {
	t.Helper()
	f := p.begin(t, "/.ory/self-service/registration/browser")
	a := p.submit(t, f, map[string]any{"method": "password", "password": p.password, "traits": map[string]any{"email": p.email, "name": "Smoke Test"}})
	require.Equal(t, http.StatusOK, a.status, string(a.body))
}

// logIn logs in with the password, in the person's current browser.
func (p *person) logIn(t *testing.T) {
	t.Helper()
	a := p.enterPassword(t)
	require.Equal(t, http.StatusOK, a.status, string(a.body))
}

func (p *person) enterPassword(t *testing.T) answer {
	t.Helper()
	f := p.begin(t, "/.ory/self-service/login/browser")
	return p.submit(t, f, map[string]any{"method": "password", "identifier": p.email, "password": p.password})
}

// enrol adds a second factor and returns its secret.
func (p *person) enrol(t *testing.T) string {
	t.Helper()
	f := p.begin(t, "/.ory/self-service/settings/browser")
	var secret string
	for _, node := range f.UI.Nodes {
		if node.Attributes.ID == "totp_secret_key" {
			secret = node.Attributes.Text.Context.Secret
		}
	}
	require.NotEmpty(t, secret)
	a := p.submit(t, f, map[string]any{"method": "totp", "totp_code": code(t, secret)})
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	return secret
}

// stepUp takes the second step.
func (p *person) stepUp(t *testing.T, secret string) {
	t.Helper()
	f := p.begin(t, "/.ory/self-service/login/browser?aal=aal2")
	a := p.submit(t, f, map[string]any{"method": "totp", "totp_code": code(t, secret)})
	require.Equal(t, http.StatusOK, a.status, string(a.body))
}

func code(t *testing.T, secret string) string {
	t.Helper()
	c, err := totp.GenerateCode(secret, time.Now())
	require.NoError(t, err)
	return c
}

func (p *person) me(t *testing.T, headers ...string) answer {
	t.Helper()
	return send(t, p.client, request(t, http.MethodGet, "/api/me", nil, headers...))
}

// signedIn is a person with a session.
func signedIn(t *testing.T) *person {
	t.Helper()
	p := newPerson(t)
	p.register(t)
	return p
}

type identity struct {
	Type     string   `json:"type"`
	ID       string   `json:"id"`
	Email    string   `json:"email"`
	Name     string   `json:"name"`
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`
}

func (a answer) identity(t *testing.T) identity {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var who identity
	require.NoError(t, json.Unmarshal(a.body, &who))
	return who
}

// requireProblem checks status, code and form of a refusal (RFC 9457).
func requireProblem(t *testing.T, a answer, status int, code string) {
	t.Helper()
	require.Equal(t, status, a.status, string(a.body))
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	var problem struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Code      string `json:"code"`
		Detail    string `json:"detail"`
		RequestID string `json:"request_id"`
	}
	require.NoError(t, json.Unmarshal(a.body, &problem), string(a.body))
	require.Equal(t, code, problem.Code)
	require.Equal(t, status, problem.Status)
	require.Equal(t, "urn:gatehouse:problem:"+code, problem.Type)
	require.NotEmpty(t, problem.Title)
	require.NotEmpty(t, problem.Detail)
	if status != http.StatusBadRequest { // a path that Envoy refuses is refused before the request has an id
		require.Equal(t, a.header.Get("X-Request-Id"), problem.RequestID)
		require.NotEmpty(t, problem.RequestID)
	}
}
