package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/libs/config"
	"gatehouse.internal/libs/telemetry"
)

// model holds the permits that the code asks for against the model that the running Keto has loaded. With another model
// every answer would be a no, or one to another question.
type model struct {
	keto  *ory.Keto
	known atomic.Bool
}

// refuse fails when Keto answers and has another model. A Keto that does not answer stops nobody from starting.
func (m *model) refuse(ctx context.Context, log *slog.Logger) error {
	err := m.check(ctx)
	if errors.Is(err, ory.ErrModel) {
		return err
	}
	if err != nil {
		log.WarnContext(ctx, "the permission model is not verified yet", "error", err)
	}
	return nil
}

func (m *model) check(ctx context.Context) error {
	err := m.keto.Declares(ctx, permission.Permits)
	if err == nil {
		m.known.Store(true)
	}
	return err
}

// ready fails until the model was seen to be the right one. After that an outage of Keto is answered request by request:
// it must not take away what needs no permit.
func (m *model) ready(ctx context.Context) error {
	if m.known.Load() {
		return nil
	}
	return m.check(ctx)
}

// errDiffers is how `api reconcile --plan` tells a script that there is something to do.
var errDiffers = errors.New("the index differs from the rows")

// reconcile runs `api reconcile`.
func reconcile(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("api reconcile", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("config", "", "the settings file")
	plan := flags.Bool("plan", false, "print what differs and change nothing")
	apply := flags.Bool("apply", false, "print what differs and repair it")
	force := flags.Bool("force", false, "delete however many tuples")
	if err := flags.Parse(arguments); err != nil || *path == "" || flags.NArg() > 0 || *plan && *apply || *force && !*apply {
		return errUsage
	}
	s, err := config.Load(*path, servePrefix, Defaults())
	if err != nil {
		return err
	}
	log, err := telemetry.NewLogger(out, "api-reconcile", s.Log.Level)
	if err != nil {
		return err
	}
	slog.SetDefault(log)
	pool, err := database.Open(ctx, s.Database.URL.Reveal(), s.Database.MaxConnections, s.UpstreamTimeout)
	if err != nil {
		return err
	}
	defer pool.Close()
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		return err
	}
	servers := newServers(s)
	if err := servers.keto.Declares(ctx, permission.Permits); err != nil {
		return err
	}
	index := converge.New(pool, servers.tuples, queue, prometheus.NewRegistry())
	found, err := index.Reconcile(ctx, converge.ReconcileOptions{
		Apply: *apply, MaxDeletedShare: s.Reconcile.MaxDeletedShare, Force: *force,
		Show: func(plan converge.Plan) error { return plan.Print(out) },
	})
	if err != nil {
		return err
	}
	switch {
	case found.Empty():
		return nil
	case *apply:
		_, err = fmt.Fprintln(out, "applied")
		return err
	}
	return errDiffers
}
