//go:build door

package door

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/libs/telemetry/telemetrytest"
	"gatehouse.internal/stack/internal/render"
	"gatehouse.internal/stack/internal/secrets"
	"gatehouse.internal/stack/internal/settings"
	"gatehouse.internal/stack/internal/topology"
)

// What a client may send. The second decides about a trace only where Envoy is told to listen.
const (
	strangersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	strangers      = "00-" + strangersTrace + "-00f067aa0ba902b7-01"
)

// traceContext are the headers by which a client could try to choose what is recorded, and where.
var traceContext = []string{
	"Traceparent", strangers, "Tracestate", "stranger=state", "X-Client-Trace-Id", "stranger", "X-Envoy-Force-Trace", "true",
	"X-Client-Traceparent", "stranger", "X-Request-Id", "stranger",
}

// tracedDoor starts a door that sends its spans to the collector, with the real authz behind it that does, too.
func tracedDoor(t *testing.T, endpoint string, ratio float64) *door {
	t.Helper()
	all, err := secrets.Ensure(filepath.Join(t.TempDir(), "secrets.json"))
	require.NoError(t, err)
	chosen := maps.Clone(ports)
	chosen["authz-grpc"], chosen["authz-ops"] = freePort(t), freePort(t)
	stack := render.Stack{Settings: settings.Default(publicURL), Layout: topology.Native(chosen), Secrets: all}
	stack.Settings.GateTimeout, stack.Settings.UpstreamTimeout = patience, patience/2
	stack.Settings.OTLPEndpoint, stack.Settings.TraceRatio = endpoint, ratio
	startAuthz(t, stack)

	d := &door{name: "traced", gate: "authz"}
	require.NoError(t, d.start(os.Getenv("GATEHOUSE_TEST_ENVOY"), filepath.Join(t.TempDir(), d.name), stack))
	t.Cleanup(d.stop)
	return d
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// startAuthz builds the service, runs it with the rules and the handlers of the stack, and ends it with the test.
func startAuthz(t *testing.T, stack render.Stack) {
	t.Helper()
	folder := t.TempDir()
	program := filepath.Join(t.TempDir(), "authz")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./apps/authz/cmd/authz")
	build.Dir = repository
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	require.NoError(t, stack.Write(repository, folder, func(service string) string { return filepath.Join(folder, service) }))

	var logs bytes.Buffer
	authz := exec.Command(program, "serve", "--config", filepath.Join(folder, "authz", "authz.yml"))
	authz.Stdout, authz.Stderr = &logs, &logs
	require.NoError(t, authz.Start())
	exited := make(chan struct{})
	go func() { defer close(exited); _ = authz.Wait() }()
	t.Cleanup(func() {
		_ = authz.Process.Signal(syscall.SIGTERM)
		<-exited
		require.NotContains(t, logs.String(), canary)
	})
	ready, err := stack.Layout.URL("authz-ops")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := ask(ctx, ready+"/readyz"); err == nil {
			return
		}
		select {
		case <-exited:
			require.FailNow(t, "authz has ended", logs.String())
		case <-ctx.Done():
			require.FailNow(t, "authz did not become ready", logs.String())
		case <-tick.C:
		}
	}
}

// knows makes Kratos know the session of every request.
func knows(t *testing.T) {
	t.Helper()
	answers(t, kratos, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":"s-1","active":true,"authenticator_assurance_level":"aal1","identity":{"id":"u-1","traits":{"email":"ann@example.com"}}}`)
	})
}

func TestOneTraceFromTheDoorThroughItsGateToTheUpstreams(t *testing.T) {
	collector := telemetrytest.New(t)
	d := tracedDoor(t, collector.URL, 1)
	scene(t, allow())
	knows(t)
	a := d.get(t, "/api/me?token="+canary, append(traceContext, "Cookie", session, "User-Agent", canary, "Referer", "http://localhost/?"+canary)...)
	require.Equal(t, http.StatusOK, a.status, a.body)

	root := collector.Await(t, "the door's own span", func(s telemetrytest.Span) bool { return s.Service == "door" && s.Parent == "" })
	require.Equal(t, "SERVER", root.Kind)
	require.NotEqual(t, strangersTrace, root.Trace, "a client does not choose the trace")
	require.Equal(t, strangers, root.Attributes["client.traceparent"], "what it sent is kept beside it")
	require.Equal(t, "/api/me", root.Attributes["url.path"])
	require.Equal(t, "http://localhost:8080", root.Attributes["http.url"])
	require.Equal(t, "200", root.Attributes["http.status_code"])

	// The door asks authz, authz asks Kratos.
	check := collector.Named(t, "authz", "Check")
	require.Equal(t, root.Trace, check.Trace)
	asking := parentOf(t, collector, check)
	require.Equal(t, root.ID, asking.Parent)
	require.Equal(t, "CLIENT", asking.Kind)
	require.Equal(t, "api", check.Attributes["authz.rule"])
	require.Equal(t, "cookie_session", check.Attributes["authz.handler"])
	require.Equal(t, "allow", check.Attributes["authz.outcome"])
	authenticate := collector.Child(t, check, "authenticate")
	whoami := collector.Child(t, authenticate, "GET 127.0.0.1")
	question := all(kratos)
	require.Len(t, question, 1)
	require.Equal(t, "/sessions/whoami", question[0].target)
	require.Equal(t, []string{"00-" + root.Trace + "-" + whoami.ID + "-01"}, question[0].header["Traceparent"])

	// The door sends the request on.
	got := all(api)
	require.Len(t, got, 1)
	require.Len(t, got[0].header["Traceparent"], 1)
	sent := strings.Split(got[0].header.Get("Traceparent"), "-")
	require.Equal(t, root.Trace, sent[1])
	require.Equal(t, "01", sent[3])
	forwarding := collector.Await(t, "the call that the API continues", func(s telemetrytest.Span) bool { return s.ID == sent[2] })
	require.Equal(t, root.ID, forwarding.Parent)
	require.Equal(t, "CLIENT", forwarding.Kind)
	for _, name := range []string{"Tracestate", "X-Client-Traceparent", "X-Client-Trace-Id", "X-Envoy-Force-Trace"} {
		require.NotContains(t, strings.Join(got[0].header[name], ""), "stranger", name)
		require.NotContains(t, got[0].header[name], strangers, name)
	}

	// No part made a root of its own, and none told what it must not.
	for _, span := range collector.Spans() {
		require.True(t, span.ID == root.ID || span.Parent != "", "%s: %s", span.Service, span.Name)
	}
	require.NotContains(t, collector.Text(), canary)

	collector.Close()
	scene(t, allow())
	require.Equal(t, http.StatusOK, d.get(t, "/api/me", "Cookie", session).status, "without its collector the door still opens")
	d.stop()
	require.NotContains(t, d.out.String(), canary)
	require.Contains(t, d.out.String(), `"client_traceparent":"`+strangers+`"`)
	require.Contains(t, d.out.String(), root.Trace)
}

func parentOf(t *testing.T, collector *telemetrytest.Collector, child telemetrytest.Span) telemetrytest.Span {
	t.Helper()
	return collector.Await(t, "the parent of "+child.Name, func(s telemetrytest.Span) bool { return s.ID == child.Parent })
}

func TestWithoutTracesAClientsTraceIsAnIDAndNoDecision(t *testing.T) {
	eachDoor(t, func(t *testing.T, d *door) {
		for sent, want := range map[string][]string{
			strangers: {strings.TrimSuffix(strangers, "01") + "00"}, strings.TrimSuffix(strangers, "01") + "ff": {strings.TrimSuffix(strangers, "01") + "00"}, "": nil,
		} {
			scene(t, allow())
			var headers []string
			if sent != "" {
				headers = []string{"Traceparent", sent, "Traceparent", sent}
			}
			require.Equal(t, http.StatusOK, d.get(t, "/api/me", headers...).status)
			require.Equal(t, want, reached(t, api).header["Traceparent"])
		}
	})
}

func TestNoClientMakesTheDoorRecord(t *testing.T) {
	collector := telemetrytest.New(t)
	d := tracedDoor(t, collector.URL, 0)
	scene(t, allow())
	knows(t)
	require.Equal(t, http.StatusOK, d.get(t, "/api/me", append(traceContext, "Cookie", session)...).status)
	for name, reached := range map[string][]seen{"Kratos": all(kratos), "the API": all(api)} {
		require.Len(t, reached, 1, name)
		parts := strings.Split(reached[0].header.Get("Traceparent"), "-")
		require.Len(t, parts, 4, name)
		require.NotEqual(t, strangersTrace, parts[1], name)
		require.Equal(t, "00", parts[3], "%s is told not to record", name)
	}
	d.stop()
	require.Empty(t, collector.Spans())
}
