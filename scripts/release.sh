#!/usr/bin/env bash
# Builds the program auditlog for a release: static, for each platform, with checksums. Of one commit, with one version
# of Go, anybody gets the same bytes in any folder.
#
#   PLATFORMS  what to build for  (linux/amd64 linux/arm64 darwin/arm64 windows/amd64)
#   DIST       folder to write to  (dist)
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
dist=${DIST:-dist}
mkdir -p "$dist"
rm -f "$dist"/auditlog-* "$dist/SHA256SUMS"
for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/arm64 windows/amd64}; do
	os=${platform%/*} arch=${platform#*/}
	name=auditlog-$os-$arch
	[[ $os != windows ]] || name+=.exe
	CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -mod=readonly -ldflags='-s -w -buildid=' -o "$dist/$name" ./cmd/auditlog
done
(cd "$dist" && sha256sum auditlog-* | tee SHA256SUMS)
