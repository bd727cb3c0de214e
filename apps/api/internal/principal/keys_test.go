package principal_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/principal/principaltest"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newKeys(t *testing.T) (*principal.Keys, *principaltest.Door, *clock) {
	t.Helper()
	door, clock := principaltest.NewDoor(t), &clock{now: now}
	return principal.NewKeys(door.URL, http.DefaultClient, time.Minute, clock.Now), door, clock
}

func TestKeysAreFetchedOnce(t *testing.T) {
	keys, door, _ := newKeys(t)
	for range 3 {
		_, err := keys.Key(t.Context(), "first")
		require.NoError(t, err)
	}
	require.Equal(t, 1, door.Fetches())
}

func TestKeysAtOnceShareOneFetch(t *testing.T) {
	keys, door, _ := newKeys(t)
	var asked sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		asked.Go(func() { _, errs[i] = keys.Key(t.Context(), "first") })
	}
	asked.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 1, door.Fetches())
}

func TestInventedKeyIDsDoNotBecomeFetches(t *testing.T) {
	keys, door, clock := newKeys(t)
	for range 50 {
		_, err := keys.Key(t.Context(), "invented")
		require.ErrorIs(t, err, principal.ErrUnknownKey)
	}
	require.Equal(t, 1, door.Fetches())

	clock.pass(time.Second)
	_, err := keys.Key(t.Context(), "invented")
	require.ErrorIs(t, err, principal.ErrUnknownKey)
	require.Equal(t, 2, door.Fetches())
}

func TestNewKeyIsFoundAndTheOldOneForgotten(t *testing.T) {
	keys, door, clock := newKeys(t)
	_, err := keys.Key(t.Context(), "first")
	require.NoError(t, err)

	door.Rotate(t, "second")
	clock.pass(2 * time.Second)
	_, err = keys.Key(t.Context(), "second")
	require.NoError(t, err)

	clock.pass(2 * time.Second)
	_, err = keys.Key(t.Context(), "first")
	require.ErrorIs(t, err, principal.ErrUnknownKey)
}

func TestWithdrawnKeyStopsWithinAMinute(t *testing.T) {
	keys, door, clock := newKeys(t)
	_, err := keys.Key(t.Context(), "first")
	require.NoError(t, err)

	door.Rotate(t, "second")
	clock.pass(time.Minute)
	// The set is fetched behind the request that finds it stale: a few more may pass meanwhile.
	for err == nil {
		_, err = keys.Key(t.Context(), "first")
	}
	require.ErrorIs(t, err, principal.ErrUnknownKey)
}

func TestLastGoodKeysServeWhileTheDoorIsDownAndNotForever(t *testing.T) {
	keys, door, clock := newKeys(t)
	_, err := keys.Key(t.Context(), "first")
	require.NoError(t, err)
	door.SetDown(true)

	clock.pass(14 * time.Minute)
	_, err = keys.Key(t.Context(), "first")
	require.NoError(t, err)

	clock.pass(time.Minute)
	_, err = keys.Key(t.Context(), "first")
	require.Error(t, err)
	require.NotErrorIs(t, err, principal.ErrUnknownKey)

	door.SetDown(false)
	clock.pass(time.Second)
	_, err = keys.Key(t.Context(), "first")
	require.NoError(t, err)
}

func TestUnknownKeyIsAnOutageWhileTheDoorIsDown(t *testing.T) {
	keys, door, clock := newKeys(t)
	door.SetDown(true)
	for range 3 {
		_, err := keys.Key(t.Context(), "first")
		require.Error(t, err)
		require.NotErrorIs(t, err, principal.ErrUnknownKey)
	}
	require.Equal(t, 1, door.Fetches())

	door.SetDown(false)
	clock.pass(time.Second)
	_, err := keys.Key(t.Context(), "first")
	require.NoError(t, err)
}
