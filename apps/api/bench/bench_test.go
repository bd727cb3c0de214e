//go:build bench

// Package bench measures the API on a filled database, behind the real door and with the real Keto: whether the last page of a
// list costs what the first does, what a permission costs, and how soon many changes are in force. It is no test: it
// fails only when something answers wrongly.
package bench

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/permission"
)

var (
	rounds   = flag.Int("rounds", 5, "interleaved runs; the median counts")
	requests = flag.Int("requests", 1500, "per run")
	share    = flag.Float64("share", 1, "of the rows, for trying")
	report   = flag.String("write", "", "the Markdown file to write the results into, between the marks")
)

const concurrency = 8

func TestMain(m *testing.M) {
	if path := os.Getenv(settingsFile); path != "" {
		fmt.Fprintln(os.Stderr, serve(path))
		os.Exit(1)
	}
	flag.Parse()
	os.Exit(m.Run())
}

func TestAPI(t *testing.T) {
	w := newWorld(t)
	var out strings.Builder
	fmt.Fprintf(&out, "Measured on %s; %d people, %d organizations, %d gateways, %d products; medians of %d runs, the least and the most in brackets.\n",
		machine(), w.size.Users, w.size.Organizations, w.size.Gateways, w.size.Products, *rounds)
	w.start(t, checked)
	out.WriteString(w.pages(t))
	out.WriteString(w.throughput(t))
	out.WriteString(w.check(t))
	out.WriteString(w.convergence(t))
	fmt.Fprintf(&out, "\nLoad average at the end %s.\n", load())
	t.Log("\n" + out.String())
	if *report != "" {
		require.NoError(t, write(*report, out.String()))
	}
}

// pages asks for the first, a middle and the last page of every long list.
func (w *world) pages(t *testing.T) string {
	var out strings.Builder
	out.WriteString("\n| list, 100 a page | rows | first page, ms | middle, ms | last, ms |\n|---|---:|---:|---:|---:|\n")
	products, members := databasetest.Product, databasetest.User
	for _, list := range []struct {
		name, path string
		kind       databasetest.Kind
		rows       int
		newest     bool // first
		of         int  // every so manieth row is on the list
	}{
		{"`/api/organizations`, of one person", "/api/organizations", databasetest.Organization, w.size.Organizations, false, 1},
		{"`/api/gateways`, of one person", "/api/gateways", databasetest.Gateway, w.size.Gateways, false, 1},
		{"`/api/organizations/{id}/members`", w.organization + "/members", members, w.members, false, 1},
		{"`/api/organizations/{id}/gateways`", w.organization + "/gateways", databasetest.Gateway, w.owned, false, 1},
		{"`/api/gateways/{id}/products`", w.gateway + "/products", products, w.offered, false, 1},
		{"`/api/organizations/{id}/audit`", w.organization + "/audit", databasetest.Event, w.events, true, 1},
		{"`/api/public/directory`", "/api/public/directory", products, w.size.Products, false, 3},
		{"`/api/users`", "/api/users", databasetest.User, w.size.Users, false, 1},
	} {
		fmt.Fprintf(&out, "| %s | %d |", list.name, list.rows/list.of)
		for _, place := range []int{0, list.rows / 2, max(0, list.rows-100*list.of)} {
			target := list.path + "?limit=100"
			if place > 0 {
				after := databasetest.ID(list.kind, place)
				if list.newest {
					after = databasetest.ID(list.kind, list.rows-place)
				}
				target += "&cursor=" + cursor(after)
			}
			w.get(t, target) // plans and pages that are read for the first time do not count
			var took []float64
			for range 20 {
				begin := time.Now()
				w.get(t, target)
				took = append(took, milliseconds(time.Since(begin)))
			}
			fmt.Fprintf(&out, " %s |", spread(took, "%.1f"))
		}
		out.WriteString("\n")
	}
	return out.String()
}

func cursor(after uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(after[:]) }

// throughput is what the door lets through.
func (w *world) throughput(t *testing.T) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n| through Envoy, %d at a time | requests/s | p50, ms | p99, ms |\n|---|---:|---:|---:|\n", concurrency)
	for _, target := range []string{"/api/me", w.gateway} {
		var rate, half, most []float64
		for range *rounds {
			latencies, took := w.load(t, *requests, func() { w.get(t, target) })
			rate = append(rate, float64(*requests)/took.Seconds())
			half = append(half, milliseconds(latencies[len(latencies)/2]))
			most = append(most, milliseconds(latencies[len(latencies)*99/100]))
		}
		name := "`" + target + "`, a person"
		if target == w.gateway {
			name = "`/api/gateways/{id}`, the same, with a permit"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", name, spread(rate, "%.0f"), spread(half, "%.1f"), spread(most, "%.1f"))
	}
	return out.String()
}

// check compares a route with the same route that asks for no permit, and the difference with the same question asked of
// Keto by itself.
func (w *world) check(t *testing.T) string {
	keto := ory.NewKeto(variable(t, "GATEHOUSE_TEST_KETO_READ_URL"), ory.HTTPClient(patience))
	question := permission.Question{
		Subject: permission.Subject{Namespace: permission.User, ID: w.person}, Permit: "view",
		Object: permission.Of(permission.Gateway, databasetest.ID(databasetest.Gateway, 0)),
	}
	bare := func() {
		answers, err := keto.Check(t.Context(), question)
		if err != nil || !answers[0] {
			panic(fmt.Sprint("Keto does not say yes: ", answers, err))
		}
	}
	var with, without, alone, price, ratio []float64
	for range *rounds {
		w.start(t, checked)
		a := w.cost(t, w.api, func() { w.get(t, w.gateway) })
		w.start(t, unchecked)
		b := w.cost(t, w.api, func() { w.get(t, w.gateway) })
		c := w.cost(t, os.Getpid(), bare)
		with, without, alone = append(with, a), append(without, b), append(alone, c)
		price, ratio = append(price, a-b), append(ratio, (a-b)/c)
		t.Logf("check: %.0f us with, %.0f without, %.0f alone", a, b, c)
	}
	return fmt.Sprintf("\n| CPU of the API, Keto and Postgres per request | us |\n|---|---:|\n"+
		"| `GET /api/gateways/{id}`, with its permit | %s |\n| the same operation without | %s |\n| so the permit costs | %s |\n"+
		"| the question alone, asked of Keto by a program that does nothing else | %s |\n| the permit, of the question alone | %s |\n",
		spread(with, "%.0f"), spread(without, "%.0f"), spread(price, "%.0f"), spread(alone, "%.0f"), spread(ratio, "%.2f x"))
}

// cost is the CPU time of a process, Keto and Postgres for each of many requests, in microseconds.
func (w *world) cost(t *testing.T, pid int, ask func()) float64 {
	t.Helper()
	w.load(t, *requests/10, ask)
	before := w.cpu(t, pid)
	w.load(t, *requests, ask)
	return float64((w.cpu(t, pid) - before).Microseconds()) / float64(*requests)
}

// convergence changes ten thousand memberships at once, and makes the index follow.
func (w *world) convergence(t *testing.T) string {
	const each = 10
	organizations := min(1000, w.size.Organizations)
	app := w.inProcess(t, slog.New(slog.DiscardHandler))
	converge := func() time.Duration {
		begin := time.Now()
		var next atomic.Int64
		w.load(t, organizations, func() {
			id := databasetest.ID(databasetest.Organization, int(next.Add(1)))
			if err := app.Converge(context.WithoutCancel(t.Context()), permission.Of(permission.Organization, id)); err != nil {
				panic(err)
			}
		})
		return time.Since(begin)
	}
	first := converge()
	changed := w.execute(t, `UPDATE memberships m SET role = 'member' FROM (
		SELECT organization_id, user_id FROM memberships WHERE organization_id > $1 AND organization_id <= $2 AND user_id <> $3) c
		WHERE c.organization_id = m.organization_id AND c.user_id = m.user_id`,
		databasetest.ID(databasetest.Organization, 0), databasetest.ID(databasetest.Organization, organizations), w.person)
	took := converge()
	big := time.Now()
	require.NoError(t, app.Converge(t.Context(), permission.Of(permission.Organization, databasetest.ID(databasetest.Organization, 0))))
	again := time.Since(big)
	return fmt.Sprintf("\n| convergence, %d at a time | s |\n|---|---:|\n"+
		"| %d organizations of about %d members, none of them in Keto before | %.1f |\n| the same after %d membership rows changed | %.1f |\n"+
		"| one organization of %d members, when nothing is to be done | %.1f |\n",
		concurrency, organizations, each, first.Seconds(), changed, took.Seconds(), w.members, again.Seconds())
}

// load does something many times, several at a time, and returns how long each took, sorted.
func (w *world) load(t *testing.T, count int, ask func()) ([]time.Duration, time.Duration) {
	t.Helper()
	latencies := make([]time.Duration, count)
	var next atomic.Int64
	var workers sync.WaitGroup
	begin := time.Now()
	for range concurrency {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				start := time.Now()
				ask()
				latencies[i] = time.Since(start)
			}
		})
	}
	workers.Wait()
	took := time.Since(begin)
	slices.Sort(latencies)
	return latencies, took
}

// get asks as the person with the session, through the door. Another answer than 200 ends the program: nothing that was measured
// would mean anything.
func (w *world) get(t *testing.T, target string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.public+target, nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Cookie", "ory_kratos_session="+w.session)
	response, err := w.client.Do(request)
	if err != nil {
		panic(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		panic(fmt.Sprint(target, " answered ", response.StatusCode, string(body[:min(len(body), 500)]), err))
	}
}
