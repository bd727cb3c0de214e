// Package native runs the whole stack on this machine without Docker: it installs the servers from package
// registries, renders their configuration, and starts them under process-compose.
package native

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gatehouse.internal/stack/internal/topology"
)

// Default is the name of the instance that `make up` starts.
const Default = "default"

// Instance is one native stack: a folder of its own with everything that belongs to it.
type Instance struct {
	Name string
	// Root of the repository.
	Root string
}

// New checks the name and returns the instance. It creates nothing.
func New(root, name string) (Instance, error) {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`).MatchString(name) {
		return Instance{}, fmt.Errorf("INSTANCE %q: use lower-case letters, digits and dashes, at most 31", name)
	}
	if name == "bin" {
		return Instance{}, errors.New("INSTANCE bin: the folder of that name holds the programs of all instances")
	}
	root, err := filepath.Abs(root)
	if err == nil && strings.ContainsAny(root, " \t\n\"'\\#%<>") {
		err = fmt.Errorf("%q: configuration files and the servers' file URLs name this folder, so it may hold no space, quote or any of \\ # %% < >: move the repository, or use `docker compose up`", root)
	}
	return Instance{Name: name, Root: root}, err
}

func (i Instance) in(parts ...string) string {
	return filepath.Join(append([]string{i.Root, ".gatehouse", i.Name}, parts...)...)
}

// Dir is where everything of the instance lives.
func (i Instance) Dir() string { return i.in() }

// SecretsFile holds the secrets, readable by the owner only.
func (i Instance) SecretsFile() string { return i.in("secrets.json") }

// DemoFile holds the demo's credentials.
func (i Instance) DemoFile() string { return i.in("demo.json") }

// ConfigDir holds the rendered configuration, a folder for each service.
func (i Instance) ConfigDir() string { return i.in("config") }

// LogFile is where the named process writes.
func (i Instance) LogFile(process string) string { return i.in("logs", process+".log") }

// PostgresData is the database cluster's folder.
func (i Instance) PostgresData() string { return i.in("data", "postgres") }

func (i Instance) portsFile() string { return i.in("ports.json") }

// binDir holds our own programs, built from this tree and shared by all instances.
func (i Instance) binDir() string { return filepath.Join(i.Root, ".gatehouse", "bin") }

// socket of the supervisor. The length of a Unix socket's path is limited to about 100 bytes.
func (i Instance) socket() string {
	path := i.in("supervisor.sock")
	if len(path) <= 100 {
		return path
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-%d-%x.sock", os.Getuid(), sha256.Sum256([]byte(path)))[:40])
}

// PublicURL is the default public origin of the instance.
func (i Instance) PublicURL() (string, error) {
	ports, err := i.Ports()
	if err != nil {
		return "", err
	}
	return "http://localhost:" + strconv.Itoa(ports["door"]), nil
}

// Ports returns the ports that the instance was given when it was last started.
func (i Instance) Ports() (map[string]int, error) {
	text, err := os.ReadFile(i.portsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("instance %s has never been started: run `make up`", i.Name)
	}
	if err != nil {
		return nil, err
	}
	var ports map[string]int
	if err := json.Unmarshal(text, &ports); err != nil {
		return nil, fmt.Errorf("%s: %w", i.portsFile(), err)
	}
	return ports, nil
}

// Layout is the topology of the instance as it was last started.
func (i Instance) Layout() (topology.Layout, error) {
	ports, err := i.Ports()
	return topology.Native(ports), err
}

// choosePorts gives every endpoint a port that nobody listens on and keeps the choice. The default instance
// prefers the canonical ports; inner ones give way to whatever else runs on the machine, the public one does
// not: a person has to know it. publicURL, when set, names the door's port.
func (i Instance) choosePorts(publicURL string) (map[string]int, error) {
	before, err := i.Ports()
	if err != nil {
		before = map[string]int{}
	}
	door, err := loopbackPort(publicURL)
	if err != nil {
		return nil, err
	}
	ports, taken := map[string]int{}, map[int]bool{}
	for _, endpoint := range topology.Endpoints {
		port := before[endpoint.Name]
		if port == 0 && i.Name == Default {
			port = endpoint.Port
		}
		if endpoint.Name == "door" && door != 0 {
			port = door
		}
		if port == 0 || taken[port] || !free(port) {
			if port != 0 && endpoint.Name == "door" {
				return nil, fmt.Errorf("port %d is in use by another program: stop that, or choose another with GATEHOUSE_PUBLIC_URL=http://localhost:PORT, or start a second stack with INSTANCE=name", port)
			}
			if port, err = unused(taken); err != nil {
				return nil, err
			}
		}
		ports[endpoint.Name], taken[port] = port, true
	}
	text, err := json.MarshalIndent(ports, "", "  ")
	if err != nil {
		return nil, err
	}
	return ports, os.WriteFile(i.portsFile(), text, 0o600)
}

// loopbackPort returns the port of a public URL on this machine, 0 where it says nothing about it.
func loopbackPort(publicURL string) (int, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Scheme != "http" {
		return 0, err
	}
	if u.Port() == "" {
		return 80, nil
	}
	return strconv.Atoi(u.Port())
}

func free(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // closed at once
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func unused(taken map[int]bool) (int, error) {
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
		if err != nil {
			return 0, err
		}
		port := listener.Addr().(*net.TCPAddr).Port
		if err := listener.Close(); err != nil {
			return 0, err
		}
		if !taken[port] {
			return port, nil
		}
	}
}
