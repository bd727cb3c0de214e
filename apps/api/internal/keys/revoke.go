package keys

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/keys/row"
	"gatehouse.internal/api/internal/openapi"
)

// RevokeOrganizationAPIKey ends an organization's key.
func (o *Operations) RevokeOrganizationAPIKey(ctx context.Context, r openapi.RevokeOrganizationAPIKeyRequestObject) (openapi.RevokeOrganizationAPIKeyResponseObject, error) {
	if err := o.revoke(ctx, ofOrganization(r.Organization), r.Key, r.Params.IfMatch); err != nil {
		return nil, err
	}
	return openapi.RevokeOrganizationAPIKey204Response{}, nil
}

// RevokeMyAPIKey ends one of the caller's own keys.
func (o *Operations) RevokeMyAPIKey(ctx context.Context, r openapi.RevokeMyAPIKeyRequestObject) (openapi.RevokeMyAPIKeyResponseObject, error) {
	of, err := ofCaller(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.revoke(ctx, of, r.Key, r.Params.IfMatch); err != nil {
		return nil, err
	}
	return openapi.RevokeMyAPIKey204Response{}, nil
}

// errRevoked ends a change in which there is nothing to do.
var errRevoked = errors.New("revoked before")

func (o *Operations) revoke(ctx context.Context, of owner, id uuid.UUID, ifMatch *string) error {
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := lock(ctx, rows, of, id, ifMatch)
		if err != nil {
			return err
		}
		if before.RevokedAt != nil {
			return errRevoked
		}
		revoked, err := rows.Revoke(ctx, before.ID)
		if err != nil {
			return err
		}
		u.Publish(feed.Entry{Kind: feed.Key, ID: revoked.ID.String(), Expires: revoked.UpdatedAt.Add(feed.Lifetime)})
		u.Audit(of.event("api_key.revoke", revoked, record(before), nil))
		return nil
	})
	if errors.Is(err, errRevoked) {
		return nil
	}
	return err
}
