package server

import (
	"context"
	"log/slog"
	"time"

	"gatehouse.internal/authz/internal/revocation"
	"gatehouse.internal/libs/service"
)

// catchUp is how long a start waits for the revocation feed. Without the wait the first requests would meet a
// stale list; without the bound an outage of the feed would be one of the door.
const catchUp = 2 * time.Second

// followRevocations returns the list that decisions ask and what keeps it up to date; nothing without a source.
func followRevocations(ctx context.Context, s revocation.Settings, m *metrics, log *slog.Logger) (*revocation.List, []service.Part, error) {
	list := revocation.NewList(s, time.Now)
	if list == nil {
		return nil, nil, nil
	}
	follower, err := revocation.NewFollower(s, list, log, m.upstreamFailed)
	if err != nil {
		return nil, nil, err
	}
	m.registry.MustRegister(list)
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	follower.CatchUp(ctx)
	return list, []service.Part{follower.Part()}, nil
}
