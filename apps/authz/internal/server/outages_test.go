package server

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"gatehouse.internal/authz/internal/engine"
)

// Only a decision that ran every stage answers OK, and what cannot be decided is an error and no denial.

func TestNegativeDuringAnOutageIsKeptByNobody(t *testing.T) {
	for name, c := range map[string]struct {
		credential []string
		server     func(*stack) *upstreamServer
		no         [2]any
		yes        string
	}{
		"session":       {cookie(), func(s *stack) *upstreamServer { return s.kratos }, [2]any{http.StatusUnauthorized, "{}"}, session},
		"introspection": {bearer("ory_at_x"), func(s *stack) *upstreamServer { return s.hydra }, [2]any{http.StatusOK, `{"active":false}`}, active},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, keepAnswers)
			server := c.server(s)
			server.says(c.no[0].(int), c.no[1].(string), http.StatusServiceUnavailable)
			for range 3 {
				s.requireFailed(call{path: "/api/me", headers: c.credential})
			}
			require.Equal(t, 3, server.questions(), "asked each time")
			server.says(http.StatusOK, c.yes, http.StatusOK)
			s.requireAllowed(call{path: "/api/me", headers: c.credential})

			// A believed one is kept, for negative_ttl and no longer.
			s = newStack(t, keepAnswers)
			server = c.server(s)
			server.says(c.no[0].(int), c.no[1].(string), http.StatusOK)
			s.requireDenied(call{path: "/api/me", headers: c.credential}, 401, "unauthenticated")
			s.requireDenied(call{path: "/api/me", headers: c.credential}, 401, "unauthenticated")
			require.Equal(t, 1, server.questions())
			server.says(http.StatusOK, c.yes, http.StatusOK)
			s.clock.advance(10 * time.Second)
			s.requireAllowed(call{path: "/api/me", headers: c.credential})
		})
	}
}

func TestKeptYesOutlivesAnOutageOnlyForItsTime(t *testing.T) {
	s := newStack(t, keepAnswers)
	s.kratos.says(http.StatusOK, session, http.StatusOK)
	s.requireAllowed(call{path: "/api/me", headers: cookie()})
	s.kratos.says(http.StatusUnauthorized, "{}", http.StatusServiceUnavailable)
	s.requireAllowed(call{path: "/api/me", headers: cookie()})
	s.clock.advance(10 * time.Second)
	s.requireFailed(call{path: "/api/me", headers: cookie()})
}

func TestWithoutAConfigurationEverythingFails(t *testing.T) {
	s := newStack(t)
	s.engine.Use(nil)
	s.requireFailed(call{path: "/api/public/x"})
	s.requireFailed(call{path: "/api/me", headers: bearer(s.token(nil))})
	s.requireFailed(call{path: "//malformed"})
}

func TestPanicInAStageIsAnErrorAndCountsAsOne(t *testing.T) {
	s := newStack(t)
	s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(nil))})
	token := s.token(map[string]any{"jti": "another"})
	s.clock.breakOnce() // jwt looks at it
	s.requireFailed(call{path: "/api/me", headers: bearer(token)})
	s.requireAllowed(call{path: "/api/me", headers: bearer(token)})
	require.Contains(t, s.get("/metrics"), `authz_decisions_total{outcome="error",rule="none"} 1`)
	require.Contains(t, s.logs.String(), "panic")
	require.NotContains(t, s.logs.String(), "the clock is broken", "what a panic says may quote the request")
}

// A question that several requests wait for runs outside of them, where a panic would end the process.
func TestPanicInASharedQuestionIsAnError(t *testing.T) {
	s := newStack(t)
	s.hydra.answers(func(w http.ResponseWriter, _ *http.Request) {
		s.clock.breakOnce() // the answer's exp is compared with it
		_, _ = w.Write([]byte(strings.Replace(active, `"sub"`, `"exp":4070908800,"sub"`, 1)))
	})
	s.requireFailed(call{path: "/api/me", headers: bearer("ory_at_x")})
	s.hydra.answers(nil)
	s.hydra.says(http.StatusOK, active, http.StatusOK)
	s.requireAllowed(call{path: "/api/me", headers: bearer("ory_at_x")})
}

func TestSlowServerCostsItsOwnRequestsOnly(t *testing.T) {
	s := newStack(t)
	held, release := make(chan struct{}, 20), newRelease(t)
	s.kratos.answers(func(w http.ResponseWriter, r *http.Request) {
		held <- struct{}{}
		select {
		case <-release.done:
			_, _ = w.Write([]byte(session))
		case <-r.Context().Done():
		}
	})
	var waiting []<-chan *authv3.CheckResponse
	for i := range 20 {
		waiting = append(waiting, s.askLater(call{path: "/api/me", headers: []string{"cookie", "ory_kratos_session=" + strings.Repeat("s", i+1)}}))
	}
	for range 20 {
		<-held
	}
	s.hydra.says(http.StatusOK, active, http.StatusOK)
	s.requireAllowed(call{path: "/api/public/x"})
	s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(nil))})
	s.requireAllowed(call{path: "/api/me", headers: bearer("ory_at_x")})
	s.requireDenied(call{path: "/admin"}, 403, "")
	release.now()
	for _, answer := range waiting {
		require.NotNil(t, (<-answer).GetOkResponse())
	}
}

func TestSilenceEndsInAnError(t *testing.T) {
	s := newStack(t, func(s *Settings) { s.Upstream.Timeout = 50 * time.Millisecond })
	s.kratos.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.requireFailed(call{path: "/api/me", headers: cookie()})
	require.Contains(t, s.get("/metrics"), `authz_upstream_errors_total{reason="timeout"`)
}

// With every connection to a server taken, further questions wait for one, and not for ever.
func TestFullQueueIsAnError(t *testing.T) {
	s := newStack(t, func(s *Settings) { s.Upstream.MaxConnections, s.Upstream.Timeout = 1, 200*time.Millisecond })
	s.kratos.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	var waiting []<-chan *authv3.CheckResponse
	for i := range 8 {
		waiting = append(waiting, s.askLater(call{path: "/api/me", headers: []string{"cookie", "ory_kratos_session=" + strings.Repeat("s", i+1)}}))
	}
	for _, answer := range waiting {
		require.Nil(t, <-answer, "an error has no answer")
	}
	require.LessOrEqual(t, s.kratos.questions(), 8)
}

// Envoy gives up first: nothing it could still read may be a pass, and others are not disturbed.
func TestCallerThatGivesUpGetsNoPass(t *testing.T) {
	s := newStack(t)
	release := newRelease(t)
	s.kratos.answers(func(w http.ResponseWriter, _ *http.Request) {
		<-release.done
		_, _ = w.Write([]byte(session))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	out, err := s.client.Check(ctx, call{path: "/api/me", headers: cookie()}.request())
	require.Nil(t, out)
	require.Contains(t, []codes.Code{codes.DeadlineExceeded, codes.Internal}, status.Code(err), "whichever side saw it first")
	release.now()
	s.requireAllowed(call{path: "/api/me", headers: cookie()})
}

func TestGRPCHealthSaysWhatReadinessSays(t *testing.T) {
	log := slog.New(slog.NewJSONHandler(&lines{}, nil))
	e := &engine.Engine{}
	_, healthy := newGRPC(&door{engine: e, metrics: newMetrics(), log: log}, log, nil)
	says := func() (all []healthv1.HealthCheckResponse_ServingStatus) {
		for _, name := range []string{"", "envoy.service.auth.v3.Authorization"} {
			answer, err := healthy.Check(t.Context(), &healthv1.HealthCheckRequest{Service: name})
			require.NoError(t, err)
			all = append(all, answer.GetStatus())
		}
		return all
	}
	yes, no := healthv1.HealthCheckResponse_SERVING, healthv1.HealthCheckResponse_NOT_SERVING
	require.Equal(t, []healthv1.HealthCheckResponse_ServingStatus{no, no}, says(), "before there is a configuration")

	r := &reloader{engine: e, healthy: healthy, metrics: newMetrics(), log: log}
	r.use(&engine.Snapshot{})
	require.Equal(t, []healthv1.HealthCheckResponse_ServingStatus{no, no}, says(), "without a valid rule")
	r.use(newStack(t).engine.Snapshot())
	require.Equal(t, []healthv1.HealthCheckResponse_ServingStatus{yes, yes}, says())
	healthy.Shutdown()
	require.Equal(t, []healthv1.HealthCheckResponse_ServingStatus{no, no}, says(), "while it drains")
}

// Every question that was asked before the end gets its answer, and what comes later fails in a way that Envoy
// tries again elsewhere.
func TestDrainLosesNoRequest(t *testing.T) {
	settings := writeConfig(t, "http://127.0.0.1:1", "http://127.0.0.1:1")
	settings.GRPC.Address, settings.Ops.Address = "unix://"+filepath.Join(t.TempDir(), "a.sock"), "127.0.0.1:0"
	settings.Drain = time.Minute
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, settings, &lines{}) }()
	connection, err := grpc.NewClient(settings.GRPC.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	client := authv3.NewAuthorizationClient(connection)
	question := call{path: "/api/public/x"}.request()
	_, err = client.Check(t.Context(), question, grpc.WaitForReady(true))
	require.NoError(t, err)

	const callers = 8
	problems, allowed := make(chan error, callers), make(chan int, callers)
	for range callers {
		go func() {
			n := 0
			for {
				out, err := client.Check(t.Context(), question)
				if err != nil {
					problems <- err
					allowed <- n
					return
				}
				if out.GetOkResponse() != nil {
					n++
				}
				if n == 20 {
					stop()
				}
			}
		}()
	}
	for range callers {
		require.Equal(t, codes.Unavailable, status.Code(<-problems))
		require.NotZero(t, <-allowed)
	}
	require.NoError(t, <-ended)
}
