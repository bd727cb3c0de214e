//go:build integration

package converge_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/convergetest"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/ory/ketotest"
	"gatehouse.internal/api/internal/permission"
)

// The ways in which Keto differs from what one would think, and what keeps us out of each.

// copies counts what Keto stores for an object, copies included.
func copies(t *testing.T, w *convergetest.World, object permission.Object) int {
	t.Helper()
	query := url.Values{"page_size": {"1000"}}
	if object != (permission.Object{}) {
		query.Set("namespace", string(object.Namespace))
		query.Set("object", object.ID)
	}
	status, body := ketoGet(t, w.Server.ReadURL+"/relation-tuples?"+query.Encode())
	require.Equal(t, http.StatusOK, status)
	var page struct {
		Tuples []json.RawMessage `json:"relation_tuples"`
		Next   string            `json:"next_page_token"`
	}
	require.NoError(t, json.Unmarshal(body, &page))
	require.Empty(t, page.Next)
	return len(page.Tuples)
}

func requireNoCopies(t *testing.T, w *convergetest.World) {
	t.Helper()
	all, err := w.Tuples.All(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(all), copies(t, w, permission.Object{}))
}

func ketoGet(t *testing.T, target string) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	require.NoError(t, err)
	return ketoDo(t, request)
}

func ketoPatch(t *testing.T, w *convergetest.World, body string) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, w.Server.WriteURL+"/admin/relation-tuples", strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	return ketoDo(t, request)
}

func ketoDo(t *testing.T, request *http.Request) (int, []byte) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, body
}

func TestInsertingTwiceKeepsTwoAndRemovingTakesBoth(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	object := permission.Of(permission.Organization, organization)
	w.Join(t, organization, ann, permission.Plain)
	tuple := permission.Tuple{Object: object, Relation: "members", Subject: permission.Person(ann).Set()}
	require.Equal(t, 1, copies(t, w, object))
	for range 3 {
		require.NoError(t, w.Index.Converge(t.Context(), object))
	}
	require.Equal(t, 1, copies(t, w, object), "a converge inserts what is missing and nothing else")

	require.NoError(t, w.Tuples.Write(t.Context(), []permission.Tuple{tuple}, nil))
	require.Equal(t, 2, copies(t, w, object), "Keto has no unique constraint")
	listed, err := w.Tuples.List(t.Context(), object)
	require.NoError(t, err)
	require.Equal(t, []permission.Tuple{tuple}, listed)

	w.Leave(t, organization, ann)
	require.Zero(t, copies(t, w, object))
	require.False(t, w.May(t, permission.Person(ann), "view", object))
}

func TestInsertAndRemoveInOneCallLosesTheTuple(t *testing.T) {
	w := convergetest.New(t)
	object := permission.Of(permission.Organization, uuid.New())
	tuple := fmt.Sprintf(`{"namespace":"Organization","object":%q,"relation":"members","subject_id":"User:x"}`, object.ID)
	status, body := ketoPatch(t, w, `[{"action":"delete","relation_tuple":`+tuple+`},{"action":"insert","relation_tuple":`+tuple+`}]`)
	require.Equal(t, http.StatusNoContent, status, "%s", body)
	require.Zero(t, copies(t, w, object), "Keto inserts before it deletes, whatever the order of the call")

	// Ours are two calls: what is inserted and removed at once is gone for the same reason, so nobody may ask for it, and
	// what is removed of others does not touch what is inserted.
	one := permission.Tuple{Object: object, Relation: "members", Subject: permission.SubjectSet{Namespace: permission.User, ID: "x"}}
	other := one
	other.Relation = "admins"
	require.NoError(t, w.Tuples.Write(t.Context(), []permission.Tuple{other}, nil))
	require.NoError(t, w.Tuples.Write(t.Context(), []permission.Tuple{one}, []permission.Tuple{other}))
	listed, err := w.Tuples.List(t.Context(), object)
	require.NoError(t, err)
	require.Equal(t, []permission.Tuple{one}, listed)
}

func TestTheOtherFormsOfASubjectAreOtherSubjects(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	object := permission.Of(permission.Organization, organization)
	w.Join(t, organization, ann, permission.Plain)

	// As a subject set with an empty relation, and as a bare id.
	for _, subject := range []string{
		fmt.Sprintf(`"subject_set":{"namespace":"User","object":%q,"relation":""}`, ann),
		fmt.Sprintf(`"subject_id":%q`, ann),
	} {
		status, body := ketoPatch(t, w, fmt.Sprintf(
			`[{"action":"insert","relation_tuple":{"namespace":"Organization","object":%q,"relation":"owners",%s}}]`, organization, subject))
		require.Equal(t, http.StatusNoContent, status, "%s", body)
	}
	require.False(t, w.May(t, permission.Person(ann), "delete", object))
	require.NoError(t, w.Index.Converge(t.Context(), object))
	require.Equal(t, 1, copies(t, w, object), "a converge sees them for what they are, and removes them")
}

func TestPermitsAreNoRelationsToWriteOn(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	object := permission.Of(permission.Organization, organization)
	require.NoError(t, w.Tuples.Write(t.Context(),
		[]permission.Tuple{{Object: object, Relation: "delete", Subject: permission.Person(ann).Set()}}, nil))
	require.False(t, w.May(t, permission.Person(ann), "delete", object), "strict mode does not honour a tuple on a permit")
	require.NoError(t, w.Index.Converge(t.Context(), object))
	require.Zero(t, copies(t, w, object))
}

// deepest is the longest way of the model: a product's viewers are its gateway's, which are its organization's members.
func deepest(t *testing.T, w *convergetest.World) (permission.Subject, permission.Object) {
	t.Helper()
	ann, organization := w.Person(t), w.Organization(t)
	w.Join(t, organization, ann, permission.Plain)
	product := w.Product(t, w.Gateway(t, organization), permission.WithinOrganization)
	return permission.Person(ann), permission.Of(permission.Product, product)
}

func TestDepthLeavesRoomForTheModel(t *testing.T) {
	w := convergetest.New(t)
	subject, object := deepest(t, w)
	require.True(t, w.May(t, subject, "view", object))

	// One level less than the longest way needs, and Keto says no instead of saying that it gave up.
	shallow := ketotest.New(t, func(config string) string {
		changed := strings.Replace(config, "max_read_depth: 5", "max_read_depth: 3", 1)
		require.NotEqual(t, config, changed)
		return changed
	})
	w = convergetest.Open(t, w.Database, shallow)
	for _, one := range []permission.Namespace{permission.Organization, permission.Gateway, permission.Product} {
		convergeAll(t, w, one)
	}
	require.False(t, w.May(t, subject, "view", object))
}

func convergeAll(t *testing.T, w *convergetest.World, namespace permission.Namespace) {
	t.Helper()
	rows, err := w.Pool.Query(t.Context(), "SELECT object FROM index_state WHERE namespace = $1", namespace)
	require.NoError(t, err)
	var ids []string
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(t, rows.Err())
	for _, id := range ids {
		require.NoError(t, w.Index.Converge(t.Context(), permission.Object{Namespace: namespace, ID: id}))
	}
}

func TestBrokenModelIsAnErrorAndNotANo(t *testing.T) {
	w := convergetest.New(t)
	subject, object := deepest(t, w)
	require.NoError(t, w.Keto.Declares(t.Context(), permission.Permits))

	// Not even a restart makes Keto say that it has no model.
	w.Server.Stop(t)
	w.Server.SetModel(t, "class {")
	w.Server.Start(t)
	require.NoError(t, w.Keto.Ready(t.Context()), "Keto is ready without a model")
	_, err := w.Keto.Check(t.Context(), permission.Question{Subject: subject, Permit: "view", Object: object})
	require.Error(t, err)
	err = w.Keto.Declares(t.Context(), permission.Permits)
	require.ErrorIs(t, err, ory.ErrModel)
	require.ErrorContains(t, err, "Gateway.publish_config")
	require.Error(t, w.Index.Converge(t.Context(), object))

	w.Server.SetModel(t, ketotest.Model(t))
	require.Eventually(t, func() bool { return w.Keto.Declares(t.Context(), permission.Permits) == nil },
		20*time.Second, 50*time.Millisecond, "Keto reloads a model that is good again")
	require.True(t, w.May(t, subject, "view", object))
}

func TestModelThatLacksAPermitIsNamed(t *testing.T) {
	w := convergetest.New(t)
	w.Server.Stop(t)
	lines := strings.Split(ketotest.Model(t), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "    publish_config:") })
	w.Server.SetModel(t, strings.Join(lines, "\n"))
	w.Server.Start(t)
	err := w.Keto.Declares(t.Context(), permission.Permits)
	require.ErrorIs(t, err, ory.ErrModel)
	require.ErrorContains(t, err, "it lacks Gateway.publish_config")
	require.NotContains(t, err.Error(), "Gateway.view")

	w.Server.Stop(t)
	err = w.Keto.Declares(t.Context(), permission.Permits)
	require.Error(t, err)
	require.NotErrorIs(t, err, ory.ErrModel, "an outage says nothing of the model")
	w.Server.Start(t)
}

func TestListsLongerThanAPage(t *testing.T) {
	w := convergetest.New(t)
	object := permission.Of(permission.Gateway, uuid.New())
	var many []permission.Tuple
	for range 2100 {
		many = append(many, permission.Tuple{Object: object, Relation: "viewers", Subject: permission.Person(uuid.New()).Set()})
	}
	require.NoError(t, w.Tuples.Write(t.Context(), many, nil))
	listed, err := w.Tuples.List(t.Context(), object)
	require.NoError(t, err)
	require.ElementsMatch(t, many, listed)
	require.NoError(t, w.Index.Converge(t.Context(), object))
	listed, err = w.Tuples.List(t.Context(), object)
	require.NoError(t, err)
	require.Empty(t, listed)
}
