package organizations

import (
	"context"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/organizations/row"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// ListMembers lists who belongs to an organization.
func (o *Operations) ListMembers(ctx context.Context, r openapi.ListMembersRequestObject) (openapi.ListMembersResponseObject, error) {
	p, err := page.Of(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).Members(ctx, row.MembersParams{
		OrganizationID: r.Organization, After: p.After, Role: (*string)(r.Params.Role), Rows: p.Rows(),
	})
	if err != nil {
		return nil, database.Missing(err)
	}
	found, next := page.Cut(p, found, func(m row.MembersRow) uuid.UUID { return m.UserID })
	items := make([]openapi.Member, 0, len(found))
	for _, m := range found {
		items = append(items, member(row.MemberRow(m)))
	}
	return openapi.ListMembers200JSONResponse{Items: items, NextCursor: next}, nil
}

// GetMember returns one member.
func (o *Operations) GetMember(ctx context.Context, r openapi.GetMemberRequestObject) (openapi.GetMemberResponseObject, error) {
	found, err := row.New(o.Pool).Member(ctx, row.MemberParams{OrganizationID: r.Organization, UserID: r.User})
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetMember200JSONResponse{
		Body: member(found), Headers: openapi.GetMember200ResponseHeaders{ETag: etag.Of(found.Version)},
	}, nil
}

// UpdateMember gives a member another role.
func (o *Operations) UpdateMember(ctx context.Context, r openapi.UpdateMemberRequestObject) (openapi.UpdateMemberResponseObject, error) {
	var updated row.MemberRow
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		m, err := lock(ctx, u, r.Organization, r.User, r.Params.IfMatch, "manage_members")
		if err != nil {
			return err
		}
		wanted := string(r.Body.Role)
		if err := m.mayMake(ctx, wanted); err != nil {
			return err
		}
		updated, err = m.become(ctx, wanted)
		return err
	})
	if err != nil {
		return nil, err
	}
	return openapi.UpdateMember200JSONResponse{
		Body: member(updated), Headers: openapi.UpdateMember200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}

// RemoveMember takes somebody out of an organization.
func (o *Operations) RemoveMember(ctx context.Context, r openapi.RemoveMemberRequestObject) (openapi.RemoveMemberResponseObject, error) {
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		m, err := lock(ctx, u, r.Organization, r.User, r.Params.IfMatch, "manage_members")
		if err != nil {
			return err
		}
		if err := m.mayMake(ctx, ""); err != nil {
			return err
		}
		return m.leave(ctx, "member.remove")
	})
	if err != nil {
		return nil, err
	}
	return openapi.RemoveMember204Response{}, nil
}

// LeaveOrganization takes the caller out of an organization.
func (o *Operations) LeaveOrganization(ctx context.Context, r openapi.LeaveOrganizationRequestObject) (openapi.LeaveOrganizationResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		m, err := lock(ctx, u, r.Organization, caller.UserID, nil, "view")
		if err != nil {
			return err
		}
		return m.leave(ctx, "member.leave")
	})
	if err != nil {
		return nil, err
	}
	return openapi.LeaveOrganization204Response{}, nil
}

// TransferOrganization puts another member in the place of the owner who calls.
func (o *Operations) TransferOrganization(ctx context.Context, r openapi.TransferOrganizationRequestObject) (openapi.TransferOrganizationResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	if r.Body.UserId == caller.UserID {
		return nil, problem.Semantic(problem.Field{Name: "user_id", Reason: "is the caller"})
	}
	var heir row.MemberRow
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		from, err := lock(ctx, u, r.Organization, caller.UserID, nil, "transfer")
		if err != nil {
			return err
		}
		to, err := find(ctx, u, r.Organization, r.Body.UserId)
		if err != nil {
			if problem.From(err).Code == problem.NotFound {
				return problem.Semantic(problem.Field{Name: "user_id", Reason: "is no member"})
			}
			return err
		}
		// First the one, then the other: there is never no owner.
		if heir, err = to.become(ctx, owner); err != nil {
			return err
		}
		_, err = from.become(ctx, admin)
		return err
	})
	if err != nil {
		return nil, err
	}
	return openapi.TransferOrganization200JSONResponse(member(heir)), nil
}

const (
	owner = "owner"
	admin = "admin"
)

// membership is a member while the organization is locked.
type membership struct {
	unit   *change.Unit
	rows   *row.Queries
	before row.MemberRow
}

// lock takes the organization's lock, makes sure that the caller holds the permit even now, and reads the member. Every
// change of a membership begins here, so two of them cannot each leave the other as the last owner.
func lock(
	ctx context.Context, u *change.Unit, organization, user uuid.UUID, ifMatch *string, permit permission.Permit,
) (membership, error) {
	if _, err := row.New(u.Tx).Lock(ctx, organization); err != nil {
		return membership{}, database.Missing(err)
	}
	if err := access.Still(ctx, u.Tx, permit, permission.Of(permission.Organization, organization)); err != nil {
		return membership{}, err
	}
	m, err := find(ctx, u, organization, user)
	if err != nil {
		return membership{}, err
	}
	return m, etag.Match(ifMatch, m.before.Version)
}

// find reads a member of an organization that is locked.
func find(ctx context.Context, u *change.Unit, organization, user uuid.UUID) (membership, error) {
	rows := row.New(u.Tx)
	before, err := rows.Member(ctx, row.MemberParams{OrganizationID: organization, UserID: user})
	if err != nil {
		return membership{}, database.Missing(err)
	}
	return membership{u, rows, before}, nil
}

// mayMake refuses an admin who would make or unmake an owner: nobody gives or takes a right that they do not hold now.
func (m membership) mayMake(ctx context.Context, role string) error {
	if role != owner && m.before.Role != owner {
		return nil
	}
	caller, err := principal.From(ctx)
	if err != nil {
		return err
	}
	held, err := m.rows.Role(ctx, row.RoleParams{OrganizationID: m.before.OrganizationID, UserID: caller.UserID})
	if err != nil {
		return database.Missing(err)
	}
	if held != owner {
		return problem.New(problem.Forbidden, "Only an owner may do this to an owner, or make one.")
	}
	if caller.Auth != principal.Session { // as for a transfer, which this could stand in for
		return problem.New(problem.SessionRequired, "Only a signed-in person may make or unmake an owner, not a token or a key.")
	}
	return nil
}

// stays refuses to unmake the last owner who may act.
func (m membership) stays(ctx context.Context) error {
	if m.before.Role != owner {
		return nil
	}
	others, err := m.rows.OtherOwners(ctx, row.OtherOwnersParams{OrganizationID: m.before.OrganizationID, UserID: m.before.UserID})
	if err != nil {
		return err
	}
	if others == 0 {
		return problem.New(problem.LastOwner, "An organization needs an owner. Make another one first.")
	}
	return nil
}

// become gives the member another role.
func (m membership) become(ctx context.Context, role string) (row.MemberRow, error) {
	if role != owner {
		if err := m.stays(ctx); err != nil {
			return m.before, err
		}
	}
	updated, err := m.rows.SetRole(ctx, row.SetRoleParams{OrganizationID: m.before.OrganizationID, UserID: m.before.UserID, Role: role})
	if err != nil {
		return m.before, err
	}
	after := m.before
	after.Role, after.Version, after.UpdatedAt = updated.Role, updated.Version, updated.UpdatedAt
	m.unit.Converge(permission.Of(permission.Organization, m.before.OrganizationID))
	m.unit.Withdraw(permission.Without(m.tuples(m.before.Role), m.tuples(role))...)
	m.unit.Audit(audit.Event{
		Organization: m.before.OrganizationID, Action: "member.update", Target: m.target(),
		Before: recordedMember{m.before.Role}, After: recordedMember{role},
	})
	return after, nil
}

// leave ends the membership, and with it what the member was given on the organization's gateways.
func (m membership) leave(ctx context.Context, action string) error {
	if err := m.stays(ctx); err != nil {
		return err
	}
	organization, user := m.before.OrganizationID, m.before.UserID
	grants, err := m.rows.RemoveGrants(ctx, row.RemoveGrantsParams{OrganizationID: organization, UserID: user})
	if err != nil {
		return err
	}
	if err := m.rows.RemoveMember(ctx, row.RemoveMemberParams{OrganizationID: organization, UserID: user}); err != nil {
		return err
	}
	if err := m.disarm(ctx); err != nil {
		return err
	}
	m.unit.Withdraw(m.tuples(m.before.Role)...)
	for _, grant := range grants {
		given := []permission.Grant{{Kind: permission.KindUser, ID: user.String(), Role: permission.Role(grant.Role)}}
		m.unit.Withdraw(permission.Without(
			permission.GatewayTuples(grant.GatewayID, organization, given), permission.GatewayTuples(grant.GatewayID, organization, nil))...)
	}
	m.unit.Converge(permission.Of(permission.Organization, organization))
	m.unit.Audit(audit.Event{Organization: organization, Action: action, Target: m.target(), Before: recordedMember{m.before.Role}})
	return nil
}

// disarm takes their secrets from the organization's keys that the member holds. Without a member they would open nothing
// either, but only until the person returns. A key itself stays the organization's, with what it was granted: who rotates it
// holds it.
func (m membership) disarm(ctx context.Context) error {
	keys, err := m.rows.DisarmKeys(ctx, row.DisarmKeysParams{OrganizationID: &m.before.OrganizationID, CreatedBy: m.before.UserID})
	if err != nil {
		return err
	}
	for _, key := range keys {
		until := key.UpdatedAt
		m.unit.Publish(feed.Entry{Kind: feed.Key, ID: key.ID.String(), NotBefore: &until, Expires: until.Add(feed.Lifetime)})
	}
	return nil
}

func (m membership) tuples(role string) []permission.Tuple {
	return permission.OrganizationTuples(m.before.OrganizationID, []permission.Member{{User: m.before.UserID, Role: permission.Role(role)}})
}

func (m membership) target() audit.Target {
	return audit.Target{Kind: "user", ID: m.before.UserID.String()}
}

type recordedMember struct {
	Role string `json:"role"`
}

func member(m row.MemberRow) openapi.Member {
	return openapi.Member{
		UserId: m.UserID, Name: m.DisplayName, Email: m.Email, Role: openapi.OrganizationRole(m.Role),
		CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(),
	}
}
