//go:build differential

package differential

import (
	"context"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/gatetest"
)

var (
	triples = flag.Int("triples", 4000, "how many requests to compare")
	seed    = flag.Uint64("seed", 0, "the seed of a run to repeat; 0 takes a new one")
	keep    = flag.Bool("keep", false, "write an example of each known difference that testdata lacks")
)

// shrunk is how many failures are made small; a change that breaks one thing often breaks it a hundred times.
const shrunk = 3

// result is what differs in the answers to one request.
type result struct {
	theirs, ours answer
	known        []string // ids of known differences
	unexplained  []mismatch
}

func TestSameAnswers(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed=%d -triples=%d", *seed, *triples)
	w := newWorld(t)
	asked, failed, statuses, seen := 0, 0, map[int]int{}, map[string]int{}
	for number := uint64(0); asked < *triples; number++ {
		b := newGenerator(*seed, number, w.credentials).batch()
		g := w.start(t, b.Config, b.Rules)
		for _, r := range b.Requests {
			differs := g.differ(t, b, r)
			asked++
			statuses[differs.theirs.Status]++
			for _, id := range differs.known {
				seen[id]++
			}
			if *keep {
				w.keepExamples(t, g, b, r, differs)
			}
			if len(differs.unexplained) == 0 {
				continue
			}
			if failed++; failed > shrunk {
				t.Errorf("%+v: %v", r, differs.unexplained)
				continue
			}
			what := differs.unexplained[0].What
			small := w.shrink(t, g, b, r, func(other result) bool {
				return slices.ContainsFunc(other.unexplained, func(m mismatch) bool { return m.What == what })
			})
			t.Errorf("%v\nOathkeeper %+v\nauthz %+v\nto keep it, save as testdata/<what it shows>.json:\n%s",
				differs.unexplained, differs.theirs, differs.ours, marshal(small))
		}
		g.close()
	}
	t.Logf("%d requests, %d answered differently without a known reason; by Oathkeeper's status %v; known differences %v", asked, failed, statuses, seen)
	for _, d := range differences {
		if seen[d.id] == 0 {
			t.Logf("the difference %q did not happen", d.id)
		}
	}
}

// TestKeptCases repeats an example of each known difference, and what once failed.
func TestKeptCases(t *testing.T) {
	w := newWorld(t)
	for _, d := range differences {
		require.FileExists(t, exampleOf(d.id), "-keep writes it")
	}
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			var b batch
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(data, &b))
			g := w.start(t, b.Config, b.Rules)
			defer g.close()
			var known []string
			for _, r := range b.Requests {
				differs := g.differ(t, b, r)
				require.Empty(t, differs.unexplained, "%+v", differs)
				known = append(known, differs.known...)
			}
			if slices.ContainsFunc(differences, func(d difference) bool { return d.id == name }) {
				require.Contains(t, known, name, "the difference is gone: good, then take it out")
			}
		})
	}
}

func exampleOf(id string) string { return filepath.Join("testdata", id+".json") }

func (w *world) keepExamples(t *testing.T, g *gates, b batch, r request, differs result) {
	t.Helper()
	for _, id := range differs.known {
		if _, err := os.Stat(exampleOf(id)); err == nil {
			continue
		}
		small := w.shrink(t, g, b, r, func(other result) bool { return slices.Contains(other.known, id) && len(other.unexplained) == 0 })
		require.NoError(t, os.WriteFile(exampleOf(id), marshal(small), 0o600))
	}
}

func TestEveryDifferenceIsDocumented(t *testing.T) {
	document, err := os.ReadFile("../../../docs/oathkeeper-differences.md")
	require.NoError(t, err)
	var documented, known []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(document, -1) {
		documented = append(documented, string(row[1]))
	}
	for _, d := range differences {
		known = append(known, d.id)
	}
	require.ElementsMatch(t, known, documented)
}

// differ asks both gates.
func (g *gates) differ(t *testing.T, b batch, r request) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), gatetest.Patience)
	defer cancel()
	filled := g.fill(r)
	theirs, err := g.askOathkeeper(ctx, filled)
	require.NoError(t, err, "%+v", r)
	ours, err := g.askAuthz(ctx, filled)
	require.NoError(t, err, "%+v", r)
	out := result{theirs: theirs, ours: ours}
	for _, m := range compare(theirs, ours) {
		o := observation{mismatch: m, config: b.Config, rules: b.matched(r), request: r, theirs: theirs, ours: ours}
		if i := slices.IndexFunc(differences, func(d difference) bool { return d.fits(o) }); i >= 0 {
			out.known = append(out.known, differences[i].id)
		} else {
			out.unexplained = append(out.unexplained, m)
		}
	}
	return out
}
