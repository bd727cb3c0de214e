package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/revocation"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
)

const revocableRules = `
- {id: jwt, match: {url: "https://h/jwt", methods: [GET]}, authenticators: [{handler: jwt}], authorizer: {handler: deny}, mutators: [{handler: noop}]}
- {id: session, match: {url: "https://h/session", methods: [GET]}, authenticators: [{handler: cookie_session}, {handler: anonymous}], authorizer: {handler: deny}, mutators: [{handler: noop}]}
- {id: open, match: {url: "https://h/open", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: deny}, mutators: [{handler: noop}]}
`

// revocable is a door that follows a file. Its rules deny with 403 whom they know, so that 403 means "nothing
// was revoked, and the authorizer was asked".
type revocable struct {
	t      *testing.T
	engine engine.Engine
	header map[string]http.Header // by path
}

func newRevocable(t *testing.T, change func(*revocation.Settings), entries ...revocation.Entry) *revocable {
	t.Helper()
	kratos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"id":"s-1","issued_at":"2026-01-01T00:00:00Z","active":true,"subject":"u-1"}`)
	}))
	t.Cleanup(kratos.Close)
	issuer := newKey(t, "k")
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"sub": "u-1", "client_id": "c-1", "jti": "t-1", "aud": "api", "iat": time.Now().Unix() - 10, "exp": time.Now().Unix() + 600,
	})
	token.Header["kid"] = "k"
	signed, err := token.SignedString(issuer.Key)
	require.NoError(t, err)

	config, err := oathkeeper.Parse(fmt.Appendf(nil, `
access_rules: {repositories: [unused]}
authenticators:
  noop: {enabled: true}
  anonymous: {enabled: true}
  jwt: {enabled: true, config: {jwks_urls: ["http://issuer"], allowed_algorithms: [ES256]}}
  cookie_session: {enabled: true, config: {check_session_url: "%s/whoami", preserve_path: true}}
authorizers: {deny: {enabled: true}}
mutators: {noop: {enabled: true}}
`, kratos.URL))
	require.NoError(t, err)
	parsed, err := rule.Parse([]byte(revocableRules))
	require.NoError(t, err)
	published := keySet(t, issuer.Public())
	snapshot, err := engine.Compile(config, parsed, engine.Options{
		ProblemPrefixes: []string{"/"},
		Upstream:        upstream.New(upstream.Options{Timeout: 5 * time.Second, MaxConnections: 1}),
		Keys:            keys.NewStore(func(context.Context, string) ([]byte, error) { return published, nil }, time.Now),
		Revocations:     followFile(t, change, entries),
		Now:             time.Now,
	})
	require.NoError(t, err)
	r := &revocable{t: t, header: map[string]http.Header{
		"/jwt": {"Authorization": {"Bearer " + signed}}, "/session": {"Cookie": {"s=1"}},
	}}
	r.engine.Use(snapshot)
	return r
}

// followFile reads the entries, or nothing at all if they are nil, which leaves the list stale.
func followFile(t *testing.T, change func(*revocation.Settings), entries []revocation.Entry) *revocation.List {
	t.Helper()
	settings := revocation.Default()
	settings.File = filepath.Join(t.TempDir(), "revoked.json")
	change(&settings)
	list := revocation.NewList(settings, time.Now)
	if entries == nil || list == nil {
		return list
	}
	text, err := json.Marshal(map[string]any{"entries": entries})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(settings.File, text, 0o600))
	follower, err := revocation.NewFollower(settings, list, slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	follower.CatchUp(t.Context())
	return list
}

func (r *revocable) requires(path string, outcome engine.Outcome, status int) engine.Decision {
	r.t.Helper()
	d := r.engine.Decide(r.t.Context(), request(path, r.header[path]))
	require.Equal(r.t, outcome, d.Outcome, d.Reason)
	require.Equal(r.t, status, d.Status, d.Reason)
	return d
}

func as(*revocation.Settings) {}

func TestRevokedCallerIs401BeforeTheAuthorizerIsAsked(t *testing.T) {
	forever := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		entry        revocation.Entry
		jwt, session int
	}{
		"subject":                 {revocation.Entry{Kind: revocation.Subject, ID: "u-1"}, 401, 401},
		"subject, some years ago": {revocation.Entry{Kind: revocation.Subject, ID: "u-1", NotBefore: time.Unix(1, 0)}, 403, 403},
		"session":                 {revocation.Entry{Kind: revocation.Session, ID: "s-1"}, 403, 401},
		"client":                  {revocation.Entry{Kind: revocation.Client, ID: "c-1"}, 401, 403},
		"token":                   {revocation.Entry{Kind: revocation.Token, ID: "t-1"}, 401, 403},
		"somebody else":           {revocation.Entry{Kind: revocation.Subject, ID: "u-2"}, 403, 403},
	} {
		t.Run(name, func(t *testing.T) {
			c.entry.Expires = forever
			r := newRevocable(t, as, c.entry)
			d := r.requires("/jwt", engine.Denied, c.jwt)
			if c.jwt == http.StatusUnauthorized {
				require.Equal(t, "unauthenticated", d.Code)
				require.Equal(t, "jwt", d.Handler)
				require.Contains(t, d.Reason, "revoked")
			}
			r.requires("/session", engine.Denied, c.session)
			r.requires("/open", engine.Denied, 403)
		})
	}
}

func TestStaleListIsAnOutageForJWTsOnly(t *testing.T) {
	r := newRevocable(t, as)
	d := r.requires("/jwt", engine.Failed, http.StatusServiceUnavailable)
	require.Contains(t, d.Reason, "stale")
	r.requires("/session", engine.Denied, 403)
	r.requires("/open", engine.Denied, 403)

	newRevocable(t, func(s *revocation.Settings) { s.WhenStale = revocation.Allow }).requires("/jwt", engine.Denied, 403)
}

func TestWithoutASourceNothingChanges(t *testing.T) {
	r := newRevocable(t, func(s *revocation.Settings) { s.File = "" }, revocation.Entry{Kind: revocation.Subject, ID: "u-1"})
	r.requires("/jwt", engine.Denied, 403)
	r.requires("/session", engine.Denied, 403)
}
