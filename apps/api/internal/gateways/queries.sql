-- name: Insert :one
INSERT INTO gateways (id, organization_id, slug, name, description, upstream)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *;

-- name: Find :one
SELECT * FROM gateways WHERE id = $1;

-- name: Lock :one
SELECT * FROM gateways WHERE id = $1 FOR UPDATE;

-- name: List :many
SELECT * FROM gateways
WHERE organization_id = $1 AND id > sqlc.arg(after)
ORDER BY id
LIMIT sqlc.arg(rows);

-- name: ListOfUser :many
-- By membership, or by a grant of their own. Each organization gives its next few alone, so that the last page costs what
-- the first does.
SELECT w.* FROM (
    (SELECT g.* FROM memberships m
     CROSS JOIN LATERAL (
         SELECT o.* FROM gateways o
         WHERE o.organization_id = m.organization_id AND o.id > sqlc.arg(after)
         ORDER BY o.id
         LIMIT sqlc.arg(rows)
     ) g
     WHERE m.user_id = sqlc.arg(user_id))
    UNION
    (SELECT g.* FROM gateway_grants r JOIN gateways g ON g.id = r.gateway_id
     WHERE r.subject_kind = 'user' AND r.subject_id = sqlc.arg(user_id)::uuid::text AND r.gateway_id > sqlc.arg(after)
     ORDER BY r.gateway_id
     LIMIT sqlc.arg(rows))
) w
ORDER BY w.id
LIMIT sqlc.arg(rows);

-- name: ListOfSubject :many
-- A client or an organization's key has what it was granted.
SELECT g.* FROM gateway_grants r JOIN gateways g ON g.id = r.gateway_id
WHERE r.subject_kind = $1 AND r.subject_id = $2 AND r.gateway_id > sqlc.arg(after)
ORDER BY r.gateway_id
LIMIT sqlc.arg(rows);

-- name: Update :one
UPDATE gateways
SET slug = $2, name = $3, description = $4, upstream = $5, version = version + 1, updated_at = now()
WHERE id = $1
RETURNING *;

-- name: HasProducts :one
SELECT EXISTS (SELECT FROM products WHERE gateway_id = $1);

-- name: Delete :exec
DELETE FROM gateways WHERE id = $1;

-- name: Grants :many
SELECT * FROM gateway_grants
WHERE gateway_id = $1 AND (subject_kind, subject_id) > (sqlc.arg(kind)::text, sqlc.arg(subject)::text)
ORDER BY subject_kind, subject_id
LIMIT sqlc.arg(rows);

-- name: Grant :one
SELECT * FROM gateway_grants WHERE gateway_id = $1 AND subject_kind = $2 AND subject_id = $3;

-- name: PutGrant :one
INSERT INTO gateway_grants (gateway_id, subject_kind, subject_id, role, granted_by_kind, granted_by_id)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (gateway_id, subject_kind, subject_id) DO UPDATE
SET role = excluded.role, granted_by_kind = excluded.granted_by_kind, granted_by_id = excluded.granted_by_id,
    version = gateway_grants.version + 1, updated_at = now()
RETURNING *;

-- name: DeleteGrant :exec
DELETE FROM gateway_grants WHERE gateway_id = $1 AND subject_kind = $2 AND subject_id = $3;

-- name: Grantable :one
-- Whether somebody belongs to the organization: outside of it rights come by invitation only.
SELECT CASE sqlc.arg(kind)::text
    WHEN 'user' THEN EXISTS (SELECT FROM memberships m WHERE m.organization_id = sqlc.arg(organization_id) AND m.user_id = sqlc.arg(subject)::uuid)
    WHEN 'client' THEN EXISTS (SELECT FROM oauth2_clients c WHERE c.organization_id = sqlc.arg(organization_id) AND c.id = sqlc.arg(subject)::uuid::text)
    WHEN 'api_key' THEN EXISTS (SELECT FROM api_keys k WHERE k.organization_id = sqlc.arg(organization_id) AND k.id = sqlc.arg(subject)::uuid AND k.revoked_at IS NULL)
    WHEN 'members' THEN sqlc.arg(organization_id) = sqlc.arg(subject)::uuid
    ELSE false
END::bool;

-- name: Access :many
-- Every way to a gateway: by a role in the organization, by what all members were given, by a grant of one's own.
SELECT kind::text, subject::text, because::text, role::text, name::text
FROM (
    SELECT 'user' AS kind, m.user_id::text AS subject, 'organization_' || m.role AS because,
           CASE m.role WHEN 'member' THEN 'viewer' ELSE m.role END AS role, u.display_name AS name
    FROM gateways g JOIN memberships m USING (organization_id) JOIN users u ON u.id = m.user_id
    WHERE g.id = sqlc.arg(gateway_id) AND u.deleted_at IS NULL
    UNION ALL
    SELECT 'user', m.user_id::text, 'members', r.role, u.display_name
    FROM gateway_grants r JOIN gateways g ON g.id = r.gateway_id JOIN memberships m USING (organization_id) JOIN users u ON u.id = m.user_id
    WHERE r.gateway_id = sqlc.arg(gateway_id) AND r.subject_kind = 'members' AND u.deleted_at IS NULL
    UNION ALL
    SELECT r.subject_kind, r.subject_id, 'grant', r.role, COALESCE(u.display_name, c.name, k.name, '')
    FROM gateway_grants r
    LEFT JOIN users u ON u.id = CASE r.subject_kind WHEN 'user' THEN r.subject_id::uuid END
    LEFT JOIN oauth2_clients c ON r.subject_kind = 'client' AND c.id = r.subject_id
    LEFT JOIN api_keys k ON k.id = CASE r.subject_kind WHEN 'api_key' THEN r.subject_id::uuid END
    WHERE r.gateway_id = sqlc.arg(gateway_id) AND r.subject_kind <> 'members'
) ways
WHERE (kind, subject, because) > (sqlc.arg(after_kind)::text, sqlc.arg(after_subject)::text, sqlc.arg(after_because)::text)
ORDER BY kind, subject, because
LIMIT sqlc.arg(rows);

-- name: AddRevision :one
INSERT INTO gateway_revisions (gateway_id, number, config, note, restores, created_by_kind, created_by_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING *;

-- name: Publish :one
UPDATE gateways SET current_revision = $2, version = version + 1, updated_at = now() WHERE id = $1 RETURNING *;

-- name: Revision :one
SELECT * FROM gateway_revisions WHERE gateway_id = $1 AND number = $2;

-- name: Revisions :many
SELECT gateway_id, number, note, restores, created_by_kind, created_by_id, created_at,
       jsonb_array_length(config -> 'routes')::int AS routes
FROM gateway_revisions
WHERE gateway_id = $1 AND number < sqlc.arg(before_number)
ORDER BY number DESC
LIMIT sqlc.arg(rows);

-- name: HoldOrganization :exec
-- Nobody leaves it meanwhile: whoever changes members locks this row.
SELECT FROM organizations WHERE id = $1 FOR SHARE;
