package server

import (
	"context"
	"errors"
	"io"
	"net/http"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/envoy"
	"gatehouse.internal/authz/internal/pipeline"
)

// Explain tells how the snapshot decides about a request that a person described, see envoy.Describe.
func Explain(ctx context.Context, s *engine.Snapshot, description []byte) (engine.Explanation, error) {
	in, err := envoy.Describe(description)
	if err != nil {
		return engine.Explanation{}, err
	}
	request, err := envoy.Parse(in)
	var denial *pipeline.Denial
	if errors.As(err, &denial) {
		return s.ExplainRefusal(request, denial), nil
	}
	if err != nil {
		return engine.Explanation{}, err
	}
	return s.Explain(telling(ctx, request), request), nil
}

// explain answers POST /explain.
func explain(e *engine.Engine) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		description, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCheck))
		if err != nil {
			http.Error(w, "the description cannot be read", http.StatusBadRequest)
			return
		}
		explanation, err := Explain(r.Context(), e.Snapshot(), description)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		respondJSON(w, explanation)
	}
}
