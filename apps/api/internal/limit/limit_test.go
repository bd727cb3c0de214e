package limit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBucket(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m, err := NewMemory(Policy{PerSecond: 2, Burst: 3}, func() time.Time { return now })
	require.NoError(t, err)
	take := func(key string) Decision {
		d, err := m.Take(t.Context(), key)
		require.NoError(t, err)
		return d
	}

	for want := 2; want >= 0; want-- {
		require.Equal(t, Decision{Allowed: true, Remaining: want}, take("ann"))
	}
	require.Equal(t, Decision{Retry: 500 * time.Millisecond}, take("ann"))
	require.True(t, take("bob").Allowed, "each has a bucket of their own")

	now = now.Add(500 * time.Millisecond)
	require.True(t, take("ann").Allowed)
	require.False(t, take("ann").Allowed)
	now = now.Add(time.Hour)
	require.Equal(t, 2, take("ann").Remaining, "never more than the burst")
}
