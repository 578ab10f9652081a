# update_tier.attach() of tables that Citus distributes: how it changes the shards, what it
# refuses, and which rights it needs.  A TAP test because it needs three servers.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Citus;
use PostgreSQL::Test::Utils;
use Test::More;

my $citus = Citus->distributed;
my $node = $citus->coordinator;

# A script in a database of its own, and all that it prints.
sub shows
{
	my ($name, $sql, $expected, $what) = @_;
	$sql =~ s/^\t//mg;
	$expected =~ s/^\t//mg;
	$expected =~ s/^\n//;
	is($citus->prints($name, "SET client_min_messages = 'notice';\nSET citus.shard_count = 4;\nSET lock_timeout = '20s';\n$sql"), $expected, $what);
}
sub database
{
	my ($name) = @_;
	$citus->database($name);
	$node->safe_psql($name, q{
		SET client_min_messages = 'warning';
		CREATE EXTENSION update_tier;
		CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT md5(n::text)::uuid$$;
		-- The column, the index and the CHECKs of the shards, which are all alike.
		SET check_function_bodies = off;
		CREATE FUNCTION on_shards(OUT said text) RETURNS SETOF text LANGUAGE sql AS $$
			SELECT DISTINCT result FROM run_command_on_shards('workspaces', $q$
				SELECT format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' not null' ELSE '' END || ', default ' ||
				       COALESCE((SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum), 'none') || ', index ' ||
				       COALESCE((SELECT regexp_replace(pg_get_indexdef(indexrelid), '.* USING ', '') FROM pg_index
				                  WHERE indrelid = attrelid AND indpred IS NOT NULL), 'none') || ', checks ' ||
				       (SELECT count(*) FROM pg_constraint WHERE conrelid = attrelid AND contype = 'c')
				  FROM pg_attribute WHERE attrelid = '%s'::regclass AND attname = 'update_tier'$q$)$$;
	});
}

# attach adopts the plain-SQL form on a distributed table.
database('adoption');
shows('adoption', q{
	CREATE TABLE workspaces (id uuid PRIMARY KEY, status text NOT NULL DEFAULT 'active',
	    update_tier text CHECK (update_tier IN ('canary', 'production')));
	CREATE INDEX workspaces_update_tier_canary ON workspaces (update_tier) WHERE update_tier = 'canary';
	SELECT create_distributed_table('workspaces', 'id');
	INSERT INTO workspaces SELECT w(n), 'active', CASE WHEN n <= 3 THEN 'canary' WHEN n > 5 THEN 'production' END FROM generate_series(1, 100) AS n;
	SELECT * FROM on_shards();
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT * FROM on_shards();
	SELECT * FROM update_tier.counts();
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => false);
	SELECT * FROM on_shards();
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT * FROM on_shards();
	UPDATE workspaces SET update_tier = 'beta' WHERE id = w(1);
	SELECT update_tier.detach();
	SELECT * FROM on_shards();
	SELECT update_tier, count(*) FROM workspaces GROUP BY 1 ORDER BY 1;
}, q{

	text, default none, index btree (update_tier) WHERE (update_tier = 'canary'::text), checks 1

	update_tier not null, default 'production'::text, index btree (id) WHERE ((update_tier)::text = 'canary'::text), checks 0
	canary|3
	production|97

	update_tier not null, default 'production'::text, index btree (id) WHERE (((update_tier)::text = 'canary'::text) AND (status <> 'removed'::text)), checks 0
	NOTICE:  00000: every row of "workspaces" is a live workspace now
	DETAIL:  The condition "live_when" was: (status <> 'removed'::text).
	HINT:  Pass live_when again to keep the condition.

	update_tier not null, default 'production'::text, index btree (id) WHERE ((update_tier)::text = 'canary'::text), checks 0
	ERROR:  23514: value for domain update_tier violates check constraint "canary_or_production"

	text not null, default 'production'::text, index btree (update_tier) WHERE (update_tier = 'canary'::text), checks 1
	canary|3
	production|97
}, 'a text column with a CHECK and an index');

shows('adoption', q{
	ALTER TABLE workspaces DROP COLUMN update_tier;
	ALTER TABLE workspaces ADD COLUMN update_tier text NOT NULL DEFAULT 'Canary';
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT * FROM on_shards();
	ALTER TABLE workspaces DROP COLUMN update_tier;
	CREATE TYPE tier AS ENUM ('canary', 'production');
	ALTER TABLE workspaces ADD COLUMN update_tier tier NOT NULL DEFAULT 'canary';
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT * FROM on_shards();
	SELECT * FROM update_tier.counts();
}, q{
	ERROR:  23514: cannot attach "workspaces": column "update_tier" contains invalid update tiers in 100 rows
	DETAIL:  Values (rows): "Canary" (100).
	HINT:  Find them with SELECT id, update_tier FROM public.workspaces WHERE NOT update_tier.is_valid(update_tier::text), set them to "canary" or "production", and attach the table again.
	text not null, default 'Canary'::text, index none, checks 0

	update_tier not null, default 'production'::text, index btree (id) WHERE ((update_tier)::text = 'canary'::text), checks 0
	canary|100
	production|0
}, 'invalid tiers, and an enum');

# The coordinator keeps the rows that a table had before it was distributed.
database('former');
shows('former', q{
	CREATE TABLE workspaces (id uuid PRIMARY KEY, update_tier text);
	INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 10) AS n;
	SET client_min_messages = 'warning';
	SELECT create_distributed_table('workspaces', 'id');
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT truncate_local_data_after_distributing_table('public.workspaces');
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT * FROM update_tier.counts();
}, q{

	ERROR:  55000: cannot attach "workspaces": its rows from before it was distributed are still on disk
	DETAIL:  Column "update_tier" can be null. To make it NOT NULL, the server would check these rows, too.
	HINT:  Remove them with SELECT truncate_local_data_after_distributing_table('public.workspaces'), and attach the table again.


	canary|0
	production|10
}, 'rows from before the table was distributed');

# Triggers.
database('audit');
shows('audit', q{
	CREATE TABLE workspaces (id uuid PRIMARY KEY);
	SELECT update_tier.attach('workspaces');
	SELECT create_distributed_table('workspaces', 'id');
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT create_distributed_table('workspaces', 'id');
	SELECT update_tier.attach('workspaces');
	SELECT update_tier.attach('workspaces', audit => false);
	INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 10) AS n;
	SELECT set_update_tier(w(1), 'canary'), set_update_tier(w(1), 'canary'), set_update_tier(w(2), 'production');
	UPDATE workspaces SET update_tier = 'canary' WHERE id = w(3);
	BEGIN;
	SELECT set_update_tier(w(4), 'canary');
	ROLLBACK;
	SELECT actor = current_user, workspace = w(1), old_tier, new_tier, path FROM update_tier.tier_change ORDER BY id;
}, q{

	ERROR:  XX000: cannot distribute relation "workspaces" because it has triggers
	HINT:  Consider dropping all the triggers on "workspaces" and retry.


	ERROR:  0A000: cannot attach "workspaces" with audit: Citus distributes the table
	DETAIL:  The trigger that records changes would run on the shards of the table, and record nothing.
	HINT:  Pass audit => false. Changes by set_update_tier() are recorded without the trigger.

	production|canary|production
	production
	t|t|production|canary|set_update_tier
}, 'audit');
shows('audit', q{
	SELECT undistribute_table('workspaces');
	SELECT * FROM update_tier.counts();
	SELECT create_reference_table('workspaces');
	SELECT update_tier.attach('workspaces');
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT set_update_tier(w(2), 'canary');
	SELECT workspace = w(2), path FROM update_tier.tier_change ORDER BY id DESC LIMIT 1;
	SELECT * FROM update_tier.counts();
}, q{
	NOTICE:  00000: creating a new table for public.workspaces
	NOTICE:  00000: moving the data of public.workspaces
	NOTICE:  00000: dropping the old public.workspaces
	NOTICE:  00000: renaming the new table to public.workspaces

	ERROR:  55000: the attached table no longer exists
	HINT:  Attach one with SELECT update_tier.attach('workspaces').
	NOTICE:  00000: Copying data from local table...
	NOTICE:  00000: copying the data has completed
	DETAIL:  The local data in the table is no longer visible, but is still on disk.
	HINT:  To remove the local data, run: SELECT truncate_local_data_after_distributing_table($$public.workspaces$$)

	ERROR:  0A000: cannot attach "workspaces" with audit: Citus distributes the table
	DETAIL:  The trigger that records changes would run on the shards of the table, and record nothing.
	HINT:  Pass audit => false. Changes by set_update_tier() are recorded without the trigger.

	production
	t|set_update_tier
	canary|3
	production|7
}, 'a reference table');

# A table that is created again has another OID.
database('again');
shows('again', q{
	SET client_min_messages = 'warning';
	CREATE TABLE workspaces (id uuid PRIMARY KEY, status text NOT NULL DEFAULT 'active');
	INSERT INTO workspaces SELECT w(n), CASE n WHEN 1 THEN 'removed' ELSE 'active' END FROM generate_series(1, 10) AS n;
	SELECT create_distributed_table('workspaces', 'id');
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => false);
	SELECT update_tier.start('p', '1'), update_tier.promote('p', '1', 'seen elsewhere');
	SELECT count(*) FROM update_tier.claim_batch('p', max_claims => 3);
	SELECT undistribute_table('workspaces');
	SELECT count(*) FROM update_tier.claim_batch('p');
	SET client_min_messages = 'notice';
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.installation WHERE state = 'claimed';
	SET client_min_messages = 'warning';
	SELECT create_distributed_table('workspaces', 'id', shard_count => 6);
	SELECT count(*) FROM update_tier.claim_batch('p');
	SELECT alter_distributed_table('workspaces', shard_count => 3);
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT workspaces, live_when FROM update_tier.attached;
	SELECT * FROM update_tier.counts();
	SELECT undistribute_table('workspaces');
	ALTER TABLE workspaces RENAME COLUMN status TO state;
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT update_tier.detach();
	SELECT update_tier.attach('workspaces');
	SELECT workspaces, live_when FROM update_tier.attached;
}, q{


	canary|promoted
	3

	ERROR:  55000: the attached table no longer exists
	HINT:  Attach one with SELECT update_tier.attach('workspaces').
	NOTICE:  00000: condition "live_when" is kept: (status <> 'removed'::text)
	DETAIL:  It is the condition of the table that was attached before and no longer exists.
	HINT:  To remove the condition, call update_tier.attach again without live_when.

	3

	6


	workspaces|(status <> 'removed'::text)
	canary|0
	production|9

	ERROR:  42703: column "status" does not exist
	LINE 1: SELECT WHERE (status <> 'removed'::text)
	                      ^
	HINT:  Perhaps you meant to reference the column "workspaces.state".
	QUERY:  SELECT WHERE (status <> 'removed'::text)


	workspaces|
}, 'undistributed and distributed again');

# Rights: attach uses the owner's connections to the workers, also for the index.
database('owners');
$node->safe_psql('owners', q{
	CREATE ROLE regress_owner LOGIN;
	CREATE ROLE regress_applier LOGIN;
	CREATE ROLE regress_flipper LOGIN;
	CREATE ROLE regress_nobody;
	GRANT CREATE, USAGE ON SCHEMA public TO regress_owner, regress_nobody;
	GRANT EXECUTE ON FUNCTION update_tier.claim_batch, update_tier.claim, update_tier.report, update_tier.start TO regress_applier;
});
shows('owners', q{
	SET ROLE regress_owner;
	CREATE TABLE workspaces (id uuid PRIMARY KEY, status text NOT NULL DEFAULT 'active');
	SELECT create_distributed_table('workspaces', 'id');
	INSERT INTO workspaces SELECT w(n), 'active' FROM generate_series(1, 10) AS n;
	RESET ROLE;
	GRANT SELECT, UPDATE ON workspaces TO regress_flipper;
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => false);
	SELECT * FROM on_shards();
	SELECT update_tier.detach();
	SELECT * FROM on_shards();
	SET ROLE regress_owner;
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => false);
	SELECT * FROM on_shards();
	SET ROLE regress_applier;
	SELECT update_tier.start('p', '1');
	SELECT workspace_tier(w(1));
	SELECT set_update_tier(w(1), 'canary');
	SET ROLE regress_flipper;
	SELECT set_update_tier(w(1), 'canary'), set_update_tier(w(2), 'canary');
	SELECT set_update_tier(w(2), 'production');
	SELECT set_update_tier(w(1), 'production');
	SELECT set_update_tier(w(1), 'canary');
	RESET ROLE;
	SELECT actor, old_tier, new_tier FROM update_tier.tier_change ORDER BY id;
	SET ROLE regress_applier;
	SELECT workspace = w(1), tier FROM update_tier.claim_batch('p');
	SELECT update_tier.report(1, 'succeeded');
}, q{


	update_tier not null, default 'production'::text, index btree (id) WHERE (((update_tier)::text = 'canary'::text) AND (status <> 'removed'::text)), checks 0

	text not null, default 'production'::text, index btree (update_tier) WHERE (update_tier = 'canary'::text), checks 1

	update_tier not null, default 'production'::text, index btree (id) WHERE (((update_tier)::text = 'canary'::text) AND (status <> 'removed'::text)), checks 0
	canary
	ERROR:  42501: permission denied for table workspaces
	ERROR:  42501: permission denied for table workspaces
	production|production
	canary
	NOTICE:  00000: no canary workspaces are left
	DETAIL:  Workspace c4ca4238-a0b9-2382-0dcc-509a6f75849b was the last one. A version that needs a canary success waits until there is a canary.
	HINT:  Make another workspace a canary with set_update_tier.
	canary
	production
	regress_flipper|production|canary
	regress_flipper|production|canary
	regress_flipper|canary|production
	regress_flipper|canary|production
	regress_flipper|production|canary
	t|canary
	soaking
}, 'a superuser attaches the table of another role, and so does the owner');
shows('owners', q{
	BEGIN;
	SET LOCAL ROLE regress_flipper;
	SELECT set_update_tier(w(3), 'canary');
	RESET ROLE;
	SELECT count(*) FROM update_tier.claim_batch('p');
	ROLLBACK;
	ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
	SELECT update_tier.start('q', '1'), update_tier.start('r', '1');
	SELECT count(*) FROM update_tier.claim_batch('q');
	ALTER TABLE workspaces FORCE ROW LEVEL SECURITY;
	SELECT count(*) FROM update_tier.claim_batch('q');
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => false);
	ALTER TABLE workspaces NO FORCE ROW LEVEL SECURITY;
	SELECT count(*) FROM update_tier.claim_batch('r');
	ALTER TABLE workspaces OWNER TO regress_nobody;
	SELECT count(*) FROM update_tier.claim_batch('q');
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => false);
	ALTER ROLE regress_nobody LOGIN;
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => false);
	SELECT * FROM update_tier.counts();
}, q{
	production
	ERROR:  25001: cannot perform query on placements that were modified in this transaction by a different user
	canary|canary
	1
	ERROR:  0A000: distributed table public.workspaces cannot be read as its owner, "regress_owner"
	DETAIL:  With FORCE ROW LEVEL SECURITY its policies would hide rows from the owner on the nodes of Citus.
	HINT:  Use ALTER TABLE public.workspaces NO FORCE ROW LEVEL SECURITY.
	ERROR:  0A000: distributed table public.workspaces cannot be read as its owner, "regress_owner"
	DETAIL:  With FORCE ROW LEVEL SECURITY its policies would hide rows from the owner on the nodes of Citus.
	HINT:  Use ALTER TABLE public.workspaces NO FORCE ROW LEVEL SECURITY.
	1
	ERROR:  0A000: distributed table public.workspaces cannot be read as its owner, "regress_nobody"
	DETAIL:  Citus would open connections to its nodes as this role, which is not permitted to log in.
	HINT:  Use ALTER ROLE regress_nobody LOGIN.
	ERROR:  0A000: distributed table public.workspaces cannot be read as its owner, "regress_nobody"
	DETAIL:  Citus would open connections to its nodes as this role, which is not permitted to log in.
	HINT:  Use ALTER ROLE regress_nobody LOGIN.

	canary|1
	production|9
}, 'an owner as whom the shards cannot be read');

# The block of doc/citus.md.
$citus->database('page');
my ($block) = slurp_file("$FindBin::Bin/../../doc/citus.md") =~ /^## Attach\n+```sql\n(.*?)^```/ms;
shows('page', q{
	SET client_min_messages = 'warning';
	CREATE TABLE workspaces (id uuid PRIMARY KEY, status text NOT NULL);
	INSERT INTO workspaces SELECT md5(n::text)::uuid, CASE n WHEN 1 THEN 'removed' ELSE 'active' END FROM generate_series(1, 10) AS n;
} . $block . q{
	SELECT * FROM update_tier.counts();
	SELECT partmethod FROM pg_dist_partition WHERE logicalrelid = 'workspaces'::regclass;
}, q{


	canary|0
	production|9
	h
}, 'the block of the page');

# attach rewrites the shards of a table that is distributed already, and no table before that.
database('files');
shows('files', q{
	SET client_min_messages = 'warning';
	CREATE TABLE workspaces (id uuid PRIMARY KEY);
	SELECT pg_relation_filenode('workspaces') AS file \gset
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT pg_relation_filenode('workspaces') = :file;
	SELECT update_tier.detach();
	ALTER TABLE workspaces DROP COLUMN update_tier;
	SELECT create_distributed_table('workspaces', 'id');
	SELECT string_agg(result, ',' ORDER BY shardid) AS files FROM run_command_on_shards('workspaces', $$SELECT pg_relation_filenode('%s')$$) \gset
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT string_agg(result, ',' ORDER BY shardid) = :'files' FROM run_command_on_shards('workspaces', $$SELECT pg_relation_filenode('%s')$$);
}, q{

	t



	f
}, 'attached before and after it is distributed');

# A reference table, and a local one that Citus manages: both count as distributed, and
# the coordinator reads its own copy.
for my $kind (q{create_reference_table('workspaces')}, q{citus_add_local_table_to_metadata('workspaces')})
{
	my ($name) = $kind =~ /^(\w+)/;
	database($name);
	shows($name, qq{
		SET client_min_messages = 'warning';
		CREATE TABLE workspaces (id uuid PRIMARY KEY);
		INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 10) AS n;
		SELECT $kind;
		SELECT update_tier.attach('workspaces');
		SELECT update_tier.attach('workspaces', audit => false);
		SELECT update_tier.start('p', '1');
		SELECT waits_for FROM update_tier.status;
		SELECT set_update_tier(w(1), 'canary');
		SELECT count(*) FROM workspaces WHERE update_tier.allows('p', '1', id);
		GRANT SELECT, UPDATE ON workspaces TO regress_flipper;
		BEGIN;
		SET LOCAL ROLE regress_flipper;
		SELECT set_update_tier(w(3), 'canary');
		RESET ROLE;
		SELECT count(*) FROM update_tier.claim_batch('p');
		ROLLBACK;
		SELECT update_tier.claim('p', '1', w(1)) IS NOT NULL;
		DELETE FROM workspaces;
		SELECT update_tier.report(token, 'failed') FROM update_tier.installation;
	} =~ s/^\t//mgr, q{

		ERROR:  0A000: cannot attach "workspaces" with audit: Citus distributes the table
		DETAIL:  The trigger that records changes would run on the shards of the table, and record nothing.
		HINT:  Pass audit => false. Changes by set_update_tier() are recorded without the trigger.

		canary
		needs 1 of 1 canary successes
		production
		1
		production
		2
		t
		halted
	} =~ s/^\t//mgr =~ s/\t\z//r, $kind);
}

# A table that is attached, and that Citus makes a shard of another one.
database('managed');
shows('managed', q{
	SET client_min_messages = 'warning';
	CREATE TABLE workspaces (id uuid PRIMARY KEY, status text NOT NULL DEFAULT 'active');
	INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 10) AS n;
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => false);
	CREATE TABLE places (id uuid PRIMARY KEY);
	ALTER TABLE workspaces ADD COLUMN place uuid REFERENCES places;
	SELECT create_reference_table('places');
	SELECT regexp_replace(workspaces::text, '\d+', 'N') FROM update_tier.attached;
	SELECT update_tier.start('p', '1'), set_update_tier(w(1), 'canary');
	SELECT count(*) FROM update_tier.claim_batch('p');
	SELECT update_tier.attach('workspaces', audit => false);
	SELECT workspaces, live_when FROM update_tier.attached;
	SELECT * FROM update_tier.counts();
}, q{


	workspaces_N
	canary|production
	1

	workspaces|(status <> 'removed'::text)
	canary|1
	production|9
}, 'a table that Citus manages after it was attached');

# The install script does not attach a distributed table, on any node.
$citus->database('install');
shows('install', q{
	CREATE TABLE workspaces (id uuid PRIMARY KEY);
	SELECT create_distributed_table('workspaces', 'id');
	CREATE EXTENSION update_tier;
	SELECT count(*) FROM update_tier.attached;
	SELECT result FROM run_command_on_workers('SELECT count(*) FROM update_tier.attached');
	SELECT result FROM run_command_on_workers($$SELECT count(*) FROM pg_attribute WHERE attrelid = 'workspaces'::regclass AND attname = 'update_tier'$$);
	DROP EXTENSION update_tier;
	SELECT result FROM run_command_on_workers($$SELECT count(*) FROM pg_extension WHERE extname = 'update_tier'$$);
}, q{

	NOTICE:  00000: table "workspaces" is not attached
	DETAIL:  Citus distributes the table, and would run this script on the workers, too.
	HINT:  Attach it with SELECT update_tier.attach('workspaces', audit => false).
	0
	0
	0
	0
	0
	0
	0
}, 'CREATE EXTENSION where the table is distributed already');

$_->stop for $citus->worker(0), $citus->worker(1), $node;
done_testing();
