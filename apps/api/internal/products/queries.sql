-- name: Insert :one
INSERT INTO products (id, gateway_id, slug, name, description, release, visibility, flow_types)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING *;

-- name: Find :one
SELECT * FROM products WHERE id = $1;

-- name: Lock :one
SELECT * FROM products WHERE id = $1 FOR UPDATE;

-- name: HoldOrganization :exec
-- Nobody leaves the gateway's organization meanwhile: whoever changes members locks this row.
SELECT FROM organizations WHERE id = (SELECT organization_id FROM gateways WHERE gateways.id = $1) FOR SHARE;

-- name: Organization :one
-- The gateway is not deleted meanwhile.
SELECT organization_id FROM gateways WHERE id = $1 FOR SHARE;

-- name: List :many
-- Private ones only for those who may edit the gateway.
SELECT * FROM products
WHERE gateway_id = $1 AND id > sqlc.arg(after) AND (sqlc.arg(private)::bool OR visibility <> 'private')
ORDER BY id
LIMIT sqlc.arg(rows);

-- name: Update :one
UPDATE products
SET slug = $2, name = $3, description = $4, release = $5, visibility = $6, flow_types = $7, version = version + 1, updated_at = now()
WHERE id = $1
RETURNING *;

-- name: SetPublished :one
UPDATE products SET published_at = $2, version = version + 1, updated_at = now() WHERE id = $1 RETURNING *;

-- name: SetHasDocument :one
UPDATE products SET has_document = $2, version = version + 1, updated_at = now() WHERE id = $1 RETURNING *;

-- name: PutDocument :exec
INSERT INTO product_documents (product_id, document) VALUES ($1, $2)
ON CONFLICT (product_id) DO UPDATE SET document = excluded.document;

-- name: DeleteDocument :exec
DELETE FROM product_documents WHERE product_id = $1;

-- name: Document :one
SELECT document FROM product_documents WHERE product_id = $1;

-- name: Delete :exec
DELETE FROM products WHERE id = $1;

-- name: Directory :many
SELECT sqlc.embed(p), g.slug AS gateway_slug, g.name AS gateway, o.slug AS organization_slug, o.name AS organization
FROM products p JOIN gateways g ON g.id = p.gateway_id JOIN organizations o ON o.id = g.organization_id
WHERE p.visibility = 'public' AND p.published_at IS NOT NULL AND p.id > sqlc.arg(after)
ORDER BY p.id
LIMIT sqlc.arg(rows);

-- name: Search :many
-- The expression is the index's.
SELECT sqlc.embed(p), g.slug AS gateway_slug, g.name AS gateway, o.slug AS organization_slug, o.name AS organization
FROM products p JOIN gateways g ON g.id = p.gateway_id JOIN organizations o ON o.id = g.organization_id
WHERE p.visibility = 'public' AND p.published_at IS NOT NULL AND p.id > sqlc.arg(after)
  AND to_tsvector('simple', p.name || ' ' || p.description) @@ websearch_to_tsquery('simple', sqlc.arg(words))
ORDER BY p.id
LIMIT sqlc.arg(rows);

-- name: Entry :one
SELECT sqlc.embed(p), g.slug AS gateway_slug, g.name AS gateway, o.slug AS organization_slug, o.name AS organization
FROM products p JOIN gateways g ON g.id = p.gateway_id JOIN organizations o ON o.id = g.organization_id
WHERE o.slug = sqlc.arg(organization_slug) AND g.slug = sqlc.arg(gateway_slug) AND p.slug = sqlc.arg(product_slug)
  AND p.visibility = 'public' AND p.published_at IS NOT NULL;
