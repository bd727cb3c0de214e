// Package converge makes Keto show what Postgres says. A change notes in its own transaction that an object's rows are new
// (Touch); whoever comes first, the request itself (Await) or a job, then reads the rows, lists the tuples and writes the
// difference (Converge). Nothing here applies a delta, so repeats, crashes and reordering do no harm.
//
// The object's row of index_state is the lock: a change holds it from Touch to its commit, a converge from before it
// reads to after it has written. So a converge never sees half a change, and never puts back what a change that is about
// to commit has taken away (Withdraw).
package converge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"gatehouse.internal/api/internal/converge/row"
	"gatehouse.internal/api/internal/permission"
)

// Index is Keto's write side. An error means that nothing is known of what it did.
type Index interface {
	// List returns the tuples of one object, each once.
	List(ctx context.Context, object permission.Object) ([]permission.Tuple, error)
	// All returns every tuple there is, each once.
	All(ctx context.Context) ([]permission.Tuple, error)
	// Write inserts, and then, in a call of its own, removes. Inserting what is there already makes it a second time.
	Write(ctx context.Context, insert, remove []permission.Tuple) error
}

// Queue is that of the jobs.
type Queue interface {
	InsertTx(ctx context.Context, tx pgx.Tx, job river.JobArgs) error
	Insert(ctx context.Context, job river.JobArgs) error
}

// Converger converges objects. It is safe for concurrent use, also by several processes.
type Converger struct {
	pool       *pgxpool.Pool
	index      Index
	queue      Queue
	metrics    *metrics
	converging chan struct{}

	// FailPoint, when a test sets it, is called at each of FailPoints and may fail there or end the process.
	FailPoint func(name string) error
}

// FailPoints are the steps at which a process may die with a change half shown, in their order.
var FailPoints = []string{
	"touched", "withdrawal noted", "withdrawn", // inside the change
	"locked", "read", "listed", "inserted", "removed", "marked", "committed", // inside a converge
}

// New returns a converger that reads rows from pool and enqueues its jobs in queue.
func New(pool *pgxpool.Pool, index Index, queue Queue, registry prometheus.Registerer) *Converger {
	// A converge holds a connection while it waits for Keto. With half of them at most, a slow Keto leaves the other half
	// to everyone else.
	half := max(1, int(pool.Config().MaxConns)/2)
	return &Converger{
		pool: pool, index: index, queue: queue, metrics: newMetrics(pool, registry), converging: make(chan struct{}, half),
	}
}

func (c *Converger) at(name string) error {
	if c.FailPoint == nil {
		return nil
	}
	return c.FailPoint(name)
}

// Mark is what the index shows of an object once it has converged far enough.
type Mark struct {
	Object  permission.Object
	Version int64
}

// Touch notes in tx that the rows of the objects have changed, and enqueues what lets the index follow. It waits for a converge
// of the objects that is under way. Touch all objects of a change in one call: they are locked in one order then, and two
// changes cannot lock each other out.
func (c *Converger) Touch(ctx context.Context, tx pgx.Tx, objects ...permission.Object) ([]Mark, error) {
	objects = distinct(objects)
	marks := make([]Mark, 0, len(objects))
	for _, object := range objects {
		version, err := row.New(tx).Touch(ctx, row.TouchParams{Namespace: string(object.Namespace), Object: object.ID})
		if err != nil {
			return nil, fmt.Errorf("touch %s: %w", object, err)
		}
		// Not unique in River's sense: its uniqueness counts running jobs, and one that runs may have read the rows of before.
		// A job whose version is shown already ends after one SELECT.
		if err := c.queue.InsertTx(ctx, tx, Job{Namespace: object.Namespace, ID: object.ID, Version: version}); err != nil {
			return nil, fmt.Errorf("enqueue %s: %w", object, err)
		}
		marks = append(marks, Mark{object, version})
	}
	return marks, c.at("touched")
}

func distinct(objects []permission.Object) []permission.Object {
	out := slices.Clone(objects)
	slices.SortFunc(out, compareObjects)
	return slices.Compact(out)
}

// Withdraw removes tuples at once, before the change that takes the rights away commits. That change must have touched their
// objects: its lock keeps a converge from putting them back. Should the change not commit after all, for whatever reason,
// a job restores what the rows say. An error is an outage; the change must not commit then.
func (c *Converger) Withdraw(ctx context.Context, tuples ...permission.Tuple) error {
	var objects []permission.Object
	for _, tuple := range tuples {
		objects = append(objects, tuple.Object)
	}
	for _, object := range distinct(objects) {
		// Outside of the change's transaction, so that it stays when that one fails. It waits for the change to end.
		if err := c.queue.Insert(ctx, Job{Namespace: object.Namespace, ID: object.ID}); err != nil {
			return fmt.Errorf("enqueue %s: %w", object, err)
		}
	}
	if err := c.at("withdrawal noted"); err != nil {
		return err
	}
	if err := c.index.Write(ctx, nil, tuples); err != nil {
		return fmt.Errorf("withdraw tuples: %w", err)
	}
	return c.at("withdrawn")
}

// Converge makes the index show the rows of object as they are now. An object without rows ends with no tuples.
func (c *Converger) Converge(ctx context.Context, object permission.Object) error {
	return c.converge(ctx, Mark{Object: object})
}

// converge does nothing when the index shows the mark already; Version 0 never counts as shown.
func (c *Converger) converge(ctx context.Context, mark Mark) error {
	start := time.Now()
	outcome, err := c.limited(ctx, mark)
	c.metrics.converged(outcome, time.Since(start))
	if err != nil {
		return fmt.Errorf("converge %s: %w", mark.Object, err)
	}
	return nil
}

// outcome is how a converge ended: a metric's label.
type outcome string

const (
	failed    outcome = "failed"
	shown     outcome = "shown" // somebody else was first
	unchanged outcome = "unchanged"
	written   outcome = "written"
)

func (c *Converger) limited(ctx context.Context, mark Mark) (outcome, error) {
	select {
	case c.converging <- struct{}{}:
		defer func() { <-c.converging }()
	case <-ctx.Done():
		return failed, fmt.Errorf("too many at once: %w", ctx.Err())
	}
	end := failed
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) (err error) {
		end, err = c.locked(ctx, tx, mark)
		return err
	})
	if err != nil {
		return failed, err
	}
	return end, c.at("committed")
}

func (c *Converger) locked(ctx context.Context, tx pgx.Tx, mark Mark) (outcome, error) {
	rows, namespace, id := row.New(tx), string(mark.Object.Namespace), mark.Object.ID
	if mark.Version == 0 {
		if err := rows.Ensure(ctx, row.EnsureParams{Namespace: namespace, Object: id}); err != nil {
			return failed, err
		}
	}
	state, err := rows.Lock(ctx, row.LockParams{Namespace: namespace, Object: id})
	if errors.Is(err, pgx.ErrNoRows) { // forgotten: the object is gone, and so are its tuples
		return shown, nil
	}
	if err != nil {
		return failed, err
	}
	if mark.Version != 0 && state.Converged >= mark.Version {
		return shown, nil
	}
	if err := c.at("locked"); err != nil {
		return failed, err
	}
	end, exists, err := c.write(ctx, tx, mark.Object)
	if err != nil {
		return failed, err
	}
	if exists {
		err = rows.Mark(ctx, row.MarkParams{Namespace: namespace, Object: id})
	} else {
		err = rows.Forget(ctx, row.ForgetParams{Namespace: namespace, Object: id})
	}
	return end, errors.Join(err, c.at("marked"))
}

// write writes the difference between what the rows say and what the index has.
func (c *Converger) write(ctx context.Context, tx pgx.Tx, object permission.Object) (end outcome, exists bool, err error) {
	wanted, err := desired(ctx, tx, object)
	if err != nil {
		return failed, false, err
	}
	_, exists = wanted[object]
	if err := c.at("read"); err != nil {
		return failed, exists, err
	}
	actual, err := c.index.List(ctx, object)
	if err != nil {
		return failed, exists, fmt.Errorf("list tuples: %w", err)
	}
	if err := c.at("listed"); err != nil {
		return failed, exists, err
	}
	missing, surplus := difference(wanted[object], actual)
	if len(missing)+len(surplus) == 0 {
		return unchanged, exists, nil
	}
	// A role that changes is added before it is removed: nobody loses for a moment what they keep.
	for _, step := range []struct {
		name           string
		insert, remove []permission.Tuple
	}{{"inserted", missing, nil}, {"removed", nil, surplus}} {
		if len(step.insert)+len(step.remove) > 0 {
			if err := c.index.Write(ctx, step.insert, step.remove); err != nil {
				return failed, exists, fmt.Errorf("write tuples: %w", err)
			}
		}
		if err := c.at(step.name); err != nil {
			return failed, exists, err
		}
	}
	return written, exists, nil
}

// difference returns what is wanted and not there, and what is there and not wanted.
func difference(wanted, actual []permission.Tuple) (missing, surplus []permission.Tuple) {
	has := make(map[permission.Tuple]bool, len(actual))
	for _, tuple := range actual {
		has[tuple] = true
	}
	wants := make(map[permission.Tuple]bool, len(wanted))
	for _, tuple := range wanted {
		if !has[tuple] && !wants[tuple] {
			missing = append(missing, tuple)
		}
		wants[tuple] = true
	}
	for tuple := range has {
		if !wants[tuple] {
			surplus = append(surplus, tuple)
		}
	}
	slices.SortFunc(surplus, compareTuples)
	return missing, surplus
}

// Between two tries of a waiting request.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// Await makes the index show the marks, in this request if it can, and tells whether it does. It tries until ctx ends. An
// error is one of the database.
func (c *Converger) Await(ctx context.Context, marks []Mark) (bool, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		behind, err := c.behind(ctx, marks)
		if err != nil {
			if ctx.Err() != nil {
				return false, nil
			}
			return false, err
		}
		marks = nil
		for _, mark := range behind {
			if err := c.converge(ctx, mark); err != nil {
				marks = append(marks, mark) // the next try, or the job, will tell
			}
		}
		if len(marks) == 0 {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(pause):
		}
	}
}

// behind returns the marks that are not shown yet.
func (c *Converger) behind(ctx context.Context, marks []Mark) ([]Mark, error) {
	var out []Mark
	for _, mark := range marks {
		state, err := row.New(c.pool).State(ctx, row.StateParams{Namespace: string(mark.Object.Namespace), Object: mark.Object.ID})
		switch {
		case errors.Is(err, pgx.ErrNoRows): // forgotten
		case err != nil:
			return nil, fmt.Errorf("read index state: %w", err)
		case state.Converged < mark.Version:
			out = append(out, mark)
		}
	}
	return out, nil
}
