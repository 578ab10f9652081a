# shellcheck shell=bash
# Shared by the commands in this directory: a copy of the source that an unprivileged user
# builds, and a temporary cluster that loads the extension from there.  Sourced, with bash
# -eu.
#
# PG_MAJOR chooses the server version; the default is an installed one that
# has its headers, else the one that the distribution calls "postgresql".
# PG_CONFIG chooses an installation elsewhere.  CHROOTS is the directory where
# the servers of test/versions are kept.

COMMAND=$(readlink -f "$0")
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
export LC_ALL=C.UTF-8
umask 022
# Debian keeps these out of the search path of ordinary users.
PATH=$PATH:/usr/sbin:/sbin
CHROOTS=${CHROOTS:-/var/cache/update_tier}
# Settings of the caller's shell for servers and make must not change the tests.
for variable in "${!PG@}" MAKEFLAGS MFLAGS MAKELEVEL; do
	case $variable in PG_MAJOR | PG_CONFIG) ;; *) [ -n "${UPDATE_TIER_RUN:-}" ] || unset "$variable" ;; esac
done

# A command prints one of these lines for each test, and after a failure its output,
# indented; then the summary.
passed=0
failed=0
skipped=0
ok() { passed=$((passed + 1)); echo "ok      $1"; }
not_ok() { failed=$((failed + 1)); echo "FAILED  $1"; }
skip() { skipped=$((skipped + 1)); echo "SKIPPED $1"; }
# A step that takes a while is announced.
step() { echo "--      $*"; }
say() { printf '%s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

# check NAME COMMAND...: run a test.  A function ends at its first command that fails.  For
# this it must not run as a condition, because bash ignores -e there.  Status 77: the
# test cannot be run on this machine, and the last line of its output says why.
check() {
	local name=$1 status
	shift
	set +e
	(set -e; "$@") >"$LOG" 2>&1
	status=$?
	set -e
	case $status in
	0) ok "$name" ;;
	77) skip "$name: $(tail -n 1 "$LOG")" ;;
	*) not_ok "$name"; sed 's/^/    /' "$LOG" ;;
	esac
}

# The summary is the last step of a command.  If nothing was tested the status is 77.
summary() {
	echo
	[ "$skipped" = 0 ] || echo "$skipped SKIPPED: see above what was not tested, and why"
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] || return 1
	[ "$passed" != 0 ] || return 77
}

# count_lines PREFIX COMMAND...: run a command that prints such lines, and count each of
# them here as it comes, with a prefix.  A command that ends with status 77 could not test
# anything, and its last line says why.
count_lines() {
	local prefix=${1:+$1: } status line last='' all seen=0 before=$failed
	shift
	all=$(mktemp "$RUN/lines.XXXXXX")
	while IFS= read -r line; do
		echo "$line" >>"$all"
		case $line in
		"ok      "*) seen=1; ok "$prefix${line#ok      }" ;;
		"FAILED  "*) seen=1; not_ok "$prefix${line#FAILED  }" ;;
		"SKIPPED "*) skip "$prefix${line#SKIPPED }" ;;
		"--      "*) step "$prefix${line#--      }" ;;
		"    "*) echo "$line" ;;
		"status "*) status=${line#status } ;;
		*) last=$line ;;
		esac
	done < <(
		status=0
		"$@" 2>&1 || status=$?
		echo "status $status"
	)
	if [ "$status" = 77 ]; then
		# Tests that the command itself skipped have been counted.
		[[ $last == *" passed, "* ]] || skip "$prefix$last"
	# A command that ended before its summary has failed, whatever it counted, and so has
	# a command whose status does not agree with its lines.
	elif [ "$seen" = 0 ] || ! grep -qE '^[0-9]+ passed, [0-9]+ failed$' "$all" ||
		{ [ "$status" != 0 ] && [ "$failed" = "$before" ]; }; then
		not_ok "${prefix}the run itself"
		tail -n 40 "$all" | sed 's/^/    /'
	fi
}

# shellcheck source=packages.sh
. test/packages.sh
# shellcheck source=lifetime.sh
. test/lifetime.sh
begin_run "$@"

# The server refuses to run as root, and nothing here needs to.
as_postgres() {
	(cd "$WORK" && runuser -u postgres -- env PATH="$BINDIR:$PATH" LC_ALL="$LC_ALL" HOME="$WORK" TMPDIR="$WORK" \
		UPDATE_TIER_RUN="$RUN" PG_MAJOR="$PG_MAJOR" PG_CONFIG="$PG_CONFIG" SMALL_DISK="$SMALL_DISK" \
		UPDATE_TIER_STAGE="$WORK/stage" UPDATE_TIER_CONF="${SERVER_CONF:-}" \
		CITUS_SERVER="${CITUS_SERVER:-}" NEWER_SERVER="${NEWER_SERVER:-}" OLDER_SERVER="${OLDER_SERVER:-}" UPDATE_TIER_OLDER_CONF="${OLDER_CONF:-}" "$@")
}

# prepare PACKAGE...: install missing packages, choose a server, copy the source, and set
# WORK (a directory that is removed at exit), PG_MAJOR, PG_CONFIG and BINDIR.
prepare() {
	local tool missing=()
	WORK=$(mktemp -d "$RUN/work.XXXXXX")
	LOG=$WORK.log
	SMALL_DISK=
	trap 'rm -rf "$LOG"; [ -z "$SMALL_DISK" ] || umount "$SMALL_DISK"; rm -rf "$WORK"' EXIT

	if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
		if [ -n "${PG_CONFIG:-}" ]; then
			install_packages postgresql-common make gcc "$@"
		else
			choose_version
			if [ -z "${PG_MAJOR:-}" ]; then
				update_packages
				choose_version
			fi
			[ -n "${PG_MAJOR:-}" ] || stop "No package \"postgresql\" is known to apt."
			if has_server "$PG_MAJOR"; then
				install_packages postgresql-common make gcc "$@"
			else
				install_packages "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR" postgresql-common make gcc "$@"
			fi
		fi
	else
		[ -n "${PG_CONFIG:-}" ] || choose_version
		for tool in make gcc runuser setsid flock; do command -v "$tool" >/dev/null || missing+=("$tool"); done
		id postgres >/dev/null 2>&1 || missing+=("a user postgres")
		[ -n "${PG_CONFIG:-}${PG_MAJOR:-}" ] || missing+=("a PostgreSQL server with its headers below /usr/lib/postgresql")
		[ ${#missing[@]} = 0 ] || stop "This is not a Debian system, so nothing is installed for you. Missing: ${missing[*]}."
	fi
	PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$PG_MAJOR/bin/pg_config}
	PG_MAJOR=${PG_MAJOR:-$(major_of "$PG_CONFIG")}
	[ "$(major_of "$PG_CONFIG")" = "$PG_MAJOR" ] || stop "$PG_CONFIG is of $("$PG_CONFIG" --version), not of PostgreSQL $PG_MAJOR."
	BINDIR=$("$PG_CONFIG" --bindir)

	mkdir "$WORK/src"
	tar -c --exclude=.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' . | tar -x -C "$WORK/src"
	chown -R postgres "$WORK"
	chmod 755 "$WORK"
}

major_of() { "$1" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/'; }

# build [VARIABLE=VALUE...]: warnings are errors.
build() {
	as_postgres make -s -C "$WORK/src" clean "PG_CONFIG=$PG_CONFIG" >/dev/null 2>&1
	as_postgres make -s -j "$(nproc)" -C "$WORK/src" "PG_CONFIG=$PG_CONFIG" with_llvm=no WERROR=-Werror "$@"
}

# Does the installation belong to this run, so that the run may write to it?
is_ours() { [[ $1 == "$RUN"/* ]]; }

# install_below DIRECTORY SOURCE PG_CONFIG: install the extension there, and set SETTINGS,
# with which a server of that installation finds it.
install_below() {
	local destdir=$1
	! is_ours "$3" || destdir=
	as_postgres make -s -C "$2" "PG_CONFIG=$3" with_llvm=no DESTDIR="$destdir" install >"$LOG" 2>&1 ||
		{ cat "$LOG" >&2; stop "make install failed."; }
	if is_ours "$3"; then SETTINGS=(); else set_settings "$1" "$3"; fi
}

# set_settings DIRECTORY PG_CONFIG: set SETTINGS, with which a server of that installation
# finds the extension that is installed below a directory.
set_settings() {
	local bindir
	bindir=$("$2" --bindir)
	if as_postgres "$bindir/postgres" --describe-config | grep '^extension_destdir' >/dev/null; then
		# Debian's servers can load extensions from a staging directory.
		SETTINGS=("extension_destdir=$1")
	else
		# Every server can since version 18.
		SETTINGS=("extension_control_path=$1$("$2" --sharedir):\$system"
			"dynamic_library_path=$1$("$2" --pkglibdir):\$libdir")
	fi
}

# SETTINGS as lines of postgresql.conf.
settings_as_conf() {
	local setting
	for setting in "${SETTINGS[@]}"; do echo "${setting%%=*} = '${setting#*=}'"; done
}

# Install into a directory of this run, for with_cluster and with_servers.
stage() {
	install_below "$WORK/stage" "$WORK/src" "$PG_CONFIG"
	SERVER_CONF=$(settings_as_conf)
}

# The servers from which pg_upgrade can start: the pg_config of every older server that is
# installed with its headers, and those of OLDER_PG_CONFIGS.
older_servers() {
	local major
	for major in $(majors); do
		if [ "$major" -lt "$PG_MAJOR" ] && has_server "$major"; then echo "/usr/lib/postgresql/$major/bin/pg_config"; fi
	done
	for major in ${OLDER_PG_CONFIGS:-}; do echo "$major"; done
}

# stage_older PG_CONFIG: the same as stage, for an older server from which to upgrade.
stage_older() {
	rm -rf "$WORK/older" "$WORK/stage_older"
	as_postgres cp -r "$WORK/src" "$WORK/older"
	as_postgres make -s -C "$WORK/older" clean "PG_CONFIG=$PG_CONFIG" >/dev/null 2>&1
	# Its headers are older than C23, which is the default of current compilers.
	as_postgres make -s -C "$WORK/older" "PG_CONFIG=$1" with_llvm=no COPT=-std=gnu17 >"$LOG" 2>&1 ||
		{ cat "$LOG" >&2; stop "Could not build for $("$1" --version)."; }
	install_below "$WORK/stage_older" "$WORK/older" "$1"
	OLDER_CONF=$(settings_as_conf)
	OLDER_SERVER=$("$1" --bindir)
	OLDER_SERVER=${OLDER_SERVER%/bin}

	# The new server of pg_upgrade finds libraries only in its own directory.
	copy_server
	NEWER_SERVER=$SERVER_COPY
}

# Make a copy of the server with the staged extension; SERVER_COPY is the directory above
# its programs.  A server that belongs to this run has the extension already.
copy_server() {
	local lib=usr/lib/postgresql/$PG_MAJOR share=usr/share/postgresql/$PG_MAJOR
	SERVER_COPY=${BINDIR%/bin}
	! is_ours "$PG_CONFIG" || return 0
	SERVER_COPY=$WORK/server/$lib
	[ ! -e "$WORK/server" ] || return 0
	as_postgres mkdir -p "$WORK/server/$lib" "$WORK/server/$share"
	as_postgres cp -r "/$lib/bin" "$WORK/server/$lib"
	as_postgres cp -rs "/$lib/lib" "$WORK/server/$lib"
	as_postgres cp -rs "/$share/." "$WORK/server/$share"
	as_postgres cp -rf "$WORK/stage/." "$WORK/server"
}

# Mount a disk of one megabyte, which a test fills.  Fails if nothing can be mounted.
small_disk() {
	as_postgres mkdir "$WORK/small"
	mount -t tmpfs -o size=1m tmpfs "$WORK/small" 2>/dev/null || return 1
	SMALL_DISK=$WORK/small
	chown postgres "$SMALL_DISK"
}

# copy_system: for a function that check() calls, a copy of this system at ROOT, below
# LAYERS, in which everything can be changed and nothing is kept.  It is only mounted if
# this run has its own mount namespace: the command that removes the run's files must not
# see it.
copy_system() {
	local place
	LAYERS=$(mktemp -d "$RUN/layers.XXXXXX")
	ROOT=$LAYERS/root
	if ! unshare --mount true 2>/dev/null || ! mount -t tmpfs tmpfs "$LAYERS" || ! mkdir "$LAYERS/changes" "$LAYERS/work" "$ROOT" ||
		! mount -t overlay overlay -o "lowerdir=/,upperdir=$LAYERS/changes,workdir=$LAYERS/work" "$ROOT"; then
		echo "no copy of this system can be mounted here"
		exit 77
	fi
	for place in proc dev sys; do mount --rbind "/$place" "$ROOT/$place"; done
	cp --remove-destination /etc/resolv.conf "$ROOT/etc/resolv.conf" 2>/dev/null || true
}

# with_cluster COMMAND...: run a command, as postgres, against a temporary cluster; the
# usual environment variables say where it is.
with_cluster() { as_postgres "$WORK/src/test/cluster" "$@"; }

# with_servers COMMAND...: run a command, as postgres, that starts its own servers with
# the server's Perl modules for tests: those of this installation, or else those of
# another installation that has them.
with_servers() {
	local pgxs modules major
	pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
	modules=$pgxs/src/test/perl
	for major in $(majors); do
		[ -e "$modules/PostgreSQL/Test/Cluster.pm" ] || modules=/usr/lib/postgresql/$major/lib/pgxs/src/test/perl
	done
	as_postgres mkdir -p "$WORK/tap/log" "$WORK/tap/tmp_check/log"
	as_postgres env PERL5LIB="$modules" PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
		TESTDIR="$WORK/tap" TESTDATADIR="$WORK/tap" TESTLOGDIR="$WORK/tap/log" "$@"
}

# tap TEST [NOTE]: run one of the TAP tests; the note follows its name.
tap() {
	local why name="$1${2:-}"
	as_postgres rm -rf "$WORK/tap"
	if with_servers prove --failures "$WORK/src/test/t/$1.pl" >"$LOG" 2>&1; then
		why=$(sed -n 's/.* skipped: //p' "$LOG")
		if [ -n "$why" ]; then skip "tap: $name: $why"; else ok "tap: $name"; fi
		return
	fi
	not_ok "tap: $name"
	sed 's/^/    /' "$LOG"
	find "$WORK/tap" -name "regress_log_$1" -exec tail -n 40 {} + | sed 's/^/    /'
}
