-- name: FindByPrefix :one
-- Good is what the key's own rows say; whether its holder may still act is asked of the users. Unnoticed says that its
-- use in this hour is not written down yet.
SELECT sqlc.embed(api_keys),
       (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
           AND (organization_id IS NULL OR EXISTS (SELECT FROM memberships m
               WHERE m.organization_id = api_keys.organization_id AND m.user_id = api_keys.created_by)))::bool AS good,
       (last_used_at IS NULL OR last_used_at < date_trunc('hour', now()))::bool AS unnoticed
FROM api_keys
WHERE prefix = $1;

-- name: FindByID :one
SELECT sqlc.embed(api_keys),
       (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
           AND (organization_id IS NULL OR EXISTS (SELECT FROM memberships m
               WHERE m.organization_id = api_keys.organization_id AND m.user_id = api_keys.created_by)))::bool AS good
FROM api_keys
WHERE id = $1;

-- name: Notice :exec
-- Once an hour and key, however many requests come: of those that race the others find nothing to do. It is no change
-- of the key, so its version stays.
UPDATE api_keys
SET last_used_at = date_trunc('hour', now())
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < date_trunc('hour', now()));

-- name: Insert :one
INSERT INTO api_keys (id, organization_id, user_id, name, prefix, hash, scopes, expires_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING *;

-- name: ListOfOrganization :many
SELECT * FROM api_keys
WHERE organization_id = sqlc.arg(organization_id)::uuid AND id > sqlc.arg(after)
ORDER BY id
LIMIT sqlc.arg(rows);

-- name: ListOfUser :many
SELECT * FROM api_keys
WHERE user_id = sqlc.arg(user_id)::uuid AND id > sqlc.arg(after)
ORDER BY id
LIMIT sqlc.arg(rows);

-- name: Find :one
-- Of this owner: an id alone opens nothing.
SELECT * FROM api_keys
WHERE id = $1 AND (organization_id = sqlc.narg(organization_id) OR user_id = sqlc.narg(user_id));

-- name: Lock :one
SELECT * FROM api_keys
WHERE id = $1 AND (organization_id = sqlc.narg(organization_id) OR user_id = sqlc.narg(user_id))
FOR UPDATE;

-- name: Rename :one
UPDATE api_keys
SET name = $2, version = version + 1, updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
WHERE id = $1
RETURNING *;

-- name: Rotate :one
-- updated_at is the time of issue that the door is told (serve.go). So it never goes back, whatever the clock does and in
-- whichever order changes that wait for each other began.
UPDATE api_keys
SET prefix = $2, hash = $3, created_by = $4, version = version + 1,
    updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
WHERE id = $1
RETURNING *;

-- name: Revoke :one
UPDATE api_keys
SET revoked_at = now(), version = version + 1, updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
WHERE id = $1
RETURNING *;

-- name: HoldOrganization :exec
-- Nobody leaves it meanwhile: whoever changes members locks this row.
SELECT FROM organizations WHERE id = $1 FOR SHARE;
