package clients

import (
	"context"
	"net/http"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
)

// CreateClient makes a client, and shows its secret.
func (o *Operations) CreateClient(ctx context.Context, r openapi.CreateClientRequestObject) (openapi.CreateClientResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	wanted, err := o.wanted(*r.Body)
	if err != nil {
		return nil, err
	}
	var created row.Oauth2Client
	var secret string
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		if _, err := rows.HoldOrganization(ctx, r.Organization); err != nil {
			return database.Missing(err)
		}
		// First Hydra, which chooses the id. When nothing commits, the sweep removes what it made; to do so here would remove
		// a client whose row did commit while the answer to that was lost.
		var id string
		if id, secret, err = o.Server.RegisterClient(ctx, wanted); err != nil {
			return refused(err)
		}
		created, err = rows.Insert(ctx, row.InsertParams{
			ID: id, OrganizationID: r.Organization, Name: wanted.Name, GrantTypes: wanted.GrantTypes, RedirectUris: wanted.RedirectURIs,
			Scopes: wanted.Scopes, Audience: wanted.Audience, CreatedBy: caller.UserID, // a person's own session: the document says so
		})
		if err != nil {
			return err
		}
		u.Audit(audit.Event{Organization: created.OrganizationID, Action: "client.create", Target: target(created.ID), After: record(created)})
		u.Answer(http.StatusCreated, answer(created))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.CreateClient201JSONResponse{
		Body: credential(created, secret),
		Headers: openapi.CreateClient201ResponseHeaders{
			ETag: etag.Of(created.Version), Location: location(created.OrganizationID, created.ID),
		},
	}, nil
}
