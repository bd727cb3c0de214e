package clients

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/problem"
)

// ErrEnded says that a client certainly may not act: it is disabled or deleted.
var ErrEnded = errors.New("the client is disabled or deleted")

// Registry answers whether clients may act now. Those that are not ours it knows nothing of and does not refuse.
type Registry struct {
	pool    *pgxpool.Pool
	server  Server
	log     *slog.Logger
	timeout time.Duration
}

// NewRegistry returns the clients in pool. Each question to the database may take timeout.
func NewRegistry(pool *pgxpool.Pool, server Server, log *slog.Logger, timeout time.Duration) *Registry {
	return &Registry{pool: pool, server: server, log: log, timeout: timeout}
}

// Admit refuses the token of a client that is disabled or deleted, whatever the token says, and notes that the client was
// seen. Its errors are problems.
func (r *Registry) Admit(ctx context.Context, id string) error {
	standing, err := r.standing(ctx, id)
	if err != nil {
		return err
	}
	if standing.Disabled || standing.Deleted {
		return problem.New(problem.Unauthenticated, "Sign in or send a valid access token.").Because(ErrEnded)
	}
	if standing.Unnoticed {
		r.notice(ctx, id)
	}
	return nil
}

// Issuable returns ErrEnded when Hydra must not issue a token to the client; any other error is an outage. A client without
// a row is asked about at Hydra: one with our mark is deleted, or its creation did not commit.
func (r *Registry) Issuable(ctx context.Context, id string) error {
	standing, err := r.standing(ctx, id)
	switch {
	case err != nil:
		return err
	case standing.Disabled || standing.Deleted:
		return ErrEnded
	case standing.Known:
		return nil
	}
	ours, err := r.server.MarkedClient(ctx, id)
	switch {
	case err != nil:
		return problem.New(problem.Unavailable, "Whose the client is cannot be found out right now.").Because(err)
	case ours:
		return ErrEnded
	}
	return nil
}

func (r *Registry) standing(ctx context.Context, id string) (row.StandingRow, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	found, err := row.New(r.pool).Standing(ctx, id)
	if err != nil {
		return found, database.Problem(fmt.Errorf("standing of a client: %w", err))
	}
	return found, nil
}

// notice writes down that a client was seen. That it could not is no reason to refuse it.
func (r *Registry) notice(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if err := row.New(r.pool).Notice(ctx, id); err != nil {
		r.log.LogAttrs(ctx, slog.LevelWarn, "client: its use is not noted", slog.String("client_id", id), slog.String("error", err.Error()))
	}
}
