// Package command is the command line: serve, check and health.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"

	"gatehouse.internal/authz/internal/server"
	"gatehouse.internal/libs/config"
	"gatehouse.internal/libs/service"
)

const usage = `authz answers Envoy's ext_authz from Oathkeeper's configuration.

  authz serve  --config FILE   serve until SIGTERM
  authz check  --config FILE [REQUEST.json]
                               check settings, Oathkeeper's configuration and rules; print every problem. With a
                               request, {"method":"GET","url":"https://host/path","headers":{"cookie":"a=b"}}, say
                               which rules match, what each stage says and what the answer is
  authz health --config FILE   ask the running service whether it is ready (for container health checks)

Settings can also come from variables such as GATEHOUSE_AUTHZ_OPS_ADDRESS.
`

// shownOverlaps is more than anybody reads, and no endless list.
const shownOverlaps = 200

var errUsage = errors.New("usage")

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := run(ctx, args, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprint(stderr, usage)
		return 2
	default:
		_, _ = fmt.Fprintln(stderr, err)
		return 1
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "", "the settings file")
	if err := flags.Parse(args[1:]); err != nil || *file == "" {
		return errUsage
	}
	commands := map[string]func(context.Context, server.Settings, io.Writer) error{
		"serve": server.Run, "check": check, "health": health,
	}
	command := commands[args[0]]
	if args[0] == "check" && flags.NArg() == 1 {
		command = try(flags.Arg(0))
	} else if flags.NArg() > 0 {
		return errUsage
	}
	if command == nil {
		return errUsage
	}
	settings, err := config.Load(*file, server.EnvPrefix, server.Default())
	if err != nil {
		return err
	}
	return command(ctx, settings, stdout)
}

// check prints warnings and fails on problems, an invalid rule among them: serving survives one,
// a deployment should not.
func check(_ context.Context, s server.Settings, out io.Writer) error {
	snapshot, err := server.Examine(s)
	if snapshot == nil {
		return err
	}
	for _, warning := range slices.Concat(snapshot.Warnings(), snapshot.OverlapWarnings(shownOverlaps)) {
		_, _ = fmt.Fprintln(out, "warning:", warning)
	}
	problems := []error{err}
	rules := snapshot.Rules()
	for _, rule := range rules {
		if !rule.Valid {
			problems = append(problems, fmt.Errorf("%s: rule %q: %s", rule.Place, rule.ID, rule.Error))
		}
	}
	if len(rules) == 0 && err == nil {
		problems = append(problems, errors.New("no rule is loaded"))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "ok: %d rules\n", len(rules))
	return nil
}

// try explains one request. It asks the servers that the rules name, as serving would.
func try(file string) func(context.Context, server.Settings, io.Writer) error {
	return func(ctx context.Context, s server.Settings, out io.Writer) error {
		description, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
		if err != nil {
			return err
		}
		snapshot, err := server.Load(s, nil)
		if err != nil {
			return err
		}
		explanation, err := server.Explain(ctx, snapshot, description)
		if err != nil {
			return err
		}
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(explanation)
	}
}

func health(ctx context.Context, s server.Settings, _ io.Writer) error {
	host, port, err := net.SplitHostPort(s.Ops.Address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return service.Probe(ctx, "http://"+net.JoinHostPort(host, port)+"/readyz")
}
