package products

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

func nested(levels int) []byte {
	return []byte(`{"openapi":"3.0.3","info":{"title":"a \"{[{[","version":"1"},"paths":{},"components":{"schemas":{"A":` +
		strings.Repeat(`{"not":`, levels) + `{"type":"string"}` + strings.Repeat(`}`, levels) + `}}}`)
}

// Reading 1000 levels takes a second, and 9000 minutes: without the bound this test does not end in time.
func TestDocumentThatIsAllNestingIsRefusedAtOnce(t *testing.T) {
	require.NoError(t, describes(t.Context(), nested(40)))
	err := describes(t.Context(), nested(9000))
	require.Equal(t, problem.Unprocessable, problem.From(err).Code)
	require.Equal(t, "is nested too deeply", problem.From(err).Fields[0].Reason)
}

func TestDepthIsThatOfObjectsAndArraysOnly(t *testing.T) {
	require.False(t, deeper([]byte(`{"a":["[[[[", "\"[[[", "\\"], "b":[[]]}`), 3))
	require.True(t, deeper([]byte(`{"a":["[[[[", "\"[[[", "\\"], "b":[[]]}`), 2))
}
