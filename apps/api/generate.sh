#!/bin/sh
# Writes all generated code and documents. With --check: fails when what is committed is not what would be generated.
set -eu
cd "$(dirname "$0")/../.."

generate() { (cd apps/api && go generate ./...); }

if [ "${1:-}" != --check ]; then
	generate
	exit
fi

generated() { find apps/api/internal docs -path '*/row/*.go' -o -name '*.gen.go' -o -path docs/routes.md | sort; }

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
generated | while read -r file; do mkdir -p "$before/$(dirname "$file")" && cp "$file" "$before/$file"; done
generate
for file in $(generated) $(cd "$before" && generated); do
	diff -u "$before/$file" "$file" || stale=yes
done
if [ "${stale:-}" ]; then
	echo "generated code was stale; ./generate.sh has rewritten it" >&2
	exit 1
fi
