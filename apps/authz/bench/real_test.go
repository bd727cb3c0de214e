//go:build bench

package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// realServers are the Kratos and Hydra of a running native stack, with their Postgres. Every client has a session and
// a token of its own: the demo person logs in as many times.
//
//	GATEHOUSE_TEST_STACK  the folder of the stack's instance, by which its processes are found
//
// and what `stack/run test-environment` and `stack/run demo` print.
func realServers(t *testing.T) (servers, []part) {
	t.Helper()
	kratos, hydra, public := variable(t, "GATEHOUSE_TEST_KRATOS_PUBLIC_URL"), variable(t, "GATEHOUSE_TEST_HYDRA_ADMIN_URL"), variable(t, "PUBLIC_URL")
	out := servers{
		sessions: kratos + "/sessions/whoami", introspection: hydra + "/admin/oauth2/introspect",
		keys: variable(t, "GATEHOUSE_TEST_HYDRA_PUBLIC_URL") + "/.well-known/jwks.json", audience: public + "/api",
	}
	cookies := credentials{scenario: "cookie_session", header: "Cookie"}
	tokens := credentials{scenario: "oauth2_introspection", header: "Authorization"}
	for i := range concurrency {
		cookies.values[i] = "theme=dark; ory_kratos_session=" + logIn(t, public)
		tokens.values[i] = "Bearer " + accessToken(t, public, out.audience)
	}
	out.credentials = []credentials{cookies, tokens}
	folder := variable(t, "GATEHOUSE_TEST_STACK")
	return out, []part{
		{"Kratos", running(t, filepath.Join(folder, "config", "kratos", "kratos.yml"))},
		{"Hydra", running(t, filepath.Join(folder, "config", "hydra", "hydra.yml"))},
		{"Postgres", running(t, filepath.Join(folder, "data", "postgres"))},
	}
}

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	require.NotEmpty(t, value, "%s is missing; `make bench-authz` sets it", name)
	return value
}

// running finds the one process that was started with this argument.
func running(t *testing.T, argument string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found []int
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !slices.Contains(strings.Split(string(line), "\x00"), argument) {
			continue // it has ended, or is another
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		require.NoError(t, err)
		found = append(found, pid)
	}
	require.Len(t, found, 1, "processes with the argument %s", argument)
	return found[0]
}

// logIn goes through the browser's flow at the public door and returns the value of the session's cookie.
func logIn(t *testing.T, public string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	var flow struct {
		UI struct {
			Action string `json:"action"`
			Nodes  []struct {
				Attributes struct {
					Name  string `json:"name"`
					Value any    `json:"value"`
				} `json:"attributes"`
			} `json:"nodes"`
		} `json:"ui"`
	}
	exchange(t, browser, http.MethodGet, public+"/.ory/self-service/login/browser", http.Header{}, nil, &flow)
	form := map[string]any{"method": "password", "identifier": variable(t, "DEMO_EMAIL"), "password": variable(t, "DEMO_PASSWORD")}
	for _, node := range flow.UI.Nodes {
		if node.Attributes.Name == "csrf_token" {
			form["csrf_token"] = node.Attributes.Value
		}
	}
	exchange(t, browser, http.MethodPost, flow.UI.Action, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(encode(t, form)), nil)
	origin, err := url.Parse(public)
	require.NoError(t, err)
	for _, cookie := range jar.Cookies(origin) {
		if cookie.Name == "ory_kratos_session" {
			return cookie.Value
		}
	}
	require.FailNow(t, "logging in gave no session")
	return ""
}

// accessToken is an opaque one for the demo client itself.
func accessToken(t *testing.T, public, audience string) string {
	t.Helper()
	client := base64.StdEncoding.EncodeToString([]byte(variable(t, "DEMO_CLIENT_ID") + ":" + variable(t, "DEMO_CLIENT_SECRET")))
	values := url.Values{"grant_type": {"client_credentials"}, "audience": {audience}, "scope": {"demo"}}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	exchange(t, http.DefaultClient, http.MethodPost, public+"/oauth2/token", http.Header{
		"Authorization": {"Basic " + client}, "Content-Type": {"application/x-www-form-urlencoded"},
	}, strings.NewReader(values.Encode()), &answer)
	require.NotEmpty(t, answer.AccessToken)
	return answer.AccessToken
}

// exchange reads a 200 of JSON into answer, unless that is nil.
func exchange(t *testing.T, client *http.Client, method, url string, header http.Header, body io.Reader, answer any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	question, err := http.NewRequestWithContext(ctx, method, url, body)
	require.NoError(t, err)
	question.Header = header
	question.Header.Set("Accept", "application/json")
	response, err := client.Do(question)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, http.StatusOK, response.StatusCode, "%s %s", method, url)
	if answer != nil {
		require.NoError(t, json.NewDecoder(response.Body).Decode(answer))
	}
}
