-- The platform: who belongs to what, what they own, and what must never be lost. These rows are the truth;
-- Keto holds an index of them that converges (index_state). Ids are UUIDv7: their order is that of creation, so lists page by
-- id alone. `version` is the ETag; every change of a row adds one.

CREATE TABLE organizations (
    id         uuid PRIMARY KEY,
    slug       text        NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) BETWEEN 2 AND 63),
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    version    bigint      NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    organization_id uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id         uuid        NOT NULL REFERENCES users,
    role            text        NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    version         bigint      NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id, organization_id);
CREATE INDEX memberships_owners ON memberships (organization_id) WHERE role = 'owner';

-- An invitation is known by the hash of its token alone. It ends once: accepted, revoked, or by its time.
CREATE TABLE invitations (
    id              uuid PRIMARY KEY,
    organization_id uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    email           text        NOT NULL CHECK (length(email) BETWEEN 3 AND 320),
    role            text        NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    locale          text        NOT NULL,
    token_hash      bytea       NOT NULL UNIQUE,
    invited_by      uuid        NOT NULL REFERENCES users,
    sent_at         timestamptz,
    expires_at      timestamptz NOT NULL,
    accepted_at     timestamptz,
    accepted_by     uuid REFERENCES users,
    revoked_at      timestamptz,
    version         bigint      NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
CREATE INDEX invitations_by_organization ON invitations (organization_id, id);
-- One open invitation per address: a second one is a resend.
CREATE UNIQUE INDEX invitations_open ON invitations (organization_id, lower(email))
    WHERE accepted_at IS NULL AND revoked_at IS NULL;

CREATE TABLE gateways (
    id               uuid PRIMARY KEY,
    organization_id  uuid        NOT NULL REFERENCES organizations,
    slug             text        NOT NULL CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) BETWEEN 2 AND 63),
    name             text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description      text        NOT NULL DEFAULT '' CHECK (length(description) <= 4000),
    upstream         text        NOT NULL CHECK (length(upstream) BETWEEN 1 AND 2000),
    -- The revision in force, 0 before the first.
    current_revision integer     NOT NULL DEFAULT 0,
    version          bigint      NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, slug)
);
CREATE INDEX gateways_by_organization ON gateways (organization_id, id);

-- What somebody was given on one gateway. subject_kind 'members' is everyone in the organization that subject_id names, which is
-- the gateway's own.
CREATE TABLE gateway_grants (
    gateway_id      uuid        NOT NULL REFERENCES gateways ON DELETE CASCADE,
    subject_kind    text        NOT NULL CHECK (subject_kind IN ('user', 'client', 'api_key', 'members')),
    subject_id      text        NOT NULL,
    role            text        NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'viewer')),
    granted_by_kind text        NOT NULL,
    granted_by_id   text        NOT NULL,
    version         bigint      NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway_id, subject_kind, subject_id)
);
CREATE INDEX gateway_grants_by_subject ON gateway_grants (subject_kind, subject_id, gateway_id);

-- What a gateway serves, by number. A row is never changed.
CREATE TABLE gateway_revisions (
    gateway_id      uuid        NOT NULL REFERENCES gateways ON DELETE CASCADE,
    number          integer     NOT NULL CHECK (number > 0),
    config          jsonb       NOT NULL,
    note            text        NOT NULL DEFAULT '' CHECK (length(note) <= 1000),
    -- The revision that this one repeats, when it is a roll back.
    restores        integer,
    created_by_kind text        NOT NULL,
    created_by_id   text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway_id, number)
);

CREATE TABLE products (
    id           uuid PRIMARY KEY,
    gateway_id   uuid        NOT NULL REFERENCES gateways,
    slug         text        NOT NULL CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) BETWEEN 2 AND 63),
    name         text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description  text        NOT NULL DEFAULT '' CHECK (length(description) <= 4000),
    release      text        NOT NULL DEFAULT '' CHECK (length(release) <= 100),
    visibility   text        NOT NULL CHECK (visibility IN ('public', 'organization', 'private')),
    flow_types   text[]      NOT NULL DEFAULT '{}',
    has_document boolean     NOT NULL DEFAULT false,
    -- Published products of visibility 'public' are in the directory.
    published_at timestamptz,
    version      bigint      NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (gateway_id, slug)
);
CREATE INDEX products_by_gateway ON products (gateway_id, id);
CREATE INDEX products_directory ON products (id) WHERE visibility = 'public' AND published_at IS NOT NULL;
CREATE INDEX products_search ON products USING gin (to_tsvector('simple', name || ' ' || description))
    WHERE visibility = 'public' AND published_at IS NOT NULL;
-- How frequent each word is: the planner takes that from no partial index.
CREATE STATISTICS products_words ON (to_tsvector('simple', name || ' ' || description)) FROM products;

-- Apart from the products, which are read often where documents are large.
CREATE TABLE product_documents (
    product_id uuid PRIMARY KEY REFERENCES products ON DELETE CASCADE,
    document   jsonb NOT NULL
);

-- OAuth 2.0 clients of organizations. Hydra has the client and its secret; this is who owns it and what it may have.
CREATE TABLE oauth2_clients (
    id              text PRIMARY KEY, -- Hydra's choice
    organization_id uuid        NOT NULL REFERENCES organizations,
    name            text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    grant_types     text[]      NOT NULL,
    redirect_uris   text[]      NOT NULL DEFAULT '{}',
    scopes          text[]      NOT NULL,
    audience        text[]      NOT NULL,
    disabled_at     timestamptz,
    last_seen_at    timestamptz,
    created_by      uuid        NOT NULL REFERENCES users,
    version         bigint      NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
-- Clients' ids are Hydra's and in no order, hence the time.
CREATE INDEX oauth2_clients_by_organization ON oauth2_clients (organization_id, created_at, id);

-- API keys belong to an organization or to a person. Of the key itself only the hash is here.
CREATE TABLE api_keys (
    id              uuid PRIMARY KEY,
    organization_id uuid REFERENCES organizations,
    user_id         uuid REFERENCES users,
    name            text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    prefix          text        NOT NULL UNIQUE, -- what is shown, and what finds the row
    hash            bytea       NOT NULL,
    scopes          text[]      NOT NULL,
    expires_at      timestamptz,
    revoked_at      timestamptz,
    last_used_at    timestamptz, -- to the hour
    created_by      uuid        NOT NULL REFERENCES users,
    version         bigint      NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CHECK ((organization_id IS NULL) <> (user_id IS NULL))
);
CREATE INDEX api_keys_by_organization ON api_keys (organization_id, id) WHERE organization_id IS NOT NULL;
CREATE INDEX api_keys_by_user ON api_keys (user_id, id) WHERE user_id IS NOT NULL;

CREATE TABLE platform_admins (
    user_id    uuid PRIMARY KEY REFERENCES users,
    granted_at timestamptz NOT NULL DEFAULT now()
);

-- Who did what, and from where. It refers to nothing: what it tells of may be gone. Written in the transaction of the
-- change itself; the service may add rows and read them, nothing else.
CREATE TABLE audit_events (
    id              uuid PRIMARY KEY,
    organization_id uuid,
    at              timestamptz NOT NULL DEFAULT now(),
    actor_kind      text        NOT NULL CHECK (actor_kind IN ('user', 'client', 'api_key', 'system')),
    actor_id        text        NOT NULL,
    -- The client that a person acted through.
    actor_client_id text,
    action          text        NOT NULL,
    target_kind     text        NOT NULL,
    target_id       text        NOT NULL,
    address         inet,
    request_id      text        NOT NULL,
    before          jsonb,
    after           jsonb
);
CREATE INDEX audit_events_by_organization ON audit_events (organization_id, id);
CREATE INDEX audit_events_by_actor ON audit_events (organization_id, actor_kind, actor_id, id);
CREATE INDEX audit_events_by_target ON audit_events (organization_id, target_kind, target_id, id);

-- What was taken away before its time, for the door. Positions are in commit order: whoever adds a row holds the
-- feed's advisory lock until it commits (docs/revocation-feed.md says why).
CREATE TABLE revocations (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text        NOT NULL CHECK (kind IN ('subject', 'session', 'client', 'token', 'key')),
    subject_id text        NOT NULL,
    not_before timestamptz,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revocations_by_expiry ON revocations (expires_at);
CREATE INDEX revocations_by_subject ON revocations (kind, subject_id);

-- Per object of the permission model: which version of its rows Keto should show, and which it is known to show.
CREATE TABLE index_state (
    namespace  text        NOT NULL,
    object     text        NOT NULL,
    wanted     bigint      NOT NULL DEFAULT 1,
    converged  bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, object)
);
CREATE INDEX index_state_behind ON index_state (updated_at) WHERE converged < wanted;

-- What was answered to a request with an Idempotency-Key, written in the transaction of what it did.
CREATE TABLE idempotency_keys (
    principal    text        NOT NULL,
    operation    text        NOT NULL,
    organization text        NOT NULL, -- '' when the operation is not about one
    key          text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea       NOT NULL,
    status       integer     NOT NULL,
    body         jsonb       NOT NULL, -- never holds a secret
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (principal, operation, organization, key)
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

-- Deleting or suspending a person is a row of steps, each of which may be repeated (the deletion of somebody takes four servers).
CREATE TABLE user_operations (
    id           uuid PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users,
    kind         text        NOT NULL CHECK (kind IN ('suspend', 'reactivate', 'delete')),
    requested_by text        NOT NULL,
    request_id   text        NOT NULL,
    steps        jsonb       NOT NULL DEFAULT '[]', -- [{name, done_at, error}]
    finished_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX user_operations_open ON user_operations (user_id) WHERE finished_at IS NULL;
CREATE INDEX user_operations_by_user ON user_operations (user_id, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON organizations, memberships, invitations, gateways, gateway_grants,
    products, product_documents, oauth2_clients, api_keys, platform_admins, index_state, idempotency_keys, user_operations TO gatehouse_api;
-- Deleting a gateway deletes its revisions; nothing changes one.
GRANT SELECT, INSERT, DELETE ON gateway_revisions TO gatehouse_api;
-- DELETE is for what has expired.
GRANT SELECT, INSERT, DELETE ON revocations TO gatehouse_api;
GRANT SELECT, INSERT ON audit_events TO gatehouse_api;

-- For searching by how an address begins.
CREATE INDEX users_by_email ON users (lower(email) text_pattern_ops) WHERE deleted_at IS NULL;
