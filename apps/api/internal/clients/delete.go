package clients

import (
	"context"
	"time"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
)

// remembered is how long a deleted client is known to be one, by its entry in the feed: longer than any token of it that
// nobody asks Hydra about, and than Hydra may be away before it forgets the client.
const remembered = 25 * time.Hour

// DeleteClient ends a client and what it was granted. Hydra hears of it by a job; until then the hook refuses, since a client
// with our mark and without a row is none (Registry.Issuable).
func (o *Operations) DeleteClient(ctx context.Context, r openapi.DeleteClientRequestObject) (openapi.DeleteClientResponseObject, error) {
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		if _, err := rows.LockOrganization(ctx, r.Organization); err != nil {
			return database.Missing(err)
		}
		before, err := rows.Lock(ctx, row.LockParams{OrganizationID: r.Organization, ID: r.Client})
		if err != nil {
			return database.Missing(err)
		}
		if err := etag.Match(r.Params.IfMatch, before.Version); err != nil {
			return err
		}
		grants, err := rows.DeleteGrants(ctx, before.ID)
		if err != nil {
			return err
		}
		for _, grant := range grants {
			given := []permission.Grant{{Kind: permission.KindClient, ID: before.ID, Role: permission.Role(grant.Role)}}
			u.Withdraw(permission.Without(
				permission.GatewayTuples(grant.GatewayID, before.OrganizationID, given),
				permission.GatewayTuples(grant.GatewayID, before.OrganizationID, nil))...)
		}
		u.Publish(feed.Entry{Kind: feed.Client, ID: before.ID, Expires: time.Now().Add(remembered)})
		u.Enqueue(Forget{ID: before.ID})
		u.Audit(audit.Event{Organization: before.OrganizationID, Action: "client.delete", Target: target(before.ID), Before: record(before)})
		return rows.Delete(ctx, before.ID)
	})
	if err != nil {
		return nil, err
	}
	return openapi.DeleteClient204Response{}, nil
}
