package server

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/upstream"
)

// loader reads and compiles configurations. What must outlive a reload (connections, key sets) is made
// once, here. It is for one goroutine.
type loader struct {
	source  oathkeeper.Source
	options engine.Options

	// What the current snapshot was made of, and that snapshot.
	documents *oathkeeper.Documents
	snapshot  *engine.Snapshot

	// What was last read. A change counts once it has been read twice: the first half of a list of rules
	// can be a good list, and a file that is being written is read as it is.
	seen *oathkeeper.Documents
	// What was last read and could not be used, so that it is not parsed again every interval.
	refused *oathkeeper.Documents
	refusal error
}

// Load reads Oathkeeper's configuration and the rules and compiles them.
func Load(s Settings, failed func(origin, reason string)) (*engine.Snapshot, error) {
	snapshot, _, err := newLoader(s, failed).load(context.Background())
	return snapshot, err
}

// Examine is Load for people who look for mistakes: besides an error there may be a snapshot, of what could be
// compiled. It is none to serve with.
func Examine(s Settings) (*engine.Snapshot, error) {
	l := newLoader(s, nil)
	documents, _, err := l.source.Read(context.Background())
	if err != nil {
		return nil, err
	}
	config, rules, err := documents.Parse()
	snapshot, broken := engine.Compile(config, rules, l.options)
	return snapshot, errors.Join(err, broken)
}

func newLoader(s Settings, failed func(origin, reason string)) *loader {
	client := upstream.New(upstream.Options{
		Timeout: s.Upstream.Timeout, MaxConnections: s.Upstream.MaxConnections,
		Readiness: s.readiness(), Failed: failed, BreakerPause: s.Upstream.BreakerPause,
	})
	// Key sets are fetched beside requests, so they may take longer than a request can.
	slow := upstream.New(upstream.Options{Timeout: keys.FetchTimeout, MaxConnections: 4, Failed: failed})
	return &loader{
		source: oathkeeper.Source{
			Path: s.OathkeeperConfig, Interval: s.Reload.RemoteInterval, Now: time.Now, Environment: os.Environ(),
		},
		options: engine.Options{
			ProblemPrefixes:  s.ProblemJSON.Prefixes,
			StripCookies:     s.StripCookies,
			Delegate:         s.Delegate.URL,
			ChecksumPrefixes: s.ChecksumPrefixes,
			NextOnError:      s.NextOnError,
			Upstream:         client,
			Keys:             keys.NewStore(fetcher(slow), time.Now),
			Now:              time.Now,
		},
	}
}

// load returns a new snapshot when something changed, and the same one when nothing did. On an error
// the last snapshot stays: all of a new configuration counts, or none of it. A snapshot can come with
// an error, which then says that a remote repository keeps its last rules.
func (l *loader) load(ctx context.Context) (snapshot *engine.Snapshot, changed bool, err error) {
	documents, stale, err := l.source.Read(ctx)
	if err != nil {
		return l.snapshot, false, err
	}
	settled := l.snapshot == nil || documents.Equal(l.seen)
	l.seen = documents
	if !settled || documents.Equal(l.documents) && !l.snapshot.FilesChanged() {
		return l.snapshot, false, stale
	}
	if documents.Equal(l.refused) {
		return l.snapshot, false, l.refusal
	}
	next, err := l.compile(documents)
	if err != nil {
		l.refused, l.refusal = documents, err
		return l.snapshot, false, err
	}
	if problem := next.FileProblem(); problem != nil && l.snapshot != nil {
		return l.snapshot, false, problem // at start it makes rules invalid; later the old keys are better than none
	}
	l.documents, l.snapshot = documents, next
	l.refused, l.refusal = nil, nil
	return next, true, stale
}

func (l *loader) compile(documents *oathkeeper.Documents) (*engine.Snapshot, error) {
	config, rules, err := documents.Parse()
	if err != nil {
		return nil, err
	}
	if l.snapshot != nil && len(l.snapshot.Rules()) > 0 && len(rules) == 0 {
		return nil, errNoRulesLeft
	}
	return engine.Compile(config, rules, l.options)
}

func fetcher(client *upstream.Client) keys.Fetch {
	return func(ctx context.Context, location string) ([]byte, error) {
		if strings.HasPrefix(location, "file://") {
			return oathkeeper.ReadFileURL(location)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
		if err != nil {
			return nil, err
		}
		answer, err := client.Do(ctx, request)
		if err != nil {
			return nil, err
		}
		if answer.Status != http.StatusOK {
			return nil, client.Unusable(request, "the key set is answered with %d", answer.Status)
		}
		return answer.Body, nil
	}
}

// errNoRulesLeft: an emptied file is more often a mistake than a wish to answer 404 to everybody.
var errNoRulesLeft = errors.New("no rule is left; restart to run without any")

// errNoRules keeps the service out of rotation: with no valid rule every answer would be 404 or 500.
var errNoRules = errors.New("no valid rule is loaded")

func ready(s *engine.Snapshot) error {
	if s != nil {
		for _, r := range s.Rules() {
			if r.Valid {
				return nil
			}
		}
	}
	return errNoRules
}
