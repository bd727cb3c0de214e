//go:build smoke

package smoke

import (
	"net/http"
	"net/url"
	"testing"
)

// These stop parts of the stack, so they come last (files run in the order of their names: see zz_restart_test.go
// for the very last) and not beside others.

func TestWithTheGateStoppedNothingIsDecided(t *testing.T) {
	token := demoClient().machine(t, url.Values{"audience": {audience()}})
	ask := func() answer { return get(t, "/api/me", "Authorization", "Bearer "+token) }
	ask().identity(t)

	running.stop(t, gate)
	requireProblem(t, ask(), http.StatusServiceUnavailable, "unavailable")
	requireProblem(t, get(t, "/api/public/health"), http.StatusServiceUnavailable, "unavailable")

	running.start(t, gate)
	eventually(t, http.StatusOK, ask)
}

func TestWithTheAPIStoppedTheDoorSaysSo(t *testing.T) {
	token := demoClient().machine(t, url.Values{"audience": {audience()}})
	running.stop(t, "api")
	requireProblem(t, get(t, "/api/me", "Authorization", "Bearer "+token), http.StatusServiceUnavailable, "unavailable")
	running.start(t, "api")
	eventually(t, http.StatusOK, func() answer { return get(t, "/api/public/health") })
}

func TestWithKratosStoppedASessionIsNeitherBelievedNorDenied(t *testing.T) {
	p := signedIn(t)
	p.me(t).identity(t)
	running.stop(t, "kratos")
	eventually(t, kratosStopped().status, func() answer { return p.me(t) }) // what the gate keeps is good for a moment
	requireRefusal(t, p.me(t), kratosStopped)
	running.start(t, "kratos")
	eventually(t, http.StatusOK, func() answer { return p.me(t) })
}

func TestWithTheDatabaseStoppedASessionIsNeitherBelievedNorDenied(t *testing.T) {
	p := signedIn(t)
	p.me(t).identity(t)
	token := demoClient().machine(t, url.Values{"audience": {audience()}})
	running.stop(t, "postgres")
	eventually(t, databaseStopped().status, func() answer { return p.me(t) })
	requireRefusal(t, p.me(t), databaseStopped)
	requireRefusal(t, get(t, "/api/me", "Authorization", "Bearer "+token), databaseStoppedForToken)
	running.start(t, "postgres")
	eventually(t, http.StatusOK, func() answer { return p.me(t) })
	eventually(t, http.StatusOK, func() answer { return get(t, "/api/me", "Authorization", "Bearer "+token) })
}
