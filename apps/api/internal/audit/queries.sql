-- name: Add :exec
INSERT INTO audit_events (id, organization_id, actor_kind, actor_id, actor_client_id, action, target_kind, target_id,
                          address, request_id, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: List :many
-- Newest first. An action that ends in a dot stands for all that begin so.
SELECT *
FROM audit_events
WHERE organization_id = $1 AND id < sqlc.arg(before_id)
  AND (sqlc.narg(actor)::text IS NULL OR actor_id = sqlc.narg(actor))
  AND (sqlc.narg(target)::text IS NULL OR target_id = sqlc.narg(target))
  AND (sqlc.narg(action)::text IS NULL OR action = sqlc.narg(action) OR right(sqlc.narg(action), 1) = '.' AND starts_with(action, sqlc.narg(action)))
  AND (sqlc.narg(since)::timestamptz IS NULL OR at >= sqlc.narg(since))
  AND (sqlc.narg(until)::timestamptz IS NULL OR at < sqlc.narg(until))
ORDER BY id DESC
LIMIT sqlc.arg(rows);
