//go:build integration

package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	client "github.com/ory/client-go"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal/principaltest"
	"gatehouse.internal/api/internal/problem"
)

// administrator is an admin of the platform. The index has one platform: a world that makes an admin unmakes those of others.
func (w *world) administrator() caller {
	w.t.Helper()
	person := w.person()
	w.get(person, "/api/me").requires(http.StatusOK)
	w.execute("INSERT INTO platform_admins (user_id) VALUES ($1)", person.id)
	require.NoError(w.t, w.api.Converge(w.t.Context(), permission.PlatformObject))
	return person
}

func (c caller) email() string { return c.claims["email"].(string) }

// operate starts an operation on a person and waits until all of its steps are done.
func (w *world) operate(admin, person caller, kind string) map[string]any {
	w.t.Helper()
	started := w.post(admin, "/api/users/"+person.id+"/operations", map[string]any{"kind": kind}).requires(http.StatusCreated)
	require.Equal(w.t, kind, started.text("kind"))
	require.Equal(w.t, "User:"+admin.id, started.text("requested_by"))
	var newest map[string]any
	require.Eventually(w.t, func() bool {
		newest = w.get(admin, "/api/users/"+person.id+"/operations?limit=1").requires(http.StatusOK).items()[0]
		return newest["finished_at"] != nil
	}, time.Minute, 50*time.Millisecond)
	require.Equal(w.t, started.text("id"), newest["id"])
	for _, step := range newest["steps"].([]any) {
		require.NotEmpty(w.t, step.(map[string]any)["done_at"])
	}
	return newest
}

// read runs a query that gives one value.
func (w *world) read(into any, query string, arguments ...any) {
	w.t.Helper()
	connection, err := pgx.Connect(w.t.Context(), w.database.URL(w.t, databasetest.Runtime))
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, connection.Close(context.Background())) }()
	require.NoError(w.t, connection.QueryRow(w.t.Context(), query, arguments...).Scan(into))
}

func TestAdminsOfThePlatformFindPeople(t *testing.T) {
	w := newWorld(t)
	admin, person := w.administrator(), w.person()
	w.get(person, "/api/me").requires(http.StatusOK)
	found := func(query string) []map[string]any {
		return w.get(admin, "/api/users"+query).requires(http.StatusOK).items()
	}

	one := found("?email=" + url.QueryEscape(strings.ToUpper(person.email()[:20])))
	require.Len(t, one, 1)
	require.Equal(t, person.id, one[0]["id"])
	require.Equal(t, "active", one[0]["state"])
	require.Equal(t, false, one[0]["platform_admin"])
	require.Empty(t, found("?email="+url.QueryEscape(person.email()[1:])), "not any part of it")
	require.Len(t, found("?name="+url.QueryEscape("rson "+person.email()[2:6])), 1)
	require.Empty(t, found("?state=suspended&email="+url.QueryEscape(person.email())))
	w.get(admin, "/api/users?state=sleeping").refused(problem.InvalidRequest)

	seen := map[any]int{} // others may be there: the sweep of this world has found them at Kratos
	for query, more := "?limit=20", true; more; {
		page := w.get(admin, "/api/users"+query).requires(http.StatusOK)
		for _, item := range page.items() {
			seen[item["id"]]++
		}
		query, more = "?limit=20&cursor="+page.text("next_cursor"), page.text("next_cursor") != ""
	}
	require.Equal(t, 1, seen[admin.id])
	require.Equal(t, 1, seen[person.id])
	for _, list := range []string{"/api/users", "/api/platform/ownerless-organizations"} {
		w.get(admin, list+"?cursor=x").refused(problem.InvalidRequest)
	}

	require.Equal(t, true, w.get(admin, "/api/users/"+admin.id).requires(http.StatusOK).json()["platform_admin"])
	nobody := uuid.NewString()
	w.get(admin, "/api/users/"+nobody).refused(problem.NotFound)
	w.get(admin, "/api/users/"+nobody+"/operations").refused(problem.NotFound)
	w.post(admin, "/api/users/"+nobody+"/operations", map[string]any{"kind": "suspend"}).refused(problem.NotFound)
	w.post(admin, "/api/users/"+admin.id+"/operations", map[string]any{"kind": "suspend"}).refused(problem.Forbidden)
	w.get(admin, "/api/users/"+person.id).requires(http.StatusOK)
}

func TestWhoIsNoAdminOfThePlatformAnyMoreSeesNobody(t *testing.T) {
	w := newWorld(t)
	admin := w.administrator()
	w.get(admin, "/api/users").requires(http.StatusOK)
	w.execute("DELETE FROM platform_admins") // the index still says yes
	w.get(admin, "/api/users").refused(problem.Forbidden)
}

func TestSuspendedPersonIsOutUntilTheyAreReactivated(t *testing.T) {
	w := newWorld(t)
	admin, person := w.administrator(), w.person()
	organization := w.organization(person)
	ownerless := func() []map[string]any {
		return w.get(admin, "/api/platform/ownerless-organizations").requires(http.StatusOK).items()
	}
	require.Empty(t, ownerless())

	w.operate(admin, person, "suspend")
	w.get(person, "/api/me").refused(problem.AccountDisabled)
	w.get(person.through("an-application", "openid"), "/api/me").refused(problem.AccountDisabled)
	require.Equal(t, "suspended", w.get(admin, "/api/users/"+person.id).text("state"))
	require.Equal(t, organization, ownerless()[0]["id"])

	w.operate(admin, person, "reactivate")
	w.get(person, "/api/me").requires(http.StatusOK)
	w.get(person, "/api/organizations/"+organization).requires(http.StatusOK)
	require.Empty(t, ownerless())

	w.execute("INSERT INTO user_operations (id, user_id, kind, requested_by, request_id) VALUES (gen_random_uuid(), $1, 'suspend', 'system', '')", person.id)
	w.post(admin, "/api/users/"+person.id+"/operations", map[string]any{"kind": "delete"}).refused(problem.OperationInProgress)
	var audited int
	w.read(&audited, "SELECT count(*) FROM audit_events WHERE target_id = $1 AND action IN ('user.suspend', 'user.reactivate') AND actor_id = $2", person.id, admin.id)
	require.Equal(t, 2, audited, "what was refused is not in the log")
}

func TestDeletedPersonIsGoneEverywhere(t *testing.T) {
	w := newWorld(t)
	admin, person := w.administrator(), w.person()
	alone, shared := w.organization(person), w.organization(admin)
	w.execute("INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'member')", shared, person.id)
	require.NoError(t, w.api.Converge(t.Context(), permission.Object{Namespace: permission.Organization, ID: shared}))
	w.get(person, "/api/organizations/"+shared).requires(http.StatusOK)

	w.operate(admin, person, "delete")
	w.get(person, "/api/me").refused(problem.Unauthenticated)
	gone := w.get(admin, "/api/users/"+person.id).requires(http.StatusOK)
	require.Equal(t, "deleted", gone.text("state"))
	require.Empty(t, gone.text("email")+gone.text("name"))
	require.Contains(t, fmt.Sprint(w.get(admin, "/api/users?state=deleted").items()), person.id)
	require.Equal(t, alone, w.get(admin, "/api/platform/ownerless-organizations").items()[0]["id"])
	require.Len(t, w.get(admin, "/api/organizations/"+shared+"/members").items(), 1)
	_, response, err := kratosAdmin(t).GetIdentity(t.Context(), person.id).Execute()
	require.Error(t, err)
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	w.post(admin, "/api/users/"+person.id+"/operations", map[string]any{"kind": "reactivate"}).refused(problem.AccountDeleted)
}

func kratosAdmin(t *testing.T) client.IdentityAPI {
	t.Helper()
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: environment(t, "KRATOS_ADMIN_URL")}}
	return client.NewAPIClient(configuration).IdentityAPI
}

// signedIn is a person with a password, and as many sessions at Kratos, newest last.
func (w *world) signedIn(sessions int) []caller {
	w.t.Helper()
	email, password := "p-"+uuid.NewString()+"@example.com", "correct-"+uuid.NewString()
	created, response, err := kratosAdmin(w.t).CreateIdentity(w.t.Context()).CreateIdentityBody(client.CreateIdentityBody{
		SchemaId: schema(w.t), Traits: map[string]any{"email": email},
		VerifiableAddresses: []client.VerifiableIdentityAddress{{Value: email, Verified: true, Via: "email", Status: "completed"}},
		Credentials: &client.IdentityWithCredentials{Password: &client.IdentityWithCredentialsPassword{
			Config: &client.IdentityWithCredentialsPasswordConfig{Password: &password},
		}},
	}).Execute()
	require.NoError(w.t, err)
	require.NoError(w.t, response.Body.Close())
	w.t.Cleanup(func() {
		if response, err := kratosAdmin(w.t).DeleteIdentity(context.Background(), created.Id).Execute(); err == nil {
			_ = response.Body.Close()
		}
	})
	var out []caller
	for range sessions {
		id := w.logIn(email, password)
		out = append(out, caller{created.Id, principaltest.Session(created.Id, email, time.Now()).With(principaltest.Claims{"sid": id})})
	}
	return out
}

// logIn returns the id of a new session.
func (w *world) logIn(email, password string) string {
	w.t.Helper()
	kratos := environment(w.t, "KRATOS_PUBLIC_URL")
	send := func(method, target string, body any, into any) {
		encoded, err := json.Marshal(body)
		require.NoError(w.t, err)
		r, err := http.NewRequestWithContext(w.t.Context(), method, target, bytes.NewReader(encoded))
		require.NoError(w.t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json")
		response, err := http.DefaultClient.Do(r)
		require.NoError(w.t, err)
		defer func() { _ = response.Body.Close() }()
		require.Equal(w.t, http.StatusOK, response.StatusCode)
		require.NoError(w.t, json.NewDecoder(response.Body).Decode(into))
	}
	var flow struct{ ID string }
	send(http.MethodGet, kratos+"/self-service/login/api", nil, &flow)
	var answer struct {
		Session struct{ ID string }
	}
	send(http.MethodPost, kratos+"/self-service/login?flow="+flow.ID,
		map[string]any{"method": "password", "identifier": email, "password": password}, &answer)
	return answer.Session.ID
}

func TestSessionsAreShownAndEndedByTheirOwnerAlone(t *testing.T) {
	w := newWorld(t)
	here, stranger := w.signedIn(3), w.signedIn(1)[0]
	me := here[2]
	sid := func(c caller) string { return c.claims["sid"].(string) }
	list := func() map[string]bool {
		out := map[string]bool{}
		for _, session := range w.get(me, "/api/me/sessions").requires(http.StatusOK).items() {
			out[session["id"].(string)] = session["current"].(bool)
		}
		return out
	}
	published := func(c caller) (n int) {
		w.read(&n, "SELECT count(*) FROM revocations WHERE kind = 'session' AND subject_id = $1", sid(c))
		return n
	}
	require.Equal(t, map[string]bool{sid(here[0]): false, sid(here[1]): false, sid(me): true}, list())

	w.delete(me, "/api/me/sessions/"+uuid.NewString()).refused(problem.NotFound)
	w.delete(me, "/api/me/sessions/"+sid(stranger)).refused(problem.NotFound)
	require.Len(t, w.get(stranger, "/api/me/sessions").items(), 1)

	w.delete(me, "/api/me/sessions/"+sid(here[0])).requires(http.StatusNoContent)
	require.Equal(t, map[string]bool{sid(here[1]): false, sid(me): true}, list())
	require.Equal(t, 1, published(here[0]))
	w.delete(me, "/api/me/sessions/"+sid(here[0])).refused(problem.NotFound)

	for range 2 { // with others, and without
		w.delete(me, "/api/me/sessions").requires(http.StatusNoContent)
		require.Equal(t, map[string]bool{sid(me): true}, list())
	}
	require.Equal(t, 1, published(here[1]))
	require.Zero(t, published(me))
}

func TestPermissionsAreAnsweredInTheOrderOfTheQuestions(t *testing.T) {
	w := newWorld(t)
	person := w.person()
	organization := w.organization(person)
	type question struct {
		Permit string  `json:"permit"`
		Object *string `json:"object,omitempty"`
	}
	ask := func(as caller, questions ...question) answer {
		return w.post(as, "/api/me/permissions", map[string]any{"questions": questions})
	}
	unknown := uuid.NewString()
	questions := []question{
		{"Organization.delete", &organization}, {"Organization.delete", &unknown}, {Permit: "Platform.administer"}, {"Gateway.view", &organization},
		{"Organization.view", &organization},
	}
	allowed := func(as caller) (out []bool) {
		for _, one := range ask(as, questions...).requires(http.StatusOK).json()["answers"].([]any) {
			out = append(out, one.(map[string]any)["allowed"].(bool))
		}
		return out
	}
	require.Equal(t, []bool{true, false, false, false, true}, allowed(person))
	require.Equal(t, []bool{false, false, false, false, false}, allowed(w.person()))
	require.Equal(t, []bool{false, false, false, false, false}, allowed(machine(person.id)), "a client with a person's id is not the person")

	var many []question
	for range 50 {
		many = append(many, questions[0])
	}
	require.Len(t, ask(person, many...).requires(http.StatusOK).json()["answers"], 50)
	ask(person, append(many, questions[0])...).refused(problem.InvalidRequest)
	for _, wrong := range []question{
		{"Organization.fly", &organization}, {"Nothing.view", &organization}, {"view", &organization}, {Permit: "Organization.view"},
		{"Platform.administer", &organization},
	} {
		refused := ask(person, questions[0], wrong).refused(problem.InvalidRequest)
		require.Contains(t, fmt.Sprint(refused.json()["errors"]), "questions.1.")
	}
}

func TestAccountIsDeletedByItsOwnerAfterARecentSignIn(t *testing.T) {
	w := newWorld(t)
	me := w.signedIn(1)[0]
	organization := w.organization(me)
	forgotten := caller{me.id, me.claims.With(principaltest.Claims{"sid": uuid.NewString()})}
	w.delete(forgotten, "/api/me").refused(problem.RecentLoginRequired)
	w.delete(me, "/api/me").refused(problem.LastOwner)
	w.delete(me, "/api/organizations/"+organization).requires(http.StatusNoContent)

	begun := w.delete(me, "/api/me").requires(http.StatusOK)
	require.Equal(t, "delete", begun.text("kind"))
	require.Eventually(t, func() bool {
		var finished bool
		w.read(&finished, "SELECT finished_at IS NOT NULL FROM user_operations WHERE user_id = $1", me.id)
		return finished
	}, time.Minute, 50*time.Millisecond)
	w.get(me, "/api/me").refused(problem.Unauthenticated)
	_, response, err := kratosAdmin(t).GetIdentity(t.Context(), me.id).Execute()
	require.Error(t, err)
	require.Equal(t, http.StatusNotFound, response.StatusCode)
}
