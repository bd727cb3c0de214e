-- name: Touch :one
-- Holds the object's row, and with it the index of the object, until the change commits. updated_at is when the object
-- fell behind, so that further changes do not make it look younger.
INSERT INTO index_state (namespace, object)
VALUES (sqlc.arg(namespace), sqlc.arg(object))
ON CONFLICT (namespace, object) DO UPDATE
SET wanted     = index_state.wanted + 1,
    updated_at = CASE WHEN index_state.converged < index_state.wanted THEN index_state.updated_at ELSE now() END
RETURNING wanted;

-- name: State :one
SELECT wanted, converged
FROM index_state
WHERE namespace = sqlc.arg(namespace) AND object = sqlc.arg(object);

-- name: Ensure :exec
-- Gives an object that Keto knows and the rows do not a row to lock.
INSERT INTO index_state (namespace, object)
VALUES (sqlc.arg(namespace), sqlc.arg(object))
ON CONFLICT (namespace, object) DO NOTHING;

-- name: Lock :one
SELECT wanted, converged
FROM index_state
WHERE namespace = sqlc.arg(namespace) AND object = sqlc.arg(object)
FOR UPDATE;

-- name: Mark :exec
UPDATE index_state
SET converged = wanted, updated_at = now()
WHERE namespace = sqlc.arg(namespace) AND object = sqlc.arg(object);

-- name: Forget :exec
DELETE FROM index_state
WHERE namespace = sqlc.arg(namespace) AND object = sqlc.arg(object);

-- name: Behind :one
SELECT count(*) AS objects, coalesce(extract(epoch FROM now() - min(updated_at)), 0)::float8 AS oldest
FROM index_state
WHERE converged < wanted;

-- name: Objects :many
-- Every object that may have tuples.
SELECT 'Platform'::text AS namespace, 'gatehouse'::text AS object
UNION ALL
SELECT 'Organization', id::text FROM organizations
UNION ALL
SELECT 'Gateway', id::text FROM gateways
UNION ALL
SELECT 'Product', id::text FROM products;

-- name: PlatformAdmins :many
SELECT user_id FROM platform_admins ORDER BY user_id;

-- name: Organizations :many
SELECT id FROM organizations WHERE id = ANY (sqlc.arg(ids)::uuid[]);

-- name: Members :many
SELECT organization_id, user_id, role
FROM memberships
WHERE organization_id = ANY (sqlc.arg(ids)::uuid[])
ORDER BY organization_id, user_id;

-- name: Gateways :many
SELECT id, organization_id FROM gateways WHERE id = ANY (sqlc.arg(ids)::uuid[]);

-- name: Grants :many
SELECT gateway_id, subject_kind, subject_id, role
FROM gateway_grants
WHERE gateway_id = ANY (sqlc.arg(ids)::uuid[])
ORDER BY gateway_id, subject_kind, subject_id;

-- name: Products :many
SELECT id, gateway_id, visibility FROM products WHERE id = ANY (sqlc.arg(ids)::uuid[]);
