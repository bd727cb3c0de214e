package jobs

import (
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
)

func TestRetriesSlowDownToOneAMinute(t *testing.T) {
	for failures, least := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 6: time.Minute, 40: time.Minute} {
		before := time.Now()
		next := backoff{}.NextRetry(&rivertype.JobRow{Errors: make([]rivertype.AttemptError, failures)})
		require.WithinRange(t, next, before.Add(least), time.Now().Add(least+least/4), "%d failures", failures)
	}
}
