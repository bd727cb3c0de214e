//go:build integration

package suite

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

func TestHealthAndTheDocumentAreForAnyone(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, "3.0.3", w.get(nobody, "/api/openapi.json").requires(http.StatusOK).text("openapi"))
	require.Equal(t, "ok", w.get(nobody, "/api/public/health").requires(http.StatusOK).text("status"))
}

func TestCreateOrganization(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	input := map[string]any{"name": "Acme", "slug": slug()}

	t.Run("201, and the creator is its owner", func(t *testing.T) {
		w := w.in(t)
		created := w.post(ann, "/api/organizations", input).requires(http.StatusCreated)
		require.Equal(t, `"1"`, created.header.Get("ETag"))
		require.Equal(t, "/api/organizations/"+created.text("id"), created.header.Get("Location"))
		w.get(ann, created.header.Get("Location")).requires(http.StatusOK)
		mine := w.get(ann, "/api/organizations").requires(http.StatusOK).items()
		require.Len(t, mine, 1)
		require.Equal(t, "owner", mine[0]["role"])
	})
	t.Run("409 for a slug that is taken", func(t *testing.T) {
		w := w.in(t)
		w.post(ann, "/api/organizations", input).refused(problem.SlugTaken)
	})
	t.Run("403 for a client, which can own nothing", func(t *testing.T) {
		w := w.in(t)
		w.post(machine("a-machine", "organizations:write"), "/api/organizations", input).refused(problem.Forbidden)
	})
	t.Run("201 again and 422 with an Idempotency-Key", func(t *testing.T) {
		w := w.in(t)
		again := request{
			method: http.MethodPost, path: "/api/organizations", header: map[string]string{"Idempotency-Key": "k"},
			body: map[string]any{"name": "Twice", "slug": slug()},
		}
		first := w.do(ann, again).requires(http.StatusCreated)
		second := w.do(ann, again).requires(http.StatusCreated)
		require.JSONEq(t, string(first.body), string(second.body))
		require.Equal(t, "true", second.header.Get("Idempotent-Replayed"))
		require.Empty(t, first.header.Get("Idempotent-Replayed"))

		other := again
		other.body = map[string]any{"name": "Other", "slug": slug()}
		w.do(ann, other).refused(problem.IdempotencyMismatch)
		w.do(w.person(), other).requires(http.StatusCreated) // the key is the caller's own
	})
}

func TestUpdateOrganization(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	id, other := w.organization(ann), w.organization(ann)
	path := "/api/organizations/" + id
	member := w.member(id, "member")

	t.Run("200 whatever Idempotency-Key, which this operation does not know", func(t *testing.T) {
		w := w.in(t)
		same := request{method: http.MethodPatch, path: "/api/organizations/" + other, body: map[string]any{"name": "Same"}, header: map[string]string{"Idempotency-Key": "k"}}
		w.do(ann, same).requires(http.StatusOK)
		w.do(ann, same).requires(http.StatusOK)
	})
	t.Run("200 with a new ETag", func(t *testing.T) {
		w := w.in(t)
		changed := w.do(ann, request{method: http.MethodPatch, path: path, body: map[string]any{"name": "New"}, header: map[string]string{"If-Match": `"1"`}})
		changed.requires(http.StatusOK)
		require.Equal(t, "New", changed.text("name"))
		require.Equal(t, `"2"`, changed.header.Get("ETag"))
	})
	t.Run("412 for what is based on an older one", func(t *testing.T) {
		w := w.in(t)
		w.do(ann, request{method: http.MethodPatch, path: path, body: map[string]any{"name": "Old"}, header: map[string]string{"If-Match": `"1"`}}).
			refused(problem.PreconditionFailed)
	})
	t.Run("409 for a slug that is taken", func(t *testing.T) {
		w := w.in(t)
		taken := w.get(ann, "/api/organizations/"+other).requires(http.StatusOK).text("slug")
		w.patch(ann, path, map[string]any{"slug": taken}).refused(problem.SlugTaken)
	})
	t.Run("403 for a member, who may see it", func(t *testing.T) {
		w := w.in(t)
		w.get(member, path).requires(http.StatusOK)
		w.patch(member, path, map[string]any{"name": "Mine"}).refused(problem.Forbidden)
	})
}

func TestListOrganizationsPages(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	var want []string
	for range 5 {
		want = append(want, w.organization(ann))
	}
	var got []string
	path := "/api/organizations?limit=2"
	for path != "" {
		page := w.get(ann, path).requires(http.StatusOK)
		for _, item := range page.items() {
			got = append(got, item["id"].(string))
		}
		path = ""
		if next := page.text("next_cursor"); next != "" {
			path = "/api/organizations?limit=2&cursor=" + next
		}
	}
	require.Equal(t, want, got)
	w.get(ann, "/api/organizations?cursor=nonsense").refused(problem.InvalidRequest)
}

func TestDeleteOrganization(t *testing.T) {
	w := newWorld(t)
	ann := w.person()

	t.Run("204, and nobody sees it any more", func(t *testing.T) {
		w := w.in(t)
		id := w.organization(ann)
		w.delete(ann, "/api/organizations/"+id).requires(http.StatusNoContent)
		w.get(ann, "/api/organizations/"+id).refused(problem.NotFound)
	})
	t.Run("409 while it owns things, 204 with all that was told of", func(t *testing.T) {
		w := w.in(t)
		id := w.organization(ann)
		w.execute("INSERT INTO gateways (id, organization_id, slug, name, upstream) VALUES (gen_random_uuid(), $1, 'gateway', 'G', 'http://up')", id)
		path := "/api/organizations/" + id
		w.delete(ann, path).refused(problem.NotEmpty)
		w.delete(ann, path+"?cascade=true").refused(problem.InvalidRequest)
		w.delete(ann, path+"?cascade=true&expected=something").refused(problem.NotEmpty)
		told := w.get(ann, path+"/deletion").requires(http.StatusOK)
		require.EqualValues(t, 1, told.json()["gateways"])
		w.delete(ann, path+"?cascade=true&expected="+told.text("digest")).requires(http.StatusNoContent)
		w.get(ann, path).refused(problem.NotFound)
	})
	t.Run("412 for what is based on an older one", func(t *testing.T) {
		w := w.in(t)
		id := w.organization(ann)
		w.do(ann, request{method: http.MethodDelete, path: "/api/organizations/" + id, header: map[string]string{"If-Match": `"9"`}}).refused(problem.PreconditionFailed)
	})
	t.Run("403 for an admin", func(t *testing.T) {
		w := w.in(t)
		id := w.organization(ann)
		admin := w.member(id, "admin")
		w.delete(admin, "/api/organizations/"+id).refused(problem.Forbidden)
		w.get(admin, "/api/organizations/"+id+"/deletion").refused(problem.Forbidden)
	})
}

func TestMembers(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	id := w.organization(ann)
	path := "/api/organizations/" + id + "/members/"
	admin, member := w.member(id, "admin"), w.member(id, "member")

	t.Run("a member sees the others", func(t *testing.T) {
		w := w.in(t)
		require.Len(t, w.get(member, "/api/organizations/"+id+"/members").requires(http.StatusOK).items(), 3)
		require.Len(t, w.get(member, "/api/organizations/"+id+"/members?role=owner").requires(http.StatusOK).items(), 1)
		require.Equal(t, "admin", w.get(member, path+admin.id).requires(http.StatusOK).text("role"))
		w.get(member, path+w.person().id).refused(problem.NotFound)
	})
	t.Run("a member changes nobody", func(t *testing.T) {
		w := w.in(t)
		w.patch(member, path+admin.id, map[string]any{"role": "member"}).refused(problem.Forbidden)
		w.delete(member, path+admin.id).refused(problem.Forbidden)
		w.post(member, "/api/organizations/"+id+"/transfer", map[string]any{"user_id": member.id}).refused(problem.Forbidden)
	})
	t.Run("an admin neither makes nor unmakes an owner", func(t *testing.T) {
		w := w.in(t)
		w.patch(admin, path+member.id, map[string]any{"role": "owner"}).refused(problem.Forbidden)
		w.patch(admin, path+admin.id, map[string]any{"role": "owner"}).refused(problem.Forbidden)
		w.patch(admin, path+ann.id, map[string]any{"role": "member"}).refused(problem.Forbidden)
		w.delete(admin, path+ann.id).refused(problem.Forbidden)
	})
	t.Run("an admin makes admins, and a demotion acts at once", func(t *testing.T) {
		w := w.in(t)
		w.patch(admin, path+member.id, map[string]any{"role": "admin"}).requires(http.StatusOK)
		w.patch(member, "/api/organizations/"+id, map[string]any{"name": "By a new admin"}).requires(http.StatusOK)
		w.patch(admin, path+member.id, map[string]any{"role": "member"}).requires(http.StatusOK)
		w.patch(member, "/api/organizations/"+id, map[string]any{"name": "Not any more"}).refused(problem.Forbidden)
	})
	t.Run("412 for what is based on an older one", func(t *testing.T) {
		w := w.in(t)
		for _, method := range []string{http.MethodPatch, http.MethodDelete} {
			r := request{method: method, path: path + member.id, header: map[string]string{"If-Match": `"99"`}}
			if method == http.MethodPatch {
				r.body = map[string]any{"role": "admin"}
			}
			w.do(ann, r).refused(problem.PreconditionFailed)
		}
	})
	t.Run("the last owner stays", func(t *testing.T) {
		w := w.in(t)
		w.patch(ann, path+ann.id, map[string]any{"role": "admin"}).refused(problem.LastOwner)
		w.delete(ann, path+ann.id).refused(problem.LastOwner)
		w.delete(ann, "/api/organizations/"+id+"/membership").refused(problem.LastOwner)
	})
	t.Run("a removal acts at once and takes the grants along", func(t *testing.T) {
		w := w.in(t)
		leaver := w.member(id, "member")
		w.get(leaver, "/api/organizations/"+id).requires(http.StatusOK)
		w.delete(admin, path+leaver.id).requires(http.StatusNoContent)
		w.get(leaver, "/api/organizations/"+id).refused(problem.NotFound)
		w.delete(admin, path+leaver.id).refused(problem.NotFound)
	})
	t.Run("leaving", func(t *testing.T) {
		w := w.in(t)
		leaver := w.member(id, "member")
		w.delete(leaver, "/api/organizations/"+id+"/membership").requires(http.StatusNoContent)
		w.get(leaver, "/api/organizations/"+id).refused(problem.NotFound)
	})
	t.Run("a transfer makes one owner of another", func(t *testing.T) {
		w := w.in(t)
		to := "/api/organizations/" + id + "/transfer"
		w.post(ann, to, map[string]any{"user_id": ann.id}).refused(problem.Unprocessable)
		w.post(ann, to, map[string]any{"user_id": w.person().id}).refused(problem.Unprocessable)
		require.Equal(t, "owner", w.post(ann, to, map[string]any{"user_id": member.id}).requires(http.StatusOK).text("role"))
		w.post(ann, to, map[string]any{"user_id": member.id}).refused(problem.Forbidden)
		w.delete(ann, "/api/organizations/"+id+"/membership").requires(http.StatusNoContent)
	})
}

func TestRemovingSomebodyNeedsKeto(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	id := w.organization(ann)
	member := w.member(id, "member")
	w.restart(func(s *settings) { s.Keto.WriteURL = "http://127.0.0.1:1" })

	w.delete(ann, "/api/organizations/"+id+"/members/"+member.id).refused(problem.Unavailable)

	w.restart(nil)
	w.get(member, "/api/organizations/"+id).requires(http.StatusOK)
}

func TestAChangeThatTheIndexDoesNotShowYetSaysSo(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	w.restart(func(s *settings) { s.Keto.WriteURL = "http://127.0.0.1:1" })

	created := w.post(ann, "/api/organizations", map[string]any{"name": "Acme", "slug": slug()})
	require.Equal(t, http.StatusAccepted, created.status, string(created.body))
	token := created.header.Get("Consistency-Token")
	require.NotEmpty(t, token)
	path := "/api/organizations/" + created.text("id")
	w.get(ann, path).refused(problem.NotFound)
	later := request{method: http.MethodGet, path: path, header: map[string]string{"Consistency-Token": token}}
	w.do(ann, later).refused(problem.NotConverged)

	w.restart(nil)
	w.do(ann, later).requires(http.StatusOK)
	later.header["Consistency-Token"] = "nonsense"
	w.do(ann, later).refused(problem.InvalidRequest)
}
