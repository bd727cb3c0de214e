package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/go-jose/go-jose/v4"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/libs/service"
)

// ops is the internal port: health, metrics, the rules' state and the public keys of our tokens.
func ops(e *engine.Engine, m *metrics, explained bool) (http.Handler, *service.Health) {
	health := &service.Health{
		Metrics: m.registry,
		Checks:  map[string]service.Check{"rules": func(context.Context) error { return ready(e.Snapshot()) }},
	}
	common := http.NewServeMux()
	health.Register(common)

	mux := http.NewServeMux()
	mux.Handle("/", common)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		common.ServeHTTP(w, r)
		// Ready and with a broken rule is a state worth seeing where people look first.
		for _, rule := range e.Snapshot().Rules() {
			if !rule.Valid {
				_, _ = fmt.Fprintf(w, "rule %q is invalid and answers 500\n", rule.ID)
			}
		}
	})
	mux.HandleFunc("GET /rules", func(w http.ResponseWriter, _ *http.Request) {
		respondJSON(w, e.Snapshot().Rules())
	})
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		respondJSON(w, jose.JSONWebKeySet{Keys: e.Snapshot().PublicKeys()})
	})
	if explained {
		mux.HandleFunc("POST /explain", explain(e))
	}
	return mux, health
}

func respondJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}
