#!/bin/bash -eu
#
# How an application uses the tiers of its workspaces, with psql alone: it lists them,
# changes one, and reads the error of a typo.
#
# The environment says where the database is (PGHOST, PGDATABASE, ...).  The script ends
# with a status other than 0 if a result is wrong.
#
# psql prepares no statements, so it works with every version of PgBouncer.

# as ROLE [VARIABLE=VALUE...]: run the statements of stdin, where :'variable' is
# a quoted value.
as() {
	local role=$1 variables=() variable
	shift
	for variable in "$@"; do variables+=(-v "$variable"); done
	psql -X -q -At -v ON_ERROR_STOP=1 -U "$role" "${variables[@]}"
}

canaries() { as application <<<'SELECT canary_workspaces()'; }

# set_tier WORKSPACE TIER: prints the old tier.
set_tier() { as application "workspace=$1" "tier=$2" "${@:3}" <<<"SELECT set_update_tier(:'workspace', :'tier')"; }

equal() {
	[ "$1" = "$2" ] || { printf 'line %s: "%s", not "%s"\n' "${BASH_LINENO[0]}" "$1" "$2" >&2; exit 1; }
}

# fails COMMAND...: the command must fail; prints fields of the error, one on each line.
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

look() { as applier "$@" <<<'SELECT id FROM workspaces'; }
equal "$(fails look)" 'ERROR:  42501'
