package oathkeeper_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/rule"
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
		"access_rules: {repositories: [a], matching_strategy: prefix}":               "prefix",
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

// source reads a configuration that names these repositories.
func source(t *testing.T, repositories ...string) *oathkeeper.Source {
	t.Helper()
	list, err := json.Marshal(repositories)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "oathkeeper.yml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `{"access_rules":{"repositories":%s}}`, list), 0o600))
	return &oathkeeper.Source{Path: path, Interval: time.Minute, Now: time.Now}
}

// rules reads and parses everything.
func rules(t *testing.T, s *oathkeeper.Source) ([]rule.Rule, error) {
	t.Helper()
	documents, _, err := s.Read(t.Context())
	if err != nil {
		return nil, err
	}
	_, all, err := documents.Parse()
	return all, err
}

func TestRulesComeFromAllRepositories(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	require.NoError(t, os.WriteFile("a.json", []byte(one), 0o600))
	require.NoError(t, os.WriteFile("b c.yml", []byte("- id: b\n  match: {url: 'http://h/b', methods: [GET]}\n"), 0o600))
	all, err := rules(t, source(t,
		"file://a.json", "file://./a.json", "a.json", "file://"+filepath.Join(folder, "b%20c.yml"),
		"inline://"+base64.StdEncoding.EncodeToString([]byte(one)),
	))
	require.NoError(t, err)
	require.Len(t, all, 5)
}

func TestOneUnreadableRepositoryFailsTheLoad(t *testing.T) {
	for _, repository := range []string{
		"file:///does/not/exist.json", "https://user:hunter2@127.0.0.1:1/rules.json", "s3://bucket/rules.json", "inline://%%%", "inline://e30=",
		"http://user:hunter2@h:port/rules.json",
	} {
		_, err := rules(t, source(t, "inline://"+base64.StdEncoding.EncodeToString([]byte(one)), repository))
		require.Error(t, err, repository)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestReadingTwiceShowsWhatChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.json")
	require.NoError(t, os.WriteFile(path, []byte(one), 0o600))
	s := source(t, "file://"+path)
	read := func() *oathkeeper.Documents {
		documents, stale, err := s.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, stale)
		return documents
	}
	first := read()
	require.False(t, first.Equal(nil))
	require.True(t, first.Equal(read()))
	require.NoError(t, os.WriteFile(path, []byte(one+" "), 0o600))
	second := read()
	require.False(t, second.Equal(first))
	config, err := os.ReadFile(s.Path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.Path, append(config, ' '), 0o600))
	require.False(t, second.Equal(read()))
}

func TestRemoteRepositoryIsAskedForNews(t *testing.T) {
	status, asked, conditional := http.StatusOK, 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, conditional = asked+1, r.Header.Get("If-None-Match")
		w.Header().Set("ETag", `"1"`)
		if conditional == `"1"` && status == http.StatusOK {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, one)
	}))
	t.Cleanup(server.Close)
	now := time.Unix(0, 0)
	s := source(t, server.URL+"/rules.json")
	s.Now = func() time.Time { return now }
	read := func() (*oathkeeper.Documents, error) {
		documents, stale, err := s.Read(t.Context())
		require.NoError(t, err)
		return documents, stale
	}

	first, stale := read()
	require.NoError(t, stale)
	require.Equal(t, 1, asked)
	_, _ = read()
	require.Equal(t, 1, asked, "within the interval")

	now = now.Add(time.Minute)
	again, stale := read()
	require.NoError(t, stale)
	require.Equal(t, `"1"`, conditional)
	require.True(t, first.Equal(again), "not modified")

	for _, failing := range []func(){func() { status = http.StatusInternalServerError }, server.Close} {
		failing()
		now = now.Add(time.Minute)
		kept, stale := read()
		require.ErrorContains(t, stale, server.URL)
		require.True(t, first.Equal(kept), "the last rules stay")
	}
}

func TestEnvironmentWinsOverTheFileAsInOathkeeper(t *testing.T) {
	s := source(t, "inline://W10=")
	s.Environment = []string{
		"AUTHENTICATORS_JWT_ENABLED=true", "AUTHENTICATORS_JWT_CONFIG_JWKS_URLS=http://a, http://b",
		"AUTHENTICATORS_COOKIE_SESSION_CONFIG_CHECK_SESSION_URL=http://kratos", "AUTHENTICATORS_COOKIE_SESSION_CONFIG_PRESERVE_PATH=true",
		"MUTATORS_HYDRATOR_CONFIG_API_AUTH_BASIC_USERNAME=u", "MUTATORS_HYDRATOR_CONFIG_API_AUTH_BASIC_PASSWORD=p",
		`MUTATORS_HEADER_CONFIG_HEADERS={"X-User":"{{ print .Subject }}"}`, "AUTHORIZERS_ALLOW_ENABLED=true",
		"ERRORS_HANDLERS_REDIRECT_CONFIG_CODE=301", `ERRORS_FALLBACK=["redirect","json"]`, "ACCESS_RULES_MATCHING_STRATEGY=glob", "VERSION=x", "PATH=/bin",
	}
	documents, _, err := s.Read(t.Context())
	require.NoError(t, err)
	config, _, err := documents.Parse()
	require.NoError(t, err)
	require.True(t, config.Authenticators["jwt"].Enabled)
	require.Equal(t, []any{"http://a", "http://b"}, config.Authenticators["jwt"].Config["jwks_urls"])
	require.Equal(t, map[string]any{"check_session_url": "http://kratos", "preserve_path": true}, config.Authenticators["cookie_session"].Config)
	require.Equal(t, map[string]any{"api": map[string]any{"auth": map[string]any{"basic": map[string]any{"username": "u", "password": "p"}}}},
		config.Mutators["hydrator"].Config)
	require.Equal(t, map[string]any{"headers": map[string]any{"X-User": "{{ print .Subject }}"}}, config.Mutators["header"].Config)
	require.True(t, config.Authorizers["allow"].Enabled)
	require.Equal(t, map[string]any{"code": 301}, config.Errors.Handlers["redirect"].Config)
	require.Equal(t, []string{"redirect", "json"}, config.Errors.Fallback)
	require.Equal(t, "glob", config.AccessRules.MatchingStrategy)
	require.True(t, config.Errors.Handlers["json"].Enabled, "defaults come after the environment")
}

func TestUnreadableVariablesAreNamedWithoutTheirValues(t *testing.T) {
	s := source(t, "inline://W10=")
	s.Environment = []string{
		"AUTHENTICATORS_JWT_ENABLED=hunter2", "MUTATORS_HEADER_CONFIG_HEADERS=hunter2", "ERRORS_HANDLERS_REDIRECT_CONFIG_CODE=hunter2", "ERRORS_FALLBACK=[1]",
	}
	_, _, err := s.Read(t.Context())
	for _, entry := range s.Environment {
		name, _, _ := strings.Cut(entry, "=")
		require.ErrorContains(t, err, name)
	}
	require.NotContains(t, err.Error(), "hunter2")
}
