// Package migrations holds the schema of the API's database. The binary that serves it carries the files,
// so the version it expects and the version it can install are always the same. A migration runs while the
// release before still serves: what that one reads and writes must keep working, so a column or a table is
// dropped one release after its last use.
package migrations

import "embed"

// Files are the migrations in golang-migrate's naming: <version>_<name>.<up|down>.sql.
//
//go:embed *.sql
var Files embed.FS
