// Package users keeps the copy of Kratos' identities that the API works with. A row is only ever written
// from an identity that was read under the identity's lock (Converge): neither a token nor a
// message may fill it. A deleted person's row is a tombstone and nothing may bring it back.
package users

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/singleflight"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users/row"
)

// User is a person as the API knows them.
type User struct {
	ID            uuid.UUID
	Email         string
	EmailVerified bool
	Name          string
	Locale        string
}

// Identity is a person as Kratos knows them.
type Identity struct {
	ID            uuid.UUID
	Email         string
	EmailVerified bool
	Name          string
	Locale        string
	Active        bool
}

// ErrNoIdentity says that Kratos certainly has no such identity. It buries the row, so a doubtful answer
// must be another error.
var ErrNoIdentity = errors.New("no such identity")

// Identities reads Kratos' identities.
type Identities interface {
	Identity(ctx context.Context, id uuid.UUID) (Identity, error)
}

const (
	active   = "active"
	inactive = "inactive"
)

// Directory is the table of users and the truth behind it.
type Directory struct {
	pool       *pgxpool.Pool
	identities Identities
	timeout    time.Duration
	converging chan struct{}
	confirming singleflight.Group
	// follow does what follows from a change that was made at Kratos itself.
	follow func(ctx context.Context, tx pgx.Tx, user uuid.UUID, kind Kind) error
}

// NewDirectory returns the directory in pool. Reading an identity, and reading a row, may each take timeout.
func NewDirectory(pool *pgxpool.Pool, identities Identities, timeout time.Duration) *Directory {
	// A converge holds a connection while it waits for Kratos. With half of them at most, a slow Kratos
	// does not stop the people who are known already.
	half := max(1, int(pool.Config().MaxConns)/2)
	return &Directory{
		pool: pool, identities: identities, timeout: timeout, converging: make(chan struct{}, half),
		follow: func(context.Context, pgx.Tx, uuid.UUID, Kind) error { return nil },
	}
}

// Admit returns the user behind a principal, creating the row on first sight, and refuses those who are
// suspended or deleted whatever their token says.
func (d *Directory) Admit(ctx context.Context, p principal.Principal) (User, error) {
	read, err := d.find(ctx, p.UserID)
	missing := errors.Is(err, pgx.ErrNoRows)
	if err != nil && !missing {
		return User{}, database.Problem(fmt.Errorf("find user: %w", err))
	}
	found := read.User
	// Kratos vouched for a session just now. For a token nobody asked it, and it tells nobody when it
	// suspends or deletes a person: without another look the token would outlive them.
	unsure := disagrees(p, found) || p.Auth != principal.Session && read.Old
	if missing || found.DeletedAt == nil && unsure {
		found, err = d.confirm(ctx, p.UserID)
		if errors.Is(err, ErrNoIdentity) {
			return User{}, gone()
		}
		if err != nil {
			return User{}, err
		}
	}
	switch {
	case found.DeletedAt != nil:
		return User{}, gone()
	case found.State != active:
		return User{}, problem.New(problem.AccountDisabled, "This account is disabled.")
	}
	return User{
		ID: found.ID, Email: found.Email, EmailVerified: found.EmailVerified,
		Name: found.DisplayName, Locale: found.Locale,
	}, nil
}

func gone() error {
	return problem.New(problem.Unauthenticated, "Sign in or send a valid access token.").
		Because(errors.New("the identity is deleted"))
}

// disagrees tells whether the principal knows of a change that the row does not show: Kratos gives no session
// to a suspended person, and a session says what the address is. A token knows neither.
func disagrees(p principal.Principal, found row.User) bool {
	return p.Auth == principal.Session && found.State != active ||
		p.Email != "" && !strings.EqualFold(p.Email, found.Email) ||
		p.Email != "" && p.EmailVerified != nil && *p.EmailVerified != found.EmailVerified
}

// confirm converges once for all requests of one person that wait for it: they would otherwise queue for the
// lock, each with a connection. It does not end with the request that happened to come first.
func (d *Directory) confirm(ctx context.Context, id uuid.UUID) (row.User, error) {
	shared := context.WithoutCancel(ctx)
	user, err, _ := d.confirming.Do(id.String(), func() (any, error) { return d.Converge(shared, id) })
	return user.(row.User), err
}

func (d *Directory) find(ctx context.Context, id uuid.UUID) (row.FindRow, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return row.New(d.pool).Find(ctx, id)
}

// Converge makes the row equal to the identity, one caller at a time per identity. The identity is read
// inside the lock: Kratos' timestamps cannot order two copies, so the last reader must be the last
// writer. ErrNoIdentity means that the identity does not exist; its row, if there was one, is a tombstone now.
func (d *Directory) Converge(ctx context.Context, id uuid.UUID) (row.User, error) {
	// Once for another who holds the lock, once for ourselves.
	ctx, cancel := context.WithTimeout(ctx, 2*d.timeout)
	defer cancel()
	done, err := d.turn(ctx)
	if err != nil {
		return row.User{}, err
	}
	defer done()

	var user row.User
	var missing bool
	err = pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		user, err = d.converge(ctx, tx, id)
		missing = errors.Is(err, ErrNoIdentity) // the burial must commit
		if missing {
			return nil
		}
		return err
	})
	if err != nil {
		return row.User{}, database.Problem(fmt.Errorf("converge user: %w", err))
	}
	if missing {
		return row.User{}, ErrNoIdentity
	}
	return user, nil
}

// turn waits until one more connection may be held while Kratos is asked.
func (d *Directory) turn(ctx context.Context) (done func(), err error) {
	select {
	case d.converging <- struct{}{}:
		return func() { <-d.converging }, nil
	case <-ctx.Done():
		return nil, unavailable(fmt.Errorf("too many at once: %w", ctx.Err()))
	}
}

// converge is Converge inside of tx. ErrNoIdentity is no reason to roll back: what it found is written.
func (d *Directory) converge(ctx context.Context, tx pgx.Tx, id uuid.UUID) (row.User, error) {
	rows := row.New(tx)
	if err := rows.Lock(ctx, id.String()); err != nil {
		return row.User{}, err
	}
	before, err := rows.Get(ctx, id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return row.User{}, err
	}
	living := err == nil && before.DeletedAt == nil

	identity, err := d.identities.Identity(ctx, id)
	if errors.Is(err, ErrNoIdentity) {
		if !living {
			return row.User{}, ErrNoIdentity
		}
		if err := rows.Bury(ctx, id); err != nil {
			return row.User{}, err
		}
		return row.User{}, cmp.Or(d.follow(ctx, tx, id, Delete), ErrNoIdentity)
	}
	if err != nil {
		return row.User{}, unavailable(err)
	}
	user, err := rows.Upsert(ctx, upsert(id, identity))
	if errors.Is(err, pgx.ErrNoRows) { // a tombstone
		return row.User{}, ErrNoIdentity
	}
	if err != nil {
		return row.User{}, err
	}
	if living && before.State == active && user.State != active {
		return user, d.follow(ctx, tx, id, Suspend)
	}
	return user, nil
}

func unavailable(cause error) error {
	return problem.New(problem.Unavailable, "Your account cannot be read right now. Try again.").Because(cause)
}

func upsert(id uuid.UUID, identity Identity) row.UpsertParams {
	state := inactive
	if identity.Active {
		state = active
	}
	return row.UpsertParams{
		ID: id, Email: identity.Email, EmailVerified: identity.EmailVerified,
		DisplayName: identity.Name, Locale: identity.Locale, State: state,
	}
}

type contextKey struct{}

// With returns a context that carries an admitted user.
func With(ctx context.Context, u User) context.Context {
	return context.WithValue(ctx, contextKey{}, u)
}

// From returns the admitted user of the request that ctx belongs to, and whether a person is calling.
func From(ctx context.Context) (User, bool) {
	u, ok := ctx.Value(contextKey{}).(User)
	return u, ok
}
