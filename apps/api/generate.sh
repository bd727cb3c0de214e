#!/bin/sh
# Writes all generated code. With --check: fails when what is committed is not what would be generated.
set -eu
cd "$(dirname "$0")"

if [ "${1:-}" != --check ]; then
	exec go generate ./...
fi

generated() { find internal -path '*/row/*.go' -o -name '*.gen.go' | sort; }

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
generated | while read -r file; do mkdir -p "$before/$(dirname "$file")" && cp "$file" "$before/$file"; done
go generate ./...
for file in $(generated) $(cd "$before" && generated); do
	diff -u "$before/$file" "$file" || stale=yes
done
if [ "${stale:-}" ]; then
	echo "generated code was stale; ./generate.sh has rewritten it" >&2
	exit 1
fi
