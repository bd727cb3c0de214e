package change

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/change/row"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/request"
)

// Replay is the answer that an earlier request with the same Idempotency-Key got. It is an error because the use
// case ends with it.
type Replay struct {
	Status int
	Body   []byte // JSON
}

func (r *Replay) Error() string { return fmt.Sprintf("answered before, with %d", r.Status) }

type answer struct {
	status int
	body   any
}

// replayed ends with a Replay when the request of ctx has been answered before. Otherwise it returns what keeps the answer
// to it. A key belongs to a principal, an operation and an organization: the same text elsewhere is another key.
func replayed(ctx context.Context, tx pgx.Tx) (store func(*answer) error, err error) {
	info := request.From(ctx)
	if info.IdempotencyKey == "" {
		return func(*answer) error { return nil }, nil
	}
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	rows := row.New(tx)
	who := string(caller.Kind) + ":" + caller.ID() + ":" + caller.ClientID
	free, err := rows.TryLock(ctx, strings.Join([]string{who, info.Operation, info.Organization, info.IdempotencyKey}, "\n"))
	if err != nil {
		return nil, err
	}
	if !free {
		return nil, problem.New(problem.IdempotencyInProgress, "A request with this Idempotency-Key is being worked on.")
	}
	before, err := rows.Answered(ctx, row.AnsweredParams{
		Principal: who, Operation: info.Operation, Organization: info.Organization, Key: info.IdempotencyKey,
	})
	switch {
	case err == nil && subtle.ConstantTimeCompare(before.RequestHash, info.Hash) == 1:
		return nil, &Replay{Status: int(before.Status), Body: before.Body}
	case err == nil:
		return nil, problem.New(problem.IdempotencyMismatch, "This Idempotency-Key was used for another request.")
	case !errors.Is(err, pgx.ErrNoRows):
		return nil, err
	}
	return func(a *answer) error {
		if a == nil {
			return fmt.Errorf("%s takes an Idempotency-Key and leaves no answer", info.Operation)
		}
		body, err := a.encode()
		if err != nil {
			return err
		}
		return rows.Answer(ctx, row.AnswerParams{
			Principal: who, Operation: info.Operation, Organization: info.Organization, Key: info.IdempotencyKey,
			RequestHash: info.Hash, Status: int32(a.status), Body: body, //nolint:gosec // three digits
		})
	}, nil
}
