//go:build integration

package database_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/libs/telemetry"
	"gatehouse.internal/libs/telemetry/telemetrytest"
)

func TestSpanOfAQueryNeverHoldsAnArgument(t *testing.T) {
	const argument = "canary"
	collector := telemetrytest.New(t)
	spans, err := telemetry.StartSpans(t.Context(), telemetry.Tracing{Endpoint: collector.URL, Ratio: 1}, "api", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(spans.Stop)
	pool, err := database.Open(t.Context(), databasetest.New(t).URL(t, databasetest.Runtime), 4, 10*time.Second, database.Traced(spans))
	require.NoError(t, err)
	t.Cleanup(pool.Close)

	ctx, span := spans.Continue(t.Context(), propagation.HeaderCarrier{}, "request")
	_, err = pool.Exec(ctx, "SELECT $1::text", argument)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "SELECT $1::int", struct{ Text string }{argument})
	require.ErrorContains(t, err, argument, "pgx quotes what it cannot encode")
	_, err = pool.Exec(ctx, "SELECT $1::text::int", argument)
	require.ErrorContains(t, err, argument, "Postgres quotes what it cannot read")
	span.End()
	spans.Stop()

	request := collector.Named(t, "api", "request")
	for text, failed := range map[string]string{"SELECT $1::text": "", "SELECT $1::int": "the query failed", "SELECT $1::text::int": "ERROR: Postgres refused (SQLSTATE 22P02)"} {
		query := collector.Await(t, text, func(s telemetrytest.Span) bool { return s.Attributes["db.query.text"] == text })
		require.Equal(t, request.ID, query.Parent)
		require.Equal(t, failed, query.Status)
	}
	require.NotContains(t, collector.Text(), argument)
}
