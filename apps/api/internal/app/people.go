package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/users"
	"gatehouse.internal/api/internal/web"
	"gatehouse.internal/libs/config"
	"gatehouse.internal/libs/telemetry"
)

// people are the parts that keep the copy of Kratos' identities, and what follows from a change of one.
type people struct {
	directory *users.Directory
	saga      *users.Saga
	sweep     *users.Sweep
	admins    *users.Admins
}

func newPeople(s Settings, servers servers, pool *pgxpool.Pool, index *converge.Converger, queue *jobs.Queue, changes *change.Changes) people {
	directory := users.NewDirectory(pool, servers.kratosAdmin, s.UpstreamTimeout)
	saga := users.NewSaga(directory, servers.kratosAdmin, servers.hydra)
	saga.Touch = func(ctx context.Context, tx pgx.Tx, objects ...permission.Object) error {
		_, err := index.Touch(ctx, tx, objects...)
		return err
	}
	saga.Enqueue = func(ctx context.Context, tx pgx.Tx, operation uuid.UUID) error {
		return queue.InsertTx(ctx, tx, users.OperationJob{Operation: operation})
	}
	return people{
		directory: directory, saga: saga, sweep: users.NewSweep(directory, servers.kratosAdmin, saga),
		admins: users.NewAdmins(directory, servers.kratosAdmin, changes),
	}
}

// newChanged hears from Kratos which identities changed. It only writes that down: Kratos sends once, and a job tries again.
func newChanged(queue *jobs.Queue) users.Changed {
	return users.Changed{Refuse: web.Refuse, Notice: func(ctx context.Context, id uuid.UUID) error {
		if err := queue.Insert(ctx, users.ChangedJob{Identity: id}); err != nil {
			return database.Problem(fmt.Errorf("enqueue: %w", err))
		}
		return nil
	}}
}

// errPeopleDiffer is how `api sweep --plan` tells a script that there is something to do.
var errPeopleDiffer = errors.New("the table of users differs from Kratos")

// sweep runs `api sweep`: it prints how the table of users differs from Kratos, and makes it right when told to.
func sweep(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("api sweep", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("config", "", "the settings file")
	plan := flags.Bool("plan", false, "print what differs and change nothing")
	apply := flags.Bool("apply", false, "print what differs and repair it")
	force := flags.Bool("force", false, "bury however many people")
	if err := flags.Parse(arguments); err != nil || *path == "" || flags.NArg() > 0 || *plan && *apply || *force && !*apply {
		return errUsage
	}
	return withPeople(ctx, *path, "api-sweep", out, func(p people) error {
		p.sweep.Force = *force
		found, err := p.sweep.Plan(ctx)
		if err != nil {
			return err
		}
		if _, err := found.WriteTo(out); err != nil {
			return err
		}
		switch {
		case found.Empty():
			return nil
		case !*apply:
			return errPeopleDiffer
		}
		if err := p.sweep.Apply(ctx, found); err != nil {
			return err
		}
		_, err = io.WriteString(out, "applied\n")
		return err
	})
}

// withPeople runs a command with the parts that keep people, on the service's settings.
func withPeople(ctx context.Context, path, name string, out io.Writer, run func(people) error) error {
	s, err := config.Load(path, servePrefix, Defaults())
	if err != nil {
		return err
	}
	log, err := telemetry.NewLogger(out, name, s.Log.Level)
	if err != nil {
		return err
	}
	slog.SetDefault(log)
	pool, err := database.Open(ctx, s.Database.URL.Reveal(), s.Database.MaxConnections, s.UpstreamTimeout)
	if err != nil {
		return err
	}
	defer pool.Close()
	parts, err := newParts(s, newServers(s), pool, log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	return run(parts.people)
}
