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
