//go:build integration

// Package kratostest runs a real Kratos for one test: the program and the settings of a running stack
// (GATEHOUSE_TEST_KRATOS and GATEHOUSE_TEST_KRATOS_CONFIG), with a database and ports of its own.
package kratostest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/databasetest"
)

// Kratos is a running server.
type Kratos struct {
	PublicURL, AdminURL string
	// WebhookSecret is what it shows to the API.
	WebhookSecret string
}

var (
	hook   = regexp.MustCompile(`http://[^/\s]+(/internal/kratos/)`)
	secret = regexp.MustCompile(`Bearer ([0-9a-f]+)`)
)

// Start runs a Kratos whose web hooks go to api, a base URL, until the test ends.
func Start(t *testing.T, api string) Kratos {
	t.Helper()
	program, settings := os.Getenv("GATEHOUSE_TEST_KRATOS"), os.Getenv("GATEHOUSE_TEST_KRATOS_CONFIG")
	require.NotEmpty(t, program, "GATEHOUSE_TEST_KRATOS names no program")
	text, err := os.ReadFile(settings)
	require.NoError(t, err, "GATEHOUSE_TEST_KRATOS_CONFIG")
	shown := secret.FindSubmatch(text)
	require.NotNil(t, shown, "the settings have no web hook")
	file := filepath.Join(t.TempDir(), "kratos.yml")
	require.NoError(t, os.WriteFile(file, hook.ReplaceAll(text, []byte(api+"$1")), 0o600))

	dsn := databasetest.New(t).URL(t, databasetest.Owner) + "&max_conns=20&max_idle_conns=10" // as in the stack
	public, admin := FreePort(t), FreePort(t)
	run := func(arguments ...string) *exec.Cmd {
		command := exec.CommandContext(context.WithoutCancel(t.Context()), program, append(arguments, "-c", file)...) //nolint:gosec // the stack's own
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		command.Env = append(os.Environ(),
			"DSN="+dsn, "DEV=true", "SQA_OPT_OUT=true",
			"SERVE_PUBLIC_PORT="+strconv.Itoa(public), "SERVE_ADMIN_PORT="+strconv.Itoa(admin),
			"HASHERS_BCRYPT_COST=4", // hundreds of passwords
			"LOG_LEVEL=error",
		)
		return command
	}
	output, err := run("migrate", "sql", "-e", "--yes").CombinedOutput()
	require.NoError(t, err, "%s", output)

	serve := run("serve")
	var log bytes.Buffer
	serve.Stdout, serve.Stderr = &log, &log
	require.NoError(t, serve.Start())
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
		if t.Failed() {
			t.Logf("kratos:\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	k := Kratos{
		PublicURL: fmt.Sprintf("http://127.0.0.1:%d", public), AdminURL: fmt.Sprintf("http://127.0.0.1:%d", admin),
		WebhookSecret: string(shown[1]),
	}
	Await(t, k.AdminURL+"/admin/health/ready")
	return k
}

// Await returns when url answers 200.
func Await(t *testing.T, url string) {
	t.Helper()
	require.Eventually(t, func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, time.Minute, 50*time.Millisecond, url)
}

// FreePort returns a port of loopback that nobody listens on.
func FreePort(t *testing.T) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}
