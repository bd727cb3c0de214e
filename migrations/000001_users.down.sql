DROP TABLE users;
REVOKE SELECT ON schema_migrations FROM gatehouse_api;
REVOKE USAGE ON SCHEMA public FROM gatehouse_api;
