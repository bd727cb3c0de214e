package users

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"gatehouse.internal/api/internal/users/row"
)

// Census reads all of Kratos' identities.
type Census interface {
	Identities
	// Page returns the identities that follow token, and the token of the next page: "" before the first page and
	// after the last.
	Page(ctx context.Context, token string) (page []Identity, next string, err error)
}

// Sweep compares every row with its identity. It is the lane that needs nobody to tell it: Kratos is silent about
// whatever its admin port does, and about deletions.
type Sweep struct {
	directory *Directory
	census    Census
	saga      *Saga
	// Force buries however many are gone.
	Force bool
}

// NewSweep returns one over the directory's table.
func NewSweep(directory *Directory, census Census, saga *Saga) *Sweep {
	return &Sweep{directory: directory, census: census, saga: saga}
}

// Plan is what a sweep would do. It holds ids and names of fields, no personal data: it is printed and logged.
type Plan struct {
	// Identities at Kratos, and Rows of people who are not deleted.
	Identities, Rows int
	// Differing rows will be made equal to their identities.
	Differing []Difference
	// Gone are people whose identity Kratos says it does not have, each asked for by its id. They will be buried.
	Gone []uuid.UUID
	// Remaining are deleted people who still belong to something, or hold a key. Their deletion will be finished.
	Remaining []uuid.UUID
	// Returned are identities whose row is a tombstone: a restored backup, or a deletion that is not finished.
	// Nothing is done about them; the API refuses these people.
	Returned []uuid.UUID
}

// Difference is one row that is not what its identity says.
type Difference struct {
	ID     uuid.UUID
	Fields []string
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Differing)+len(p.Gone)+len(p.Remaining) == 0 }

// WriteTo prints the plan, one line per person.
func (p Plan) WriteTo(out io.Writer) (int64, error) {
	var text strings.Builder
	for _, difference := range p.Differing {
		_, _ = fmt.Fprintf(&text, "update %s: %s\n", difference.ID, strings.Join(difference.Fields, ", "))
	}
	for _, id := range p.Gone {
		_, _ = fmt.Fprintf(&text, "bury   %s\n", id)
	}
	for _, id := range p.Remaining {
		_, _ = fmt.Fprintf(&text, "finish %s: deleted, and something is left\n", id)
	}
	for _, id := range p.Returned {
		_, _ = fmt.Fprintf(&text, "leave  %s: deleted here, and an identity at Kratos\n", id)
	}
	_, _ = fmt.Fprintf(&text, "%s\n", p)
	n, err := io.WriteString(out, text.String())
	return int64(n), err
}

// String sums the plan up.
func (p Plan) String() string {
	return fmt.Sprintf("%d identities, %d rows: %d to update, %d to bury, %d to finish, %d returned",
		p.Identities, p.Rows, len(p.Differing), len(p.Gone), len(p.Remaining), len(p.Returned))
}

// The most that a sweep buries unasked: this many, or this share of the rows if that is more.
const (
	gonePeople = 20
	goneShare  = 0.05
)

// ErrTooManyGone says that so many people are missing that Kratos itself is in doubt: another server's address, or a
// database restored from long ago.
var ErrTooManyGone = errors.New("too many people are gone to believe it: nothing was done; look at Kratos, then use --force")

func (p Plan) doubtful() bool {
	return len(p.Gone) > gonePeople && float64(len(p.Gone)) > goneShare*float64(p.Rows)
}

// Plan reads both sides and writes nothing. What changes meanwhile may be in the plan or not: Apply looks at every
// identity again.
func (s *Sweep) Plan(ctx context.Context) (Plan, error) {
	rows := row.New(s.directory.pool)
	start, err := rows.Now(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("sweep: %w", err)
	}
	var plan Plan
	seen := map[uuid.UUID]struct{}{}
	for token, more := "", true; more; more = token != "" {
		var page []Identity
		if page, token, err = s.census.Page(ctx, token); err != nil {
			return Plan{}, fmt.Errorf("sweep: %w", err)
		}
		if err := s.compare(ctx, page, &plan); err != nil {
			return Plan{}, fmt.Errorf("sweep: %w", err)
		}
		for _, identity := range page {
			seen[identity.ID] = struct{}{}
		}
	}
	plan.Identities = len(seen)
	if err := s.missing(ctx, start, seen, &plan); err != nil {
		return Plan{}, fmt.Errorf("sweep: %w", err)
	}
	if plan.Remaining, err = rows.Remains(ctx); err != nil {
		return Plan{}, fmt.Errorf("sweep: %w", err)
	}
	return plan, nil
}

// compare notes which identities of a page differ from their rows.
func (s *Sweep) compare(ctx context.Context, page []Identity, plan *Plan) error {
	ids := make([]uuid.UUID, len(page))
	for i, identity := range page {
		ids[i] = identity.ID
	}
	found, err := row.New(s.directory.pool).FindAll(ctx, ids)
	if err != nil {
		return err
	}
	known := make(map[uuid.UUID]row.User, len(found))
	for _, user := range found {
		known[user.ID] = user
	}
	for _, identity := range page {
		user, exists := known[identity.ID]
		switch {
		case !exists:
			plan.Differing = append(plan.Differing, Difference{identity.ID, []string{"no row"}})
		case user.DeletedAt != nil:
			plan.Returned = append(plan.Returned, identity.ID)
		default:
			if fields := differing(user, identity); fields != nil {
				plan.Differing = append(plan.Differing, Difference{identity.ID, fields})
			}
		}
	}
	return nil
}

// differing names the fields in which a row is not what its identity says.
func differing(user row.User, identity Identity) (fields []string) {
	want := upsert(user.ID, identity)
	for _, field := range []struct {
		name string
		same bool
	}{
		{"email", user.Email == want.Email},
		{"email_verified", user.EmailVerified == want.EmailVerified},
		{"display_name", user.DisplayName == want.DisplayName},
		{"locale", user.Locale == want.Locale},
		{"state", user.State == want.State},
	} {
		if !field.same {
			fields = append(fields, field.name)
		}
	}
	return fields
}

// rowsAtOnce is how many ids are held at a time while all rows are walked.
const rowsAtOnce = 1000

// missing finds the people whose identity was on no page, and asks for each by its id: an identity made while the
// pages were read may have fallen behind the reader. Rows that are younger than the sweep are such for certain.
func (s *Sweep) missing(ctx context.Context, start time.Time, seen map[uuid.UUID]struct{}, plan *Plan) error {
	var after uuid.UUID
	for {
		ids, err := row.New(s.directory.pool).Living(ctx, row.LivingParams{After: after, Before: start, AtMost: rowsAtOnce})
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, found := seen[id]; found {
				continue
			}
			_, err := s.census.Identity(ctx, id)
			if errors.Is(err, ErrNoIdentity) {
				plan.Gone = append(plan.Gone, id)
			} else if err != nil {
				return err
			}
		}
		plan.Rows += len(ids)
		if len(ids) < rowsAtOnce {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// applying is how many identities a sweep reads at once: it must leave Kratos to those who wait for it.
const applying = 2

// Apply carries a plan out. Each row is made equal to what its identity is by then, so a plan may be old, and may
// be applied again. It refuses the whole of a doubtful plan.
func (s *Sweep) Apply(ctx context.Context, plan Plan) error {
	if plan.doubtful() && !s.Force {
		return fmt.Errorf("sweep: %d of %d: %w", len(plan.Gone), plan.Rows, ErrTooManyGone)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(applying)
	converge := func(id uuid.UUID) {
		group.Go(func() error {
			_, err := s.directory.Converge(ctx, id)
			if errors.Is(err, ErrNoIdentity) {
				return nil
			}
			return err
		})
	}
	for _, difference := range plan.Differing {
		converge(difference.ID)
	}
	for _, id := range plan.Gone {
		converge(id)
	}
	for _, id := range plan.Remaining {
		group.Go(func() error {
			return pgx.BeginFunc(ctx, s.directory.pool, func(tx pgx.Tx) error { return s.saga.followKratos(ctx, tx, id, Delete) })
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}
