package revocation

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// script is a source that answers as the test says, question by question. Tests run in a bubble whose clock
// jumps to whatever is waited for.
type script struct {
	answers []func(ctx context.Context) (page, error)
	asked   []question
	stop    context.CancelFunc
}

type question struct {
	cursor  string
	patient bool
	after   time.Duration // since the bubble's beginning
}

var bubble = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where synctest begins

func (s *script) next(ctx context.Context, cursor string, patient bool) (page, error) {
	s.asked = append(s.asked, question{cursor, patient, time.Since(bubble)})
	if len(s.asked) == len(s.answers) {
		s.stop()
	}
	return s.answers[len(s.asked)-1](ctx)
}

func says(p page, err error) func(context.Context) (page, error) {
	return func(context.Context) (page, error) { return p, err }
}

// holds keeps the question open, as a long poll does.
func holds(d time.Duration, p page) func(context.Context) (page, error) {
	return func(ctx context.Context) (page, error) {
		wait(ctx, d)
		return p, ctx.Err()
	}
}

// follow runs a follower until the last answer was given.
func follow(t *testing.T, change func(*Settings), answers ...func(context.Context) (page, error)) (*script, *List) {
	t.Helper()
	s := Default()
	s.File = "unused"
	if change != nil {
		change(&s)
	}
	source := &script{answers: answers}
	follower := &Follower{list: NewList(s, time.Now), source: source, log: slog.New(slog.DiscardHandler)}
	part := follower.Part()
	source.stop = func() { require.NoError(t, part.Stop(t.Context())) }
	require.NoError(t, part.Serve())
	return source, follower.list
}

func token(id string) Entry { return Entry{Kind: Token, ID: id, Expires: bubble.Add(time.Hour)} }

func pageOf(cursor string, more bool, list ...Entry) page {
	return page{Entries: list, Cursor: cursor, More: more}
}

func TestFollowerReadsToTheEndAndThenKeepsTheQuestionOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, list := follow(t, nil,
			says(pageOf("1", true, token("a")), nil),
			says(pageOf("2", false, token("b")), nil),
			holds(15*time.Second, pageOf("2", false)),
			holds(3*time.Second, pageOf("3", false, token("c"))),
			says(pageOf("3", false), nil),
		)
		require.Equal(t, []question{
			{"", false, 0}, {"1", false, 0},
			{"2", true, 0}, {"2", true, 15 * time.Second},
			{"3", true, 18 * time.Second},
		}, source.asked)
		for _, id := range []string{"a", "b", "c"} {
			require.True(t, list.Revoked(Facts{TokenID: id}))
		}
		require.False(t, list.Stale())
	})
}

func TestSourceThatNeverKeepsAQuestionOpenIsAskedTwiceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		same := says(pageOf("1", false), nil)
		source, _ := follow(t, nil, same, same, same, same)
		require.Equal(t, []question{
			{"", false, 0}, {"1", true, 0}, {"1", true, pollInterval}, {"1", true, 2 * pollInterval},
		}, source.asked)
	})
}

func TestFailuresAreRetriedEverMoreSlowlyFromTheSamePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := says(page{}, errors.New("down"))
		answers := []func(context.Context) (page, error){says(pageOf("1", false, token("a")), nil)}
		for range 10 {
			answers = append(answers, down)
		}
		answers = append(answers, says(pageOf("1", false), nil), says(pageOf("1", false), nil))
		source, list := follow(t, nil, answers...)

		require.True(t, source.asked[1].patient)
		for i := 2; i <= 11; i++ {
			require.Equal(t, "1", source.asked[i].cursor)
			require.False(t, source.asked[i].patient, "how far we are is to be known at once")
			full := min(minBackoff<<(i-2), maxBackoff)
			paused := source.asked[i].after - source.asked[i-1].after
			require.GreaterOrEqual(t, paused, full/2)
			require.Less(t, paused, full)
		}
		require.Equal(t, question{"1", true, source.asked[11].after}, source.asked[12])
		require.True(t, list.Revoked(Facts{TokenID: "a"}), "an outage gives nothing back")
	})
}

func TestSilentSourceMakesTheListStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(ctx context.Context) (page, error) {
			wait(ctx, 20*time.Second)
			return page{}, errors.New("timeout")
		}
		_, list := follow(t, nil, says(pageOf("1", false), nil), silent, silent, silent)
		require.False(t, list.Stale())
		wait(t.Context(), time.Until(bubble.Add(time.Minute+1)))
		require.True(t, list.Stale())
	})
}

func TestLostPlaceMeansReadingAgainWhileStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, list := follow(t, nil,
			says(pageOf("1", false, token("a")), nil),
			says(page{}, errGone),
			says(pageOf("1", true, token("b")), nil),
			says(page{}, errGone),
		)
		require.Equal(t, []string{"", "1", "", "1"}, cursors(source))
		require.True(t, list.Stale())
		require.True(t, list.Revoked(Facts{TokenID: "a"}))
		require.True(t, list.Revoked(Facts{TokenID: "b"}))
	})
}

func TestFeedThatHasMoreButDoesNotMoveIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := says(pageOf("1", true), nil)
		source, list := follow(t, nil, stuck, stuck, stuck)
		require.Equal(t, []string{"", "1", "1"}, cursors(source))
		require.Positive(t, source.asked[2].after-source.asked[1].after)
		require.True(t, list.Stale())
	})
}

func TestPageThatDoesNotFitIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := says(pageOf("2", false, token("b"), token("c")), nil)
		source, list := follow(t, func(s *Settings) { s.MaxEntries = 2 }, says(pageOf("1", false, token("a")), nil), big, big)
		require.Equal(t, []string{"", "1", "1"}, cursors(source))
		require.True(t, list.Stale())
		require.True(t, list.Revoked(Facts{TokenID: "b"}), "what fits counts")
	})
}

func TestCatchUpEndsWithTheFeedOrWithPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &script{answers: []func(context.Context) (page, error){
			says(page{}, errors.New("down")), says(pageOf("1", true), nil), says(pageOf("2", false), nil), nil,
		}}
		follower := &Follower{list: NewList(Settings{File: "unused", MaxStaleness: time.Minute}, time.Now), source: source, log: slog.New(slog.DiscardHandler)}
		follower.CatchUp(t.Context())
		require.Equal(t, []string{"", "", "1"}, cursors(source))
		require.False(t, follower.list.Stale())

		source = &script{answers: []func(context.Context) (page, error){holds(time.Hour, page{}), nil}}
		follower = &Follower{list: NewList(Settings{File: "unused"}, time.Now), source: source, log: slog.New(slog.DiscardHandler)}
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		follower.CatchUp(ctx)
		require.Equal(t, 2*time.Second, time.Since(begin))
	})
}

func cursors(s *script) []string {
	var out []string
	for _, q := range s.asked {
		out = append(out, q.cursor)
	}
	return out
}
