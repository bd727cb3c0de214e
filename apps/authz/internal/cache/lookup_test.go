package cache_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/cache"
)

var key = cache.KeyOf("k")

func options(clock *clock) cache.Options {
	return cache.Options{
		Name: "test", MaxEntries: 10, TTL: 10 * time.Second, RefusedTTL: time.Second, Timeout: 5 * time.Second, Now: clock.time,
	}
}

// store answers and counts how often it was asked.
type store struct {
	asked atomic.Int32
	value string
	holds time.Duration
	err   error
}

func (s *store) ask(context.Context) (string, time.Duration, error) {
	s.asked.Add(1)
	return s.value, s.holds, s.err
}

func TestAnswerIsKeptForTheLeastOfBothTimes(t *testing.T) {
	for holds, want := range map[time.Duration]time.Duration{
		cache.Unbounded: 10 * time.Second, time.Hour: 10 * time.Second, 3 * time.Second: 3 * time.Second,
	} {
		clock := newClock()
		l := cache.NewLookup[string](options(clock))
		s := &store{value: "v", holds: holds}
		for range 3 {
			value, err := l.Do(t.Context(), key, s.ask)
			require.NoError(t, err)
			require.Equal(t, "v", value)
		}
		clock.pass(want - 1)
		_, _ = l.Do(t.Context(), key, s.ask)
		require.EqualValues(t, 1, s.asked.Load())
		clock.pass(1)
		_, _ = l.Do(t.Context(), key, s.ask)
		require.EqualValues(t, 2, s.asked.Load())
	}
}

// What the server says may have changed since it was asked. Counted from its answer, a logout would go unnoticed for as
// long as the answer was under way, too.
func TestTimeOfAnAnswerBeginsWithTheQuestion(t *testing.T) {
	for name, refusal := range map[string]error{"answer": nil, "refusal": errors.New("no such session")} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			o := options(clock)
			o.RefusedTTL = o.TTL
			l := cache.NewLookup[string](o)
			asked := 0
			ask := func(context.Context) (string, time.Duration, error) {
				asked++
				clock.pass(4 * time.Second)
				return "v", cache.Unbounded, refusal
			}
			_, err := l.Do(t.Context(), key, ask)
			require.ErrorIs(t, err, refusal)
			clock.pass(6*time.Second - 1)
			_, _ = l.Do(t.Context(), key, ask)
			require.Equal(t, 1, asked)
			clock.pass(1)
			_, _ = l.Do(t.Context(), key, ask)
			require.Equal(t, 2, asked)
		})
	}
}

func TestAnswerThatHoldsNoTimeIsAskedForAgain(t *testing.T) {
	s := &store{value: "v", holds: 0}
	l := cache.NewLookup[string](options(newClock()))
	for range 3 {
		_, err := l.Do(t.Context(), key, s.ask)
		require.NoError(t, err)
	}
	require.EqualValues(t, 3, s.asked.Load())
}

func TestRefusalIsKeptShortly(t *testing.T) {
	clock := newClock()
	l := cache.NewLookup[string](options(clock))
	refusal := errors.New("no such session")
	s := &store{err: refusal, holds: cache.Unbounded}
	for range 3 {
		_, err := l.Do(t.Context(), key, s.ask)
		require.ErrorIs(t, err, refusal)
	}
	require.EqualValues(t, 1, s.asked.Load())
	clock.pass(time.Second)
	s.err, s.value = nil, "v"
	value, err := l.Do(t.Context(), key, s.ask)
	require.NoError(t, err)
	require.Equal(t, "v", value)
}

func TestOutageIsNeverKept(t *testing.T) {
	l := cache.NewLookup[string](options(newClock()))
	s := &store{err: errors.New("connection refused")}
	for range 3 {
		_, err := l.Do(t.Context(), key, s.ask)
		require.Error(t, err)
	}
	require.EqualValues(t, 3, s.asked.Load())
}

func TestRefusalsDoNotDriveAnswersOut(t *testing.T) {
	l := cache.NewLookup[string](options(newClock()))
	good, bad := &store{value: "v", holds: cache.Unbounded}, &store{err: errors.New("no"), holds: cache.Unbounded}
	_, err := l.Do(t.Context(), key, good.ask)
	require.NoError(t, err)
	for i := range 1000 {
		_, _ = l.Do(t.Context(), cache.KeyOf("made up", string(rune(i))), bad.ask)
	}
	_, err = l.Do(t.Context(), key, good.ask)
	require.NoError(t, err)
	require.EqualValues(t, 1, good.asked.Load())
}

func TestSwitchedOffLookUpKeepsNothingAndHasNoMetrics(t *testing.T) {
	o := options(newClock())
	o.TTL = 0
	l := cache.NewLookup[string](o)
	s := &store{value: "v", holds: cache.Unbounded}
	for range 3 {
		_, err := l.Do(t.Context(), key, s.ask)
		require.NoError(t, err)
	}
	s.err = errors.New("no")
	for range 3 {
		_, err := l.Do(t.Context(), key, s.ask)
		require.Error(t, err)
	}
	require.EqualValues(t, 6, s.asked.Load())
	require.Empty(t, l.Collectors())

	var none *cache.Lookup[string]
	_, err := none.Do(t.Context(), key, s.ask)
	require.Error(t, err)
	require.Empty(t, none.Collectors())
}

func TestWhatIsKeptIsNotUsedWhileItMayHaveBeenTakenAway(t *testing.T) {
	stale := false
	o := options(newClock())
	o.Stale = func() bool { return stale }
	l := cache.NewLookup[string](o)
	s := &store{value: "v", holds: cache.Unbounded}
	for _, step := range []struct {
		stale bool
		asked int32
	}{{false, 1}, {false, 1}, {true, 2}, {true, 3}, {false, 3}} {
		stale = step.stale
		_, err := l.Do(t.Context(), key, s.ask)
		require.NoError(t, err)
		require.Equal(t, step.asked, s.asked.Load())
	}
}

func TestQuestionsAtOneTimeShareOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(newClock())
		o.TTL = 0 // also where nothing is kept
		l := cache.NewLookup[string](o)
		s := &store{value: "v"}
		release := make(chan struct{})
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				value, err := l.Do(t.Context(), key, func(ctx context.Context) (string, time.Duration, error) {
					<-release
					return s.ask(ctx)
				})
				if err != nil || value != "v" {
					t.Error(value, err)
				}
			})
		}
		other := &store{value: "other"}
		synctest.Wait()
		value, err := l.Do(t.Context(), cache.KeyOf("another"), other.ask)
		require.NoError(t, err)
		require.Equal(t, "other", value, "another key does not wait")
		close(release)
		group.Wait()
		require.EqualValues(t, 1, s.asked.Load())
	})
}

func TestFirstCallerThatGoesAwayStopsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := cache.NewLookup[string](options(newClock()))
		release := make(chan struct{})
		ask := func(ctx context.Context) (string, time.Duration, error) {
			select {
			case <-release:
				return "v", cache.Unbounded, nil
			case <-ctx.Done():
				return "", 0, ctx.Err()
			}
		}
		first, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := l.Do(first, key, ask); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if value, err := l.Do(t.Context(), key, ask); err != nil || value != "v" {
				t.Error(value, err)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		close(release)
		group.Wait()
		_, err := l.Do(t.Context(), key, (&store{err: errors.New("asked again")}).ask)
		require.NoError(t, err, "and the answer is kept")
	})
}

func TestQuestionHasADeadlineOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := cache.NewLookup[string](options(newClock()))
		begin := time.Now()
		_, err := l.Do(t.Context(), key, func(ctx context.Context) (string, time.Duration, error) {
			<-ctx.Done()
			return "", 0, ctx.Err()
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(begin))
	})
}

type traceKey struct{}

func TestQuestionCarriesWhatTheFirstCallersContextHolds(t *testing.T) {
	l := cache.NewLookup[string](options(newClock()))
	ctx := context.WithValue(t.Context(), traceKey{}, "trace")
	value, err := l.Do(ctx, key, func(ctx context.Context) (string, time.Duration, error) {
		return ctx.Value(traceKey{}).(string), 0, nil
	})
	require.NoError(t, err)
	require.Equal(t, "trace", value)
}

func TestPanicOfAQuestionIsAnErrorThatQuotesNothing(t *testing.T) {
	l := cache.NewLookup[string](options(newClock()))
	_, err := l.Do(t.Context(), key, func(context.Context) (string, time.Duration, error) { panic("secret") })
	require.ErrorContains(t, err, "panic of type string")
	require.NotContains(t, err.Error(), "secret")
	s := &store{value: "v"}
	_, err = l.Do(t.Context(), key, s.ask)
	require.NoError(t, err)
}

func TestManyCallersUnderRace(t *testing.T) {
	clock := newClock()
	l := cache.NewLookup[string](options(clock))
	s := &store{value: "v", holds: time.Second}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 300 {
				if i%50 == 0 {
					clock.pass(time.Second)
				}
				if _, err := l.Do(context.Background(), cache.KeyOf(string(rune('a'+i%20))), s.ask); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
