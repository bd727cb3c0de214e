package oathkeeper_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/oathkeeper"
)

const full = `
version: v26.2.0
log: {level: info, format: json}
tracing: {provider: otel}
profiling: cpu
serve: {proxy: {port: 4455}, api: {port: 4456}, prometheus: {port: 9000}}
access_rules: {matching_strategy: regexp, repositories: ["file://rules.yml"]}
authenticators:
  noop: {enabled: true}
  bearer_token: {enabled: true, config: {check_session_url: "http://s"}}
authorizers: {allow: {enabled: true}, remote: {enabled: false}}
mutators: {header: {enabled: true, config: {headers: {X-User: "{{ print .Subject }}"}}}, hydrator: {enabled: false}}
errors: {fallback: [json], handlers: {json: {enabled: true, config: {verbose: true}}, redirect: {enabled: false}}}
`

func TestOathkeepersOwnFileIsRead(t *testing.T) {
	config, err := oathkeeper.Parse([]byte(full))
	require.NoError(t, err)
	require.True(t, config.Authenticators["noop"].Enabled)
	require.False(t, config.Authorizers["remote"].Enabled)
	require.Equal(t, map[string]any{"X-User": "{{ print .Subject }}"}, config.Mutators["header"].Config["headers"])
	require.Equal(t, map[string]any{"verbose": true}, config.Errors.Handlers["json"].Config)
}

func TestDefaultsAreOathkeepers(t *testing.T) {
	config, err := oathkeeper.Parse([]byte(`access_rules: {repositories: "file://one.yml"}`))
	require.NoError(t, err)
	require.Equal(t, oathkeeper.Strings{"file://one.yml"}, config.AccessRules.Repositories)
	require.Equal(t, []string{"json"}, config.Errors.Fallback)
	require.True(t, config.Errors.Handlers["json"].Enabled)
	require.False(t, config.Authenticators["noop"].Enabled, "handlers are off until they are enabled")
}

func TestMistakesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"acess_rules: {}": "acess_rules",
		"access_rules: {repositories: [a], matching_strategy: glob}":                 "glob",
		"access_rules: {repositories: [a]}\nauthenticators: {jwtt: {enabled: true}}": "jwtt",
		"access_rules: {repositories: [a]}\nmutators: {noop: {enabled: true, x: 1}}": "x",
		"log: {}": "repositories",
		"access_rules: {repositories: [a]}\n---\nlog: {}": "follows",
	} {
		_, err := oathkeeper.Parse([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestMergeIsDeepForMapsAndReplacesLists(t *testing.T) {
	global := map[string]any{"headers": map[string]any{"X-User": "u", "X-Both": "g"}, "list": []any{1, 2}, "keep": true}
	rule := map[string]any{"headers": map[string]any{"X-T": "t", "X-Both": "r"}, "list": []any{3}}

	merged := oathkeeper.Merge(global, rule)

	require.Equal(t, map[string]any{
		"headers": map[string]any{"X-User": "u", "X-Both": "r", "X-T": "t"}, "list": []any{3}, "keep": true,
	}, merged)
	require.Equal(t, map[string]any{"X-User": "u", "X-Both": "g"}, global["headers"], "the global configuration stays as it was")
}

const one = `[{"id":"%","match":{"url":"http://h/","methods":["GET"]}}]`

func config(repositories ...string) oathkeeper.Config {
	var c oathkeeper.Config
	c.AccessRules.Repositories = repositories
	return c
}

func TestRulesComeFromAllRepositories(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	require.NoError(t, os.WriteFile("a.json", []byte(one), 0o600))
	require.NoError(t, os.WriteFile("b c.yml", []byte("- id: b\n  match: {url: 'http://h/b', methods: [GET]}\n"), 0o600))
	c := config(
		"file://a.json", "file://./a.json", "a.json", "file://"+filepath.Join(folder, "b%20c.yml"),
		"inline://"+base64.StdEncoding.EncodeToString([]byte(one)),
	)
	rules, err := c.Rules()
	require.NoError(t, err)
	require.Len(t, rules, 5)
}

func TestOneUnreadableRepositoryFailsTheLoad(t *testing.T) {
	for _, repository := range []string{
		"file:///does/not/exist.json", "https://user:hunter2@host/rules.json", "s3://bucket/rules.json", "inline://%%%", "inline://e30=",
	} {
		c := config("inline://"+base64.StdEncoding.EncodeToString([]byte(one)), repository)
		_, err := c.Rules()
		require.Error(t, err, repository)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestHTTPRepositoriesAreNamedAsUnsupported(t *testing.T) {
	c := config("https://host/rules.json")
	_, err := c.Rules()
	require.ErrorContains(t, err, "not supported")
}
