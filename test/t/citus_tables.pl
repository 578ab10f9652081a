# A workspaces table of every kind that Citus has, against a plain table: the same calls
# get the same answers.  A TAP test because it needs four servers.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Citus;
use PostgreSQL::Test::Utils;
use Test::More;

my $plain = Citus->plain;
my $citus = Citus->distributed;

my $table = q{
	SET client_min_messages = 'warning';
	CREATE TABLE workspaces (id uuid PRIMARY KEY, status text NOT NULL DEFAULT 'active', name text);
	INSERT INTO workspaces SELECT md5(n::text)::uuid, CASE n % 10 WHEN 0 THEN 'removed' ELSE 'active' END, 'workspace ' || n
	  FROM generate_series(1, 300) AS n;
};
my $attach = q{
	SET client_min_messages = 'warning';
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => :audit);
};
my $extension = q{SET client_min_messages = 'warning'; CREATE EXTENSION update_tier;};
sub distribute { return "SET client_min_messages = 'warning'; SELECT $_[0];"; }

# Calls of all functions.  The output must not depend on the time.
my $calls = q{
	SET TimeZone = 'UTC';
	CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT md5(n::text)::uuid$$;
	CREATE FUNCTION run(p text, v text, n integer, outcome text DEFAULT 'succeeded') RETURNS text LANGUAGE sql AS
	$$SELECT update_tier.report(update_tier.claim(p, v, w(n)), outcome)$$;
	SELECT update_tier.set_policy(retry_delay => '1 hour', max_in_flight => 12);

	\echo tiers
	SELECT update_tier.explain('a', '1', w(1));
	SELECT update_tier.start('a', '1'), update_tier.explain('a', '1', w(1));
	SELECT set_update_tier(w(1), 'canary');
	SELECT set_update_tier(w(1), 'production');
	SELECT n, set_update_tier(w(n), 'canary') FROM generate_series(1, 6) AS n;
	SELECT set_update_tier(w(10), 'canary');
	SELECT set_update_tier(w(1), 'canary'), set_update_tier(w(1), 'canary', 'canary');
	SELECT set_update_tier(w(2), 'production', 'production');
	SELECT set_update_tier(w(2), 'beta');
	SELECT set_update_tier(w(1000), 'canary');
	SELECT set_update_tier(NULL, 'canary');
	UPDATE workspaces SET update_tier = 'beta' WHERE id = w(1);
	SELECT workspace_tier(w(1)), workspace_tier(w(10)), workspace_tier(w(11)), workspace_tier(w(1000));
	SELECT actor, workspace, old_tier, new_tier, path FROM update_tier.tier_change ORDER BY id;

	\echo lists
	SELECT * FROM canary_workspaces();
	SELECT count(*), md5(string_agg(id::text, ',')) FROM production_workspaces() AS id;
	SELECT * FROM workspaces_in_tier('production', max_rows => 3);
	SELECT * FROM workspaces_in_tier('production', '80000000-0000-0000-0000-000000000000', 3);
	SELECT * FROM workspaces_in_tier('canary', w(1));
	SELECT * FROM update_tier.counts();

	\echo canaries
	SELECT n, update_tier.explain('a', '1', w(n)), update_tier.allows('a', '1', w(n)), update_tier.wanted_version('a', w(n))
	  FROM unnest(ARRAY[1, 2, 10, 11, 1000]) AS n;
	SELECT workspace, version, tier, attempt, token FROM update_tier.claim_batch('a');
	SELECT workspace FROM update_tier.claim_batch('a');
	SELECT update_tier.report(token, 'succeeded') FROM update_tier.installation ORDER BY token LIMIT 4;
	SELECT update_tier.report(5, 'skipped', detail => 'offline'), update_tier.report(6, 'error');
	SELECT package, version, phase, canary_succeeded, canary_failed, canary_in_flight FROM update_tier.status;
	SELECT update_tier.is_open('a', '1', 'canary'), update_tier.is_open('a', '1', 'production');
	SELECT update_tier.set_policy('a', soak => '0', apply_to_running => true);
	SELECT update_tier.is_open('a', '1', 'production'), update_tier.promoted_version('a');

	\echo production
	SELECT workspace, version, tier, attempt, token FROM update_tier.claim_batch('a', '1', 5);
	SELECT workspace, version, tier, attempt, token FROM update_tier.claim_batch('a');
	SELECT workspace FROM update_tier.claim_batch('a');
	SELECT update_tier.explain('a', '1', w(12));
	SELECT update_tier.report(token, 'succeeded') FROM update_tier.installation WHERE state = 'claimed' ORDER BY token;
	SELECT workspace, version, tier, attempt, token
	  FROM update_tier.claim_batch('a', NULL, 4, ARRAY[w(20), w(21), w(1000), w(22), w(1), w(23), w(24), w(25)]);
	SELECT update_tier.claim('a', '1', w(30)), update_tier.claim('a', '1', w(1)), update_tier.claim('a', '1', w(1000));
	SELECT update_tier.claim('a', '1', w(31)) IS NOT NULL AS claimed;
	SELECT update_tier.force('a', '1', w(32), 'asked for') IS NOT NULL AS forced;
	SELECT update_tier.force('a', '1', w(30), 'asked for');
	SELECT update_tier.observe('a', '1', w(33)), update_tier.observe('a', 'by hand', w(34)), update_tier.observe('b', '1', w(33));
	SELECT update_tier.observe('a', '1', w(1000));
	SELECT update_tier.forget('a', w(33), 'restored'), update_tier.forget('a', w(35), 'restored');
	SELECT * FROM update_tier.progress('a', '1');

	\echo the whole fleet
	SELECT update_tier.set_policy('a', max_in_flight => 1000, apply_to_running => true);
	SELECT count(*), md5(string_agg(workspace::text || tier, ',')) FROM update_tier.claim_batch('a', NULL, 1000);
	SELECT count(*) FROM update_tier.claim_batch('a', NULL, 1000);
	SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.installation WHERE state = 'claimed';
	SELECT * FROM update_tier.progress('a', '1');
	SELECT package, version, phase, canary_succeeded, production_succeeded, production_in_flight, swept_at IS NOT NULL AS swept
	  FROM update_tier.status;

	\echo a bad version, and back
	SELECT update_tier.start('a', '2');
	SELECT run('a', '2', 1), run('a', '2', 2, 'failed');
	SELECT package, version, phase, reason FROM update_tier.status ORDER BY version;
	SELECT update_tier.explain('a', '1', w(1)), update_tier.explain('a', '2', w(3)), update_tier.wanted_version('a', w(1));
	SELECT update_tier.resume('a', '2', 'looked at'), run('a', '2', 4);
	SELECT update_tier.abort('a', '2', 'bad');
	SELECT n, update_tier.wanted_version('a', w(n)), update_tier.explain('a', '1', w(n)) FROM generate_series(1, 4) AS n;
	SELECT workspace, version, tier, attempt FROM update_tier.claim_batch('a');
	SELECT update_tier.report(token, 'succeeded') FROM update_tier.installation WHERE state = 'claimed' ORDER BY token;
	SELECT workspace, version, state FROM update_tier.installed WHERE package = 'a' AND version IS DISTINCT FROM '1' ORDER BY workspace;

	\echo frozen, ramping
	SELECT update_tier.freeze('a', '2100-01-01 00:00:00+00', 'holidays'), update_tier.explain('a', '1', w(44));
	SELECT count(*) FROM update_tier.claim_batch('a');
	SELECT update_tier.thaw('a');
	SELECT update_tier.set_policy('c', ramp => '100 years');
	SELECT update_tier.start('c', '1'), update_tier.promote('c', '1', 'seen elsewhere');
	SELECT tier, count(*) FROM update_tier.claim_batch('c') GROUP BY tier ORDER BY tier;

	\echo workspaces that go
	UPDATE workspaces SET status = 'removed' WHERE id IN (w(3), w(41));
	DELETE FROM workspaces WHERE id = w(42);
	SELECT n, update_tier.explain('a', '1', w(n)) FROM unnest(ARRAY[3, 41, 42]) AS n;
	SELECT * FROM update_tier.counts();
	SELECT update_tier.start('d', '1'), update_tier.promote('d', '1', 'seen elsewhere');
	SELECT count(*) FROM update_tier.claim_batch('d', NULL, 10, ARRAY[w(3), w(41), w(42), w(43)]);
	UPDATE update_tier.installation SET changed_at = changed_at - interval '1 day', runs_since = runs_since - interval '1 day' WHERE workspace IN (w(41), w(42));
	SELECT update_tier.prune('1 hour');
	SELECT count(*) FROM update_tier.installed WHERE workspace IN (w(41), w(42));

	\echo transactions
	BEGIN;
	SELECT set_update_tier(w(51), 'canary');
	SELECT workspace_tier(w(51)), update_tier.explain('a', '1', w(51));
	ROLLBACK;
	SELECT workspace_tier(w(51));
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT update_tier.is_open('a', '1', 'canary'), count(*) FROM canary_workspaces();
	COMMIT;

	\echo attach again
	SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, audit => :audit);
	SELECT update_tier.attach('workspaces', $$status <> 'removed' AND name <> 'workspace 1'$$, audit => :audit);
	SELECT live_when FROM update_tier.attached;
	SELECT * FROM canary_workspaces();
	SELECT conname, contypid::regtype FROM pg_constraint WHERE conname = 'canary_or_production';
	SELECT kind, count(*) FROM update_tier.event GROUP BY kind ORDER BY kind;

	\echo detached, and attached again
	SELECT update_tier.detach();
	SELECT update_tier, count(*) FROM workspaces GROUP BY update_tier ORDER BY update_tier;
	INSERT INTO workspaces (id) VALUES (w(301));
	SELECT * FROM canary_workspaces();
	SELECT update_tier.attach('workspaces', audit => :audit);
	SELECT update_tier, count(*) FROM workspaces GROUP BY update_tier ORDER BY update_tier;
	SELECT set_update_tier(w(301), 'canary');
	SELECT count(*) FROM canary_workspaces();
};

sub answers
{
	my ($where, $name, $audit, @setup) = @_;
	$where->database($name);
	unlike($where->prints($name, $_, audit => $audit), qr/ERROR|WARNING/, "$name: set up") for @setup;
	return $where->prints($name, $calls, audit => $audit);
}

# In an ordinary table the trigger records changes of set_update_tier(); in other tables
# set_update_tier() records them itself.
my $expected = answers($plain, 'plain', 'true', $table, $extension, $attach);
note $expected;
like($expected, $_, "there is something to compare: $_")
  for qr/no canary workspaces are left/, qr/open to canary/, qr/23514: /, qr/P0002: /, qr/55000: /, qr/has version 2, which is halted/, qr/open to canary, rollback from version 2/;
unlike($expected, qr/ERROR: +(42|22P)/, 'and no mistake in it');

my %kinds = (
	local_table => [ $table, $extension, $attach ],
	# As Citus does by itself with a local table that a foreign key relates to a reference table.
	managed_before => [ $table, distribute("citus_add_local_table_to_metadata('workspaces')"), $extension, $attach ],
	# Citus makes the table a shard of a new one: attach() takes the new one in its place.
	managed_after => [ $table, $extension, $attach, distribute("citus_add_local_table_to_metadata('workspaces')"), $attach ],
	reference_before => [ $table, distribute("create_reference_table('workspaces')"), $extension, $attach ],
	reference_after => [ $table, $extension, $attach, distribute("create_reference_table('workspaces')") ],
	extension_first => [ $extension, $table, distribute("create_distributed_table('workspaces', 'id', shard_count => 4)"), $attach ],
	shards_4_before => [ $table, distribute("create_distributed_table('workspaces', 'id', shard_count => 4)"), $extension, $attach ],
	shards_4_after => [ $table, $extension, $attach, distribute("create_distributed_table('workspaces', 'id', shard_count => 4)") ],
	shards_32_before => [ $table, distribute("create_distributed_table('workspaces', 'id', shard_count => 32)"), $extension, $attach ],
	shards_32_after => [ $table, $extension, $attach, distribute("create_distributed_table('workspaces', 'id', shard_count => 32)") ],
	one_shard => [ $table, distribute("create_distributed_table('workspaces', NULL)"), $extension, $attach ],
	distributed_again => [
		$table, distribute("create_distributed_table('workspaces', 'id', shard_count => 4)"), $extension, $attach,
		distribute("undistribute_table('workspaces')"), distribute("create_distributed_table('workspaces', 'id', shard_count => 8)"), $attach ]);
for my $kind (sort keys %kinds)
{
	is(answers($citus, $kind, $kind eq 'local_table' ? 'true' : 'false', @{ $kinds{$kind} }), $expected, "$kind: the answers of a plain table");
}

# Until then the shard is attached.  detach() must not change it, as Citus would not know.
$citus->database('shard');
$citus->prints('shard', $_, audit => 'false') for @{ $kinds{managed_after} }[ 0 .. 3 ];
like($citus->prints('shard', 'SELECT update_tier.detach()'),
	qr/\AERROR:  55000: cannot detach "workspaces_\d+".*\nHINT: .* SELECT update_tier\.attach\('public\.workspaces', audit => false\)\.\n\z/, 'detach() of a shard is refused');
like($citus->prints('shard', 'SELECT workspaces FROM update_tier.attached'), qr/\Aworkspaces_\d+\n\z/, 'and the shard stays attached');

$plain->coordinator->stop;
$citus->coordinator->stop;
done_testing();
