//go:build integration

package permission_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/convergetest"
	"gatehouse.internal/api/internal/databasetest"
	gatewayrow "gatehouse.internal/api/internal/gateways/row"
	organizationrow "gatehouse.internal/api/internal/organizations/row"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/permission/permissiontest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	databasetest.Main(m)
}

// The seed is fixed so that a change is judged and not luck. To look for more: -args -seed=0 -graphs=50 (0 takes a new one).
var (
	seed   = flag.Uint64("seed", 7, "of the random graphs; 0 takes a new one")
	graphs = flag.Int("graphs", 3, "how many random graphs")
)

// checkers are the two that must agree.
func checkers(w *convergetest.World) map[string]permission.Checker {
	return map[string]permission.Checker{"keto": w.Keto, "rows": w.Rows}
}

func TestMatrix(t *testing.T) {
	w, matrix := convergetest.New(t), permissiontest.Load(t)
	ids := map[string]uuid.UUID{} // by name; two kinds with one name have one id
	id := func(name string) uuid.UUID {
		if _, known := ids[name]; !known {
			ids[name] = w.Person(t)
		}
		return ids[name]
	}
	for _, person := range matrix.Rows.PlatformAdmins {
		w.PlatformAdmin(t, id(person))
	}
	objects := map[string]permission.Object{"Platform": permission.PlatformObject}
	organizations, gateways := map[string]uuid.UUID{}, map[string]uuid.UUID{}
	for name, members := range matrix.Rows.Organizations {
		organizations[name] = w.Organization(t)
		objects["Organization:"+name] = permission.Of(permission.Organization, organizations[name])
		for person, role := range members {
			w.Join(t, organizations[name], id(person), role)
		}
	}
	for name, gateway := range matrix.Rows.Gateways {
		gateways[name] = w.Gateway(t, organizations[gateway.Organization])
		objects["Gateway:"+name] = permission.Of(permission.Gateway, gateways[name])
		for grantee, role := range gateway.Grants {
			kind, who, _ := strings.Cut(grantee, ":")
			subject := id(who)
			if kind == permission.KindMembers {
				subject = organizations[who]
			}
			w.Grant(t, gateways[name], kind, subject.String(), role)
		}
	}
	for name, product := range matrix.Rows.Products {
		objects["Product:"+name] = permission.Of(permission.Product, w.Product(t, gateways[product.Gateway], product.Visibility))
	}

	for checker, ask := range checkers(w) {
		for _, c := range matrix.Cases {
			t.Run(checker+"/"+c.String(), func(t *testing.T) {
				object, known := objects[c.On]
				require.True(t, known, "no row is called %s", c.On)
				namespace, name := c.Subject()
				require.NotEmpty(t, namespace)
				require.NotEmpty(t, c.Why)
				var questions []permission.Question
				for _, permit := range permission.Permits[object.Namespace] {
					questions = append(questions, permission.Question{
						Subject: permission.Subject{Namespace: namespace, ID: id(name).String()}, Permit: permit, Object: object,
					})
				}
				answers, err := ask.Check(t.Context(), questions...)
				require.NoError(t, err)
				var holds []permission.Permit
				for i, answer := range answers {
					if answer {
						holds = append(holds, questions[i].Permit)
					}
				}
				require.ElementsMatch(t, c.Holds, holds)
			})
		}
	}
}

// graph is a platform with random rows, and everyone and everything that can be asked about.
type graph struct {
	*convergetest.World
	random        *rand.Rand
	people        []uuid.UUID
	machines      []permission.Subject
	organizations []uuid.UUID
	gateways      []uuid.UUID
	products      []uuid.UUID
}

func pick[T any](g *graph, from []T) T { return from[g.random.IntN(len(from))] }

func newGraph(t *testing.T, w *convergetest.World, random *rand.Rand) *graph {
	t.Helper()
	g := &graph{World: w, random: random}
	for range 6 {
		g.people = append(g.people, w.Person(t))
	}
	// Machines, one of each with the id of a person.
	for _, namespace := range []permission.Namespace{permission.Client, permission.APIKey} {
		for _, id := range []uuid.UUID{uuid.New(), g.people[0]} {
			g.machines = append(g.machines, permission.Subject{Namespace: namespace, ID: id.String()})
		}
	}
	for range 3 {
		g.organizations = append(g.organizations, w.Organization(t))
	}
	for range 5 {
		g.gateways = append(g.gateways, w.Gateway(t, pick(g, g.organizations)))
	}
	for range 5 {
		g.products = append(g.products, w.Product(t, pick(g, g.gateways), pick(g, visibilities)))
	}
	return g
}

var (
	memberships  = []permission.Role{permission.Owner, permission.Admin, permission.Plain}
	grants       = []permission.Role{permission.Owner, permission.Admin, permission.Editor, permission.Viewer}
	visibilities = []permission.Visibility{permission.Public, permission.WithinOrganization, permission.Private}
)

// step is one random operation.
func (g *graph) step(t *testing.T) {
	t.Helper()
	kind, subject := g.grantee()
	switch g.random.IntN(12) {
	case 0, 1, 2:
		g.Join(t, pick(g, g.organizations), pick(g, g.people), pick(g, memberships))
	case 3:
		g.Leave(t, pick(g, g.organizations), pick(g, g.people))
	case 4, 5, 6, 7:
		g.Grant(t, pick(g, g.gateways), kind, subject, pick(g, grants))
	case 8:
		g.Revoke(t, pick(g, g.gateways), kind, subject)
	case 9:
		id := pick(g, g.products)
		g.Await(t, g.Change(t, permission.Of(permission.Product, id), "UPDATE products SET visibility = $2 WHERE id = $1", id, pick(g, visibilities)))
	case 10:
		g.PlatformAdmin(t, pick(g, g.people))
	case 11: // its id is still asked about
		id := pick(g, g.products)
		g.Await(t, g.Change(t, permission.Of(permission.Product, id), "DELETE FROM products WHERE id = $1", id))
		g.products = append(g.products, g.Product(t, pick(g, g.gateways), pick(g, visibilities)))
	}
}

func (g *graph) grantee() (kind, id string) {
	switch g.random.IntN(4) {
	case 0:
		return permission.KindMembers, pick(g, g.organizations).String() // often not the gateway's own
	case 1:
		machine := pick(g, g.machines)
		return kinds[machine.Namespace], machine.ID
	}
	return permission.KindUser, pick(g, g.people).String()
}

// questions are all there are.
func (g *graph) questions() []permission.Question {
	subjects := slices.Clone(g.machines)
	for _, person := range g.people {
		subjects = append(subjects, permission.Person(person))
	}
	objects := []permission.Object{permission.PlatformObject, permission.Of(permission.Gateway, uuid.New())}
	for namespace, ids := range map[permission.Namespace][]uuid.UUID{
		permission.Organization: g.organizations, permission.Gateway: g.gateways, permission.Product: g.products,
	} {
		for _, id := range ids {
			objects = append(objects, permission.Of(namespace, id))
		}
	}
	var out []permission.Question
	for _, subject := range subjects {
		for _, object := range objects {
			for _, permit := range permission.Permits[object.Namespace] {
				out = append(out, permission.Question{Subject: subject, Permit: permit, Object: object})
			}
		}
	}
	return out
}

func TestKetoAndTheRowsAgreeAboutRandomGraphs(t *testing.T) {
	chosen := *seed
	if chosen == 0 {
		chosen = rand.Uint64()
	}
	w := convergetest.New(t)
	for i := range *graphs {
		t.Run(fmt.Sprintf("seed %d graph %d", chosen, i), func(t *testing.T) {
			g := newGraph(t, w, rand.New(rand.NewPCG(chosen, uint64(i))))
			for range 2 {
				for range 20 {
					g.step(t)
				}
				questions := g.questions()
				keto, err := w.Keto.Check(t.Context(), questions...)
				require.NoError(t, err)
				rows, err := w.Rows.Check(t.Context(), questions...)
				require.NoError(t, err)
				held := 0
				for j, question := range questions {
					require.Equal(t, rows[j], keto[j], "%s: rows say %t, Keto %t", question, rows[j], keto[j])
					if rows[j] {
						held++
					}
				}
				require.Greater(t, held, len(questions)/100, "a graph in which nobody may do anything shows nothing")
				g.requireLists(t, questions, keto)
			}
			w.RequireConverged(t)
		})
	}
}

// requireLists holds the lists that callers are given ("my gateways", "who has access"), which are SQL of their own, against
// the answers about each object.
func (g *graph) requireLists(t *testing.T, questions []permission.Question, answers []bool) {
	t.Helper()
	seen := map[permission.Subject]map[permission.Namespace][]string{}
	seers := map[string][]permission.Subject{}
	for i, question := range questions {
		if seen[question.Subject] == nil {
			seen[question.Subject] = map[permission.Namespace][]string{}
		}
		if answers[i] && question.Permit == "view" {
			namespace, id := question.Object.Namespace, question.Object.ID
			seen[question.Subject][namespace] = append(seen[question.Subject][namespace], id)
			seers[id] = append(seers[id], question.Subject)
		}
	}
	gateways, organizations := gatewayrow.New(g.Pool), organizationrow.New(g.Pool)
	for subject, objects := range seen {
		var listed []string
		if subject.Namespace == permission.User {
			mine, err := organizations.ListOf(t.Context(), organizationrow.ListOfParams{UserID: uuid.MustParse(subject.ID), Rows: 100})
			require.NoError(t, err)
			var ids []string
			for _, one := range mine {
				ids = append(ids, one.ID.String())
			}
			require.ElementsMatch(t, objects[permission.Organization], ids, subject)

			found, err := gateways.ListOfUser(t.Context(), gatewayrow.ListOfUserParams{UserID: uuid.MustParse(subject.ID), Rows: 100})
			require.NoError(t, err)
			for _, one := range found {
				listed = append(listed, one.ID.String())
			}
		} else {
			found, err := gateways.ListOfSubject(t.Context(), gatewayrow.ListOfSubjectParams{
				SubjectKind: kinds[subject.Namespace], SubjectID: subject.ID, Rows: 100,
			})
			require.NoError(t, err)
			for _, one := range found {
				listed = append(listed, one.ID.String())
			}
		}
		require.ElementsMatch(t, objects[permission.Gateway], listed, subject)
	}
	for _, gateway := range g.gateways {
		ways, err := gateways.Access(t.Context(), gatewayrow.AccessParams{GatewayID: gateway, Rows: 100})
		require.NoError(t, err)
		listed := map[permission.Subject]bool{}
		for _, way := range ways {
			for namespace, kind := range kinds {
				if kind == way.Kind {
					listed[permission.Subject{Namespace: namespace, ID: way.Subject}] = true
				}
			}
		}
		require.ElementsMatch(t, seers[gateway.String()], slices.Collect(maps.Keys(listed)), gateway)
	}
}

var kinds = map[permission.Namespace]string{
	permission.User: permission.KindUser, permission.Client: permission.KindClient, permission.APIKey: permission.KindAPIKey,
}

func TestRowsRefuseWhatIsNoPermit(t *testing.T) {
	w := convergetest.New(t)
	question := permission.Question{Subject: permission.Person(uuid.New()), Permit: "fly", Object: permission.Of(permission.Gateway, uuid.New())}
	for name, checker := range checkers(w) {
		_, err := checker.Check(t.Context(), question)
		require.Error(t, err, name)
	}
}

func TestOtherSpellingsOfAnIDAreNoID(t *testing.T) {
	w := convergetest.New(t)
	ann, organization := w.Person(t), w.Organization(t)
	w.Join(t, organization, ann, permission.Owner)
	for _, spelling := range []string{
		strings.ToUpper(organization.String()), "{" + organization.String() + "}", "urn:uuid:" + organization.String(),
		strings.ReplaceAll(organization.String(), "-", ""), "",
	} {
		question := permission.Question{
			Subject: permission.Person(ann), Permit: "view", Object: permission.Object{Namespace: permission.Organization, ID: spelling},
		}
		for name, checker := range checkers(w) {
			answers, err := checker.Check(t.Context(), question)
			require.NoError(t, err, name)
			require.False(t, answers[0], "%s takes %q", name, spelling)
		}
	}
}

func TestCheckersFailWithTheirServer(t *testing.T) {
	w := convergetest.New(t)
	question := permission.Question{Subject: permission.Person(uuid.New()), Permit: "view", Object: permission.Of(permission.Gateway, uuid.New())}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, checker := range checkers(w) {
		_, err := checker.Check(ended, question)
		require.Error(t, err, name)
	}
	w.Server.Stop(t)
	_, err := w.Keto.Check(t.Context(), question)
	require.Error(t, err)
}
