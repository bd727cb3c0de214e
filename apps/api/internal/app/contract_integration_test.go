//go:build integration

package app

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/users"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

func TestContractInBothModesWithPostgres(t *testing.T) {
	contract(t, func(t *testing.T, identities users.Identities) admitter {
		t.Helper()
		db := databasetest.New(t)
		require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
		pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 4, 10*time.Second)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return users.NewDirectory(pool, identities, 10*time.Second)
	})
}

func TestMigrateCommand(t *testing.T) {
	file := settingsFile(t, fmt.Sprintf("database: {url: %q}\n", databasetest.New(t).URL(t, databasetest.Owner)))
	migrate := func(verb string) string {
		var out bytes.Buffer
		require.NoError(t, Main(t.Context(), []string{"migrate", verb, "--config", file}, &out))
		return out.String()
	}
	require.Contains(t, migrate("status"), "version 0 of ")
	require.Contains(t, migrate("up"), `"did":"up"`)
	require.Contains(t, migrate("up"), `"did":"up"`)
	require.NotContains(t, migrate("status"), "version 0 of ")
	require.Contains(t, migrate("down"), `"did":"down"`)
}
