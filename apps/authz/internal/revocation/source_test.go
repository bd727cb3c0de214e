package revocation

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// server is a feed as docs/revocation-feed.md wants it: it keeps a question open until something is published.
type server struct {
	*httptest.Server
	mu        sync.Mutex
	published []Entry
	changed   chan struct{}
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{changed: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) publish(list ...Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = append(s.published, list...)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *server) after(from int) ([]Entry, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.published[min(from, len(s.published)):], s.changed
}

const pageSize = 2

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer shared" || r.URL.Query().Get("tenant") != "t" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	list, changed := s.after(from)
	if seconds, _ := strconv.Atoi(r.URL.Query().Get("wait")); len(list) == 0 && seconds > 0 {
		select {
		case <-changed:
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-r.Context().Done():
		}
		list, _ = s.after(from)
	}
	p := page{Entries: append([]Entry{}, list[:min(pageSize, len(list))]...), More: len(list) > pageSize}
	p.Cursor = strconv.Itoa(from + len(p.Entries))
	_ = json.NewEncoder(w).Encode(p)
}

// followed runs a real follower for as long as the test runs. told receives the ids of entries that count.
func followed(t *testing.T, change func(*Settings)) (list *List, told chan string) {
	t.Helper()
	s := Default()
	change(&s)
	require.NoError(t, s.Verify())
	list = NewList(s, time.Now)
	told = make(chan string, 100)
	list.Subscribe(func(e Entry) { told <- e.ID })
	follower, err := NewFollower(s, list, slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	follower.CatchUp(t.Context())
	part := follower.Part()
	ended := make(chan error, 1)
	go func() { ended <- part.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, part.Stop(t.Context()))
		require.NoError(t, <-ended)
	})
	return list, told
}

func until(id string) Entry { return Entry{Kind: Session, ID: id, Expires: time.Now().Add(time.Hour)} }

func TestWhatIsPublishedActsWithoutWaiting(t *testing.T) {
	server := newServer(t)
	server.publish(until("1"), until("2"), until("3"))
	list, told := followed(t, func(s *Settings) { s.URL, s.Secret = server.URL+"/feed?tenant=t", "shared" })
	require.False(t, list.Stale(), "all pages were read before it began to serve")
	require.True(t, list.Revoked(Facts{Session: "3"}))
	require.Len(t, told, 3)

	require.NoError(t, list.Check(Facts{Session: "4", Offline: true}))
	server.publish(until("4"))
	for _, want := range []string{"1", "2", "3", "4"} {
		require.Equal(t, want, <-told)
	}
	require.ErrorIs(t, list.Check(Facts{Session: "4", Offline: true}), ErrRevoked)
}

func TestAnswersThatAreNoPage(t *testing.T) {
	status, body := 200, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	var failed []string
	s := Default()
	s.URL, s.Secret = server.URL, "shared"
	source, err := newFeed(s, func(_, reason string) { failed = append(failed, reason) })
	require.NoError(t, err)
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{401, `{"entries":[],"cursor":"1"}`, "answered 401"},
		{500, `{"entries":[],"cursor":"1"}`, "answered 500"},
		{302, `{"entries":[],"cursor":"1"}`, "answered 302"},
		{200, `<html>`, "not a page"},
		{200, `{"entries":[]}`, "cursor: missing"},
		{200, `{"entries":[{"kind":"x"}],"cursor":"1"}`, "entries[0].kind"},
	} {
		status, body = c.status, c.body
		_, err := source.next(t.Context(), "", false)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "shared")
	}
	require.Len(t, failed, 6, "the metrics of upstreams count them")

	status = http.StatusGone
	_, err = source.next(t.Context(), "old", true)
	require.ErrorIs(t, err, errGone)
}

func TestLongPollLeavesRoomForFailures(t *testing.T) {
	for staleness, want := range map[time.Duration]time.Duration{
		4 * time.Second: time.Second, time.Minute: 15 * time.Second, time.Hour: 30 * time.Second,
	} {
		source, err := newFeed(Settings{URL: "http://feed", MaxStaleness: staleness}, nil)
		require.NoError(t, err)
		require.Equal(t, want, source.wait)
	}
}

func TestFileIsReadAgainWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked.json")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	source := file(path)
	_, err := source.next(t.Context(), "", false)
	require.ErrorIs(t, err, os.ErrNotExist)

	write(`{"entries":[{"kind":"client","id":"c-1","expires":"9999-01-01T00:00:00Z"}]}`)
	first, err := source.next(t.Context(), "", false)
	require.NoError(t, err)
	require.True(t, first.whole)
	require.Len(t, first.Entries, 1)

	same, err := source.next(t.Context(), first.Cursor, true)
	require.NoError(t, err)
	require.Equal(t, page{Cursor: first.Cursor}, same)

	write(`{"entries":[{"kind":"client"`)
	_, err = source.next(t.Context(), first.Cursor, true)
	require.ErrorContains(t, err, "not a page", "half a file is none")

	write(`{"entries":[]}`)
	second, err := source.next(t.Context(), first.Cursor, true)
	require.NoError(t, err)
	require.True(t, second.whole)
	require.Empty(t, second.Entries)
	require.NotEqual(t, first.Cursor, second.Cursor)

	require.NoError(t, os.Truncate(path, maxFile+1))
	_, err = source.next(t.Context(), second.Cursor, true)
	require.ErrorContains(t, err, "longer than")
}

func TestFollowerReadsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked.json")
	text, err := json.Marshal(page{Entries: []Entry{until("1")}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	list, told := followed(t, func(s *Settings) { s.File = path })
	require.Equal(t, "1", <-told)
	require.False(t, list.Stale())
	require.True(t, list.Revoked(Facts{Session: "1"}))
}
