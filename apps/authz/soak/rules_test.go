//go:build soak

package soak

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/server"
)

// oathkeeperConfig asks @SERVERS@ for everything.
const oathkeeperConfig = `
access_rules: {repositories: ["file://@FOLDER@/rules.yml"]}
errors:
  fallback: [json]
  handlers: {json: {enabled: true}, www_authenticate: {enabled: true}}
authenticators:
  noop: {enabled: true}
  unauthorized: {enabled: true}
  jwt: {enabled: true, config: {jwks_urls: ["@SERVERS@/keys"], trusted_issuers: [soak], target_audience: [soak]}}
  oauth2_introspection: {enabled: true, config: {introspection_url: "@SERVERS@/introspect", target_audience: [soak]}}
  cookie_session: {enabled: true, config: {check_session_url: "@SERVERS@/whoami", preserve_path: true, only: [session]}}
authorizers: {allow: {enabled: true}}
mutators: {header: {enabled: true, config: {headers: {X-Set: "none"}}}}
`

// rules of set @SET@. What passes says so twice, and who.
const rules = `
- &rule {id: open, match: {url: "<https?>://<[^/]+>/open/<.*>", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: header, config: {headers: {X-Set: "@SET@"}}}, {handler: header, config: {headers: {X-Set: "@SET@", X-Set-Too: "@SET@", X-Subject: "{{ print .Subject }}"}}}]}
- {<<: *rule, id: jwt, match: {url: "<https?>://<[^/]+>/jwt/<.*>", methods: [GET]}, authenticators: [{handler: jwt}]}
- {<<: *rule, id: token, match: {url: "<https?>://<[^/]+>/token/<.*>", methods: [GET]}, authenticators: [{handler: oauth2_introspection}]}
- {<<: *rule, id: session, match: {url: "<https?>://<[^/]+>/session/<.*>", methods: [GET]}, authenticators: [{handler: cookie_session}]}
- {<<: *rule, id: runaway, match: {url: "<https?>://<[^/]+>/runaway/<(?!zz)(a+)+>", methods: [GET]}}
- {<<: *rule, id: only, match: {url: "<https?>://<[^/]+>/only-in-@SET@", methods: [GET]}}
`

// changing passes with set A and is refused with set B, which says so.
var changing = map[string]string{
	"A": `- {<<: *rule, id: changing, match: {url: "<https?>://<[^/]+>/changing", methods: [GET]}}` + "\n",
	"B": `- {<<: *rule, id: changing, match: {url: "<https?>://<[^/]+>/changing", methods: [GET]}, authenticators: [{handler: unauthorized}], errors: [{handler: www_authenticate, config: {realm: B}}]}` + "\n",
}

func writeSettings(t *testing.T, servers string) server.Settings {
	t.Helper()
	folder := t.TempDir()
	config := strings.NewReplacer("@FOLDER@", folder, "@SERVERS@", servers).Replace(oathkeeperConfig)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "oathkeeper.yml"), []byte(config), 0o600))
	require.NoError(t, exchange(folder, "A"))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := server.Default()
	s.OathkeeperConfig = filepath.Join(folder, "oathkeeper.yml")
	s.GRPC.Address, s.Ops.Address = "unix://"+filepath.Join(folder, "authz.sock"), listener.Addr().String()
	s.Upstream.Timeout, s.Upstream.BreakerPause = upstreamTime, breakerPause
	s.Cache.MaxEntries, s.Cache.SessionTTL, s.Cache.IntrospectionTTL, s.Cache.NegativeTTL = 1000, kept, kept, kept
	s.Readiness = []server.Readiness{{Upstream: servers, URL: servers + "/ready"}}
	s.Reload.Interval = 100 * time.Millisecond
	require.NoError(t, s.Verify())
	require.NoError(t, listener.Close())
	return s
}

// exchange puts another set in the place of the rules, whole.
func exchange(folder, set string) error {
	text := strings.ReplaceAll(rules+changing[set], "@SET@", set)
	if set == "broken" {
		text = "- {id: half"
	}
	next := filepath.Join(folder, "next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(folder, "rules.yml"))
}

// reload exchanges the rules every second. One set in ten is broken, and the one before it stays.
func (r *run) reload(ctx context.Context, folder string) {
	for n := 0; wait(ctx, time.Second, nil); n++ {
		set := []string{"B", "A"}[n%2]
		if n%10 == 9 {
			set = "broken"
		}
		if err := exchange(folder, set); err != nil {
			r.fault("%v", err)
		}
		r.swaps++
	}
}
