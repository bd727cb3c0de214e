package users

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/problem"
)

// Changed answers Kratos' web hook, which says that something about an identity changed. The message names the
// identity and nothing of it would be believed: what changed is read from the admin port. Who may send is the
// caller's to check.
type Changed struct {
	// Notice sees to the identity that changed, soon.
	Notice func(ctx context.Context, id uuid.UUID) error
	// Refuse renders a problem.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
}

// messageLimit is far more than one id needs.
const messageLimit = 1 << 10

// ServeHTTP implements http.Handler.
func (c Changed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := message(w, r)
	if err == nil {
		err = c.Notice(r.Context(), id)
	}
	if err != nil {
		c.Refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func message(w http.ResponseWriter, r *http.Request) (uuid.UUID, error) {
	var body struct {
		Identity string `json:"identity"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, messageLimit)).Decode(&body)
	if err != nil {
		return uuid.Nil, problem.Invalid().Because(err)
	}
	id, err := uuid.Parse(body.Identity)
	if err != nil || id == uuid.Nil || id.String() != body.Identity { // in the one form that Kratos writes
		return uuid.Nil, problem.Invalid(problem.Field{Name: "identity", Reason: "is not an identity's id"}).
			Because(errors.New("a message about no identity"))
	}
	return id, nil
}
