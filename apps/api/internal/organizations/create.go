package organizations

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/organizations/row"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// CreateOrganization makes the caller the owner of a new organization.
func (o *Operations) CreateOrganization(ctx context.Context, r openapi.CreateOrganizationRequestObject) (openapi.CreateOrganizationResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	if caller.UserID == uuid.Nil {
		return nil, problem.New(problem.Forbidden, "Only a person can own an organization.")
	}
	var created row.Organization
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		if created, err = rows.Insert(ctx, row.InsertParams{ID: uuid.Must(uuid.NewV7()), Slug: r.Body.Slug, Name: r.Body.Name}); err != nil {
			return taken(err)
		}
		if _, err := rows.AddMember(ctx, row.AddMemberParams{OrganizationID: created.ID, UserID: caller.UserID, Role: owner}); err != nil {
			return err
		}
		u.Converge(permission.Of(permission.Organization, created.ID))
		u.Audit(audit.Event{Organization: created.ID, Action: "organization.create", Target: target(created.ID), After: record(created)})
		u.Answer(http.StatusCreated, answer(created))
		return nil
	})
	if err != nil {
		return nil, err
	}
	location := "/api/organizations/" + created.ID.String()
	return openapi.CreateOrganization201JSONResponse{
		Body:    answer(created),
		Headers: openapi.CreateOrganization201ResponseHeaders{ETag: etag.Of(created.Version), Location: &location},
	}, nil
}
