package ory

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/libs/breaker"
)

func TestServerInTroubleIsLeftAlone(t *testing.T) {
	var asked atomic.Int64
	var status atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	defer server.Close()
	healthy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer healthy.Close()
	client := HTTPClient(time.Minute)
	get := func(url string) (int, error) {
		response, err := client.Get(url) //nolint:noctx // a test
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode, response.Body.Close()
	}

	status.Store(http.StatusInternalServerError)
	for range 20 {
		code, err := get(server.URL)
		require.NoError(t, err)
		require.Equal(t, http.StatusInternalServerError, code, "a 500 may be one request's fault")
	}
	status.Store(http.StatusServiceUnavailable)
	for range 20 {
		code, err := get(server.URL)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, code)
	}
	before := asked.Load()
	_, err := get(server.URL)
	require.ErrorIs(t, err, breaker.ErrOpen)
	require.Equal(t, before, asked.Load(), "it was not asked")

	_, err = get(healthy.URL)
	require.NoError(t, err, "each server has a breaker of its own")
	require.Equal(t, 2, testutil.CollectAndCount(Metrics(client)))
}
