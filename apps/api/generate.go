// Package api only anchors code generation: `go generate ./...` here writes everything that is generated,
// and ./generate.sh --check fails when that changes a file.
//
// sqlc is pinned by version here and not as a tool in go.mod: it would bring the parsers of three SQL
// dialects into the service's module graph. CGO_ENABLED=0 picks its WebAssembly build of Postgres' parser,
// which needs no C compiler.
package api

//go:generate go tool oapi-codegen -config internal/openapi/oapi-codegen.yaml openapi/openapi.yaml
//go:generate env CGO_ENABLED=0 go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate
//go:generate go run ./internal/access/table ../../docs/routes.md
