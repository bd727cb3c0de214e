package native

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// supervisor talks to the process-compose that runs an instance, over its Unix socket.
type supervisor struct {
	socket string
	client *http.Client
}

func newSupervisor(socket string) supervisor {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return supervisor{socket, &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial}}}
}

// process is the state of one, as process-compose tells it.
type process struct {
	Name     string `json:"name"`
	Status   string `json:"status"`
	Health   string `json:"is_ready"`
	HasProbe bool   `json:"has_ready_probe"`
	Restarts int    `json:"restarts"`
	ExitCode int    `json:"exit_code"`
	Running  bool   `json:"is_running"`
	Pid      int    `json:"pid"`
}

// ready tells whether a server's own readiness check passes, or a one-shot has done its work.
func (p process) ready() bool {
	if p.HasProbe {
		return p.Running && p.Health == "Ready"
	}
	return p.Status == "Completed" && p.ExitCode == 0
}

// failed tells whether waiting for it is in vain.
func (p process) failed() bool {
	switch p.Status {
	case "Error", "Skipped":
		return true
	case "Completed":
		return p.HasProbe || p.ExitCode != 0
	}
	return p.Restarts > 1
}

// culprit returns the process that failed. Those that depend on it are skipped, and only say that something did.
func culprit(all []process) (process, bool) {
	var found process
	for _, one := range all {
		if one.failed() && (found.Name == "" || found.Status == "Skipped") {
			found = one
		}
	}
	return found, found.Name != ""
}

func (s supervisor) ask(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("supervisor answered %s: %s", response.Status, body.String())
	}
	return body.Bytes(), nil
}

func (s supervisor) running(ctx context.Context) bool {
	_, err := s.ask(ctx, http.MethodGet, "/live")
	return err == nil
}

func (s supervisor) processes(ctx context.Context) ([]process, error) {
	text, err := s.ask(ctx, http.MethodGet, "/processes")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data []process `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	slices.SortFunc(answer.Data, func(a, b process) int { return strings.Compare(a.Name, b.Name) })
	return answer.Data, nil
}

func (s supervisor) find(ctx context.Context, name string) (process, error) {
	all, err := s.processes(ctx)
	if err != nil {
		return process{}, err
	}
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
	}
	return process{}, fmt.Errorf("no process is called %q", name)
}

// launch starts process-compose in the background, apart from this program's terminal. What it returns waits for
// its end.
func (s supervisor) launch(program, file, log string) (wait func() error, err error) {
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	command := exec.Command(program, "up", "--config", file, "--tui=false", "--use-uds", "--unix-socket", s.socket, //nolint:noctx // outlives us
		"--keep-project", "--ordered-shutdown", "--disable-dotenv", "--log-file", log+".internal")
	command.Stdout, command.Stderr = out, out
	command.Env = append(os.Environ(), s.mark())
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return command.Wait, command.Start()
}

// mark is in the environment of the supervisor and of all that it starts.
func (s supervisor) mark() string { return "NATIVE_STACK=" + s.socket }

// marked returns the processes of the instance that live, whether or not its supervisor answers.
func (s supervisor) marked() []int {
	var found []int
	environments, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, path := range environments {
		text, err := os.ReadFile(path)
		if err != nil || !slices.Contains(strings.Split(string(text), "\x00"), s.mark()) {
			continue // ended, or somebody else's
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

// graceful is how long a process that nobody supervises may take to end; Postgres writes its cache out first.
const graceful = 20 * time.Second

// sweep ends what a supervisor left behind that was killed, or that did not listen yet.
func (s supervisor) sweep(ctx context.Context) error {
	asked := map[int]bool{}
	deadline := time.Now().Add(graceful)
	for {
		left := s.marked()
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			switch {
			case time.Now().After(deadline):
				_ = syscall.Kill(pid, syscall.SIGKILL)
			case !asked[pid]:
				_ = syscall.Kill(pid, syscall.SIGTERM)
				asked[pid] = true
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: still running: %v", ctx.Err(), left)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends every process in reverse order, and the supervisor.
func (s supervisor) stop(ctx context.Context) error {
	if !s.running(ctx) {
		return s.sweep(ctx)
	}
	// The answer may be lost when the supervisor goes first.
	_, asked := s.ask(ctx, http.MethodPost, "/project/stop")
	for s.running(ctx) {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), asked)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return s.sweep(ctx)
}

// await polls until done says so.
func (s supervisor) await(ctx context.Context, done func([]process) (bool, error)) error {
	for {
		all, err := s.processes(ctx)
		if err == nil {
			finished, err := done(all)
			if finished || err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
