#!/usr/bin/env bash
# Throw-away RabbitMQ (streams), PostgreSQL, MariaDB and OpenSearch servers for the tests, on
# loopback. make test calls it; compose.yaml gives the same servers where there is a Docker engine.
#
#   services.sh install [NAME...]   download and unpack the servers (start does it too)
#   services.sh start   [NAME...]   start, and wait until each one answers; no-op when running
#   services.sh stop    [NAME...]   graceful stop
#   services.sh restart [NAME...]   stop, then start; the data stays
#   services.sh kill9   NAME...     SIGKILL the server and its children, as a crash would
#   services.sh pause   NAME...     SIGSTOP  (a frozen server)
#   services.sh resume  NAME...     SIGCONT
#   services.sh reset   [NAME...]   stop and delete the data; the unpacked servers stay
#   services.sh status  [NAME...]   one line each; exit status 0 only if all run
#   services.sh logs    NAME...     the tail of the log
#   services.sh env                 connection settings, for: eval "$(services.sh env)"
#   services.sh run     NAME CMD..  a program of the server: run rabbitmq rabbitmqctl list_queues
#
# NAME: rabbitmq (node 1), rabbitmq2, rabbitmq3 (more nodes of its cluster), postgres, mariadb,
#       opensearch, opensearch2 (2.19.1), opensearch-secure (2.19.1 with TLS and users),
#       mysql (9.7, the one MySQL in Debian: its unstable suite sid, so the version moves).
#       chromium, pip (install only: the browser and the downloader that tests use, unless the
#       machine has them), axe (install only: axe-core, by which tests judge pages).
# Without a NAME: rabbitmq postgres mariadb opensearch.
#
# Nothing is installed into the system: the packages are fetched with the machine's own apt
# settings (mirror, proxy, keys), verified by apt, and unpacked below DIR with the C library
# that they were built for. Root is not needed; root starts the servers as SERVICES_USER.
# OpenSearch comes through Maven, by opensearch.sh beside this script; where the machine has no
# fitting Java, Maven or unzip, they are unpacked below DIR too.
#
#   DIR             folder for programs, data and logs       (.services of the project)
#   SERVICES_PROGRAMS  another DIR whose unpacked programs are used: for one more server, quickly  (DIR)
#   SERVICES_PORT   first of 40 ports used, on 127.0.0.1     (17000; if another process is there,
#                   the next free range, which is remembered in DIR: see env)
#   SERVICES_USER   who runs the servers if root calls this  (nobody)
#   SERVICES_FSYNC  off: the SQL databases do not fsync      (on)
#   RABBITMQ_SUITE, JAVA_SUITE                               (trixie)
#   POSTGRES_SUITE, MARIADB_SUITE                            (the machine's own release)
#   MYSQL_SUITE                                              (sid)
#   OPENSEARCH_VERSION of the service opensearch             (3.5.0)
#   HEAP, OPENSEARCH_SETTINGS, OPENSEARCH_JAVA_HOME, MVN     see opensearch.sh
#   SERVICES_MIRROR archive URL, if apt has none for its own release
#   SERVICES_WAIT   seconds to wait for a server to answer   (180)
set -euo pipefail
export LC_ALL=C.UTF-8
umask 022

die()  { printf 'services: %s\n' "$*" >&2; exit 1; }
note() { printf 'services: %s\n' "$*" >&2; }

HERE=$(dirname "$(readlink -f "$0")")
DIR=${DIR:-$(dirname "$HERE")/.services}
SERVICES_FSYNC=${SERVICES_FSYNC:-on}
SERVICES_WAIT=${SERVICES_WAIT:-180}
[[ ! ${SERVICES_PORT:-} ]] || { [[ $SERVICES_PORT =~ ^[0-9]{4,5}$ ]] && ((10#$SERVICES_PORT >= 1024 && 10#$SERVICES_PORT <= 65000)); } ||
	die "SERVICES_PORT=$SERVICES_PORT: want a number from 1024 to 65000"
[[ $SERVICES_FSYNC == on || $SERVICES_FSYNC == off ]] || die "SERVICES_FSYNC=$SERVICES_FSYNC: want on or off"

DEFAULT_NAMES=(rabbitmq postgres mariadb opensearch)
ALL_NAMES=(rabbitmq3 rabbitmq2 opensearch2 opensearch-secure mysql "${DEFAULT_NAMES[@]}")

# The account, database and virtual host that every server gets.
ACCOUNT=audit PASSWORD=audit DATABASE=audit

# ---- ports ------------------------------------------------------------------------------

# The ranges lie below those from which the system takes the ports of outgoing connections.
FIRST_RANGE=17000 LAST_RANGE=31950 RANGE_STEP=50 RANGE_SIZE=40

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

range_free() { # range_free BASE: nothing listens on any port of the range
	local port
	for ((port = $1; port < $1 + RANGE_SIZE; port++)); do
		if port_open "$port"; then return 1; fi
	done
}

# choose_ports: sets SERVICES_PORT. It is the caller's, or else the one remembered in DIR/port; a new
# one is looked for when nothing of ours runs and somebody else is in the range.
choose_ports() {
	local wanted=${SERVICES_PORT:-} known='' name running=''
	{ read -r known <"$DIR/port"; } 2>/dev/null || :
	for name in "${ALL_NAMES[@]}"; do
		if pid_of "$name" >/dev/null; then running=$name; fi
	done
	if [[ $running ]]; then
		[[ ! $wanted || $wanted == "$known" ]] ||
			die "SERVICES_PORT=$wanted, but $running in $DIR runs in the range of $known: stop it first"
		SERVICES_PORT=$known
		return
	fi
	SERVICES_PORT=${wanted:-${known:-$FIRST_RANGE}}
	if [[ ! $wanted ]] && ! range_free "$SERVICES_PORT"; then
		known=$SERVICES_PORT SERVICES_PORT=
		for ((name = FIRST_RANGE; name <= LAST_RANGE; name += RANGE_STEP)); do
			if range_free "$name"; then SERVICES_PORT=$name; break; fi
		done
		[[ $SERVICES_PORT ]] || die "no $RANGE_SIZE free ports in a row from $FIRST_RANGE to $LAST_RANGE: set SERVICES_PORT"
		note "ports from $known are in use by others: taking those from $SERVICES_PORT"
	fi
	printf '%s\n' "$SERVICES_PORT" >"$DIR/port"
}

# known_ports: sets SERVICES_PORT to what choose_ports has said last.
known_ports() {
	local known=''
	{ read -r known <"$DIR/port"; } 2>/dev/null || :
	SERVICES_PORT=${known:-${SERVICES_PORT:-$FIRST_RANGE}}
}

set_ports() {
	EPMD_PORT=$((SERVICES_PORT + 1))
	POSTGRES_PORT=$((SERVICES_PORT + 2))
	MARIADB_PORT=$((SERVICES_PORT + 3))
	MYSQL_PORT=$((SERVICES_PORT + 26))
}
# rabbit_port NODE {stream|streams|amqp|amqps|http|dist}
rabbit_port() {
	local -A offset=([stream]=0 [streams]=1 [amqp]=2 [amqps]=3 [http]=4 [dist]=5)
	echo $((SERVICES_PORT + 10 * $1 + offset[$2]))
}
opensearch_port() { # opensearch_port NAME {http|transport}
	local -A offset=([opensearch]=4 [opensearch2]=16 [opensearch-secure]=18 [http]=0 [transport]=1)
	echo $((SERVICES_PORT + offset[$1] + offset[$2]))
}
node_of() { case $1 in rabbitmq) echo 1 ;; *) echo "${1#rabbitmq}" ;; esac; }
kind_of() { case $1 in rabbitmq*) echo rabbitmq ;; opensearch*) echo opensearch ;; *) echo "$1" ;; esac; }

# ---- folders and the user that runs the servers -----------------------------------------

as_root() { [[ $EUID == 0 ]]; }

# as_user CMD...: run as the server user.
as_user() {
	if as_root; then
		setpriv --reuid "$SERVER_UID" --regid "$SERVER_GID" --clear-groups -- "$@"
	else
		"$@"
	fi
}

prepare_dir() {
	if as_root; then
		SERVICES_USER=${SERVICES_USER:-nobody}
		SERVER_UID=$(id -u "$SERVICES_USER") || die "SERVICES_USER=$SERVICES_USER: no such user"
		SERVER_GID=$(id -g "$SERVICES_USER")
		[[ $SERVER_UID != 0 ]] || die "SERVICES_USER must not be root: PostgreSQL refuses it"
	fi
	[[ $DIR == /* ]] || DIR=$PWD/$DIR
	[[ $DIR != *[[:space:]\'\"\\]* ]] || die "DIR=$DIR: spaces, quotes and backslashes are not supported"
	if [[ -L $DIR && ! -d $DIR ]]; then rm "$DIR"; fi # its target in the temporary folder was cleaned
	mkdir -p "$(dirname "$DIR")"
	if [[ ! -d $DIR ]] && mkdir "$DIR" 2>/dev/null; then # else another start made it just now
		# A checkout below a private folder (such as root's home) is closed to the server user.
		if as_root && ! as_user test -x "$DIR"; then
			local elsewhere
			elsewhere=$(mktemp -d "${TMPDIR:-/tmp}/services.XXXXXX")
			chmod 755 "$elsewhere"
			rmdir "$DIR"
			ln -s "$elsewhere" "$DIR"
			note "user $SERVICES_USER cannot enter $(dirname "$DIR"): $DIR is now a link to $elsewhere"
		fi
	fi
	local real
	real=$(cd "$DIR" 2>/dev/null && pwd -P) || die "cannot make or enter the folder $DIR"
	DIR=$real
	if as_root; then
		as_user test -x "$DIR" || die "user $SERVICES_USER cannot enter $DIR: choose another DIR or SERVICES_USER"
	fi
	mkdir -p "$DIR"/{data,log,run,tls}
	ROOT=$DIR/root
	if [[ ${SERVICES_PROGRAMS:-} ]]; then
		ROOT=$(cd "$SERVICES_PROGRAMS/root" 2>/dev/null && pwd -P) || die "SERVICES_PROGRAMS=$SERVICES_PROGRAMS: no programs there"
	fi
	mkdir -p "$ROOT"
	if as_root; then chown "$SERVER_UID:$SERVER_GID" "$DIR"/{data,log}; fi
}

# ---- packages ---------------------------------------------------------------------------

# apt_config SUITE: a private apt state below DIR for one suite; prints the folder.
apt_config() {
	local suite=$1 work=$DIR/apt/$1 uri release keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/debs
	: >"$work/status"
	release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# Asked this way, apt tells its sources even where the package lists have been deleted.
	uri=${SERVICES_MIRROR:-$(apt-get --print-uris update 2>/dev/null |
		sed -n "s|^'\\(.*\\)/dists/$release/InRelease'.*|\\1|p")} || :
	uri=${uri%%$'\n'*}
	[[ $uri ]] || die "apt has no source for the release '$release': set SERVICES_MIRROR to an archive that has the suite $suite"
	[[ -f $keyring ]] && keyring="[signed-by=$keyring] " || keyring=
	echo "deb $keyring$uri $suite main" >"$work/sources.list"
	# The machine's own settings (proxy, certificates) are read first and stay in force.
	cat >"$work/apt.conf" <<-CONF
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Post-Invoke;
		APT::Sandbox::User "";
		APT::Get::List-Cleanup "false";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Dir::State::lists "$work/lists";
		Dir::State::status "$work/status";
		Dir::Cache "$work/cache";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
		Dir::Etc::sourcelist "$work/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
	CONF
	echo "$work"
}

# closure CONF INCLUDE EXCLUDE NAME...: the packages and those of their dependencies that match.
closure() {
	local conf=$1 include=$2 exclude=$3 todo next package seen=' '
	shift 3
	todo=$*
	while [[ $todo ]]; do
		seen+="$todo " next=
		while read -r package; do
			[[ $seen == *" $package "* ]] || next+="$package "
		done < <(apt-cache -c "$conf" depends --no-recommends --no-suggests --no-conflicts --no-breaks \
			--no-replaces --no-enhances $todo |
			awk '/^ *\|?(Pre)?Depends:/ { print $NF }' | { grep -E "$include" || :; } | { grep -vE "$exclude" || :; } | sort -u)
		todo=${next% }
	done
	echo "$seen"
}

# wrap_programs ROOT FOLDER...: start the ELF programs with the C library that came with them.
wrap_programs() {
	local root=$1 loader libraries='' f folder magic
	shift
	loader=$(find "$root" -type f -name 'ld-linux*.so.*' -print -quit) # a file: a link leads into the system
	[[ $loader ]] || die "no dynamic loader in $root"
	for folder in "$root"/usr/lib/*-linux-gnu* "$root"/lib/*-linux-gnu*; do
		if [[ -d $folder ]]; then libraries+=${libraries:+:}$folder; fi
	done
	for folder in "$@"; do
		for f in "$folder"/*; do
			[[ -f $f && ! -L $f && -x $f ]] || continue
			IFS= read -r -d '' -n 4 magic <"$f" 2>/dev/null || :
			[[ $magic == $'\x7fELF' ]] || continue
			mv "$f" "$f.elf"
			printf '#!/bin/sh\nexec %s --argv0 "$0" --library-path %s %s "$@"\n' "$loader" "$libraries" "$f.elf" >"$f"
			chmod 755 "$f"
		done
	done
}

# libraries_of ROOT: its folders of libraries, for programs that run with the machine's C library.
libraries_of() {
	local folder libraries=''
	for folder in "$1"/usr/lib/*-linux-gnu "$1"/lib/*-linux-gnu "$1"/usr/lib/*-linux-gnu/pulseaudio; do
		if [[ -d $folder ]]; then libraries+=${libraries:+:}$folder; fi
	done
	echo "$libraries"
}

# relink ROOT: turn absolute links to something that was unpacked too into links below ROOT.
relink() {
	local link target
	while IFS= read -r -d '' link; do
		target=$(readlink "$link")
		if [[ -e $1$target || -L $1$target ]]; then ln -sfn "$1$target" "$link"; fi
	done < <(find "$1" -type l -lname '/*' -print0)
}

install_one() { # install_one {rabbitmq|postgres|mariadb|mysql|java}
	local kind=$1 root=$ROOT/$1 own suite include exclude='^$' packages=() conf work f from
	own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	case $kind in
	rabbitmq)
		suite=${RABBITMQ_SUITE:-trixie}
		packages=(rabbitmq-server openssl)
		include='^(erlang-|lib|zlib1g|openssl)'
		;;
	postgres)
		suite=${POSTGRES_SUITE:-$own}
		include='^(postgresql-(client-)?[0-9]+$|lib|zlib1g|tzdata$)'
		exclude='^(libllvm|libperl)' # only for just-in-time compilation and PL/Perl
		;;
	mariadb)
		suite=${MARIADB_SUITE:-$own}
		packages=(mariadb-server-core mariadb-client-core)
		include='^(mariadb-(server|client)-core|lib|zlib1g)'
		;;
	mysql)
		suite=${MYSQL_SUITE:-sid}
		packages=(mysql-server-core mysql-client-core)
		include='^(lib|zlib1g)'
		;;
	chromium) # starts itself by /proc/self/exe, which a loader of its own would be: so with the machine's
		suite=$own
		packages=(chromium fontconfig-config fonts-dejavu-core)
		include='^(chromium-common|lib|zlib1g)'
		exclude='^(libc6$|libllvm|libgl1-mesa-dri|.*-perl$)'
		;;
	pip)
		suite=$own
		packages=(python3 python3-pip)
		include='^(python3|lib|zlib1g|media-types$|mime-support$)'
		exclude='^libc6$'
		;;
	java) # for OpenSearch
		suite=${JAVA_SUITE:-trixie}
		packages=(openjdk-21-jre-headless maven openssl unzip)
		include='^(openjdk-|maven$|lib|openssl|unzip|zlib1g)'
		exclude='^(libnss3|libpcsclite|libjpeg|liblcms)' # smart cards and pictures
		;;
	esac
	if { read -r -a from <"$root/.from"; } 2>/dev/null; then
		[[ ${from[1]} == "$suite" ]] || die "$kind in $root is from ${from[1]}, not $suite: use another DIR, or remove that folder and reset"
		[[ ${from[0]} != "$root" ]] || return 0 # else DIR has been moved: the programs know their old place
	fi
	for f in apt-get apt-cache dpkg-deb; do
		command -v $f >/dev/null || die "$f not found: this script needs Debian 12 or newer, or another system with its tools"
	done
	note "installing $kind from $suite into $root"
	work=$(apt_config "$suite")
	conf=$work/apt.conf
	if ! [[ -f $work/updated ]]; then
		apt-get -c "$conf" -qq update >"$DIR/log/install-$kind.log" 2>&1 || {
			tail -n 20 "$DIR/log/install-$kind.log" >&2
			die "apt-get update failed for suite $suite"
		}
		touch "$work/updated"
	fi
	if [[ $kind == postgres ]]; then # the metapackage depends on the version that the suite carries
		packages=("$(apt-cache -c "$conf" depends postgresql | awk '/Depends: postgresql-[0-9]+$/ && !n++ { print $2 }')")
		[[ ${packages[0]} ]] || die "suite $suite has no PostgreSQL"
		packages+=("postgresql-client-${packages[0]#postgresql-}")
	fi
	read -r -a packages <<<"$(closure "$conf" "$include" "$exclude" "${packages[@]}")"
	rm -rf "$root" "$work/debs"
	mkdir -p "$root" "$work/debs"
	(cd "$work/debs" && apt-get -c "$conf" -qq download "${packages[@]}") >>"$DIR/log/install-$kind.log" 2>&1 || {
		tail -n 20 "$DIR/log/install-$kind.log" >&2
		die "download of ${packages[*]} failed"
	}
	for f in "$work"/debs/*.deb; do dpkg-deb -x "$f" "$root"; done
	rm -rf "$root"/usr/share/{doc,info,lintian,locale,man}
	case $kind in
	rabbitmq)
		wrap_programs "$root" "$root"/usr/lib/erlang/erts-*/bin "$root"/usr/lib/erlang/lib/*/priv/bin "$root"/usr/bin
		local bin
		bin=$(echo "$root"/usr/lib/erlang/erts-*/bin)
		# Debian's erl knows only its own folder. RabbitMQ also calls the one beside beam.smp,
		# for a helper node while it joins a cluster.
		rm -f "$bin/erl" "$root/usr/lib/erlang/bin/erl"
		printf '#!/bin/sh\nROOTDIR=%s BINDIR=%s EMU=beam PROGNAME=erl\nexport ROOTDIR BINDIR EMU PROGNAME\nexec "$BINDIR/erlexec" "$@"\n' \
			"$root/usr/lib/erlang" "$bin" >"$bin/erl"
		chmod 755 "$bin/erl"
		ln -s "$bin/erl" "$root/usr/lib/erlang/bin/erl"
		mkdir "$root/bin"
		ln -s "$bin/erl" "$bin/epmd" "$bin/escript" "$root/usr/bin/openssl" "$root/bin/"
		for f in "$root"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/*; do ln -s "$f" "$root/bin/"; done
		;;
	postgres)
		wrap_programs "$root" "$root"/usr/lib/postgresql/*/bin
		ln -s "$(echo "$root"/usr/lib/postgresql/*/bin)" "$root/bin"
		;;
	mariadb | mysql)
		wrap_programs "$root" "$root"/usr/bin "$root"/usr/sbin
		mkdir "$root/bin"
		ln -s "$root"/usr/bin/* "$root"/usr/sbin/m*d "$root/bin/"
		;;
	chromium)
		mkdir -p "$root/bin" "$root/cache"
		chmod 1777 "$root/cache" # of fonts
		printf '<fontconfig><dir>%s</dir><cachedir>%s</cachedir></fontconfig>\n' "$root/usr/share/fonts" "$root/cache" >"$root/fonts.conf"
		printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%s FONTCONFIG_FILE=%s\nexec %s "$@"\n' \
			"$(libraries_of "$root")" "$root/fonts.conf" "$root/usr/lib/chromium/chromium" >"$root/bin/chromium"
		chmod 755 "$root/bin/chromium"
		;;
	pip)
		mkdir -p "$root/bin"
		printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%s PYTHONHOME=%s SSL_CERT_FILE="${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}"\nexec %s -m pip "$@"\n' \
			"$(libraries_of "$root")" "$root/usr" "$root/usr/bin/python3" >"$root/bin/pip"
		chmod 755 "$root/bin/pip"
		;;
	java)
		local home
		home=$(echo "$root"/usr/lib/jvm/java-21-openjdk-*)
		relink "$root" # the settings in etc
		wrap_programs "$root" "$home/bin" "$home/lib" "$root/usr/bin"
		# Java trusts what the machine trusts.
		if ! [[ -e /etc/ssl/certs/java/cacerts ]]; then
			rm -f "$home/lib/security/cacerts"
			"$root/usr/bin/openssl" pkcs12 -export -nokeys -certpbe NONE -nomac -jdktrust anyExtendedKeyUsage -passout pass: \
				-in "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" -out "$home/lib/security/cacerts" ||
				die "no certificates for Java: install the package ca-certificates, or set SSL_CERT_FILE"
		fi
		ln -s "$home" "$root/home"
		mkdir "$root/bin"
		ln -s "$root/usr/bin/openssl" "$root/usr/bin/unzip" "$root/bin/"
		printf '#!/bin/sh\nexport JAVA_HOME=%s\nexec %s -Dmaven.repo.local=%s "$@"\n' \
			"$home" "$root/usr/share/maven/bin/mvn" "$root/repository" >"$root/bin/mvn"
		chmod 755 "$root/bin/mvn"
		;;
	esac
	(cd "$work/debs" && ls -- *.deb) >"$root/.packages"
	sed -n "s/%3a/:/; s/^\(rabbitmq-server\|postgresql-[0-9]*\|mariadb-server-core\|mysql-server-core\|openjdk-21-jre-headless\|chromium\|python3-pip\)_\([^_]*\)_.*/\2/p" "$root/.packages" >"$root/.version"
	echo "$root $suite" >"$root/.from"
	rm -rf "$work/debs"
	note "installed $kind $(cat "$root/.version")"
}

# ---- processes --------------------------------------------------------------------------

pid_file() { case $1 in opensearch*) echo "$(opensearch_folder "$1")/pid" ;; *) echo "$DIR/run/$1.pid" ;; esac; }
log_file() { case $1 in opensearch*) echo "$(opensearch_folder "$1")/console.log" ;; *) echo "$DIR/log/$1.log" ;; esac; }

# The pid file holds the pid and the start time of the process, so that a reused pid is never
# taken for the server.
stat_of() { # stat_of PID: prints "state ppid starttime"
	local line
	{ IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
	set -- ${line##*) }
	# Of a killed process the first thread is a zombie at once, while others end and hold its ports.
	if [[ $1 == Z ]] && ((${18} > 1)); then set -- D "${@:2}"; fi
	echo "$1 $2 ${20}"
}

pid_of() { # pid_of NAME: prints the pid of the running server, or fails
	local pid start stat
	{ read -r pid && read -r start; } 2>/dev/null <"$(pid_file "$1")" || return 1
	read -r -a stat < <(stat_of "$pid") || return 1
	[[ ${stat[2]} == "$start" && ${stat[0]} != Z ]] || return 1
	echo "$pid"
}

# launch NAME CMD...: start CMD as the server user in the background, in its own session.
launch() {
	local name=$1 pid stat
	shift
	local log=$DIR/log/$name.log
	if ! [[ -e $log ]]; then as_user touch "$log"; fi
	printf '%s\n' "--- $(date -u +%FT%TZ) start $name" | as_user tee -a "$log" >/dev/null
	if as_root; then
		setsid setpriv --reuid "$SERVER_UID" --regid "$SERVER_GID" --clear-groups -- "$@" </dev/null >>"$log" 2>&1 9>&- &
	else
		setsid "$@" </dev/null >>"$log" 2>&1 9>&- &
	fi
	pid=$!
	disown
	read -r -a stat < <(stat_of "$pid") || stat=(X 0 0)
	printf '%s\n%s\n' "$pid" "${stat[2]}" >"$DIR/run/$name.pid.new"
	mv "$DIR/run/$name.pid.new" "$DIR/run/$name.pid"
}

fail_with_log() { # fail_with_log NAME MESSAGE
	{
		printf 'services: %s: %s\n' "$1" "$2"
		printf -- '--- the end of %s\n' "$DIR/log/$1.log"
		tail -n 30 "$DIR/log/$1.log" 2>/dev/null | sed 's/^/  /'
	} >&2
	exit 1
}

await() { # await NAME CHECK...: until CHECK succeeds, the process is gone, or SERVICES_WAIT is over
	local name=$1 limit=$((SECONDS + SERVICES_WAIT))
	shift
	until "$@" 2>/dev/null; do
		pid_of "$name" >/dev/null || return 2
		((SECONDS < limit)) || return 1
		sleep 0.1
	done
}

need_free_ports() { # need_free_ports NAME PORT...
	local name=$1 port
	shift
	for port; do
		if port_open "$port"; then
			die "$name: port $port is in use by a process that this script did not start; set SERVICES_PORT to another range"
		fi
	done
}

# http_ok PORT PATH: the management API answers 200.
http_ok() {
	local line auth
	auth=$(printf '%s:%s' "$ACCOUNT" "$PASSWORD" | base64)
	exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic %s\r\n\r\n' "$2" "$auth" >&3
	IFS= read -r -t 5 line <&3 || line=
	exec 3>&-
	[[ $line == HTTP/*' 200 '* ]]
}

declare -A launched=() # RabbitMQ nodes that start together

# ---- RabbitMQ ---------------------------------------------------------------------------

make_certificates() {
	[[ -f $DIR/tls/done ]] && return
	local openssl=$ROOT/rabbitmq/bin/openssl t=$DIR/tls
	cat >"$t/openssl.cnf" <<-CONF
		[req]
		distinguished_name = dn
		[dn]
		[ca]
		basicConstraints = critical, CA:true
		keyUsage = critical, keyCertSign, cRLSign
		subjectKeyIdentifier = hash
		[leaf]
		basicConstraints = critical, CA:false
		keyUsage = critical, digitalSignature
		extendedKeyUsage = serverAuth, clientAuth
		subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
		authorityKeyIdentifier = keyid
	CONF
	export OPENSSL_CONF=$t/openssl.cnf
	{
		"$openssl" req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=services test CA" \
			-extensions ca -keyout "$t/ca.key" -out "$t/ca.pem"
		local who
		for who in server client; do
			"$openssl" req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$([[ $who == server ]] && echo localhost || echo $ACCOUNT)" \
				-keyout "$t/$who.key" -out "$t/$who.csr"
			"$openssl" x509 -req -in "$t/$who.csr" -CA "$t/ca.pem" -CAkey "$t/ca.key" -CAcreateserial -days 3650 \
				-extfile "$t/openssl.cnf" -extensions leaf -out "$t/$who.pem"
		done
	} >"$DIR/log/tls.log" 2>&1 || { cat "$DIR/log/tls.log" >&2; die "openssl failed"; }
	unset OPENSSL_CONF
	chmod 644 "$t"/*.key # test keys, read by the server user and by the tests
	touch "$t/done"
}

# rabbit_env NODE: the environment of the node and of its command line tools, as NAME=VALUE.
rabbit_env() {
	local data=$DIR/data/rabbitmq
	printf '%s\n' "HOME=$data" "PATH=$ROOT/rabbitmq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
		"ESCRIPT_EMULATOR=$ROOT/rabbitmq/bin/erl" "LC_ALL=C.UTF-8" \
		"ERL_EPMD_PORT=$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 \
		RABBITMQ_CONF_ENV_FILE=/dev/null "RABBITMQ_NODENAME=node$1@localhost" RABBITMQ_ALLOW_INPUT=1 \
		"RABBITMQ_CONFIG_FILE=$data/node$1/rabbitmq.conf" "RABBITMQ_ADVANCED_CONFIG_FILE=$data/node$1/advanced.config" \
		"RABBITMQ_ENABLED_PLUGINS_FILE=$data/node$1/enabled_plugins" \
		"RABBITMQ_MNESIA_BASE=$data/node$1/db" "RABBITMQ_LOG_BASE=$data/node$1/log" "RABBITMQ_LOGS=-" \
		"RABBITMQ_PLUGINS_EXPAND_DIR=$data/node$1/plugins" "RABBITMQ_FEATURE_FLAGS_FILE=$data/node$1/feature_flags" \
		"RABBITMQ_DIST_PORT=$(rabbit_port "$1" dist)" \
		"RABBITMQ_CTL_DIST_PORT_MIN=$((SERVICES_PORT + 6))" "RABBITMQ_CTL_DIST_PORT_MAX=$((SERVICES_PORT + 9))" \
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput -kernel inet_dist_use_interface {127,0,0,1}"
}

rabbit_is_new() { ! [[ -e $DIR/data/rabbitmq/node$(node_of "$1")/db/node$(node_of "$1")@localhost ]]; }

launch_rabbitmq() {
	local name=$1 node data=$DIR/data/rabbitmq i
	node=$(node_of "$name")
	if ((node > 1)) && rabbit_is_new "$name" && ! pid_of rabbitmq >/dev/null; then
		die "$name: a new node joins the cluster of rabbitmq, which does not run: start rabbitmq first"
	fi
	make_certificates
	if ! pid_of epmd >/dev/null; then
		need_free_ports epmd "$EPMD_PORT"
		launch epmd "$ROOT/rabbitmq/bin/epmd" -port "$EPMD_PORT" -address 127.0.0.1
		await epmd port_open "$EPMD_PORT" || fail_with_log epmd "does not listen on port $EPMD_PORT"
	fi
	as_user mkdir -p "$data/node$node"/{db,log}
	if ! [[ -f $data/.erlang.cookie ]]; then
		(umask 077 && od -An -N20 -tx1 /dev/urandom | tr -d ' \n' >"$data/.erlang.cookie")
		chmod 400 "$data/.erlang.cookie"
		if as_root; then chown "$SERVER_UID:$SERVER_GID" "$data/.erlang.cookie"; fi
	fi
	echo '[rabbitmq_management,rabbitmq_stream,rabbitmq_stream_management].' >"$data/node$node/enabled_plugins"
	{
		cat <<-CONF
			listeners.tcp.1 = 127.0.0.1:$(rabbit_port "$node" amqp)
			listeners.ssl.1 = 127.0.0.1:$(rabbit_port "$node" amqps)
			stream.listeners.tcp.1 = 127.0.0.1:$(rabbit_port "$node" stream)
			stream.listeners.ssl.1 = 127.0.0.1:$(rabbit_port "$node" streams)
			stream.advertised_host = localhost
			stream.advertised_port = $(rabbit_port "$node" stream)
			stream.advertised_tls_host = localhost
			stream.advertised_tls_port = $(rabbit_port "$node" streams)
			management.tcp.ip = 127.0.0.1
			management.tcp.port = $(rabbit_port "$node" http)
			ssl_options.cacertfile = $DIR/tls/ca.pem
			ssl_options.certfile = $DIR/tls/server.pem
			ssl_options.keyfile = $DIR/tls/server.key
			ssl_options.verify = verify_peer
			ssl_options.fail_if_no_peer_cert = false
			default_user = $ACCOUNT
			default_pass = $PASSWORD
			default_user_tags.administrator = true
			log.console.level = info
			disk_free_limit.absolute = 200MB
			cluster_formation.peer_discovery_backend = classic_config
		CONF
		# A new node joins the ones before it.
		for ((i = 1; i <= node; i++)); do echo "cluster_formation.classic_config.nodes.$i = node$i@localhost"; done
	} >"$data/node$node/rabbitmq.conf"
	local ports=()
	for i in stream streams amqp amqps http dist; do ports+=("$(rabbit_port "$node" $i)"); done
	need_free_ports "$name" "${ports[@]}"
	local settings=()
	mapfile -t settings < <(rabbit_env "$node")
	launch "$name" env -u ERL_LIBS -u ERL_FLAGS -u NOTIFY_SOCKET "${settings[@]}" rabbitmq-server
	launched[$name]=1
}

other_nodes_run() {
	local n
	for n in rabbitmq rabbitmq2 rabbitmq3; do [[ $n != "$1" ]] && pid_of $n >/dev/null && return; done
	return 1
}

start_rabbitmq() {
	local name=$1 node rc attempt
	node=$(node_of "$name")
	for attempt in 1 2 3; do
		[[ ${launched[$name]:-} ]] || launch_rabbitmq "$name"
		rc=0
		await "$name" http_ok "$(rabbit_port "$node" http)" "/api/health/checks/port-listener/$(rabbit_port "$node" stream)" || rc=$?
		# Nodes of a cluster that all start at once can trip over each other (Mnesia, before 4.2).
		[[ $rc == 2 && $attempt != 3 ]] && other_nodes_run "$name" || break
		launched[$name]=
		note "$name ended while its cluster starts, once more"
	done
	case $rc in
	1) fail_with_log "$name" "not ready after $SERVICES_WAIT s" ;;
	2) fail_with_log "$name" "ended while starting" ;;
	esac
}

after_stop_rabbitmq() { # epmd goes with the last node
	other_nodes_run none || end_process epmd TERM
}

# ---- PostgreSQL -------------------------------------------------------------------------

psql_ok() {
	PGPASSWORD=$PASSWORD PGCONNECT_TIMEOUT=5 "$ROOT/postgres/bin/psql" -X -q -h 127.0.0.1 -p "$POSTGRES_PORT" \
		-U "$ACCOUNT" -d "${1:-postgres}" -tAc 'select 1' >/dev/null
}

start_postgres() {
	local data=$DIR/data/postgres bin=$ROOT/postgres/bin rc=0 options=() stale=() attempt said
	need_free_ports postgres "$POSTGRES_PORT"
	if ! [[ -f $data/PG_VERSION && -f $data/.initialized ]]; then
		[[ -d /usr/share/zoneinfo ]] || note "postgres: /usr/share/zoneinfo is missing (package tzdata): only UTC will be known"
		as_user rm -rf "$data"
		as_user sh -c 'umask 077; echo "$1" >"$2"' - "$PASSWORD" "$DIR/data/postgres.password"
		as_user "$bin/initdb" -D "$data" -U "$ACCOUNT" --pwfile "$DIR/data/postgres.password" -A scram-sha-256 \
			--locale C.UTF-8 -E UTF8 --no-sync --no-instructions >"$DIR/log/postgres-initdb.log" 2>&1 || {
			cat "$DIR/log/postgres-initdb.log" >&2
			die "initdb failed"
		}
		as_user rm -f "$DIR/data/postgres.password"
		as_user touch "$data/.initialized"
	fi
	# TCP only: the path of a Unix socket may be too long. No just-in-time compiler is unpacked.
	options=(-c listen_addresses=127.0.0.1 -c port="$POSTGRES_PORT" -c unix_socket_directories= -c jit=off
		-c max_connections=200 -c shared_buffers=128MB -c logging_collector=off -c log_line_prefix='%m [%p] ')
	if [[ $SERVICES_FSYNC == off ]]; then options+=(-c fsync=off -c full_page_writes=off -c synchronous_commit=off); fi
	for attempt in 1 2 3 4 5; do
		launch postgres "$bin/postgres" -D "$data" "${options[@]}"
		rc=0
		await postgres psql_ok || rc=$?
		# After a SIGKILL the children may still hold the shared memory for a moment, and a killed
		# server that its new parent has not reaped yet looks alive to PostgreSQL.
		said=$(tail -n 5 "$DIR/log/postgres.log")
		if [[ $rc == 2 && $attempt != 5 && ($said == *'shared memory block'* || $said == *'lock file'*) ]]; then
			sleep 0.5
			stale=()
			read -r -a stale < <(stat_of "$(head -n 1 "$data/postmaster.pid" 2>/dev/null || echo 0)") || :
			if [[ ${stale[0]:-} == Z ]]; then rm -f "$data/postmaster.pid"; fi
			continue
		fi
		break
	done
	case $rc in
	1) fail_with_log postgres "not ready after $SERVICES_WAIT s" ;;
	2) fail_with_log postgres "ended while starting" ;;
	esac
	if ! psql_ok "$DATABASE" 2>/dev/null; then
		PGPASSWORD=$PASSWORD "$bin/psql" -X -q -h 127.0.0.1 -p "$POSTGRES_PORT" -U "$ACCOUNT" -d postgres -c "create database $DATABASE"
	fi
}

# ---- MariaDB ----------------------------------------------------------------------------

mariadb_ok() {
	"$ROOT/mariadb/bin/mariadb" --no-defaults --protocol=tcp --connect-timeout=5 -h 127.0.0.1 -P "$MARIADB_PORT" \
		-u "$ACCOUNT" "-p$PASSWORD" -e 'select 1' "$DATABASE" >/dev/null
}

start_mariadb() {
	local data=$DIR/data/mariadb root=$ROOT/mariadb rc=0 options=() share
	need_free_ports mariadb "$MARIADB_PORT"
	share=$root/usr/share/mariadb # 11 and newer
	[[ -d $share ]] || share=$root/usr/share/mysql
	options=(--no-defaults --basedir="$root/usr" --datadir="$data" --plugin-dir="$root/usr/lib/mysql/plugin"
		--lc-messages-dir="$share" --character-sets-dir="$share/charsets")
	if ! [[ -f $data/.initialized ]]; then
		as_user rm -rf "$data"
		as_user mkdir -p "$data"
		# What mariadb-install-db does, without its search for programs in the system.
		as_user mkdir "$data/mysql"
		{
			printf '%s\n' 'create database if not exists mysql;' 'use mysql;' 'set @auth_root_socket=NULL;'
			cat "$share"/{*_system_tables,*_performance_tables,*_system_tables_data,fill_help_tables,maria_add_gis_sp_bootstrap,*_sys_schema}.sql
			cat <<-SQL
				create database if not exists $DATABASE character set utf8mb4;
				use mysql;
				flush privileges;
				create user '$ACCOUNT'@'%' identified by '$PASSWORD';
				grant all on *.* to '$ACCOUNT'@'%' with grant option;
			SQL
		} | as_user "$root/bin/mariadbd" "${options[@]}" --bootstrap --silent-startup --max_allowed_packet=8M \
			--net_buffer_length=16K --enforce-storage-engine= >"$DIR/log/mariadb-install.log" 2>&1 || {
			tail -n 30 "$DIR/log/mariadb-install.log" >&2
			die "mariadbd --bootstrap failed"
		}
		as_user touch "$data/.initialized"
	fi
	# The name of the socket is relative to the data folder: a full path may be too long.
	options+=(--port="$MARIADB_PORT" --bind-address=127.0.0.1 --socket=mariadb.sock --pid-file="$data/mariadbd.pid"
		--character-set-server=utf8mb4 --innodb-buffer-pool-size=128M --skip-name-resolve --tmpdir="$data")
	if [[ $SERVICES_FSYNC == off ]]; then options+=(--innodb-flush-log-at-trx-commit=2 --innodb-doublewrite=0 --sync-binlog=0); fi
	launch mariadb "$root/bin/mariadbd" "${options[@]}"
	await mariadb mariadb_ok || rc=$?
	case $rc in
	1) fail_with_log mariadb "not ready after $SERVICES_WAIT s" ;;
	2) fail_with_log mariadb "ended while starting" ;;
	esac
}

# ---- MySQL ------------------------------------------------------------------------------

mysql_ok() {
	"$ROOT/mysql/bin/mysql" --no-defaults --protocol=tcp --connect-timeout=5 -h 127.0.0.1 -P "$MYSQL_PORT" \
		-u "$ACCOUNT" "-p$PASSWORD" -e 'select 1' "$DATABASE" >/dev/null
}

start_mysql() {
	local data=$DIR/data/mysql root=$ROOT/mysql rc=0 options=()
	need_free_ports mysql "$MYSQL_PORT"
	options=(--no-defaults --basedir="$root/usr" --datadir="$data" --plugin-dir="$root/usr/lib/mysql/plugin"
		--lc-messages-dir="$root/usr/share/mysql" --character-sets-dir="$root/usr/share/mysql/charsets")
	if ! [[ -f $data/.initialized ]]; then
		as_user rm -rf "$data"
		cat >"$DIR/run/mysql.sql" <<-SQL
			create database $DATABASE;
			create user '$ACCOUNT'@'%' identified by '$PASSWORD';
			grant all on *.* to '$ACCOUNT'@'%' with grant option;
		SQL
		as_user "$root/bin/mysqld" "${options[@]}" --initialize-insecure --init-file="$DIR/run/mysql.sql" >"$DIR/log/mysql-install.log" 2>&1 || {
			tail -n 30 "$DIR/log/mysql-install.log" >&2
			die "mysqld --initialize failed"
		}
		as_user touch "$data/.initialized"
	fi
	options+=(--port="$MYSQL_PORT" --bind-address=127.0.0.1 --mysqlx=OFF --socket=mysql.sock --pid-file="$data/mysqld.pid"
		--innodb-buffer-pool-size=128M --skip-name-resolve --skip-log-bin --tmpdir="$data" --secure-file-priv=)
	if [[ $SERVICES_FSYNC == off ]]; then options+=(--innodb-flush-log-at-trx-commit=2 --innodb-doublewrite=0); fi
	# The lock of the socket names a pid that may live on as a zombie; InnoDB locks its files itself.
	as_user rm -f "$data/mysql.sock.lock"
	launch mysql "$root/bin/mysqld" "${options[@]}"
	await mysql mysql_ok || rc=$?
	case $rc in
	1) fail_with_log mysql "not ready after $SERVICES_WAIT s" ;;
	2) fail_with_log mysql "ended while starting" ;;
	esac
}

# ---- OpenSearch -------------------------------------------------------------------------

opensearch_version() { if [[ $1 == opensearch ]]; then echo "${OPENSEARCH_VERSION:-3.5.0}"; else echo 2.19.1; fi; }
opensearch_folder() { echo "$DIR/opensearch/run/$(opensearch_version "$1")-$1"; } # as opensearch.sh names it

opensearch_sh() { # opensearch_sh NAME COMMAND: opensearch.sh with the settings of this service
	local secure=0
	[[ $1 != opensearch-secure ]] || secure=1
	env DIR="$DIR/opensearch" NAME="$1" OPENSEARCH_VERSION="$(opensearch_version "$1")" SECURITY=$secure \
		PORT="$(opensearch_port "$1" http)" TRANSPORT_PORT="$(opensearch_port "$1" transport)" \
		WAIT="$SERVICES_WAIT" RUN_AS="${SERVER_UID:-}:${SERVER_GID:-}" bash "$HERE/opensearch.sh" "$2"
}

install_opensearch() { # install_opensearch NAME
	local name=$1 java=$ROOT/java home unpacked programs=() program
	# What the machine has comes first; what it lacks is unpacked.
	if [[ ${OPENSEARCH_JAVA_HOME:-} ]]; then
		home=$(opensearch_sh "$name" java) || exit 1
	elif ! home=$(opensearch_sh "$name" java 2>/dev/null); then
		install_one java
		export OPENSEARCH_JAVA_HOME=$java/home
		home=$java/home
	fi
	unpacked=$DIR/opensearch/dist/opensearch-$(opensearch_version "$name")
	if [[ $name == opensearch-secure ]]; then
		unpacked+=-security
		programs=(openssl)
	fi
	if ! [[ -e $unpacked/.complete || -x $home/bin/jar ]]; then programs+=(unzip); fi
	for program in "${programs[@]}"; do
		command -v "$program" >/dev/null && continue
		install_one java
		PATH=$PATH:$java/bin
	done
	[[ ! -e $unpacked/.complete ]] || return 0
	if ! "${MVN:-mvn}" --version >/dev/null 2>&1; then
		install_one java
		export MVN=$java/bin/mvn
	fi
	note "installing opensearch $(opensearch_version "$name") into $unpacked"
	opensearch_sh "$name" install || exit 1
	rm -rf "$java/repository" # of the unpacked Maven
}

start_opensearch() {
	need_free_ports "$1" "$(opensearch_port "$1" http)" "$(opensearch_port "$1" transport)"
	opensearch_sh "$1" start || exit 1
}

# ---- axe-core ---------------------------------------------------------------------------

# It comes in a package of PyPI, since pip is there already and checks what it gets against the hash. Only
# tests have it: its licence (MPL-2.0) is another one than that of the project.
AXE_WHEEL=axe_playwright_python-0.1.8-py3-none-any.whl # has axe-core 4.12.1
AXE_HASH=fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8

install_axe() {
	local wheel=$ROOT/axe/$AXE_WHEEL pip work
	[[ ! -f $wheel ]] || return 0
	install_for pip
	pip=$(pip_program)
	work=$(mktemp -d "$DIR/axe.XXXXXX")
	echo "axe-playwright-python==0.1.8 --hash=sha256:$AXE_HASH" >"$work/requirements"
	"$pip" download -q --no-deps --require-hashes --only-binary :all: -d "$work" -r "$work/requirements" >"$DIR/log/install-axe.log" 2>&1 || {
		tail -n 20 "$DIR/log/install-axe.log" >&2
		rm -rf "$work"
		die "axe-core cannot be had: pip could not get axe-playwright-python 0.1.8 (sha256 $AXE_HASH)"
	}
	mkdir -p "$ROOT/axe"
	mv "$work/$AXE_WHEEL" "$wheel"
	rm -rf "$work"
	note "installed axe-core"
}

# ---- commands ---------------------------------------------------------------------------

install_for() { # install_for NAME
	case $1 in
	opensearch*) install_opensearch "$1" ;;
	axe) install_axe ;;
	chromium | pip) [[ $("$1_program") != "$DIR"/* ]] || install_one "$1" ;;
	*) install_one "$(kind_of "$1")" ;;
	esac
}

# The machine's own program if it has one, else ours.
pip_program() { command -v pip3 || command -v pip || echo "$ROOT/pip/bin/pip"; }
chromium_program() { command -v chromium || command -v chromium-browser || command -v google-chrome || echo "$ROOT/chromium/bin/chromium"; }

version_of() { # version_of NAME
	if [[ $1 == opensearch* ]]; then opensearch_version "$1"; else cat "$ROOT/$(kind_of "$1")/.version"; fi
}

end_process() { # end_process NAME SIGNAL
	local name=$1 pid limit=$((SECONDS + 60))
	pid=$(pid_of "$name") || { rm -f "$(pid_file "$name")"; return 0; }
	kill -CONT "$pid" 2>/dev/null || :
	kill "-$2" "$pid"
	while pid_of "$name" >/dev/null; do
		if ((SECONDS >= limit)); then
			note "$name: still there after 60 s, killing it"
			kill9_one "$name"
			break
		fi
		sleep 0.05
	done
	rm -f "$(pid_file "$name")"
}

kill9_one() {
	local name=$1 pid f stat victims=() alive
	pid=$(pid_of "$name") || return 0
	victims=("$pid")
	for f in /proc/[0-9]*; do
		read -r -a stat < <(stat_of "${f#/proc/}") || continue
		if [[ ${stat[1]} == "$pid" ]]; then victims+=("${f#/proc/}"); fi
	done
	kill -KILL "${victims[@]}" 2>/dev/null || :
	for _ in {1..200}; do
		alive=
		for f in "${victims[@]}"; do
			read -r -a stat < <(stat_of "$f") && [[ ${stat[0]} != Z ]] && alive=1
		done
		[[ $alive ]] || break
		sleep 0.02
	done
	rm -f "$(pid_file "$name")"
}

signal_one() { # signal_one NAME SIGNAL
	local pid
	pid=$(pid_of "$1") || die "$1 does not run"
	kill "-$2" "$pid"
}

start_one() {
	local name=$1 began
	install_for "$name"
	if [[ ! ${launched[$name]:-} ]] && pid_of "$name" >/dev/null; then
		note "$name already runs (pid $(pid_of "$name"))"
		return
	fi
	began=${EPOCHREALTIME/./}
	"start_$(kind_of "$name")" "$name"
	note "$name $(version_of "$name") is ready after $(((${EPOCHREALTIME/./} - began) / 1000)) ms (pid $(pid_of "$name"), ports: $(ports_of "$name"))"
}

stop_one() {
	local name=$1
	case $name in
	postgres) end_process "$name" INT ;;
	rabbitmq*) end_process "$name" TERM && after_stop_rabbitmq ;;
	*) end_process "$name" TERM ;;
	esac
}

reset_one() {
	local name=$1
	stop_one "$name"
	case $name in
	rabbitmq*) # the nodes of a cluster know each other: they go together
		stop_one rabbitmq3
		stop_one rabbitmq2
		stop_one rabbitmq
		rm -rf "$DIR/data/rabbitmq"
		rm -f "$DIR"/log/rabbitmq*.log
		;;
	opensearch*) rm -rf "$(opensearch_folder "$name")" ;;
	*) rm -rf "${DIR:?}/data/$name" ;;
	esac
	rm -f "$DIR/log/$name.log"
}

ports_of() {
	case $1 in
	rabbitmq*)
		local n
		n=$(node_of "$1")
		echo "stream $(rabbit_port "$n" stream), stream+tls $(rabbit_port "$n" streams), amqp $(rabbit_port "$n" amqp), http $(rabbit_port "$n" http)"
		;;
	postgres) echo "$POSTGRES_PORT" ;;
	mariadb) echo "$MARIADB_PORT" ;;
	mysql) echo "$MYSQL_PORT" ;;
	opensearch*) echo "http $(opensearch_port "$1" http), transport $(opensearch_port "$1" transport)" ;;
	esac
}

status_one() {
	local name=$1 pid
	if pid=$(pid_of "$name"); then
		echo "$name running pid $pid $(version_of "$name" 2>/dev/null) ports: $(ports_of "$name")"
	else
		echo "$name stopped"
		return 1
	fi
}

print_env() {
	local secure
	secure=$(opensearch_folder opensearch-secure)
	cat <<-ENV
		export RABBITMQ_STREAM_URI=rabbitmq-stream://$ACCOUNT:$PASSWORD@localhost:$(rabbit_port 1 stream)/%2f
		export RABBITMQ_STREAM_HOST=localhost
		export RABBITMQ_STREAM_PORT=$(rabbit_port 1 stream)
		export RABBITMQ_STREAM_USER=$ACCOUNT
		export RABBITMQ_STREAM_PASSWORD=$PASSWORD
		export RABBITMQ_STREAM_TLS_URI=rabbitmq-stream+tls://$ACCOUNT:$PASSWORD@localhost:$(rabbit_port 1 streams)/%2f
		export RABBITMQ_AMQP_URI=amqp://$ACCOUNT:$PASSWORD@localhost:$(rabbit_port 1 amqp)/%2f
		export RABBITMQ_MANAGEMENT_URI=http://$ACCOUNT:$PASSWORD@localhost:$(rabbit_port 1 http)
		export RABBITMQ_CA_FILE=$DIR/tls/ca.pem
		export RABBITMQ_CLIENT_CERT_FILE=$DIR/tls/client.pem
		export RABBITMQ_CLIENT_KEY_FILE=$DIR/tls/client.key
		export POSTGRES_DSN='host=127.0.0.1 port=$POSTGRES_PORT user=$ACCOUNT password=$PASSWORD dbname=$DATABASE sslmode=disable'
		export MARIADB_DSN='$ACCOUNT:$PASSWORD@tcp(127.0.0.1:$MARIADB_PORT)/$DATABASE?parseTime=true'
		export MYSQL_DSN='$ACCOUNT:$PASSWORD@tcp(127.0.0.1:$MYSQL_PORT)/$DATABASE?parseTime=true'
		export CHROMIUM=$(chromium_program)
		export PIP=$(pip_program)
		export AXE=$ROOT/axe/$AXE_WHEEL
		export OPENSEARCH_URL=http://127.0.0.1:$(opensearch_port opensearch http)
		export OPENSEARCH_HOST=127.0.0.1
		export OPENSEARCH_PORT=$(opensearch_port opensearch http)
		export OPENSEARCH2_URL=http://127.0.0.1:$(opensearch_port opensearch2 http)
		export OPENSEARCH_SECURE_URL=https://127.0.0.1:$(opensearch_port opensearch-secure http)
		export OPENSEARCH_SECURE_CA_FILE=$secure/config/certs/ca.pem
		export OPENSEARCH_SECURE_USERS=audit_consumer,audit_reader,audit_operator
		export OPENSEARCH_SECURE_PASSWORD_FILE=$secure/users.password
		export OPENSEARCH_SECURE_ADMIN_USER=admin
		export OPENSEARCH_SECURE_ADMIN_PASSWORD_FILE=$secure/admin.password
	ENV
}

run_program() { # run_program NAME CMD...
	local name=$1 settings=()
	shift
	[[ $name != opensearch* ]] || die "run: OpenSearch has no programs of its own, it is asked over HTTP: see $0 env"
	install_one "$(kind_of "$name")"
	case $name in
	rabbitmq*)
		mapfile -t settings < <(rabbit_env "$(node_of "$name")")
		exec 9>&-
		as_user env -u ERL_LIBS -u ERL_FLAGS "${settings[@]}" "$@"
		;;
	postgres)
		PGPASSWORD=$PASSWORD PGHOST=127.0.0.1 PGPORT=$POSTGRES_PORT PGUSER=$ACCOUNT PGDATABASE=$DATABASE \
			"$ROOT/postgres/bin/$1" "${@:2}"
		;;
	mysql)
		"$ROOT/mysql/bin/$1" --no-defaults --protocol=tcp -h 127.0.0.1 -P "$MYSQL_PORT" -u "$ACCOUNT" "-p$PASSWORD" "${@:2}"
		;;
	mariadb)
		"$ROOT/mariadb/bin/$1" --no-defaults --protocol=tcp -h 127.0.0.1 -P "$MARIADB_PORT" -u "$ACCOUNT" "-p$PASSWORD" "${@:2}"
		;;
	esac
}

must_know() { # must_know NAME...
	local name
	for name; do
		[[ " ${ALL_NAMES[*]} " == *" $name "* ]] || die "unknown service '$name': want one of ${ALL_NAMES[*]}"
	done
}

usage() { sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"; }

main() {
	local command=${1:-} name rc=0 names=()
	[[ $command ]] || { usage >&2; exit 2; }
	shift
	case $command in
	-h | --help | help) usage; exit ;;
	env) prepare_dir; known_ports; set_ports; print_env; exit ;;
	run)
		(($# >= 2)) || die "run: want NAME CMD..."
		must_know "$1"
		prepare_dir
		known_ports
		set_ports
		run_program "$@"
		exit
		;;
	install | start | stop | restart | kill9 | pause | resume | reset | status | logs) ;;
	*) die "unknown command '$command'; see: $0 help" ;;
	esac
	names=("$@")
	case $command in kill9 | pause | resume | logs) (($#)) || die "$command: name at least one service" ;; esac
	if [[ $command == install ]]; then ALL_NAMES+=(chromium pip axe); fi
	must_know "${names[@]}"
	prepare_dir
	if ((${#names[@]} == 0)); then
		names=("${DEFAULT_NAMES[@]}")
		case $command in stop | reset) names=("${ALL_NAMES[@]}") ;; esac
	fi
	if [[ $command != status && $command != logs ]]; then
		exec 9>"$DIR/run/lock"
		flock -w 300 9 || die "another services.sh has been at work in $DIR for 300 s"
		trap 'rm -rf "$DIR/apt"' EXIT
	fi
	case $command in start | restart) choose_ports ;; *) known_ports ;; esac
	set_ports
	case $command in
	stop | reset) # the first node of a cluster goes last
		mapfile -t names < <(printf '%s\n' "${names[@]}" | sort -ru)
		;;
	start) # the nodes of a stopped cluster wait for each other, so they start together
		for name in "${names[@]}"; do
			if [[ $name == rabbitmq* ]] && ! pid_of "$name" >/dev/null && ! rabbit_is_new "$name"; then
				install_one rabbitmq
				launch_rabbitmq "$name"
			fi
		done
		;;
	esac
	for name in "${names[@]}"; do
		case $command in
		install) install_for "$name" ;;
		start) start_one "$name" ;;
		stop) stop_one "$name" ;;
		restart) stop_one "$name" && start_one "$name" ;;
		kill9) kill9_one "$name" ;;
		pause) signal_one "$name" STOP ;;
		resume) signal_one "$name" CONT ;;
		reset) reset_one "$name" ;;
		status) status_one "$name" || rc=1 ;;
		logs) tail -n 50 "$(log_file "$name")" ;;
		esac
	done
	exit $rc
}

main "$@"
