package settings_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/stack/internal/settings"
)

var defaults = settings.Default("http://localhost:8080")

func TestVariablesReplaceDefaults(t *testing.T) {
	got, err := settings.FromEnvironment([]string{
		"GATEHOUSE_PUBLIC_URL=https://auth.example.com/", "GATEHOUSE_GATE=oathkeeper", "GATEHOUSE_UPSTREAM_TIMEOUT=300ms", "HOME=/home/me",
		"GATEHOUSE_GATE_TIMEOUT=", "GATEHOUSE_CACHE=/elsewhere",
	}, defaults)
	require.NoError(t, err)
	require.Equal(t, "https://auth.example.com", got.PublicURL)
	require.Equal(t, "oathkeeper", got.Gate)
	require.Equal(t, 300*time.Millisecond, got.UpstreamTimeout)
	require.Equal(t, defaults.GateTimeout, got.GateTimeout)
	require.False(t, got.Development())
}

func TestTracesGoWhereTheSettingSays(t *testing.T) {
	got, err := settings.FromEnvironment([]string{"GATEHOUSE_OTLP_ENDPOINT=http://otel-collector:4318/", "GATEHOUSE_TRACE_RATIO=0.25"}, defaults)
	require.NoError(t, err)
	require.Equal(t, "http://otel-collector:4318", got.OTLPEndpoint)
	require.Equal(t, "otel-collector", got.CollectorHost())
	require.Equal(t, "4318", got.CollectorPort())
	require.InDelta(t, 25, got.TracePercent(), 0)

	got, err = settings.FromEnvironment([]string{"GATEHOUSE_OTLP_ENDPOINT=", "GATEHOUSE_TRACE_RATIO="}, defaults)
	require.NoError(t, err)
	require.Empty(t, got.OTLPEndpoint, "without one there are no traces")
	require.InDelta(t, 0.01, got.TraceRatio, 0)

	for _, bad := range []string{
		"OTLP_ENDPOINT=otel-collector:4318", "OTLP_ENDPOINT=https://collector.example:4318", "OTLP_ENDPOINT=http://collector", "OTLP_ENDPOINT=http://a:65536",
		"OTLP_ENDPOINT=http://user:secret@a:4318", "OTLP_ENDPOINT=http://a:4318/v1/traces", "OTLP_ENDPOINT=http://a:4318\"", "OTLP_ENDPOINT=http://a:4318\n",
		"TRACE_RATIO=2", "TRACE_RATIO=-1", "TRACE_RATIO=NaN", "TRACE_RATIO=half",
	} {
		_, err := settings.FromEnvironment([]string{"GATEHOUSE_" + bad}, defaults)
		require.Error(t, err, bad)
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	_, err := settings.FromEnvironment([]string{
		"GATEHOUSE_PUBLIC_URL=http://auth.example.com", "GATEHOUSE_GATE=none", "GATEHOUSE_UPSTREAM_TIMEOUT=2s",
		"GATEHOUSE_GATE_TIMOUT=1s", "GATEHOUSE_LOGIN_ATTEMPTS_PER_MINUTE=0",
	}, defaults)
	for _, part := range []string{"plain http is only for localhost", `"none" is none of authz, oathkeeper`, "shorter than", "GATEHOUSE_GATE_TIMOUT: there is no such setting", "not a positive whole number"} {
		require.ErrorContains(t, err, part)
	}
}

func TestAnOriginIsWrittenAsBrowsersWriteIt(t *testing.T) {
	for _, good := range []string{"https://auth.a-b.example", "https://auth.example:8443", "http://localhost:3000", "http://127.0.0.1", "http://localhost/"} {
		_, err := settings.FromEnvironment([]string{"GATEHOUSE_PUBLIC_URL=" + good}, defaults)
		require.NoError(t, err, good)
	}
	for _, bad := range []string{
		"https://a.example/x", "a.example", "ftp://a.example", "https://user@a.example", "https://a.example?x", "https://a.example?", "https://a.example#",
		"https://A.example", "https://a.example:443", "http://localhost:80", "http://localhost:0", "http://localhost:65536", "http://[::1]:8080", "http://127.0.0.2:8080",
		`https://a".example`, "https://a'.example", "https://a.example\n", "https://<a>.example", "https://",
	} {
		_, err := settings.FromEnvironment([]string{"GATEHOUSE_PUBLIC_URL=" + bad}, defaults)
		require.Error(t, err, bad)
	}
}
