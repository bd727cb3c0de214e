package permission

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRowsKnowEveryPermitAndNoOther(t *testing.T) {
	require.Len(t, needs, len(Permits))
	for namespace, permits := range Permits {
		require.Len(t, needs[namespace], len(permits), namespace)
		for _, permit := range permits {
			require.Positive(t, needs[namespace][permit], "%s.%s", namespace, permit)
		}
	}
}
