//go:build integration

package suite

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

// product makes one of a gateway.
func (w *world) product(as caller, gateway, visibility string) string {
	w.t.Helper()
	return w.post(as, "/api/gateways/"+gateway+"/products", productInput(visibility)).requires(http.StatusCreated).text("id")
}

func productInput(visibility string) map[string]any {
	return map[string]any{"slug": slug(), "name": "Weather", "visibility": visibility, "flow_types": []string{"api-key", "public"}}
}

func TestProducts(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	gateway := w.gateway(ann, organization)
	editor, member, outsider := w.member(organization, "member"), w.member(organization, "member"), w.person()
	w.put(ann, "/api/gateways/"+gateway+"/grants/user/"+editor.id, map[string]any{"role": "editor"}).requires(http.StatusOK)
	list := "/api/gateways/" + gateway + "/products"

	t.Run("201, 409, 403", func(t *testing.T) {
		w := w.in(t)
		input := productInput("private")
		w.post(editor, list, input).requires(http.StatusCreated)
		w.post(editor, list, input).refused(problem.SlugTaken)
		w.post(member, list, productInput("private")).refused(problem.Forbidden)
		keyed := request{method: http.MethodPost, path: list, body: productInput("private"), header: map[string]string{"Idempotency-Key": "k"}}
		first := w.do(editor, keyed).requires(http.StatusCreated).text("id")
		require.Equal(t, first, w.do(editor, keyed).requires(http.StatusCreated).text("id"))
		keyed.body = productInput("private")
		w.do(editor, keyed).refused(problem.IdempotencyMismatch)
	})
	t.Run("who sees which", func(t *testing.T) {
		w := w.in(t)
		private, shared := w.product(ann, gateway, "private"), w.product(ann, gateway, "organization")
		w.get(editor, "/api/products/"+private).requires(http.StatusOK)
		w.get(member, "/api/products/"+private).refused(problem.NotFound)
		w.get(member, "/api/products/"+shared).requires(http.StatusOK)
		w.get(outsider, "/api/products/"+shared).refused(problem.NotFound)
		require.Contains(t, ids(w.get(editor, list).requires(http.StatusOK)), private)
		seen := ids(w.get(member, list).requires(http.StatusOK))
		require.NotContains(t, seen, private)
		require.Contains(t, seen, shared)
	})
	t.Run("an editor edits, and does not decide who sees it", func(t *testing.T) {
		w := w.in(t)
		id := w.product(ann, gateway, "organization")
		path, input := "/api/products/"+id, productInput("private")
		w.get(member, path).requires(http.StatusOK)
		w.put(editor, path, input).requires(http.StatusOK)
		w.get(member, path).refused(problem.NotFound)
		input["visibility"] = "organization"
		w.put(editor, path, input).refused(problem.Forbidden)
		w.put(ann, path, input).requires(http.StatusOK)
		w.get(member, path).requires(http.StatusOK)
		w.put(member, path, input).refused(problem.Forbidden)
		w.do(ann, stale(http.MethodPut, path, input)).refused(problem.PreconditionFailed)
		taken := productInput("private")
		w.post(ann, list, taken).requires(http.StatusCreated)
		w.put(ann, path, taken).refused(problem.SlugTaken)
		w.delete(editor, path).refused(problem.Forbidden)
		w.do(ann, stale(http.MethodDelete, path, nil)).refused(problem.PreconditionFailed)
		w.delete(ann, path).requires(http.StatusNoContent)
		w.get(ann, path).refused(problem.NotFound)
	})
	t.Run("its document", func(t *testing.T) {
		w := w.in(t)
		path := "/api/products/" + w.product(ann, gateway, "private") + "/document"
		document := map[string]any{"openapi": "3.0.3", "info": map[string]any{"title": "T", "version": "1"}, "paths": map[string]any{}}
		w.get(ann, path).refused(problem.NotFound)
		require.Equal(t, true, w.put(editor, path, document).requires(http.StatusOK).json()["has_document"])
		require.Equal(t, "3.0.3", w.get(ann, path).requires(http.StatusOK).text("openapi"))
		broken := map[string]any{"openapi": "3.0.3", "info": document["info"], "paths": map[string]any{"no-slash": map[string]any{}}}
		w.put(ann, path, broken).refused(problem.Unprocessable)
		fetching := map[string]any{"openapi": "3.0.3", "info": document["info"], "paths": map[string]any{"/a": map[string]any{"$ref": "http://169.254.169.254/latest"}}}
		w.put(ann, path, fetching).refused(problem.Unprocessable)
		w.do(ann, stale(http.MethodPut, path, document)).refused(problem.PreconditionFailed)
		w.do(ann, stale(http.MethodDelete, path, nil)).refused(problem.PreconditionFailed)
		w.delete(editor, path).requires(http.StatusNoContent)
		w.get(ann, path).refused(problem.NotFound)
	})
}

func TestDirectory(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	gateway := w.gateway(ann, organization)
	editor := w.member(organization, "member")
	w.put(ann, "/api/gateways/"+gateway+"/grants/user/"+editor.id, map[string]any{"role": "editor"}).requires(http.StatusOK)
	input := productInput("public")
	input["name"] = "Tidal forecasts"
	id := w.post(ann, "/api/gateways/"+gateway+"/products", input).requires(http.StatusCreated).text("id")
	place := "/api/public/directory/" + w.get(ann, "/api/organizations/"+organization).text("slug") + "/" +
		w.get(ann, "/api/gateways/"+gateway).text("slug") + "/" + input["slug"].(string)
	publication := "/api/products/" + id + "/publication"

	t.Run("nothing is in it before it is published", func(t *testing.T) {
		w := w.in(t)
		w.get(nobody, place).refused(problem.NotFound)
		w.get(nobody, place+"/document").refused(problem.NotFound)
		require.Empty(t, w.get(nobody, "/api/public/directory").requires(http.StatusOK).items())
	})
	t.Run("an admin publishes, an editor does not", func(t *testing.T) {
		w := w.in(t)
		w.put(editor, publication, nil).refused(problem.Forbidden)
		w.do(ann, stale(http.MethodPut, publication, nil)).refused(problem.PreconditionFailed)
		require.Equal(t, true, w.put(ann, publication, nil).requires(http.StatusOK).json()["published"])
	})
	t.Run("anyone finds it", func(t *testing.T) {
		w := w.in(t)
		require.Equal(t, "Tidal forecasts", w.get(nobody, place).requires(http.StatusOK).text("name"))
		require.Len(t, w.get(nobody, "/api/public/directory?q=tidal").requires(http.StatusOK).items(), 1)
		require.Empty(t, w.get(nobody, "/api/public/directory?q=volcano").requires(http.StatusOK).items())
		w.get(nobody, place+"/document").refused(problem.NotFound)
		w.put(ann, "/api/products/"+id+"/document", map[string]any{"openapi": "3.0.3", "info": map[string]any{"title": "T", "version": "1"}, "paths": map[string]any{}}).requires(http.StatusOK)
		w.get(nobody, place+"/document").requires(http.StatusOK)
		w.get(nobody, "/api/public/directory?cursor=nonsense").refused(problem.InvalidRequest)
		w.get(nobody, "/api/public/directory/UPPER/a/b").refused(problem.InvalidRequest)
		w.get(nobody, "/api/public/directory/UPPER/a/b/document").refused(problem.InvalidRequest)
	})
	t.Run("it leaves when it is not public, or not published", func(t *testing.T) {
		w := w.in(t)
		input["visibility"] = "organization"
		w.put(ann, "/api/products/"+id, input).requires(http.StatusOK)
		w.get(nobody, place).refused(problem.NotFound)
		input["visibility"] = "public"
		w.put(editor, "/api/products/"+id, input).refused(problem.Forbidden)
		w.put(ann, "/api/products/"+id, input).requires(http.StatusOK)
		w.get(nobody, place).requires(http.StatusOK)
		w.do(ann, stale(http.MethodDelete, publication, nil)).refused(problem.PreconditionFailed)
		w.delete(ann, publication).requires(http.StatusOK)
		w.get(nobody, place).refused(problem.NotFound)
	})
}
