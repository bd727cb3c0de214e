package converge

import (
	"cmp"

	"gatehouse.internal/api/internal/permission"
)

func compareObjects(a, b permission.Object) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
}

func compareTuples(a, b permission.Tuple) int {
	return cmp.Or(
		compareObjects(a.Object, b.Object), cmp.Compare(a.Relation, b.Relation),
		cmp.Compare(a.Subject.Namespace, b.Subject.Namespace), cmp.Compare(a.Subject.ID, b.Subject.ID),
		cmp.Compare(a.Subject.Relation, b.Subject.Relation),
	)
}
