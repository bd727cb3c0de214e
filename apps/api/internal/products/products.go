// Package products is about what gateways offer: descriptions of APIs with a visibility, an OpenAPI document and a place in
// the public directory once they are published.
package products

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/products/row"
)

// Operations are the use cases.
type Operations struct {
	Pool    *pgxpool.Pool
	Changes *change.Changes
	// Rows says what a caller holds now.
	Rows permission.Checker
}

func answer(p row.Product) openapi.Product {
	out := openapi.Product{
		Id: p.ID, GatewayId: p.GatewayID, Slug: p.Slug, Name: p.Name, Description: p.Description, Release: p.Release,
		Visibility: openapi.Visibility(p.Visibility), FlowTypes: flowTypes(p.FlowTypes), HasDocument: p.HasDocument,
		Published: p.PublishedAt != nil, CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(),
	}
	if p.PublishedAt != nil {
		at := p.PublishedAt.UTC()
		out.PublishedAt = &at
	}
	return out
}

func flowTypes(names []string) []openapi.FlowType {
	out := make([]openapi.FlowType, 0, len(names))
	for _, name := range names {
		out = append(out, openapi.FlowType(name))
	}
	return out
}

// names are in one order whatever the caller's.
func names(types *[]openapi.FlowType) []string {
	out := []string{}
	if types != nil {
		for _, each := range *types {
			out = append(out, string(each))
		}
	}
	slices.Sort(out)
	return out
}

// recorded is what the audit log shows of a product.
type recorded struct {
	Slug        string   `json:"slug"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Release     string   `json:"release"`
	Visibility  string   `json:"visibility"`
	FlowTypes   []string `json:"flow_types"`
	HasDocument bool     `json:"has_document"`
	Published   bool     `json:"published"`
}

func record(p row.Product) recorded {
	return recorded{p.Slug, p.Name, p.Description, p.Release, p.Visibility, p.FlowTypes, p.HasDocument, p.PublishedAt != nil}
}

func object(id uuid.UUID) permission.Object { return permission.Of(permission.Product, id) }

// taken turns the database's word that a slug is another's into a problem.
func taken(err error) error {
	if database.Conflicts(err, "products_gateway_id_slug_key") {
		return problem.New(problem.SlugTaken, "The gateway has a product with this slug.").Because(err)
	}
	return err
}

// locked is a product while it is changed.
type locked struct {
	unit         *change.Unit
	rows         *row.Queries
	before       row.Product
	organization uuid.UUID
}

// lock takes the organization's lock, the gateway's and then the product's, in the order in which an organization is deleted.
func lock(ctx context.Context, u *change.Unit, id uuid.UUID, ifMatch *string) (locked, error) {
	rows := row.New(u.Tx)
	found, err := rows.Find(ctx, id)
	if err != nil {
		return locked{}, database.Missing(err)
	}
	if err := rows.HoldOrganization(ctx, found.GatewayID); err != nil {
		return locked{}, err
	}
	organization, err := rows.Organization(ctx, found.GatewayID)
	if err != nil {
		return locked{}, database.Missing(err)
	}
	before, err := rows.Lock(ctx, id)
	if err != nil {
		return locked{}, database.Missing(err)
	}
	return locked{u, rows, before, organization}, etag.Match(ifMatch, before.Version)
}

// audited writes down what became of the product.
func (l locked) audited(action string, after row.Product) {
	l.unit.Audit(audit.Event{
		Organization: l.organization, Action: action, Target: target(after.ID), Before: record(l.before), After: record(after),
	})
}

func target(id uuid.UUID) audit.Target { return audit.Target{Kind: "product", ID: id.String()} }
