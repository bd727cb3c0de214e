-- name: HoldOrganization :one
-- It is not deleted, and nobody leaves it, meanwhile: who does either locks this row.
SELECT id FROM organizations WHERE id = $1 FOR SHARE;

-- name: LockOrganization :one
-- Nobody grants anything meanwhile: who does holds this row.
SELECT id FROM organizations WHERE id = $1 FOR UPDATE;

-- name: Insert :one
INSERT INTO oauth2_clients (id, organization_id, name, grant_types, redirect_uris, scopes, audience, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING *;

-- name: List :many
-- In the order of creation: the ids are Hydra's and in no order.
SELECT * FROM oauth2_clients
WHERE organization_id = $1 AND (created_at, id) > (sqlc.arg(after_time)::timestamptz, sqlc.arg(after_id)::text)
ORDER BY created_at, id
LIMIT sqlc.arg(rows);

-- name: Find :one
SELECT * FROM oauth2_clients WHERE organization_id = $1 AND id = $2;

-- name: Lock :one
SELECT * FROM oauth2_clients WHERE organization_id = $1 AND id = $2 FOR UPDATE;

-- name: LockByID :one
SELECT * FROM oauth2_clients WHERE id = $1 FOR UPDATE;

-- name: ByIDs :many
SELECT * FROM oauth2_clients WHERE id = ANY (sqlc.arg(ids)::text[]);

-- name: Update :one
UPDATE oauth2_clients
SET name = $2, grant_types = $3, redirect_uris = $4, scopes = $5, audience = $6, version = version + 1, updated_at = now()
WHERE id = $1
RETURNING *;

-- name: Rotated :one
-- The secret is Hydra's; that it is another one is a new version of the client.
UPDATE oauth2_clients SET version = version + 1, updated_at = now() WHERE id = $1 RETURNING *;

-- name: SetDisabled :one
UPDATE oauth2_clients
SET disabled_at = CASE WHEN sqlc.arg(disabled)::bool THEN now() END, version = version + 1, updated_at = now()
WHERE id = $1
RETURNING *;

-- name: Delete :exec
DELETE FROM oauth2_clients WHERE id = $1;

-- name: DeleteGrants :many
-- What the client was given goes with it. Only gateways of its own organization could give.
DELETE FROM gateway_grants WHERE subject_kind = 'client' AND subject_id = $1 RETURNING gateway_id, role;

-- name: Standing :one
-- What is known of a client whose token is shown, or about to be issued. A client without a row is another's, unless the feed
-- still says that it was deleted: nothing that it held outlives that entry.
SELECT (c.id IS NOT NULL)::bool AS known,
       (c.disabled_at IS NOT NULL)::bool AS disabled,
       (c.id IS NOT NULL AND (c.last_seen_at IS NULL OR c.last_seen_at < date_trunc('hour', now())))::bool AS unnoticed,
       (CASE WHEN c.id IS NULL THEN EXISTS (
           SELECT FROM revocations r
           WHERE r.kind = 'client' AND r.subject_id = asked.id AND r.not_before IS NULL AND r.expires_at > now()
       ) ELSE false END)::bool AS deleted
FROM (SELECT sqlc.arg(id)::text AS id) asked LEFT JOIN oauth2_clients c ON c.id = asked.id;

-- name: Notice :exec
-- Once an hour and client, however many requests come: of those that race the others find nothing to do. It is no change
-- of the client, so its version stays.
UPDATE oauth2_clients
SET last_seen_at = date_trunc('hour', now())
WHERE id = $1 AND (last_seen_at IS NULL OR last_seen_at < date_trunc('hour', now()));
