package clients

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/feed"
)

// End ends the tokens of a client that is disabled.
type End struct {
	ID string `json:"id"`
	// Late runs once more after a while: a token whose issue was allowed just before the client was disabled may have come to
	// be after the first End.
	Late bool `json:"late"`
}

// Kind implements river.JobArgs.
func (End) Kind() string { return "clients.end" }

// while is longer than Hydra takes from asking whether it may issue a token to having issued it.
const while = 10 * time.Second

// InsertOpts implements river.JobArgsWithInsertOpts.
func (e End) InsertOpts() river.InsertOpts {
	options := river.InsertOpts{MaxAttempts: 1000}
	if e.Late {
		options.ScheduledAt = time.Now().Add(while)
	}
	return options
}

// end ends the tokens at Hydra first and tells the doors then: one that was told before could be shown them as good.
func (k *Keeper) end(ctx context.Context, job End) error {
	rows := row.New(k.pool)
	standing, err := rows.Standing(ctx, job.ID)
	if err != nil {
		return database.Problem(fmt.Errorf("standing of a client: %w", err))
	}
	if standing.Known && !standing.Disabled {
		return nil // it was enabled in the meantime: what it has now it may have
	}
	if err := k.server.EndClientTokens(ctx, job.ID); err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error { return feed.Publish(ctx, tx, ended(job.ID, k.now())) })
	if err != nil {
		return database.Problem(fmt.Errorf("publish ended client: %w", err))
	}
	return nil
}
