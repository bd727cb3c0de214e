//go:build integration

package converge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/convergetest"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/permission"
)

// TestMain is also the process that dies: the tests start themselves again with childVariable set.
func TestMain(m *testing.M) {
	if settings := os.Getenv(childVariable); settings != "" {
		if err := child(context.Background(), settings); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	databasetest.Main(m)
}

const childVariable = "GATEHOUSE_TEST_CRASH"

// scene is what random operations are about, and where.
type scene struct {
	DatabaseURL, ReadURL, WriteURL string
	People                         []uuid.UUID
	Organizations, Gateways        []uuid.UUID
	Seed                           uint64
	// FailPoint is where the process kills itself, at the Hit-th time it comes there.
	FailPoint string
	Hit       int
}

// actor makes random changes, as operations do: what takes rights away withdraws them first.
type actor struct {
	scene
	pool   *pgxpool.Pool
	index  *converge.Converger
	random *rand.Rand
}

func choose[T any](a *actor, from []T) T { return from[a.random.IntN(len(from))] }

const (
	setMembership = `INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)
		ON CONFLICT (organization_id, user_id) DO UPDATE SET role = excluded.role`
	setGrant = `INSERT INTO gateway_grants (gateway_id, subject_kind, subject_id, role, granted_by_kind, granted_by_id)
		VALUES ($1, 'user', $2, $3, 'user', '') ON CONFLICT (gateway_id, subject_kind, subject_id) DO UPDATE SET role = excluded.role`
)

// step makes one change and waits for the index.
func (a *actor) step(ctx context.Context) error {
	organization, gateway, person := choose(a, a.Organizations), choose(a, a.Gateways), choose(a, a.People)
	switch a.random.IntN(6) {
	case 0, 1:
		role := choose(a, []permission.Role{permission.Owner, permission.Admin, permission.Plain})
		return a.change(ctx, permission.Of(permission.Organization, organization), setMembership, organization, person, role)
	case 2:
		return a.change(ctx, permission.Of(permission.Organization, organization),
			"DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2", organization, person)
	case 3, 4:
		role := choose(a, []permission.Role{permission.Owner, permission.Admin, permission.Editor, permission.Viewer})
		return a.change(ctx, permission.Of(permission.Gateway, gateway), setGrant, gateway, person, role)
	}
	return a.change(ctx, permission.Of(permission.Gateway, gateway),
		"DELETE FROM gateway_grants WHERE gateway_id = $1 AND subject_kind = 'user' AND subject_id = $2", gateway, person.String())
}

func (a *actor) change(ctx context.Context, object permission.Object, statement string, arguments ...any) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var marks []converge.Mark
	err := pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) (err error) {
		if marks, err = a.index.Touch(ctx, tx, object); err != nil {
			return err
		}
		before, err := converge.Desired(ctx, tx, object)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, statement, arguments...); err != nil {
			return err
		}
		after, err := converge.Desired(ctx, tx, object)
		if err != nil {
			return err
		}
		if _, lost := converge.Difference(after[object], before[object]); len(lost) > 0 {
			return a.index.Withdraw(ctx, lost...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = a.index.Await(ctx, marks)
	return err
}

// child is a process that works until it dies.
func child(ctx context.Context, settings string) error {
	var s scene
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return err
	}
	pool, err := database.Open(ctx, s.DatabaseURL, 4, 20*time.Second)
	if err != nil {
		return err
	}
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		return err
	}
	index := converge.New(pool, ory.NewKetoIndex(s.ReadURL, s.WriteURL, ory.HTTPClient(20*time.Second)), queue, prometheus.NewRegistry())
	hits := 0
	index.FailPoint = func(name string) error {
		if name != s.FailPoint {
			return nil
		}
		if hits++; hits < s.Hit {
			return nil
		}
		return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), errors.New("still alive"))
	}
	a := &actor{scene: s, pool: pool, index: index, random: rand.New(rand.NewPCG(s.Seed, 0))}
	for range 1000 {
		if err := a.step(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s was not reached %d times", s.FailPoint, s.Hit)
}

func newScene(t *testing.T, w *convergetest.World) scene {
	t.Helper()
	s := scene{DatabaseURL: w.Database.URL(t, databasetest.Runtime), ReadURL: w.Server.ReadURL, WriteURL: w.Server.WriteURL}
	for range 4 {
		s.People = append(s.People, w.Person(t))
	}
	for range 2 {
		s.Organizations = append(s.Organizations, w.Organization(t))
		s.Gateways = append(s.Gateways, w.Gateway(t, s.Organizations[len(s.Organizations)-1]))
	}
	return s
}

// work runs jobs as a process does, until what stop returns is called.
func work(t *testing.T, w *convergetest.World) (stop func()) {
	t.Helper()
	workers := river.NewWorkers()
	w.Converger().Register(workers, converge.ReconcileOptions{})
	part, err := jobs.Part(w.Pool, slog.New(slog.DiscardHandler), jobs.Work{Workers: workers, Parallel: 2})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- part.Serve() }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		require.NoError(t, part.Stop(ctx))
		require.NoError(t, <-served)
	}
}

// restart runs jobs until there are none.
func restart(t *testing.T, w *convergetest.World) {
	t.Helper()
	defer work(t, w)()
	require.Eventually(t, func() bool {
		var waiting int
		err := w.Pool.QueryRow(t.Context(), "SELECT count(*) FROM river_job WHERE kind = 'converge' AND finalized_at IS NULL").Scan(&waiting)
		return err == nil && waiting == 0
	}, time.Minute, 20*time.Millisecond)
}

// answers asks both about everything in the scene.
func (s scene) answers(t *testing.T, w *convergetest.World) (questions []permission.Question, keto, rows []bool) {
	t.Helper()
	for _, person := range s.People {
		for namespace, ids := range map[permission.Namespace][]uuid.UUID{
			permission.Organization: s.Organizations, permission.Gateway: s.Gateways,
		} {
			for _, id := range ids {
				for _, permit := range permission.Permits[namespace] {
					questions = append(questions, permission.Question{
						Subject: permission.Person(person), Permit: permit, Object: permission.Of(namespace, id),
					})
				}
			}
		}
	}
	keto, err := w.Keto.Check(t.Context(), questions...)
	require.NoError(t, err)
	rows, err = w.Rows.Check(t.Context(), questions...)
	require.NoError(t, err)
	return questions, keto, rows
}

func TestProcessThatIsKilledAnywhereLeavesNothingBehind(t *testing.T) {
	w := convergetest.New(t)
	s := newScene(t, w)
	program, err := os.Executable()
	require.NoError(t, err)
	for round, name := range slices.Concat(converge.FailPoints, converge.FailPoints) {
		t.Run(fmt.Sprintf("%d at %q", round, name), func(t *testing.T) {
			s.Seed, s.FailPoint, s.Hit = uint64(round), name, 1+round%4
			settings, err := json.Marshal(s)
			require.NoError(t, err)
			var out bytes.Buffer
			process := exec.CommandContext(t.Context(), program)
			process.Env = append(os.Environ(), childVariable+"="+string(settings))
			process.Stdout, process.Stderr = &out, &out
			killed, ok := errors.AsType[*exec.ExitError](process.Run())
			require.True(t, ok, "it ended by itself: %s", out.String())
			require.Equal(t, syscall.SIGKILL, killed.Sys().(syscall.WaitStatus).Signal(), out.String())

			// Whatever was half done, nobody holds a right in Keto that the rows do not give.
			questions, keto, rows := s.answers(t, w)
			for i, question := range questions {
				require.False(t, keto[i] && !rows[i], question.String())
			}
			restart(t, w)
			questions, keto, rows = s.answers(t, w)
			for i, question := range questions {
				require.Equal(t, rows[i], keto[i], question.String())
			}
			w.RequireConverged(t)
		})
	}
}

func TestStepThatFailsAnywhereIsRepeated(t *testing.T) {
	w := convergetest.New(t)
	s := newScene(t, w)
	for round, name := range converge.FailPoints {
		t.Run(name, func(t *testing.T) {
			index := w.Converger()
			failures := 0
			index.FailPoint = func(at string) error {
				if at != name {
					return nil
				}
				failures++
				return errors.New("fails here")
			}
			a := &actor{scene: s, pool: w.Pool, index: index, random: rand.New(rand.NewPCG(uint64(round), 1))}
			for failures < 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				_ = a.step(ctx) // it says so, or not: either way it must be caught up with
				cancel()
			}
			restart(t, w)
			w.RequireConverged(t)
		})
	}
}

func TestSeveralProcessesAtOnce(t *testing.T) {
	w := convergetest.New(t)
	s := newScene(t, w)
	stop := []func(){work(t, w), work(t, w)}
	var acting sync.WaitGroup
	failed := make(chan error, 4)
	for i := range cap(failed) {
		acting.Go(func() {
			pool, err := database.Open(t.Context(), s.DatabaseURL, 4, 20*time.Second)
			if err != nil {
				failed <- err
				return
			}
			defer pool.Close()
			a := &actor{scene: s, pool: pool, index: converge.New(pool, w.Tuples, w.Queue, prometheus.NewRegistry()), random: rand.New(rand.NewPCG(uint64(i), 2))}
			for range 20 {
				if err := a.step(t.Context()); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	acting.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	for _, one := range stop {
		one()
	}
	restart(t, w)
	w.RequireConverged(t)
	// No converge inserts what another has inserted: each tuple is there once.
	requireNoCopies(t, w)
}
