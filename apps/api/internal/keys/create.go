package keys

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/keys/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// CreateOrganizationAPIKey makes a key of an organization. It may do nothing until it is granted something.
func (o *Operations) CreateOrganizationAPIKey(ctx context.Context, r openapi.CreateOrganizationAPIKeyRequestObject) (openapi.CreateOrganizationAPIKeyResponseObject, error) {
	created, s, err := o.create(ctx, ofOrganization(r.Organization), *r.Body)
	if err != nil {
		return nil, err
	}
	location := fmt.Sprintf("/api/organizations/%s/api-keys/%s", r.Organization, created.ID)
	return openapi.CreateOrganizationAPIKey201JSONResponse{
		Body:    withSecret(created, s),
		Headers: openapi.CreateOrganizationAPIKey201ResponseHeaders{ETag: etag.Of(created.Version), Location: &location},
	}, nil
}

// CreateMyAPIKey makes a key of the caller's. Within its scopes it may do what the caller may.
func (o *Operations) CreateMyAPIKey(ctx context.Context, r openapi.CreateMyAPIKeyRequestObject) (openapi.CreateMyAPIKeyResponseObject, error) {
	of, err := ofCaller(ctx)
	if err != nil {
		return nil, err
	}
	created, s, err := o.create(ctx, of, *r.Body)
	if err != nil {
		return nil, err
	}
	location := "/api/me/api-keys/" + created.ID.String()
	return openapi.CreateMyAPIKey201JSONResponse{
		Body:    withSecret(created, s),
		Headers: openapi.CreateMyAPIKey201ResponseHeaders{ETag: etag.Of(created.Version), Location: &location},
	}, nil
}

func (o *Operations) create(ctx context.Context, of owner, input openapi.APIKeyInput) (created row.ApiKey, s secret, err error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return created, s, err
	}
	if err := o.sensible(input); err != nil {
		return created, s, err
	}
	s = newSecret(o.Environment)
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		if of.organization != nil {
			if err := hold(ctx, u, *of.organization); err != nil {
				return err
			}
		}
		created, err = row.New(u.Tx).Insert(ctx, row.InsertParams{
			ID: uuid.Must(uuid.NewV7()), OrganizationID: of.organization, UserID: of.user, Name: input.Name,
			Prefix: s.prefix, Hash: s.hash(), Scopes: input.Scopes, ExpiresAt: input.ExpiresAt, CreatedBy: caller.UserID,
		})
		if err != nil {
			return err
		}
		u.Audit(of.event("api_key.create", created, nil, record(created)))
		u.Answer(http.StatusCreated, answer(created))
		return nil
	})
	return created, s, err
}

// sensible refuses what no key can have. What its owner may do need not be compared with the scopes: they only ever take
// away from it, at each request.
func (o *Operations) sensible(input openapi.APIKeyInput) error {
	var wrong []problem.Field
	for i, scope := range input.Scopes {
		if !slices.Contains(o.Scopes, scope) {
			wrong = append(wrong, problem.Field{Name: fmt.Sprintf("scopes.%d", i), Reason: "is no scope of this API"})
		}
	}
	if input.ExpiresAt != nil && !input.ExpiresAt.After(time.Now()) {
		wrong = append(wrong, problem.Field{Name: "expires_at", Reason: "is not in the future"})
	}
	if wrong != nil {
		return problem.Semantic(wrong...)
	}
	return nil
}
