-- name: Find :one
-- Old is a row that nobody has compared with its identity for as long as a revocation may take. By the
-- database's clock, which also wrote the time.
SELECT sqlc.embed(users), (updated_at <= now() - interval '10 seconds')::bool AS old
FROM users
WHERE id = $1;

-- name: Lock :exec
-- One writer per identity. The lock ends with the transaction; the first key keeps these locks apart from
-- advisory locks of other kinds.
SELECT pg_advisory_xact_lock(hashtext('users.converge'), hashtext(sqlc.arg(identity)::text));

-- name: Upsert :one
-- A tombstone stays one: the row is not updated and none is returned.
INSERT INTO users (id, email, email_verified, display_name, locale, state)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE
SET email          = excluded.email,
    email_verified = excluded.email_verified,
    display_name   = excluded.display_name,
    locale         = excluded.locale,
    state          = excluded.state,
    updated_at     = now()
WHERE users.deleted_at IS NULL
RETURNING *;

-- name: Bury :exec
-- The person's data goes with the identity; the id stays.
UPDATE users
SET email = '', email_verified = false, display_name = '', locale = '', state = 'inactive',
    deleted_at = now(), updated_at = now()
WHERE id = $1 AND deleted_at IS NULL;

-- name: Now :one
-- The clock that also writes the rows' times.
SELECT now()::timestamptz;

-- name: FindAll :many
SELECT * FROM users WHERE id = ANY(sqlc.arg(ids)::uuid[]);

-- name: Living :many
-- People who are not deleted, by id. Rows younger than a point in time are left out.
SELECT id FROM users
WHERE deleted_at IS NULL AND id > sqlc.arg(after) AND created_at < sqlc.arg(before)
ORDER BY id
LIMIT sqlc.arg(at_most);

-- name: Get :one
SELECT * FROM users WHERE id = $1;

-- name: StartOperation :one
-- None is started while another is not finished: the two would undo each other.
INSERT INTO user_operations (id, user_id, kind, requested_by, request_id, steps)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (user_id) WHERE finished_at IS NULL DO NOTHING
RETURNING *;

-- name: LockOperation :one
SELECT * FROM user_operations WHERE id = $1 FOR UPDATE;

-- name: SaveOperation :exec
UPDATE user_operations SET steps = $2, finished_at = $3, updated_at = now() WHERE id = $1;

-- name: OperationsOf :many
-- Newest first: ids are in the order of creation.
SELECT * FROM user_operations
WHERE user_id = $1 AND (sqlc.arg(before)::uuid = '00000000-0000-0000-0000-000000000000' OR id < sqlc.arg(before))
ORDER BY id DESC
LIMIT sqlc.arg(at_most);

-- name: OpenOperations :many
-- Operations that nobody has worked on for a while.
SELECT id FROM user_operations
WHERE finished_at IS NULL AND updated_at < now() - interval '2 minutes'
ORDER BY id;

-- name: LiveKeys :many
SELECT id FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL;

-- name: RevokeKeys :many
UPDATE api_keys SET revoked_at = now(), version = version + 1, updated_at = now()
WHERE user_id = $1 AND revoked_at IS NULL
RETURNING id;

-- name: Leave :many
DELETE FROM memberships WHERE user_id = $1 RETURNING organization_id;

-- name: DropGrants :many
DELETE FROM gateway_grants WHERE subject_kind = 'user' AND subject_id = sqlc.arg(user_id)::uuid::text RETURNING gateway_id;

-- name: Dismiss :execrows
DELETE FROM platform_admins WHERE user_id = $1;

-- name: Remains :many
-- Deleted people of whom something is left that a deletion takes away, with nothing under way to take it.
SELECT id FROM users
WHERE deleted_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM user_operations o WHERE o.user_id = users.id AND o.finished_at IS NULL)
  AND (EXISTS (SELECT FROM memberships m WHERE m.user_id = users.id)
    OR EXISTS (SELECT FROM gateway_grants g WHERE g.subject_kind = 'user' AND g.subject_id = users.id::text)
    OR EXISTS (SELECT FROM platform_admins a WHERE a.user_id = users.id)
    OR EXISTS (SELECT FROM api_keys k WHERE k.user_id = users.id AND k.revoked_at IS NULL))
ORDER BY id;

-- name: PublishedSessions :many
-- Which of these sessions the doors have been told of.
SELECT DISTINCT subject_id FROM revocations
WHERE kind = 'session' AND subject_id = ANY(sqlc.arg(sessions)::text[]) AND expires_at > now();

-- name: Search :many
-- People by a beginning of their address, a part of their name, and their state: '' is any, and everybody who is not deleted.
-- What is not asked for is left out of the plan, which is made for the values.
SELECT sqlc.embed(users), (a.user_id IS NOT NULL)::bool AS platform_admin
FROM users LEFT JOIN platform_admins a ON a.user_id = users.id
WHERE users.id > sqlc.arg(after)
  AND (sqlc.arg(email)::text = '' OR starts_with(lower(email), lower(sqlc.arg(email)::text)))
  AND (sqlc.arg(name)::text = '' OR strpos(lower(display_name), lower(sqlc.arg(name)::text)) > 0)
  AND CASE sqlc.arg(state)::text
      WHEN '' THEN deleted_at IS NULL
      WHEN 'deleted' THEN deleted_at IS NOT NULL
      ELSE deleted_at IS NULL AND state = sqlc.arg(state)
      END
ORDER BY users.id
LIMIT sqlc.arg(at_most);

-- name: One :one
SELECT sqlc.embed(users), EXISTS (SELECT FROM platform_admins a WHERE a.user_id = users.id) AS platform_admin
FROM users
WHERE id = $1;

-- name: Operation :one
SELECT * FROM user_operations WHERE id = $1;

-- name: Ownerless :many
-- Organizations that nobody can act for as an owner.
SELECT o.id, o.slug, o.name, o.created_at FROM organizations o
WHERE o.id > sqlc.arg(after)
  AND NOT EXISTS (
      SELECT FROM memberships m JOIN users u ON u.id = m.user_id
      WHERE m.organization_id = o.id AND m.role = 'owner' AND u.state = 'active')
ORDER BY o.id
LIMIT sqlc.arg(at_most);

-- name: HoldOwned :exec
-- Nobody leaves them meanwhile: whoever changes members locks these rows.
SELECT FROM organizations
WHERE id IN (SELECT m.organization_id FROM memberships m WHERE m.user_id = $1 AND m.role = 'owner')
ORDER BY id FOR UPDATE;

-- name: OwnedAlone :many
-- Organizations that would be left without an owner who may act, and not only until what is under way has ended.
SELECT m.organization_id FROM memberships m
WHERE m.user_id = $1 AND m.role = 'owner'
  AND NOT EXISTS (
      SELECT FROM memberships other JOIN users u ON u.id = other.user_id
      WHERE other.organization_id = m.organization_id AND other.user_id <> m.user_id
        AND other.role = 'owner' AND u.state = 'active'
        AND NOT EXISTS (SELECT FROM user_operations o WHERE o.user_id = u.id AND o.finished_at IS NULL AND o.kind <> 'reactivate'));

-- name: GrantAdmin :execrows
INSERT INTO platform_admins (user_id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: Admins :many
SELECT a.user_id, a.granted_at, u.email, u.state
FROM platform_admins a JOIN users u ON u.id = a.user_id
ORDER BY a.user_id;
