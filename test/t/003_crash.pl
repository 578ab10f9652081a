# The postmaster is killed while clients claim and report, several times.  A TAP test
# because pg_regress cannot kill its server.
#
# Every client prints each answer that it receives from the server.  These answers must
# still be true after the crash.

use strict;
use warnings;
use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\nfsync = on\nsynchronous_commit = on\nrestart_after_crash = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
	SET client_min_messages = 'warning';
	CREATE TABLE workspaces (id uuid PRIMARY KEY);
	INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, 20000) AS n;
	CREATE EXTENSION update_tier;
	SELECT update_tier.set_policy(require_canary => false, soak => '0', max_in_flight => 40, lease => '1 hour', max_attempts => 9, retry_delay => '0');
	SELECT update_tier.start('p' || n, '1') FROM generate_series(1, 2) AS n;
});

# Start the server that was killed.  Its children end by themselves when they notice
# that; until then they use the data directory.  If no process reaps the postmaster, its
# process number seems to be in use, so the lock files are removed here.
sub restart
{
	my $deadline = time + 60;
	my $data = $node->data_dir;
	while (time < $deadline && grep { (readlink("$_/cwd") // '') eq $data } glob '/proc/[0-9]*')
	{
		usleep(50_000);
	}
	unlink "$data/postmaster.pid", glob($node->host . "/.s.PGSQL.*.lock");
	$node->start;
}

my $clients = 4;
my $rounds = 3;
my %claimed;     # token -> acknowledged
my %reported;    # token -> acknowledged

for my $round (1 .. $rounds)
{
	# A client is a psql that gets claims and reports in turns, and prints the answers.
	my @clients;
	for my $n (1 .. $clients)
	{
		my $package = 'p' . ($n % 2 + 1);
		my $script = qq{
			SELECT 'claimed ' || token AS told, token AS t FROM update_tier.claim_batch('$package', '1', 1) \\gset
			\\echo :told
			SELECT 'reported ' || :t || ' ' || update_tier.report(:t, 'succeeded') AS told \\gset
			\\echo :told
		} x 3000;
		my %client = (in => $script, out => '', err => '');
		$client{handle} = start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
			'<', \$client{in}, '>', \$client{out}, '2>', \$client{err});
		push @clients, \%client;
	}

	# Wait until every client has reported, then kill the server as a crash would.
	my $deadline = time + 60;
	until ((grep { (() = $_->{out} =~ /reported/g) > 50 } @clients) == $clients || time > $deadline)
	{
		$_->{handle}->pump_nb for @clients;
		usleep(10_000);
	}
	$node->kill9;
	eval { finish($_->{handle}) } for @clients;
	for my $client (@clients)
	{
		$claimed{$1}++ while $client->{out} =~ /^claimed (\d+)$/mg;
		$reported{$1}++ while $client->{out} =~ /^reported (\d+) promoted$/mg;
	}
	restart();
	pass("round $round: recovered");

	my %state = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT token, state FROM update_tier.installation');
	my @lost = grep { ($state{$_} // 'gone') ne 'succeeded' } keys %reported;
	is("@lost", '', "round $round: " . scalar(keys %reported) . ' acknowledged reports, none lost');
	@lost = grep { !exists $state{$_} } keys %claimed;
	is("@lost", '', "round $round: " . scalar(keys %claimed) . ' acknowledged leases, none lost');
	is( $node->safe_psql(
			'postgres', q{
			SELECT r.package, c, p.in_flight, u FROM update_tier.rollout AS r JOIN update_tier.package AS p ON p.name = r.package, LATERAL (
			  SELECT count(*) FILTER (WHERE evidence = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'claimed') AS leased
			    FROM update_tier.installation AS i WHERE i.rollout = r.id) AS c, LATERAL (
			  SELECT count(*) FILTER (WHERE succeeded) AS succeeded, count(*) AS reports FROM update_tier.uncounted AS u WHERE u.rollout = r.id) AS u
			 WHERE (c.succeeded, c.leased) <> (canary_succeeded + production_succeeded + u.succeeded, p.in_flight - u.reports)
			    OR c.leased > r.max_in_flight}),
		'', "round $round: every report counted once, no budget overrun");
}
is((grep { $_ > 1 } values %claimed, values %reported), 0, 'no token was given twice, and none acknowledged twice');

# The leases of clients that have ended expire, and the workspaces are claimed again.
my $leased = $node->safe_psql('postgres', q{SELECT count(*) FROM update_tier.installation WHERE state = 'claimed'});
cmp_ok($leased, '>', 0, 'some leases were out when it crashed');
$node->safe_psql('postgres', q{UPDATE update_tier.installation SET lease_until = now() WHERE state = 'claimed'; UPDATE update_tier.package SET first_expiry = now()});
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM update_tier.installation AS i JOIN update_tier.rollout AS r ON r.id = i.rollout
		 WHERE state = 'claimed' AND update_tier.claim(r.package, r.version, i.workspace) IS NULL}),
	'0', 'each of them is claimed again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM update_tier.installation WHERE attempt = 2}), $leased, 'for a second attempt');

$node->stop;
done_testing();
