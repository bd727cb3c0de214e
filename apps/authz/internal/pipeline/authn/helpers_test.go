package authn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authn"
	"gatehouse.internal/authz/internal/upstream"
)

// now is the time at which all of these tests happen.
var now = time.Unix(1_800_000_000, 0)

// world is what the authenticators under test can reach.
type world struct {
	t        testing.TB
	server   *httptest.Server
	answer   http.HandlerFunc // of everything but readiness
	ready    int              // status of readiness
	mu       sync.Mutex       // of asked, while requests are under way
	asked    []*http.Request
	keys     map[string]func() ([]byte, error)
	warnings []string
	passed   atomic.Int64 // nanoseconds since now
	more     authn.Deps   // caches and extensions
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, ready: http.StatusOK, keys: map[string]func() ([]byte, error){}}
	w.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			out.WriteHeader(w.ready)
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		w.asked = append(w.asked, r)
		w.mu.Unlock()
		w.answer(out, r)
	}))
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) says(status int, body string) {
	w.answer = func(out http.ResponseWriter, _ *http.Request) {
		out.WriteHeader(status)
		_, _ = fmt.Fprint(out, body)
	}
}

func (w *world) deps() authn.Deps {
	return authn.Deps{
		Upstream: upstream.New(upstream.Options{
			Timeout: 5 * time.Second, MaxConnections: 4,
			Readiness: map[string]string{w.server.URL: w.server.URL + "/ready"},
		}),
		Keys: keys.NewStore(func(_ context.Context, location string) ([]byte, error) {
			if set := w.keys[location]; set != nil {
				return set()
			}
			return nil, errors.New("unreachable")
		}, w.now),
		Now:  w.now,
		Warn: func(format string, args ...any) { w.warnings = append(w.warnings, fmt.Sprintf(format, args...)) },

		Caches: w.more.Caches, ChecksumPrefixes: w.more.ChecksumPrefixes, NextOnError: w.more.NextOnError,
	}
}

func (w *world) now() time.Time     { return now.Add(time.Duration(w.passed.Load())) }
func (w *world) at(d time.Duration) { w.passed.Store(int64(d)) }

func (w *world) build(name string, config map[string]any) authn.Authenticator {
	w.t.Helper()
	built, err := authn.New(name, config, w.deps())
	require.NoError(w.t, err)
	return built
}

func request(header http.Header) *pipeline.Request {
	if header == nil {
		header = http.Header{}
	}
	return &pipeline.Request{
		ID: "id-1", Method: "POST", Scheme: "https", Host: "api.example", Path: "/a%20b", Query: "token=from-query", Header: header,
	}
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func authenticate(t *testing.T, a authn.Authenticator, r *pipeline.Request) (*pipeline.Session, error) {
	t.Helper()
	session := &pipeline.Session{}
	err := a.Authenticate(t.Context(), r, session)
	pipeline.Complete(session, r, nil) // as the engine does
	return session, err
}

func requireDenied(t *testing.T, err error, status int, code string) pipeline.Denial {
	t.Helper()
	var denial *pipeline.Denial
	require.ErrorAs(t, err, &denial)
	require.Equal(t, status, denial.Status, denial.Reason)
	require.Equal(t, code, denial.Code, denial.Reason)
	return *denial
}

// requireOutage: an error that is no decision, so the caller gets 503 and not 401.
func requireOutage(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	var denial *pipeline.Denial
	require.False(t, errors.As(err, &denial), "%v", err)
	require.NotErrorIs(t, err, pipeline.ErrNotResponsible)
}

func newKey(t testing.TB, kid string) jose.JSONWebKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "ES256", Use: "sig"}
}

func (w *world) publish(location string, list ...jose.JSONWebKey) {
	var public jose.JSONWebKeySet
	for _, key := range list {
		public.Keys = append(public.Keys, key.Public())
	}
	body, err := json.Marshal(public)
	require.NoError(w.t, err)
	w.keys[location] = func() ([]byte, error) { return body, nil }
}
