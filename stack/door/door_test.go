//go:build door

// Package door tests the one public door: the real Envoy, with the configuration that the stack renders, between
// a client that writes whatever it likes and upstreams that record what reached them. The gate is a stand-in
// whose answers each test chooses, so that what Envoy makes of an answer is tested too. Nothing here needs Kratos,
// Hydra or a database.
//
//	GATEHOUSE_TEST_ENVOY  the path of the Envoy program
package door

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse.internal/stack/internal/render"
	"gatehouse.internal/stack/internal/secrets"
	"gatehouse.internal/stack/internal/settings"
	"gatehouse.internal/stack/internal/topology"
)

const (
	repository = "../.."
	template   = "docker/envoy/envoy.yaml"
	publicURL  = "http://localhost:8080"

	// canary is in every credential that a test sends. Envoy's log must not hold it.
	canary = "canary"
	// attempts is how often one address may try to log in at the door that limits it.
	attempts = 10
)

// door is one running Envoy.
type door struct {
	name    string
	gate    string
	address string

	process *exec.Cmd
	exited  chan struct{}
	out     bytes.Buffer
}

// The two doors differ in the gate that they ask. The second also serves the web app in development and allows
// few attempts, which has nothing to do with its gate, but spares a third Envoy.
var (
	authzDoor      = &door{name: "authz", gate: "authz"}
	oathkeeperDoor = &door{name: "oathkeeper", gate: "oathkeeper"}
	doors          = []*door{authzDoor, oathkeeperDoor}
)

// scratch is a folder that goes with the tests.
var scratch string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "door:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	program := os.Getenv("GATEHOUSE_TEST_ENVOY")
	if program == "" {
		return 1, errors.New("GATEHOUSE_TEST_ENVOY must name the Envoy program to test with")
	}
	folder, err := os.MkdirTemp("", "door-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	scratch = folder

	err = startUpstreams()
	defer stopUpstreams()
	if err != nil {
		return 1, err
	}
	stack := render.Stack{Settings: settings.Default(publicURL), Layout: topology.Native(ports), Secrets: secrets.Secrets{}}
	// The stand-ins answer at once: a longer wait costs only where the gate is meant to hang, and keeps a busy
	// machine from looking like a gate that does.
	stack.Settings.GateTimeout = 3 * time.Second
	for _, d := range doors {
		stack.Settings.Gate = d.gate
		if d == oathkeeperDoor {
			stack.WebDevelopment = true
			stack.Settings.LoginAttemptsPerMinute = attempts
		}
		defer d.stop()
		if err := d.start(program, filepath.Join(folder, d.name), stack); err != nil {
			return 1, err
		}
	}
	code = m.Run()
	for _, d := range doors {
		if err := d.checkLog(); err != nil {
			return 1, err
		}
	}
	return code, nil
}

// checkLog stops the door, which writes what it has still to log, and reads the log of all the tests.
func (d *door) checkLog() error {
	authz.begin(allow())
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+d.address+"/api/logged?token="+canary, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+canary)
	request.Header.Set("Cookie", session)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	d.stop()
	logged := d.out.String()
	if !strings.Contains(logged, `"path":"/api/logged"`) {
		return fmt.Errorf("the %s door has not logged a request that passed it", d.name)
	}
	if strings.Contains(logged, canary) {
		return fmt.Errorf("the access log of the %s door holds a credential or a query string:\n%s", d.name, lineWith(logged, canary))
	}
	return nil
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

// start renders the configuration with ports of Envoy's own choosing and waits until it is ready.
func (d *door) start(program, folder string, stack render.Stack) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(repository, template))
	if err != nil {
		return err
	}
	rendered, err := stack.Text(repository, template, string(text), folder)
	if err != nil {
		return err
	}
	config, admin := filepath.Join(folder, "envoy.yaml"), filepath.Join(folder, "admin")
	if err := os.WriteFile(config, []byte(rendered), 0o600); err != nil {
		return err
	}
	return d.launch(program, config, admin)
}

// launch starts Envoy with a configuration and waits until it is ready. It writes its admin address into a file.
func (d *door) launch(program, config, admin string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var problems bytes.Buffer
	d.process = exec.Command(program, "-c", config, "--admin-address-path", admin,
		"--log-level", "warning", "--concurrency", "2", "--disable-hot-restart")
	d.process.Stdout, d.process.Stderr = &d.out, &problems
	// It ends with the tests, however they end.
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	d.exited = make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig is sent when the thread that started the child ends
		defer close(d.exited)
		err := d.process.Start()
		started <- err
		if err == nil {
			_ = d.process.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	address, err := d.ready(ctx, admin)
	if err != nil {
		d.stop()
		return fmt.Errorf("the %s door did not become ready: %w\n%s", d.name, err, problems.String())
	}
	d.address = address
	return nil
}

// ready waits for Envoy's own word that it serves and returns where.
func (d *door) ready(ctx context.Context, adminFile string) (string, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if admin, err := os.ReadFile(adminFile); err == nil {
			if _, err := ask(ctx, "http://"+string(admin)+"/ready"); err == nil {
				return listener(ctx, string(admin))
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-d.exited:
			return "", errors.New("it has ended")
		case <-tick.C:
		}
	}
}

func listener(ctx context.Context, admin string) (string, error) {
	body, err := ask(ctx, "http://"+admin+"/listeners?format=json")
	if err != nil {
		return "", err
	}
	var found struct {
		Listeners []struct {
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &found); err != nil {
		return "", err
	}
	if len(found.Listeners) != 1 {
		return "", fmt.Errorf("the door has %d listeners and must have one: %s", len(found.Listeners), body)
	}
	socket := found.Listeners[0].Address.Socket
	return net.JoinHostPort(socket.Address, fmt.Sprint(socket.Port)), nil
}

func ask(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return body, err
}

// stop lets Envoy write what it has still to log.
func (d *door) stop() {
	if d.process == nil || d.process.Process == nil {
		return
	}
	_ = d.process.Process.Signal(os.Interrupt)
	<-d.exited
}
