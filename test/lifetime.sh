# shellcheck shell=bash
# How a command in this directory begins and ends.  Sourced by common.sh.
#
# The command that a person starts makes a directory, RUN, and runs itself again as a
# child: in its own session, in its own mount and IPC namespaces if the kernel permits
# that, with all temporary files below RUN.  Then it waits, which a signal can interrupt
# at any moment.  However the child ends, the parent ends the processes that are left, and
# removes RUN.  With the last process the namespaces end, and so do all mounts in them.

# TMPDIR, if the tests can work there, or else /tmp: make and the server's tools do not
# accept blanks, the path of a socket has at most 107 bytes, and the server runs as an
# ordinary user.
temporary_base() {
	local base=${TMPDIR:-/tmp} why=
	case $base in
	*[!A-Za-z0-9_./+-]*) why="make and the server's tools do not take some characters of its name" ;;
	/*) ;;
	*) why="it is not an absolute path" ;;
	esac
	if [ -z "$why" ] && [ ${#base} -gt 40 ]; then why="its name is too long for the path of a socket"; fi
	if [ -z "$why" ] && ! runuser -u nobody -- test -x "$base"; then
		why="the user that runs the server cannot enter it"
	fi
	if [ -n "$why" ]; then
		say "TMPDIR is \"$base\", but $why: using /tmp."
		base=/tmp
	fi
	echo "$base"
}

# The processes of the run: those of the child's session, and those that have left the
# session, as servers do, but work below RUN, below a directory of the same name in a
# chroot, or in a chroot that is being made for the run.
run_processes() {
	local stat rest session
	for stat in /proc/[0-9]*/stat; do
		read -r rest <"$stat" || continue
		read -r _ _ _ session _ <<<"${rest##*) }"
		if [ "$session" = "$CHILD" ]; then stat=${stat#/proc/}; echo "${stat%/stat}"; fi
	done 2>/dev/null
	find /proc -maxdepth 2 \( -name cwd -o -name root \) \
		\( -lname "*[./]${RUN##*/}" -o -lname "*/${RUN##*/}/*" -o -lname "*/${RUN##*/} (deleted)" \) \
		-printf '%h\n' 2>/dev/null | sed 's#^/proc/##'
}

# end_run STATUS: servers get the signal for an immediate shutdown, which frees their
# shared memory; processes that are left after a second are killed.
end_run() {
	local process name left turn place
	trap '' INT TERM HUP
	set +e
	[ -n "$RUN" ] || exit "$1"
	for ((turn = 0; turn < 13; turn++)); do
		left=$(run_processes | sort -u)
		[ -n "$left" ] || break
		for process in $left; do
			read -r name <"/proc/$process/comm" || continue
			if [ "$turn" -ge 10 ]; then
				kill -KILL "$process"
			elif [ "$turn" = 0 ]; then
				if [ "$name" = postgres ]; then kill -QUIT "$process"; else kill -TERM "$process"; fi
			fi
		done 2>/dev/null
		sleep 0.1
	done
	# A package that was installed for a test would disturb the next run.
	[ ! -e "$RUN/package" ] || dpkg --purge "$(cat "$RUN/package")" >/dev/null 2>&1
	for place in "$CHROOTS"/*/; do
		if [ -e "$place/tmp/${RUN##*/}/package" ]; then
			chroot "$place" dpkg --purge "$(cat "$place/tmp/${RUN##*/}/package")" >/dev/null 2>&1
		fi
	done
	rm -rf "$RUN"
	for place in "$CHROOTS"/*/tmp/"${RUN##*/}" "$CHROOTS"/*."${RUN##*/}"; do
		[ ! -e "$place" ] || rm -rf "$place"
	done
	exit "$1"
}

# begin_run ARGUMENT...: for the command with these arguments.  Returns in the
# child, and in a command that another one calls.
begin_run() {
	local base status=0 apart=(env --default-signal=INT,QUIT)
	if [ -n "${UPDATE_TIER_RUN:-}" ]; then
		RUN=$UPDATE_TIER_RUN
		return
	fi
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null ||
			stop "Run this as root, or install sudo: packages are installed, and the server runs as user postgres."
		exec sudo env ${TMPDIR:+"TMPDIR=$TMPDIR"} ${PG_MAJOR:+"PG_MAJOR=$PG_MAJOR"} ${PG_CONFIG:+"PG_CONFIG=$PG_CONFIG"} ${CITUS:+"CITUS=$CITUS"} \
			"CHROOTS=$CHROOTS" bash -eu "$COMMAND" "$@"
	fi
	RUN=
	CHILD=none
	trap 'end_run 129' HUP
	trap 'end_run 130' INT
	trap 'end_run 143' TERM
	base=$(temporary_base)
	RUN=$(mktemp -d "$base/update_tier.XXXXXX")
	chmod 755 "$RUN"
	if unshare --mount --ipc true 2>/dev/null; then apart+=(unshare --mount --ipc); fi
	UPDATE_TIER_RUN=$RUN TMPDIR=$RUN setsid "${apart[@]}" bash -eu "$COMMAND" "$@" &
	CHILD=$!
	wait "$CHILD" || status=$?
	end_run "$status"
}
