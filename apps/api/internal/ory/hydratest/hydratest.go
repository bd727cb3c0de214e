//go:build integration

// Package hydratest runs a real Hydra for one test: the program and the settings of a running stack
// (GATEHOUSE_TEST_HYDRA and GATEHOUSE_TEST_HYDRA_CONFIG), with a database and ports of its own. A Hydra has one token hook, and
// one set of clients: tests that are about either cannot share it.
package hydratest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/ory/kratostest"
)

// Hydra is a running server.
type Hydra struct {
	PublicURL, AdminURL string
	// WebhookSecret is what it shows to the API.
	WebhookSecret string
}

var (
	hook   = regexp.MustCompile(`http://[^/\s"]+(/internal/hydra/)`)
	secret = regexp.MustCompile(`Bearer ([0-9a-f]+)`)
)

// Start runs a Hydra that asks api, a base URL, before it issues a token, until the test ends. As in production it calls no
// private address but that one.
func Start(t *testing.T, api string) Hydra {
	t.Helper()
	program, settings := os.Getenv("GATEHOUSE_TEST_HYDRA"), os.Getenv("GATEHOUSE_TEST_HYDRA_CONFIG")
	require.NotEmpty(t, program, "GATEHOUSE_TEST_HYDRA names no program")
	text, err := os.ReadFile(settings)
	require.NoError(t, err, "GATEHOUSE_TEST_HYDRA_CONFIG")
	shown := secret.FindSubmatch(text)
	require.NotNil(t, shown, "the settings have no token hook")
	file := filepath.Join(t.TempDir(), "hydra.yml")
	require.NoError(t, os.WriteFile(file, hook.ReplaceAll(text, []byte(api+"$1")), 0o600))

	dsn := databasetest.New(t).URL(t, databasetest.Owner) + "&max_conns=20&max_idle_conns=10" // as in the stack
	public, admin := kratostest.FreePort(t), kratostest.FreePort(t)
	run := func(arguments ...string) *exec.Cmd {
		command := exec.CommandContext(context.WithoutCancel(t.Context()), program, append(arguments, "-c", file)...) //nolint:gosec // the test's own environment
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		command.Env = append(os.Environ(),
			"DSN="+dsn, "DEV=true", "SQA_OPT_OUT=true", "LOG_LEVEL=error",
			"SERVE_PUBLIC_PORT="+strconv.Itoa(public), "SERVE_ADMIN_PORT="+strconv.Itoa(admin),
			"CLIENTS_HTTP_DISALLOW_PRIVATE_IP_RANGES=true",
		)
		return command
	}
	output, err := run("migrate", "sql", "up", "-e", "--yes").CombinedOutput()
	require.NoError(t, err, "%s", output)

	serve := run("serve", "all")
	var log bytes.Buffer
	serve.Stdout, serve.Stderr = &log, &log
	require.NoError(t, serve.Start())
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
		if t.Failed() {
			t.Logf("hydra:\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	h := Hydra{
		PublicURL: fmt.Sprintf("http://127.0.0.1:%d", public), AdminURL: fmt.Sprintf("http://127.0.0.1:%d", admin),
		WebhookSecret: string(shown[1]),
	}
	kratostest.Await(t, h.AdminURL+"/health/ready")
	return h
}
