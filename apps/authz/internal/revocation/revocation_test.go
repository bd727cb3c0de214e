package revocation

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// clock is a time that the test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func (c *clock) pass(d time.Duration) { c.Time = c.Add(d) }

func newTestList(change func(*Settings)) (*List, *clock) {
	s := Default()
	s.File = "unused"
	if change != nil {
		change(&s)
	}
	c := &clock{epoch}
	return NewList(s, c.now), c
}

// end is a page after which there is nothing.
func end(list ...Entry) page { return page{Entries: list, Cursor: "end"} }

func whole(list ...Entry) page { return page{Entries: list, Cursor: "hash", whole: true} }

func TestEveryFactIsLookedUp(t *testing.T) {
	l, _ := newTestList(nil)
	for kind, facts := range map[Kind]Facts{
		Subject: {Subject: "x"}, Session: {Session: "x"}, Client: {Client: "x"}, Token: {TokenID: "x"}, Key: {KeyID: "x"},
	} {
		require.NoError(t, l.apply(whole(), l.now()))
		require.NoError(t, l.Check(facts))
		require.NoError(t, l.apply(whole(Entry{Kind: kind, ID: "x", Expires: at(10)}), l.now()))
		require.True(t, l.Revoked(facts), kind)
		require.ErrorIs(t, l.Check(facts), ErrRevoked)
		require.False(t, l.Revoked(Facts{}), "somebody of whom nothing is known is nobody's session")
	}
}

func TestNoSourceMeansThatNothingIsAsked(t *testing.T) {
	l := NewList(Default(), time.Now)
	require.Nil(t, l)
	require.NoError(t, l.Check(Facts{Subject: "x", Offline: true}))
	require.False(t, l.Revoked(Facts{Subject: "x"}))
	require.False(t, l.Stale())
	l.Subscribe(func(Entry) {})
}

func TestStaleUntilReadToTheEndAndAfterTooLongASilence(t *testing.T) {
	l, c := newTestList(nil)
	require.True(t, l.Stale(), "after a start")
	require.NoError(t, l.apply(page{Entries: []Entry{}, More: true}, c.now()))
	require.True(t, l.Stale(), "there is more")
	require.NoError(t, l.apply(end(), c.now()))
	require.False(t, l.Stale())

	c.pass(time.Minute)
	require.False(t, l.Stale())
	c.pass(1)
	require.True(t, l.Stale())
	require.NoError(t, l.apply(page{More: true}, c.now()))
	require.True(t, l.Stale(), "an answer that is not the feed's end proves nothing")
	require.NoError(t, l.apply(end(), c.now()))
	require.False(t, l.Stale())

	l.lostPlace()
	require.True(t, l.Stale())
}

func TestContactCountsFromTheQuestion(t *testing.T) {
	l, c := newTestList(nil)
	asked := c.now()
	c.pass(30 * time.Second) // a long poll, or an answer that was held up on its way
	require.NoError(t, l.apply(end(), asked))
	c.pass(31 * time.Second)
	require.True(t, l.Stale())
}

func TestStalenessMattersToOfflineCredentialsAndCanBeAccepted(t *testing.T) {
	l, _ := newTestList(nil)
	require.ErrorIs(t, l.Check(Facts{Subject: "x", Offline: true}), ErrStale)
	require.NoError(t, l.Check(Facts{Subject: "x"}), "its issuer was just asked")

	l, c := newTestList(func(s *Settings) { s.WhenStale = Allow })
	require.True(t, l.Stale())
	require.NoError(t, l.Check(Facts{Subject: "x", Offline: true}))
	require.NoError(t, l.apply(end(Entry{Kind: Subject, ID: "x", Expires: at(1000)}), c.now()))
	c.pass(time.Hour / 6)
	require.True(t, l.Stale())
	require.ErrorIs(t, l.Check(Facts{Subject: "x", Offline: true}), ErrRevoked, "what is known holds, however old")
}

func TestFullListIsStaleAndForgetsNothing(t *testing.T) {
	l, c := newTestList(func(s *Settings) { s.MaxEntries = 2 })
	require.NoError(t, l.apply(end(Entry{Kind: Token, ID: "a", Expires: at(10)}, Entry{Kind: Token, ID: "b", Expires: at(20)}), c.now()))
	third := end(Entry{Kind: Token, ID: "b", Expires: at(20)}, Entry{Kind: Token, ID: "c", Expires: at(20)})
	require.ErrorIs(t, l.apply(third, c.now()), errFull)
	require.True(t, l.Stale())
	require.True(t, l.Revoked(Facts{TokenID: "a"}))

	c.pass(10 * time.Second)
	require.NoError(t, l.apply(third, c.now()), "an expired entry makes room")
	require.False(t, l.Stale())
	require.True(t, l.Revoked(Facts{TokenID: "c"}))
	require.Equal(t, 2, l.size())
}

func TestWholePageReplacesTheOneBefore(t *testing.T) {
	l, c := newTestList(func(s *Settings) { s.MaxEntries = 1 })
	a, b := Entry{Kind: Token, ID: "a", Expires: at(10)}, Entry{Kind: Token, ID: "b", Expires: at(10)}
	require.NoError(t, l.apply(whole(a), c.now()))
	require.NoError(t, l.apply(whole(b), c.now()))
	require.False(t, l.Revoked(Facts{TokenID: "a"}), "who edits the file can give back")
	require.True(t, l.Revoked(Facts{TokenID: "b"}))

	require.ErrorIs(t, l.apply(whole(a, b), c.now()), errFull)
	require.False(t, l.Revoked(Facts{TokenID: "a"}), "all of a file or none of it")
	require.True(t, l.Revoked(Facts{TokenID: "b"}))
}

func TestExpiredEntriesAreDroppedInTime(t *testing.T) {
	l, c := newTestList(nil)
	require.NoError(t, l.apply(end(Entry{Kind: Token, ID: "a", Expires: at(10)}, Entry{Kind: Token, ID: "late", Expires: at(0)}), c.now()))
	require.Equal(t, 1, l.size(), "one that came too late is not kept")
	c.pass(10 * time.Second)
	require.False(t, l.Revoked(Facts{TokenID: "a"}))
	c.pass(sweepInterval)
	require.NoError(t, l.apply(end(), c.now()))
	require.Zero(t, l.size())
}

func TestSubscribersHearOfEachEntryOnceAndWhenItCounts(t *testing.T) {
	l, c := newTestList(nil)
	var heard []Entry
	l.Subscribe(func(e Entry) {
		require.True(t, l.Revoked(Facts{TokenID: e.ID}))
		heard = append(heard, e)
	})
	a, b := Entry{Kind: Token, ID: "a", Expires: at(10)}, Entry{Kind: Token, ID: "b", Expires: at(10)}
	require.NoError(t, l.apply(end(a), c.now()))
	require.NoError(t, l.apply(end(a, b, b), c.now()))
	require.NoError(t, l.apply(whole(b, a), c.now()))
	require.Equal(t, []Entry{a, b}, heard)
}

func TestMetricsTellTheLag(t *testing.T) {
	l, c := newTestList(nil)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(l)
	shows := func(lag, contact, stale, entries float64) {
		families, err := registry.Gather()
		require.NoError(t, err)
		got := map[string]float64{}
		for _, family := range families {
			got[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue()
		}
		require.Equal(t, map[string]float64{
			"authz_revocation_lag_seconds": lag, "authz_revocation_last_contact_timestamp_seconds": contact,
			"authz_revocation_stale": stale, "authz_revocation_entries": entries,
		}, got)
	}
	shows(math.Inf(1), 0, 1, 0)

	require.NoError(t, l.apply(end(Entry{Kind: Token, ID: "a", Expires: at(10)}), c.now()))
	c.pass(7 * time.Second)
	shows(7, float64(epoch.Unix()), 0, 1)
}

func TestSettingsReportEveryProblemAtOnce(t *testing.T) {
	require.NoError(t, Default().Verify())
	s := Default()
	s.URL, s.Secret = "https://api.internal/revocations", "s"
	require.NoError(t, s.Verify())

	err := Settings{URL: "feed", File: "f", WhenStale: "maybe"}.Verify()
	for _, want := range []string{"both set", "revocation.url", "revocation.secret", "revocation.max_staleness", "revocation.when_stale", "revocation.max_entries"} {
		require.ErrorContains(t, err, want)
	}
}

func BenchmarkCheck(b *testing.B) {
	l, c := newTestList(nil)
	list := make([]Entry, 50_000)
	for i := range list {
		list[i] = Entry{Kind: Token, ID: "id-" + string(rune(i)), Expires: at(10)}
	}
	require.NoError(b, l.apply(end(list...), c.now()))
	f := Facts{Subject: "5c3a1a5e-7c3b-4b1c-8a55-1d2f9e6f7a10", Client: "c-1", TokenID: "0b8f7c55-8f0e-4b8a-9c57-6a0f0d1c2b3a", IssuedAt: at(0), Offline: true}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if l.Check(f) != nil {
				b.Fatal("revoked")
			}
		}
	})
}
