-- name: Lock :exec
-- One publisher at a time, until its transaction has ended. Postgres lets go of the lock after the rows became
-- visible, so positions are in commit order.
SELECT pg_advisory_xact_lock(hashtext('feed.publish'), 0);

-- name: Add :exec
INSERT INTO revocations (kind, subject_id, not_before, expires_at)
VALUES ($1, $2, $3, $4);

-- name: Announce :exec
-- Heard when the transaction commits, once however often it is said.
SELECT pg_notify('revocations', '');

-- name: Place :one
-- Where the feed ends, and which history it is: another server, another database or a server that was recovered
-- to an earlier time (a new timeline) has other entries at the same positions.
SELECT coalesce((SELECT max(position) FROM revocations), 0)::bigint AS newest,
       (to_hex((SELECT system_identifier FROM pg_control_system()))
           || '-' || to_hex((SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()))
           || '-' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::text AS history;

-- name: After :many
SELECT *
FROM revocations
WHERE position > sqlc.arg(position) AND expires_at > now()
ORDER BY position
LIMIT sqlc.arg(most);

-- name: Prune :execrows
-- The newest entry stays, whatever its age: it marks the end of the feed.
DELETE FROM revocations
WHERE expires_at <= now() AND position < (SELECT max(position) FROM revocations);
