package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/libs/config"
	"gatehouse.internal/libs/service"
	"gatehouse.internal/libs/telemetry"
)

const usage = `usage:
  api serve --config FILE
  api migrate up|down|status --config FILE
  api reconcile --config FILE [--plan | --apply [--force]]
  api sweep --config FILE [--plan | --apply [--force]]
  api admin grant|revoke --config FILE IDENTITY-OR-VERIFIED-ADDRESS
  api admin list --config FILE
  api health --config FILE
  api openapi`

var errUsage = errors.New(usage)

// Environment variables override a file: GATEHOUSE_API_DATABASE_URL for database.url of all but migrate,
// GATEHOUSE_MIGRATE_DATABASE_URL for that of migrate.
const (
	servePrefix   = "GATEHOUSE_API"
	migratePrefix = "GATEHOUSE_MIGRATE"
)

// Main runs the command that arguments name. Answers and logs go to out.
func Main(ctx context.Context, arguments []string, out io.Writer) error {
	if len(arguments) == 0 {
		return errUsage
	}
	command, rest := arguments[0], arguments[1:]
	switch command {
	case "serve":
		return with(rest, servePrefix, Defaults(), func(s Settings) error { return Run(ctx, s, out) })
	case "health":
		return with(rest, servePrefix, Defaults(), func(s Settings) error { return probe(ctx, s) })
	case "migrate":
		if len(rest) == 0 {
			return errUsage
		}
		defaults := MigrateSettings{Log: Log{Level: "info"}}
		return with(rest[1:], migratePrefix, defaults, func(s MigrateSettings) error { return move(ctx, rest[0], s, out) })
	case "reconcile":
		return reconcile(ctx, rest, out)
	case "admin":
		return admin(ctx, rest, out)
	case "sweep":
		return sweep(ctx, rest, out)
	case "openapi":
		_, err := out.Write(document.Document)
		return err
	}
	return errUsage
}

// with loads the settings that --config names and runs a command with them.
func with[S config.Verifier](arguments []string, prefix string, defaults S, run func(S) error) error {
	flags := flag.NewFlagSet("api", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("config", "", "the settings file")
	if err := flags.Parse(arguments); err != nil || *path == "" || flags.NArg() > 0 {
		return errUsage
	}
	settings, err := config.Load(*path, prefix, defaults)
	if err != nil {
		return err
	}
	return run(settings)
}

// probe asks the service on this machine whether it is ready.
func probe(ctx context.Context, s Settings) error {
	host, port, err := net.SplitHostPort(s.Internal.Address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return service.Probe(ctx, "http://"+net.JoinHostPort(host, port)+"/readyz")
}

// move changes or reports the schema.
func move(ctx context.Context, verb string, s MigrateSettings, out io.Writer) error {
	log, err := telemetry.NewLogger(out, "api-migrate", s.Log.Level)
	if err != nil {
		return err
	}
	schema := database.Migrate{URL: s.Database.URL.Reveal()}
	switch verb {
	case "up":
		err = schema.Up(ctx)
	case "down":
		err = schema.Down(ctx)
	case "status":
	default:
		return errUsage
	}
	if err != nil {
		return err
	}
	status, err := schema.Status(ctx)
	if err != nil {
		return err
	}
	if verb == "status" {
		_, err = fmt.Fprintf(out, "version %d of %d, dirty %t\n", status.Version, status.Latest, status.Dirty)
		return err
	}
	log.InfoContext(ctx, "schema", "did", verb, "version", status.Version, "latest", status.Latest)
	return nil
}
