-- The effective role of subjects on objects, from the rows alone. This must never share a thought with tuples.go: each is
-- the check of the other.

-- name: PlatformAdmins :many
SELECT user_id
FROM platform_admins
WHERE user_id = ANY (sqlc.arg(users)::uuid[]);

-- name: OrganizationRoles :many
SELECT organization_id, user_id, role
FROM memberships
WHERE organization_id = ANY (sqlc.arg(organizations)::uuid[])
  AND user_id = ANY (sqlc.arg(users)::uuid[]);

-- name: GatewayRoles :many
-- By membership, by a grant of their own, or by what all members were given. One who has several has the highest.
SELECT gateways.id AS gateway, 'user'::text AS kind, memberships.user_id::text AS subject,
       CASE memberships.role WHEN 'member' THEN 'viewer' ELSE memberships.role END::text AS role
FROM gateways
JOIN memberships USING (organization_id)
WHERE gateways.id = ANY (sqlc.arg(gateways)::uuid[])
  AND memberships.user_id = ANY (sqlc.arg(users)::uuid[])
UNION ALL
SELECT gateway_id, subject_kind, subject_id, role
FROM gateway_grants
WHERE gateway_id = ANY (sqlc.arg(gateways)::uuid[])
  AND subject_kind IN ('user', 'client', 'api_key')
  AND subject_id = ANY (sqlc.arg(subjects)::text[])
UNION ALL
SELECT gateways.id, 'user', memberships.user_id::text, gateway_grants.role
FROM gateway_grants
JOIN gateways ON gateways.id = gateway_grants.gateway_id AND gateways.organization_id::text = gateway_grants.subject_id
JOIN memberships ON memberships.organization_id = gateways.organization_id
WHERE gateway_grants.gateway_id = ANY (sqlc.arg(gateways)::uuid[])
  AND gateway_grants.subject_kind = 'members'
  AND memberships.user_id = ANY (sqlc.arg(users)::uuid[]);

-- name: Products :many
SELECT id, gateway_id, visibility
FROM products
WHERE id = ANY (sqlc.arg(ids)::uuid[]);
