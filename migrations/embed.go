// Package migrations holds the schema of the API's database. The binary that serves it carries the files,
// so the version it expects and the version it can install are always the same.
package migrations

import "embed"

// Files are the migrations in golang-migrate's naming: <version>_<name>.<up|down>.sql.
//
//go:embed *.sql
var Files embed.FS
