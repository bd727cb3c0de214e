package access

import (
	"context"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/permission/row"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// Still asks the rows, within the transaction of a change, whether the caller holds a permit at this moment. The guard's answer
// is as old as the wait for the locks: whoever takes the right away may have held them. So take the locks first, the
// organization's above all. Its errors are those of the guard.
func Still(ctx context.Context, tx row.DBTX, permit permission.Permit, object permission.Object) error {
	caller, err := principal.From(ctx)
	if err != nil {
		return err
	}
	subject, err := SubjectOf(caller)
	if err != nil {
		return err
	}
	answers, err := permission.NewRows(tx).Check(ctx,
		permission.Question{Subject: subject, Permit: permit, Object: object},
		permission.Question{Subject: subject, Permit: view, Object: object},
	)
	switch {
	case err != nil:
		return database.Problem(err)
	case answers[0]:
		return nil
	case !answers[1]:
		return problem.Hidden()
	}
	return problem.New(problem.Forbidden, "This needs the permit "+string(object.Namespace)+"."+string(permit)+".")
}
