#!/bin/bash -eu
#
# A client with nothing but psql: what an application does with the tiers of its
# workspaces, and what an applier of updates does with a rollout.
#
# The environment says where the database is (PGHOST, PGDATABASE, ...).  It ends
# with a status other than 0 where it does not see what it must.
#
# psql sends what it is given as it is and prepares nothing: any PgBouncer will
# do.  But each call is a session, so a transaction must be within one.

# as ROLE [VARIABLE=VALUE...]: run the statements of stdin, where :'variable' is
# a quoted value.
as() {
	local role=$1 variables=() variable
	shift
	for variable in "$@"; do variables+=(-v "$variable"); done
	psql -X -q -At -v ON_ERROR_STOP=1 -U "$role" "${variables[@]}"
}

# The application: tiers.

canaries() { as application <<<'SELECT canary_workspaces()'; }

# set_tier WORKSPACE TIER: prints the old tier.
set_tier() { as application "workspace=$1" "tier=$2" "${@:3}" <<<"SELECT set_update_tier(:'workspace', :'tier')"; }

# The applier.

# report TOKEN OUTCOME [INSTALLED [DETAIL]]: prints the phase of the rollout.
report() {
	as applier "token=$1" "outcome=$2" "installed=${3:-}" "detail=${4:-}" \
		<<<"SELECT update_tier.report(:token, :'outcome', NULLIF(:'installed', ''), NULLIF(:'detail', ''))"
}

# roll_out PACKAGE VERSION COMMAND: take a version to all workspaces that may have
# it now.  COMMAND WORKSPACE VERSION applies, and prints what is installed then.
# Its status is 0, or 2 if the update is bad, or another if nobody knows.
roll_out() {
	local batch workspace attempt token installed outcome phase
	while true; do
		# The claims are committed before anything is applied: these leases
		# are what keeps other appliers away, also after a crash.
		batch=$(as applier "package=$1" "version=$2" <<<"
			SELECT workspace, attempt, token FROM update_tier.claim_batch(:'package', :'version', 2)")
		[ -n "$batch" ] || return 0		# nothing is due at present: the soak, or the end
		while IFS='|' read -r workspace attempt token; do
			outcome=succeeded
			installed=$("$3" "$workspace" "$2") || case $? in
			2) outcome=failed ;;		# evidence against the version
			*) outcome=error ;;		# nobody knows: it will be due again
			esac
			phase=$(report "$token" "$outcome" "$installed")
			log+=("${workspace: -1} $attempt $phase")
			[ "$phase" != halted ] || return 0	# not one more; the other leases run out
		done <<<"$batch"
	done
}

# apply_now PACKAGE VERSION WORKSPACE SQL: apply to one workspace in one
# transaction, where applying is a matter of some SQL.  Prints the phase, or
# "skipped".
apply_now() {
	as applier "package=$1" "version=$2" "workspace=$3" <<-END
		BEGIN;
		SELECT update_tier.claim(:'package', :'version', :'workspace') AS token \gset
		\if :{?token}
			$4
			SELECT update_tier.report(:token, 'succeeded', :'version');
		\else
			-- NULL: not open to it, or somebody else has it.
			\echo skipped
		\endif
		COMMIT;
	END
}

# What has to come of it.

equal() {
	[ "$1" = "$2" ] || { printf 'line %s: "%s", not "%s"\n' "${BASH_LINENO[0]}" "$1" "$2" >&2; exit 1; }
}

# fails COMMAND...: prints what the server said, a field a line.
fails() {
	local said
	if said=$("$@" VERBOSITY=verbose 2>&1); then return 1; fi
	sed -nE -e 's/^(psql:[^ ]* )?(ERROR:  [0-9A-Z]{5}):.*/\2/p' -e '/^(HINT|CONSTRAINT NAME):/p' <<<"$said"
}

workspace() { printf '00000000-0000-4000-8000-%012d' "$1"; }

equal "$(canaries)" "$(workspace 1)"
equal "$(set_tier "$(workspace 2)" canary)" production
equal "$(canaries)" "$(workspace 1; echo; workspace 2)"

update() { as application "workspace=$(workspace 3)" "$@" <<<"UPDATE workspaces SET update_tier = 'canery' WHERE id = :'workspace'"; }
equal "$(fails update)" 'ERROR:  23514
CONSTRAINT NAME:  canary_or_production'
equal "$(fails set_tier "$(workspace 3)" canery)" 'ERROR:  23514
HINT:  Perhaps you meant "canary".
CONSTRAINT NAME:  canary_or_production'

answered=$(mktemp)
trap 'rm -f "$answered"' EXIT
good() {
	if [ "$1" = "$(workspace 5)" ] && [ ! -s "$answered" ]; then
		echo yes >"$answered"			# the next time it answers
		return 1
	fi
	echo "$2"
}
bad() { return 2; }
look() { as applier "$@" <<<'SELECT id FROM workspaces'; }
allowed() { as applier "workspace=$1" <<<"SELECT update_tier.allows('search', 'v9', :'workspace')"; }

equal "$(fails look)" 'ERROR:  42501'
log=()
roll_out search v7 good
equal "${log[*]}" '1 1 canary 2 1 soaking 3 1 promoted 4 1 promoted 5 1 promoted 5 2 promoted'
log=()
roll_out search v8 bad
equal "${log[*]}" '1 1 halted'

equal "$(apply_now search v9 "$(workspace 1)" '')" canary
equal "$(apply_now search v9 "$(workspace 1)" '')" skipped
equal "$(apply_now search v9 "$(workspace 3)" '')" skipped
# Leased within the transaction, and no longer once that has been rolled back.
status=0
seen=$(apply_now search v9 "$(workspace 2)" "
	SELECT update_tier.allows('search', 'v9', :'workspace'); SELECT 1 / 0;" 2>/dev/null) || status=$?
equal "$seen $status" 'f 3'
equal "$(allowed "$(workspace 2)")" t
