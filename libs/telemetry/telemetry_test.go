package telemetry_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"

	"gatehouse.internal/libs/telemetry"
)

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func TestTheRequestIDAndTheTraceReachTheUpstream(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := telemetry.WithRequestID(t.Context(), "an-id")
	ctx = telemetry.Propagator.Extract(ctx, propagation.HeaderCarrier{"Traceparent": {trace}})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://upstream.example", nil)
	require.NoError(t, err)

	var sent http.Header
	response, err := telemetry.Transport(transport(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})).RoundTrip(request)

	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, "an-id", sent.Get(telemetry.RequestIDHeader))
	require.Equal(t, trace, sent.Get("Traceparent"))
	require.Empty(t, request.Header, "the caller's request stays as it was")
}

func TestALogLineIsJSONInUTCWithTheService(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "api", "info")
	require.NoError(t, err)
	log.Debug("hidden")
	log.Info("shown")
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "api", line["service"])
	require.Regexp(t, `Z$`, line["time"])
}

func TestAnUnknownLevelIsAnError(t *testing.T) {
	_, err := telemetry.NewLogger(nil, "api", "loud")
	require.Error(t, err)
}
