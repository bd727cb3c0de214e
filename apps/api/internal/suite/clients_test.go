//go:build integration

package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	client "github.com/ory/client-go"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/app"
	"gatehouse.internal/api/internal/ory/hydratest"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/libs/config"
)

const audience = publicURL + "/api"

// issuer is a Hydra that asks the world's API before it issues a token.
type issuer struct {
	*world
	hydra hydratest.Hydra
	admin *client.APIClient
}

// newIssuer starts a world with a Hydra of its own.
func newIssuer(t *testing.T) issuer {
	t.Helper()
	var internal atomic.Pointer[app.App]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { internal.Load().Internal.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	hydra := hydratest.Start(t, server.URL)
	w := newWorld(t, func(s *settings) {
		s.Hydra.PublicURL, s.Hydra.AdminURL, s.Hydra.WebhookSecret = hydra.PublicURL, hydra.AdminURL, config.Secret(hydra.WebhookSecret)
	})
	internal.Store(w.api)
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: hydra.AdminURL}}
	return issuer{w, hydra, client.NewAPIClient(configuration)}
}

func (i issuer) in(t *testing.T) issuer {
	i.world = i.world.in(t)
	return i
}

// token asks Hydra's token endpoint as a client.
func (i issuer) token(id, secret string, form url.Values) (int, map[string]any) {
	i.t.Helper()
	request, err := http.NewRequestWithContext(i.t.Context(), http.MethodPost, i.hydra.PublicURL+"/oauth2/token", strings.NewReader(form.Encode()))
	require.NoError(i.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	response, err := http.DefaultClient.Do(request)
	require.NoError(i.t, err)
	defer func() { _ = response.Body.Close() }()
	answer := map[string]any{}
	require.NoError(i.t, json.NewDecoder(response.Body).Decode(&answer))
	return response.StatusCode, answer
}

func (i issuer) own(id, secret string) (int, map[string]any) {
	i.t.Helper()
	return i.token(id, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {"gateways:read"}, "audience": {audience}})
}

// issued is an access token of a client for itself.
func (i issuer) issued(id, secret string) string {
	i.t.Helper()
	status, answer := i.own(id, secret)
	require.Equal(i.t, http.StatusOK, status, "%v", answer)
	return answer["access_token"].(string)
}

// active tells whether Hydra still takes a token.
func (i issuer) active(token string) bool {
	i.t.Helper()
	found, response, err := i.admin.OAuth2API.IntrospectOAuth2Token(i.t.Context()).Token(token).Execute()
	require.NoError(i.t, err)
	require.NoError(i.t, response.Body.Close())
	return found.Active
}

// known tells whether Hydra has a client.
func (i issuer) known(id string) bool {
	i.t.Helper()
	_, response, err := i.admin.OAuth2API.GetOAuth2Client(i.t.Context(), id).Execute()
	require.NotNil(i.t, response, "%v", err)
	require.NoError(i.t, response.Body.Close())
	return response.StatusCode == http.StatusOK
}

// code runs the authorization code flow of a person, as the web app would, and returns what the code is exchanged for.
func (i issuer) code(id, secret string, person caller) (int, map[string]any) {
	i.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(i.t, err)
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	follow := func(target string) *url.URL { // Hydra's redirects name the public origin
		parsed, err := url.Parse(target)
		require.NoError(i.t, err)
		request, err := http.NewRequestWithContext(i.t.Context(), http.MethodGet, i.hydra.PublicURL+parsed.Path+"?"+parsed.RawQuery, nil)
		require.NoError(i.t, err)
		response, err := browser.Do(request)
		require.NoError(i.t, err)
		require.NoError(i.t, response.Body.Close())
		next, err := response.Location()
		require.NoError(i.t, err)
		return next
	}
	scopes := []string{"openid", "offline_access", "gateways:read"}
	start := follow("/oauth2/auth?" + url.Values{
		"client_id": {id}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {strings.Join(scopes, " ")},
		"audience": {audience}, "state": {"0123456789"},
	}.Encode())
	login, response, err := i.admin.OAuth2API.AcceptOAuth2LoginRequest(i.t.Context()).LoginChallenge(start.Query().Get("login_challenge")).
		AcceptOAuth2LoginRequest(*client.NewAcceptOAuth2LoginRequest(person.id)).Execute()
	require.NoError(i.t, err, start.String())
	require.NoError(i.t, response.Body.Close())
	grant := client.NewAcceptOAuth2ConsentRequest()
	grant.GrantScope, grant.GrantAccessTokenAudience = scopes, []string{audience}
	allowed, response, err := i.admin.OAuth2API.AcceptOAuth2ConsentRequest(i.t.Context()).
		ConsentChallenge(follow(login.RedirectTo).Query().Get("consent_challenge")).AcceptOAuth2ConsentRequest(*grant).Execute()
	require.NoError(i.t, err)
	require.NoError(i.t, response.Body.Close())
	return i.token(id, secret, url.Values{
		"grant_type": {"authorization_code"}, "code": {follow(allowed.RedirectTo).Query().Get("code")}, "redirect_uri": {callback},
	})
}

const callback = "https://app.example/callback?from=gatehouse"

func forItself(scopes ...string) map[string]any {
	return map[string]any{"name": "Batch", "grant_types": []string{"client_credentials"}, "scopes": append([]string{"gateways:read"}, scopes...)}
}

func forPeople() map[string]any {
	return map[string]any{
		"name": "App", "grant_types": []string{"authorization_code", "refresh_token"}, "redirect_uris": []string{callback},
		"scopes": []string{"openid", "offline_access", "gateways:read"},
	}
}

func TestClients(t *testing.T) {
	i := newIssuer(t)
	ann := i.person()
	organization := i.organization(ann)
	admin, member, outsider := i.member(organization, "admin"), i.member(organization, "member"), i.person()
	list := "/api/organizations/" + organization + "/clients"
	create := func(i issuer, input map[string]any) (id, secret, path string) {
		i.t.Helper()
		created := i.post(ann, list, input).requires(http.StatusCreated)
		return created.text("id"), created.text("client_secret"), created.header.Get("Location")
	}
	foreign, response, err := i.admin.OAuth2API.CreateOAuth2Client(t.Context()).OAuth2Client(client.OAuth2Client{
		GrantTypes: []string{"client_credentials"}, Scope: ptr("gateways:read"), Audience: []string{audience},
	}).Execute()
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())

	t.Run("a client gets tokens with its secret, which is shown once", func(t *testing.T) {
		i := i.in(t)
		once := request{method: http.MethodPost, path: list, body: forItself(), header: map[string]string{"Idempotency-Key": "once"}}
		created := i.do(admin, once).requires(http.StatusCreated)
		id, secret := created.text("id"), created.text("client_secret")
		require.Equal(t, list+"/"+id, created.header.Get("Location"))
		require.Equal(t, `"1"`, created.header.Get("ETag"))
		require.Equal(t, []any{audience}, created.json()["audience"])
		require.True(t, i.active(i.issued(id, secret)))

		again := i.do(admin, once).requires(http.StatusCreated)
		require.Equal(t, "true", again.header.Get("Idempotent-Replayed"))
		require.Equal(t, id, again.text("id"))
		require.NotContains(t, string(again.body), "secret")
		require.NotContains(t, string(i.get(admin, list+"/"+id).requires(http.StatusOK).body), secret)
		other := once
		other.body = forItself("products:read")
		i.do(admin, other).refused(problem.IdempotencyMismatch)
		i.whileLocked("createClient", ann, organization, func(header map[string]string) {
			i.do(ann, request{method: http.MethodPost, path: list, body: forItself(), header: header}).refused(problem.IdempotencyInProgress)
		})
	})
	t.Run("what no organization decides is refused", func(t *testing.T) {
		i := i.in(t)
		for _, field := range []string{"skip_consent", "jwks_uri", "sector_identifier_uri", "backchannel_logout_uri", "client_id", "owner", "metadata"} {
			input := forItself()
			input[field] = "https://internal.example"
			i.post(ann, list, input).refused(problem.InvalidRequest)
		}
		for name, change := range map[string]func(map[string]any){
			"a scope of nobody":          func(c map[string]any) { c["scopes"] = []string{"everything"} },
			"a person's for itself":      func(c map[string]any) { c["scopes"] = []string{"openid"} },
			"nowhere to come back to":    func(c map[string]any) { c["grant_types"] = []string{"authorization_code"} },
			"a refresh without a person": func(c map[string]any) { c["grant_types"] = []string{"client_credentials", "refresh_token"} },
			"an audience without TLS":    func(c map[string]any) { c["audience"] = []string{"http://other.example"} },
		} {
			input := forItself()
			change(input)
			require.Equal(t, http.StatusUnprocessableEntity, i.post(ann, list, input).status, name)
		}
	})
	t.Run("members see clients, admins make them, in a session only", func(t *testing.T) {
		i := i.in(t)
		_, _, path := create(i, forItself())
		i.get(member, path).requires(http.StatusOK)
		i.get(member.through(foreign.GetClientId(), "clients:read"), path).requires(http.StatusOK)
		i.get(outsider, path).refused(problem.NotFound)
		i.get(outsider, list).refused(problem.NotFound)
		i.get(ann, list+"/"+uuid.NewString()).refused(problem.NotFound)
		i.get(ann, "/api/organizations/"+i.organization(ann)+path[strings.LastIndex(path, "/clients"):]).refused(problem.NotFound)
		for _, r := range []request{
			{method: http.MethodPost, path: list, body: forItself()}, {method: http.MethodPut, path: path, body: forItself()},
			{method: http.MethodPost, path: path + "/secret"}, {method: http.MethodPost, path: path + "/disable"},
			{method: http.MethodPost, path: path + "/enable"}, {method: http.MethodDelete, path: path},
		} {
			i.do(member, r).refused(problem.Forbidden)
			i.do(outsider, r).refused(problem.NotFound)
			i.do(ann.through(foreign.GetClientId(), "clients:read", "clients:write"), r).refused(problem.SessionRequired)
			i.do(nobody, r).refused(problem.Unauthenticated)
		}
	})
	t.Run("an organization that is none is a mistake of the caller", func(t *testing.T) {
		i := i.in(t)
		path := "/api/organizations/none/clients/" + uuid.NewString()
		for _, r := range []request{
			{method: http.MethodGet, path: path}, {method: http.MethodDelete, path: path}, {method: http.MethodPost, path: path + "/secret"},
			{method: http.MethodPost, path: path + "/disable"}, {method: http.MethodPost, path: path + "/enable"},
		} {
			i.do(ann, r).refused(problem.InvalidRequest)
		}
	})
	t.Run("the list is in the order of creation", func(t *testing.T) {
		i := i.in(t)
		own := "/api/organizations/" + i.organization(ann) + "/clients"
		var made []string
		for range 3 {
			made = append(made, i.post(ann, own, forItself()).requires(http.StatusCreated).text("id"))
		}
		var seen []string
		for _, item := range all(i.world, ann, own+"?limit=2") {
			seen = append(seen, item["id"].(string))
		}
		require.Equal(t, made, seen)
		i.get(ann, own+"?cursor=nonsense").refused(problem.InvalidRequest)
		i.get(ann, own+"?cursor=WyJ4IiwieSJd").refused(problem.InvalidRequest) // ["x","y"]
	})
	t.Run("an update acts at once and keeps the secret", func(t *testing.T) {
		i := i.in(t)
		id, secret, path := create(i, forItself("products:read"))
		i.do(ann, stale(http.MethodPut, path, forItself())).refused(problem.PreconditionFailed)
		wrong := forItself()
		wrong["audience"] = []string{"ftp://other"}
		i.put(ann, path, wrong).refused(problem.Unprocessable)
		input := forItself()
		input["name"], input["audience"], input["scopes"] = "Renamed", []string{"https://other.example/v1"}, []string{"products:read"}
		updated := i.put(admin, path, input).requires(http.StatusOK)
		require.Equal(t, "Renamed", updated.text("name"))
		require.Equal(t, []any{audience, "https://other.example/v1"}, updated.json()["audience"])
		status, _ := i.own(id, secret)
		require.Equal(t, http.StatusBadRequest, status, "gateways:read is taken away")
		status, _ = i.token(id, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {"products:read"}, "audience": {"https://other.example/v1"}})
		require.Equal(t, http.StatusOK, status)
	})
	t.Run("a rotation ends the old secret at once", func(t *testing.T) {
		i := i.in(t)
		id, old, path := create(i, forItself())
		once := request{method: http.MethodPost, path: path + "/secret", header: map[string]string{"Idempotency-Key": "turn"}}
		rotated := i.do(admin, once).requires(http.StatusOK)
		secret := rotated.text("client_secret")
		require.NotEqual(t, old, secret)
		require.Equal(t, `"2"`, rotated.header.Get("ETag"))
		status, _ := i.own(id, old)
		require.Equal(t, http.StatusUnauthorized, status)
		i.issued(id, secret)

		require.NotContains(t, string(i.do(admin, once).requires(http.StatusOK).body), "secret")
		i.issued(id, secret) // the replay has not turned it again
		i.do(admin, request{method: http.MethodPost, path: path + "/secret?x=1", header: once.header}).refused(problem.IdempotencyMismatch)
		i.whileLocked("rotateClientSecret", ann, organization, func(header map[string]string) {
			i.do(ann, request{method: http.MethodPost, path: path + "/secret", header: header}).refused(problem.IdempotencyInProgress)
		})
	})
	t.Run("a disabled client gets no token and uses none", func(t *testing.T) {
		i := i.in(t)
		id, secret, path := create(i, forItself())
		token, asItself := i.issued(id, secret), machine(id, "gateways:read")
		i.get(asItself, "/api/gateways").requires(http.StatusOK)

		require.Equal(t, true, i.post(admin, path+"/disable", nil).requires(http.StatusOK).json()["disabled"])
		i.post(admin, path+"/disable", nil).refused(problem.Conflict)
		i.get(asItself, "/api/gateways").refused(problem.Unauthenticated)
		i.get(ann.through(id, "gateways:read"), "/api/gateways").refused(problem.Unauthenticated)
		status, _ := i.own(id, secret)
		require.Equal(t, http.StatusForbidden, status)
		require.Eventually(t, func() bool { return !i.active(token) }, 20*time.Second, 50*time.Millisecond, "tokens that are out end")
		require.True(t, i.published(id), "the door hears of it")

		require.Equal(t, false, i.post(admin, path+"/enable", nil).requires(http.StatusOK).json()["disabled"])
		i.post(admin, path+"/enable", nil).refused(problem.Conflict)
		i.get(asItself, "/api/gateways").requires(http.StatusOK)
		require.True(t, i.active(i.issued(id, secret)))
		require.False(t, i.active(token))
	})
	t.Run("a person's tokens end with the client, and with the person", func(t *testing.T) {
		i := i.in(t)
		id, secret, path := create(i, forPeople())
		status, got := i.code(id, secret, member)
		require.Equal(t, http.StatusOK, status, "%v", got)
		refresh := func() int {
			i.t.Helper()
			status, answer := i.token(id, secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got["refresh_token"].(string)}})
			if status == http.StatusOK {
				got = answer
			}
			return status
		}
		require.Equal(t, http.StatusOK, refresh())
		i.post(ann, path+"/disable", nil).requires(http.StatusOK)
		require.Equal(t, http.StatusForbidden, refresh())
		status, _ = i.code(id, secret, member)
		require.Equal(t, http.StatusForbidden, status)
		i.post(ann, path+"/enable", nil).requires(http.StatusOK)
		require.Equal(t, http.StatusOK, refresh(), "a refusal does not use it up")

		suspended := i.person()
		i.get(suspended, "/api/me").requires(http.StatusOK)
		status, _ = i.code(id, secret, suspended)
		require.Equal(t, http.StatusOK, status)
		i.execute("UPDATE users SET state = 'inactive' WHERE id = $1", suspended.id)
		status, _ = i.code(id, secret, suspended)
		require.Equal(t, http.StatusForbidden, status)
		i.execute("UPDATE users SET state = 'active', deleted_at = now() WHERE id = $1", suspended.id)
		status, _ = i.code(id, secret, suspended)
		require.Equal(t, http.StatusForbidden, status)
	})
	t.Run("a deleted client is gone everywhere, with its grants", func(t *testing.T) {
		i := i.in(t)
		id, secret, path := create(i, forItself())
		gateway := i.gateway(ann, organization)
		i.put(ann, "/api/gateways/"+gateway+"/grants/client/"+id, map[string]any{"role": "viewer"}).requires(http.StatusOK)
		token, asItself := i.issued(id, secret), machine(id, "gateways:read")
		i.get(asItself, "/api/gateways/"+gateway).requires(http.StatusOK)

		i.do(ann, stale(http.MethodDelete, path, nil)).refused(problem.PreconditionFailed)
		i.delete(admin, path).requires(http.StatusNoContent)
		for _, r := range []request{
			{method: http.MethodGet, path: path}, {method: http.MethodDelete, path: path}, {method: http.MethodPut, path: path, body: forItself()},
			{method: http.MethodPost, path: path + "/secret"}, {method: http.MethodPost, path: path + "/disable"},
			{method: http.MethodPost, path: path + "/enable"},
		} {
			i.do(ann, r).refused(problem.NotFound)
		}
		i.get(asItself, "/api/gateways/"+gateway).refused(problem.Unauthenticated)
		status, _ := i.own(id, secret)
		require.Contains(t, []int{http.StatusForbidden, http.StatusUnauthorized}, status, "the hook refuses, or Hydra has forgotten it")
		require.NotContains(t, subjects(i.get(ann, "/api/gateways/"+gateway+"/grants")), id)
		require.Eventually(t, func() bool { return !i.known(id) }, 20*time.Second, 50*time.Millisecond)
		require.False(t, i.active(token))
	})
	t.Run("an organization takes its clients along", func(t *testing.T) {
		i := i.in(t)
		own := i.organization(ann)
		created := i.post(ann, "/api/organizations/"+own+"/clients", forItself()).requires(http.StatusCreated)
		id, path := created.text("id"), "/api/organizations/"+own
		digest := i.get(ann, path+"/deletion").requires(http.StatusOK).text("digest")
		i.delete(ann, path+"?cascade=true&expected="+digest).requires(http.StatusNoContent)
		i.get(machine(id), "/api/me").refused(problem.Unauthenticated)
		require.Eventually(t, func() bool { return !i.known(id) }, 20*time.Second, 50*time.Millisecond)
	})
	t.Run("a client that is another's is left alone", func(t *testing.T) {
		i := i.in(t)
		require.True(t, i.active(i.issued(foreign.GetClientId(), foreign.GetClientSecret())))
		i.get(machine(foreign.GetClientId()), "/api/me").requires(http.StatusOK)
	})
	t.Run("a client with our mark and without a row is refused", func(t *testing.T) {
		i := i.in(t)
		id, secret, _ := create(i, forItself())
		i.execute("DELETE FROM oauth2_clients WHERE id = $1", id)
		status, _ := i.own(id, secret)
		require.Equal(t, http.StatusForbidden, status)
	})
	t.Run("that the API saw it is noted by the hour", func(t *testing.T) {
		i := i.in(t)
		id, _, path := create(i, forItself())
		require.Nil(t, i.get(ann, path).requires(http.StatusOK).json()["last_seen_at"])
		for range 2 {
			i.get(machine(id), "/api/me").requires(http.StatusOK)
		}
		seen := i.get(ann, path).requires(http.StatusOK)
		at, err := time.Parse(time.RFC3339, seen.text("last_seen_at"))
		require.NoError(t, err)
		require.Equal(t, at.Truncate(time.Hour), at)
		require.Equal(t, `"1"`, seen.header.Get("ETag"), "it is no change of the client")
		var version string
		i.read(&version, "SELECT xmin::text FROM oauth2_clients WHERE id = $1", id)
		i.get(machine(id), "/api/me").requires(http.StatusOK)
		var later string
		i.read(&later, "SELECT xmin::text FROM oauth2_clients WHERE id = $1", id)
		require.Equal(t, version, later, "nothing is written again within the hour")
	})
}

func ptr[T any](value T) *T { return &value }

func subjects(page answer) []string {
	var out []string
	for _, item := range page.items() {
		out = append(out, item["subject"].(string))
	}
	return out
}

// published tells whether the feed takes something away from a client.
func (i issuer) published(id string) bool {
	i.t.Helper()
	var n int
	i.read(&n, "SELECT count(*) FROM revocations WHERE kind = 'client' AND subject_id = $1", id)
	return n > 0
}

// buffer is a log that the service and the test use at once.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestSecretsOfClientsAreWrittenNowhere(t *testing.T) {
	i := newIssuer(t)
	var log buffer
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	logged, err := app.New(ctx, i.settings, slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	require.NoError(t, err)
	defer logged.Close()
	server := httptest.NewServer(logged.Public)
	defer server.Close()
	i.server = server

	ann := i.person()
	list := "/api/organizations/" + i.organization(ann) + "/clients"
	created := i.do(ann, request{method: http.MethodPost, path: list, body: forItself(), header: map[string]string{"Idempotency-Key": "k"}}).requires(http.StatusCreated)
	rotated := i.do(ann, request{method: http.MethodPost, path: created.header.Get("Location") + "/secret", header: map[string]string{"Idempotency-Key": "k"}}).requires(http.StatusOK)
	id := created.text("id")
	i.post(ann, created.header.Get("Location")+"/disable", nil).requires(http.StatusOK)
	status, _ := i.own(id, rotated.text("client_secret"))
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, log.String(), `"route":"/api/organizations/:organization/clients"`)

	for _, secret := range []string{created.text("client_secret"), rotated.text("client_secret")} {
		require.NotEmpty(t, secret)
		require.NotContains(t, log.String(), secret)
		for table, column := range map[string]string{
			"audit_events": "concat(before, after)", "idempotency_keys": "body::text", "oauth2_clients": "oauth2_clients::text",
			"river_job": "args::text", "revocations": "revocations::text",
		} {
			var rows, holding int
			i.read(&rows, "SELECT count(*) FROM "+table)
			require.NotZero(t, rows, table)
			i.read(&holding, "SELECT count(*) FROM "+table+" WHERE position($1 in "+column+") > 0", secret)
			require.Zero(t, holding, table)
		}
	}
}

func TestWithoutHydraNoClientChanges(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	list := "/api/organizations/" + organization + "/clients"
	id := uuid.NewString()
	w.execute("INSERT INTO oauth2_clients (id, organization_id, name, grant_types, scopes, audience, created_by) VALUES ($1, $2, 'C', '{client_credentials}', '{}', '{}', $3)", id, organization, ann.id)
	w.restart(func(s *settings) { s.Hydra.AdminURL = "http://127.0.0.1:1" })
	w.post(ann, list, forItself()).refused(problem.Unavailable)
	w.put(ann, list+"/"+id, forItself()).refused(problem.Unavailable)
	w.post(ann, list+"/"+id+"/secret", nil).refused(problem.Unavailable)
	found := w.get(ann, list+"/"+id).requires(http.StatusOK)
	require.Equal(t, "C", found.text("name"))
	require.Equal(t, `"1"`, found.header.Get("ETag"))
	w.post(ann, list+"/"+id+"/disable", nil).requires(http.StatusOK)
}
