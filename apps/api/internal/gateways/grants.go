package gateways

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/gateways/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// ListGrants lists what was given on the gateway itself.
func (o *Operations) ListGrants(ctx context.Context, r openapi.ListGrantsRequestObject) (openapi.ListGrantsResponseObject, error) {
	p, err := page.Of(nil, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	after, err := page.Parts(r.Params.Cursor, 2)
	if err != nil {
		return nil, err
	}
	found, err := row.New(o.Pool).Grants(ctx, row.GrantsParams{GatewayID: r.Gateway, Kind: after[0], Subject: after[1], Rows: p.Rows()})
	if err != nil {
		return nil, database.Problem(err)
	}
	found, next := page.CutParts(p, found, func(g row.GatewayGrant) []string { return []string{g.SubjectKind, g.SubjectID} })
	items := make([]openapi.Grant, 0, len(found))
	for _, g := range found {
		items = append(items, grant(g))
	}
	return openapi.ListGrants200JSONResponse{Items: items, NextCursor: next}, nil
}

func grant(g row.GatewayGrant) openapi.Grant {
	return openapi.Grant{
		Type: openapi.GrantType(g.SubjectKind), Subject: g.SubjectID, Role: openapi.GatewayRole(g.Role),
		CreatedAt: g.CreatedAt.UTC(), UpdatedAt: g.UpdatedAt.UTC(),
	}
}

// PutGrant gives somebody a role on the gateway, or another one than they had.
func (o *Operations) PutGrant(ctx context.Context, r openapi.PutGrantRequestObject) (openapi.PutGrantResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	var given row.GatewayGrant
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		g, err := o.grant(ctx, u, r.Gateway, string(r.Type), r.Subject, r.Params.IfMatch)
		if err != nil {
			return err
		}
		role := permission.Role(r.Body.Role)
		if err := g.holds(ctx, caller, role, g.before); err != nil {
			return err
		}
		if err := g.belongs(ctx); err != nil {
			return err
		}
		given, err = g.rows.PutGrant(ctx, row.PutGrantParams{
			GatewayID: r.Gateway, SubjectKind: string(r.Type), SubjectID: r.Subject.String(), Role: string(role),
			GrantedByKind: string(caller.Kind), GrantedByID: caller.ID(),
		})
		if err != nil {
			return err
		}
		g.becomes(role)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.PutGrant200JSONResponse{
		Body: grant(given), Headers: openapi.PutGrant200ResponseHeaders{ETag: etag.Of(given.Version)},
	}, nil
}

// DeleteGrant takes away what somebody was given on the gateway itself.
func (o *Operations) DeleteGrant(ctx context.Context, r openapi.DeleteGrantRequestObject) (openapi.DeleteGrantResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		g, err := o.grant(ctx, u, r.Gateway, string(r.Type), r.Subject, r.Params.IfMatch)
		if err != nil {
			return err
		}
		if g.before == "" {
			return problem.Hidden()
		}
		if err := g.holds(ctx, caller, g.before); err != nil {
			return err
		}
		if err := g.rows.DeleteGrant(ctx, row.DeleteGrantParams{GatewayID: r.Gateway, SubjectKind: g.kind, SubjectID: g.subject.String()}); err != nil {
			return err
		}
		g.becomes("")
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.DeleteGrant204Response{}, nil
}

// changing is a grant while its gateway is locked.
type changing struct {
	unit    *change.Unit
	rows    *row.Queries
	gateway row.Gateway
	kind    string
	subject uuid.UUID
	before  permission.Role // "" for none
}

func (o *Operations) grant(ctx context.Context, u *change.Unit, gateway uuid.UUID, kind string, subject uuid.UUID, ifMatch *string) (changing, error) {
	rows := row.New(u.Tx)
	found, err := rows.Find(ctx, gateway)
	if err != nil {
		return changing{}, database.Missing(err)
	}
	// The organization first, as everybody does: nobody leaves it or rises in it while a role is compared with the caller's.
	if err := rows.HoldOrganization(ctx, found.OrganizationID); err != nil {
		return changing{}, err
	}
	rows, locked, err := lock(ctx, u, gateway)
	if err != nil {
		return changing{}, err
	}
	if err := access.Still(ctx, u.Tx, "grant", object(gateway)); err != nil {
		return changing{}, err
	}
	out := changing{unit: u, rows: rows, gateway: locked, kind: kind, subject: subject}
	before, err := rows.Grant(ctx, row.GrantParams{GatewayID: gateway, SubjectKind: kind, SubjectID: subject.String()})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return out, err
	}
	out.before = permission.Role(before.Role)
	return out, etag.Match(ifMatch, before.Version)
}

// shows is the permit that a role has and the one below it has not.
var shows = map[permission.Role]permission.Permit{
	permission.Owner: "delete", permission.Admin: "manage", permission.Editor: "edit", permission.Viewer: "view",
}

// holds refuses to give or to touch a role that the caller does not hold at this moment, as the rows say.
func (g changing) holds(ctx context.Context, caller principal.Principal, roles ...permission.Role) error {
	subject, err := access.SubjectOf(caller)
	if err != nil {
		return err
	}
	var questions []permission.Question
	for _, role := range roles {
		if role != "" {
			questions = append(questions, permission.Question{Subject: subject, Permit: shows[role], Object: object(g.gateway.ID)})
		}
	}
	answers, err := permission.NewRows(g.unit.Tx).Check(ctx, questions...)
	if err != nil {
		return database.Problem(err)
	}
	for _, held := range answers {
		if !held {
			return problem.New(problem.Forbidden, "Nobody gives, changes or takes a role that is above their own.")
		}
	}
	return nil
}

// belongs refuses those outside of the organization: they get rights by invitation only.
func (g changing) belongs(ctx context.Context) error {
	inside, err := g.rows.Grantable(ctx, row.GrantableParams{Kind: g.kind, OrganizationID: g.gateway.OrganizationID, Subject: g.subject})
	if err != nil {
		return err
	}
	if !inside {
		return problem.Semantic(problem.Field{Name: "subject", Reason: "does not belong to the gateway's organization"})
	}
	return nil
}

// becomes writes what follows from another role; "" is none.
func (g changing) becomes(role permission.Role) {
	g.unit.Converge(object(g.gateway.ID))
	g.unit.Withdraw(permission.Without(g.tuples(g.before), g.tuples(role))...)
	event := audit.Event{
		Organization: g.gateway.OrganizationID, Action: "grant.put", Target: target(g.gateway.ID),
		Before: recordedGrant{g.kind, g.subject.String(), string(g.before)}, After: recordedGrant{g.kind, g.subject.String(), string(role)},
	}
	switch {
	case role == "":
		event.Action, event.After = "grant.delete", nil
	case g.before == "":
		event.Before = nil
	}
	g.unit.Audit(event)
}

func (g changing) tuples(role permission.Role) []permission.Tuple {
	var grants []permission.Grant
	if role != "" {
		grants = []permission.Grant{{Kind: g.kind, ID: g.subject.String(), Role: role}}
	}
	return permission.GatewayTuples(g.gateway.ID, g.gateway.OrganizationID, grants)
}

type recordedGrant struct {
	Type    string `json:"type"`
	Subject string `json:"subject"`
	Role    string `json:"role"`
}
