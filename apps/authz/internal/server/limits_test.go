package server

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestRequestThatIsTooLargeIsAnErrorAndNoAnswer(t *testing.T) {
	s := newStack(t)
	_, err := s.ask(call{path: "/api/public/x", headers: []string{"x-large", strings.Repeat("x", maxCheck)}})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	s.requireAllowed(call{path: "/api/public/x", headers: []string{"x-large", strings.Repeat("x", maxCheck/2)}})
}

// All connections to a server are taken: who waits for one in vain gets an error, never a 401.
func TestQueueThatIsFullIsAnErrorAndNoDenial(t *testing.T) {
	s := newStack(t, func(s *Settings) {
		s.Upstream.MaxConnections, s.Upstream.Timeout, s.Upstream.BreakerPause = 1, 100*time.Millisecond, 0
	})
	s.kratos.says(http.StatusUnauthorized, "", http.StatusOK) // the answer, if only it came
	s.kratos.mu.Lock()
	defer s.kratos.mu.Unlock()
	failed := make(chan error)
	for n := range 3 {
		go func() {
			_, err := s.ask(call{path: "/api/me", headers: []string{"cookie", "ory_kratos_session=" + strconv.Itoa(n)}})
			failed <- err
		}()
	}
	for range 3 {
		require.Equal(t, codes.Internal, status.Code(<-failed))
	}
	require.Contains(t, s.get("/metrics"), `authz_upstream_errors_total{reason="timeout",upstream="`+s.kratos.URL+`"} 3`)
}
