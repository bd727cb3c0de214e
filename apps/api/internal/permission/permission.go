// Package permission is the platform's model of who may do what: principals as subjects, the objects that have rights, and
// the permits that operations ask for. Postgres has the truth (rows), Keto an index of it (relation tuples);
// Tuples maps the one to the other, and Rows answers the same questions from the rows alone. The model's own text is
// namespaces/gatehouse.keto.ts.
package permission

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Namespace is one of the model's.
type Namespace string

// The namespaces of subjects, and of objects.
const (
	User         Namespace = "User"
	Client       Namespace = "Client"
	APIKey       Namespace = "ApiKey"
	Platform     Namespace = "Platform"
	Organization Namespace = "Organization"
	Gateway      Namespace = "Gateway"
	Product      Namespace = "Product"
)

// Subject is a principal as the model knows it: a person, a client or an API key. The namespace is part of it, so that
// one can never be mistaken for another whose id reads the same.
type Subject struct {
	Namespace Namespace
	ID        string
}

// Person returns the subject that a user's id stands for.
func Person(id uuid.UUID) Subject { return Subject{User, id.String()} }

// Object is what a permit is about.
type Object struct {
	Namespace Namespace
	ID        string
}

// PlatformObject is the one object of Platform.
var PlatformObject = Object{Platform, "gatehouse"}

// Of returns the object with a row's id.
func Of(namespace Namespace, id uuid.UUID) Object { return Object{namespace, id.String()} }

func (o Object) String() string { return string(o.Namespace) + ":" + o.ID }

func (s Subject) String() string { return string(s.Namespace) + ":" + s.ID }

// Permit is a right on an object, as the model and the API's document name it.
type Permit string

// Permits lists what can be asked of each namespace. A test holds it against the model's text, and the service against the
// model that the running Keto has loaded.
var Permits = map[Namespace][]Permit{
	Platform: {"administer"},
	Organization: {
		"view", "manage", "manage_members", "invite", "view_audit", "create_gateway", "create_credentials", "delete", "transfer",
	},
	Gateway: {"view", "edit", "publish_config", "create_product", "manage", "grant", "delete"},
	Product: {"view", "edit", "publish", "manage", "delete"},
}

// Question asks whether a subject holds a permit on an object.
type Question struct {
	Subject Subject
	Permit  Permit
	Object  Object
}

func (q Question) String() string { return fmt.Sprintf("%s#%s@%s", q.Object, q.Permit, q.Subject) }

// Checker answers questions. An error is an outage and never a no.
type Checker interface {
	Check(ctx context.Context, questions ...Question) ([]bool, error)
}
