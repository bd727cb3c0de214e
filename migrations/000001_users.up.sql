-- A copy of the identities that Kratos owns (never a second truth: every row is written by reading its
-- identity first). The id is the identity's. E-mail addresses are not unique here: two identities may
-- carry one while the first is being changed, and a copy must be able to say so.
CREATE TABLE users (
    id             uuid PRIMARY KEY,
    email          text        NOT NULL,
    email_verified boolean     NOT NULL,
    display_name   text        NOT NULL,
    locale         text        NOT NULL,
    state          text        NOT NULL CHECK (state IN ('active', 'inactive')),
    -- A deleted identity leaves its row as a tombstone, so that nothing can bring the person back.
    deleted_at     timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- The service runs as gatehouse_api, which owns nothing: no DELETE (rows become tombstones), no DDL. It
-- reads the schema version to know whether it fits the database.
GRANT USAGE ON SCHEMA public TO gatehouse_api;
GRANT SELECT ON schema_migrations TO gatehouse_api;
GRANT SELECT, INSERT, UPDATE ON users TO gatehouse_api;
