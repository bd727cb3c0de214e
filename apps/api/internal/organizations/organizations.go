// Package organizations is about organizations themselves and who belongs to them. An organization always has an owner who
// may act: whatever would leave it without one is refused.
package organizations

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/organizations/row"
	"gatehouse.internal/api/internal/problem"
)

// Operations are the use cases.
type Operations struct {
	Pool    *pgxpool.Pool
	Changes *change.Changes
}

func answer(o row.Organization) openapi.Organization {
	return openapi.Organization{Id: o.ID, Slug: o.Slug, Name: o.Name, CreatedAt: o.CreatedAt.UTC(), UpdatedAt: o.UpdatedAt.UTC()}
}

// recorded is what the audit log shows of an organization.
type recorded struct {
	Slug string `json:"slug"`
	Name string `json:"name"`
}

func record(o row.Organization) recorded { return recorded{o.Slug, o.Name} }

func target(id uuid.UUID) audit.Target { return audit.Target{Kind: "organization", ID: id.String()} }

// taken turns the database's word that a slug is another's into a problem.
func taken(err error) error {
	if database.Conflicts(err, "organizations_slug_key") {
		return problem.New(problem.SlugTaken, "This slug is taken.").Because(err)
	}
	return err
}
