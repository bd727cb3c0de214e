package keys

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// verified is what a gate is told about a good key. The names are those that authz looks for in a session store's
// answer (session_check.go) and that the templates of the identity token use (docker/ory/oathkeeper/claims.tmpl).
type verified struct {
	Subject string `json:"subject"`
	KeyID   string `json:"key_id"`
	Scope   string `json:"scope"`
	// IssuedAt is when the secret came to be, or its row was changed last: what was published about the key before
	// does not concern it.
	IssuedAt  time.Time  `json:"issued_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Handler answers a gate about the key in the request's own Authorization: 200, 401 for every key that is not good, 503
// when nobody knows. That it is a gate who asks is for the caller to make sure. refuse renders a problem.
func Handler(keys principal.APIKeys, refuse func(w http.ResponseWriter, r *http.Request, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || len(request.Header["Authorization"]) != 1 {
			token = ""
		}
		key, err := keys.Verify(request.Context(), token)
		if errors.Is(err, ErrRejected) {
			err = problem.New(problem.Unauthenticated, "This key is not valid.").Because(err)
		}
		if err != nil {
			refuse(w, request, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(verified{ // the gate is gone: nobody is let in
			Subject: key.ID.String(), KeyID: key.ID.String(), Scope: strings.Join(key.Scopes, " "),
			IssuedAt: key.Issued, ExpiresAt: key.Expires,
		})
	})
}
