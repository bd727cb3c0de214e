//go:build integration

package suite

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

func TestAudit(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	id := w.organization(ann)
	member := w.member(id, "member")
	path := "/api/organizations/" + id + "/audit"
	application := ann.through("an-application", "organizations:write")
	w.do(application, request{
		method: http.MethodPatch, path: "/api/organizations/" + id, body: map[string]any{"name": "Renamed"},
		header: map[string]string{"X-Request-Id": "=1+1", "X-Forwarded-For": "10.0.0.1, 203.0.113.7"},
	}).requires(http.StatusOK)
	w.patch(ann, "/api/organizations/"+id+"/members/"+member.id, map[string]any{"role": "admin"}).requires(http.StatusOK)

	t.Run("who, what, on which, from where, before and after", func(t *testing.T) {
		events := w.in(t).get(ann, path).requires(http.StatusOK).items()
		require.Len(t, events, 3)
		require.Equal(t, "member.update", events[0]["action"])
		renamed := events[1]
		require.Equal(t, "organization.update", renamed["action"])
		require.Equal(t, map[string]any{"type": "user", "id": ann.id, "client_id": "an-application"}, renamed["actor"])
		require.Equal(t, map[string]any{"type": "organization", "id": id}, renamed["target"])
		require.Equal(t, "203.0.113.7", renamed["address"]) // what the client wrote itself is not it
		require.Equal(t, "=1+1", renamed["request_id"])
		require.Equal(t, "Acme", renamed["before"].(map[string]any)["name"])
		require.Equal(t, "Renamed", renamed["after"].(map[string]any)["name"])
		require.Equal(t, "organization.create", events[2]["action"])
	})
	t.Run("filters and pages", func(t *testing.T) {
		w := w.in(t)
		require.Len(t, all(w, ann, path+"?limit=1"), 3)
		require.Len(t, w.get(ann, path+"?action=organization.").items(), 2)
		require.Len(t, w.get(ann, path+"?action=organization").items(), 0)
		require.Len(t, w.get(ann, path+"?target="+member.id).items(), 1)
		require.Len(t, w.get(ann, path+"?actor="+ann.id).items(), 3)
		require.Empty(t, w.get(ann, path+"?actor="+member.id).items())
		require.Empty(t, w.get(ann, path+"?from=2999-01-01T00:00:00Z").items())
		require.Len(t, w.get(ann, path+"?until=2999-01-01T00:00:00Z").items(), 3)
		w.get(ann, path+"?from=yesterday").refused(problem.InvalidRequest)
	})
	t.Run("as files", func(t *testing.T) {
		w := w.in(t)
		file := w.get(ann, path+"/export?format=csv").requires(http.StatusOK)
		require.Equal(t, "attachment; filename=audit.csv", file.header.Get("Content-Disposition"))
		records, err := csv.NewReader(strings.NewReader(string(file.body))).ReadAll()
		require.NoError(t, err)
		require.Len(t, records, 4)
		require.Equal(t, "'=1+1", records[2][9], "a spreadsheet would calculate it")
		require.Equal(t, 3, strings.Count(string(w.get(ann, path+"/export?format=json").requires(http.StatusOK).body), "\n"))
		w.get(ann, path+"/export?format=xml").refused(problem.InvalidRequest)
	})
	t.Run("not for plain members", func(t *testing.T) {
		w := w.in(t)
		plain := w.member(id, "member")
		w.get(plain, path).refused(problem.Forbidden)
		w.get(plain, path+"/export?format=csv").refused(problem.Forbidden)
	})
	t.Run("the service itself cannot rewrite it", func(t *testing.T) {
		w := w.in(t)
		for _, statement := range []string{"UPDATE audit_events SET action = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"} {
			require.ErrorContains(t, w.try(statement), "permission denied", statement)
		}
	})
}
