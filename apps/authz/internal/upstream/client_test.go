package upstream_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gatehouse.internal/authz/internal/upstream"
	"gatehouse.internal/libs/telemetry"
)

type failures map[string]int

func (f failures) note(_, reason string) { f[reason]++ }

func client(f failures, readiness map[string]string) *upstream.Client {
	return upstream.New(upstream.Options{Timeout: 5 * time.Second, MaxConnections: 4, Readiness: readiness, Failed: f.note})
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func get(t *testing.T, location string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, location, nil)
	require.NoError(t, err)
	return r
}

func TestAnyStatusIsAnAnswer(t *testing.T) {
	location := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) })
	answer, err := client(failures{}, nil).Do(t.Context(), get(t, location))
	require.NoError(t, err)
	require.Equal(t, http.StatusTeapot, answer.Status)
	require.Equal(t, "no\n", string(answer.Body))
}

func TestRequestIDAndTraceTravelOn(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var seen http.Header
	location := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	ctx := telemetry.WithRequestID(t.Context(), "id-1")
	carrier := http.Header{"Traceparent": {parent}}
	ctx = telemetry.Propagator.Extract(ctx, carrierOf(carrier))

	_, err := client(failures{}, nil).Do(ctx, get(t, location))

	require.NoError(t, err)
	require.Equal(t, "id-1", seen.Get("X-Request-Id"))
	require.Equal(t, parent, seen.Get("Traceparent"))
}

type carrierOf http.Header

func (c carrierOf) Get(key string) string { return http.Header(c).Get(key) }
func (c carrierOf) Set(key, value string) { http.Header(c).Set(key, value) }
func (c carrierOf) Keys() []string        { return []string{"traceparent"} }

func TestRedirectIsNotFollowed(t *testing.T) {
	other := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the credential was carried on") })
	location := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusFound) })
	answer, err := client(failures{}, nil).Do(t.Context(), get(t, location))
	require.NoError(t, err)
	require.Equal(t, http.StatusFound, answer.Status)
}

func TestEndlessBodyIsAnError(t *testing.T) {
	seen := failures{}
	location := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", 2<<20)))
	})
	_, err := client(seen, nil).Do(t.Context(), get(t, location))
	require.Error(t, err)
	require.Equal(t, 1, seen["too_large"])
}

func TestSilenceIsAnErrorOnceTheDeadlineIsOver(t *testing.T) {
	seen := failures{}
	location := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := upstream.New(upstream.Options{Timeout: 20 * time.Millisecond, MaxConnections: 1, Failed: seen.note})
	_, err := c.Do(t.Context(), get(t, location+"/secret-path?secret-query"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, 1, seen["timeout"])
}

func TestTheCallersOwnDeadlineHolds(t *testing.T) {
	location := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	seen := failures{}
	_, err := client(seen, nil).Do(ctx, get(t, location))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, seen["canceled"])
}

func TestDeadServerIsAnErrorThatNamesOnlyTheOrigin(t *testing.T) {
	seen := failures{}
	server := httptest.NewServer(http.NotFoundHandler())
	location := server.URL
	server.Close()
	_, err := client(seen, nil).Do(t.Context(), get(t, location+"/secret-path"))
	require.ErrorContains(t, err, location)
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, 1, seen["transport"])
}

func TestNegativeIsBelievedOnlyFromAReadyServer(t *testing.T) {
	status := http.StatusOK
	location := serve(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/ready", r.URL.Path)
		w.WriteHeader(status)
	})
	answered, err := url.Parse(location + "/sessions/whoami")
	require.NoError(t, err)
	c := client(failures{}, map[string]string{upstream.Origin(answered): location + "/ready"})
	require.True(t, c.Watches(answered))

	require.NoError(t, c.ConfirmNegative(t.Context(), answered))
	for _, status = range []int{http.StatusServiceUnavailable, http.StatusTemporaryRedirect, http.StatusNoContent} {
		require.Error(t, c.ConfirmNegative(t.Context(), answered), status)
	}
}

func TestNegativeOfAnUnwatchedServerIsBelieved(t *testing.T) {
	answered, err := url.Parse("http://127.0.0.1:1/x")
	require.NoError(t, err)
	c := client(failures{}, nil)
	require.False(t, c.Watches(answered))
	require.NoError(t, c.ConfirmNegative(t.Context(), answered))
}

func TestOriginsCompareByMeaning(t *testing.T) {
	for text, want := range map[string]string{
		"http://Kratos/x":      "http://kratos:80",
		"HTTP://kratos:80":     "http://kratos:80",
		"https://k":            "https://k:443",
		"http://127.0.0.1:443": "http://127.0.0.1:443",
	} {
		parsed, err := url.Parse(text)
		require.NoError(t, err)
		require.Equal(t, want, upstream.Origin(parsed), text)
	}
}

func TestServerThatIsDownIsLeftAlone(t *testing.T) {
	seen := failures{}
	server := httptest.NewServer(http.NotFoundHandler())
	location := server.URL
	server.Close()
	c := upstream.New(upstream.Options{Timeout: 5 * time.Second, MaxConnections: 1, Failed: seen.note, BreakerPause: time.Hour})
	for range 20 {
		_, err := c.Do(t.Context(), get(t, location+"/secret-path"))
		require.ErrorContains(t, err, location)
		require.NotContains(t, err.Error(), "secret")
	}
	require.Equal(t, failures{"transport": 10, "breaker_open": 10}, seen)
	require.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(`
# HELP authz_upstream_breaker_state State of the breaker of a server: 0 closed, 1 half-open, 2 open (the server is not asked).
# TYPE authz_upstream_breaker_state gauge
authz_upstream_breaker_state{upstream="`+location+`"} 2
`)))
}

func TestServerThatIsNotReadyCanStillAnswer(t *testing.T) {
	location := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	answered, err := url.Parse(location)
	require.NoError(t, err)
	c := upstream.New(upstream.Options{
		Timeout: 5 * time.Second, MaxConnections: 1, BreakerPause: time.Hour,
		Readiness: map[string]string{upstream.Origin(answered): location + "/ready"},
	})
	for range 20 {
		require.Error(t, c.ConfirmNegative(t.Context(), answered))
	}
	_, err = c.Do(t.Context(), get(t, location+"/sessions/whoami"))
	require.NoError(t, err)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQueueThatIsFullEndsInAnError(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	location := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			close(busy)
			<-release
		}
	})
	seen := failures{}
	c := upstream.New(upstream.Options{Timeout: 5 * time.Second, MaxConnections: 1, Failed: seen.note})
	first := make(chan error, 1)
	go func() {
		_, err := c.Do(t.Context(), get(t, location+"/first"))
		first <- err
	}()
	<-busy
	waiting, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Do(waiting, get(t, location+"/second"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(release)
	require.NoError(t, <-first)
	require.Equal(t, failures{"timeout": 1}, seen)
	_, err = c.Do(t.Context(), get(t, location+"/third"))
	require.NoError(t, err)
}
