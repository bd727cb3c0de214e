package server

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDefaultsLackOnlyOathkeepersFile(t *testing.T) {
	s := Default()
	require.ErrorContains(t, s.Verify(), "oathkeeper_config")
	s.OathkeeperConfig = "/x"
	require.NoError(t, s.Verify())
	s.GRPC.Address = "unix:///run/authz.sock"
	require.NoError(t, s.Verify())
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	var s Settings
	s.GRPC.Address, s.Drain = "nowhere", -1
	s.Log.Level, s.Log.AllowLinesPerSecond = "loud", -1
	s.Delegate.URL = "oathkeeper"
	s.ProblemJSON.Prefixes = []string{"api"}
	s.Readiness = []Readiness{{Upstream: "kratos", URL: "http://ok/ready"}, {Upstream: "http://ok"}}
	err := s.Verify()
	for _, want := range []string{
		"grpc.address", "ops.address", "oathkeeper_config", "upstream.timeout", "upstream.max_connections", "delegate.url", "reload.interval", "reload.remote_interval", "drain", "log.level", "log.allow_lines_per_second",
		"problem_json.prefixes", "readiness[0].upstream", "readiness[1].url",
	} {
		require.ErrorContains(t, err, want)
	}
}
