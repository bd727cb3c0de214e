package converge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"gatehouse.internal/api/internal/converge/row"
	"gatehouse.internal/api/internal/permission"
)

// ReconcileOptions say what Reconcile may do.
type ReconcileOptions struct {
	// Apply repairs what differs. Without it there is only the plan.
	Apply bool
	// MaxDeletedShare is how much of all tuples may be deleted, from 0 to 1. A plan that deletes more tells of a wrong database or
	// a broken mapping rather than of a late index. FewDeletes may be deleted whatever the share.
	MaxDeletedShare float64
	// Force deletes however many.
	Force bool
	// Show, when set, sees the whole plan before anything is written. Its error ends the run.
	Show func(Plan) error
}

// FewDeletes are too few to be a share of anything: in a small installation one deleted gateway is a tenth of all.
const FewDeletes = 50

// ErrTooManyDeletes says that nothing was applied because the plan would delete more than the share.
var ErrTooManyDeletes = errors.New("the plan deletes too many tuples")

// Plan is what makes the index equal to the rows.
type Plan struct {
	// Objects and Tuples are how many were compared: objects of the rows, tuples of the index.
	Objects, Tuples int
	Missing         []permission.Tuple
	Surplus         []permission.Tuple
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Missing)+len(p.Surplus) == 0 }

// Summary is the plan in one line.
func (p Plan) Summary() string {
	return fmt.Sprintf("%d objects, %d tuples: %d to insert, %d to delete", p.Objects, p.Tuples, len(p.Missing), len(p.Surplus))
}

// Print writes the plan, a tuple a line: + for one that is missing, - for one that is there and should not be.
func (p Plan) Print(out io.Writer) error {
	for _, tuple := range p.Missing {
		if _, err := fmt.Fprintln(out, "+", tuple); err != nil {
			return err
		}
	}
	for _, tuple := range p.Surplus {
		if _, err := fmt.Fprintln(out, "-", tuple); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(out, p.Summary()); err != nil || !p.Empty() {
		return err
	}
	_, err := fmt.Fprintln(out, "nothing to do")
	return err
}

// objects are those that differ.
func (p Plan) objects() []permission.Object {
	var out []permission.Object
	for _, tuple := range slices.Concat(p.Missing, p.Surplus) {
		out = append(out, tuple.Object)
	}
	return distinct(out)
}

func (p Plan) tooMany(options ReconcileOptions) bool {
	deletes := len(p.Surplus)
	return !options.Force && deletes > FewDeletes && float64(deletes) > options.MaxDeletedShare*float64(p.Tuples)
}

// Reconcile compares all rows with all tuples and returns the whole plan, computed before anything is written. To apply it
// converges every object that differs, under the object's lock and from its rows of then: the plan is a picture of a moving
// thing, and a change that is under way meanwhile is neither lost nor undone. An error leaves the plan as far as it is known.
func (c *Converger) Reconcile(ctx context.Context, options ReconcileOptions) (Plan, error) {
	plan, err := c.plan(ctx)
	if err != nil {
		c.metrics.reconciled(plan, "failed")
		return plan, err
	}
	if options.Show != nil {
		if err := options.Show(plan); err != nil {
			return plan, err
		}
	}
	if !options.Apply || plan.Empty() {
		c.metrics.reconciled(plan, "planned")
		return plan, nil
	}
	if plan.tooMany(options) {
		c.metrics.reconciled(plan, "refused")
		return plan, fmt.Errorf("%w: %d of %d, and the share is %g; nothing was changed", ErrTooManyDeletes, len(plan.Surplus), plan.Tuples, options.MaxDeletedShare)
	}
	var problems []error
	for _, object := range plan.objects() {
		if err := c.Converge(ctx, object); err != nil {
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		c.metrics.reconciled(plan, "failed")
		return plan, err
	}
	c.metrics.reconciled(plan, "applied")
	return plan, nil
}

// planned at a time.
const planBatch = 500

func (c *Converger) plan(ctx context.Context) (Plan, error) {
	// The index first: what is written between the two readings then looks missing, which is repaired by looking again,
	// and not surplus, of which there may be too much.
	actual, err := c.index.All(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("list tuples: %w", err)
	}
	objects, err := row.New(c.pool).Objects(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("read objects: %w", err)
	}
	plan := Plan{Objects: len(objects), Tuples: len(actual)}
	var wanted []permission.Tuple
	for batch := range slices.Chunk(objects, planBatch) {
		named := make([]permission.Object, len(batch))
		for i, one := range batch {
			named[i] = permission.Object{Namespace: permission.Namespace(one.Namespace), ID: one.Object}
		}
		found, err := desired(ctx, c.pool, named...)
		if err != nil {
			return plan, err
		}
		for _, tuples := range found {
			wanted = append(wanted, tuples...)
		}
	}
	plan.Missing, plan.Surplus = difference(wanted, actual)
	slices.SortFunc(plan.Missing, compareTuples)
	return plan, nil
}
