#!/usr/bin/env bash
# Runs every fuzz target for a while; new failing inputs are left in testdata of their package.
#
#   FUZZTIME  for each target  (10s)
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

failed=()
count=0
while IFS=: read -r file target; do
	((++count))
	printf '%s %s\n' "${file%/*}" "$target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" "./${file%/*}" || failed+=("${file%/*} $target")
done < <(git ls-files '*_test.go' | grep -v '^test/' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]*' | sed 's/func //')
printf '%d fuzz targets, %d failed\n' "$count" "${#failed[@]}"
((count && !${#failed[@]})) || { printf 'failed: %s\n' "${failed[@]}"; exit 1; }
