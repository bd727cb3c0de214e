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
