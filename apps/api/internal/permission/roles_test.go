package permission

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// The relation that each permit asks for is the model's; a test of the stack holds the rows' answers against Keto's.
func TestRolesHoldWhatTheirTuplesGive(t *testing.T) {
	organization, gateway := uuid.New(), uuid.New()
	for role, relations := range map[Role][]string{
		Owner: {"owners", "admins", "members"}, Admin: {"admins", "members"}, Plain: {"members"},
	} {
		for _, tuple := range OrganizationTuples(organization, []Member{{uuid.New(), role}}) {
			require.Contains(t, relations, tuple.Relation)
		}
		require.Contains(t, RolesWith(Organization, "view"), role)
		require.Equal(t, slices.Contains(relations, "admins"), slices.Contains(RolesWith(Organization, "manage"), role), role)
		require.Equal(t, slices.Contains(relations, "owners"), slices.Contains(RolesWith(Organization, "delete"), role), role)
	}
	for _, role := range []Role{Owner, Admin, Editor, Viewer} {
		var relations []string
		for _, tuple := range GatewayTuples(gateway, organization, []Grant{{KindUser, "somebody", role}}) {
			if tuple.Subject.ID == "somebody" {
				relations = append(relations, tuple.Relation)
			}
		}
		for permit, relation := range map[Permit]string{"view": "viewers", "edit": "editors", "manage": "admins", "delete": "owners"} {
			require.Equal(t, slices.Contains(relations, relation), slices.Contains(RolesWith(Gateway, permit), role), "%s %s", role, permit)
		}
	}
	require.Equal(t, []Role{Admin}, RolesWith(Platform, "administer"))
	require.Empty(t, RolesWith(Platform, "fly"))
}

func TestEveryPermitIsSomebodys(t *testing.T) {
	for namespace, permits := range Permits {
		for _, permit := range permits {
			require.NotEmpty(t, RolesWith(namespace, permit), "%s.%s", namespace, permit)
		}
	}
}
