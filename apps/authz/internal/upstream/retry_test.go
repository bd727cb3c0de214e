package upstream_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/upstream"
)

var patient = &upstream.Retry{MaxDelay: time.Millisecond, GiveUpAfter: time.Minute}

// flaky answers with the statuses one after the other, 0 being a connection that is cut, then with 200.
func flaky(t *testing.T, statuses ...int) (location string, asked *atomic.Int32) {
	asked = &atomic.Int32{}
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		body, _ := io.ReadAll(r.Body)
		switch {
		case string(body) != "question":
			w.WriteHeader(http.StatusBadRequest)
		case n > len(statuses):
			w.WriteHeader(http.StatusOK)
		case statuses[n-1] == 0:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(statuses[n-1])
		}
	}), asked
}

func question(t *testing.T, location string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, location, strings.NewReader("question"))
	require.NoError(t, err)
	return r
}

func TestQuestionIsAskedAgainWhileNobodyAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		statuses []int
		retry    *upstream.Retry
		status   int // 0 for an error
		asked    int32
	}{
		"at once":                         {nil, patient, 200, 1},
		"after cut connections":           {[]int{0, 0}, patient, 200, 3},
		"after 5xx":                       {[]int{500, 502, 503}, patient, 200, 4},
		"at most five times":              {[]int{503, 503, 503, 503, 503}, patient, 503, 5},
		"at most five times, unreached":   {[]int{0, 0, 0, 0, 0}, patient, 0, 5},
		"a no is an answer":               {[]int{403}, patient, 403, 1},
		"a wait is an answer":             {[]int{429}, patient, 429, 1},
		"what is not there will not be":   {[]int{501}, patient, 501, 1},
		"once without the key":            {[]int{503}, nil, 503, 1},
		"once without the key, unreached": {[]int{0}, nil, 0, 1},
		"once when it gives up at once":   {[]int{503}, &upstream.Retry{MaxDelay: time.Millisecond}, 503, 1},
		"no pause that is too long":       {[]int{503}, &upstream.Retry{MaxDelay: time.Hour, GiveUpAfter: time.Nanosecond}, 503, 1},
	} {
		t.Run(name, func(t *testing.T) {
			location, asked := flaky(t, c.statuses...)
			answer, err := client(failures{}, nil).DoAgain(t.Context(), question(t, location), c.retry)
			if c.status == 0 {
				require.ErrorContains(t, err, "transport")
			} else {
				require.NoError(t, err)
				require.Equal(t, c.status, answer.Status)
			}
			require.Equal(t, c.asked, asked.Load())
		})
	}
}

func TestAllTriesTogetherTakeTheTimeOfOneCall(t *testing.T) {
	var asked atomic.Int32
	location := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done() // a server that accepts and is silent
	})
	noted := failures{}
	hasty := upstream.New(upstream.Options{Timeout: 50 * time.Millisecond, MaxConnections: 1, Failed: noted.note})
	_, err := hasty.DoAgain(t.Context(), get(t, location), patient)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualValues(t, 1, asked.Load())
	require.Equal(t, failures{"timeout": 1}, noted)
}

func TestNobodyAsksAgainForACallerThatWentAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int32
	location := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		cancel()
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, _ = client(failures{}, nil).DoAgain(ctx, get(t, location), patient)
	require.EqualValues(t, 1, asked.Load())
}

func TestServerThatIsLeftAloneIsNotAskedAgain(t *testing.T) {
	down := upstream.New(upstream.Options{Timeout: time.Second, MaxConnections: 1, BreakerPause: time.Hour})
	var err error
	for range 4 { // of five tries each
		_, err = down.DoAgain(t.Context(), get(t, "http://127.0.0.1:1"), patient)
	}
	require.ErrorIs(t, err, upstream.ErrOpen)
}

func TestRetryConfigHasOathkeepersDefaults(t *testing.T) {
	none, err := (*upstream.RetryConfig)(nil).Parse()
	require.NoError(t, err)
	require.Nil(t, none)

	retry, err := (&upstream.RetryConfig{}).Parse()
	require.NoError(t, err)
	require.Equal(t, &upstream.Retry{MaxDelay: 100 * time.Millisecond, GiveUpAfter: time.Second}, retry)

	for _, broken := range []upstream.RetryConfig{{MaxDelay: "soon"}, {GiveUpAfter: "-1s"}} {
		_, err := broken.Parse()
		require.ErrorContains(t, err, "retry.")
	}
}
