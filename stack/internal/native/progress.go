package native

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// progress tells a person that the start lives: one line per step, a dot every few seconds, the time it took.
type progress struct{ out io.Writer }

func (p progress) step(title string, work func() error) error {
	started := time.Now()
	_, _ = fmt.Fprintf(p.out, "  %-46s ", title)
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_, _ = fmt.Fprint(p.out, ".")
			}
		}
	}()
	err := work()
	close(done)
	<-stopped
	mark := "ok"
	if err != nil {
		mark = "FAILED"
	}
	_, _ = fmt.Fprintf(p.out, " %s  %.1f s\n", mark, time.Since(started).Seconds())
	return err
}

// run executes a program with its output in a log file. When it fails the error holds the file's last lines
// and its path.
func run(ctx context.Context, log, dir string, environment []string, program string, arguments ...string) error {
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, _ = fmt.Fprintf(file, "$ %s %s\n", program, strings.Join(arguments, " "))
	command := exec.CommandContext(ctx, program, arguments...)
	command.Dir = dir
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = file, file
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s\nlog: %s", filepath.Base(program), firstWords(arguments), err, tail(log, 20), log)
	}
	return nil
}

func firstWords(arguments []string) string {
	if len(arguments) > 2 {
		arguments = arguments[:2]
	}
	return strings.Join(arguments, " ")
}

// tail returns the last lines of a file, indented.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "    (no log: " + err.Error() + ")"
	}
	all := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return "    " + string(bytes.Join(all, []byte("\n    ")))
}
