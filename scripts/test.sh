#!/usr/bin/env bash
# Starts the servers, runs the tests of all modules against them with the race detector, and stops
# what it has started. make test calls it.
#
#   test.sh          the full suite
#   test.sh long     with full counts, and with MySQL and the older and the secured OpenSearch
#
# At the end it prints a summary. It fails where a test failed, and where a suite did not run.
#
#   SERVICES      "running": the servers run already and stay, at the addresses in the environment or
#                 those of compose.yaml; the script's own need no such word  ()
#   TEST_P        packages tested at the same time                     (3)
#   TEST_TIMEOUT  limit for one package                                (20m; long: 60m)
#   TEST_ARGS     more arguments for go test, such as -run or -count   ()
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

names=(rabbitmq postgres mariadb opensearch)
need=PostgreSQL,MariaDB,RabbitMQ,OpenSearch
timeout=20m
case ${1:-} in
'') ;;
long)
	export AUDIT_TEST_LONG=1
	names+=(mysql opensearch2 opensearch-secure)
	need+=,MySQL,'OpenSearch 2.19','OpenSearch secure'
	timeout=60m
	tags=long
	;;
*)
	sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2
	exit 2
	;;
esac

fail() { printf 'test: %s\n' "$*" >&2; exit 1; }
command -v go >/dev/null || fail "Go is needed: https://go.dev/dl, at least $(sed -n 's/^go //p' go.mod)"
command -v gcc >/dev/null || command -v "${CC:-cc}" >/dev/null || fail "the race detector needs a C compiler, such as gcc"

# Servers that run already belong to somebody who wants them to stay.
started=()
stop() {
	if ((${#started[@]})); then scripts/services.sh stop "${started[@]}" || :; fi
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
case ${SERVICES:-} in
'')
	for name in "${names[@]}"; do
		scripts/services.sh status "$name" >/dev/null 2>&1 || started+=("$name")
	done
	# The tests kill servers, never the machine: what they prove needs no fsync, and is faster without.
	SERVICES_FSYNC=${SERVICES_FSYNC:-off} scripts/services.sh start "${names[@]}"
	scripts/services.sh install chromium pip axe
	;;
running) ;;
*) fail "SERVICES=$SERVICES: want nothing or running" ;;
esac
if [[ ${SERVICES:-} != running || ! ${POSTGRES_DSN:-} ]]; then # else they are not ours
	settings=$(scripts/services.sh env)
	eval "$settings"
fi
export AUDIT_TEST_SERVERS=required

mkdir -p .services/log
go build -o .services/testsummary ./internal/testsummary

run() { # run FOLDER [PACKAGE...]: the tests of one module
	local folder=$1
	shift
	# shellcheck disable=SC2086  # TEST_ARGS are several words
	go -C "$folder" test -race -json -tags "${tags:-}" -p "${TEST_P:-3}" -timeout "${TEST_TIMEOUT:-$timeout}" ${TEST_ARGS:-} "${@:-./...}"
}
# What speaks to OpenSearch runs again on an older one, and the store also on one with TLS and users of few
# rights.
opensearch=(./store/opensearch/... ./consumer/... ./internal/cli/... ./query/...)
all() {
	local rc=0 module
	for module in . test; do
		[[ ! -f $module/go.mod ]] || run "$module" || rc=$?
	done
	if [[ ${tags:-} == long ]]; then
		AUDIT_TEST_OPENSEARCH=2.19 OPENSEARCH_URL=$OPENSEARCH2_URL run . "${opensearch[@]}" || rc=$?
		AUDIT_TEST_OPENSEARCH=secure OPENSEARCH_URL=$OPENSEARCH_SECURE_URL run . ./store/opensearch/... || rc=$?
	fi
	return $rc
}
all | tee .services/log/test.json | .services/testsummary -need "$need"
