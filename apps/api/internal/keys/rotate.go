package keys

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/keys/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// RotateOrganizationAPIKey gives an organization's key another secret. Whoever is shown it is its holder from now on.
func (o *Operations) RotateOrganizationAPIKey(ctx context.Context, r openapi.RotateOrganizationAPIKeyRequestObject) (openapi.RotateOrganizationAPIKeyResponseObject, error) {
	rotated, s, err := o.rotate(ctx, ofOrganization(r.Organization), r.Key, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return openapi.RotateOrganizationAPIKey200JSONResponse{
		Body: withSecret(rotated, s), Headers: openapi.RotateOrganizationAPIKey200ResponseHeaders{ETag: etag.Of(rotated.Version)},
	}, nil
}

// RotateMyAPIKey gives one of the caller's own keys another secret.
func (o *Operations) RotateMyAPIKey(ctx context.Context, r openapi.RotateMyAPIKeyRequestObject) (openapi.RotateMyAPIKeyResponseObject, error) {
	of, err := ofCaller(ctx)
	if err != nil {
		return nil, err
	}
	rotated, s, err := o.rotate(ctx, of, r.Key, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return openapi.RotateMyAPIKey200JSONResponse{
		Body: withSecret(rotated, s), Headers: openapi.RotateMyAPIKey200ResponseHeaders{ETag: etag.Of(rotated.Version)},
	}, nil
}

// rotate replaces the secret and leaves the key what it is: its id, its scopes, what it was granted and when it ends. The old
// secret dies at once. An overlap would need two secrets per key at every step from here to the door; two keys do the same.
func (o *Operations) rotate(ctx context.Context, of owner, id uuid.UUID, ifMatch *string) (rotated row.ApiKey, s secret, err error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return rotated, s, err
	}
	s = newSecret(o.Environment)
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows := row.New(u.Tx)
		if of.organization != nil {
			if err := hold(ctx, u, *of.organization); err != nil {
				return err
			}
		}
		before, err := lock(ctx, rows, of, id, ifMatch)
		switch {
		case err != nil:
			return err
		case before.RevokedAt != nil:
			return problem.New(problem.Conflict, "This key is revoked. Make another one.")
		case before.ExpiresAt != nil && !before.ExpiresAt.After(time.Now()):
			return problem.New(problem.Conflict, "This key has expired. Make another one.")
		}
		rotated, err = rows.Rotate(ctx, row.RotateParams{ID: before.ID, Prefix: s.prefix, Hash: s.hash(), CreatedBy: caller.UserID})
		if err != nil {
			return err
		}
		// The door knows a secret by the key's id and the time of issue (serve.go): this spares the new one.
		until := rotated.UpdatedAt.Add(-time.Microsecond)
		u.Publish(feed.Entry{Kind: feed.Key, ID: rotated.ID.String(), NotBefore: &until, Expires: rotated.UpdatedAt.Add(feed.Lifetime)})
		u.Audit(of.event("api_key.rotate", rotated, record(before), record(rotated)))
		u.Answer(http.StatusOK, answer(rotated))
		return nil
	})
	return rotated, s, err
}
