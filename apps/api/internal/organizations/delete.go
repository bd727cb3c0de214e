package organizations

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/clients"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/organizations/row"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
)

// GetOrganizationDeletion tells what deleting an organization would take along.
func (o *Operations) GetOrganizationDeletion(ctx context.Context, r openapi.GetOrganizationDeletionRequestObject) (openapi.GetOrganizationDeletionResponseObject, error) {
	found, err := row.New(o.Pool).Find(ctx, r.Organization)
	if err != nil {
		return nil, database.Missing(err)
	}
	owned, err := row.New(o.Pool).Owned(ctx, found.ID)
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetOrganizationDeletion200JSONResponse{
		Members: int(owned.Members), Gateways: int(owned.Gateways), Products: int(owned.Products),
		Clients: int(owned.Clients), ApiKeys: int(owned.ApiKeys), Digest: digest(found.ID, owned),
	}, nil
}

// digest stands for what the caller was told.
func digest(id uuid.UUID, owned row.OwnedRow) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %+v", id, owned))
	return hex.EncodeToString(sum[:16])
}

// DeleteOrganization ends an organization, and what it owns when the caller says so and knows what that is.
func (o *Operations) DeleteOrganization(ctx context.Context, r openapi.DeleteOrganizationRequestObject) (openapi.DeleteOrganizationResponseObject, error) {
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := rows.Lock(ctx, r.Organization)
		if err != nil {
			return database.Missing(err)
		}
		if err := access.Still(ctx, u.Tx, "delete", permission.Of(permission.Organization, before.ID)); err != nil {
			return err
		}
		if err := etag.Match(r.Params.IfMatch, before.Version); err != nil {
			return err
		}
		if err := rows.LockGateways(ctx, before.ID); err != nil { // before their products, as everybody does
			return err
		}
		owned, err := rows.Owned(ctx, before.ID)
		if err != nil {
			return err
		}
		if err := agreed(r.Params, before.ID, owned); err != nil {
			return err
		}
		if err := remove(ctx, u, rows, before.ID); err != nil {
			return err
		}
		u.Audit(audit.Event{
			Organization: before.ID, Action: "organization.delete", Target: target(before.ID),
			Before: struct {
				recorded
				Owned row.OwnedRow `json:"owned"`
			}{record(before), owned},
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.DeleteOrganization204Response{}, nil
}

// agreed refuses to delete what the caller did not say, or did not know of.
func agreed(asked openapi.DeleteOrganizationParams, id uuid.UUID, owned row.OwnedRow) error {
	nothing := owned.Gateways == 0 && owned.Products == 0 && owned.Clients == 0 && owned.ApiKeys == 0
	switch {
	case asked.Cascade == nil || !*asked.Cascade:
		if nothing {
			return nil
		}
		return problem.New(problem.NotEmpty, "The organization still owns gateways, clients or keys.")
	case asked.Expected == nil:
		return problem.Invalid(problem.Field{Name: "expected", Reason: "is needed with cascade: ask for the deletion first"})
	case *asked.Expected != digest(id, owned):
		return problem.New(problem.NotEmpty, "The organization owns other things than you were told. Ask for the deletion again.")
	}
	return nil
}

// remove deletes from the leaves up. Hydra hears of its clients by jobs, the door of clients and keys at once.
func remove(ctx context.Context, u *change.Unit, rows *row.Queries, id uuid.UUID) error {
	products, err := rows.DeleteProducts(ctx, id)
	if err != nil {
		return err
	}
	gateways, err := rows.DeleteGateways(ctx, id)
	if err != nil {
		return err
	}
	owned, err := rows.DeleteClients(ctx, id)
	if err != nil {
		return err
	}
	keys, err := rows.DeleteKeys(ctx, &id)
	if err != nil {
		return err
	}
	for _, product := range products {
		u.Converge(permission.Of(permission.Product, product))
	}
	for _, gateway := range gateways {
		u.Converge(permission.Of(permission.Gateway, gateway))
	}
	forgotten := time.Now().Add(longest)
	for _, client := range owned {
		u.Enqueue(clients.Forget{ID: client})
		u.Publish(feed.Entry{Kind: feed.Client, ID: client, Expires: forgotten})
	}
	for _, key := range keys {
		u.Publish(feed.Entry{Kind: feed.Key, ID: key.String(), Expires: forgotten})
	}
	u.Converge(permission.Of(permission.Organization, id))
	return rows.Delete(ctx, id)
}

// longest is more than any token of Hydra and any answer kept at the door lives.
const longest = 25 * time.Hour
