//go:build story

// Package story tells what the platform does: people, an organization, rights that are given and taken, a gateway, machines. It
// runs against a native stack through its public door, with the real servers behind it, and prints each step with who was
// allowed what. It asserts all that it prints.
//
//	INSTANCE   which native instance
package story

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/stack/internal/demo"
	"gatehouse.internal/stack/internal/native"
)

const repository = "../.."

// patience bounds the wait for what takes its time: a mail, a revocation on its way to the door.
const patience = 30 * time.Second

// stack is the one that the story is told on.
type stack struct {
	t        *testing.T
	instance native.Instance
	public   string // the origin
	mail     string // Mailpit
}

func running(t *testing.T) *stack {
	t.Helper()
	name := os.Getenv("INSTANCE")
	if name == "" {
		name = native.Default
	}
	instance, err := native.New(repository, name)
	require.NoError(t, err)
	d, err := demo.Read(instance.DemoFile())
	require.NoError(t, err, "the stack has to run: make up")
	layout, err := instance.Layout()
	require.NoError(t, err)
	mail, err := layout.URL("mail")
	require.NoError(t, err)
	return &stack{t: t, instance: instance, public: d.PublicURL, mail: mail}
}

// administer runs the API's own command line, as the operator of the server would.
func (s *stack) administer(verb, id string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	program := filepath.Join(s.instance.Root, ".gatehouse", "bin", "api")
	// #nosec G204 -- ours
	out, err := exec.CommandContext(ctx, program, "admin", verb, "--config", filepath.Join(s.instance.ConfigDir(), "api", "api.yml"), id).CombinedOutput()
	require.NoError(s.t, err, string(out))
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// text is a member of the body, by its path.
func (a answer) text(t *testing.T, path ...string) string {
	t.Helper()
	var at any
	require.NoError(t, json.Unmarshal(a.body, &at), string(a.body))
	for _, name := range path {
		object, isObject := at.(map[string]any)
		require.True(t, isObject, string(a.body))
		at = object[name]
	}
	return fmt.Sprint(at)
}

// caller is somebody with a browser or a credential.
type caller struct {
	stack *stack
	name  string
	// What a person has, and no machine.
	id, email, password string
	client              *http.Client
	bearer              string
	// consistency is what the last change of the story gave, so that the next request sees it.
	consistency string
}

func (s *stack) browser(name string) *caller {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &caller{stack: s, name: name, client: &http.Client{
		Jar: jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// machine is a caller with a token or a key, and no cookie.
func (s *stack) machine(name, bearer string) *caller {
	out := s.browser(name)
	out.client.Jar, out.bearer = nil, bearer
	return out
}

// send sends JSON to a path of the public origin, or to a whole URL.
func (c *caller) send(method, target string, body any) answer {
	t := c.stack.t
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = c.stack.public + target
	}
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		require.NoError(t, err)
		reader = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, reader)
	require.NoError(t, err)
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	} else {
		r.Header.Set("Sec-Fetch-Site", "same-origin") // as our own pages do
	}
	if strings.HasPrefix(r.URL.Path, "/api/") && c.consistency != "" {
		r.Header.Set("Consistency-Token", c.consistency)
	}
	response, err := c.client.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, read}
}

// flow is what the story needs of one of Kratos' flows.
type flow struct {
	UI struct {
		Action string `json:"action"`
		Nodes  []struct {
			Attributes struct {
				Name  string `json:"name"`
				Value any    `json:"value"`
			} `json:"attributes"`
		} `json:"nodes"`
	} `json:"ui"`
	State string `json:"state"`
}

// submit fills in a form of Kratos, as its page would.
func (c *caller) submit(f flow, values map[string]any) answer {
	for _, node := range f.UI.Nodes {
		if node.Attributes.Name == "csrf_token" {
			values["csrf_token"] = node.Attributes.Value
		}
	}
	return c.send(http.MethodPost, f.UI.Action, values)
}

func (c *caller) flow(a answer) flow {
	t := c.stack.t
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	var f flow
	require.NoError(t, json.Unmarshal(a.body, &f))
	return f
}

// register makes an account with a verified address, by the code that comes by mail.
func (s *stack) register(name string) *caller {
	t := s.t
	t.Helper()
	c := s.browser(name)
	c.email = strings.ToLower(name + "-" + rand.Text() + "@example.com")
	c.password = "correct-" + rand.Text()
	made := c.submit(c.flow(c.send(http.MethodGet, "/.ory/self-service/registration/browser", nil)), map[string]any{
		"method": "password", "password": c.password, "traits": map[string]any{"email": c.email, "name": name},
	})
	require.Equal(t, http.StatusOK, made.status, string(made.body))
	var next struct {
		ContinueWith []struct {
			Action string
			Flow   struct{ ID string }
		} `json:"continue_with"`
	}
	require.NoError(t, json.Unmarshal(made.body, &next))
	verification := ""
	for _, way := range next.ContinueWith {
		if way.Action == "show_verification_ui" {
			verification = way.Flow.ID
		}
	}
	require.NotEmpty(t, verification, "an address is verified by a code that is mailed: %s", made.body)
	sent := c.flow(c.send(http.MethodGet, "/.ory/self-service/verification/flows?id="+verification, nil))
	code := s.mailed(c.email, regexp.MustCompile(`\b\d{6}\b`))
	verified := c.flow(c.submit(sent, map[string]any{"method": "code", "code": code}))
	require.Equal(t, "passed_challenge", verified.State)
	me := c.send(http.MethodGet, "/api/me", nil)
	require.Equal(t, http.StatusOK, me.status, string(me.body))
	c.id = me.text(t, "id")
	return c
}

// mailed waits for a mail to an address, and returns what it says.
func (s *stack) mailed(to string, what *regexp.Regexp) string {
	s.t.Helper()
	reader := s.machine("mail", "")
	var found string
	require.Eventually(s.t, func() bool {
		var list struct {
			Messages []struct{ ID string }
		}
		a := reader.send(http.MethodGet, s.mail+"/api/v1/search?query="+url.QueryEscape("to:"+to), nil)
		if json.Unmarshal(a.body, &list) != nil {
			return false
		}
		for _, message := range list.Messages {
			var content struct{ Text string }
			if json.Unmarshal(reader.send(http.MethodGet, s.mail+"/api/v1/message/"+message.ID, nil).body, &content) == nil {
				if match := what.FindStringSubmatch(content.Text); match != nil {
					found = match[len(match)-1]
					return true
				}
			}
		}
		return false
	}, patience, 200*time.Millisecond, "no mail to %s", to)
	return found
}

// token is an access token of a client acting for itself.
func (s *stack) token(id, secret string, scopes ...string) string {
	t := s.t
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "audience": {s.public + "/api"}, "scope": {strings.Join(scopes, " ")}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.public+"/oauth2/token", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, body}.text(t, "access_token")
}
