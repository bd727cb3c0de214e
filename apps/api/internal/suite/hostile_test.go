//go:build integration

package suite

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
)

// overtaken sends a request that has passed the guard and waits for the organization's lock when statement commits.
func (w *world) overtaken(organization string, send func() answer, statement string, arguments ...any) answer {
	w.t.Helper()
	connection := w.connect()
	defer func() { require.NoError(w.t, connection.Close(context.Background())) }()
	tx, err := connection.Begin(w.t.Context())
	require.NoError(w.t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(w.t.Context(), "SELECT FROM organizations WHERE id = $1 FOR UPDATE", organization)
	require.NoError(w.t, err)

	watcher, err := pgx.Connect(w.t.Context(), w.database.URL(w.t, "")) // the service's role does not see who waits
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, watcher.Close(context.Background())) }()
	answered := make(chan answer, 1)
	go func() { answered <- send() }()
	require.Eventually(w.t, func() bool {
		var waiting bool
		err := watcher.QueryRow(w.t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		return err == nil && waiting
	}, 20*time.Second, 10*time.Millisecond)
	_, err = tx.Exec(w.t.Context(), statement, arguments...)
	require.NoError(w.t, err)
	require.NoError(w.t, tx.Commit(w.t.Context()))
	return <-answered
}

// What somebody may do is asked once more under the lock of those who take it away: otherwise a right that is gone
// could be handed on by a request that was admitted a moment before.
func TestWhoLosesARightWhileARequestWaitsCannotUseIt(t *testing.T) {
	w := newWorld(t)
	const (
		demote = "UPDATE memberships SET role = 'member' WHERE organization_id = $1 AND user_id = $2"
		remove = "DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2"
	)
	for name, c := range map[string]struct {
		role, lose string
		code       problem.Code
		send       func(w *world, by, other caller, organization, gateway, product string) answer
	}{
		"an admin who is demoted makes no admin": {"admin", demote, problem.Forbidden,
			func(w *world, by, other caller, organization, _, _ string) answer {
				return w.patch(by, "/api/organizations/"+organization+"/members/"+other.id, map[string]any{"role": "admin"})
			}},
		"an admin who is removed removes nobody": {"admin", remove, problem.NotFound,
			func(w *world, by, other caller, organization, _, _ string) answer {
				return w.delete(by, "/api/organizations/"+organization+"/members/"+other.id)
			}},
		"an owner who is demoted transfers nothing, and does not rise to admin": {"owner", demote, problem.Forbidden,
			func(w *world, by, other caller, organization, _, _ string) answer {
				return w.post(by, "/api/organizations/"+organization+"/transfer", map[string]any{"user_id": other.id})
			}},
		"an owner who is demoted deletes nothing": {"owner", demote, problem.Forbidden,
			func(w *world, by, _ caller, organization, _, _ string) answer {
				return w.delete(by, "/api/organizations/"+organization)
			}},
		"an admin who is removed keeps no new gateway": {"admin", remove, problem.NotFound,
			func(w *world, by, _ caller, organization, _, _ string) answer {
				return w.post(by, "/api/organizations/"+organization+"/gateways",
					map[string]any{"slug": slug(), "name": "Mine", "upstream": "https://example.com"})
			}},
		"an admin who is demoted grants nothing": {"admin", demote, problem.Forbidden,
			func(w *world, by, other caller, _, gateway, _ string) answer {
				return w.put(by, "/api/gateways/"+gateway+"/grants/user/"+other.id, map[string]any{"role": "admin"})
			}},
		"an admin who is demoted takes no grant": {"admin", demote, problem.Forbidden,
			func(w *world, by, other caller, _, gateway, _ string) answer {
				return w.delete(by, "/api/gateways/"+gateway+"/grants/user/"+other.id)
			}},
		"an admin who is demoted shows a private product to nobody": {"admin", demote, problem.NotFound,
			func(w *world, by, _ caller, _, _, product string) answer {
				return w.put(by, "/api/products/"+product, map[string]any{"slug": slug(), "name": "P", "visibility": "public"})
			}},
		"an admin who is removed makes no key": {"admin", remove, problem.NotFound,
			func(w *world, by, _ caller, organization, _, _ string) answer {
				return w.post(by, "/api/organizations/"+organization+"/api-keys", input)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			owner := w.person()
			organization := w.organization(owner)
			gateway := w.gateway(owner, organization)
			product := w.product(owner, gateway, "private")
			by, other := w.member(organization, c.role), w.member(organization, "member")
			w.overtaken(organization, func() answer { return c.send(w, by, other, organization, gateway, product) }, c.lose, organization, by.id).
				refused(c.code)
		})
	}
}

// Locks are taken in one order: organization, gateway, product, what the index shows, feed. Operations in another order
// would end as Postgres' deadlocks, which are answered with a 5xx.
func TestChangesOfOneOrganizationAtOnceNeverLockEachOtherOut(t *testing.T) {
	w := newWorld(t)
	for range 8 {
		ann := w.person()
		organization := w.organization(ann)
		gateway := w.gateway(ann, organization)
		product := w.product(ann, gateway, "private")
		bob, cid := w.member(organization, "admin"), w.member(organization, "member")
		key := w.post(ann, "/api/organizations/"+organization+"/api-keys", input).requires(http.StatusCreated).text("id")
		of, at := "/api/organizations/"+organization, "/api/gateways/"+gateway
		expected := w.get(ann, of+"/deletion").requires(http.StatusOK).text("digest")

		var group sync.WaitGroup
		statuses := make(chan answer, 100)
		for _, send := range []func() answer{
			func() answer { return w.put(ann, at+"/grants/user/"+cid.id, map[string]any{"role": "editor"}) },
			func() answer { return w.put(bob, at+"/grants/user/"+cid.id, map[string]any{"role": "viewer"}) },
			func() answer { return w.delete(ann, at+"/grants/user/"+ann.id) }, // its creator's
			func() answer {
				return w.put(ann, "/api/products/"+product, map[string]any{"slug": slug(), "name": "P", "visibility": "public"})
			},
			func() answer { return w.delete(ann, "/api/products/"+product) },
			func() answer {
				return w.post(bob, at+"/products", map[string]any{"slug": slug(), "name": "P", "visibility": "public"})
			},
			func() answer {
				return w.post(bob, of+"/gateways", map[string]any{"slug": slug(), "name": "G", "upstream": "https://example.com"})
			},
			func() answer { return w.patch(ann, of+"/members/"+cid.id, map[string]any{"role": "admin"}) },
			func() answer { return w.delete(ann, of+"/members/"+cid.id) },
			func() answer { return w.delete(cid, of+"/membership") },
			func() answer { return w.post(ann, of+"/transfer", map[string]any{"user_id": bob.id}) },
			func() answer {
				return w.do(ann, request{method: http.MethodPost, path: of + "/api-keys/" + key + "/rotate"})
			},
			func() answer { return w.post(bob, of+"/api-keys", input) },
			func() answer { return w.delete(ann, of+"?cascade=true&expected="+expected) },
			func() answer { return w.delete(ann, at) },
		} {
			group.Go(func() { statuses <- send() })
		}
		group.Wait()
		close(statuses)
		for a := range statuses {
			require.Less(t, a.status, 500, string(a.body))
		}
	}
}

// A change that takes rights away needs a second connection while it holds its own. With none left for it, as many of
// them as there are connections would wait for each other.
func TestAsManyRemovalsAsThereAreConnectionsFinish(t *testing.T) {
	w := newWorld(t, func(s *settings) { s.Database.MaxConnections, s.UpstreamTimeout = 4, 5*time.Second })
	ann := w.person()
	var paths []string
	for range 16 {
		organization := w.organization(ann)
		paths = append(paths, "/api/organizations/"+organization+"/members/"+w.member(organization, "member").id)
	}
	var group sync.WaitGroup
	answers := make(chan answer, len(paths))
	for _, path := range paths {
		group.Go(func() { answers <- w.delete(ann, path) })
	}
	group.Wait()
	close(answers)
	for a := range answers {
		require.Less(t, a.status, 300, string(a.body))
	}
}

// Postgres keeps no NUL, and text that is no UTF-8.
func TestTextThatCannotBeKeptIsTheCallersMistake(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	product := w.product(ann, w.gateway(ann, organization), "private")
	of := "/api/organizations/" + organization
	for name, r := range map[string]request{
		"a name":            {method: http.MethodPatch, path: of, body: map[string]any{"name": "a\x00b"}},
		"the name of a key": {method: http.MethodPost, path: of + "/api-keys", body: map[string]any{"name": "a\x00b", "scopes": []string{"gateways:read"}}},
		"a document": {method: http.MethodPut, path: "/api/products/" + product + "/document", body: map[string]any{
			"openapi": "3.0.3", "info": map[string]any{"title": "a\x00b", "version": "1"}, "paths": map[string]any{},
		}},
		"words":            {method: http.MethodGet, path: "/api/public/directory?q=%00"},
		"words, not UTF-8": {method: http.MethodGet, path: "/api/public/directory?q=%ff"},
		"an actor":         {method: http.MethodGet, path: of + "/audit?actor=%00"},
		"an Idempotency-Key": {
			method: http.MethodPost, path: "/api/organizations", body: map[string]any{"name": "A", "slug": slug()},
			header: map[string]string{"Idempotency-Key": "\xff"},
		},
	} {
		t.Run(name, func(t *testing.T) { w.in(t).do(ann, r).refused(problem.InvalidRequest) })
	}
}

func TestIdempotencyKeyMeansNothingToOperationsThatTakeNone(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	w.do(ann, request{
		method: http.MethodPatch, path: "/api/organizations/" + w.organization(ann), body: map[string]any{"name": "New"},
		header: map[string]string{"Idempotency-Key": "k"},
	}).requires(http.StatusOK)
}

func TestReplayNeedsTheRightOfNow(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	bob := w.member(organization, "admin")
	again := request{
		method: http.MethodPost, path: "/api/organizations/" + organization + "/gateways", header: map[string]string{"Idempotency-Key": "k"},
		body: map[string]any{"slug": slug(), "name": "G", "upstream": "https://example.com"},
	}
	w.do(bob, again).requires(http.StatusCreated)
	w.delete(ann, "/api/organizations/"+organization+"/members/"+bob.id).requires(http.StatusNoContent)
	w.do(bob, again).refused(problem.NotFound)
}

// A token that somebody made up would tell what exists: the one of an object that is there would wait.
func TestConsistencyTokenThatWeDidNotGiveIsRefused(t *testing.T) {
	w := newWorld(t)
	ann, eve := w.person(), w.person()
	for _, id := range []string{w.organization(ann), uuid.NewString()} {
		w.do(eve, request{method: http.MethodGet, path: "/api/me", header: map[string]string{"Consistency-Token": forged(id)}}).
			refused(problem.InvalidRequest)
	}
}

func TestKeyOfAMemberWhoReturnsStaysDead(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	bob := w.member(organization, "admin")
	path := "/api/organizations/" + organization + "/api-keys"
	key := w.post(bob, path, input).requires(http.StatusCreated)
	require.Equal(t, http.StatusOK, w.verify(key.text("secret")).Code)

	w.delete(ann, "/api/organizations/"+organization+"/members/"+bob.id).requires(http.StatusNoContent)
	require.Equal(t, http.StatusUnauthorized, w.verify(key.text("secret")).Code)
	require.NotEmpty(t, w.published(key.text("id")))
	w.execute("INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'member')", organization, bob.id)
	require.NoError(t, w.api.Converge(t.Context(), permission.Object{Namespace: permission.Organization, ID: organization}))
	require.Equal(t, http.StatusUnauthorized, w.verify(key.text("secret")).Code)

	rotated := w.do(ann, request{method: http.MethodPost, path: path + "/" + key.text("id") + "/rotate"}).requires(http.StatusOK)
	require.Equal(t, http.StatusOK, w.verify(rotated.text("secret")).Code)
}

func TestLastTwoOwnersCannotBothDeleteTheirAccounts(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	bob := w.member(organization, "owner")
	// Of ann a deletion is under way: she is active until it has come that far.
	w.execute(`INSERT INTO user_operations (id, user_id, kind, requested_by, request_id) VALUES ($1, $2, 'delete', 'system', '')`,
		uuid.NewString(), ann.id)
	w.delete(bob, "/api/organizations/"+organization+"/membership").refused(problem.LastOwner)
}

// Ownership is handed on in person, by whatever operation.
func TestTokenMakesNoOwner(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	bob := w.member(organization, "admin")
	path := "/api/organizations/" + organization + "/members/" + bob.id
	delegated := ann.through("an-application", "members:write")
	w.patch(delegated, path, map[string]any{"role": "owner"}).refused(problem.SessionRequired)
	w.patch(delegated, path, map[string]any{"role": "member"}).requires(http.StatusOK)
	w.patch(ann, path, map[string]any{"role": "owner"}).requires(http.StatusOK)
}

func TestAddressesAreReadInOneWay(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	for _, r := range []request{
		{method: http.MethodHead, path: "/api/organizations/" + organization},
		{method: http.MethodOptions, path: "/api/organizations/" + organization},
		{method: http.MethodTrace, path: "/api/organizations/" + organization},
		{method: http.MethodGet, path: "/api/organizations/" + organization + "/"},
		{method: http.MethodGet, path: "/API/organizations/" + organization},
		{method: http.MethodGet, path: "/api/organizations/" + strings.ToUpper(organization)},
		{method: http.MethodGet, path: "/api/organizations/urn:uuid:" + organization},
		{method: http.MethodGet, path: "/api/organizations/" + url.PathEscape("{"+organization+"}")},
		{method: http.MethodGet, path: "//api/organizations/" + organization},
		{method: http.MethodGet, path: "/api/public/../organizations/" + organization},
	} {
		t.Run(r.method+" "+r.path, func(t *testing.T) {
			status := w.in(t).do(ann, r).status
			require.GreaterOrEqual(t, status, 400)
			require.Less(t, status, 500)
		})
	}
}

// forged is the Consistency-Token of an organization's version that never was, as anybody can write it.
func forged(organization string) string {
	return converge.Encode([]converge.Mark{{Object: permission.Object{Namespace: permission.Organization, ID: organization}, Version: 1 << 40}})
}
