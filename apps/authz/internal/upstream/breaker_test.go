package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/libs/breaker"
)

const origin = "http://kratos:4433"

// watched has a breaker for origin that pauses for 5 s.
type watched struct{ *breaker.Breakers[*Response] }

func watch() watched { return watched{newBreakers(5 * time.Second)} }

func (w watched) state() string { return w.Of(origin).State().String() }

func (w watched) call(status int, err error) error {
	_, got := w.Around(origin, func() (*Response, error) { return &Response{Status: status}, err })
	return got
}

func (w watched) repeat(n, status int, err error) {
	for range n {
		_ = w.call(status, err)
	}
}

var errDown = errors.New("connection refused")

func TestBreakerOpensWhenHalfOfTheCallsFailAndLetsOneTryAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		w.repeat(5, http.StatusOK, nil)
		w.repeat(4, 0, errDown)
		require.Equal(t, "closed", w.state())
		require.ErrorIs(t, w.call(0, errDown), errDown)
		require.Equal(t, "open", w.state())
		require.ErrorIs(t, w.call(http.StatusOK, nil), ErrOpen, "it is not asked")

		_, err := w.Around("http://hydra:4445", func() (*Response, error) { return &Response{Status: http.StatusOK}, nil })
		require.NoError(t, err, "another server is")

		time.Sleep(5*time.Second + 1) // the bubble's time
		require.Equal(t, "half-open", w.state())
		_, err = w.Around(origin, func() (*Response, error) {
			require.ErrorIs(t, w.call(http.StatusOK, nil), ErrOpen, "one at a time")
			return nil, errDown
		})
		require.ErrorIs(t, err, errDown)
		require.ErrorIs(t, w.call(http.StatusOK, nil), ErrOpen, "it is still down")

		time.Sleep(5*time.Second + 1)
		require.NoError(t, w.call(http.StatusOK, nil))
		require.Equal(t, "closed", w.state())
		w.repeat(9, 0, errDown)
		require.NoError(t, w.call(http.StatusOK, nil), "it begins to count anew")
	})
}

func TestFewFailuresInATimeOpenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		for range 10 {
			w.repeat(9, 0, errDown)
			time.Sleep(2 * breaker.Window)
		}
		require.Equal(t, "closed", w.state())
	})
}

func TestOnlyWhatIsTheServersTroubleIsCounted(t *testing.T) {
	for _, status := range []int{
		http.StatusOK, http.StatusFound, http.StatusBadRequest, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusInternalServerError,
	} {
		w := watch()
		w.repeat(100, status, nil)
		require.Equal(t, "closed", w.state(), status)
	}
	for _, status := range []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		w := watch()
		require.NoError(t, w.call(status, nil), "the answer is passed on")
		w.repeat(9, status, nil)
		require.Equal(t, "open", w.state(), status)
	}
	w := watch()
	w.repeat(100, 0, fmt.Errorf("upstream: %w", context.Canceled))
	require.Equal(t, "closed", w.state(), "callers that go away")
	w.repeat(10, 0, fmt.Errorf("upstream: %w", context.DeadlineExceeded))
	require.Equal(t, "open", w.state())
}
