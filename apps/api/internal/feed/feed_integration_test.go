//go:build integration

package feed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/problem"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

type fixture struct {
	*feed.Feed
	pool *pgxpool.Pool
	db   databasetest.Database
	logs *logs
}

// logs may be written and read at the same time.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 10, 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	said := &logs{}
	return fixture{feed.New(pool, slog.New(slog.NewJSONHandler(said, nil)), 10*time.Second), pool, db, said}
}

// serve runs the listener until the test ends.
func (f fixture) serve(t *testing.T) (stop func()) {
	t.Helper()
	part := f.Part()
	var serving sync.WaitGroup
	serving.Go(func() { _ = part.Serve() })
	stop = sync.OnceFunc(func() {
		require.NoError(t, part.Stop(context.Background()))
		serving.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func entry(id string) feed.Entry {
	return feed.Entry{Kind: feed.Session, ID: id, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)}
}

func (f fixture) publish(t *testing.T, entries ...feed.Entry) {
	t.Helper()
	require.NoError(t, f.Publish(t.Context(), entries...))
}

// read follows the feed from cursor to its end.
func (f fixture) read(t *testing.T, cursor string) (ids []string, end string) {
	t.Helper()
	for {
		page, err := f.Read(t.Context(), cursor)
		require.NoError(t, err)
		for _, entry := range page.Entries {
			ids = append(ids, entry.ID)
		}
		if cursor = page.Cursor; !page.More {
			return ids, cursor
		}
	}
}

func TestEntryIsReadAsItWasPublished(t *testing.T) {
	f := newFixture(t)
	at := time.Now().UTC().Truncate(time.Microsecond)
	sent := []feed.Entry{
		{Kind: feed.Subject, ID: "5c3a", NotBefore: &at, Expires: at.Add(time.Hour)},
		{Kind: feed.Session, ID: "7f0c", Expires: at.Add(time.Hour)},
		{Kind: feed.Client, ID: "ünï", Expires: at.Add(time.Hour)},
		{Kind: feed.Token, ID: "sha256:" + strings.Repeat("0", 64), Expires: at.Add(time.Hour)},
		{Kind: feed.Key, ID: strings.Repeat("k", 1024), Expires: at.Add(time.Hour)},
	}
	f.publish(t, sent...)

	page, err := f.Read(t.Context(), "")

	require.NoError(t, err)
	require.False(t, page.More)
	require.Equal(t, len(sent), len(page.Entries))
	for i, got := range page.Entries {
		if got.NotBefore != nil {
			*got.NotBefore = got.NotBefore.UTC()
		}
		got.Expires = got.Expires.UTC()
		require.Equal(t, sent[i], got)
	}
}

func TestWhatFollowersWouldStopAtIsNotPublished(t *testing.T) {
	f := newFixture(t)
	good := entry("good")
	for name, bad := range map[string]feed.Entry{
		"kind":         {Kind: "user", ID: "x", Expires: good.Expires},
		"no kind":      {ID: "x", Expires: good.Expires},
		"no id":        {Kind: feed.Key, Expires: good.Expires},
		"long id":      {Kind: feed.Key, ID: strings.Repeat("k", 1025), Expires: good.Expires},
		"id not UTF-8": {Kind: feed.Key, ID: "\xff", Expires: good.Expires},
		"no end":       {Kind: feed.Key, ID: "x"},
	} {
		require.Error(t, f.Publish(t.Context(), good, bad), name)
	}
	ids, _ := f.read(t, "")
	require.Empty(t, ids)
}

func TestRolledBackEntryIsNotShown(t *testing.T) {
	f := newFixture(t)
	undo := errors.New("undo")
	require.ErrorIs(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		require.NoError(t, feed.Publish(t.Context(), tx, entry("a")))
		return undo
	}), undo)
	f.publish(t, entry("b"))

	ids, _ := f.read(t, "")
	require.Equal(t, []string{"b"}, ids)
}

// The first transaction has its position and does not commit. Without the lock the second would commit a later
// position, and a follower that saw it would never look for the first again.
func TestInterleavedTransactionsAreShownInCommitOrder(t *testing.T) {
	f := newFixture(t)
	first, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, feed.Publish(t.Context(), first, entry("first")))

	second, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	published := make(chan error, 1)
	go func() {
		published <- errors.Join(feed.Publish(context.Background(), second, entry("second")), second.Commit(context.Background()))
	}()
	f.requireWaiting(t, second.Conn().PgConn().PID())
	ids, cursor := f.read(t, "")
	require.Empty(t, ids)

	require.NoError(t, first.Commit(t.Context()))
	require.NoError(t, <-published)

	ids, _ = f.read(t, cursor)
	require.Equal(t, []string{"first", "second"}, ids)
}

// requireWaiting returns when the server process waits for an advisory lock.
func (f fixture) requireWaiting(t *testing.T, pid uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting bool
		err := f.pool.QueryRow(t.Context(),
			"SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND locktype = 'advisory' AND NOT granted)", pid).Scan(&waiting)
		return err == nil && waiting
	}, 10*time.Second, time.Millisecond)
}

func TestFollowerMissesNothingWhileManyPublish(t *testing.T) {
	f := newFixture(t)
	const publishers, each = 6, 40
	want := map[string]bool{}
	var publishing sync.WaitGroup
	errs := make(chan error, publishers*each)
	for p := range publishers {
		for n := range each {
			want[fmt.Sprintf("%d-%d", p, n)] = true
		}
		publishing.Go(func() {
			for n := range each {
				errs <- f.Publish(context.Background(), entry(fmt.Sprintf("%d-%d", p, n)))
			}
		})
	}
	done := make(chan struct{})
	go func() { publishing.Wait(); close(done) }()

	seen, cursor := map[string]bool{}, ""
	for ended := false; ; {
		var ids []string
		ids, cursor = f.read(t, cursor)
		for _, id := range ids {
			require.False(t, seen[id], "shown twice: %s", id)
			seen[id] = true
		}
		if ended {
			break
		}
		select {
		case <-done:
			ended = true // once more: what was committed between the reading and the end
		default:
		}
	}
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, want, seen)
}

func TestManyEntriesAreShownInPages(t *testing.T) {
	f := newFixture(t)
	_, err := f.pool.Exec(t.Context(), `INSERT INTO revocations (kind, subject_id, expires_at)
		SELECT 'token', n::text, now() + interval '1 hour' FROM generate_series(1, $1) n`, feed.PageEntries+1)
	require.NoError(t, err)

	first, err := f.Read(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, first.Entries, feed.PageEntries)
	require.True(t, first.More)
	second, err := f.Read(t.Context(), first.Cursor)
	require.NoError(t, err)
	require.Len(t, second.Entries, 1)
	require.False(t, second.More)
}

func TestPageStaysBelowWhatFollowersTake(t *testing.T) {
	f := newFixture(t)
	_, err := f.pool.Exec(t.Context(), `INSERT INTO revocations (kind, subject_id, expires_at)
		SELECT 'token', repeat(chr(1), 1024), now() + interval '1 hour' FROM generate_series(1, 400)`) // six bytes each in JSON
	require.NoError(t, err)
	handler, total := f.Handler(refuse), 0
	for cursor := ""; ; {
		w := ask(t, handler, "?cursor="+cursor)
		require.Equal(t, http.StatusOK, w.Code)
		require.Less(t, w.Body.Len(), 1<<20)
		page := decode(t, w)
		require.NotEmpty(t, page.Entries)
		total += len(page.Entries)
		if cursor = page.Cursor; !page.More {
			break
		}
	}
	require.Equal(t, 400, total)
}

func TestExpiredEntriesAreLeftOutAndPrunedToTheLast(t *testing.T) {
	f := newFixture(t)
	past := entry("past")
	past.Expires = time.Now().Add(-time.Second)
	f.publish(t, past, entry("good"), past)
	ids, cursor := f.read(t, "")
	require.Equal(t, []string{"good"}, ids)

	pruned, err := feed.Prune(t.Context(), f.pool)
	require.NoError(t, err)
	require.EqualValues(t, 1, pruned, "the newest stays, to mark the end")

	ids, _ = f.read(t, cursor)
	require.Empty(t, ids)
	f.publish(t, entry("later"))
	ids, _ = f.read(t, cursor)
	require.Equal(t, []string{"later"}, ids)
	pruned, err = feed.Prune(t.Context(), f.pool)
	require.NoError(t, err)
	require.EqualValues(t, 1, pruned)
}

func TestCursorOutlivesThePruningOfEverything(t *testing.T) {
	f := newFixture(t)
	f.publish(t, entry("a"), entry("b"))
	_, cursor := f.read(t, "")
	_, err := f.pool.Exec(t.Context(), "DELETE FROM revocations WHERE subject_id = 'a'") // as Prune does, with time
	require.NoError(t, err)
	ids, same := f.read(t, cursor)
	require.Empty(t, ids)
	require.Equal(t, cursor, same)
}

func TestCursorOfAnotherHistoryIsGone(t *testing.T) {
	f, other := newFixture(t), newFixture(t)
	f.publish(t, entry("a"))
	other.publish(t, entry("x"), entry("y"))
	_, foreign := other.read(t, "")
	_, cursor := f.read(t, "")
	_, history, found := strings.Cut(cursor, ".")
	require.True(t, found)
	_, err := f.pool.Exec(t.Context(), "DELETE FROM revocations") // a restore: the entry was never there
	require.NoError(t, err)
	for name, gone := range map[string]string{
		"another database": foreign, "beyond the newest": cursor, "negative": "-1." + history,
		"position alone": "0", "no cursor": "x", "too large": "99999999999999999999." + history,
	} {
		_, err := f.Read(t.Context(), gone)
		require.ErrorIs(t, err, feed.ErrGone, name)
		w := ask(t, f.Handler(refuse), "?cursor="+gone)
		require.Equal(t, http.StatusGone, w.Code, name)
	}
}

func TestEmptyFeedGivesAPlaceToGoOnFrom(t *testing.T) {
	f := newFixture(t)
	_, cursor := f.read(t, "")
	require.NotEmpty(t, cursor)
	f.publish(t, entry("a"))
	ids, _ := f.read(t, cursor)
	require.Equal(t, []string{"a"}, ids)
}

// next asks in the background with an hour's patience.
func (f fixture) next(t *testing.T, ctx context.Context, cursor string) <-chan feed.Page { //nolint:revive // t comes first in a helper
	t.Helper()
	pages := make(chan feed.Page, 1)
	go func() {
		page, err := f.Next(ctx, cursor, time.Hour)
		if err == nil {
			pages <- page
		}
		close(pages)
	}()
	return pages
}

func TestWaitingEndsWithTheNotification(t *testing.T) {
	f := newFixture(t)
	f.LookEvery(time.Hour) // nobody looks for themselves
	f.serve(t)
	_, cursor := f.read(t, "")
	for n := range 3 {
		waiting := []<-chan feed.Page{f.next(t, t.Context(), cursor), f.next(t, t.Context(), cursor), f.next(t, t.Context(), cursor)}
		f.publish(t, entry(fmt.Sprint(n)))
		for _, pages := range waiting {
			page := <-pages
			require.Len(t, page.Entries, 1)
			require.Equal(t, fmt.Sprint(n), page.Entries[0].ID)
			cursor = page.Cursor
		}
	}
	require.LessOrEqual(t, f.pool.Stat().TotalConns(), int32(6))
	require.Empty(t, f.logs.String())
}

func TestWhatNobodyAnnouncedIsFoundByLooking(t *testing.T) {
	f := newFixture(t)
	f.LookEvery(time.Millisecond)
	f.serve(t)
	_, cursor := f.read(t, "")
	waiting := f.next(t, t.Context(), cursor)
	_, err := f.pool.Exec(t.Context(), "INSERT INTO revocations (kind, subject_id, expires_at) VALUES ('key', 'k', now() + interval '1 hour')")
	require.NoError(t, err)
	page := <-waiting
	require.Len(t, page.Entries, 1)
	require.Empty(t, f.logs.String(), "the time without a notification costs no connection")
}

func TestLostConnectionIsReplaced(t *testing.T) {
	f := newFixture(t)
	f.LookEvery(10 * time.Millisecond)
	f.serve(t)
	superuser, err := pgx.Connect(t.Context(), f.db.URL(t, "none"))
	require.NoError(t, err)
	defer func() { _ = superuser.Close(context.Background()) }()
	kill := func() (killed int) {
		require.NoError(t, superuser.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND query = 'LISTEN revocations'`).Scan(&killed))
		return killed
	}
	for range 2 {
		require.Eventually(t, func() bool { return kill() == 1 }, 10*time.Second, time.Millisecond)
	}
	require.Eventually(t, func() bool { return strings.Contains(f.logs.String(), "not listening") }, 10*time.Second, time.Millisecond)
	_, cursor := f.read(t, "")
	waiting := f.next(t, t.Context(), cursor)
	f.publish(t, entry("a"))
	page := <-waiting
	require.Len(t, page.Entries, 1)
}

func TestStoppingLetsEveryoneGo(t *testing.T) {
	f := newFixture(t)
	stop := f.serve(t)
	_, cursor := f.read(t, "")
	waiting := f.next(t, t.Context(), cursor)
	stop()
	page := <-waiting
	require.Empty(t, page.Entries)
	require.Equal(t, cursor, page.Cursor)
	page = <-f.next(t, t.Context(), cursor)
	require.Equal(t, cursor, page.Cursor, "who asks after the end is not kept either")
}

func TestWhoGoesAwayWaitsNoLonger(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := f.next(t, ctx, "")
	cancel()
	_, answered := <-waiting
	require.False(t, answered)
}

func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	w.WriteHeader(problem.From(err).Status())
}

func ask(t *testing.T, handler http.Handler, query string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/internal/revocations"+query, nil))
	return w
}

func decode(t *testing.T, w *httptest.ResponseRecorder) (page feed.Page) {
	t.Helper()
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
	return page
}

func TestHandlerAnswersNowWithoutAWait(t *testing.T) {
	f := newFixture(t)
	for _, query := range []string{"", "?wait=0", "?cursor=&wait="} {
		w := ask(t, f.Handler(refuse), query)
		require.Equal(t, http.StatusOK, w.Code)
		require.JSONEq(t, fmt.Sprintf(`{"entries": [], "cursor": %q, "more": false}`, decode(t, w).Cursor), w.Body.String())
	}
	for _, query := range []string{"?wait=x", "?wait=-1", "?wait=1.5", "?wait=99999999999"} {
		require.Equal(t, http.StatusBadRequest, ask(t, f.Handler(refuse), query).Code, query)
	}
}

func TestDatabaseOutageIsUnavailable(t *testing.T) {
	f := newFixture(t)
	f.pool.Close()
	require.Equal(t, http.StatusServiceUnavailable, ask(t, f.Handler(refuse), "").Code)
}
