package clients

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/database"
)

// ErrManyOrphans says that more clients are without a row than crashes explain: a database was restored, or this is another
// stack's Hydra. None was removed.
var ErrManyOrphans = errors.New("more clients without a row than may be removed at once")

// grace is how old a client must be before it can be an orphan: far longer than a creation takes from Hydra to its commit.
const grace = 10 * time.Minute

// plan is what differs between Hydra and the rows.
type plan struct {
	// orphans are at Hydra, with our mark, and have no row: their creation did not commit, or Hydra did not hear of their end.
	orphans []string
	// differing are not at Hydra what their rows say: the commit of an update failed after Hydra had followed.
	differing []string
}

// Sweep makes Hydra's clients what the rows say. It looks at everything before it changes anything, and at no client
// without our mark.
func (k *Keeper) Sweep(ctx context.Context) error {
	found, err := k.compare(ctx)
	if err != nil {
		return err
	}
	if len(found.orphans)+len(found.differing) > 0 {
		k.log.LogAttrs(ctx, slog.LevelWarn, "clients: Hydra differs from the rows",
			slog.Any("orphans", found.orphans), slog.Any("differing", found.differing))
	}
	var problems []error
	for _, id := range found.differing {
		problems = append(problems, k.repair(ctx, id))
	}
	if len(found.orphans) > k.maxOrphans {
		return errors.Join(append(problems, fmt.Errorf("%w: %d", ErrManyOrphans, len(found.orphans)))...)
	}
	for _, id := range found.orphans {
		problems = append(problems, k.server.RemoveClient(ctx, id))
	}
	return errors.Join(problems...)
}

// compare reads Hydra first and each page's rows after it, so a client that is made meanwhile has its row, or is young.
func (k *Keeper) compare(ctx context.Context) (plan, error) {
	var out plan
	for token, more := "", true; more; {
		registered, next, err := k.server.MarkedClients(ctx, token)
		if err != nil {
			return plan{}, err
		}
		if err := k.compareTo(ctx, registered, &out); err != nil {
			return plan{}, err
		}
		token, more = next, next != ""
	}
	return out, nil
}

func (k *Keeper) compareTo(ctx context.Context, registered []Registered, out *plan) error {
	ids := make([]string, 0, len(registered))
	for _, r := range registered {
		ids = append(ids, r.ID)
	}
	found, err := row.New(k.pool).ByIDs(ctx, ids)
	if err != nil {
		return database.Problem(fmt.Errorf("clients: %w", err))
	}
	rows := make(map[string]row.Oauth2Client, len(found))
	for _, c := range found {
		rows[c.ID] = c
	}
	for _, r := range registered {
		c, known := rows[r.ID]
		switch {
		case !known && k.now().Sub(r.CreatedAt) >= grace:
			out.orphans = append(out.orphans, r.ID)
		case known && !r.same(properties(c)):
			out.differing = append(out.differing, r.ID)
		}
	}
	return nil
}

// repair sets the client at Hydra to its row, which nobody changes meanwhile.
func (k *Keeper) repair(ctx context.Context, id string) error {
	return pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		c, err := row.New(tx).LockByID(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // deleted in the meantime
		}
		if err != nil {
			return database.Problem(fmt.Errorf("clients: %w", err))
		}
		return k.server.SetClient(ctx, id, properties(c))
	})
}

// same compares sets: Hydra gives no meaning to the order.
func (p Properties) same(other Properties) bool {
	equal := func(a, b []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	return p.Name == other.Name && equal(p.GrantTypes, other.GrantTypes) && equal(p.RedirectURIs, other.RedirectURIs) &&
		equal(p.Scopes, other.Scopes) && equal(p.Audience, other.Audience)
}
