# update_tier: a PGXS extension.  "make && make install", or see test/run.

MODULE_big = update_tier
OBJS = \
	update_tier.o \
	server/dynamic_sql.o \
	server/identity.o \
	server/index_scan.o \
	server/invalidation.o \
	server/node.o \
	server/settings.o \
	server/statement.o \
	server/table.o \
	server/values.o \
	fleet/adoption.o \
	fleet/attach.o \
	fleet/attach_at_install.o \
	fleet/attachable.o \
	fleet/attached.o \
	fleet/canary_index.o \
	fleet/condition.o \
	fleet/detach.o \
	fleet/enum_column.o \
	fleet/index_build.o \
	fleet/list_support.o \
	fleet/live.o \
	fleet/lookup.o \
	fleet/tier.o \
	fleet/tier_change.o \
	fleet/tier_checks.o \
	fleet/tier_column.o \
	fleet/tier_domain.o \
	fleet/tier_values.o \
	fleet/type_change.o \
	fleet/workspaces.o \
	rollout/claim.o \
	rollout/event.o \
	rollout/gate.o \
	rollout/held.o \
	rollout/installation.o \
	rollout/loaded_package.o \
	rollout/machine.o \
	rollout/machine_due.o \
	rollout/package.o \
	rollout/package_lock.o \
	rollout/package_row.o \
	rollout/phase.o \
	rollout/policy.o \
	rollout/progress.o \
	rollout/prune.o \
	rollout/refuse.o \
	rollout/report.o \
	rollout/rollout.o \
	rollout/search.o \
	rollout/setting.o \
	rollout/status.o \
	rollout/uncounted.o \
	rollout/verbs.o
PGFILEDESC = "update_tier - canary and production workspaces"

EXTENSION = update_tier
# The install script, and the scripts that update to its version.  They are in the
# directory of this file; a build outside of the source tree runs in another one.
DATA := $(notdir $(wildcard $(dir $(lastword $(MAKEFILE_LIST)))update_tier--*.sql))

# One behaviour per file: first the tiers and the table, then rollouts.
REGRESS = \
	install \
	tier \
	typo \
	encodings \
	attach \
	metadata_only \
	empty_index \
	adopt \
	adopt_refuse \
	adopt_check \
	adopt_enum \
	adopt_collation \
	backfill \
	migration \
	attach_refuse \
	attach_hostile \
	live_when \
	live_when_refuse \
	live_when_later \
	partitioned \
	index \
	names \
	detach \
	list \
	paging \
	set_update_tier \
	counts \
	audit \
	estimates \
	work_mem \
	survive \
	unreadable \
	citus_worker \
	citus_table \
	privileges \
	owners_code \
	row_security \
	search_path \
	prepared \
	consistent \
	policy \
	rollout \
	versions \
	verbs \
	evidence \
	gates \
	lookup \
	claim \
	claim_batch \
	sweep \
	installation \
	outcome \
	long_transaction \
	wanted_version \
	ramp \
	freeze \
	force \
	extend \
	observe \
	forget \
	fleet_changes \
	nulls \
	deferred \
	replaced \
	table_to_view \
	write_late \
	status \
	prune \
	rollout_refuse \
	rollout_privileges \
	rollout_search_path \
	monitoring \
	drainer
# Some tests contain text that is not ASCII.
REGRESS_OPTS = --encoding=UTF8

# Races: each spec lists the orders of steps that matter.
ISOLATION = \
	attach_attach \
	attach_late \
	attach_timeout \
	attach_index_build \
	attach_children \
	attach_writer \
	attach_snapshot \
	set_update_tier \
	record_other_table \
	claim_claim \
	two_versions \
	search \
	claim_halt \
	claim_abort \
	claim_freeze \
	forget_claim \
	force_budget \
	retry_lease \
	report_expiry \
	extend_expiry \
	observe_report \
	promote_halt \
	start_start \
	start_settle \
	start_progress \
	set_policy \
	halt_by_clock \
	parallel_attach \
	prune_claim \
	notify \
	repeatable_read \
	report_apart \
	lookup \
	drop_table
ISOLATION_OPTS = --inputdir=test --outputdir=test

# -Wextra's two exceptions are idioms of the server's own headers and of fmgr.
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare $(WERROR)

EXTRA_CLEAN = test/output_iso test/results test/regression.diffs test/regression.out

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Includes are written from the top level, where PGXS looks for them: -I$(srcdir).
$(OBJS) $(OBJS:.o=.bc): $(wildcard $(srcdir)/*.h $(srcdir)/*/*.h)

# Up to version 15 the server's makefiles export every function that is not static,
# and another library may have a function of the same name.
ifeq ($(PORTNAME), linux)
SHLIB_LINK += -Wl,--version-script=$(srcdir)/server/exports.map
$(shlib): $(srcdir)/server/exports.map
endif

# A build outside of the source tree has no folders yet.
$(shell mkdir -p $(dir $(OBJS)))

# The archive of a release, made from what is committed.
DISTVERSION = $(shell sed -n 's/^   "version": "\(.*\)",/\1/p' META.json)
DISTDIR ?= .
.PHONY: dist
dist:
	git archive --format=zip --prefix=update_tier-$(DISTVERSION)/ \
		-o $(DISTDIR)/update_tier-$(DISTVERSION).zip HEAD
