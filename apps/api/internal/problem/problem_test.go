package problem_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

func TestEveryCodeHasAnErrorStatusAndATitle(t *testing.T) {
	for _, code := range []problem.Code{
		problem.Unauthenticated, problem.Forbidden, problem.StepUpRequired, problem.AccountDisabled,
		problem.CrossSite, problem.NotFound, problem.MethodNotAllowed, problem.ChallengeExpired, problem.CursorGone,
		problem.InvalidRequest, problem.TooLarge, problem.Unavailable, problem.Internal,
	} {
		p := problem.New(code, "detail")
		require.GreaterOrEqual(t, p.Status(), http.StatusBadRequest, code)
		require.NotEmpty(t, p.Title(), code)
	}
}

// The door writes the phrase of the status, so the API does: one type, one title.
func TestTitleIsThatOfTheDoor(t *testing.T) {
	require.Equal(t, "Unauthorized", problem.New(problem.Unauthenticated, "").Title())
	require.Equal(t, "Forbidden", problem.New(problem.StepUpRequired, "").Title())
	require.Equal(t, "Service Unavailable", problem.New(problem.Unavailable, "").Title())
}

func TestCauseIsForTheLogOnly(t *testing.T) {
	cause := errors.New("dial tcp: refused")
	p := problem.New(problem.Unavailable, "Try again.").Because(cause)

	require.ErrorIs(t, p, cause)
	require.Contains(t, p.Error(), "refused")
	require.Equal(t, "Try again.", p.Detail)
}

func TestUnknownErrorIsInternalAndWrappedProblemIsFound(t *testing.T) {
	require.Equal(t, problem.Internal, problem.From(errors.New("x")).Code)
	wrapped := fmt.Errorf("outer: %w", problem.New(problem.Forbidden, "no"))
	require.Equal(t, problem.Forbidden, problem.From(wrapped).Code)
}
