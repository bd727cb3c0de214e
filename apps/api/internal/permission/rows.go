package permission

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/permission/row"
)

// Rows answers from Postgres alone, by SQL of its own that knows nothing of tuples. Operations that must not outlive a
// revocation ask it besides Keto, and the tests hold Keto's answers against it.
type Rows struct{ queries *row.Queries }

// NewRows reads from db, which may be a transaction: then the answers are those of its snapshot.
func NewRows(db row.DBTX) *Rows { return &Rows{row.New(db)} }

// level orders roles: one includes all below it. 0 is none.
type level int

const (
	viewer level = 1 + iota
	editor
	admin
	owner
)

// needs is the lowest level that holds a permit. An organization's plain member counts as its viewer. A permit that is
// not here is an error, not a no.
var needs = map[Namespace]map[Permit]level{
	Platform: {"administer": admin},
	Organization: {
		"view":   viewer,
		"manage": admin, "manage_members": admin, "invite": admin, "view_audit": admin, "create_gateway": admin,
		"create_credentials": admin,
		"delete":             owner, "transfer": owner,
	},
	Gateway: {
		"view": viewer,
		"edit": editor, "publish_config": editor, "create_product": editor,
		"manage": admin, "grant": admin,
		"delete": owner,
	},
	Product: {
		"view":    viewer, // of a private one: editor
		"edit":    editor,
		"publish": admin, "manage": admin, "delete": admin,
	},
}

func levelOf(role string) level {
	switch role {
	case "owner":
		return owner
	case "admin":
		return admin
	case "editor":
		return editor
	case "viewer", "member":
		return viewer
	}
	return 0
}

// Check implements Checker.
func (r *Rows) Check(ctx context.Context, questions ...Question) ([]bool, error) {
	roles, err := r.roles(ctx, questions)
	if err != nil {
		return nil, fmt.Errorf("permission rows: %w", err)
	}
	out := make([]bool, len(questions))
	for i, question := range questions {
		need, known := needs[question.Object.Namespace][question.Permit]
		if !known {
			return nil, fmt.Errorf("permission rows: %s is not a permit of %s", question.Permit, question.Object.Namespace)
		}
		held := roles.held[holding{question.Subject, question.Object}]
		if question.Object.Namespace == Product {
			product, found := roles.products[question.Object.ID]
			if !found {
				continue
			}
			held = roles.held[holding{question.Subject, Of(Gateway, product.GatewayID)}]
			if question.Permit == "view" && Visibility(product.Visibility) == Private {
				need = editor
			}
		}
		out[i] = held >= need
	}
	return out, nil
}

type holding struct {
	subject Subject
	object  Object
}

type roles struct {
	held     map[holding]level
	products map[string]row.ProductsRow
}

func (r roles) raise(subject Subject, object Object, to level) {
	key := holding{subject, object}
	r.held[key] = max(r.held[key], to)
}

// roles reads what all subjects of the questions are to all their objects, with one statement per namespace.
func (r *Rows) roles(ctx context.Context, questions []Question) (roles, error) {
	out := roles{held: map[holding]level{}, products: map[string]row.ProductsRow{}}
	var people []uuid.UUID
	var subjects []string
	objects := map[Namespace][]uuid.UUID{}
	platform := false
	for _, question := range questions {
		subjects = append(subjects, question.Subject.ID)
		if id, ok := rowID(question.Subject.ID); ok && question.Subject.Namespace == User {
			people = append(people, id)
		}
		if id, ok := rowID(question.Object.ID); ok {
			objects[question.Object.Namespace] = append(objects[question.Object.Namespace], id)
		}
		platform = platform || question.Object == PlatformObject
	}

	if platform {
		admins, err := r.queries.PlatformAdmins(ctx, people)
		if err != nil {
			return out, err
		}
		for _, id := range admins {
			out.raise(Person(id), PlatformObject, admin)
		}
	}
	if ids := objects[Organization]; len(ids) > 0 && len(people) > 0 {
		memberships, err := r.queries.OrganizationRoles(ctx, row.OrganizationRolesParams{Organizations: ids, Users: people})
		if err != nil {
			return out, err
		}
		for _, m := range memberships {
			out.raise(Person(m.UserID), Of(Organization, m.OrganizationID), levelOf(m.Role))
		}
	}
	gateways := objects[Gateway]
	if ids := objects[Product]; len(ids) > 0 {
		products, err := r.queries.Products(ctx, ids)
		if err != nil {
			return out, err
		}
		for _, product := range products {
			out.products[product.ID.String()] = product
			gateways = append(gateways, product.GatewayID)
		}
	}
	if len(gateways) == 0 {
		return out, nil
	}
	found, err := r.queries.GatewayRoles(ctx, row.GatewayRolesParams{Gateways: gateways, Users: people, Subjects: subjects})
	if err != nil {
		return out, err
	}
	for _, one := range found {
		namespace := subjectKinds[one.Kind]
		out.raise(Subject{namespace, one.Subject}, Of(Gateway, one.Gateway), levelOf(one.Role))
	}
	return out, nil
}

var subjectKinds = map[string]Namespace{"user": User, "client": Client, "api_key": APIKey}

// rowID reads an id as rows and tuples have it. Other spellings of the same UUID are no id: Keto would not know them.
func rowID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && id.String() == text
}
