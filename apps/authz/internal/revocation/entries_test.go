package revocation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

func TestWhatAnEntryTakesAway(t *testing.T) {
	for name, c := range map[string]struct {
		entry  Entry
		issued time.Time
		want   bool
	}{
		"any age":                            {Entry{Kind: Session, ID: "x", Expires: at(100)}, at(50), true},
		"issued before":                      {Entry{Kind: Session, ID: "x", NotBefore: at(10), Expires: at(100)}, at(9), true},
		"issued at that moment":              {Entry{Kind: Session, ID: "x", NotBefore: at(10), Expires: at(100)}, at(10), true},
		"iat has whole seconds, rounded off": {Entry{Kind: Session, ID: "x", NotBefore: at(10.5), Expires: at(100)}, at(10), true},
		"issued after":                       {Entry{Kind: Session, ID: "x", NotBefore: at(10), Expires: at(100)}, at(10.001), false},
		"issued nobody knows when":           {Entry{Kind: Session, ID: "x", NotBefore: at(10), Expires: at(100)}, time.Time{}, true},
		"expired":                            {Entry{Kind: Session, ID: "x", Expires: at(60)}, at(50), false},
		"another id":                         {Entry{Kind: Session, ID: "y", Expires: at(100)}, at(50), false},
		"another kind":                       {Entry{Kind: Subject, ID: "x", Expires: at(100)}, at(50), false},
	} {
		t.Run(name, func(t *testing.T) {
			held := newEntries()
			held.add(c.entry)
			require.Equal(t, c.want, held.match(Session, "x", c.issued, at(60)))
		})
	}
}

func TestEntryThatSaysMoreReplacesTheOther(t *testing.T) {
	held := newEntries()
	held.add(Entry{Kind: Subject, ID: "x", NotBefore: at(10), Expires: at(100)})
	held.add(Entry{Kind: Subject, ID: "x", NotBefore: at(20), Expires: at(110)})
	require.Equal(t, 1, held.size)
	held.add(Entry{Kind: Subject, ID: "x", NotBefore: at(5), Expires: at(105)})
	require.Equal(t, 1, held.size)
	held.add(Entry{Kind: Subject, ID: "x", NotBefore: at(30), Expires: at(50)})
	require.Equal(t, 2, held.size, "neither says all that the other says")
	held.add(Entry{Kind: Subject, ID: "x", Expires: at(200)})
	require.Equal(t, 1, held.size)
}

func TestSweepForgetsOnlyTheExpired(t *testing.T) {
	held := newEntries()
	held.add(Entry{Kind: Subject, ID: "x", NotBefore: at(30), Expires: at(50)})
	held.add(Entry{Kind: Subject, ID: "x", NotBefore: at(20), Expires: at(100)})
	held.add(Entry{Kind: Token, ID: "y", Expires: at(50)})
	held.sweep(at(50))
	require.Equal(t, 1, held.size)
	require.Len(t, held.spans, 1)
	require.True(t, held.match(Subject, "x", at(20), at(50)))
	require.False(t, held.match(Subject, "x", at(25), at(50)))
}

// However the feed's pages are cut, repeated, mixed up, delayed and swept between, the same entries are held in
// the end, and they are those that a plain reading of all that was published gives.
func TestAnyDeliveryOfTheSameEntriesGivesTheSameState(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			published := randomEntries(random)
			now := at(60) // some have expired by then
			inOrder, otherwise := newEntries(), newEntries()
			for _, entry := range published {
				inOrder.add(entry)
			}
			inOrder.sweep(now)
			deliver(random, published, otherwise, now)
			require.Equal(t, sorted(inOrder), sorted(otherwise))
			require.Equal(t, inOrder.size, otherwise.size)
			for range 100 {
				kind, id, issued := randomName(random), randomID(random), randomTime(random)
				require.Equal(t, taken(published, kind, id, issued, now), otherwise.match(kind, id, issued, now))
			}
		})
	}
}

// deliver adds the entries in pages out of order, some more than once, while the clock runs up to now.
func deliver(random *rand.Rand, published []Entry, to *entries, now time.Time) {
	var pages [][]Entry
	for rest := published; len(rest) > 0; {
		n := 1 + random.IntN(len(rest))
		pages = append(pages, rest[:n])
		rest = rest[n:]
	}
	for range random.IntN(4) {
		pages = append(pages, pages[random.IntN(len(pages))])
	}
	random.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
	for i, page := range pages {
		for _, entry := range page {
			to.add(entry)
		}
		if random.IntN(2) == 0 {
			to.sweep(at(60 * float64(i) / float64(len(pages))))
		}
	}
	to.sweep(now)
}

// taken is the contract, read without thinking about memory.
func taken(published []Entry, kind Kind, id string, issued, now time.Time) bool {
	return slices.ContainsFunc(published, func(e Entry) bool {
		reaches := e.NotBefore.IsZero() || issued.IsZero() || !issued.After(e.NotBefore)
		return e.Kind == kind && e.ID == id && now.Before(e.Expires) && reaches
	})
}

func randomEntries(random *rand.Rand) []Entry {
	out := make([]Entry, 1+random.IntN(40))
	for i := range out {
		out[i] = Entry{Kind: randomName(random), ID: randomID(random), NotBefore: randomTime(random), Expires: at(float64(40 + random.IntN(40)))}
	}
	return out
}

func randomName(random *rand.Rand) Kind { return []Kind{Subject, Session, Token}[random.IntN(3)] }

func randomID(random *rand.Rand) string { return string(rune('a' + random.IntN(3))) }

func randomTime(random *rand.Rand) time.Time {
	if random.IntN(8) == 0 {
		return time.Time{}
	}
	return at(float64(random.IntN(40)))
}

func sorted(e *entries) map[name][]span {
	out := map[name][]span{}
	for at, spans := range e.spans {
		out[at] = slices.SortedFunc(slices.Values(spans), func(a, b span) int { return a.expires.Compare(b.expires) })
	}
	return out
}
