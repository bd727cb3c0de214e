package clients

import (
	"context"
	"time"

	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/problem"
)

// ListClients lists an organization's clients.
func (o *Operations) ListClients(ctx context.Context, r openapi.ListClientsRequestObject) (openapi.ListClientsResponseObject, error) {
	p, err := page.Of(nil, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	after, err := page.Parts(r.Params.Cursor, 2)
	if err != nil {
		return nil, err
	}
	var since time.Time
	if after[0] != "" {
		if since, err = time.Parse(time.RFC3339Nano, after[0]); err != nil {
			return nil, problem.Invalid(problem.Field{Name: "cursor", Reason: "is none that a list has given"})
		}
	}
	found, err := row.New(o.Pool).List(ctx, row.ListParams{OrganizationID: r.Organization, AfterTime: since, AfterID: after[1], Rows: p.Rows()})
	if err != nil {
		return nil, database.Problem(err)
	}
	found, next := page.CutParts(p, found, func(c row.Oauth2Client) []string {
		return []string{c.CreatedAt.UTC().Format(time.RFC3339Nano), c.ID}
	})
	items := make([]openapi.Client, 0, len(found))
	for _, c := range found {
		items = append(items, answer(c))
	}
	return openapi.ListClients200JSONResponse{Items: items, NextCursor: next}, nil
}

// GetClient returns one client.
func (o *Operations) GetClient(ctx context.Context, r openapi.GetClientRequestObject) (openapi.GetClientResponseObject, error) {
	found, err := row.New(o.Pool).Find(ctx, row.FindParams{OrganizationID: r.Organization, ID: r.Client})
	if err != nil {
		return nil, database.Missing(err)
	}
	return openapi.GetClient200JSONResponse{
		Body: answer(found), Headers: openapi.GetClient200ResponseHeaders{ETag: etag.Of(found.Version)},
	}, nil
}
