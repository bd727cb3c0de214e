//go:build integration

package database_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
)

// readsAll are the statements that may read a whole table, and why. Everything else is part of a request, or of a job that runs
// for one object.
var readsAll = map[string]string{
	"converge/Objects": "reconcile compares every object",
	"users/Ownerless":  "that nobody owns an organization is seen by looking at each; only the platform's admins ask",
}

// On tables of a size that makes a bad plan a bad plan.
func TestPlans(t *testing.T) {
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool := open(t, db.URL(t, databasetest.Owner))
	connection, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, databasetest.Fill(t.Context(), connection.Conn(), databasetest.Size{Users: 30_000, Organizations: 10_000, Gateways: 20_000, Products: 30_000}))
	requireFull(t, connection.Conn())
	connection.Release()
	all := statements(t)
	t.Run("no statement reads a whole table", func(t *testing.T) { readNoWholeTable(t, pool, all) })
	t.Run("searches read what they find", func(t *testing.T) { readWhatTheyFind(t, pool, all) })
}

// readNoWholeTable holds whatever the values are: a generic plan is what Postgres uses for a statement that it has prepared.
func readNoWholeTable(t *testing.T, pool *pgxpool.Pool, all map[string]string) {
	used := map[string]bool{}
	for name, statement := range all {
		t.Run(name, func(t *testing.T) {
			whole, text := plan(t, pool, statement)
			if _, excused := readsAll[name]; excused {
				used[name] = true
				require.NotEmpty(t, whole, "is excused for nothing")
				return
			}
			require.Empty(t, whole, text)
		})
	}
	require.Len(t, used, len(readsAll), "an excuse is for a statement that is gone")
}

// readWhatTheyFind is about searches, which are planned anew each time: which index is best depends on what is looked for.
func readWhatTheyFind(t *testing.T, pool *pgxpool.Pool, all map[string]string) {
	explain := func(name string, arguments ...any) string {
		rows, err := database.Replanned{Pool: pool}.Query(t.Context(), "EXPLAIN "+all[name], arguments...)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return strings.Join(lines, "\n")
	}
	after, most := uuid.Nil, int32(51)
	require.Contains(t, explain("products/Search", after, "word999 27999", most), "products_search", "a rare word")
	require.Contains(t, explain("products/Search", after, "product", most), "products_directory", "a word that is everywhere")
	require.Contains(t, explain("users/Search", after, "person-2999", "", "", most), "users_by_email", "an address")
	require.Contains(t, explain("users/Search", after, "", "", "", most), "users_pkey", "everybody")
}

// plan names the tables that a statement would read as a whole. The statement keeps its parameters, so it goes as it is.
func plan(t *testing.T, pool *pgxpool.Pool, statement string) (whole []string, text string) {
	t.Helper()
	connection, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer connection.Release()
	results, err := connection.Conn().PgConn().Exec(t.Context(), "EXPLAIN (GENERIC_PLAN, FORMAT JSON) "+statement).ReadAll()
	require.NoError(t, err)
	var plans []struct{ Plan node }
	encoded := results[0].Rows[0][0]
	require.NoError(t, json.Unmarshal(encoded, &plans))
	return plans[0].Plan.wholeTables(), string(encoded)
}

// requireFull makes sure that no plan is judged on an empty table, where any plan is a good one.
func requireFull(t *testing.T, connection *pgx.Conn) {
	t.Helper()
	rows, err := connection.Query(t.Context(), `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
		AND relname <> 'schema_migrations' AND relname NOT LIKE 'river%' AND reltuples < 5000`)
	require.NoError(t, err)
	empty, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, empty, "databasetest.Fill does not know these tables")
}

// node is a step of a plan.
type node struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Plans    []node `json:"Plans"`
}

func (n node) wholeTables() []string {
	var out []string
	if n.Type == "Seq Scan" && n.Relation != "pg_database" { // which has a handful of rows
		out = append(out, n.Relation)
	}
	for _, inner := range n.Plans {
		out = append(out, inner.wholeTables()...)
	}
	return out
}

var named = regexp.MustCompile(`(?m)^-- name: (\w+) `)

// statements are those of every queries.sql as sqlc compiled them, by package and name.
func statements(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "queries.sql" {
			return err
		}
		folder := filepath.Dir(path)
		for name, text := range constants(t, filepath.Join(folder, "row", "queries.sql.go")) {
			out[filepath.Base(folder)+"/"+name] = text
		}
		return nil
	}))
	require.Greater(t, len(out), 100, "the statements were not found")
	return out
}

// constants are a generated file's statements.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	out := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		literal, isLiteral := n.(*ast.BasicLit)
		if !isLiteral || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		require.NoError(t, err)
		if found := named.FindStringSubmatch(text); found != nil {
			out[found[1]] = text
		}
		return true
	})
	require.NotEmpty(t, out, file)
	return out
}
