//go:build integration

package suite

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

// gateway makes one of an organization.
func (w *world) gateway(as caller, organization string) string {
	w.t.Helper()
	return w.post(as, "/api/organizations/"+organization+"/gateways", gatewayInput()).requires(http.StatusCreated).text("id")
}

func gatewayInput() map[string]any {
	return map[string]any{"slug": slug(), "name": "Gateway", "upstream": "https://backend.example"}
}

// stale is a request based on a version that never was.
func stale(method, path string, body any) request {
	return request{method: method, path: path, body: body, header: map[string]string{"If-Match": `"999"`}}
}

func TestGateways(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	admin, member, outsider := w.member(organization, "admin"), w.member(organization, "member"), w.person()
	list := "/api/organizations/" + organization + "/gateways"

	t.Run("an admin creates one and owns it", func(t *testing.T) {
		w := w.in(t)
		input := gatewayInput()
		created := w.post(admin, list, input).requires(http.StatusCreated)
		require.Equal(t, "/api/gateways/"+created.text("id"), created.header.Get("Location"))
		w.post(admin, list, input).refused(problem.SlugTaken)
		w.delete(admin, created.header.Get("Location")).requires(http.StatusNoContent)
		w.get(admin, created.header.Get("Location")).refused(problem.NotFound)
	})
	t.Run("a member does not create one", func(t *testing.T) { w.in(t).post(member, list, gatewayInput()).refused(problem.Forbidden) })
	t.Run("an upstream that is this machine is refused", func(t *testing.T) {
		input := gatewayInput()
		input["upstream"] = "http://127.0.0.1:4434"
		w.in(t).post(ann, list, input).refused(problem.Unprocessable)
	})
	t.Run("members see it, outsiders do not", func(t *testing.T) {
		w := w.in(t)
		id := w.gateway(ann, organization)
		w.get(member, "/api/gateways/"+id).requires(http.StatusOK)
		w.get(outsider, "/api/gateways/"+id).refused(problem.NotFound)
		require.Contains(t, ids(w.get(member, list).requires(http.StatusOK)), id)
		require.Contains(t, ids(w.get(member, "/api/gateways").requires(http.StatusOK)), id)
		require.Empty(t, w.get(outsider, "/api/gateways").requires(http.StatusOK).items())
		w.get(outsider, "/api/gateways?cursor=nonsense").refused(problem.InvalidRequest)
	})
	t.Run("changing", func(t *testing.T) {
		w := w.in(t)
		id, other := w.gateway(ann, organization), gatewayInput()
		w.post(ann, list, other).requires(http.StatusCreated)
		path, input := "/api/gateways/"+id, gatewayInput()
		input["name"] = "Renamed"
		require.Equal(t, "Renamed", w.put(admin, path, input).requires(http.StatusOK).text("name"))
		w.put(member, path, input).refused(problem.Forbidden)
		w.do(ann, stale(http.MethodPut, path, input)).refused(problem.PreconditionFailed)
		w.put(ann, path, other).refused(problem.SlugTaken)
		input["upstream"] = "ftp://backend"
		w.put(ann, path, input).refused(problem.Unprocessable)
	})
	t.Run("deleting is for owners, and not while it has products", func(t *testing.T) {
		w := w.in(t)
		id := w.gateway(ann, organization)
		path := "/api/gateways/" + id
		w.do(ann, stale(http.MethodDelete, path, nil)).refused(problem.PreconditionFailed)
		product := w.product(ann, id, "private")
		w.delete(ann, path).refused(problem.NotEmpty)
		w.delete(ann, "/api/products/"+product).requires(http.StatusNoContent)
		w.delete(admin, path).refused(problem.Forbidden)
		w.delete(ann, path).requires(http.StatusNoContent)
	})
}

func ids(page answer) []string {
	var out []string
	for _, item := range page.items() {
		out = append(out, item["id"].(string))
	}
	return out
}

func TestGrants(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	admin, member, other := w.member(organization, "admin"), w.member(organization, "member"), w.member(organization, "member")
	id := w.gateway(ann, organization)
	path := "/api/gateways/" + id
	to := func(kind, subject string) string { return path + "/grants/" + kind + "/" + subject }
	role := func(name string) map[string]any { return map[string]any{"role": name} }

	t.Run("a grant acts at once, and its removal does", func(t *testing.T) {
		w := w.in(t)
		w.put(member, path+"/config", configuration()).refused(problem.Forbidden)
		w.put(admin, to("user", member.id), role("editor")).requires(http.StatusOK)
		w.put(member, path+"/config", configuration()).requires(http.StatusOK)
		w.put(admin, to("user", member.id), role("viewer")).requires(http.StatusOK)
		w.put(member, path+"/config", configuration()).refused(problem.Forbidden)
		w.do(admin, stale(http.MethodPut, to("user", member.id), role("viewer"))).refused(problem.PreconditionFailed)
		w.do(admin, stale(http.MethodDelete, to("user", member.id), nil)).refused(problem.PreconditionFailed)
		w.delete(admin, to("user", member.id)).requires(http.StatusNoContent)
		w.delete(admin, to("user", member.id)).refused(problem.NotFound)
	})
	t.Run("a grant to all members reaches each", func(t *testing.T) {
		w := w.in(t)
		w.put(admin, to("members", organization), role("editor")).requires(http.StatusOK)
		w.put(other, path+"/config", configuration()).requires(http.StatusOK)
		w.delete(admin, to("members", organization)).requires(http.StatusNoContent)
		w.put(other, path+"/config", configuration()).refused(problem.Forbidden)
	})
	t.Run("nobody gives, changes or takes what is above them", func(t *testing.T) {
		w := w.in(t)
		w.put(admin, to("user", member.id), role("owner")).refused(problem.Forbidden)
		w.put(admin, to("user", ann.id), role("viewer")).refused(problem.Forbidden)
		w.delete(admin, to("user", ann.id)).refused(problem.Forbidden)
		w.put(member, to("user", member.id), role("viewer")).refused(problem.Forbidden)
	})
	t.Run("outsiders and strangers get nothing", func(t *testing.T) {
		w := w.in(t)
		w.put(ann, to("user", w.person().id), role("viewer")).refused(problem.Unprocessable)
		w.put(ann, to("client", uuid.NewString()), role("viewer")).refused(problem.Unprocessable)
		w.put(ann, to("api_key", uuid.NewString()), role("viewer")).refused(problem.Unprocessable)
		w.put(ann, to("members", uuid.NewString()), role("viewer")).refused(problem.Unprocessable)
	})
	t.Run("who has access, and why", func(t *testing.T) {
		w := w.in(t)
		w.put(admin, to("user", other.id), role("admin")).requires(http.StatusOK)
		reasons := map[string]string{}
		for _, item := range all(w, member, path+"/access?limit=2") {
			reasons[fmt.Sprint(item["subject"], " ", item["because"])] = item["role"].(string)
		}
		require.Equal(t, map[string]string{
			ann.id + " grant": "owner", ann.id + " organization_owner": "owner", admin.id + " organization_admin": "admin",
			member.id + " organization_member": "viewer", other.id + " organization_member": "viewer", other.id + " grant": "admin",
		}, reasons)
		require.Len(t, all(w, member, path+"/grants?limit=1"), 2)
		w.get(member, path+"/access?cursor=nonsense").refused(problem.InvalidRequest)
		w.get(member, path+"/grants?cursor=nonsense").refused(problem.InvalidRequest)
	})
	t.Run("a client has what it is granted, and nobody takes it for a person", func(t *testing.T) {
		w := w.in(t)
		client := uuid.NewString()
		w.execute("INSERT INTO oauth2_clients (id, organization_id, name, grant_types, scopes, audience, created_by) VALUES ($1, $2, 'C', '{client_credentials}', '{}', '{}', $3)", client, organization, ann.id)
		machine := machine(client, "gateways:read", "gateways:publish")
		w.get(machine, path).refused(problem.NotFound)
		w.put(ann, to("client", client), role("viewer")).requires(http.StatusOK)
		w.get(machine, path).requires(http.StatusOK)
		require.Equal(t, []string{id}, ids(w.get(machine, "/api/gateways").requires(http.StatusOK)))
		w.put(machine, path+"/config", configuration()).refused(problem.Forbidden)
		w.put(ann, to("user", client), role("editor")).refused(problem.Unprocessable)
	})
}

// all reads every page of a list.
func all(w *world, as caller, path string) []map[string]any {
	w.t.Helper()
	var out []map[string]any
	for next := path; next != ""; {
		page := w.get(as, next).requires(http.StatusOK)
		out = append(out, page.items()...)
		next = ""
		if cursor := page.json()["next_cursor"]; cursor != nil {
			next = fmt.Sprintf("%s&cursor=%v", path, cursor)
		}
	}
	return out
}

// configuration is one with routes.
func configuration(routes ...map[string]any) map[string]any {
	if routes == nil {
		routes = []map[string]any{{"path": "/**", "methods": []string{"GET"}, "flow_type": "public"}}
	}
	return map[string]any{"config": map[string]any{"routes": routes}, "note": "A note."}
}

func TestRevisions(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	id := w.gateway(ann, w.organization(ann))
	path := "/api/gateways/" + id
	open := map[string]any{"path": "/open", "methods": []string{"GET"}, "flow_type": "public"}
	closed := map[string]any{"path": "/open", "methods": []string{"GET"}, "flow_type": "api-key", "scopes": []string{"read"}}

	w.get(ann, path+"/config").refused(problem.NotFound)
	w.put(ann, path+"/config", configuration(open)).requires(http.StatusOK)
	second := w.put(ann, path+"/config", configuration(closed)).requires(http.StatusOK)
	require.Equal(t, `"2"`, second.header.Get("ETag"))

	t.Run("the newest is in force", func(t *testing.T) {
		w := w.in(t)
		require.EqualValues(t, 2, w.get(ann, path+"/config").requires(http.StatusOK).json()["number"])
		require.EqualValues(t, 2, w.get(ann, path).requires(http.StatusOK).json()["current_revision"])
	})
	t.Run("409 and 422 of a key, 412 of an older state, 422 of nonsense", func(t *testing.T) {
		w := w.in(t)
		w.do(ann, stale(http.MethodPut, path+"/config", configuration())).refused(problem.PreconditionFailed)
		w.put(ann, path+"/config", configuration(open, closed)).refused(problem.Unprocessable)
		w.whileLocked("putConfig", ann, "", func(header map[string]string) {
			w.do(ann, request{method: http.MethodPut, path: path + "/config", body: configuration(), header: header}).refused(problem.IdempotencyInProgress)
		})
	})
	t.Run("a diff says what changed", func(t *testing.T) {
		w := w.in(t)
		changed := w.get(ann, path+"/revisions/2/diff").requires(http.StatusOK).json()
		require.Len(t, changed["changed"], 1)
		require.Empty(t, changed["added"])
		require.Len(t, w.get(ann, path+"/revisions/1/diff").requires(http.StatusOK).json()["added"], 1)
		require.Len(t, w.get(ann, path+"/revisions/1/diff?against=2").requires(http.StatusOK).json()["changed"], 1)
		w.get(ann, path+"/revisions/1/diff?against=9").refused(problem.NotFound)
		w.get(ann, path+"/revisions/9").refused(problem.NotFound)
	})
	t.Run("a roll back is a new revision", func(t *testing.T) {
		w := w.in(t)
		w.do(ann, stale(http.MethodPost, path+"/revisions/1/restore", nil)).refused(problem.PreconditionFailed)
		w.post(ann, path+"/revisions/2/restore", nil).refused(problem.Conflict)
		again := request{method: http.MethodPost, path: path + "/revisions/1/restore", header: map[string]string{"Idempotency-Key": "once"}}
		restored := w.do(ann, again).requires(http.StatusCreated)
		require.EqualValues(t, 3, restored.json()["number"])
		require.EqualValues(t, 1, restored.json()["restores"])
		require.EqualValues(t, 3, w.do(ann, again).requires(http.StatusCreated).json()["number"])
		other := again
		other.path = path + "/revisions/2/restore"
		w.do(ann, other).refused(problem.IdempotencyMismatch)
		require.Equal(t, w.get(ann, path+"/revisions/1").requires(http.StatusOK).json()["config"], w.get(ann, path+"/config").requires(http.StatusOK).json()["config"])
	})
	t.Run("the list is newest first", func(t *testing.T) {
		w := w.in(t)
		var numbers []float64
		for _, item := range all(w, ann, path+"/revisions?limit=2") {
			numbers = append(numbers, item["number"].(float64))
		}
		require.Equal(t, []float64{3, 2, 1}, numbers)
	})
	t.Run("nothing changes a revision, not even the service", func(t *testing.T) {
		err := w.in(t).try("UPDATE gateway_revisions SET note = 'other'")
		require.ErrorContains(t, err, "permission denied")
	})
}
