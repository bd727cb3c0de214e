// Package keys keeps API keys: long-lived credentials of an organization or of a person, for programs.
//
// A key's right is its scopes AND, for an organization's key, its own grants or, for a person's key, what the person may
// do now. It dies with its holder: the owner, or for an organization's key the member who was shown the secret last.
// Of the secret only a hash is kept. It must never be written down, logged, or answered a second time.
package keys

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/keys/row"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// ErrRejected says that a key certainly is not good, and never why: whoever tries keys learns nothing.
var ErrRejected = principal.ErrRejected

// People answers whether a person may still act. users.Directory is one.
type People interface {
	Admit(ctx context.Context, p principal.Principal) (users.User, error)
}

// Registry answers for keys.
type Registry struct {
	pool      *pgxpool.Pool
	people    People
	log       *slog.Logger
	timeout   time.Duration
	verifying chan struct{}
}

// NewRegistry returns the keys in pool. Each question to the database may take timeout.
func NewRegistry(pool *pgxpool.Pool, people People, log *slog.Logger, timeout time.Duration) *Registry {
	// Anyone may send what looks like a key: at most half of the connections are for finding out that it is none.
	half := max(1, int(pool.Config().MaxConns)/2)
	return &Registry{pool: pool, people: people, log: log, timeout: timeout, verifying: make(chan struct{}, half)}
}

// Verify tells whose key a secret is. The error is ErrRejected for all that is not good, whatever the reason; any other
// error is an outage.
func (r *Registry) Verify(ctx context.Context, text string) (principal.KeyRecord, error) {
	sent, ok := parse(text)
	if !ok {
		return principal.KeyRecord{}, ErrRejected
	}
	found, err := r.byPrefix(ctx, sent.prefix)
	if err != nil {
		return principal.KeyRecord{}, err
	}
	// An unknown prefix has a hash of none, which no secret has.
	if subtle.ConstantTimeCompare(found.ApiKey.Hash, sent.hash()) != 1 || !found.Good {
		return principal.KeyRecord{}, ErrRejected
	}
	if _, err := r.holder(ctx, found.ApiKey); err != nil {
		return principal.KeyRecord{}, err
	}
	if found.Unnoticed {
		r.notice(ctx, found.ApiKey.ID)
	}
	return known(found.ApiKey), nil
}

func (r *Registry) byPrefix(ctx context.Context, prefix string) (row.FindByPrefixRow, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	select {
	case r.verifying <- struct{}{}:
		defer func() { <-r.verifying }()
	case <-ctx.Done():
		return row.FindByPrefixRow{}, problem.New(problem.Unavailable, "The key cannot be verified right now. Try again.").
			Because(fmt.Errorf("verify key: too many at once: %w", ctx.Err()))
	}
	found, err := row.New(r.pool).FindByPrefix(ctx, prefix)
	if errors.Is(err, pgx.ErrNoRows) {
		return row.FindByPrefixRow{}, nil
	}
	if err != nil {
		return row.FindByPrefixRow{}, database.Problem(fmt.Errorf("verify key: %w", err))
	}
	return found, nil
}

// Admit fills in who the key of a principal belongs to and what it may do now, and refuses a key that is not good any
// more whatever its token says. The user is the owner of a person's key; an organization's key has none.
func (r *Registry) Admit(ctx context.Context, p principal.Principal) (principal.Principal, *users.User, error) {
	found, err := r.byID(ctx, p.KeyID)
	if err != nil {
		return p, nil, err
	}
	if !found.Good {
		return p, nil, rejected()
	}
	user, err := r.holder(ctx, found.ApiKey)
	if errors.Is(err, ErrRejected) {
		return p, nil, rejected()
	}
	if err != nil {
		return p, nil, err
	}
	p.Scopes = found.ApiKey.Scopes
	if owner := found.ApiKey.OrganizationID; owner != nil {
		p.OrganizationID = *owner
		return p, nil, nil
	}
	p.UserID = *found.ApiKey.UserID // the one or the other is there: the table makes sure
	return p, &user, nil
}

func rejected() error {
	return problem.New(problem.Unauthenticated, "Sign in or send a valid access token.").Because(ErrRejected)
}

func (r *Registry) byID(ctx context.Context, id uuid.UUID) (row.FindByIDRow, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	found, err := row.New(r.pool).FindByID(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return row.FindByIDRow{}, nil
	}
	if err != nil {
		return row.FindByIDRow{}, database.Problem(fmt.Errorf("find key: %w", err))
	}
	return found, nil
}

// holder finds the person a key stands and falls with.
func (r *Registry) holder(ctx context.Context, key row.ApiKey) (users.User, error) {
	id := key.CreatedBy
	if key.UserID != nil {
		id = *key.UserID
	}
	user, err := r.people.Admit(ctx, principal.Principal{Kind: principal.User, Auth: principal.ByKey, UserID: id})
	if err != nil {
		switch problem.From(err).Code {
		case problem.Unauthenticated, problem.AccountDisabled:
			return users.User{}, ErrRejected
		}
	}
	return user, err
}

// notice writes down that a key is used. That it could not is no reason to refuse the key.
func (r *Registry) notice(ctx context.Context, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if err := row.New(r.pool).Notice(ctx, id); err != nil {
		r.log.LogAttrs(ctx, slog.LevelWarn, "api key: its use is not noted", slog.String("key_id", id.String()), slog.String("error", err.Error()))
	}
}

func known(key row.ApiKey) principal.KeyRecord {
	return principal.KeyRecord{ID: key.ID, Scopes: key.Scopes, Expires: key.ExpiresAt, Issued: key.UpdatedAt}
}
