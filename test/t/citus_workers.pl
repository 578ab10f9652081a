# A worker of Citus is stopped, and a worker does not answer: reports, verbs and the view
# status go on, no session waits while it holds the lock of a package, and nothing is lost.
# A TAP test because it needs three servers.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Citus;
use IPC::Run qw(start finish timeout);
use PostgreSQL::Test::Utils;
use Test::More;

my $citus = Citus->distributed;
my $node = $citus->coordinator;
$citus->database('fleet');

# place: on which worker each workspace is.
$node->safe_psql('fleet', q{
	SET client_min_messages = 'warning';
	CREATE EXTENSION update_tier;
	CREATE TABLE workspaces (id uuid PRIMARY KEY);
	SELECT create_distributed_table('workspaces', 'id', shard_count => 4);
	SELECT update_tier.attach('workspaces', audit => false);
	CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT md5(n::text)::uuid$$;
	INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 400) AS n;
	SELECT set_update_tier(w(n), 'canary') FROM generate_series(1, 10) AS n;
	CREATE TABLE place AS
	SELECT n, w(n) AS id, dense_rank() OVER (ORDER BY nodename, nodeport) AS worker
	  FROM generate_series(1, 400) AS n, citus_shards
	 WHERE shardid = get_shard_id_for_distribution_column('workspaces', w(n));
	CREATE FUNCTION on_worker(k integer, skip integer, n integer) RETURNS uuid[] LANGUAGE sql AS
	$$SELECT ARRAY(SELECT id FROM place WHERE worker = k AND place.n > 10 ORDER BY place.n OFFSET skip LIMIT $3)$$;
	SELECT update_tier.set_policy(max_in_flight => 100, max_failures => 1000, retry_delay => '0');
});
# The numbers that the two workers have in the table "place": 1 or 2.
my $second = $node->safe_psql('fleet', q{
	SELECT rank FROM (SELECT nodename || ':' || nodeport AS node, dense_rank() OVER (ORDER BY nodename, nodeport) AS rank
	                    FROM pg_dist_node WHERE groupid > 0) AS n WHERE node = '} . $citus->worker(1)->host . ':' . $citus->worker(1)->port . q{'});
my $first = 3 - $second;

# Leases on both workers: of a version in canary, of a promoted version, and of a version
# whose last attempts expire at once.
sub leases
{
	my ($suffix) = @_;
	$node->safe_psql('fleet', qq{
		SELECT update_tier.start('canary$suffix', '1');
		SELECT update_tier.claim_batch('canary$suffix', max_claims => 8);
		SELECT update_tier.start('promoted$suffix', '1'), update_tier.promote('promoted$suffix', '1', 'seen elsewhere');
		SELECT update_tier.claim_batch('promoted$suffix', '1', 100, on_worker(1, 0, 20) || on_worker(2, 0, 20));
		SELECT update_tier.set_policy('expired$suffix', lease => '1 microsecond', max_attempts => 1);
		SELECT update_tier.start('expired$suffix', '1'), update_tier.promote('expired$suffix', '1', 'seen elsewhere');
		SELECT update_tier.claim_batch('expired$suffix', '1', 100, on_worker(1, 0, 5) || on_worker(2, 0, 5))});
	is($node->safe_psql('fleet', qq{SELECT package, count(*) FROM update_tier.installed WHERE package LIKE '%$suffix' GROUP BY 1 ORDER BY 1}),
		"canary$suffix|8\nexpired$suffix|10\npromoted$suffix|40", 'there are leases on both workers');
}

# goes_on: the statement, in a session of its own, must end soon with this result.
sub goes_on
{
	my ($sql, $expected, $what) = @_;
	my ($timed_out, $out, $err);
	$node->psql('fleet', $sql, stdout => \$out, stderr => \$err, timeout => 60, timed_out => \$timed_out);
	ok(!$timed_out, "$what: it does not wait");
	is("$out$err", $expected, $what);
}

sub reports_verbs_and_status_go_on
{
	my ($suffix) = @_;
	# The outcomes in turn, over both workers, with a statement each.
	my @tokens = split /\n/, $node->safe_psql('fleet',
		qq{SELECT token FROM update_tier.installed AS i JOIN place USING (id) WHERE package = 'promoted$suffix' ORDER BY worker, n}
		  =~ s/USING \(id\)/ON id = workspace/r);
	my @outcomes = ('succeeded', 'failed', 'error', 'skipped');
	my $sql = join '', map { "SELECT update_tier.report($tokens[$_], '$outcomes[$_ % 4]');\n" } 0 .. $#tokens;
	goes_on($sql, join("\n", ('promoted') x 40), 'reports for both workers');
	goes_on(qq{SELECT DISTINCT update_tier.report(token, 'succeeded') FROM update_tier.installation WHERE token IN
		(SELECT token FROM update_tier.installed WHERE package = 'canary$suffix' ORDER BY token LIMIT 6)}, 'soaking', 'reports of canaries');
	goes_on(qq{SELECT package, phase, canary_succeeded, production_succeeded, production_failed, production_in_flight, waits_for LIKE 'soaking until %'
		  FROM update_tier.status WHERE package LIKE '%$suffix' ORDER BY package},
		"canary$suffix|soaking|6|0|0|0|t\nexpired$suffix|promoted|0|0|10|0|\npromoted$suffix|promoted|0|10|10|0|",
		'the view status, with leases of last attempts that have expired');
	goes_on(qq{SELECT update_tier.is_open('promoted$suffix', '1', 'production'), update_tier.is_open('expired$suffix', '1', 'canary'), update_tier.promoted_version('expired$suffix')},
		't|t|1', 'gates of whole tiers');
	goes_on(qq{SELECT state, count(*) FROM update_tier.installed WHERE package = 'promoted$suffix' GROUP BY 1 ORDER BY 1},
		"error|10\nfailed|10\nskipped|10\nsucceeded|10", 'what is installed');
	goes_on(qq{SELECT update_tier.start('verbs$suffix', '1'), waits_for FROM update_tier.status WHERE package = 'canary$suffix'} =~ s/, waits_for.*//sr, 'canary', 'start');
	goes_on(qq{SELECT waits_for FROM update_tier.status WHERE package = 'verbs$suffix'}, 'needs 1 of 1 canary successes', 'status of a rollout in canary');
	goes_on(qq{SELECT update_tier.$_->[0]('$_->[1]$suffix', '1', 'said so')}, $_->[2], "$_->[0] of $_->[1]")
	  for [ 'halt', 'verbs', 'halted' ], [ 'resume', 'verbs', 'canary' ], [ 'abort', 'verbs', 'aborted' ], [ 'retry', 'verbs', 'canary' ],
	  [ 'promote', 'verbs', 'promoted' ], [ 'halt', 'expired', 'halted' ], [ 'resume', 'expired', 'canary' ], [ 'halt', 'promoted', 'halted' ];
	goes_on(qq{SELECT update_tier.freeze('verbs$suffix'), update_tier.thaw('verbs$suffix'), update_tier.set_policy('verbs$suffix', soak => '1 hour', apply_to_running => true)},
		'||', 'freeze, thaw and set_policy');
}

# --- A worker that is stopped.
leases('_s');
my $session = $node->background_psql('fleet', on_error_stop => 0);
$session->query('SELECT count(*) FROM canary_workspaces()');
$citus->worker(1)->stop('immediate');

goes_on(qq{SELECT count(*) FROM update_tier.claim_batch('verbs_s', NULL, 5)}, '0', 'a package that is unknown');
reports_verbs_and_status_go_on('_s');
for my $call ("claim_batch('canary_s')", "claim('canary_s', '1', (SELECT id FROM place WHERE worker = $second LIMIT 1))")
{
	my ($code, $out, $err) = $node->psql('fleet', "SELECT update_tier.$call");
	like($err, qr/connection to the remote node .* failed/, "an error: $call");
	is($out, '', 'and no lease');
}
is($node->safe_psql('fleet', q{SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND classid = 'update_tier.package'::regclass}), '0', 'no lock is left');
# Workspaces on the other worker can be claimed and reported.
goes_on(qq{SELECT count(*) FROM update_tier.claim_batch('verbs_s', '1', 5, on_worker($first, 30, 5))}, '5', 'candidates on the other worker');
goes_on(qq{SELECT update_tier.claim('verbs_s', '1', (on_worker($first, 40, 1))[1]) IS NOT NULL}, 't', 'and a claim of one');
$citus->worker(1)->start;
is($node->safe_psql('fleet', q{SELECT count(*) FROM update_tier.claim_batch('verbs_s')}), '25', 'claims go on when the worker is back');
is($session->query('SELECT count(*) FROM canary_workspaces()'), '10', 'so does a session from before');
$session->quit;

# --- A worker that does not answer.
leases('_h');
$node->safe_psql('fleet', q{SELECT update_tier.start('waits', '1'), update_tier.promote('waits', '1', 'seen elsewhere');
	SELECT update_tier.claim_batch('waits', '1', 3);
	SELECT update_tier.start('asks', '1'), update_tier.promote('asks', '1', 'seen elsewhere')});
my $claims = $node->background_psql('fleet', on_error_stop => 0);
$claims->query('SELECT count(*) FROM canary_workspaces()');
$citus->signal_worker(1, 'STOP');

# Calls wait for the worker, and do not hold the lock of a package: each with what it
# answers in the end.
my @calls = (
	[ q{count(*) FROM update_tier.claim_batch('waits')}, '0' ],
	[ "update_tier.claim('asks', '1', (on_worker($second, 50, 1))[1]) IS NOT NULL", 't' ],
	[ "update_tier.force('asks', '1', (on_worker($second, 51, 1))[1], 'asked for') IS NOT NULL", 't' ],
	[ "update_tier.observe('asks', '1', (on_worker($second, 52, 1))[1])", 'promoted' ],
	[ "update_tier.allows('asks', '1', (on_worker($second, 53, 1))[1])", 't' ],
	[ "update_tier.explain('asks', '1', (on_worker($second, 53, 1))[1])", 'open to production' ],
	[ "update_tier.wanted_version('asks', (on_worker($second, 53, 1))[1])", '1' ]);
for my $call (@calls)
{
	my ($out, $err) = ('', '');
	@$call[ 2 .. 4 ] = (\$out, \$err, start([ $node->installed_command('psql'), '-X', '-q', '-At', '-d', $node->connstr('fleet'),
		'-c', q{SET application_name = 'waiting'}, '-c', "SELECT $call->[0]" ], '>', \$out, '2>', \$err));
}
my $count = @calls;
ok($node->poll_query_until('fleet', qq{SELECT count(*) = $count FROM pg_stat_activity WHERE application_name = 'waiting' AND query LIKE '%update_tier.%' AND state = 'active'}),
	'calls wait for the worker');
my $held = q{SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'waiting' AND locktype = 'object'
	AND classid = 'update_tier.package'::regclass AND objsubid = 0 AND granted};
is($node->safe_psql('fleet', $held), '0', 'they have not locked a package');
goes_on(q{SELECT update_tier.freeze('asks'), update_tier.thaw('asks')}, '|', 'verbs of their package do not wait for them');
reports_verbs_and_status_go_on('_h');
goes_on(q{SELECT DISTINCT update_tier.report(token, 'succeeded') FROM update_tier.installed WHERE package = 'waits'}, 'promoted', 'reports of the package that is searched');
goes_on(q{SELECT update_tier.halt('waits', '1', 'bad')}, 'halted', 'halt of the package that is searched');
is($node->safe_psql('fleet', $held), '0', 'still nothing is locked');
is($node->safe_psql('fleet', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waiting' AND state = 'active'}), $count, 'and they still wait');
$citus->signal_worker(1, 'CONT');
# The batch is granted nothing, as its version was halted meanwhile.
for my $call (@calls)
{
	my ($sql, $expected, $out, $err, $session) = @$call;
	finish($session);
	is($$out, "$expected\n", "in the end: $sql") or diag $$err;
}
is($claims->query('SELECT count(*) FROM canary_workspaces()'), '10', 'a session from before goes on');
$claims->quit;

# Nothing was lost: each lease was reported once, or has expired.
is($node->safe_psql('fleet', q{SELECT package, state, count(*) FROM update_tier.installed WHERE package NOT LIKE 'verbs%' AND package <> 'asks' GROUP BY 1, 2 ORDER BY 1, 2}), join("\n",
	map({ ("canary$_|claimed|2", "canary$_|succeeded|6") } '_h', '_s'),
	map({ ("expired$_|expired|10") } '_h', '_s'),
	map({ ("promoted$_|error|10", "promoted$_|failed|10", "promoted$_|skipped|10", "promoted$_|succeeded|10") } '_h', '_s'),
	'waits|succeeded|3'), 'nothing is lost');

$_->stop for $citus->worker(0), $citus->worker(1), $node;
done_testing();
