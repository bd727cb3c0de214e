package clients

import (
	"context"
	"crypto/rand"
	"net/http"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
)

// RotateClientSecret replaces the secret at once, and shows the new one. Hydra keeps one secret per client, so there is no
// time in which both work.
func (o *Operations) RotateClientSecret(ctx context.Context, r openapi.RotateClientSecretRequestObject) (openapi.RotateClientSecretResponseObject, error) {
	secret := rand.Text() + rand.Text() // 260 bits, below the 72 bytes that bcrypt reads
	var rotated row.Oauth2Client
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		before, err := rows.Lock(ctx, row.LockParams{OrganizationID: r.Organization, ID: r.Client})
		if err != nil {
			return database.Missing(err)
		}
		if rotated, err = rows.Rotated(ctx, before.ID); err != nil {
			return err
		}
		u.Audit(audit.Event{Organization: rotated.OrganizationID, Action: "client.rotate_secret", Target: target(rotated.ID)})
		u.Answer(http.StatusOK, answer(rotated))
		if err := o.Server.SetClientSecret(ctx, rotated.ID, secret); err != nil {
			return refused(err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return openapi.RotateClientSecret200JSONResponse{
		Body: credential(rotated, secret), Headers: openapi.RotateClientSecret200ResponseHeaders{ETag: etag.Of(rotated.Version)},
	}, nil
}
