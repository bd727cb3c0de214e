package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/feed/row"
)

const (
	// pageEntries is how many entries a page has at most.
	pageEntries = 2000
	// pageBytes bounds the entries of a page. Followers refuse an answer of more than 1 MiB.
	pageBytes = 900 << 10
)

// ErrGone says that the feed does not know a cursor: it is no cursor of this feed, or of what the database was
// before it was restored. The follower begins anew, so whatever cannot be understood is gone, too.
var ErrGone = errors.New("the feed does not know this cursor")

// Page is a stretch of the feed, in commit order.
type Page struct {
	Entries []Entry `json:"entries"`
	// Cursor is the place after the last entry.
	Cursor string `json:"cursor"`
	// More says that entries follow which are there already.
	More bool `json:"more"`
}

// place is what a cursor says: a position, and the history that it belongs to.
type place struct {
	position int64
	history  string
}

func (p place) String() string { return strconv.FormatInt(p.position, 10) + "." + p.history }

func parsePlace(cursor string) (place, error) {
	position, history, _ := strings.Cut(cursor, ".")
	at, err := strconv.ParseInt(position, 10, 64)
	if err != nil || at < 0 {
		return place{}, ErrGone
	}
	return place{at, history}, nil
}

// Read returns what follows cursor; "" is the oldest entry that has not expired. Of expired entries it shows none.
func (f *Feed) Read(ctx context.Context, cursor string) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	rows := row.New(f.pool)
	// The end is asked for first. Between the two questions entries may be added, but none before one that was there.
	end, err := rows.Place(ctx)
	if err != nil {
		return Page{}, database.Problem(fmt.Errorf("read feed: %w", err))
	}
	from := place{history: end.History}
	if cursor != "" {
		from, err = parsePlace(cursor)
		if err != nil || from.history != end.History || from.position > end.Newest {
			return Page{}, ErrGone
		}
	}
	found, err := rows.After(ctx, row.AfterParams{Position: from.position, Most: pageEntries + 1})
	if err != nil {
		return Page{}, database.Problem(fmt.Errorf("read feed: %w", err))
	}
	return cut(from, found)
}

// cut makes a page of the first of the rows.
func cut(from place, found []row.Revocation) (Page, error) {
	page := Page{Entries: []Entry{}}
	size := 0
	for _, one := range found {
		entry := Entry{Kind: one.Kind, ID: one.SubjectID, NotBefore: one.NotBefore, Expires: one.ExpiresAt}
		encoded, err := json.Marshal(entry)
		if err != nil {
			return Page{}, err
		}
		size += len(encoded) + len(",")
		if len(page.Entries) == pageEntries || size > pageBytes {
			page.More = true
			break
		}
		page.Entries = append(page.Entries, entry)
		from.position = one.Position
	}
	page.Cursor = from.String()
	return page, nil
}
