#!/usr/bin/env bash
# Builds and vets the module with the newest versions of all that it requires, which the module's
# users may have. go.mod itself keeps the lowest versions that work. Nothing in the tree changes.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp go.mod "$work/newest.mod"
cp go.sum "$work/newest.sum"
go get -modfile="$work/newest.mod" -u -t ./...
diff <(grep -v indirect go.mod) <(grep -v indirect "$work/newest.mod") || :
go build -modfile="$work/newest.mod" ./...
go vet -modfile="$work/newest.mod" ./...
