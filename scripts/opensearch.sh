#!/usr/bin/env bash
# A real single-node OpenSearch for the tests, installed from Maven artifacts only. services.sh calls
# it; it also works alone.
#
#   opensearch.sh install | start | stop | restart | status | url | reset | java
#
# start   installs when needed, starts the node, waits until it answers (idempotent)
# stop    stops the node by its recorded pid; data stays
# status  prints one line; exit 0 = running and healthy, 3 = not running, 4 = running, not healthy
# url     prints the base URL;  reset = stop + delete this node's data
# java    prints the folder of the Java that would be used; exit 1 = none will do
#
# It needs Java, Maven and unzip (or the jar program of a JDK), with SECURITY=1 also openssl.
# services.sh beside it runs on machines without these: it brings them and calls this script.
# Maven's own settings say where artifacts come from.
#
# Environment (all optional):
#   DIR                  cache and data folder            (.services/opensearch of the project)
#   OPENSEARCH_VERSION   3.5.0 (Java 21+) | 3.4.0 (Java 21+) | 2.19.1 (Java 11..23)   (3.5.0)
#   NAME                 node name; several nodes = several NAMEs and PORTs          (node / secure)
#   PORT TRANSPORT_PORT  HTTP / transport port                                       (9201, PORT+100)
#   HEAP                 JVM heap                                                    (512m)
#   WAIT                 seconds to wait for health                                  (180)
#   OPENSEARCH_JAVA_HOME Java to use; else JAVA_HOME, else `java` in PATH and its neighbours
#   MVN                  the Maven program                                           (mvn)
#   OPENSEARCH_SETTINGS  extra lines for opensearch.yml (a later `start` of a stopped node applies them)
#   RUN_AS               uid:gid used when started by root                           (65534:65534)
#   SECURITY=1           TLS + basic auth (security plugin; version 2.19.1 only, the default then)
#   ADMIN_PASSWORD       password of user admin in SECURITY mode                     (generated, kept in a file)
set -euo pipefail
umask 022

SECURITY=${SECURITY:-0}
if [ "$SECURITY" = 1 ]; then : "${OPENSEARCH_VERSION:=2.19.1}" "${NAME:=secure}" "${PORT:=9211}"
else : "${OPENSEARCH_VERSION:=3.5.0}" "${NAME:=node}" "${PORT:=9201}"; fi
V=$OPENSEARCH_VERSION
: "${TRANSPORT_PORT:=$((PORT + 100))}" "${HEAP:=512m}" "${WAIT:=180}" "${RUN_AS:=65534:65534}"
MVN=${MVN:-mvn}
ROLES=$(dirname "$(dirname "$(readlink -f "$0")")")/deploy/opensearch/roles.yml # of the users in SECURITY mode
DEP=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

say() { printf 'opensearch: %s\n' "$*" >&2; }
die() { printf 'opensearch: ERROR: %s\n' "$*" >&2; exit 1; }

case $V in [0-9]*.[0-9]*.[0-9]*) ;; *) die "OPENSEARCH_VERSION '$V' is not a version like 3.5.0" ;; esac
case $NAME in *[!A-Za-z0-9_-]*|'') die "NAME may hold only letters, digits, _ and -" ;; esac

DIR=${DIR:-$(dirname "$(dirname "$(readlink -f "$0")")")/.services/opensearch}
mkdir -p "$DIR" || die "cannot create DIR '$DIR'"
DIR=$(cd "$DIR" && pwd -P)
case $DIR in *[[:space:]]*) die "DIR '$DIR' has a blank in it; OpenSearch's own start script cannot handle that" ;; esac
DIST=$DIR/dist/opensearch-$V
[ "$SECURITY" = 1 ] && DIST=$DIST-security
RUN=$DIR/run/$V-$NAME
CONF=$RUN/config
SCHEME=http; [ "$SECURITY" = 1 ] && SCHEME=https
URL=$SCHEME://127.0.0.1:$PORT

lock() { # one install/start/stop at a time; fd 9 is closed for the node itself
  exec 9>>"$DIR/.lock"
  if command -v flock >/dev/null; then flock -w 600 9 || die "another opensearch.sh holds $DIR/.lock"; fi
}

# ---------------------------------------------------------------- java
java_major() { # <home> -> major or nothing
  local v=''
  [ -x "$1/bin/java" ] || return 0
  [ -r "$1/release" ] && v=$(sed -n 's/^JAVA_VERSION="\([^"]*\)".*/\1/p' "$1/release" | head -n1)
  [ -n "$v" ] || v=$("$1/bin/java" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p' | head -n1)
  v=${v#1.}; v=${v%%[!0-9]*}; printf '%s' "$v"
}
find_java() { # sets JH
  local min=21 max=999 c p m seen=''
  case $V in 1.*|2.*) min=11 max=23 ;; esac   # 2.x needs the security manager, gone in 24
  if [ -n "${OPENSEARCH_JAVA_HOME:-}" ]; then
    m=$(java_major "$OPENSEARCH_JAVA_HOME")
    [ -n "$m" ] && [ "$m" -ge $min ] && [ "$m" -le $max ] ||
      die "OPENSEARCH_JAVA_HOME has Java '${m:-none}', OpenSearch $V needs $min..$max"
    JH=$OPENSEARCH_JAVA_HOME; return
  fi
  local list=("${JAVA_HOME:-}") parents=()
  p=$(command -v java || true); [ -n "$p" ] && p=$(readlink -f "$p") && list+=("${p%/bin/java}")
  for c in "${list[@]}"; do [ -n "$c" ] && parents+=("$(dirname "$c")"); done
  for p in ${parents[@]+"${parents[@]}"}; do for c in "$p"/*; do list+=("$c"); done; done
  for c in "${list[@]}"; do
    [ -n "$c" ] || continue
    m=$(java_major "$c"); [ -n "$m" ] || continue
    seen="$seen $m"
    if [ "$m" -ge $min ] && [ "$m" -le $max ]; then JH=$c; return; fi
  done
  die "OpenSearch $V needs Java $min..$max; found:${seen:- none}. Set OPENSEARCH_JAVA_HOME."
}

# ---------------------------------------------------------------- install
mvn_run() { # one retry, except when the answer is a definite no
  local log=$DIR/cache/mvn.log i
  for i in 1 2; do
    if "$MVN" -q -B "$@" >"$log" 2>&1 </dev/null; then return 0; fi
    grep -q 'Could not find artifact' "$log" && break
  done
  grep 'ERROR' "$log" | head -n 3 | cut -c1-300 >&2
  return 1
}
get() { # <group:artifact:version:type> <file name>
  [ -s "$DIR/cache/$2" ] && return 0
  command -v "$MVN" >/dev/null || die "Maven ('$MVN') is needed once, to download $1"
  say "downloading $1"
  mvn_run $DEP:copy -Dartifact="$1" -DoutputDirectory="$DIR/cache" -Dmdep.useBaseVersion=true || return 1
  [ -s "$DIR/cache/$2" ]
}
unpack() { # <zip> <folder>
  mkdir -p "$2"
  if command -v unzip >/dev/null; then unzip -q -o "$1" -d "$2"
  elif [ -x "$JH/bin/jar" ]; then (cd "$2" && "$JH/bin/jar" xf "$1")
  else die "unzip is needed, or a Java with the jar program"; fi
}
add_modules() { # <distribution>: the zips before 3.5.0 hold transport modules only
  local root=$1 want=() m art cls jv=21 ext pom=$DIR/cache/modules-$V f
  local table='lang-painless lang-painless org.opensearch.painless.Painless -
analysis-common analysis-common org.opensearch.analysis.common.CommonAnalysis lang-painless
reindex reindex-client org.opensearch.index.reindex.Reindex -
mapper-extras mapper-extras-client org.opensearch.index.mapper.MapperExtras -
aggs-matrix-stats aggs-matrix-stats-client org.opensearch.search.aggregations.matrix.MatrixAggregation -'
  local suffix=ModulePlugin; case $V in 1.*|2.*) suffix=Plugin jv=11 ;; esac
  while read -r m art cls ext; do [ -d "$root/modules/$m" ] || want+=("$m $art $cls $ext"); done <<<"$table"
  [ ${#want[@]} -gt 0 ] || return 0
  say "adding modules from Maven: $(for f in "${want[@]}"; do printf '%s ' "${f%% *}"; done)"
  rm -rf "$pom"; mkdir -p "$pom"
  { echo '<project><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>all</artifactId><version>1</version><packaging>pom</packaging><modules>'
    for f in "${want[@]}"; do echo "<module>${f%% *}</module>"; done; echo '</modules></project>'; } >"$pom/pom.xml"
  for f in "${want[@]}"; do
    read -r m art cls ext <<<"$f"; mkdir -p "$pom/$m"
    cat >"$pom/$m/pom.xml" <<P
<project><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>$m</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.opensearch.plugin</groupId><artifactId>$art</artifactId><version>$V</version></dependency></dependencies></project>
P
  done
  mvn_run -f "$pom/pom.xml" $DEP:copy-dependencies -DincludeScope=runtime -DoutputDirectory='${project.basedir}/jars' || return 1
  local j base
  for f in "${want[@]}"; do
    read -r m art cls ext <<<"$f"; mkdir -p "$root/modules/$m"
    for j in "$pom/$m"/jars/*.jar; do
      base=$(basename "$j")
      [ -e "$root/lib/$base" ] && continue                                       # jar hell: the server has it
      [ "$ext" != - ] && [ -e "$root/modules/$ext/$base" ] && continue            # and so has the extended module
      cp "$j" "$root/modules/$m/"
    done
    { printf 'name=%s\ndescription=%s\nversion=%s\nopensearch.version=%s\njava.version=%s\nclassname=%s\n' \
        "$m" "$m" "$V" "$V" "$jv" "$cls$suffix"
      [ "$ext" = - ] || printf 'extended.plugins=%s\n' "$ext"; } >"$root/modules/$m/plugin-descriptor.properties"
    # 2.x security manager: painless makes class loaders, reindex opens sockets; this is a test server on loopback
    case $V in 1.*|2.*) echo 'grant { permission java.security.AllPermission; };' >"$root/modules/$m/plugin-security.policy" ;; esac
  done
  rm -rf "$pom"
}
do_install() {
  [ -e "$DIST/.complete" ] && return 0
  find_java
  mkdir -p "$DIR/cache" "$DIR/dist"
  local tmp=$DIR/dist/.tmp.$$ root
  rm -rf "$DIR"/dist/.tmp.* "$DIST"
  get "org.opensearch.distribution.integ-test-zip:opensearch:$V:zip" "opensearch-$V.zip" ||
    die "OpenSearch $V cannot be had from this Maven repository"
  unpack "$DIR/cache/opensearch-$V.zip" "$tmp" || { rm -f "$DIR/cache/opensearch-$V.zip"; die "broken download, removed; try again"; }
  root=$tmp/opensearch-$V
  [ -f "$root/bin/opensearch" ] || die "unexpected layout of opensearch-$V.zip"
  # not needed by tests: 120 MB and some start time
  rm -rf "$root/modules/ingest-geoip" "$root/modules/transport-grpc" "$root/modules/opensearch-dashboards" "$root/lib/tools/fips-demo-installer-cli"
  add_modules "$root" || die "the modules of $V cannot be had"
  if [ "$SECURITY" = 1 ]; then
    get "org.opensearch.plugin:opensearch-security:$V.0:zip" "opensearch-security-$V.0.zip" ||
      die "no security plugin for $V in this Maven repository (2.19.1 works)"
    unpack "$DIR/cache/opensearch-security-$V.0.zip" "$root/plugins/opensearch-security"
  fi
  chmod -R a+rX "$tmp"
  touch "$root/.complete"; mv "$root" "$DIST"; rm -rf "$tmp"
  [ -n "${KEEP_ZIP:-}" ] || rm -f "$DIR/cache/"*"-$V.zip" "$DIR/cache/"*"-$V.0.zip"   # Maven keeps its own copy
  say "installed $V in ${DIST#"$PWD"/}"
}

# ---------------------------------------------------------------- process
# The pid file holds the pid and the start time of the process: a reused pid is never taken for the node.
started() { # <pid> -> its start time; fails when it is gone or a zombie without other threads
  local line
  { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086  # the fields after the name of the program
  set -- ${line##*) }
  if [ "$1" = Z ] && [ "${18}" -le 1 ]; then return 1; fi
  printf '%s' "${20}"
}
our_pid() { # prints the pid when this node runs
  local p t
  { read -r p && read -r t; } 2>/dev/null <"$RUN/pid" || return 1
  [ "$(started "$p")" = "$t" ] || return 1
  printf '%s' "$p"
}
get_path() { # <path>: prints the answer of the node, head and body; without curl, which a bare system lacks
  local head="GET $1 HTTP/1.0\r\nHost: localhost\r\n"
  if [ "$SECURITY" = 1 ]; then
    printf '%bAuthorization: Basic %s\r\n\r\n' "$head" "$(printf 'admin:%s' "$(cat "$RUN/admin.password")" | base64 -w 0)" |
      timeout 5 openssl s_client -quiet -verify_quiet -verify_return_error -verify_ip 127.0.0.1 -CAfile "$CONF/certs/ca.pem" -connect "127.0.0.1:$PORT"
  else
    exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf '%b\r\n' "$head" >&3 && timeout 5 cat <&3
  fi
}
healthy() {
  local status
  status=$(get_path '/_cluster/health?wait_for_status=yellow&timeout=2s' 2>/dev/null | head -n 1) || :
  case $status in HTTP/*' 200 '*) ;; *) return 1 ;; esac
}
port_busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
show_log() { [ -s "$RUN/console.log" ] && { printf -- '---- last lines of %s\n' "$RUN/console.log"; tail -n 40 "$RUN/console.log" | cut -c1-400; printf -- '----\n'; } >&2 || true; }
as_user() { # runs a command as the unprivileged user when we are root
  if [ "$(id -u)" != 0 ]; then "$@"; return; fi
  if command -v setpriv >/dev/null; then setpriv --reuid="${RUN_AS%:*}" --regid="${RUN_AS#*:}" --clear-groups "$@"
  else runuser -u "$(id -nu "${RUN_AS%:*}")" -- "$@"; fi
}

check_reach() { # root only: OpenSearch refuses to run as root, so another user must get to DIR
  [ "$(id -u)" = 0 ] || return 0
  local d='' part parts
  IFS=/ read -r -a parts <<<"${DIR#/}"
  for part in "${parts[@]}"; do
    d=$d/$part
    as_user test -x "$d" || die "uid ${RUN_AS%:*} cannot enter $d, and OpenSearch refuses to run as root. Set DIR to a folder it can reach, or RUN_AS=uid:gid"
  done
}

write_certs() {
  [ -e "$CONF/certs/.complete" ] && return 0
  command -v openssl >/dev/null || die "openssl is needed for SECURITY=1"
  local c=$CONF/certs n; rm -rf "$c"; mkdir -p "$c"
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=audit-test-ca -keyout "$c/ca.key" -out "$c/ca.pem" 2>/dev/null
  for n in node admin; do
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$c/$n.key" 2>/dev/null   # PKCS#8
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >"$c/$n.ext"
    openssl req -new -key "$c/$n.key" -subj "/CN=$n" -out "$c/$n.csr" 2>/dev/null
    openssl x509 -req -in "$c/$n.csr" -CA "$c/ca.pem" -CAkey "$c/ca.key" -CAcreateserial -days 3650 -extfile "$c/$n.ext" -out "$c/$n.pem" 2>/dev/null
  done
  touch "$c/.complete"
}
write_security() { # users and roles are read once, when the node makes its security index
  local s=$CONF/opensearch-security p hash uhash
  write_certs
  [ -e "$s/.complete" ] && return 0
  rm -rf "$s"; mkdir -p "$s"; cp "$DIST/plugins/opensearch-security/config/"*.yml "$s/" 2>/dev/null || true
  p=${ADMIN_PASSWORD:-$(openssl rand -hex 12)}
  (umask 077; printf '%s' "$p" >"$RUN/admin.password"; printf '%s' "${USERS_PASSWORD:-$p-u}" >"$RUN/users.password")
  hash=$(hash_of "$p"); uhash=$(hash_of "$(cat "$RUN/users.password")")
  cat >"$s/internal_users.yml" <<Y
_meta: {type: internalusers, config_version: 2}
admin: {hash: "$hash", reserved: true, backend_roles: [admin]}
audit_consumer: {hash: "$uhash", reserved: false}
audit_reader: {hash: "$uhash", reserved: false}
audit_operator: {hash: "$uhash", reserved: false}
Y
  cp "$ROLES" "$s/roles.yml"
  cat >"$s/roles_mapping.yml" <<'Y'
_meta: {type: rolesmapping, config_version: 2}
all_access: {reserved: true, backend_roles: [admin]}
audit_consumer: {reserved: false, users: [audit_consumer]}
audit_reader: {reserved: false, users: [audit_reader]}
audit_operator: {reserved: false, users: [audit_operator]}
Y
  touch "$s/.complete"
}
hash_of() { OPENSEARCH_JAVA_HOME=$JH JAVA_HOME=$JH bash "$DIST/plugins/opensearch-security/tools/hash.sh" -p "$1" 2>/dev/null | grep -o '^\$2y.*' | tail -n1; }

write_config() {
  mkdir -p "$CONF/jvm.options.d" "$RUN/data" "$RUN/logs" "$RUN/tmp"
  { printf '# written by opensearch.sh at every start\n'
    printf 'cluster.name: audit-test-%s\nnode.name: %s\n' "$NAME" "$NAME"
    printf 'network.host: 127.0.0.1\nhttp.port: %s\ntransport.port: %s\ndiscovery.type: single-node\n' "$PORT" "$TRANSPORT_PORT"
    printf 'path.data: "%s"\npath.logs: "%s"\n' "$RUN/data" "$RUN/logs"
    printf 'action.destructive_requires_name: true\n'
    case ${OPENSEARCH_SETTINGS:-} in *cluster.routing.allocation.disk.threshold_enabled*) ;; *)
      printf 'cluster.routing.allocation.disk.threshold_enabled: false\n' ;; esac
    if [ "$SECURITY" = 1 ]; then cat <<'Y'
plugins.security.ssl.transport.pemcert_filepath: certs/node.pem
plugins.security.ssl.transport.pemkey_filepath: certs/node.key
plugins.security.ssl.transport.pemtrustedcas_filepath: certs/ca.pem
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.ssl.http.enabled: true
plugins.security.ssl.http.pemcert_filepath: certs/node.pem
plugins.security.ssl.http.pemkey_filepath: certs/node.key
plugins.security.ssl.http.pemtrustedcas_filepath: certs/ca.pem
plugins.security.authcz.admin_dn: ["CN=admin"]
plugins.security.allow_default_init_securityindex: true
Y
    fi
    [ -z "${OPENSEARCH_SETTINGS:-}" ] || printf '%s\n' "$OPENSEARCH_SETTINGS"; } >"$CONF/opensearch.yml"
  grep -vE '^[^#]*(-Xlog:gc|-Xloggc|GCLog|PrintGC|PrintTenuring|-Xm[sx]|HeapDump|ErrorFile)' "$DIST/config/jvm.options" >"$CONF/jvm.options"
  printf -- '-Xms%s\n-Xmx%s\n-XX:-AlwaysPreTouch\n-Djna.tmpdir=%s\n' "$HEAP" "$HEAP" "$RUN/tmp" >"$CONF/jvm.options.d/heap.options"
  [ -e "$DIST/config/fips_java.security" ] && cp "$DIST/config/fips_java.security" "$CONF/"
  cat >"$CONF/log4j2.properties" <<'L'
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
L
  [ "$SECURITY" = 1 ] && write_security
  if [ "$(id -u)" = 0 ]; then
    chown -R "$RUN_AS" "$RUN"
    as_user test -r "$DIST/bin/opensearch" || die "uid ${RUN_AS%:*} cannot read $DIST"
  elif [ ! -w "$RUN/data" ] || [ ! -w "$CONF" ]; then die "$RUN belongs to another user (was it started by root?)"; fi
}

do_start() {
  local p i code
  if p=$(our_pid); then
    for ((i = 0; i < WAIT * 2; i++)); do healthy && { say "already running, pid $p, $URL"; return 0; }; our_pid >/dev/null || break; sleep 0.5; done
    our_pid >/dev/null && { show_log; die "pid $p runs but does not become healthy at $URL (started with another PORT?)"; }
  fi
  check_reach
  find_java
  do_install
  port_busy "$PORT" && die "port $PORT on 127.0.0.1 is taken by another process; set PORT"
  port_busy "$TRANSPORT_PORT" && die "port $TRANSPORT_PORT on 127.0.0.1 is taken by another process; set TRANSPORT_PORT"
  if [ "$(id -u)" != 0 ] && [ -e "$RUN" ] && [ ! -w "$RUN" ]; then die "$RUN belongs to another user (was it started by root?)"; fi
  mkdir -p "$RUN"
  write_config
  rm -f "$RUN/pid" "$RUN/node.pid"
  ulimit -n 65535 2>/dev/null || ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
  local detach=setsid; command -v setsid >/dev/null || detach="nohup"
  # no -d: that would keep our stdout open for a caller's pipe; exec all the way, so $! is the JVM
  (cd "$DIST"; export OPENSEARCH_JAVA_HOME=$JH OPENSEARCH_PATH_CONF=$CONF OPENSEARCH_TMPDIR=$RUN/tmp HOME=$RUN/tmp
    unset OPENSEARCH_JAVA_OPTS JAVA_TOOL_OPTIONS JAVA_OPTS
    if [ "$(id -u)" = 0 ]; then
      if command -v setpriv >/dev/null; then set -- setpriv --reuid="${RUN_AS%:*}" --regid="${RUN_AS#*:}" --clear-groups
      else set -- runuser -u "$(id -nu "${RUN_AS%:*}")" --; fi
    else set --; fi
    : >"$RUN/console.log"
    exec "$detach" "$@" bash "$DIST/bin/opensearch" -p "$RUN/node.pid" >>"$RUN/console.log" 2>&1 </dev/null 9>&-) &
  p=$!
  printf '%s\n%s\n' "$p" "$(started "$p" || :)" >"$RUN/pid"
  local t0=$SECONDS
  while :; do
    if healthy; then break; fi
    if ! started "$p" >/dev/null; then
      code=0; wait "$p" || code=$?
      show_log; rm -f "$RUN/pid"; die "the node ended with status $code while starting (log above)"
    fi
    if [ $((SECONDS - t0)) -ge "$WAIT" ]; then
      show_log; kill_node "$p"; rm -f "$RUN/pid"; die "not healthy after $WAIT s (log above); stopped again"
    fi
    sleep 0.25
  done
  disown "$p" 2>/dev/null || true
  say "started $V '$NAME', pid $p, $URL after $((SECONDS - t0)) s"
}
kill_node() { # TERM, then KILL, this one pid only
  local i
  kill -CONT "$1" 2>/dev/null || true # a frozen node does not hear TERM
  kill "$1" 2>/dev/null || true
  for ((i = 0; i < 150; i++)); do started "$1" >/dev/null || return 0; sleep 0.2; done
  say "pid $1 did not end in 30 s, sending KILL"
  kill -KILL "$1" 2>/dev/null || true
}
do_stop() {
  local p
  if p=$(our_pid); then kill_node "$p"; say "stopped pid $p"; else say "not running"; fi
  rm -f "$RUN/pid" "$RUN/node.pid"
}
do_status() {
  local p
  p=$(our_pid) || { echo "stopped $V '$NAME'"; exit 3; }
  healthy || { echo "unhealthy $V '$NAME' pid $p $URL"; exit 4; }
  echo "running $V '$NAME' pid $p $URL"
}

case ${1:-} in
  install) lock; do_install; say "ready: $V" ;;
  start)   lock; do_start ;;
  stop)    lock; do_stop ;;
  restart) lock; do_stop; do_start ;;
  status)  do_status ;;
  url)     echo "$URL" ;;
  java)    find_java; echo "$JH" ;;
  reset)   lock; do_stop; rm -rf "$RUN"; say "data of '$NAME' ($V) deleted" ;;
  *)       sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
