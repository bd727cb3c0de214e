package service_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/libs/service"
)

// part serves until it is stopped, and notes that in order.
func part(name string, order *[]string) service.Part {
	stop := make(chan struct{})
	return service.Part{
		Name:  name,
		Serve: func() error { <-stop; return http.ErrServerClosed },
		Stop: func(context.Context) error {
			*order = append(*order, name)
			close(stop)
			return nil
		},
	}
}

func TestOnePartThatFailsEndsTheOthersInReverseOrder(t *testing.T) {
	var order []string
	broken := service.Part{
		Name:  "broken",
		Serve: func() error { return errors.New("no route") },
		Stop:  func(context.Context) error { return nil },
	}
	drain := func() { order = append(order, "drain") }

	err := service.Run(t.Context(), time.Minute, drain, part("first", &order), part("second", &order), broken)

	require.EqualError(t, err, "broken: no route")
	require.Equal(t, []string{"drain", "second", "first"}, order)
}

func TestAStopThatWasAskedForIsNoError(t *testing.T) {
	var order []string
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, service.Run(ctx, time.Minute, func() {}, part("only", &order)))
}

func TestReadinessNamesWhatFailsAndEndsWithDraining(t *testing.T) {
	var problem error
	health := &service.Health{
		Metrics: prometheus.NewRegistry(),
		Checks:  map[string]service.Check{"postgres": func(context.Context) error { return problem }},
	}
	mux := http.NewServeMux()
	health.Register(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	ready := func() error { return service.Probe(t.Context(), server.URL+"/readyz") }

	require.NoError(t, ready())

	problem = errors.New("gone")
	require.ErrorContains(t, ready(), "503")
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	require.Contains(t, recorder.Body.String(), "postgres: gone")

	problem = nil
	health.Drain()
	require.ErrorContains(t, ready(), "503")
	require.NoError(t, service.Probe(t.Context(), server.URL+"/healthz"), "it drains, it is not dead")
}
