// Package feed publishes what was taken away before its time, for the doors that follow it.
// docs/revocation-feed.md is the contract with them. It must never lose an entry between two pages, nor show one
// whose transaction did not commit; that an entry is shown twice does no harm.
package feed

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/feed/row"
)

// The kinds of entries, by what the ID names.
const (
	Subject = "subject" // a user, or a client for itself: all that it holds
	Session = "session" // a Kratos session
	Client  = "client"  // all that was issued to an OAuth 2.0 client, whoever the subject is
	Token   = "token"   // one token, by its jti or its hash
	Key     = "key"     // an API key, by its id
)

// maxID is the longest ID in bytes that followers take.
const maxID = 1024

// Lifetime is how long an entry must be kept about what was ended at its issuer: until nobody can hold it any more
// who does not ask the issuer. The longest are access tokens that are JWTs (ttl.access_token in
// docker/ory/hydra/hydra.yml, 15 minutes).
const Lifetime = time.Hour

// Entry takes something away.
type Entry struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// NotBefore spares what was issued after it; nil spares nothing.
	NotBefore *time.Time `json:"not_before,omitempty"`
	// Expires is when the entry can be forgotten, because all that it takes away has ended by itself. Leave a
	// minute for clocks that differ.
	Expires time.Time `json:"expires"`
}

// verify refuses what followers would: they stop at an entry that they do not understand.
func (e Entry) verify() error {
	switch {
	case e.Kind != Subject && e.Kind != Session && e.Kind != Client && e.Kind != Token && e.Kind != Key:
		return fmt.Errorf("unknown kind %q", e.Kind)
	case e.ID == "" || len(e.ID) > maxID || !utf8.ValidString(e.ID):
		return fmt.Errorf("the id of a %s must be text of 1 to %d bytes", e.Kind, maxID)
	case e.Expires.IsZero():
		return errors.New("an entry that never expires")
	}
	return nil
}

// Publish adds entries to the feed when tx commits. Call it last: until tx ends nobody else can publish. What is taken
// away must have ended at its issuer before: an entry takes nothing from what is issued after it.
func Publish(ctx context.Context, tx pgx.Tx, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for _, entry := range entries {
		if err := entry.verify(); err != nil {
			return fmt.Errorf("publish revocation: %w", err)
		}
	}
	rows := row.New(tx)
	if err := rows.Lock(ctx); err != nil {
		return fmt.Errorf("publish revocation: %w", err)
	}
	for _, entry := range entries {
		err := rows.Add(ctx, row.AddParams{
			Kind: entry.Kind, SubjectID: entry.ID, NotBefore: entry.NotBefore, ExpiresAt: entry.Expires,
		})
		if err != nil {
			return fmt.Errorf("publish revocation: %w", err)
		}
	}
	if err := rows.Announce(ctx); err != nil {
		return fmt.Errorf("publish revocation: %w", err)
	}
	return nil
}

// Prune forgets entries that have expired and returns how many there were.
func Prune(ctx context.Context, db row.DBTX) (int64, error) {
	return row.New(db).Prune(ctx)
}
