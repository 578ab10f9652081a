# A call that fails in the middle changes nothing: because of timeouts, cancelled
# statements, killed sessions, and a full disk, at any moment.  A TAP test because a
# script cannot name these moments: each operation is tried with a little more time,
# until it succeeds.

use strict;
use warnings;
use FindBin;
use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\nlog_statement = none\n");
$node->start;

# A fleet with the plain-SQL form of tiers, all canaries, so that there is
# something to verify and an index to build.
my $rows = 60_000;
$node->safe_psql(
	'postgres', qq{
	SET client_min_messages = 'warning';
	CREATE EXTENSION update_tier;
	CREATE TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true, update_tier text);
	INSERT INTO workspaces SELECT md5(n::text)::uuid, true, CASE n % 10 WHEN 0 THEN NULL ELSE 'canary' END FROM generate_series(1, $rows) AS n;
	ANALYZE workspaces;
});
$node->safe_psql('postgres', slurp_file("$FindBin::Bin/../audit.sql"));

# What a failure must not change: the table's definition, its data, what is
# attached, the domain, and all rows of rollouts.
my $state = q{
	SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
	  FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON adrelid = attrelid AND adnum = attnum
	 WHERE attrelid = 'workspaces'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1;
	SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
	 WHERE conrelid = 'workspaces'::regclass OR contypid = 'update_tier'::regtype ORDER BY 1;
	SELECT indexrelid::regclass, indisvalid, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'workspaces'::regclass ORDER BY 1;
	SELECT update_tier, count(*) FROM workspaces GROUP BY 1 ORDER BY 1;
	SELECT workspaces, live_when FROM update_tier.attached;
	SELECT count(*), md5(string_agg(p::text, ',' ORDER BY id)) FROM update_tier.package AS p;
	SELECT count(*), md5(string_agg(r::text, ',' ORDER BY id)) FROM update_tier.rollout AS r;
	SELECT count(*), md5(string_agg(i::text, ',' ORDER BY package_id, workspace)) FROM update_tier.installation AS i;
	SELECT count(*) FROM update_tier.uncounted;
	SELECT count(*) FROM update_tier.event;
	SELECT * FROM audit(complete => false);
};
sub state_now { return $node->safe_psql('postgres', $state); }

# Try with more and more time.  Each failure must have this message, and must have
# changed nothing.
sub try_until_done
{
	my ($name, $sql, $setting, $error) = @_;
	my ($failures, $wrong) = (0, '');
	my $before = state_now();
	for (my $ms = 1; $ms < 60_000; $ms = int($ms * 1.5) + 1)
	{
		my ($result, $out, $err) = $node->psql('postgres', "SET $setting = '${ms}ms'; $sql");
		if ($result == 0)
		{
			cmp_ok($failures, '>', 2, "$name: $failures failures on the way");
			is($wrong, '', "$name: each of them changed nothing");
			isnt(state_now(), $before, "$name: done at last");
			return;
		}
		$failures++;
		$wrong .= $err unless $err =~ $error;
		my $after = state_now();
		$wrong .= "after $ms ms: $after" if $after ne $before;
	}
	fail("$name: never done");
}

# The server does not always know what has sent the signal.
my $timeout = qr/canceling statement due to (statement timeout|user request)/;
try_until_done('attach', "SELECT update_tier.attach('workspaces', 'live')", 'statement_timeout', $timeout);
$node->safe_psql('postgres', q{
	SELECT update_tier.set_policy(max_in_flight => 100000, max_attempts => 2, max_failures => 100000, lease => '1 hour', auto_promote => false, min_successes => 100000);
	SELECT update_tier.start('p', '1')});
try_until_done('claim_batch', "SELECT count(*) FROM update_tier.claim_batch('p', '1', 5000)", 'statement_timeout', $timeout);
try_until_done('report', "SELECT count(update_tier.report(token, 'error')) FROM (SELECT token FROM update_tier.installation ORDER BY token LIMIT 500) AS t", 'statement_timeout', $timeout);
# These verbs take no time; the batch after them in the transaction does.
try_until_done('retry, and a batch', "BEGIN; SELECT update_tier.halt('p', '1'); SELECT update_tier.retry('p', '1');
	SELECT count(*) FROM update_tier.claim_batch('p', '1', 2000); COMMIT", 'statement_timeout', $timeout);
# prune deletes installations of workspaces that are not live, and then the version to
# which no installation refers.
$node->safe_psql('postgres', q{
	SET client_min_messages = error;
	SELECT count(update_tier.report(token, 'skipped')) FROM update_tier.installation WHERE state = 'claimed';
	UPDATE workspaces SET live = false WHERE id IN (SELECT workspace FROM update_tier.installation);
	SELECT update_tier.start('p', '2')});
is($node->safe_psql('postgres', 'SELECT count(*) FROM update_tier.installation'), '7000', 'there is something to prune');
try_until_done('prune', "SELECT update_tier.prune('0')", 'statement_timeout', $timeout);
is($node->safe_psql('postgres', 'SELECT count(*) FROM update_tier.installation'), '0', 'prune: no installation is left');
is($node->safe_psql('postgres', 'SELECT string_agg(version, $$ $$) FROM update_tier.rollout'), '2', 'prune: nor the version');
$node->safe_psql('postgres', 'UPDATE workspaces SET live = true');
try_until_done('detach', 'SELECT update_tier.detach()', 'statement_timeout', $timeout);

# A lock that another session holds: on the table, on the package.
sub behind_lock
{
	my ($name, $lock, $sql) = @_;
	my $before = state_now();
	my ($in, $out, $err) = ("BEGIN; $lock;\n\\echo locked\n", '', '');
	my $holder = start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);
	$holder->pump until $out =~ /locked/;
	my ($result, undef, $error) = $node->psql('postgres', "SET lock_timeout = '50ms'; $sql");
	like($error, qr/canceling statement due to lock timeout/, "$name: gives up waiting");
	$in .= "ROLLBACK;\n\\q\n";
	finish($holder);
	is(state_now(), $before, "$name: and nothing has changed");
}
behind_lock('attach behind a reader', 'SELECT 1 FROM workspaces LIMIT 1', "SELECT update_tier.attach('workspaces')");
behind_lock('attach behind another', 'LOCK update_tier.attached IN SHARE ROW EXCLUSIVE MODE', "SELECT update_tier.attach('workspaces')");
$node->safe_psql('postgres', "SELECT update_tier.attach('workspaces', 'live'); SELECT update_tier.start('p', '1')");
behind_lock('claim behind another', "SELECT update_tier.start('p', '1')", "SELECT update_tier.claim('p', '1', md5('1')::uuid)");
behind_lock('claim_batch behind another', "SELECT update_tier.start('p', '1')", "SELECT * FROM update_tier.claim_batch('p', '1')");
behind_lock('set_update_tier behind another', "UPDATE workspaces SET live = live WHERE id = md5('1')::uuid", "SELECT set_update_tier(md5('1')::uuid, 'production')");

# Cancelled and killed by another session, in the middle of a batch: while it searches the
# fleet (lock 1 of the package), and while it claims what it has found (lock 0).
for my $strike ([ 'cancel', 1 ], [ 'cancel', 0 ], [ 'terminate', 0 ])
{
	my ($how, $lock) = @$strike;
	my $before = state_now();
	my ($out, $err) = ('', '');
	my $victim = start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . ' application_name=victim', '-c',
			"SELECT count(*) FROM update_tier.claim_batch('p', '1', 50000)" ], '<', \undef, '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', qq{
		SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid)
		 WHERE application_name = 'victim' AND locktype = 'object' AND pg_locks.classid = 'update_tier.package'::regclass
		   AND pg_locks.objsubid = $lock AND mode = 'ExclusiveLock' AND granted});
	usleep(20_000) if $lock == 0;
	$node->safe_psql('postgres', "SELECT pg_${how}_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'");
	eval { finish($victim) };
	like($err, qr/canceling statement due to user request|terminating connection/, "$how, lock $lock: it was struck in the middle");
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'victim'});
	is(state_now(), $before, "$how, lock $lock: nothing has changed");
}

# The disk becomes full while the index is built.
SKIP:
{
	skip 'no small disk here', 3 unless $ENV{SMALL_DISK};
	$node->safe_psql('postgres', 'SELECT update_tier.detach()');
	$node->safe_psql('postgres', 'DROP INDEX workspaces_update_tier_canary');
	$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$ENV{SMALL_DISK}'");
	my $before = state_now();
	my ($result, $out, $err) = $node->psql('postgres', "SET default_tablespace = small; SELECT update_tier.attach('workspaces', 'live')");
	like($err, qr/could not (extend|write)/, 'the disk is full');
	is(state_now(), $before, 'full disk: nothing has changed');
	$node->safe_psql('postgres', "SELECT update_tier.attach('workspaces', 'live')");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM canary_workspaces()'), $rows * 0.9, 'elsewhere there is room');
}

$node->stop;
done_testing();
