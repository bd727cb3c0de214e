package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What a client can make large has a limit, and beyond it there is an error or a refusal and never a pass.

func TestQuestionThatIsTooLargeIsAnError(t *testing.T) {
	s := newStack(t)
	for name, in := range map[string]*authv3.CheckRequest{
		"header": call{path: "/api/public/x", headers: []string{"x-large", strings.Repeat("a", maxCheck)}}.request(),
		"path":   call{path: "/api/public/" + strings.Repeat("a", maxCheck)}.request(),
		"body":   withBody(call{path: "/api/public/x"}.request(), maxCheck),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := s.client.Check(t.Context(), in)
			require.Nil(t, out)
			require.Equal(t, codes.ResourceExhausted, status.Code(err))
		})
	}
	s.requireAllowed(call{path: "/api/public/x", headers: []string{"x-large", strings.Repeat("a", 60<<10)}})
}

func withBody(in *authv3.CheckRequest, size int) *authv3.CheckRequest {
	in.GetAttributes().GetRequest().GetHttp().RawBody = make([]byte, size)
	return in
}

func TestLargeCapturesMakeNoLargeHeader(t *testing.T) {
	s := newStack(t, withRules(captures))
	s.requireAllowed(call{path: "/captured/" + strings.Repeat("a", 60<<10)})
	s.requireDenied(call{path: "/captured/" + strings.Repeat("a", 65<<10)}, 500, "")
}

func TestManySegmentsCostNoMoreThanTheirLength(t *testing.T) {
	s := newStack(t, withRules(captures))
	s.requireDenied(call{path: "/api/" + strings.Repeat("a/", 200<<10) + "x", method: "PUT"}, 404, "no_rule")
	s.requireDenied(call{path: "/" + strings.Repeat("%C3%A9", 100<<10)}, 404, "")
}

// The runaway pattern of this rule is tried against every request below /slow/, and ends after 250 ms.
const runaway = `
- {id: runaway, match: {url: "<https?>://<[^/]+>/slow/<(?!zz)(a+)+>", methods: [GET]}, authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}
`

func TestSlowPatternCostsItsOwnRequestOnly(t *testing.T) {
	s := newStack(t, withRules(runaway))
	slow := call{path: "/slow/" + strings.Repeat("a", 40) + "!"}
	s.requireDenied(slow, 500, "")
	s.requireAllowed(call{path: "/slow/aaa"})

	// Five answers during one such search could not be had behind a lock. A busy machine may need more than one try.
	during := func() int {
		answered := s.askLater(slow)
		for n := 0; ; n++ {
			select {
			case <-answered:
				return n
			default:
				s.requireAllowed(call{path: "/api/public/x"})
			}
		}
	}
	for tries := 0; during() < 5; tries++ {
		require.Less(t, tries, 20, "requests wait for another one's pattern")
	}
}

func TestCachesStayWithinTheirEntries(t *testing.T) {
	s := newStack(t, keepAnswers, func(s *Settings) { s.Cache.MaxEntries = 50 })
	s.kratos.answers(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Cookie"), "good") {
			_, _ = w.Write([]byte(session))
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	s.hydra.says(http.StatusOK, active, http.StatusOK)
	for i := range 120 {
		s.requireAllowed(call{path: "/api/me", headers: []string{"cookie", fmt.Sprintf("ory_kratos_session=good-%d", i)}})
		s.requireDenied(call{path: "/api/me", headers: []string{"cookie", fmt.Sprintf("ory_kratos_session=bad-%d", i)}}, 401, "unauthenticated")
		s.requireAllowed(call{path: "/api/me", headers: bearer(fmt.Sprintf("ory_at_%d", i))})
		s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(map[string]any{"jti": fmt.Sprint(i), "sub": fmt.Sprint(i)}))})
	}
	entries := 0
	for line := range strings.Lines(s.get("/metrics")) {
		var n int
		if strings.HasPrefix(line, "authz_cache_entries") {
			_, err := fmt.Sscanf(line[strings.LastIndexByte(line, ' '):], "%d", &n)
			require.NoError(t, err)
			require.LessOrEqual(t, n, 50, line)
			entries += n
		}
	}
	require.GreaterOrEqual(t, entries, 200, "and they are used")
}

func TestQuestionsToOneServerAreBounded(t *testing.T) {
	s := newStack(t, func(s *Settings) { s.Upstream.MaxConnections, s.Upstream.Timeout = 3, time.Minute })
	held, release := make(chan struct{}, 30), newRelease(t)
	s.kratos.answers(func(w http.ResponseWriter, _ *http.Request) {
		held <- struct{}{}
		<-release.done
		_, _ = w.Write([]byte(session))
	})
	someone := func(i int) call {
		return call{path: "/api/me", headers: []string{"cookie", fmt.Sprintf("ory_kratos_session=%d", i)}}
	}
	var waiting []<-chan *authv3.CheckResponse
	for i := range 3 {
		waiting = append(waiting, s.askLater(someone(i)))
		<-held
	}
	for i := range 3 { // each waits for a connection for as long as its caller does
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := s.client.Check(ctx, someone(10+i).request())
		require.Error(t, err)
		cancel()
	}
	require.Equal(t, 3, s.kratos.questions())
	release.now()
	for _, answer := range waiting {
		require.NotNil(t, (<-answer).GetOkResponse())
	}
	s.requireAllowed(someone(20))
}
