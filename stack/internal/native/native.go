package native

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gatehouse.internal/stack/internal/demo"
	"gatehouse.internal/stack/internal/render"
	"gatehouse.internal/stack/internal/secrets"
	"gatehouse.internal/stack/internal/settings"
	"gatehouse.internal/stack/internal/topology"
)

// patience is how long the servers may take to become ready. A first start migrates three databases.
const patience = 3 * time.Minute

// Up starts the instance and returns when everything is ready. A running one is stopped first, so that what
// was changed takes effect. development serves the web app by `next dev` and rebuilds the Go services on change.
func (i Instance) Up(ctx context.Context, out io.Writer, development bool) error {
	started := time.Now()
	p := progress{out}
	_, _ = fmt.Fprintf(out, "Gatehouse (instance %s)\n", i.Name)
	if err := preflight(); err != nil {
		return err
	}
	release, err := lock(i.Dir()+".lock", syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return fmt.Errorf("another `make up` of instance %s is at work: %w", i.Name, err)
	}
	defer release()
	programs, err := i.build(ctx, p, development)
	if err != nil {
		return err
	}
	stack, err := i.render(ctx, p, programs, development)
	if err != nil {
		return err
	}
	if err := i.start(ctx, p, programs["process-compose"]); err != nil {
		return err
	}
	return i.announce(out, stack, time.Since(started))
}

// build makes the programs and puts them in place. Instances share what is built from this tree, so they take turns.
func (i Instance) build(ctx context.Context, p progress, development bool) (map[string]string, error) {
	release, err := lock(filepath.Join(i.binDir(), "lock"), syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer release()
	programs, err := i.install(ctx, p, development)
	if err != nil {
		return nil, err
	}
	if err := i.Down(ctx, p.out); err != nil {
		return nil, err
	}
	return programs, i.placeWeb(development)
}

// install makes everything that is needed to run, and returns where each program is.
func (i Instance) install(ctx context.Context, p progress, development bool) (map[string]string, error) {
	t, err := newTools(i.Root, p)
	if err != nil {
		return nil, err
	}
	all := required
	if development {
		all = append(all[:len(all):len(all)], air)
	}
	programs := map[string]string{}
	for _, one := range all {
		if programs[one.name], err = t.ensure(ctx, one); err != nil {
			return nil, err
		}
	}
	if programs["stack"], err = os.Executable(); err != nil { // its one-shot commands
		return nil, err
	}
	for _, name := range []string{"api", "authz"} {
		programs[name] = filepath.Join(i.binDir(), name)
		err := p.step("build "+name, func() error {
			return run(ctx, i.LogFile("build-"+name), filepath.Join(i.Root, "apps", name), []string{"CGO_ENABLED=0"},
				"go", "build", "-trimpath", "-o", programs[name], "./cmd/"+name)
		})
		if err != nil {
			return nil, err
		}
	}
	return programs, i.buildWeb(ctx, p, development)
}

// buildWeb installs the web app's packages and builds it, each only when what it depends on has changed.
func (i Instance) buildWeb(ctx context.Context, p progress, development bool) error {
	web := filepath.Join(i.Root, "apps", "web")
	log := i.LogFile("build-web")
	packages, err := hashFiles(web, func(path string) bool { return path == "package.json" || path == "package-lock.json" })
	if err != nil {
		return err
	}
	if err := i.unless(filepath.Join(web, "node_modules", ".gatehouse"), packages, func() error {
		return p.step("install the web app's packages", func() error {
			return run(ctx, log, web, nil, "npm", "ci", "--no-audit", "--no-fund")
		})
	}); err != nil || development {
		return err
	}
	source, err := hashFiles(web, func(path string) bool {
		return !strings.HasPrefix(path, "e2e/") && !strings.HasPrefix(path, "test-results/") && !strings.HasPrefix(path, "playwright-report/")
	})
	if err != nil {
		return err
	}
	return i.unless(filepath.Join(web, ".next", "gatehouse"), source, func() error {
		return p.step("build web", func() error {
			return run(ctx, log, web, []string{"NEXT_TELEMETRY_DISABLED=1"}, "npm", "run", "build")
		})
	})
}

// placeWeb gives the instance a copy of the built web app: another instance may build anew while this one runs.
func (i Instance) placeWeb(development bool) error {
	if development {
		return nil
	}
	built := filepath.Join(i.Root, "apps", "web", ".next")
	key, err := os.ReadFile(filepath.Join(built, "gatehouse"))
	if err != nil {
		return err
	}
	return i.unless(i.in("web", ".gatehouse"), string(key), func() error {
		if err := os.RemoveAll(i.in("web")); err != nil {
			return err
		}
		return os.CopyFS(i.in("web"), os.DirFS(filepath.Join(built, "standalone")))
	})
}

// unless does the work unless the stamp file says that it was done for this key.
func (i Instance) unless(stamp, key string, work func() error) error {
	if text, err := os.ReadFile(stamp); err == nil && string(text) == key {
		return nil
	}
	if err := work(); err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(key), 0o600)
}

// hashFiles hashes the files of a folder that count, by their paths inside it. What is generated never counts.
func hashFiles(root string, counts func(path string) bool) (string, error) {
	hash := sha256.New()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == "node_modules" || name == ".next" {
				return fs.SkipDir
			}
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil || !counts(relative) || strings.HasSuffix(relative, ".tsbuildinfo") || relative == "next-env.d.ts" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(hash, "%s %d\n%s", relative, len(text), text)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil)), err
}

// render writes the configuration for the ports and settings of this start.
func (i Instance) render(ctx context.Context, p progress, programs map[string]string, development bool) (render.Stack, error) {
	var stack render.Stack
	err := p.step("render configuration", func() error {
		if err := os.MkdirAll(i.in("logs"), 0o700); err != nil {
			return err
		}
		ports, err := i.choosePorts(os.Getenv("GATEHOUSE_PUBLIC_URL"))
		if err != nil {
			return err
		}
		chosen, err := settings.FromEnvironment(os.Environ(), settings.Default(fmt.Sprintf("http://localhost:%d", ports["door"])))
		if err != nil {
			return err
		}
		if err := i.verifySecrets(); err != nil {
			return err
		}
		all, err := secrets.Ensure(i.SecretsFile())
		if err != nil {
			return err
		}
		stack = render.Stack{Settings: chosen, Layout: topology.Native(ports), Secrets: all, WebDevelopment: development}
		if err := stack.Write(i.Root, i.ConfigDir(), func(service string) string { return filepath.Join(i.ConfigDir(), service) }); err != nil {
			return err
		}
		return i.renderProcesses(stack, programs)
	})
	if err != nil {
		return stack, err
	}
	return stack, p.step("check Envoy's configuration", func() error {
		return run(ctx, i.LogFile("envoy-validate"), i.Dir(), nil, programs["envoy"], "--mode", "validate", "-c", filepath.Join(i.ConfigDir(), "envoy", "envoy.yaml"))
	})
}

// verifySecrets refuses to make new secrets for old data: no server could read it with them.
func (i Instance) verifySecrets() error {
	_, err := os.Stat(i.SecretsFile())
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(i.PostgresData()); err == nil {
		return fmt.Errorf("%s is gone, and the data beside it cannot be used without: restore the file, or delete the data with `make reset`", i.SecretsFile())
	}
	return nil
}

// renderProcesses writes the supervisor's file. It needs to know the programs and folders of this machine,
// which the services' own files do not.
func (i Instance) renderProcesses(stack render.Stack, programs map[string]string) error {
	const source = "stack/process-compose.yml"
	text, err := os.ReadFile(filepath.Join(i.Root, source))
	if err != nil {
		return err
	}
	replace := []string{"@root@", i.Root, "@instance@", i.Name, "@dir@", i.Dir()}
	for name, path := range programs {
		replace = append(replace, "@"+name+"@", path)
	}
	rendered, err := stack.Text(i.Root, source, strings.NewReplacer(replace...).Replace(string(text)), i.ConfigDir())
	if err != nil {
		return err
	}
	return os.WriteFile(i.in("process-compose.yml"), []byte(rendered), 0o600)
}

// start runs the supervisor and waits until every process is ready.
func (i Instance) start(ctx context.Context, p progress, program string) error {
	s := newSupervisor(i.socket())
	began := time.Now()
	if err := i.setLogsAside(); err != nil {
		return err
	}
	ended, err := s.launch(program, i.in("process-compose.yml"), i.LogFile("process-compose"))
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	waiting, giveUp := context.WithCancelCause(waiting)
	defer giveUp(nil)
	go func() { giveUp(errors.Join(errors.New("process-compose ended"), ended())) }()
	reported := map[string]bool{}
	var missing []string
	failed := "process-compose"
	err = s.await(waiting, func(all []process) (bool, error) {
		missing = missing[:0]
		if one, found := culprit(all); found {
			failed = one.Name
			return false, fmt.Errorf("%s failed (%s, exit code %d)", one.Name, one.Status, one.ExitCode)
		}
		for _, one := range all {
			switch {
			case !one.ready():
				missing = append(missing, one.Name)
			case !reported[one.Name]:
				reported[one.Name] = true
				_, _ = fmt.Fprintf(p.out, "  %-46s  ok  %.1f s\n", "start "+one.Name, time.Since(began).Seconds())
			}
		}
		return len(all) > 0 && len(missing) == 0, nil
	})
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not ready after %s: %s", patience, strings.Join(missing, ", "))
		if len(missing) > 0 {
			failed = missing[0]
		}
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	stopped := s.stop(stopping) // first: that writes out the logs
	return errors.Join(fmt.Errorf("%w\n%s\nlog: %s", err, tail(i.LogFile(failed), 20), i.LogFile(failed)), stopped)
}

// setLogsAside keeps the logs of the run before this one in a folder of their own.
func (i Instance) setLogsAside() error {
	previous := i.in("logs", "previous")
	if err := os.RemoveAll(previous); err != nil {
		return err
	}
	if err := os.MkdirAll(previous, 0o700); err != nil {
		return err
	}
	logs, err := filepath.Glob(i.LogFile("*"))
	if err != nil {
		return err
	}
	for _, log := range logs {
		if err := os.Rename(log, filepath.Join(previous, filepath.Base(log))); err != nil {
			return err
		}
	}
	return nil
}

func (i Instance) announce(out io.Writer, stack render.Stack, took time.Duration) error {
	mail, err := stack.Layout.URL("mail")
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\nReady in %.1f s (gate: %s).\n\n  Open        %s\n  Mail        %s\n", took.Seconds(), stack.Settings.Gate, stack.Settings.PublicURL, mail)
	d, err := demo.Read(i.DemoFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, `  Log in as   %s
  Password    %s

  A machine's call:

    TOKEN=$(curl -s -u '%s:%s' -d grant_type=client_credentials -d audience=%s/api \
      %s/oauth2/token | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
    curl -H "Authorization: Bearer $TOKEN" %s/api/me

`, d.Email, d.Password, d.ClientID, d.ClientSecret, stack.Settings.PublicURL, stack.Settings.PublicURL, stack.Settings.PublicURL)
	return nil
}

// Down stops the instance. It is no error if it does not run.
func (i Instance) Down(ctx context.Context, out io.Writer) error {
	s := newSupervisor(i.socket())
	if !s.running(ctx) && len(s.marked()) == 0 {
		return nil
	}
	stopping, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return progress{out}.step("stop instance "+i.Name, func() error { return s.stop(stopping) })
}

// Status prints the state of every process and fails unless all are ready.
func (i Instance) Status(ctx context.Context, out io.Writer) error {
	all, err := newSupervisor(i.socket()).processes(ctx)
	if err != nil {
		return fmt.Errorf("instance %s does not run", i.Name)
	}
	notReady := 0
	for _, one := range all {
		state := "ready"
		if !one.HasProbe {
			state = "done"
		}
		if !one.ready() {
			notReady++
			state = fmt.Sprintf("NOT READY (%s, exit code %d)", one.Status, one.ExitCode)
		}
		_, _ = fmt.Fprintf(out, "%-16s %-10s restarts %d  %s\n", one.Name, state, one.Restarts, i.LogFile(one.Name))
	}
	if notReady > 0 {
		return fmt.Errorf("%d of %d are not ready", notReady, len(all))
	}
	return nil
}

// Logs follows the logs of the named processes, or of all.
func (i Instance) Logs(ctx context.Context, out io.Writer, names []string) error {
	arguments := []string{"-n", "30", "-F"}
	if len(names) == 0 {
		files, err := filepath.Glob(i.LogFile("*"))
		if err != nil {
			return err
		}
		if len(files) == 0 { // tail would read the keyboard
			return fmt.Errorf("instance %s has no logs", i.Name)
		}
		arguments = append(arguments, files...)
	}
	for _, name := range names {
		arguments = append(arguments, i.LogFile(name))
	}
	command := exec.CommandContext(ctx, "tail", arguments...)
	command.Stdout, command.Stderr = out, out
	err := command.Run()
	if ctx.Err() != nil {
		return nil // Ctrl-C is how one leaves
	}
	return err
}

// Reset stops the instance and deletes everything that belongs to it.
func (i Instance) Reset(ctx context.Context, out io.Writer) error {
	if err := i.Down(ctx, out); err != nil {
		return err
	}
	return os.RemoveAll(i.Dir())
}

// Stop stops one process of a running instance.
func (i Instance) Stop(ctx context.Context, name string) error {
	s := newSupervisor(i.socket())
	if _, err := s.find(ctx, name); err != nil {
		return err
	}
	if _, err := s.ask(ctx, "PATCH", "/process/stop/"+name); err != nil {
		return err
	}
	return s.await(ctx, func(all []process) (bool, error) {
		for _, one := range all {
			if one.Name == name {
				return !one.Running, nil
			}
		}
		return true, nil
	})
}

// Start starts one process of a running instance and waits until it is ready.
func (i Instance) Start(ctx context.Context, name string) error {
	s := newSupervisor(i.socket())
	if _, err := s.find(ctx, name); err != nil {
		return err
	}
	if _, err := s.ask(ctx, "POST", "/process/start/"+name); err != nil {
		return err
	}
	return s.await(ctx, func(all []process) (bool, error) {
		for _, one := range all {
			if one.Name == name {
				return one.ready(), nil
			}
		}
		return false, nil
	})
}
