// Package gateways is about the gateways of organizations: what they are, who may do what on them, and the numbered
// configurations that they serve. A published configuration is stored so that a door can serve it; none does yet.
package gateways

import (
	"context"
	"net/netip"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/gateways/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
)

// Operations are the use cases.
type Operations struct {
	Pool    *pgxpool.Pool
	Changes *change.Changes
}

func answer(g row.Gateway) openapi.Gateway {
	return openapi.Gateway{
		Id: g.ID, OrganizationId: g.OrganizationID, Slug: g.Slug, Name: g.Name, Description: g.Description, Upstream: g.Upstream,
		CurrentRevision: int(g.CurrentRevision), CreatedAt: g.CreatedAt.UTC(), UpdatedAt: g.UpdatedAt.UTC(),
	}
}

// recorded is what the audit log shows of a gateway.
type recorded struct {
	Slug        string `json:"slug"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Upstream    string `json:"upstream"`
}

func record(g row.Gateway) recorded { return recorded{g.Slug, g.Name, g.Description, g.Upstream} }

func target(id uuid.UUID) audit.Target { return audit.Target{Kind: "gateway", ID: id.String()} }

func object(id uuid.UUID) permission.Object { return permission.Of(permission.Gateway, id) }

// taken turns the database's word that a slug is another's into a problem.
func taken(err error) error {
	if database.Conflicts(err, "gateways_organization_id_slug_key") {
		return problem.New(problem.SlugTaken, "The organization has a gateway with this slug.").Because(err)
	}
	return err
}

// lock takes the gateway's lock: whoever changes it, its grants or its revisions begins here.
func lock(ctx context.Context, u *change.Unit, id uuid.UUID) (*row.Queries, row.Gateway, error) {
	rows := row.New(u.Tx)
	found, err := rows.Lock(ctx, id)
	if err != nil {
		return nil, row.Gateway{}, database.Missing(err)
	}
	return rows, found, nil
}

// usable refuses what no gateway could forward to, and addresses at which it would meet itself or its host's metadata.
// Names are not looked up: what they stand for may be another thing tomorrow, so whoever forwards checks again.
func usable(upstream string) error {
	refused := func(reason string) error {
		return problem.Semantic(problem.Field{Name: "upstream", Reason: reason})
	}
	parsed, err := url.Parse(upstream)
	switch {
	case err != nil || parsed.Host == "" || parsed.Hostname() == "":
		return refused("is not a URL with a host")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return refused("must be an http or https URL")
	case parsed.User != nil || parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "":
		return refused("must have no user, query or fragment")
	case strings.EqualFold(parsed.Hostname(), "localhost") || strings.HasSuffix(strings.ToLower(parsed.Hostname()), ".localhost"):
		return refused("must not be this machine")
	}
	if address, err := netip.ParseAddr(parsed.Hostname()); err == nil {
		address = address.Unmap()
		if address.IsLoopback() || address.IsUnspecified() || address.IsLinkLocalUnicast() || address.IsMulticast() {
			return refused("must not be an address of this machine or its link")
		}
	}
	return nil
}
