//go:build smoke

package smoke

import (
	"net/http"
	"testing"
)

// refusal is a status with its problem code.
type refusal struct {
	status int
	code   string
}

// The named differences between the gates. Everything else is the same with both; README.md lists these.
var (
	// Oathkeeper takes any answer of Kratos but 200 for "not signed in", so a person who has to take the second
	// step is told to sign in.
	secondFactorMissing = byGate(refusal{http.StatusForbidden, "step_up_required"}, refusal{http.StatusUnauthorized, "unauthenticated"})
	// Oathkeeper takes a connection that fails for a refusal.
	kratosStopped = byGate(refusal{http.StatusServiceUnavailable, "unavailable"}, refusal{http.StatusForbidden, "forbidden"})
	// With its database away Kratos says 401. authz asks whether Kratos is ready before it believes that.
	databaseStopped = byGate(refusal{http.StatusServiceUnavailable, "unavailable"}, refusal{http.StatusUnauthorized, "unauthenticated"})
	// The same for tokens: Hydra says "inactive".
	databaseStoppedForToken = databaseStopped
)

func byGate(authz, oathkeeper refusal) func() refusal {
	return func() refusal {
		if gate == "oathkeeper" {
			return oathkeeper
		}
		return authz
	}
}

func requireRefusal(t *testing.T, a answer, expected func() refusal) {
	t.Helper()
	requireProblem(t, a, expected().status, expected().code)
}
