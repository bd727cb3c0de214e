package keys

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/keys/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// Operations are the use cases.
type Operations struct {
	Pool    *pgxpool.Pool
	Changes *change.Changes
	// Scopes is the vocabulary: a key gets none that no operation asks for.
	Scopes []string
	// Environment is written into secrets, so that a key of a test system is not taken for another: "live", "dev".
	Environment string
}

// owner is whose keys an operation is about: an organization's or a person's.
type owner struct{ organization, user *uuid.UUID }

func ofOrganization(id uuid.UUID) owner { return owner{organization: &id} }

// ofCaller is the person who calls. That it is one in person is for the document to demand (sensitive).
func ofCaller(ctx context.Context) (owner, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return owner{}, err
	}
	if caller.UserID == uuid.Nil {
		return owner{}, problem.New(problem.Forbidden, "Only a person has keys of their own.")
	}
	return owner{user: &caller.UserID}, nil
}

func (o owner) event(action string, key row.ApiKey, before, after any) audit.Event {
	event := audit.Event{Action: action, Target: audit.Target{Kind: "api_key", ID: key.ID.String()}, Before: before, After: after}
	if o.organization != nil {
		event.Organization = *o.organization
	}
	return event
}

// recorded is what the audit log shows of a key.
type recorded struct {
	Name   string   `json:"name"`
	Prefix string   `json:"prefix"`
	Scopes []string `json:"scopes"`
}

func record(key row.ApiKey) recorded { return recorded{key.Name, key.Prefix, key.Scopes} }

// hold keeps everybody from leaving the organization and makes sure that the caller may have its credentials even now: a key
// must not come into the hands of somebody who was removed a moment ago.
func hold(ctx context.Context, u *change.Unit, organization uuid.UUID) error {
	if err := row.New(u.Tx).HoldOrganization(ctx, organization); err != nil {
		return err
	}
	return access.Still(ctx, u.Tx, "create_credentials", permission.Of(permission.Organization, organization))
}

// lock reads a key of the owner for a change that is based on ifMatch.
func lock(ctx context.Context, rows *row.Queries, of owner, id uuid.UUID, ifMatch *string) (row.ApiKey, error) {
	key, err := rows.Lock(ctx, row.LockParams{ID: id, OrganizationID: of.organization, UserID: of.user})
	if err != nil {
		return key, database.Missing(err)
	}
	return key, etag.Match(ifMatch, key.Version)
}

func answer(key row.ApiKey) openapi.APIKey {
	return openapi.APIKey{
		Id: key.ID, Name: key.Name, Prefix: key.Prefix, Scopes: key.Scopes, CreatedBy: key.CreatedBy,
		ExpiresAt: key.ExpiresAt, RevokedAt: key.RevokedAt, LastUsedAt: key.LastUsedAt,
		CreatedAt: key.CreatedAt.UTC(), UpdatedAt: key.UpdatedAt.UTC(),
	}
}

// withSecret is the one answer that holds a secret. It is not what is kept for a repeated request.
func withSecret(key row.ApiKey, s secret) openapi.APIKeyWithSecret {
	return openapi.APIKeyWithSecret{
		Id: key.ID, Name: key.Name, Prefix: key.Prefix, Scopes: key.Scopes, CreatedBy: key.CreatedBy,
		ExpiresAt: key.ExpiresAt, RevokedAt: key.RevokedAt, LastUsedAt: key.LastUsedAt,
		CreatedAt: key.CreatedAt.UTC(), UpdatedAt: key.UpdatedAt.UTC(), Secret: &s.text,
	}
}
