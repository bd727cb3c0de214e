package permission

// RolesWith lists the roles that hold a permit, the highest first: those of memberships for an organization, those of grants
// for a gateway and what is on it. The platform has one role, Admin. Nothing holds a permit that the model does not have.
// Of a private product the permit to view needs Editor; RolesWith speaks of one that is not private.
func RolesWith(namespace Namespace, permit Permit) []Role {
	roles := map[Namespace][]Role{
		Platform:     {Admin},
		Organization: {Owner, Admin, Plain},
		Gateway:      {Owner, Admin, Editor, Viewer},
		Product:      {Owner, Admin, Editor, Viewer},
	}[namespace]
	need, known := needs[namespace][permit]
	if !known {
		return nil
	}
	var out []Role
	for _, role := range roles {
		if levelOf(string(role)) >= need {
			out = append(out, role)
		}
	}
	return out
}
