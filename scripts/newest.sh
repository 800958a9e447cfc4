#!/usr/bin/env bash
# Builds and vets the module with the newest versions of what it requires directly, which the module's
# users may have. go.mod itself keeps the lowest versions that work. Nothing in the tree changes. What
# needs a newer Go than can be had is named and stays as it is.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

# The newest versions may want a newer Go than the machine has.
export GOTOOLCHAIN=${NEWEST_GOTOOLCHAIN:-auto}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp go.mod "$work/newest.mod"
cp go.sum "$work/newest.sum"
while read -r required; do
	if ! said=$(go get -modfile="$work/newest.mod" "$required@upgrade" 2>&1); then
		[[ $said == *"requires go >="* ]] || { printf '%s\n' "$said" >&2; exit 1; }
		printf 'newest: %s stays: %s\n' "$required" "$(grep -o 'requires go >=.*' <<<"$said" | head -n 1)"
	fi
done < <(go list -m -f '{{if not (or .Main .Indirect)}}{{.Path}}{{end}}' all)
diff <(grep -v indirect go.mod) <(grep -v indirect "$work/newest.mod") || :
go build -modfile="$work/newest.mod" ./...
go vet -modfile="$work/newest.mod" ./...
