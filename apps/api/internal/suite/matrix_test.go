//go:build integration

package suite

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/permission/permissiontest"
)

// everyScope is what the matrix' tokens and keys carry: their scopes shall be no reason for a no.
var everyScope = []string{"organizations:read", "gateways:read", "products:read"}

// TestMatrixOverHTTP holds the API to the same cases as Keto and the rows (internal/permission): what it says of the permits,
// and whether it shows the object.
func TestMatrixOverHTTP(t *testing.T) {
	w, matrix := newWorld(t), permissiontest.Load(t)
	people := map[string]caller{} // by name; two kinds with one name have one id
	person := func(name string) caller {
		if _, known := people[name]; !known {
			people[name] = w.person()
			w.get(people[name], "/api/me").requires(http.StatusOK) // the row of the user
		}
		return people[name]
	}
	objects := map[string]permission.Object{"Platform": permission.PlatformObject}
	create := func(on string, namespace permission.Namespace) string {
		object := permission.Of(namespace, uuid.Must(uuid.NewV7()))
		objects[on] = object
		return object.ID
	}
	for _, name := range matrix.Rows.PlatformAdmins {
		w.execute("INSERT INTO platform_admins (user_id) VALUES ($1)", person(name).id)
	}
	for name, members := range matrix.Rows.Organizations {
		id := create("Organization:"+name, permission.Organization)
		w.execute("INSERT INTO organizations (id, slug, name) VALUES ($1, $2, 'O')", id, slug())
		for who, role := range members {
			w.execute("INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)", id, person(who).id, role)
		}
	}
	acme := objects["Organization:acme"].ID
	for name, gateway := range matrix.Rows.Gateways {
		id := create("Gateway:"+name, permission.Gateway)
		w.execute("INSERT INTO gateways (id, organization_id, slug, name, upstream) VALUES ($1, $2, $3, 'G', 'https://backend.example')",
			id, objects["Organization:"+gateway.Organization].ID, slug())
		for grantee, role := range gateway.Grants {
			kind, who, _ := strings.Cut(grantee, ":")
			subject := objects["Organization:"+who].ID
			if kind != permission.KindMembers {
				subject = person(who).id
			}
			w.execute("INSERT INTO gateway_grants (gateway_id, subject_kind, subject_id, role, granted_by_kind, granted_by_id) VALUES ($1, $2, $3, $4, 'user', 'somebody')",
				id, kind, subject, role)
		}
	}
	for name, product := range matrix.Rows.Products {
		w.execute("INSERT INTO products (id, gateway_id, slug, name, visibility) VALUES ($1, $2, $3, 'P', $4)",
			create("Product:"+name, permission.Product), objects["Gateway:"+product.Gateway].ID, slug(), product.Visibility)
	}
	for _, object := range objects {
		require.NoError(t, w.api.Converge(t.Context(), object))
	}

	keys := map[string]bool{}
	as := func(c permissiontest.Case) caller {
		namespace, name := c.Subject()
		id := person(name).id
		switch namespace {
		case permission.Client:
			return machine(id, everyScope...)
		case permission.APIKey:
			if !keys[id] { // a key is admitted by its row: one of acme's, whose owner answers for it
				w.execute("INSERT INTO api_keys (id, organization_id, name, prefix, hash, scopes, created_by) VALUES ($1, $2, 'K', $3, '\\x00', $4, $5)",
					id, acme, slug(), everyScope, person("olga").id)
				keys[id] = true
			}
			key := by(id)
			key.claims = key.claims.With(map[string]any{"scope": strings.Join(everyScope, " ")})
			return key
		}
		return person(name)
	}
	for _, c := range matrix.Cases {
		t.Run(c.String(), func(t *testing.T) {
			w, who := w.in(t), as(c)
			object, known := objects[c.On]
			require.True(t, known, "no row is called %s", c.On)

			var questions []map[string]any
			for _, permit := range permission.Permits[object.Namespace] {
				question := map[string]any{"permit": string(object.Namespace) + "." + string(permit)}
				if object != permission.PlatformObject {
					question["object"] = object.ID
				}
				questions = append(questions, question)
			}
			answers := w.post(who, "/api/me/permissions", map[string]any{"questions": questions}).requires(http.StatusOK).json()["answers"].([]any)
			var holds []permission.Permit
			for i, answer := range answers {
				if answer.(map[string]any)["allowed"] == true {
					holds = append(holds, permission.Permits[object.Namespace][i])
				}
			}
			require.ElementsMatch(t, c.Holds, holds)

			path := map[permission.Namespace]string{
				permission.Organization: "/api/organizations/", permission.Gateway: "/api/gateways/", permission.Product: "/api/products/",
			}[object.Namespace]
			if path == "" {
				return
			}
			want := http.StatusNotFound
			for _, permit := range c.Holds {
				if permit == "view" {
					want = http.StatusOK
				}
			}
			require.Equal(t, want, w.get(who, path+object.ID).status)
		})
	}
}
