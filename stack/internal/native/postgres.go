package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// capDACOverride is CAP_DAC_OVERRIDE (capabilities(7)).
const capDACOverride = 1

// Postgres is a server run by the supervisor. It will not run as root.
type Postgres struct {
	// Program is the postgres binary; initdb is beside it.
	Program string
	// Data is the cluster's folder, made on the first run.
	Data string
	// Config is the rendered postgresql.conf.
	Config string
	// Password of the superuser.
	Password string
}

// Run makes the cluster if there is none, and serves until ctx ends.
func (p Postgres) Run(ctx context.Context) error {
	runtime.LockOSThread() // Pdeathsig is sent when the thread that started the child ends
	drop, err := p.unprivileged()
	if err != nil {
		return err
	}
	if err := p.prepare(ctx, drop); err != nil {
		return err
	}
	// The data folder is readable by the server's user, the rendered file may not be.
	config := filepath.Join(p.Data, "postgresql.conf")
	if err := copyFile(p.Config, config, 0o600); err != nil {
		return err
	}
	if err := drop.own(config); err != nil {
		return err
	}
	server := drop.command(context.WithoutCancel(ctx), p.Program, "-D", p.Data)
	server.SysProcAttr.Pdeathsig = syscall.SIGINT
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	if err := server.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- server.Wait() }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	for {
		select {
		case err := <-done:
			return err
		case <-signals:
			// Fast shutdown: SIGTERM would wait for every client to leave.
			_ = server.Process.Signal(syscall.SIGINT)
		}
	}
}

func (p Postgres) prepare(ctx context.Context, drop dropped) error {
	if _, err := os.Stat(filepath.Join(p.Data, "PG_VERSION")); err == nil {
		return nil
	}
	// An interrupted initdb leaves half a cluster.
	if err := os.RemoveAll(p.Data); err != nil {
		return err
	}
	if err := os.MkdirAll(p.Data, 0o700); err != nil {
		return err
	}
	if err := drop.own(p.Data); err != nil {
		return err
	}
	secret, err := os.CreateTemp("", "gatehouse")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(secret.Name()) }()
	if _, err := secret.WriteString(p.Password); err != nil {
		return err
	}
	if err := errors.Join(secret.Close(), drop.own(secret.Name())); err != nil {
		return err
	}
	initdb := drop.command(ctx, filepath.Join(filepath.Dir(p.Program), "initdb"),
		"-D", p.Data, "-U", "postgres", "--pwfile", secret.Name(), "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8")
	initdb.Stdout, initdb.Stderr = os.Stdout, os.Stderr
	return initdb.Run()
}

// dropped starts programs without root's rights. For an ordinary user it changes nothing.
type dropped struct {
	credential *syscall.Credential
	// through is set where a folder on the way is closed to other users (root's home is): then the program
	// keeps the one capability that lets it pass.
	through bool
}

func (p Postgres) unprivileged() (dropped, error) {
	if os.Geteuid() != 0 {
		return dropped{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			return dropped{}, err
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			return dropped{}, err
		}
		if !passable(filepath.Dir(p.Program)) {
			// initdb asks access(2) about its programs, which looks at the user and at no capability.
			return dropped{}, fmt.Errorf("%s is in a folder that user %s cannot enter: set GATEHOUSE_CACHE to one that everybody can", p.Program, name)
		}
		through := !passable(filepath.Dir(p.Data))
		return dropped{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, through}, nil
	}
	return dropped{}, errors.New("postgres will not run as root, and this machine has neither a user postgres nor nobody to run it as")
}

// passable tells whether everybody may go through every folder on the way.
func passable(path string) bool {
	for ; path != "/" && path != "."; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
	}
	return true
}

func (d dropped) own(path string) error {
	if d.credential == nil {
		return nil
	}
	return os.Chown(path, int(d.credential.Uid), int(d.credential.Gid))
}

func (d dropped) command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	attributes := &syscall.SysProcAttr{Credential: d.credential}
	if d.through {
		// The capability takes effect with the first exec, so that one has to be of something in the open.
		attributes.AmbientCaps = []uintptr{capDACOverride}
		arguments = append([]string{"-c", `exec "$0" "$@"`, program}, arguments...)
		program = "/bin/sh"
	}
	command := exec.CommandContext(ctx, program, arguments...)
	command.Dir = "/"
	command.SysProcAttr = attributes
	return command
}
