package permission

import (
	"fmt"

	"github.com/google/uuid"
)

// SubjectSet is who a tuple speaks of: everyone who has Relation to an object, or with Relation "" the principal itself.
type SubjectSet struct {
	Namespace Namespace
	ID        string
	Relation  string
}

// Set returns the principal itself as the subject of a tuple.
func (s Subject) Set() SubjectSet { return SubjectSet{Namespace: s.Namespace, ID: s.ID} }

// Set returns everyone who has relation to the object.
func (o Object) Set(relation string) SubjectSet { return SubjectSet{o.Namespace, o.ID, relation} }

func (s SubjectSet) String() string {
	text := string(s.Namespace) + ":" + s.ID
	if s.Relation == "" {
		return text
	}
	return text + "#" + s.Relation
}

// Tuple says that a subject has a relation to an object.
type Tuple struct {
	Object   Object
	Relation string
	Subject  SubjectSet
}

func (t Tuple) String() string { return fmt.Sprintf("%s#%s@%s", t.Object, t.Relation, t.Subject) }

// Role is what a row gives to somebody: a column's value.
type Role string

// The roles. A membership is one of Owner, Admin and Member; a grant on a gateway one of Owner, Admin, Editor and Viewer.
const (
	Owner  Role = "owner"
	Admin  Role = "admin"
	Editor Role = "editor"
	Viewer Role = "viewer"
	Plain  Role = "member"
)

// Member is a row of memberships.
type Member struct {
	User uuid.UUID
	Role Role
}

// Grant is a row of gateway_grants. Kind is the column subject_kind.
type Grant struct {
	Kind string
	ID   string
	Role Role
}

// The values of gateway_grants.subject_kind.
const (
	KindUser    = "user"
	KindClient  = "client"
	KindAPIKey  = "api_key"
	KindMembers = "members"
)

// Visibility is the column of products.
type Visibility string

// The visibilities. That everybody may see a published public product is answered from its row, never by a tuple.
const (
	Public             Visibility = "public"
	WithinOrganization Visibility = "organization"
	Private            Visibility = "private"
)

// Relations are cumulative: each role is written with all that it includes, so that every permit is one relation.
var (
	organizationRelations = map[Role][]string{
		Owner: {"owners", "admins", "members"},
		Admin: {"admins", "members"},
		Plain: {"members"},
	}
	gatewayRelations = map[Role][]string{
		Owner:  {"owners", "admins", "editors", "viewers"},
		Admin:  {"admins", "editors", "viewers"},
		Editor: {"editors", "viewers"},
		Viewer: {"viewers"},
	}
	subjectNamespaces = map[string]Namespace{KindUser: User, KindClient: Client, KindAPIKey: APIKey}
)

// PlatformTuples are those of the platform itself.
func PlatformTuples(admins []uuid.UUID) []Tuple {
	out := make([]Tuple, 0, len(admins))
	for _, admin := range admins {
		out = append(out, Tuple{PlatformObject, "admins", Person(admin).Set()})
	}
	return out
}

// OrganizationTuples are those of one organization.
func OrganizationTuples(id uuid.UUID, members []Member) []Tuple {
	var out []Tuple
	for _, member := range members {
		out = append(out, each(Of(Organization, id), organizationRelations[member.Role], Person(member.User).Set())...)
	}
	return out
}

// GatewayTuples are those of one gateway: its organization's roles by reference, and the grants. A grant to the members of
// another organization gives nothing.
func GatewayTuples(id, organization uuid.UUID, grants []Grant) []Tuple {
	gateway, owner := Of(Gateway, id), Of(Organization, organization)
	out := []Tuple{
		{gateway, "owners", owner.Set("owners")},
		{gateway, "admins", owner.Set("admins")},
		{gateway, "editors", owner.Set("admins")},
		{gateway, "viewers", owner.Set("members")},
	}
	for _, grant := range grants {
		subject := SubjectSet{Namespace: subjectNamespaces[grant.Kind], ID: grant.ID}
		relations := gatewayRelations[grant.Role]
		if grant.Kind == KindMembers {
			if grant.ID != organization.String() {
				continue
			}
			subject = owner.Set("members")
			// All members are viewers already, and a tuple is never written twice.
			relations = relations[:max(0, len(relations)-1)]
		} else if subject.Namespace == "" {
			continue
		}
		out = append(out, each(gateway, relations, subject)...)
	}
	return out
}

// ProductTuples are those of one product: its gateway's roles by reference. Who may see it depends on its visibility; what is
// none of the known ones is treated as private.
func ProductTuples(id, gateway uuid.UUID, visibility Visibility) []Tuple {
	product, parent := Of(Product, id), Of(Gateway, gateway)
	viewers := parent.Set("editors")
	if visibility == Public || visibility == WithinOrganization {
		viewers = parent.Set("viewers")
	}
	return []Tuple{
		{product, "admins", parent.Set("admins")},
		{product, "editors", parent.Set("editors")},
		{product, "viewers", viewers},
	}
}

func each(object Object, relations []string, subject SubjectSet) []Tuple {
	out := make([]Tuple, 0, len(relations))
	for _, relation := range relations {
		out = append(out, Tuple{object, relation, subject})
	}
	return out
}
