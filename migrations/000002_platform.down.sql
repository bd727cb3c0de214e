DROP INDEX users_by_email;
DROP TABLE user_operations, idempotency_keys, index_state, revocations, audit_events, platform_admins, api_keys,
    oauth2_clients, product_documents, products, gateway_revisions, gateway_grants, gateways, invitations, memberships, organizations;
