package clients

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// Hook answers Hydra, which asks before it issues a token of whatever grant: 204 when it may, 403 when the client or the person
// may not act any more. Any other answer stops the issue, too. It adds nothing to the token. That it is Hydra who asks is
// for the caller to make sure.
type Hook struct {
	// Issuable tells about clients, as Registry.Issuable does.
	Issuable func(ctx context.Context, client string) error
	// Person tells about people, as users.Directory.Admit does.
	Person func(ctx context.Context, p principal.Principal) (users.User, error)
	// Refuse renders a problem.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	Log    *slog.Logger
}

// question is what of Hydra's message matters here. The message also holds what the client sent to the token endpoint: it
// must never be logged.
type question struct {
	Session struct {
		IDToken struct {
			Subject string `json:"subject"`
		} `json:"id_token"`
	} `json:"session"`
	Request struct {
		ClientID   string   `json:"client_id"`
		GrantTypes []string `json:"grant_types"`
	} `json:"request"`
}

// questionLimit is the most that Hydra has to say. A session holds what consent put into the ID token.
const questionLimit = 1 << 20

// ServeHTTP implements http.Handler.
func (h Hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked question
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, questionLimit)).Decode(&asked)
	if err != nil || asked.Request.ClientID == "" {
		h.Refuse(w, r, problem.Invalid().Because(errors.New("not a question about a token")))
		return
	}
	if err := h.may(r.Context(), asked); err != nil {
		h.Log.LogAttrs(r.Context(), slog.LevelWarn, "token not issued", slog.String("client_id", asked.Request.ClientID),
			slog.String("subject", asked.Session.IDToken.Subject), slog.String("error", err.Error()))
		h.Refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h Hook) may(ctx context.Context, asked question) error {
	denied := func(err error) error {
		return problem.New(problem.Forbidden, "No token for this client or this person.").Because(err)
	}
	err := h.Issuable(ctx, asked.Request.ClientID)
	if errors.Is(err, ErrEnded) {
		return denied(err)
	}
	if err != nil {
		return err
	}
	if slices.Equal(asked.Request.GrantTypes, []string{"client_credentials"}) {
		return nil // for the client itself
	}
	person, err := uuid.Parse(asked.Session.IDToken.Subject)
	if err != nil || person.String() != asked.Session.IDToken.Subject {
		return denied(errors.New("the subject is no person"))
	}
	_, err = h.Person(ctx, principal.Principal{
		Kind: principal.User, Auth: principal.OAuth2, UserID: person, ClientID: asked.Request.ClientID,
	})
	if err != nil && problem.From(err).Code != problem.Unavailable && problem.From(err).Code != problem.Internal {
		return denied(err)
	}
	return err
}
