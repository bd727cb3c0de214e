// Package change makes one change whole: the rows, the audit log, what the index must show, what the door must hear
// and the answer to a repeated request commit in one transaction or not at all. A use case that writes to the database
// in another way loses one of these, so none does.
package change

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
)

// patience is how long an answer waits for the index to show what it has changed.
const patience = time.Second

// Index is the permission index as a change sees it.
type Index interface {
	// Touch notes in tx that the objects' rows have changed.
	Touch(ctx context.Context, tx pgx.Tx, objects ...permission.Object) ([]converge.Mark, error)
	// Await converges what the marks name and tells whether the index shows it.
	Await(ctx context.Context, marks []converge.Mark) (bool, error)
	// Withdraw takes tuples away at once.
	Withdraw(ctx context.Context, tuples ...permission.Tuple) error
}

// Jobs enqueues work with a transaction.
type Jobs interface {
	InsertTx(ctx context.Context, tx pgx.Tx, job river.JobArgs) error
}

// Changes makes changes.
type Changes struct {
	Pool  *pgxpool.Pool
	Index Index
	Jobs  Jobs
	// Timeout bounds a transaction, waiting for locks and for Keto included.
	Timeout time.Duration

	once   sync.Once
	making chan struct{}
}

// turn waits until one more change may hold a connection. Taking rights away needs a second one while the first holds locks
// (converge.Withdraw), and converges, which may hold half of all, wait for these locks: one connection must always be left.
func (c *Changes) turn(ctx context.Context) (done func(), err error) {
	c.once.Do(func() { c.making = make(chan struct{}, max(1, int(c.Pool.Config().MaxConns)/2-1)) })
	select {
	case c.making <- struct{}{}:
		return func() { <-c.making }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("too many changes at once: %w", ctx.Err())
	}
}

// Unit is one change while it is made.
type Unit struct {
	Tx pgx.Tx

	events    []audit.Event
	objects   []permission.Object
	withdrawn []permission.Tuple
	entries   []feed.Entry
	jobs      []river.JobArgs
	answer    *answer
}

// Audit says what is changed. A change that nobody can look up later is none: Do refuses it.
func (u *Unit) Audit(event audit.Event) { u.events = append(u.events, event) }

// Converge names objects whose rows are changed.
func (u *Unit) Converge(objects ...permission.Object) { u.objects = append(u.objects, objects...) }

// Withdraw names tuples that must be gone before anything commits: of rights that are taken away. When Keto cannot be
// reached nothing changes, for a right that is gone in one place only is not gone. The objects converge, too.
func (u *Unit) Withdraw(tuples ...permission.Tuple) {
	u.withdrawn = append(u.withdrawn, tuples...)
	for _, tuple := range tuples {
		u.Converge(tuple.Object)
	}
}

// Publish tells the door what has ended.
func (u *Unit) Publish(entries ...feed.Entry) { u.entries = append(u.entries, entries...) }

// Enqueue starts a job when the change has committed.
func (u *Unit) Enqueue(jobs ...river.JobArgs) { u.jobs = append(u.jobs, jobs...) }

// Answer is what the same request, sent again with its Idempotency-Key, is answered. It must hold no secret.
func (u *Unit) Answer(status int, body any) { u.answer = &answer{status: status, body: body} }

// Do makes one change. Its errors are problems, or *Replay when the request has been answered before.
func (c *Changes) Do(ctx context.Context, act func(ctx context.Context, u *Unit) error) error {
	var marks []converge.Mark
	within, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	done, err := c.turn(within)
	if err != nil {
		return database.Problem(err)
	}
	err = pgx.BeginFunc(within, c.Pool, func(tx pgx.Tx) error {
		store, err := replayed(within, tx)
		if err != nil {
			return err
		}
		unit := &Unit{Tx: tx}
		if err := act(within, unit); err != nil {
			return err
		}
		if marks, err = c.complete(within, unit); err != nil {
			return err
		}
		return store(unit.answer)
	})
	done()
	if replay, ok := errors.AsType[*Replay](err); ok {
		return replay
	}
	if err != nil {
		return database.Problem(err)
	}
	if len(marks) > 0 {
		c.settle(ctx, marks)
	}
	return nil
}

// complete writes what goes with the rows. The feed comes last: its lock is held until the commit.
func (c *Changes) complete(ctx context.Context, u *Unit) ([]converge.Mark, error) {
	if len(u.events) == 0 {
		return nil, errors.New("a change without an audit event")
	}
	for _, event := range u.events {
		if err := audit.Record(ctx, u.Tx, event); err != nil {
			return nil, err
		}
	}
	for _, job := range u.jobs {
		if err := c.Jobs.InsertTx(ctx, u.Tx, job); err != nil {
			return nil, err
		}
	}
	marks, err := c.Index.Touch(ctx, u.Tx, u.objects...)
	if err != nil {
		return nil, err
	}
	if len(u.withdrawn) > 0 {
		if err := c.Index.Withdraw(ctx, u.withdrawn...); err != nil {
			return nil, problem.New(problem.Unavailable, "Rights cannot be taken away right now. Nothing was changed. Try again.").Because(err)
		}
	}
	if len(u.entries) > 0 {
		return marks, feed.Publish(ctx, u.Tx, u.entries...)
	}
	return marks, nil
}

// settle gives the index a moment to follow. What it does not reach then a job will: the caller is told so.
func (c *Changes) settle(ctx context.Context, marks []converge.Mark) {
	// The change is made: that its caller has gone is no reason to leave the index behind.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if done, err := c.Index.Await(ctx, marks); err != nil || !done {
		outcomeOf(ctx).pending = append(outcomeOf(ctx).pending, marks...)
	}
}

func (a answer) encode() ([]byte, error) { return json.Marshal(a.body) }
