#!/bin/sh
# Writes all generated code. With --check: fails when what is committed is not what would be generated.
set -eu
cd "$(dirname "$0")"

if [ "${1:-}" != --check ]; then
	exec go generate ./...
fi

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
mkdir -p "$before/internal/users"
cp -R internal/openapi "$before/internal/openapi"
cp -R internal/users/row "$before/internal/users/row"
go generate ./...
diff -ru "$before/internal/openapi" internal/openapi && diff -ru "$before/internal/users/row" internal/users/row || {
	echo "generated code was stale; ./generate.sh has rewritten it" >&2
	exit 1
}
