package users

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/users/row"
)

// Notice sees to an identity of which Kratos said that it changed. A new password, or a recovery, has ended the person's other
// sessions by then: the doors hear of each that has ended, for they may still remember it.
func (s *Saga) Notice(ctx context.Context, user uuid.UUID) error {
	_, err := s.directory.Converge(ctx, user)
	if errors.Is(err, ErrNoIdentity) {
		return nil // a deletion publishes for itself
	}
	if err != nil {
		return err
	}
	sessions, err := s.accounts.Sessions(ctx, user)
	if err != nil {
		return unavailable(err)
	}
	sessions = slices.DeleteFunc(sessions, func(session Session) bool {
		return session.Active || !session.ExpiresAt.After(s.Now())
	})
	if len(sessions) == 0 {
		return nil
	}
	err = pgx.BeginFunc(ctx, s.directory.pool, func(tx pgx.Tx) error { return publishEnded(ctx, tx, sessions) })
	if err != nil {
		return database.Problem(fmt.Errorf("publish ended sessions: %w", err))
	}
	return nil
}

// clocks may differ by this much.
const clocks = time.Minute

// publishEnded publishes each session once: who changes their password over and over must not fill the feed.
func publishEnded(ctx context.Context, tx pgx.Tx, sessions []Session) error {
	ids := make([]string, 0, len(sessions))
	for _, session := range sessions {
		ids = append(ids, session.ID)
	}
	known, err := row.New(tx).PublishedSessions(ctx, ids)
	if err != nil {
		return err
	}
	var entries []feed.Entry
	for _, session := range sessions {
		if !slices.Contains(known, session.ID) {
			entries = append(entries, feed.Entry{Kind: feed.Session, ID: session.ID, Expires: session.ExpiresAt.Add(clocks)})
		}
	}
	return feed.Publish(ctx, tx, entries...)
}
