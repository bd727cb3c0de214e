DROP TABLE invitation_mails;

-- The schema before knows no invitation without a token, and none that was declined.
DELETE FROM invitations WHERE token_hash IS NULL OR declined_at IS NOT NULL;
DROP INDEX invitations_open;
ALTER TABLE invitations DROP CONSTRAINT invitations_end_once;
ALTER TABLE invitations
    DROP COLUMN mail_id,
    DROP COLUMN declined_at,
    ALTER COLUMN token_hash SET NOT NULL;
ALTER TABLE invitations ADD CHECK (accepted_at IS NULL OR revoked_at IS NULL);
CREATE UNIQUE INDEX invitations_open ON invitations (organization_id, lower(email))
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
