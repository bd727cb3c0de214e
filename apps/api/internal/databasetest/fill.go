//go:build integration || bench

package databasetest

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Size says how much Fill writes. What is not named follows from it.
type Size struct{ Users, Organizations, Gateways, Products int }

// Kind is a sort of row that Fill writes.
type Kind int

// The kinds whose ids ID gives.
const (
	User Kind = 1 + iota
	Organization
	Gateway
	Product
	Invitation
	Client
	Key
	Event
	Operation
)

// ID is that of the i-th row, from 0. Ids of a kind are in the order of i, as those of the service are in that of time.
func ID(kind Kind, i int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8%03d-%012x", kind, i))
}

// Fill writes rows into every table of the platform and lets the planner know of them. Person i belongs to organization i modulo
// their number; the first of each organization owns it, the second is an admin. Gateways, products and whatever else an
// organization has are spread alike. It runs as the tables' owner.
func Fill(ctx context.Context, db *pgx.Conn, size Size) error {
	for _, statement := range fillings {
		text := strings.NewReplacer(
			":users", fmt.Sprint(size.Users), ":organizations", fmt.Sprint(size.Organizations), ":gateways", fmt.Sprint(size.Gateways),
			":products", fmt.Sprint(size.Products),
			"user(", id(User), "organization(", id(Organization), "gateway(", id(Gateway), "product(", id(Product),
			"invitation(", id(Invitation), "client(", id(Client), "key(", id(Key), "event(", id(Event), "operation(", id(Operation),
		).Replace(statement)
		if _, err := db.Exec(ctx, text); err != nil {
			return fmt.Errorf("%w in %s", err, text)
		}
	}
	_, err := db.Exec(ctx, "ANALYZE")
	return err
}

// id is what a call such as `user(i)` in a statement begins with; its end is the call's own parenthesis.
func id(kind Kind) string {
	return fmt.Sprintf("pg_temp.id(%d, ", kind)
}

var fillings = []string{
	`CREATE FUNCTION pg_temp.id(kind int, i bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
	 RETURN ('01900000-0000-7000-8' || lpad(kind::text, 3, '0') || '-' || lpad(to_hex(i), 12, '0'))::uuid`,
	`INSERT INTO users (id, email, email_verified, display_name, locale, state)
	 SELECT user(i), 'person-' || i || '@example.com', true, 'Person ' || i, 'en', 'active' FROM generate_series(0, :users - 1) i`,
	`INSERT INTO organizations (id, slug, name)
	 SELECT organization(i), 'organization-' || i, 'Organization ' || i FROM generate_series(0, :organizations - 1) i`,
	`INSERT INTO memberships (organization_id, user_id, role)
	 SELECT organization(i % :organizations), user(i), CASE i / :organizations WHEN 0 THEN 'owner' WHEN 1 THEN 'admin' ELSE 'member' END
	 FROM generate_series(0, :users - 1) i`,
	`INSERT INTO gateways (id, organization_id, slug, name, upstream)
	 SELECT gateway(i), organization(i % :organizations), 'gateway-' || i, 'Gateway ' || i, 'https://backend.example'
	 FROM generate_series(0, :gateways - 1) i`,
	`INSERT INTO gateway_grants (gateway_id, subject_kind, subject_id, role, granted_by_kind, granted_by_id)
	 SELECT gateway(i), CASE n WHEN 0 THEN 'user' WHEN 1 THEN 'client' ELSE 'api_key' END,
	        (CASE n WHEN 0 THEN user(i) WHEN 1 THEN client(i) ELSE key(i) END)::text, 'editor', 'user', user(i)::text
	 FROM generate_series(0, :gateways - 1) i, generate_series(0, 2) n`,
	`INSERT INTO gateway_revisions (gateway_id, number, config, created_by_kind, created_by_id)
	 SELECT gateway(i), n, '{"routes": []}', 'user', user(i)::text FROM generate_series(0, :gateways - 1) i, generate_series(1, 2) n`,
	`INSERT INTO products (id, gateway_id, slug, name, description, visibility, published_at)
	 SELECT product(i), gateway(i % :gateways), 'product-' || i, 'Product ' || i, 'Word' || i % 1000,
	        CASE i % 3 WHEN 0 THEN 'public' WHEN 1 THEN 'organization' ELSE 'private' END, now()
	 FROM generate_series(0, :products - 1) i`,
	`INSERT INTO product_documents (product_id, document) SELECT product(i), '{}' FROM generate_series(0, :products - 1) i`,
	`INSERT INTO invitations (id, organization_id, email, role, locale, token_hash, invited_by, expires_at)
	 SELECT invitation(i), organization(i), 'guest-' || i || '@example.com', 'member', 'en', int8send(i), user(i), now() + interval '1 day'
	 FROM generate_series(0, :organizations - 1) i`,
	`INSERT INTO invitation_mails (id, invitation_id, organization_id, asked_at)
	 SELECT invitation(i), invitation(i), organization(i), now() FROM generate_series(0, :organizations - 1) i`,
	`INSERT INTO oauth2_clients (id, organization_id, name, grant_types, scopes, audience, created_by)
	 SELECT client(i)::text, organization(i % :organizations), 'Client ' || i, '{client_credentials}', '{}', '{}', user(i % :organizations)
	 FROM generate_series(0, :gateways - 1) i`,
	`INSERT INTO api_keys (id, organization_id, user_id, name, prefix, hash, scopes, created_by)
	 SELECT key(i), CASE i % 2 WHEN 0 THEN organization(i % :organizations) END, CASE i % 2 WHEN 1 THEN user(i) END, 'Key ' || i,
	        'prefix-' || i, int8send(i), '{}', user(i % :organizations)
	 FROM generate_series(0, :gateways - 1) i`,
	// More than any platform has, for a table of five rows is read as a whole whatever its indexes are.
	`INSERT INTO platform_admins (user_id) SELECT user(i) FROM generate_series(0, 4999) i`,
	`INSERT INTO audit_events (id, organization_id, actor_kind, actor_id, action, target_kind, target_id, request_id)
	 SELECT event(i), organization(i % :organizations), 'user', user(i % :users)::text, 'gateway.update', 'gateway',
	        gateway(i % :gateways)::text, 'a-request'
	 FROM generate_series(0, 2 * :gateways) i`,
	`INSERT INTO revocations (kind, subject_id, expires_at)
	 SELECT 'session', i::text, now() + interval '1 day' FROM generate_series(0, 19999) i`,
	`INSERT INTO index_state (namespace, object, converged)
	 SELECT 'Organization', organization(i)::text, 1 FROM generate_series(0, :organizations - 1) i
	 UNION ALL SELECT 'Gateway', gateway(i)::text, 1 FROM generate_series(0, :gateways - 1) i
	 UNION ALL SELECT 'Product', product(i)::text, 1 FROM generate_series(0, :products - 1) i`,
	`INSERT INTO idempotency_keys (principal, operation, organization, key, request_hash, status, body, expires_at)
	 SELECT 'user:' || user(i)::text, 'createGateway', organization(i)::text, 'key-' || i, int8send(i), 201, '{}', now() + interval '1 day'
	 FROM generate_series(0, :organizations - 1) i`,
	`INSERT INTO user_operations (id, user_id, kind, requested_by, request_id, finished_at)
	 SELECT operation(i), user(i), 'suspend', 'system', 'a-request', now() FROM generate_series(0, :organizations - 1) i`,
}
