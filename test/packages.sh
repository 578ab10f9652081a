# shellcheck shell=bash
# Servers and packages that the tests need.  Sourced by common.sh.

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

# with_lock FILE COMMAND...: run a command while no other run on this machine holds the
# lock of this file.
with_lock() (
	mkdir -p "$(dirname "$1")"
	exec {lock}>"$1"
	if ! flock -n "$lock"; then
		step "waiting for another run, which holds $1"
		flock "$lock"
	fi
	shift
	# A process that goes on in the background must not keep the lock.
	"$@" {lock}>&-
)
PACKAGES_LOCK=/run/lock/update_tier.lock

# without_services COMMAND...: run a command while no package may start its service, and
# no server package may create a cluster.  A policy that the machine had is put back.
without_services() (
	policy=/usr/sbin/policy-rc.d
	clusters=/etc/postgresql-common/createcluster.d/update_tier-no-cluster.conf
	trap 'rm -f "$policy" "$clusters"; [ ! -e "$policy.update_tier" ] || mv "$policy.update_tier" "$policy"' EXIT
	[ ! -e "$policy" ] || [ -e "$policy.update_tier" ] || mv "$policy" "$policy.update_tier"
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	mkdir -p "$(dirname "$clusters")"
	echo 'create_main_cluster = false' >"$clusters"
	"$@"
)

# Without its own terminal dpkg belongs to the run, and ends with it.
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"; }

# Finish the installation of packages that a stopped run has left half installed.
mend_packages() {
	local turn
	[ -n "$(dpkg --audit)" ] || return 0
	step "finishing an installation that was stopped"
	for ((turn = 0; turn < 120; turn++)); do
		if without_services env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >"$LOG" 2>&1; then return; fi
		grep -q 'lock' "$LOG" || break
		sleep 1
	done
	# Packages that were not unpacked are fetched again.
	without_services apt_get install -y -f >"$LOG" 2>&1 || { cat "$LOG" >&2; stop "An installation that was stopped cannot be finished."; }
}

# The lists of packages are fetched once a run.
update_packages() {
	[ ! -e "$RUN/updated" ] || return 0
	step "fetching the lists of packages"
	apt_get update >"$LOG" 2>&1 || { cat "$LOG" >&2; stop "apt-get update failed."; }
	touch "$RUN/updated"
}

install_missing() {
	local missing=() package
	# Another run may have installed them while we waited.
	for package in "$@"; do installed "$package" || missing+=("$package"); done
	[ ${#missing[@]} = 0 ] && return
	mend_packages
	if ! apt-cache show "${missing[@]}" >/dev/null 2>&1; then update_packages; fi
	step "installing ${missing[*]}"
	if ! without_services apt_get install -y --no-install-recommends "${missing[@]}" >"$LOG" 2>&1; then
		# Old lists name versions that the server does not have any more.
		update_packages
		if ! without_services apt_get install -y --no-install-recommends "${missing[@]}" >"$LOG" 2>&1; then
			cat "$LOG" >&2
			stop "Could not install ${missing[*]}."
		fi
	fi
}

# install_packages PACKAGE...: install those that are missing.
install_packages() {
	local package
	for package in "$@"; do
		if ! installed "$package"; then
			with_lock "$PACKAGES_LOCK" install_missing "$@"
			return
		fi
	done
}
