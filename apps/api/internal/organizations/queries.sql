-- name: Insert :one
INSERT INTO organizations (id, slug, name) VALUES ($1, $2, $3) RETURNING *;

-- name: Find :one
SELECT * FROM organizations WHERE id = $1;

-- name: Lock :one
-- Whoever changes an organization or its members holds this: "the last owner" must not be true twice at once.
SELECT * FROM organizations WHERE id = $1 FOR UPDATE;

-- name: ListOf :many
SELECT o.*, m.role
FROM memberships m JOIN organizations o ON o.id = m.organization_id
WHERE m.user_id = $1 AND m.organization_id > sqlc.arg(after)
ORDER BY m.organization_id
LIMIT sqlc.arg(rows);

-- name: Update :one
UPDATE organizations
SET slug = $2, name = $3, version = version + 1, updated_at = now()
WHERE id = $1
RETURNING *;

-- name: Delete :exec
DELETE FROM organizations WHERE id = $1;

-- name: AddMember :one
INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3) RETURNING *;

-- name: Owned :one
-- What an organization still has.
SELECT (SELECT count(*) FROM gateways g WHERE g.organization_id = $1)::int AS gateways,
       (SELECT count(*) FROM products p JOIN gateways g ON g.id = p.gateway_id WHERE g.organization_id = $1)::int AS products,
       (SELECT count(*) FROM oauth2_clients c WHERE c.organization_id = $1)::int AS clients,
       (SELECT count(*) FROM api_keys k WHERE k.organization_id = $1 AND k.revoked_at IS NULL)::int AS api_keys,
       (SELECT count(*) FROM memberships m WHERE m.organization_id = $1)::int AS members;

-- name: Members :many
SELECT m.*, u.display_name, u.email
FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.organization_id = $1 AND m.user_id > sqlc.arg(after)
  AND (sqlc.narg(role)::text IS NULL OR m.role = sqlc.narg(role))
ORDER BY m.user_id
LIMIT sqlc.arg(rows);

-- name: Member :one
SELECT m.*, u.display_name, u.email
FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.organization_id = $1 AND m.user_id = $2;

-- name: Role :one
SELECT role FROM memberships WHERE organization_id = $1 AND user_id = $2;

-- name: OtherOwners :one
-- Owners who may act, and not only until what is under way has ended, without one of them.
SELECT count(*)
FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.organization_id = $1 AND m.role = 'owner' AND m.user_id <> $2 AND u.state = 'active'
  AND NOT EXISTS (SELECT FROM user_operations o WHERE o.user_id = u.id AND o.finished_at IS NULL AND o.kind <> 'reactivate');

-- name: SetRole :one
UPDATE memberships SET role = $3, version = version + 1, updated_at = now()
WHERE organization_id = $1 AND user_id = $2
RETURNING *;

-- name: RemoveMember :exec
DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2;

-- name: RemoveGrants :many
-- What somebody was given on the gateways of an organization goes with their membership.
DELETE FROM gateway_grants g
USING gateways w
WHERE w.id = g.gateway_id AND w.organization_id = $1 AND g.subject_kind = 'user' AND g.subject_id = sqlc.arg(user_id)::uuid::text
RETURNING g.gateway_id, g.role;

-- name: DeleteProducts :many
DELETE FROM products p USING gateways g WHERE g.id = p.gateway_id AND g.organization_id = $1 RETURNING p.id;

-- name: DeleteGateways :many
DELETE FROM gateways WHERE organization_id = $1 RETURNING id;

-- name: DeleteClients :many
DELETE FROM oauth2_clients WHERE organization_id = $1 RETURNING id;

-- name: DeleteKeys :many
DELETE FROM api_keys WHERE organization_id = $1 RETURNING id;

-- name: LockGateways :exec
SELECT FROM gateways WHERE organization_id = $1 ORDER BY id FOR UPDATE;

-- name: DisarmKeys :many
-- No secret has an empty hash. updated_at is the time of issue that the door is told, so it never goes back.
UPDATE api_keys
SET hash = '', version = version + 1, updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
WHERE organization_id = $1 AND created_by = $2 AND revoked_at IS NULL
RETURNING id, updated_at;
