package command_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/command"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	code = command.Main(t.Context(), args, &out, &problems)
	return code, out.String(), problems.String()
}

const oathkeeper = `
access_rules: {repositories: ["file://%s"]}
authenticators: {noop: {enabled: true}, jwt: {enabled: true, config: {jwks_urls: ["http://127.0.0.1:1"]}}}
authorizers: {allow: {enabled: true}}
mutators: {noop: {enabled: true}}
`

func settings(t *testing.T, rules, more string) string {
	t.Helper()
	config := write(t, "oathkeeper.yml", fmt.Sprintf(oathkeeper, write(t, "rules.yml", rules)))
	return write(t, "authz.yml", "oathkeeper_config: "+config+"\n"+more)
}

const good = `[{"id":"a","match":{"url":"http://h/<.*>","methods":["GET"]},"authenticators":[{"handler":"jwt"}],
	"authorizer":{"handler":"allow"},"mutators":[{"handler":"noop"}]}]`

func TestCheckPassesGoodRulesAndPrintsWarnings(t *testing.T) {
	code, stdout, stderr := run(t, "check", "--config", settings(t, good, ""))
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "warning: rule \"a\": jwt: without target_audience")
	require.Contains(t, stdout, "ok: 1 rules")
}

func TestCheckNamesRulesThatOverlapAndPasses(t *testing.T) {
	rules := strings.TrimSuffix(good, "]") + "," + strings.TrimPrefix(strings.Replace(good, `"id":"a","match":{"url":"http://h/<.*>"`, `"id":"b","match":{"url":"http://h/b"`, 1), "[")
	code, stdout, stderr := run(t, "check", "--config", settings(t, rules, ""))
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, `warning: rules "a" and "b" both match GET http://h/b: such a request gets a 500`)
	require.Contains(t, stdout, "ok: 2 rules")
}

func TestCheckReportsEveryProblem(t *testing.T) {
	rules := strings.Replace(good, `"handler":"noop"`, `"handler":"hydrator"`, 1)
	rules = strings.Replace(rules, `"handler":"allow"`, `"handler":"remote"`, 1)
	code, _, stderr := run(t, "check", "--config", settings(t, rules, ""))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "hydrator")
	require.Contains(t, stderr, "remote")

	code, _, stderr = run(t, "check", "--config", settings(t, "[]", ""))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "no rule")

	code, _, stderr = run(t, "check", "--config", settings(t, good, "gprc: {address: x}\n"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "gprc")
}

func TestCheckReportsEveryProblemAtOnceWithItsPlace(t *testing.T) {
	rules := `
- {id: misspelt, authorisers: []}
- {id: broken, match: {url: "http://h/<(", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
- id: off
  match: {url: "http://h/off", methods: [GET]}
  authenticators: [{handler: anonymous}]
  authorizer: {handler: allow}
  mutators: [{handler: noop}]
`
	config := settings(t, rules, "")
	code, _, stderr := run(t, "check", "--config", config)
	require.Equal(t, 1, code)
	require.Regexp(t, `/rules\.yml: line 2: rule "misspelt": json: unknown field "authorisers"`, stderr)
	require.Regexp(t, `/rules\.yml:3: rule "broken": match\.url: `, stderr)
	require.Regexp(t, `/rules\.yml:4: rule "off": authenticators\.anonymous: Authenticator "anonymous" is disabled`, stderr)
}

func TestCheckTriesARequest(t *testing.T) {
	config := settings(t, strings.Replace(good, `"handler":"jwt"`, `"handler":"noop"`, 1), "")
	code, stdout, stderr := run(t, "check", "--config", config, write(t, "request.json", `{"method":"GET","url":"http://h/x"}`))
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, `"outcome": "allow"`)
	require.Contains(t, stdout, `"said": "yes"`)

	code, stdout, _ = run(t, "check", "--config", config, write(t, "request.json", `{"method":"PUT","url":"http://h/x"}`))
	require.Zero(t, code, "the explanation succeeded, whatever it says")
	require.Contains(t, stdout, `"code": "no_rule"`)

	for _, file := range []string{write(t, "request.json", "{}"), "/does/not/exist.json"} {
		code, _, stderr = run(t, "check", "--config", config, file)
		require.Equal(t, 1, code)
		require.NotEmpty(t, stderr)
	}
}

func TestHealthAsksTheRunningService(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/readyz", r.URL.Path)
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	config := settings(t, good, "ops: {address: '0.0.0.0:"+port+"'}\n")

	code, _, stderr := run(t, "health", "--config", config)
	require.Zero(t, code, stderr)
	status = http.StatusServiceUnavailable
	code, _, stderr = run(t, "health", "--config", config)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "503")
}

func TestEnvironmentWinsOverTheFile(t *testing.T) {
	t.Setenv("GATEHOUSE_AUTHZ_LOG_LEVEL", "loud")
	code, _, stderr := run(t, "check", "--config", settings(t, good, "log: {level: info}\n"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "log.level")
}

func TestMisuseShowsTheUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"serve"}, {"dance", "--config", "x"}, {"check", "--config", "x", "one", "two"}, {"serve", "--config", "x", "extra"}, {"check", "--confg", "x"}} {
		code, _, stderr := run(t, args...)
		require.Equal(t, 2, code, args)
		require.Contains(t, stderr, "authz serve")
	}
}
