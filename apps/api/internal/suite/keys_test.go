//go:build integration

package suite

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/principal/principaltest"
	"gatehouse.internal/api/internal/problem"
)

// shelf is where somebody's keys are: the same operations for a person's and an organization's.
type shelf struct {
	name, path string
	owner      caller
}

func shelves(w *world) []shelf {
	ann := w.person()
	organization := w.organization(ann)
	return []shelf{
		{"a person's", "/api/me/api-keys", ann},
		{"an organization's", "/api/organizations/" + organization + "/api-keys", ann},
	}
}

var input = map[string]any{"name": "CI", "scopes": []string{"gateways:read", "products:read"}}

// key makes one and returns it with its secret.
func (w *world) key(s shelf) answer {
	w.t.Helper()
	return w.post(s.owner, s.path, input).requires(http.StatusCreated)
}

// verify asks as a gate does: whether the secret is a key's.
func (w *world) verify(secret string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/internal/api-keys/verify", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("X-Gatehouse-Secret", w.settings.APIKeys.GateSecret.Reveal())
	out := httptest.NewRecorder()
	w.api.Internal.ServeHTTP(out, r)
	return out
}

// by is a key as the door presents it.
func by(key string) caller {
	return caller{key, principaltest.Session(key, "", time.Now()).With(principaltest.Claims{
		"type": "api_key", "auth": "api_key", "scope": "gateways:read", "sid": nil, "aal": nil, "email": nil, "email_verified": nil,
	})}
}

// published are the entries of the feed about a key, the oldest first.
func (w *world) published(key string) (entries []map[string]any) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, "/internal/revocations", nil)
	r.Header.Set("Authorization", "Bearer "+w.settings.InternalSecret.Reveal())
	out := httptest.NewRecorder()
	w.api.Internal.ServeHTTP(out, r)
	require.Equal(w.t, http.StatusOK, out.Code, out.Body.String())
	var page struct{ Entries []map[string]any }
	require.NoError(w.t, json.Unmarshal(out.Body.Bytes(), &page))
	return slices.DeleteFunc(page.Entries, func(e map[string]any) bool { return e["kind"] != "key" || e["id"] != key })
}

func TestCreateAPIKey(t *testing.T) {
	w := newWorld(t)
	for _, s := range shelves(w) {
		t.Run(s.name, func(t *testing.T) {
			t.Run("201 with a secret that works and is shown once", func(t *testing.T) {
				w := w.in(t)
				created := w.key(s)
				require.Equal(t, s.path+"/"+created.text("id"), created.header.Get("Location"))
				require.Equal(t, `"1"`, created.header.Get("ETag"))
				secret := created.text("secret")
				require.Regexp(t, `^gh_dev_[A-Z2-7]{52}_[0-9a-f]{8}$`, secret)
				require.True(t, strings.HasPrefix(secret, created.text("prefix")))
				require.Equal(t, http.StatusOK, w.verify(secret).Code)

				read := w.get(s.owner, created.header.Get("Location")).requires(http.StatusOK)
				require.NotContains(t, string(read.body), secret)
				require.NotContains(t, read.json(), "secret")
				require.NotContains(t, string(w.get(s.owner, s.path).requires(http.StatusOK).body), secret)
			})
			t.Run("201 again with an Idempotency-Key, without the secret; 422 for another request, 409 at the same time", func(t *testing.T) {
				w := w.in(t)
				again := request{method: http.MethodPost, path: s.path, body: input, header: map[string]string{"Idempotency-Key": "k"}}
				first := w.do(s.owner, again).requires(http.StatusCreated)
				second := w.do(s.owner, again).requires(http.StatusCreated)
				require.Equal(t, "true", second.header.Get("Idempotent-Replayed"))
				require.Equal(t, first.text("id"), second.text("id"))
				require.NotEmpty(t, first.text("secret"))
				require.NotContains(t, second.json(), "secret")

				other := again
				other.body = map[string]any{"name": "Other", "scopes": []string{"gateways:read"}}
				w.do(s.owner, other).refused(problem.IdempotencyMismatch)

				other.header = map[string]string{"Idempotency-Key": "busy"}
				w.whileBusy(s, "busy", func() { w.do(s.owner, other).refused(problem.IdempotencyInProgress) })
			})
			t.Run("422 for a scope that nothing asks for, and for a time that is over", func(t *testing.T) {
				w := w.in(t)
				for _, bad := range []map[string]any{
					{"name": "CI", "scopes": []string{"gateways:read", "everything"}},
					{"name": "CI", "scopes": []string{"gateways:read"}, "expires_at": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)},
				} {
					w.post(s.owner, s.path, bad).refused(problem.Unprocessable)
				}
			})
			t.Run("403 for a key: it cannot make another", func(t *testing.T) {
				w := w.in(t)
				w.post(by(w.key(s).text("id")), s.path, input).refused(problem.SessionRequired)
			})
		})
	}
	t.Run("403 for a member, 404 for a stranger", func(t *testing.T) {
		w := w.in(t)
		ann := w.person()
		organization := w.organization(ann)
		path := "/api/organizations/" + organization + "/api-keys"
		w.post(w.member(organization, "member"), path, input).refused(problem.Forbidden)
		w.get(w.member(organization, "member"), path).refused(problem.Forbidden)
		w.post(w.person(), path, input).refused(problem.NotFound)
		w.post(w.member(organization, "admin"), path, input).requires(http.StatusCreated)
	})
}

// whileBusy runs do while another request with the Idempotency-Key is being worked on.
func (w *world) whileBusy(s shelf, key string, do func()) {
	w.t.Helper()
	operation, organization := "createMyAPIKey", ""
	if id, found := strings.CutPrefix(strings.TrimSuffix(s.path, "/api-keys"), "/api/organizations/"); found {
		operation, organization = "createOrganizationAPIKey", id
	}
	connection, err := pgx.Connect(w.t.Context(), w.database.URL(w.t, databasetest.Runtime))
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, connection.Close(w.t.Context())) }()
	_, err = connection.Exec(w.t.Context(), "SELECT pg_advisory_lock(hashtext('idempotency'), hashtext($1))",
		strings.Join([]string{"user:" + s.owner.id + ":", operation, organization, key}, "\n"))
	require.NoError(w.t, err)
	do()
}

func TestUseOfAnAPIKey(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	organization := w.organization(ann)
	gateway := w.post(ann, "/api/organizations/"+organization+"/gateways",
		map[string]any{"slug": slug(), "name": "G", "upstream": "http://up.example"}).requires(http.StatusCreated).text("id")

	t.Run("a person's may what the person may, within its scopes", func(t *testing.T) {
		w := w.in(t)
		key := by(w.key(shelf{path: "/api/me/api-keys", owner: ann}).text("id"))
		who := w.get(key, "/api/me").requires(http.StatusOK)
		require.Equal(t, "api_key", who.text("type"))
		require.Equal(t, ann.id, who.text("user_id"))
		w.get(key, "/api/gateways/"+gateway).requires(http.StatusOK)
		w.delete(key, "/api/gateways/"+gateway).refused(problem.SessionRequired)
		w.patch(key, "/api/organizations/"+organization, map[string]any{"name": "Mine"}).refused(problem.InsufficientScope)
		stranger := by(w.key(shelf{path: "/api/me/api-keys", owner: w.person()}).text("id"))
		w.get(stranger, "/api/gateways/"+gateway).refused(problem.NotFound)
	})
	t.Run("an organization's may nothing but what it is granted", func(t *testing.T) {
		w := w.in(t)
		id := w.key(shelf{path: "/api/organizations/" + organization + "/api-keys", owner: ann}).text("id")
		key := by(id)
		who := w.get(key, "/api/me").requires(http.StatusOK)
		require.Equal(t, organization, who.text("organization_id"))
		w.get(key, "/api/gateways/"+gateway).refused(problem.NotFound)
		w.put(ann, "/api/gateways/"+gateway+"/grants/api_key/"+id, map[string]any{"role": "viewer"}).requires(http.StatusOK)
		w.get(key, "/api/gateways/"+gateway).requires(http.StatusOK)
	})
	t.Run("an organization's works while who was shown its secret belongs to it", func(t *testing.T) {
		w := w.in(t)
		admin := w.member(organization, "admin")
		s := shelf{path: "/api/organizations/" + organization + "/api-keys", owner: admin}
		created := w.key(s)
		id, secret := created.text("id"), created.text("secret")
		w.get(by(id), "/api/me").requires(http.StatusOK)
		w.delete(ann, "/api/organizations/"+organization+"/members/"+admin.id).requires(http.StatusNoContent)
		w.get(by(id), "/api/me").refused(problem.Unauthenticated)
		require.Equal(t, http.StatusUnauthorized, w.verify(secret).Code)

		rotated := w.post(ann, s.path+"/"+id+"/rotate", nil).requires(http.StatusOK)
		require.Equal(t, ann.id, rotated.text("created_by"))
		w.get(by(id), "/api/me").requires(http.StatusOK)
		require.Equal(t, http.StatusOK, w.verify(rotated.text("secret")).Code)
		require.Equal(t, http.StatusUnauthorized, w.verify(secret).Code, "the new secret is another's to know")
	})
	t.Run("what was never a key is nobody", func(t *testing.T) {
		w := w.in(t)
		w.get(by(uuid.NewString()), "/api/me").refused(problem.Unauthenticated)
	})
}

func TestListAndReadAPIKeys(t *testing.T) {
	w := newWorld(t)
	for _, s := range shelves(w) {
		t.Run(s.name, func(t *testing.T) {
			w := w.in(t)
			var want, got []string
			for range 3 {
				want = append(want, w.key(s).text("id"))
			}
			path := s.path + "?limit=2"
			for path != "" {
				page := w.get(s.owner, path).requires(http.StatusOK)
				for _, item := range page.items() {
					require.NotContains(t, item, "hash")
					got = append(got, item["id"].(string))
				}
				path = ""
				if next := page.text("next_cursor"); next != "" {
					path = s.path + "?limit=2&cursor=" + next
				}
			}
			require.Equal(t, want, got)
			w.get(s.owner, s.path+"?cursor=nonsense").refused(problem.InvalidRequest)
			w.get(s.owner, s.path+"/"+uuid.NewString()).refused(problem.NotFound)
		})
	}
	t.Run("404 for a key of somebody else, by whatever way", func(t *testing.T) {
		w := w.in(t)
		all := append(shelves(w), shelves(w)...)
		for i, mine := range all {
			id := w.key(mine).text("id")
			for j, other := range all {
				if i == j {
					continue
				}
				w.get(other.owner, other.path+"/"+id).refused(problem.NotFound)
				w.patch(other.owner, other.path+"/"+id, map[string]any{"name": "Mine"}).refused(problem.NotFound)
				w.delete(other.owner, other.path+"/"+id).refused(problem.NotFound)
				w.post(other.owner, other.path+"/"+id+"/rotate", nil).refused(problem.NotFound)
			}
		}
	})
}

func TestRenameAPIKey(t *testing.T) {
	w := newWorld(t)
	for _, s := range shelves(w) {
		t.Run(s.name, func(t *testing.T) {
			w := w.in(t)
			created := w.key(s)
			path := created.header.Get("Location")
			changed := w.do(s.owner, request{method: http.MethodPatch, path: path, body: map[string]any{"name": "Other"}, header: map[string]string{"If-Match": `"1"`}}).
				requires(http.StatusOK)
			require.Equal(t, "Other", changed.text("name"))
			require.Equal(t, `"2"`, changed.header.Get("ETag"))
			w.do(s.owner, request{method: http.MethodPatch, path: path, body: map[string]any{"name": "Old"}, header: map[string]string{"If-Match": `"1"`}}).
				refused(problem.PreconditionFailed)
			require.Equal(t, http.StatusOK, w.verify(created.text("secret")).Code)
		})
	}
}

func TestRotateAPIKey(t *testing.T) {
	w := newWorld(t)
	for _, s := range shelves(w) {
		t.Run(s.name, func(t *testing.T) {
			t.Run("200, and only the new secret works", func(t *testing.T) {
				w := w.in(t)
				created := w.key(s)
				id, path := created.text("id"), created.header.Get("Location")
				var issued []time.Time
				note := func(secret string) {
					var told struct {
						IssuedAt time.Time `json:"issued_at"`
					}
					require.NoError(t, json.Unmarshal(w.verify(secret).Body.Bytes(), &told))
					issued = append(issued, told.IssuedAt)
				}
				note(created.text("secret"))
				rotated := w.do(s.owner, request{method: http.MethodPost, path: path + "/rotate", header: map[string]string{"If-Match": `"1"`}}).requires(http.StatusOK)
				require.Equal(t, id, rotated.text("id"))
				require.Equal(t, `"2"`, rotated.header.Get("ETag"))
				require.NotEqual(t, created.text("prefix"), rotated.text("prefix"))
				require.Equal(t, http.StatusUnauthorized, w.verify(created.text("secret")).Code)
				require.Equal(t, http.StatusOK, w.verify(rotated.text("secret")).Code)
				note(rotated.text("secret"))

				entries := w.published(id)
				require.Len(t, entries, 1)
				until, err := time.Parse(time.RFC3339, entries[0]["not_before"].(string))
				require.NoError(t, err)
				require.False(t, issued[0].After(until), "the door refuses what it keeps of the old one")
				require.True(t, issued[1].After(until), "and lets the new one in")
			})
			t.Run("200 again with an Idempotency-Key, without the secret; 422 for another key", func(t *testing.T) {
				w := w.in(t)
				again := request{method: http.MethodPost, path: w.key(s).header.Get("Location") + "/rotate", header: map[string]string{"Idempotency-Key": "r"}}
				first := w.do(s.owner, again).requires(http.StatusOK)
				second := w.do(s.owner, again).requires(http.StatusOK)
				require.NotContains(t, second.json(), "secret")
				require.Equal(t, http.StatusOK, w.verify(first.text("secret")).Code, "it was not rotated twice")
				other := again
				other.path = w.key(s).header.Get("Location") + "/rotate"
				w.do(s.owner, other).refused(problem.IdempotencyMismatch)
			})
			t.Run("409 for one that is revoked or has expired, 412 for an older version", func(t *testing.T) {
				w := w.in(t)
				created := w.key(s)
				path := created.header.Get("Location")
				w.do(s.owner, request{method: http.MethodPost, path: path + "/rotate", header: map[string]string{"If-Match": `"9"`}}).refused(problem.PreconditionFailed)
				w.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", created.text("id"))
				w.post(s.owner, path+"/rotate", nil).refused(problem.Conflict)
				w.delete(s.owner, path).requires(http.StatusNoContent)
				w.post(s.owner, path+"/rotate", nil).refused(problem.Conflict)
			})
		})
	}
}

func TestRevokeAPIKey(t *testing.T) {
	w := newWorld(t)
	for _, s := range shelves(w) {
		t.Run(s.name, func(t *testing.T) {
			w := w.in(t)
			created := w.key(s)
			id, path := created.text("id"), created.header.Get("Location")
			w.get(by(id), "/api/me").requires(http.StatusOK)
			w.do(s.owner, request{method: http.MethodDelete, path: path, header: map[string]string{"If-Match": `"9"`}}).refused(problem.PreconditionFailed)

			w.delete(s.owner, path).requires(http.StatusNoContent)

			w.get(by(id), "/api/me").refused(problem.Unauthenticated)
			require.Equal(t, http.StatusUnauthorized, w.verify(created.text("secret")).Code)
			require.NotEmpty(t, w.get(s.owner, path).requires(http.StatusOK).text("revoked_at"))
			entries := w.published(id)
			require.Len(t, entries, 1)
			require.NotContains(t, entries[0], "not_before", "nothing of it is spared")

			w.delete(s.owner, path).requires(http.StatusNoContent)
			require.Len(t, w.published(id), 1, "there was nothing to do")
		})
	}
}

func TestNothingButTheAnswerHoldsASecretOfAnAPIKey(t *testing.T) {
	w := newWorld(t)
	s := shelves(w)[1]
	created := w.key(s)
	rotated := w.do(s.owner, request{method: http.MethodPost, path: created.header.Get("Location") + "/rotate", header: map[string]string{"Idempotency-Key": "k"}}).requires(http.StatusOK)
	w.delete(s.owner, created.header.Get("Location")).requires(http.StatusNoContent)

	connection, err := pgx.Connect(t.Context(), w.database.URL(t, databasetest.Owner))
	require.NoError(t, err)
	defer func() { require.NoError(t, connection.Close(t.Context())) }()
	var tables []string
	require.NoError(t, connection.QueryRow(t.Context(), "SELECT array_agg(tablename::text) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables))
	require.Contains(t, tables, "audit_events")
	actions := 0
	for _, table := range tables {
		rows, err := connection.Query(t.Context(), "SELECT t::text FROM "+pgx.Identifier{table}.Sanitize()+" t")
		require.NoError(t, err)
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		for _, text := range texts {
			if strings.Contains(text, "api_key.") {
				actions++
			}
			for _, secret := range []string{created.text("secret"), rotated.text("secret")} {
				require.NotContains(t, text, secret[18:60], table)
			}
		}
	}
	require.Equal(t, 3, actions, "created, rotated, revoked")
}
