package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/upstream"
)

// Load reads Oathkeeper's configuration and the rules and compiles them.
func Load(s Settings, failed func(origin, reason string)) (*engine.Snapshot, error) {
	config, err := oathkeeper.ReadFile(s.OathkeeperConfig)
	if err != nil {
		return nil, err
	}
	rules, err := config.Rules()
	if err != nil {
		return nil, err
	}
	client := upstream.New(upstream.Options{
		Timeout: s.Upstream.Timeout, MaxConnections: s.Upstream.MaxConnections,
		Readiness: s.readiness(), Failed: failed,
	})
	// Key sets are fetched beside requests, so they may take longer than a request can.
	slow := upstream.New(upstream.Options{Timeout: keys.FetchTimeout, MaxConnections: 4, Failed: failed})
	return engine.Compile(config, rules, engine.Options{
		ProblemPrefixes: s.ProblemJSON.Prefixes,
		StripCookies:    s.StripCookies,
		Upstream:        client,
		Keys:            keys.NewStore(fetcher(slow), time.Now),
		Now:             time.Now,
	})
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
