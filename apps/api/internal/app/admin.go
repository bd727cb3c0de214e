package app

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/users"
)

// admin runs `api admin`. It asks for no permit: whoever can run it can read the settings, and with them the database.
func admin(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("api admin", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("config", "", "the settings file")
	if len(arguments) == 0 {
		return errUsage
	}
	verb := arguments[0]
	if err := flags.Parse(arguments[1:]); err != nil || *path == "" {
		return errUsage
	}
	run, known := map[string]struct {
		operands int
		do       func(context.Context, *users.Admins, []string, io.Writer) error
	}{
		"grant": {1, grantAdmin}, "revoke": {1, revokeAdmin}, "list": {0, listAdmins},
	}[verb]
	if !known || flags.NArg() != run.operands {
		return errUsage
	}
	return withPeople(ctx, *path, "api-admin", out, func(p people) error {
		ctx, outcome := change.Observe(ctx)
		if err := run.do(ctx, p.admins, flags.Args(), out); err != nil {
			return err
		}
		if outcome.Pending() != "" {
			_, err := fmt.Fprintln(out, "the permission index does not show it yet; the service will see to that")
			return err
		}
		return nil
	})
}

func grantAdmin(ctx context.Context, admins *users.Admins, names []string, out io.Writer) error {
	id, err := admins.Find(ctx, names[0])
	if err != nil {
		return err
	}
	granted, err := admins.Grant(ctx, id)
	if err != nil {
		return err
	}
	return say(out, granted, "%s is an admin of the platform now\n", "%s was an admin already\n", id)
}

func revokeAdmin(ctx context.Context, admins *users.Admins, names []string, out io.Writer) error {
	id, err := admins.Find(ctx, names[0])
	if err != nil {
		return err
	}
	revoked, err := admins.Revoke(ctx, id)
	if err != nil {
		return err
	}
	return say(out, revoked, "%s is no admin of the platform any more\n", "%s was no admin\n", id)
}

func listAdmins(ctx context.Context, admins *users.Admins, _ []string, out io.Writer) error {
	found, err := admins.List(ctx)
	if err != nil {
		return err
	}
	for _, one := range found {
		if _, err := fmt.Fprintf(out, "%s  %s  since %s  %s\n", one.UserID, one.State, one.GrantedAt.UTC().Format(time.DateOnly), one.Email); err != nil {
			return err
		}
	}
	return nil
}

func say(out io.Writer, changed bool, yes, no string, id fmt.Stringer) error {
	text := no
	if changed {
		text = yes
	}
	_, err := fmt.Fprintf(out, text, id)
	return err
}
