package app

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
	"gatehouse.internal/api/internal/web"
	"gatehouse.internal/libs/config"
	"gatehouse.internal/libs/service"
)

// newInternal builds what the internal port serves: probes and metrics for anyone who reaches it, and
// everything under /internal/ for those who know a secret: the shared one, or where a route has one, its own. Kratos and
// the gates have secrets of their own for their one address.
func newInternal(health *service.Health, s Settings, dependencies map[string]service.Check, routes map[string]route, changed users.Changed) http.Handler {
	mux := http.NewServeMux()
	health.Register(mux)

	shared := http.NewServeMux()
	shared.HandleFunc("GET /internal/health", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(states(r.Context(), dependencies)) // the caller is gone
	})
	for pattern, route := range routes {
		mux.Handle(pattern, knows(route.secret.Reveal(), route.handler))
	}
	mux.Handle("/internal/", knows(s.InternalSecret.Reveal(), shared))
	mux.Handle("POST /internal/kratos/identity-changed", knows(s.Kratos.WebhookSecret.Reveal(), changed))
	return mux
}

// route is what answers at an address, for those who know its secret.
type route struct {
	secret  config.Secret
	handler http.Handler
}

// secretHeader carries the secret where Authorization carries something else: a gate that asks about an API key
// sends the key there.
const secretHeader = "X-Gatehouse-Secret" // #nosec G101 -- a name

// knows lets a request through that carries the secret, as its bearer token or in secretHeader.
func knows(secret string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(secret))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if separate := r.Header.Get(secretHeader); separate != "" {
			token, found = separate, true
		}
		got := sha256.Sum256([]byte(token)) // of one length, so that comparing takes the same time always
		if !found || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			web.Refuse(w, r, problem.New(problem.Unauthenticated, "Send the shared secret.").
				Because(errors.New("wrong internal secret")))
			return
		}
		next.ServeHTTP(w, r)
	})
}

const stateTimeout = 2 * time.Second

// states asks every dependency at once: "ok", or why not.
func states(ctx context.Context, dependencies map[string]service.Check) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	var asked sync.WaitGroup
	var mu sync.Mutex
	out := make(map[string]string, len(dependencies))
	for name, check := range dependencies {
		asked.Go(func() {
			state := "ok"
			if err := check(ctx); err != nil {
				state = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = state
		})
	}
	asked.Wait()
	return out
}
