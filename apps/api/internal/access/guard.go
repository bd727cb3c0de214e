package access

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// Guard holds callers to the rules.
type Guard struct {
	// Index answers from Keto, Rows from Postgres.
	Index, Rows permission.Checker
}

// Admit returns nil when the caller of ctx may run the operation that rule belongs to. parameters are the path's. Its
// errors are problems.
func (g *Guard) Admit(ctx context.Context, rule Rule, parameters func(name string) string) error {
	if rule.Anyone {
		return nil
	}
	caller, err := principal.From(ctx)
	if err != nil {
		return err
	}
	if err := limits(caller, rule); err != nil {
		return err
	}
	if rule.Permit == "" {
		return nil
	}
	subject, err := SubjectOf(caller)
	if err != nil {
		return err
	}
	object := permission.PlatformObject
	if rule.namespace != permission.Platform {
		id, err := uuid.Parse(parameters(rule.Object))
		if err != nil { // the document says that it is one
			return problem.Hidden()
		}
		object = permission.Of(rule.namespace, id)
	}
	return g.ask(ctx, rule, subject, object)
}

// limits are those of the credential, whatever its owner may do.
func limits(caller principal.Principal, rule Rule) error {
	if caller.Auth == principal.Session {
		return nil
	}
	if rule.Sensitive {
		return problem.New(problem.SessionRequired, "Only a signed-in person may do this, not a token or a key.")
	}
	if rule.Scope != "" && !slices.Contains(caller.Scopes, rule.Scope) {
		return problem.New(problem.InsufficientScope, "The credential lacks the scope "+rule.Scope+".")
	}
	return nil
}

func (g *Guard) ask(ctx context.Context, rule Rule, subject permission.Subject, object permission.Object) error {
	questions := []permission.Question{{Subject: subject, Permit: rule.permit, Object: object}}
	if rule.permit != view && object != permission.PlatformObject {
		questions = append(questions, permission.Question{Subject: subject, Permit: view, Object: object})
	}
	checkers := []permission.Checker{g.Index}
	if rule.Confirm {
		checkers = append(checkers, g.Rows)
	}
	for _, checker := range checkers {
		answers, err := checker.Check(ctx, questions...)
		switch {
		case err != nil:
			return problem.New(problem.Unavailable, "What you may do cannot be verified right now. Try again.").Because(err)
		case len(answers) != len(questions):
			return errors.New("fewer answers than questions")
		case answers[0]:
			continue
		case object != permission.PlatformObject && !answers[len(answers)-1]:
			return problem.Hidden() // that it exists is none of the caller's business
		}
		return problem.New(problem.Forbidden, "This needs the permit "+rule.Permit+".")
	}
	return nil
}

const view permission.Permit = "view"

// SubjectOf returns the caller as the model knows it. A person's key is asked about as the person: its right is theirs,
// now, within its scopes.
func SubjectOf(caller principal.Principal) (permission.Subject, error) {
	switch {
	case caller.UserID != uuid.Nil:
		return permission.Subject{Namespace: permission.User, ID: caller.UserID.String()}, nil
	case caller.Kind == principal.Client && caller.ClientID != "":
		return permission.Subject{Namespace: permission.Client, ID: caller.ClientID}, nil
	case caller.Kind == principal.APIKey && caller.KeyID != uuid.Nil:
		return permission.Subject{Namespace: permission.APIKey, ID: caller.KeyID.String()}, nil
	}
	return permission.Subject{}, errors.New("a caller of no known kind")
}
