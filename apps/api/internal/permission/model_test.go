package permission_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/permission/permissiontest"
)

var (
	class  = regexp.MustCompile(`(?ms)^class (\w+) implements Namespace \{\n(.*?)^\}`)
	permit = regexp.MustCompile(`(?m)^    (\w+): \(ctx: Context\)`)
	block  = regexp.MustCompile(`(?ms)^  permits = \{\n(.*?)^  \}`)
)

// model reads the permits from the model's text.
func model(t *testing.T) map[permission.Namespace][]permission.Permit {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "namespaces", "gatehouse.keto.ts"))
	require.NoError(t, err)
	out := map[permission.Namespace][]permission.Permit{}
	for _, found := range class.FindAllStringSubmatch(string(text), -1) {
		for _, permits := range block.FindAllStringSubmatch(found[2], -1) {
			for _, one := range permit.FindAllStringSubmatch(permits[1], -1) {
				out[permission.Namespace(found[1])] = append(out[permission.Namespace(found[1])], permission.Permit(one[1]))
			}
		}
	}
	return out
}

func TestPermitsAreThoseOfTheModel(t *testing.T) {
	declared := model(t)
	require.Len(t, declared, len(permission.Permits))
	for namespace, permits := range permission.Permits {
		require.ElementsMatch(t, permits, declared[namespace], namespace)
	}
}

func TestEveryPermitIsAllowedAndDeniedSomewhereInTheMatrix(t *testing.T) {
	matrix := permissiontest.Load(t)
	for namespace, permits := range permission.Permits {
		for _, permit := range permits {
			allowed, denied := false, false
			for _, c := range matrix.Cases {
				if on, _ := c.Object(); on == namespace {
					held := slices.Contains(c.Holds, permit)
					allowed, denied = allowed || held, denied || !held
				}
			}
			require.True(t, allowed, "nobody holds %s.%s", namespace, permit)
			require.True(t, denied, "everybody holds %s.%s", namespace, permit)
		}
	}
}

func TestNoTupleIsWrittenTwice(t *testing.T) {
	organization, gateway, ann := uuid.New(), uuid.New(), uuid.New()
	var all []permission.Tuple
	for _, role := range []permission.Role{permission.Owner, permission.Admin, permission.Editor, permission.Viewer} {
		tuples := permission.GatewayTuples(gateway, organization, []permission.Grant{
			{Kind: permission.KindUser, ID: ann.String(), Role: role},
			{Kind: permission.KindClient, ID: ann.String(), Role: role},
			{Kind: permission.KindAPIKey, ID: ann.String(), Role: role},
			{Kind: permission.KindMembers, ID: organization.String(), Role: role},
		})
		seen := map[permission.Tuple]bool{}
		for _, tuple := range tuples {
			require.False(t, seen[tuple], "%s with %s", tuple, role)
			seen[tuple] = true
		}
		all = append(all, tuples...)
	}
	require.NotEmpty(t, all)
}

func TestRowsThatNobodyUnderstandsGiveNothing(t *testing.T) {
	organization, gateway := uuid.New(), uuid.New()
	require.Empty(t, permission.OrganizationTuples(organization, []permission.Member{{User: uuid.New(), Role: "emperor"}}))

	plain := permission.GatewayTuples(gateway, organization, nil)
	require.Equal(t, plain, permission.GatewayTuples(gateway, organization, []permission.Grant{
		{Kind: permission.KindUser, ID: "x", Role: "emperor"},
		{Kind: permission.KindUser, ID: "x", Role: permission.Plain},
		{Kind: "group", ID: "x", Role: permission.Owner},
		{Kind: permission.KindMembers, ID: organization.String(), Role: "emperor"},
		{Kind: permission.KindMembers, ID: organization.String(), Role: permission.Viewer},
		{Kind: permission.KindMembers, ID: uuid.NewString(), Role: permission.Owner},
	}))
	require.Equal(t,
		permission.ProductTuples(organization, gateway, permission.Private),
		permission.ProductTuples(organization, gateway, "secret"), "a visibility that is new is private")
}
