//go:build integration

// Package ketotest gives a test a Keto of its own: the real server with the stack's configuration and the stack's model, on
// a database of its own. Tests that compare everything in Keto, or break its model, cannot share one. The program is what
// GATEHOUSE_TEST_KETO names; without it the tests fail.
package ketotest

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
	"runtime"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/databasetest"
)

// Server is a running Keto.
type Server struct {
	ReadURL, WriteURL, OPLURL string

	dir     string
	program string
	process *exec.Cmd
	exited  chan struct{}
}

// root is the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../../../..")
}

// Model is the text of the permission model.
func Model(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), "namespaces", "gatehouse.keto.ts"))
	require.NoError(t, err)
	return string(text)
}

// New starts a Keto without tuples and stops it at the end. change, when not nil, rewrites its configuration.
func New(t *testing.T, change func(config string) string) *Server {
	t.Helper()
	program := os.Getenv("GATEHOUSE_TEST_KETO")
	require.NotEmpty(t, program, "GATEHOUSE_TEST_KETO names no program")
	s := &Server{dir: t.TempDir(), program: program}
	s.SetModel(t, Model(t))

	dsn := databasetest.New(t).URL(t, databasetest.Owner)
	s.configure(t, dsn, change)
	out, err := exec.CommandContext(t.Context(), program, "migrate", "up", "--yes", "-c", s.config()).CombinedOutput() //nolint:gosec // the test's own environment
	require.NoError(t, err, "%s", out)
	// Between choosing a port and listening on it somebody else may take it.
	for try := 1; ; try++ {
		err := s.start(t)
		if err == nil {
			break
		}
		require.Less(t, try, 3, err)
		s.configure(t, dsn, change)
	}
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// configure chooses ports and renders the stack's configuration.
func (s *Server) configure(t *testing.T, dsn string, change func(string) string) {
	t.Helper()
	ports := map[string]string{}
	for _, name := range []string{"keto-read", "keto-write", "keto-metrics", "keto-opl"} {
		ports[name] = free(t)
	}
	s.ReadURL = "http://127.0.0.1:" + ports["keto-read"]
	s.WriteURL = "http://127.0.0.1:" + ports["keto-write"]
	s.OPLURL = "http://127.0.0.1:" + ports["keto-opl"]
	text, err := os.ReadFile(filepath.Join(root(), "docker", "ory", "keto", "keto.yml"))
	require.NoError(t, err)
	parsed, err := template.New("keto.yml").Delims("<%", "%>").Funcs(template.FuncMap{
		"dsn":    func(string) string { return dsn },
		"listen": func(string) string { return "127.0.0.1" },
		"port":   func(name string) string { return ports[name] },
	}).Parse(string(text))
	require.NoError(t, err)
	var rendered strings.Builder
	require.NoError(t, parsed.Execute(&rendered, map[string]string{"Dir": s.dir}))
	config := rendered.String()
	if change != nil {
		config = change(config)
	}
	require.NoError(t, os.WriteFile(s.config(), []byte(config), 0o600))
}

func (s *Server) config() string { return filepath.Join(s.dir, "keto.yml") }

// SetModel replaces the model's file. A running Keto reloads it by and by.
func (s *Server) SetModel(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "namespaces.keto.ts"), []byte(text), 0o600))
}

// Start starts it again after Stop.
func (s *Server) Start(t *testing.T) {
	t.Helper()
	require.NoError(t, s.start(t))
}

func (s *Server) start(t *testing.T) error {
	t.Helper()
	var log bytes.Buffer
	process := exec.CommandContext(context.WithoutCancel(t.Context()), s.program, "serve", "-c", s.config()) //nolint:gosec // the test's own environment
	process.Stdout, process.Stderr = &log, &log
	exited := make(chan struct{})
	require.NoError(t, process.Start())
	go func() {
		_ = process.Wait() // killed, or dead before it was ready
		close(exited)
	}()
	s.process, s.exited = process, exited
	deadline := time.After(time.Minute)
	for {
		select {
		case <-exited:
			s.process = nil
			return fmt.Errorf("keto ended: %s", log.String())
		case <-deadline:
			s.Stop(t)
			return fmt.Errorf("keto is not ready after a minute: %s", log.String())
		case <-time.After(20 * time.Millisecond):
			if ready(t, s.ReadURL) && ready(t, s.WriteURL) {
				return nil
			}
		}
	}
}

// Stop ends it. Its tuples stay in its database.
func (s *Server) Stop(t *testing.T) {
	t.Helper()
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	<-s.exited
	s.process = nil
}

func ready(t *testing.T, base string) bool {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/health/ready", nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// free is a port that nobody listens on right now.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // only to learn a number
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return port
}
