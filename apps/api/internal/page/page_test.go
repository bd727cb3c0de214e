package page

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/problem"
)

func TestPagesFollowEachOtherWithoutGapOrRepetition(t *testing.T) {
	var all []uuid.UUID
	for range 7 {
		all = append(all, uuid.Must(uuid.NewV7()))
	}
	limit := 3
	var cursor *string
	var seen []uuid.UUID
	for {
		p, err := Of(cursor, &limit)
		require.NoError(t, err)
		start := 0
		for start < len(all) && p.After != uuid.Nil && all[start].String() <= p.After.String() {
			start++
		}
		rows := all[start:min(len(all), start+int(p.Rows()))]
		var items []uuid.UUID
		items, cursor = Cut(p, rows, func(id uuid.UUID) uuid.UUID { return id })
		seen = append(seen, items...)
		if cursor == nil {
			break
		}
	}
	require.Equal(t, all, seen)
}

func TestLimitIsBounded(t *testing.T) {
	for asked, want := range map[int]int{-1: 1, 0: 1, 7: 7, 5000: MaxLimit} {
		p, err := Of(nil, &asked)
		require.NoError(t, err)
		require.Equal(t, want, p.Limit)
	}
	p, err := Of(nil, nil)
	require.NoError(t, err)
	require.Equal(t, DefaultLimit, p.Limit)
}

func TestForeignCursorIsTheCallersMistake(t *testing.T) {
	for _, cursor := range []string{"x", "AAAA", "!", "AAAAAAAAAAAAAAAAAAAAAA=="} {
		_, err := Of(&cursor, nil)
		require.Equal(t, problem.InvalidRequest, problem.From(err).Code, cursor)
	}
}
