-- name: TryLock :one
-- One request at a time per key. The lock ends with the transaction; the first key keeps these apart from advisory
-- locks of other kinds.
SELECT pg_try_advisory_xact_lock(hashtext('idempotency'), hashtext(sqlc.arg(key)::text));

-- name: Answered :one
SELECT request_hash, status, body
FROM idempotency_keys
WHERE principal = $1 AND operation = $2 AND organization = $3 AND key = $4 AND expires_at > now();

-- name: Answer :exec
-- One that has expired is in the way of nobody.
INSERT INTO idempotency_keys (principal, operation, organization, key, request_hash, status, body, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + interval '24 hours')
ON CONFLICT (principal, operation, organization, key) DO UPDATE
SET request_hash = excluded.request_hash, status = excluded.status, body = excluded.body, expires_at = excluded.expires_at;
