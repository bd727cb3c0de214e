-- name: LockOrganization :one
-- Whoever changes who belongs to an organization, or is asked to, holds this.
SELECT name FROM organizations WHERE id = $1 FOR UPDATE;

-- name: List :many
SELECT * FROM invitations
WHERE organization_id = $1 AND id > sqlc.arg(after)
  AND (NOT sqlc.arg(only_open)::bool
       OR accepted_at IS NULL AND declined_at IS NULL AND revoked_at IS NULL AND expires_at > sqlc.arg(at))
ORDER BY id
LIMIT sqlc.arg(rows);

-- name: Find :one
SELECT * FROM invitations WHERE organization_id = $1 AND id = $2;

-- name: Lock :one
SELECT * FROM invitations WHERE organization_id = $1 AND id = $2 FOR UPDATE;

-- name: ByToken :one
SELECT * FROM invitations WHERE token_hash = $1;

-- name: Described :one
-- What somebody who is invited is told.
SELECT o.name, o.slug, u.display_name AS inviter
FROM organizations o, users u
WHERE o.id = sqlc.arg(organization_id) AND u.id = sqlc.arg(invited_by);

-- name: Insert :one
INSERT INTO invitations (id, organization_id, email, role, locale, invited_by, mail_id, expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, sqlc.arg(at), sqlc.arg(at))
RETURNING *;

-- name: Retire :exec
-- An invitation whose time is over makes room for another one to the same address.
UPDATE invitations SET revoked_at = sqlc.arg(at), version = version + 1, updated_at = sqlc.arg(at)
WHERE organization_id = $1 AND lower(email) = lower(sqlc.arg(email)::text)
  AND accepted_at IS NULL AND declined_at IS NULL AND revoked_at IS NULL AND expires_at <= sqlc.arg(at);

-- name: Renew :one
-- The token of the mail before ends here, not when the next mail goes out.
UPDATE invitations
SET token_hash = NULL, mail_id = $2, invited_by = $3, expires_at = $4, sent_at = NULL, version = version + 1, updated_at = sqlc.arg(at)
WHERE id = $1
RETURNING *;

-- name: Revoke :one
UPDATE invitations SET revoked_at = sqlc.arg(at)::timestamptz, version = version + 1, updated_at = sqlc.arg(at)::timestamptz
WHERE id = $1
RETURNING *;

-- name: Decline :one
UPDATE invitations SET declined_at = sqlc.arg(at)::timestamptz, version = version + 1, updated_at = sqlc.arg(at)::timestamptz
WHERE id = $1
RETURNING *;

-- name: Accept :one
UPDATE invitations
SET accepted_at = sqlc.arg(at)::timestamptz, accepted_by = sqlc.arg(accepted_by)::uuid, version = version + 1, updated_at = sqlc.arg(at)::timestamptz
WHERE id = $1
RETURNING *;

-- name: Join :exec
INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3);

-- name: Membership :one
SELECT role FROM memberships WHERE organization_id = $1 AND user_id = $2;

-- name: Vouch :one
-- What somebody who may act is to the organization now. The membership stays as it is until the transaction ends: a removal
-- that does not take the organization's lock waits.
SELECT m.role
FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.organization_id = $1 AND m.user_id = $2 AND u.state = 'active'
FOR SHARE OF m;

-- name: IsMember :one
-- An address is somebody's only when Kratos has verified it.
SELECT EXISTS (
    SELECT FROM memberships m JOIN users u ON u.id = m.user_id
    WHERE m.organization_id = $1 AND lower(u.email) = lower(sqlc.arg(email)::text) AND u.email_verified AND u.deleted_at IS NULL);

-- name: ForgetMails :exec
DELETE FROM invitation_mails WHERE organization_id = $1 AND asked_at <= sqlc.arg(before);

-- name: CountMails :one
SELECT count(*) AS organization, count(*) FILTER (WHERE invitation_id = $2) AS invitation
FROM invitation_mails
WHERE organization_id = $1;

-- name: AddMail :exec
INSERT INTO invitation_mails (id, invitation_id, organization_id, asked_at) VALUES ($1, $2, $3, $4);

-- name: SetToken :one
-- For the mail that is about to be sent, unless it need not be any more. The language is that of the person who has the
-- address, if there is one; else what was chosen for them.
UPDATE invitations i
SET token_hash = sqlc.arg(token_hash), updated_at = sqlc.arg(at)
FROM organizations o, users inviter
WHERE i.mail_id = sqlc.arg(mail_id)::uuid AND o.id = i.organization_id AND inviter.id = i.invited_by
  AND i.accepted_at IS NULL AND i.declined_at IS NULL AND i.revoked_at IS NULL AND i.sent_at IS NULL AND i.expires_at > sqlc.arg(at)
RETURNING i.email, i.role, i.expires_at, o.name AS organization, inviter.display_name AS inviter,
    COALESCE((SELECT u.locale FROM users u
              WHERE lower(u.email) = lower(i.email) AND u.email_verified AND u.deleted_at IS NULL AND u.locale <> ''
              ORDER BY u.id LIMIT 1), i.locale)::text AS locale;

-- name: Sent :exec
UPDATE invitations SET sent_at = sqlc.arg(at)::timestamptz, version = version + 1, updated_at = sqlc.arg(at)::timestamptz
WHERE mail_id = sqlc.arg(mail_id)::uuid;
