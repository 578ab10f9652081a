# claim_batch(25) with its 25 reports, and the forms of a query with gates, compared with
# the same on a plain table: at most five times as long on four shards.  A TAP test because it needs four servers.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Citus;
use PostgreSQL::Test::Utils;
use Test::More;

my $citus = Citus->distributed;
my $plain = Citus->plain;
my $workspaces = 20_000;
my $turns = 7;
my $batches = 20;
my %where = (plain => $plain, shards_4 => $citus, shards_32 => $citus, reference => $citus);
my %distribute = (
	plain => '',
	shards_4 => q{SELECT create_distributed_table('workspaces', 'id', shard_count => 4);},
	shards_32 => q{SELECT create_distributed_table('workspaces', 'id', shard_count => 32);},
	reference => q{SELECT create_reference_table('workspaces');});

for my $kind (sort keys %where)
{
	$where{$kind}->database($kind);
	$where{$kind}->coordinator->safe_psql($kind, qq{
		SET client_min_messages = 'warning';
		CREATE EXTENSION update_tier;
		CREATE TABLE workspaces (id uuid PRIMARY KEY);
		$distribute{$kind}
		SELECT update_tier.attach('workspaces', audit => false);
		INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, $workspaces) AS n;
		UPDATE workspaces SET update_tier = 'canary' WHERE id IN (SELECT md5(n::text)::uuid FROM generate_series(1, 20) AS n);
		SELECT update_tier.set_policy(retry_delay => '0');
		SELECT update_tier.start('p', '1'), update_tier.promote('p', '1', 'seen elsewhere');
	});
	$where{$kind}->coordinator->safe_psql($kind, 'VACUUM ANALYZE workspaces');
}

# The time of each of these in a session of its own, in milliseconds.
my %statement = (
	batch => q{SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch('p')},
	allows => q{SELECT count(update_tier.allows('p', '1', md5(n::text)::uuid)) FROM generate_series(1001, 1100) AS n},
	candidates => q{SELECT count(update_tier.report(token, 'skipped')) FROM update_tier.claim_batch('p', NULL, 25,
		ARRAY(SELECT md5(n::text)::uuid FROM generate_series(15001, 15100) AS n))},
	# The two forms of doc/citus.md: the gates first, or the workspaces first.
	gates_first => q{WITH gate AS MATERIALIZED (
		SELECT tier, update_tier.is_open('p', '1', tier) AS is_open FROM update_tier.tiers() AS tier)
		SELECT count(*) FROM workspaces AS w JOIN gate ON gate.tier = w.update_tier WHERE gate.is_open},
	workspaces_first => q{WITH candidate AS MATERIALIZED (SELECT id FROM workspaces LIMIT 100)
		SELECT count(*) FROM candidate WHERE update_tier.allows('p', '1', id) IS NOT NULL});
my %counted = (batch => 25, candidates => 25, allows => 100, workspaces_first => 100, gates_first => $workspaces);
sub milliseconds
{
	my ($kind, $what) = @_;
	my $times = $what eq 'batch' ? $batches : 5;
	my $sql = "$statement{$what};\n" x $times;
	my $said = $where{$kind}->coordinator->safe_psql($kind, qq{
		$statement{$what};
		SELECT clock_timestamp() AS start \\gset
		$sql
		SELECT 'ms', 1000 * extract(epoch FROM clock_timestamp() - :'start') / $times;
	});
	my @counts = $said =~ /^(\d+)$/mg;
	die "$kind, $what: not every call did its work: $said" if grep { $_ != $counted{$what} } @counts;
	return $said =~ /^ms\|([\d.]+)$/m ? $1 : die $said;
}
sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ $#sorted / 2 ]; }

my %median;
for my $what (sort keys %statement)
{
	my %all;
	for my $turn (1 .. $turns)
	{
		push @{ $all{$_} }, milliseconds($_, $what) for 'plain', 'shards_4', 'shards_32', 'reference';
	}
	for my $kind ('plain', 'shards_4', 'shards_32', 'reference')
	{
		$median{$what}{$kind} = median(@{ $all{$kind} });
		diag sprintf '%-16s %-10s %7.2f ms, %4.1f times a plain table', $what, $kind, $median{$what}{$kind},
		  median(map { $all{$kind}[$_] / $all{plain}[$_] } 0 .. $turns - 1);
	}
	$median{$what}{ratio} = median(map { $all{shards_4}[$_] / $all{plain}[$_] } 0 .. $turns - 1);
}
cmp_ok($median{batch}{ratio}, '<=', 5, 'claim_batch(25) and 25 reports on four shards');
cmp_ok($median{candidates}{ratio}, '<=', 5, 'the same of candidates');
cmp_ok($median{gates_first}{ratio}, '<=', 5, 'the gates, and then the workspaces, in a query');

$_->stop for $plain->coordinator, $citus->worker(0), $citus->worker(1), $citus->coordinator;
done_testing();
