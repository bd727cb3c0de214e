package revocation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"gatehouse.internal/authz/internal/upstream"
	"gatehouse.internal/libs/config"
)

// errGone says that the feed does not know the cursor any more.
var errGone = errors.New("the feed does not know our place; reading it from the beginning")

// source is where pages come from. next returns what follows cursor ("" is the beginning). If nothing does it
// may wait, but only for whoever is patient.
type source interface {
	next(ctx context.Context, cursor string, patient bool) (page, error)
}

// patience is what an answer may take beyond the time that the feed was asked to wait.
const patience = 5 * time.Second

// feed asks a server that keeps the question open until there is an answer.
type feed struct {
	client *upstream.Client
	url    url.URL
	secret config.Secret
	wait   time.Duration
}

// newFeed waits at most a quarter of max_staleness. A long poll proves, at its end, only that nothing was
// published before it was asked, so the list's age reaches twice that in quiet times; the rest is for failures.
func newFeed(s Settings, failed func(origin, reason string)) (*feed, error) {
	location, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	wait := min(s.MaxStaleness/4, 30*time.Second).Truncate(time.Second)
	return &feed{
		client: upstream.New(upstream.Options{Timeout: wait + patience, MaxConnections: 1, Failed: failed}),
		url:    *location, secret: s.Secret, wait: wait,
	}, nil
}

func (f *feed) next(ctx context.Context, cursor string, patient bool) (page, error) {
	location := f.url
	query := location.Query()
	query.Set("wait", "0")
	if patient {
		query.Set("wait", strconv.Itoa(int(f.wait.Seconds())))
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	location.RawQuery = query.Encode()
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil)
	if err != nil {
		return page{}, err
	}
	question.Header.Set("Authorization", "Bearer "+f.secret.Reveal())
	answer, err := f.client.Do(ctx, question)
	if err != nil {
		return page{}, err
	}
	switch answer.Status {
	case http.StatusOK:
	case http.StatusGone:
		return page{}, errGone
	default:
		return page{}, f.client.Unusable(question, "the revocation feed answered %d", answer.Status)
	}
	p, err := parsePage(answer.Body)
	if err == nil && p.Cursor == "" {
		err = errors.New("cursor: missing")
	}
	if err != nil {
		return page{}, f.client.Unusable(question, "the revocation feed: %w", err)
	}
	return p, nil
}

// maxFile bounds a file, in bytes. It is read twice a second; more entries than that are a feed's work.
const maxFile = 16 << 20

// file reads a page that somebody edits. Its cursor is the hash of what was read.
type file string

func (f file) next(_ context.Context, cursor string, _ bool) (page, error) {
	opened, err := os.Open(string(f)) // #nosec G304 -- the operator names the file
	if err != nil {
		return page{}, err
	}
	defer func() { _ = opened.Close() }()
	data, err := io.ReadAll(io.LimitReader(opened, maxFile+1))
	if err != nil {
		return page{}, err
	}
	if len(data) > maxFile {
		return page{}, fmt.Errorf("%s: longer than 16 MiB", f)
	}
	sum := sha256.Sum256(data)
	read := hex.EncodeToString(sum[:])
	if read == cursor {
		return page{Cursor: cursor}, nil
	}
	p, err := parsePage(data)
	if err != nil {
		return page{}, fmt.Errorf("%s: %w", f, err)
	}
	return page{Entries: p.Entries, Cursor: read, whole: true}, nil
}
