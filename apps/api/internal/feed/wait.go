package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/libs/service"
)

// fallback is how often those who wait look for themselves: a notification may be lost with its connection, or
// never arrive through a pooler.
const fallback = time.Second

// Feed answers followers. Those who wait hold no connection: one listens for all of them.
type Feed struct {
	pool     *pgxpool.Pool
	log      *slog.Logger
	timeout  time.Duration
	fallback time.Duration

	mu      sync.Mutex
	changed chan struct{} // closed when there may be something new
	ended   chan struct{} // closed when nobody may wait any more
}

// New returns the feed in pool. Each question to the database may take timeout.
func New(pool *pgxpool.Pool, log *slog.Logger, timeout time.Duration) *Feed {
	return &Feed{
		pool: pool, log: log, timeout: timeout, fallback: fallback,
		changed: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Publish adds entries at once, in a transaction of its own. What belongs to a change of rows goes into the
// transaction of that change, by the function of this name.
func (f *Feed) Publish(ctx context.Context, entries ...Entry) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error { return Publish(ctx, tx, entries...) })
}

// Next is Read that waits, if nothing follows the cursor, until something does or the time is over.
func (f *Feed) Next(ctx context.Context, cursor string, wait time.Duration) (Page, error) {
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		changed := f.change() // before reading: what is published from here on is heard of
		page, err := f.Read(ctx, cursor)
		if err != nil || len(page.Entries) > 0 {
			return page, err
		}
		select {
		case <-changed:
		case <-over.C:
			return page, nil
		case <-f.ended:
			return page, nil
		case <-ctx.Done():
			return Page{}, ctx.Err()
		}
	}
}

func (f *Feed) change() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *Feed) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Part listens beside the other parts of the service. Stopping it lets everyone go who waits; it must stop before
// the server that they wait at.
func (f *Feed) Part() service.Part {
	ctx, cancel := context.WithCancel(context.Background())
	return service.Part{
		Name: "revocation feed",
		Serve: func() error {
			f.listen(ctx)
			return nil
		},
		Stop: func(context.Context) error {
			cancel()
			close(f.ended)
			return nil
		},
	}
}

// listen wakes those who wait, until ctx ends.
func (f *Feed) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := f.hear(ctx); err != nil && ctx.Err() == nil {
			f.log.LogAttrs(ctx, slog.LevelWarn, "revocation feed: not listening", slog.String("error", err.Error()))
		}
		f.wake()
		pause(ctx, f.fallback)
	}
}

// hear wakes at each notification, and after each time without one, until the connection fails. The connection is
// not one of the pool's: it is used for as long as the service lives.
func (f *Feed) hear(ctx context.Context) (err error) {
	connection, err := pgx.ConnectConfig(ctx, f.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.Close(context.WithoutCancel(ctx))) }()
	if _, err := connection.Exec(ctx, "LISTEN revocations"); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	for ctx.Err() == nil {
		f.wake() // also the first time: there was nobody to hear what was published until now
		if err := notified(ctx, connection, f.fallback); err != nil {
			return err
		}
	}
	return nil
}

// notified waits for a notification, at most for the given time.
func notified(ctx context.Context, connection *pgx.Conn, most time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	_, err := connection.WaitForNotification(waiting)
	if err != nil && waiting.Err() != nil && !connection.IsClosed() {
		return nil
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
