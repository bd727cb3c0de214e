package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
)

func TestAnswersOfOtherServersAreNotKeptUnlessAskedFor(t *testing.T) {
	s := Default()
	require.Zero(t, s.Cache.SessionTTL)
	require.Zero(t, s.Cache.IntrospectionTTL)
	require.Equal(t, []string{"grant", "hydrator", "id_token", "jwt"}, kept(t, s))

	s.Cache.SessionTTL, s.Cache.IntrospectionTTL = time.Second, time.Second
	require.Equal(t, []string{"grant", "hydrator", "id_token", "introspection", "introspection_refused", "jwt", "session", "session_refused"}, kept(t, s))

	s.Cache.MaxEntries = 0
	require.Empty(t, kept(t, s))
}

// kept names the caches that have metrics.
func kept(t *testing.T, s Settings) []string {
	t.Helper()
	options := engine.Options{Now: time.Now}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.keep(&options)...)
	families, err := registry.Gather()
	require.NoError(t, err)
	var names []string
	for _, family := range families {
		if family.GetName() == "authz_cache_entries" {
			for _, metric := range family.GetMetric() {
				names = append(names, metric.GetLabel()[0].GetValue())
			}
		}
	}
	return names
}

func TestUnsafeCachesAndExtensionsAreRefused(t *testing.T) {
	for want, change := range map[string]func(*Settings){
		"cache.max_entries":       func(s *Settings) { s.Cache.MaxEntries = -1 },
		"cache.session_ttl":       func(s *Settings) { s.Cache.SessionTTL = 11 * time.Second },
		"cache.introspection_ttl": func(s *Settings) { s.Cache.IntrospectionTTL = -1 },
		"cache.negative_ttl":      func(s *Settings) { s.Cache.NegativeTTL = time.Minute },
		"upstream.breaker_pause":  func(s *Settings) { s.Upstream.BreakerPause = -1 },
		"checksum_prefixes":       func(s *Settings) { s.ChecksumPrefixes = []string{""} },
		"next_on_error":           func(s *Settings) { s.NextOnError = []string{"noop"} },
	} {
		s := Default()
		s.OathkeeperConfig = "x"
		require.NoError(t, s.Verify())
		change(&s)
		require.ErrorContains(t, s.Verify(), want)
	}
}

func TestLogoutActsAtOnceUnlessSessionsAreKept(t *testing.T) {
	s := newStack(t)
	s.kratos.says(http.StatusOK, session, http.StatusOK)
	s.requireAllowed(call{path: "/api/me", headers: cookie()})
	s.kratos.says(http.StatusUnauthorized, "", http.StatusOK)
	s.requireDenied(call{path: "/api/me", headers: cookie()}, 401, "unauthenticated")

	s = newStack(t, func(s *Settings) { s.Cache.SessionTTL = 10 * time.Second })
	s.kratos.says(http.StatusOK, session, http.StatusOK)
	first := s.requireAllowed(call{path: "/api/me", headers: cookie()})
	s.kratos.says(http.StatusInternalServerError, "", http.StatusOK)
	require.Equal(t, first, s.requireAllowed(call{path: "/api/me", headers: cookie()}), "also the identity token is the same")
	s.requireFailed(call{path: "/api/me", headers: []string{"cookie", "ory_kratos_session=another"}})
	require.Contains(t, s.get("/metrics"), `authz_cache_hits_total{cache="session"} 1`)
}

func TestServerThatIsDownIsAnErrorAndIsLeftAlone(t *testing.T) {
	s := newStack(t)
	s.kratos.Close()
	for range 15 {
		s.requireFailed(call{path: "/api/me", headers: cookie()})
	}
	metrics := s.get("/metrics")
	require.Contains(t, metrics, `authz_upstream_breaker_state{upstream="`+s.kratos.URL+`"} 2`)
	require.Contains(t, metrics, `authz_upstream_errors_total{reason="breaker_open",upstream="`+s.kratos.URL+`"} 5`)
	s.requireAllowed(call{path: "/api/me", headers: bearer(s.token(nil))})
}

func TestKeptSessionIsNotBelievedWhileTheRevocationFeedIsStale(t *testing.T) {
	s := newStack(t, func(s *Settings) {
		s.Cache.SessionTTL = 10 * time.Second
		s.Revocation.File = "never-read.json"
	})
	s.kratos.says(http.StatusOK, session, http.StatusOK)
	s.requireAllowed(call{path: "/api/me", headers: cookie()})
	s.kratos.says(http.StatusUnauthorized, "", http.StatusOK)
	s.requireDenied(call{path: "/api/me", headers: cookie()}, 401, "unauthenticated")
}
