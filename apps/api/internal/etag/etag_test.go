package etag

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

func TestMatch(t *testing.T) {
	require.NoError(t, Match(nil, 7))
	for _, good := range []string{`"7"`, `*`, `"6", "7"`} {
		require.NoError(t, Match(&good, 7), good)
	}
	for _, bad := range []string{`"8"`, `7`, `W/"7"`, ``, `"7`} { // a weak tag never matches here: RFC 9110, 13.1.1
		require.Equal(t, problem.PreconditionFailed, problem.From(Match(&bad, 7)).Code, bad)
	}
}
