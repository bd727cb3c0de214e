-- Whoever sends an invitation's mail makes its token, so there is none before, and none from the moment on that another mail
-- is asked for.
ALTER TABLE invitations
    ALTER COLUMN token_hash DROP NOT NULL,
    ADD COLUMN declined_at timestamptz,
    -- The mail whose token counts: a job that was about to send an earlier one finds that it need not.
    ADD COLUMN mail_id     uuid UNIQUE;

ALTER TABLE invitations DROP CONSTRAINT invitations_check;
ALTER TABLE invitations ADD CONSTRAINT invitations_end_once CHECK (num_nonnulls(accepted_at, declined_at, revoked_at) <= 1);

DROP INDEX invitations_open;
CREATE UNIQUE INDEX invitations_open ON invitations (organization_id, lower(email))
    WHERE accepted_at IS NULL AND declined_at IS NULL AND revoked_at IS NULL;

-- The mails of the last day, which are counted: nobody is sent mail without end.
CREATE TABLE invitation_mails (
    id              uuid PRIMARY KEY,
    invitation_id   uuid        NOT NULL REFERENCES invitations ON DELETE CASCADE,
    organization_id uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    asked_at        timestamptz NOT NULL
);
CREATE INDEX invitation_mails_by_organization ON invitation_mails (organization_id, asked_at);
CREATE INDEX invitation_mails_by_invitation ON invitation_mails (invitation_id);

GRANT SELECT, INSERT, DELETE ON invitation_mails TO gatehouse_api;
