package clients

import (
	"context"

	"github.com/riverqueue/river"
)

// Forget makes Hydra forget a client whose row is gone, with every token that it gave to it.
type Forget struct {
	ID string `json:"id"`
}

// Kind implements river.JobArgs.
func (Forget) Kind() string { return "clients.forget" }

// InsertOpts implements river.JobArgsWithInsertOpts. At one try a minute this outlasts a night; after that the sweep finds
// the client.
func (Forget) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 1000} }

func (k *Keeper) forget(ctx context.Context, job Forget) error {
	return k.server.RemoveClient(ctx, job.ID)
}
