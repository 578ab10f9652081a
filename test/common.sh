# shellcheck shell=bash
# Shared by the commands in this directory: what they need on a machine, a
# copy of the source that an unprivileged user builds, and a throw-away
# cluster that loads the extension from there.  Sourced, with bash -eu.
#
# PG_MAJOR chooses the server version; the default is an installed one that
# has its headers, else the one that the distribution calls "postgresql".

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8
# Debian keeps these out of the search path of ordinary users.
PATH=$PATH:/usr/sbin:/sbin

# What a command prints of its tests: one of these lines for each, and after it,
# indented, what went wrong; then the summary.
passed=0
failed=0
skipped=0
ok() { passed=$((passed + 1)); echo "ok      $1"; }
not_ok() { failed=$((failed + 1)); echo "FAILED  $1"; }
skip() { skipped=$((skipped + 1)); echo "SKIPPED $1"; }

# check NAME COMMAND...: a function ends at its first command that fails, for
# which it must not run as a condition: bash ignores -e there.
check() {
	local name=$1 status
	shift
	set +e
	(set -e; "$@") >"$LOG" 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then ok "$name"; else not_ok "$name"; sed 's/^/    /' "$LOG"; fi
}

# The last thing a command does.  Where nothing was tested the status is 77.
summary() {
	echo
	[ "$skipped" = 0 ] || echo "$skipped SKIPPED: see above what was not tested, and why"
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] || return 1
	[ "$passed" != 0 ] || return 77
}

# count_lines PREFIX COMMAND...: run a command that prints such lines, and count
# each of them here, under a prefix.  One that ends with status 77 could not
# test anything, and its last line says why.
count_lines() {
	local prefix=${1:+$1: } status=0 line seen=0 before=$failed
	shift
	"$@" >"$LOG" 2>&1 || status=$?
	if [ "$status" = 77 ]; then
		skip "$prefix$(tail -n 1 "$LOG")"
		return
	fi
	while IFS= read -r line; do
		case $line in
		"ok      "*) seen=1; ok "$prefix${line#ok      }" ;;
		"FAILED  "*) seen=1; not_ok "$prefix${line#FAILED  }" ;;
		"SKIPPED "*) skip "$prefix${line#SKIPPED }" ;;
		"    "*) echo "$line" ;;
		esac
	done <"$LOG"
	# One that ended before its summary has failed, whatever it counted, and
	# so has one that ended otherwise than its lines did.
	if [ "$seen" = 0 ] || ! grep -qE '^[0-9]+ passed, [0-9]+ failed$' "$LOG" ||
		{ [ "$status" != 0 ] && [ "$failed" = "$before" ]; }; then
		not_ok "${prefix}the run itself"
		tail -n 40 "$LOG" | sed 's/^/    /'
	fi
}

say() { printf '%s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The server refuses to run as root, and nothing here needs to.
as_postgres() {
	local environment=(PATH="$PATH" LC_ALL="$LC_ALL" HOME="$WORK" TMPDIR="$WORK" PG_MAJOR="$PG_MAJOR"
		UPDATE_TIER_CONF="${SERVER_CONF:-}" UPDATE_TIER_STAGE="$WORK/stage" SMALL_DISK="$SMALL_DISK"
		NEWER_SERVER="$WORK/server/usr/lib/postgresql/$PG_MAJOR"
		OLDER_SERVER="${OLDER:+/usr/lib/postgresql/$OLDER}" UPDATE_TIER_OLDER_CONF="${OLDER_CONF:-}")
	if [ "$(id -u)" = 0 ]; then
		(cd "$WORK" && runuser -u postgres -- env "${environment[@]}" "$@")
	else
		(cd "$WORK" && sudo -u postgres env "${environment[@]}" "$@")
	fi
}

# The major versions below /usr/lib/postgresql, oldest first.
majors() { find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort -n; }

has_server() { [ -x "/usr/lib/postgresql/$1/bin/postgres" ] && [ -d "/usr/include/postgresql/$1/server" ]; }

choose_version() {
	local major
	[ -n "${PG_MAJOR:-}" ] && return
	for major in $(majors); do
		if has_server "$major"; then PG_MAJOR=$major; fi
	done
	if [ -z "${PG_MAJOR:-}" ] && command -v apt-cache >/dev/null; then
		PG_MAJOR=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -1)
	fi
	return 0
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# without_services COMMAND...: run a command, as root, while no package may start
# its service.  A policy that the machine has of its own is put back.
without_services() (
	policy=/usr/sbin/policy-rc.d
	trap 'as_root rm -f "$policy"; [ ! -e "$policy.update_tier" ] || as_root mv "$policy.update_tier" "$policy"' EXIT
	[ ! -e "$policy" ] || [ -e "$policy.update_tier" ] || as_root mv "$policy" "$policy.update_tier"
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
	as_root "$@"
)

# Install the packages that are missing.  Installing a server creates and
# starts a cluster, which nobody asked for: not here, nor any other service.
install_packages() {
	local missing=() package list
	for package in "$@"; do installed "$package" || missing+=("$package"); done
	[ ${#missing[@]} = 0 ] && return
	say "Installing ${missing[*]} ..."
	list=/etc/postgresql-common/createcluster.d/update_tier-no-cluster.conf
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-common >"$LOG" 2>&1 ||
		{ cat "$LOG" >&2; stop "Could not install postgresql-common."; }
	as_root mkdir -p "$(dirname "$list")"
	echo 'create_main_cluster = false' | as_root tee "$list" >/dev/null
	if ! without_services env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$LOG" 2>&1; then
		as_root rm -f "$list"
		cat "$LOG" >&2
		stop "Could not install ${missing[*]}."
	fi
	as_root rm -f "$list"
}

# prepare PACKAGE...: have everything there is to have, and set WORK (a
# directory that goes away at exit), PG_MAJOR, and PG_CONFIG.
prepare() {
	LOG=$(mktemp)
	WORK=
	SMALL_DISK=
	trap 'rm -f "$LOG"; [ -z "$SMALL_DISK" ] || as_root umount "$SMALL_DISK"; [ -z "$WORK" ] || as_root rm -rf "$WORK"' EXIT

	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		stop "Run this as root, or install sudo: packages are installed, and the server runs as user postgres."
	fi
	if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
		choose_version
		if [ -z "${PG_MAJOR:-}" ] || ! has_server "$PG_MAJOR" || ! command -v pg_virtualenv make gcc >/dev/null; then
			as_root apt-get update -qq >"$LOG" 2>&1 || { cat "$LOG" >&2; stop "apt-get update failed."; }
			choose_version
		fi
		[ -n "${PG_MAJOR:-}" ] || stop "No package \"postgresql\" is known to apt."
		install_packages "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR" postgresql-common make gcc "$@"
	else
		choose_version
		local tool missing=()
		for tool in pg_virtualenv make gcc runuser; do command -v "$tool" >/dev/null || missing+=("$tool"); done
		[ -n "${PG_MAJOR:-}" ] || missing+=("a PostgreSQL server with its headers below /usr/lib/postgresql")
		[ ${#missing[@]} = 0 ] || stop "This is not a Debian system, so nothing is installed for you. Missing: ${missing[*]}."
	fi
	PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config

	WORK=$(mktemp -d "${TMPDIR:-/tmp}/update_tier.XXXXXX")
	mkdir "$WORK/src"
	tar -c --exclude=.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' . | tar -x -C "$WORK/src"
	as_root chown -R postgres "$WORK"
	as_root chmod 755 "$WORK"
}

# build [VARIABLE=VALUE...]: warnings are errors.
build() {
	as_postgres make -s -C "$WORK/src" clean "PG_CONFIG=$PG_CONFIG" >/dev/null 2>&1
	as_postgres make -s -C "$WORK/src" "PG_CONFIG=$PG_CONFIG" with_llvm=no WERROR=-Werror "$@"
}

# install_below DIRECTORY SOURCE MAJOR: install there what has been built, and
# set SETTINGS to how a server of that version finds it.
install_below() {
	as_postgres make -s -C "$2" "PG_CONFIG=/usr/lib/postgresql/$3/bin/pg_config" with_llvm=no DESTDIR="$1" install >"$LOG" 2>&1 ||
		{ cat "$LOG" >&2; stop "make install failed."; }
	if as_postgres "/usr/lib/postgresql/$3/bin/postgres" --describe-config | grep '^extension_destdir' >/dev/null; then
		# Debian's servers can load extensions from a staging directory.
		SETTINGS=("extension_destdir=$1")
	else
		# Every server can since version 18.
		SETTINGS=("extension_control_path=$1/usr/share/postgresql/$3:\$system"
			"dynamic_library_path=$1/usr/lib/postgresql/$3/lib:\$libdir")
	fi
}

# SETTINGS as lines of postgresql.conf.
settings_as_conf() {
	local setting
	for setting in "${SETTINGS[@]}"; do echo "${setting%%=*} = '${setting#*=}'"; done
}

# Install into a directory of our own, for with_cluster and with_servers.
stage() {
	local setting
	install_below "$WORK/stage" "$WORK/src" "$PG_MAJOR"
	CLUSTER_OPTIONS=()
	for setting in "${SETTINGS[@]}"; do CLUSTER_OPTIONS+=(-o "$setting"); done
	SERVER_CONF=$(settings_as_conf)
}

# stage_older: the same for an older server, to upgrade from; fails when there
# is none with its headers.
stage_older() {
	local major
	OLDER=
	for major in $(majors); do
		if [ "$major" -lt "$PG_MAJOR" ] && has_server "$major"; then OLDER=$major; fi
	done
	[ -n "$OLDER" ] || return 1
	as_postgres cp -r "$WORK/src" "$WORK/older"
	as_postgres make -s -C "$WORK/older" clean "PG_CONFIG=$PG_CONFIG" >/dev/null 2>&1
	# Headers of its age are not made for C23, which compilers have as default.
	as_postgres make -s -C "$WORK/older" "PG_CONFIG=/usr/lib/postgresql/$OLDER/bin/pg_config" with_llvm=no COPT=-std=gnu17 >"$LOG" 2>&1 ||
		{ cat "$LOG" >&2; stop "Could not build for PostgreSQL $OLDER."; }
	install_below "$WORK/stage_older" "$WORK/older" "$OLDER"
	OLDER_CONF=$(settings_as_conf)

	# What pg_upgrade upgrades to looks for libraries in its own directory
	# alone: a copy of the server, which finds its files from where it is.
	local server=$WORK/server lib=usr/lib/postgresql/$PG_MAJOR share=usr/share/postgresql/$PG_MAJOR
	as_postgres mkdir -p "$server/$lib" "$server/$share"
	as_postgres cp -r "/$lib/bin" "$server/$lib"
	as_postgres cp -rs "/$lib/lib" "$server/$lib"
	as_postgres cp -rs "/$share/." "$server/$share"
	as_postgres cp -rf "$WORK/stage/." "$server"
}

# A disk of a megabyte, to be filled; fails where none can be mounted.
small_disk() {
	as_postgres mkdir "$WORK/small"
	as_root mount -t tmpfs -o size=1m tmpfs "$WORK/small" 2>/dev/null || return 1
	SMALL_DISK=$WORK/small
	as_root chown postgres "$SMALL_DISK"
}

# with_cluster COMMAND...: run a command, as postgres, against a throw-away
# cluster; the usual environment variables say where it is.
with_cluster() {
	as_postgres pg_virtualenv -v "$PG_MAJOR" "${CLUSTER_OPTIONS[@]}" "$@"
}

# with_servers COMMAND...: run a command, as postgres, that starts servers of
# its own with the server's Perl modules for tests.
with_servers() {
	local pgxs
	pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
	as_postgres mkdir -p "$WORK/tap/log" "$WORK/tap/tmp_check/log"
	as_postgres env PATH="/usr/lib/postgresql/$PG_MAJOR/bin:$PATH" PERL5LIB="$pgxs/src/test/perl" \
		PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
		TESTDIR="$WORK/tap" TESTDATADIR="$WORK/tap" TESTLOGDIR="$WORK/tap/log" "$@"
}
