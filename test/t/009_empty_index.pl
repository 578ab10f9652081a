# The index that attach builds without a scan is correct: after a crash right after the
# commit, on a standby, in partitions and unlogged tables, and when it is built again.  A
# TAP test because it needs crashes, and more than one server.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %table = (
	plain => 'CREATE TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true)',
	unlogged => 'CREATE UNLOGGED TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true)',
	partitioned => q{
		CREATE TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true) PARTITION BY HASH (id);
		CREATE TABLE workspaces_0 PARTITION OF workspaces FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE workspaces_1 PARTITION OF workspaces FOR VALUES WITH (MODULUS 2, REMAINDER 1)});
my $rows = 2000;
my $insert = "INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, $rows) AS n";

# If amcheck is missing, test/run says so.
my $amcheck;

sub create
{
	my ($node) = @_;
	$amcheck = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'});
	for my $database (sort keys %table)
	{
		$node->safe_psql('postgres', "CREATE DATABASE $database");
		$node->safe_psql($database, "SET client_min_messages = warning; CREATE EXTENSION update_tier; $table{$database}; $insert; ANALYZE");
		$node->safe_psql($database, 'CREATE EXTENSION amcheck') if $amcheck;
	}
	# The rows from before attach must survive the crash.
	$node->safe_psql('postgres', 'CHECKPOINT');
}

# The index has an entry for each canary in the table, and no other entries.
sub check
{
	my ($node, $database, $canaries, $name) = @_;
	my $ids = q{SELECT count(*), md5(string_agg(id::text, ',' ORDER BY id)) FROM workspaces WHERE update_tier = 'canary' AND live};
	my $by_rows = $node->safe_psql($database, "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off; $ids");
	my $by_index = $node->safe_psql($database, "SET enable_seqscan = off; $ids");
	like($by_rows, qr/^$canaries\|/, "$name: $canaries canaries");
	is($by_index, $by_rows, "$name: the same through the index");
	return unless $amcheck;

	my $parent = $node->safe_psql($database, 'SELECT pg_is_in_recovery()') eq 't' ? '' : ', bt_index_parent_check(indexrelid, true, true)';
	my ($code, $out, $err) = $node->psql($database, qq{
		SELECT relname, bt_index_check(indexrelid, true)$parent FROM pg_index JOIN pg_class ON oid = indexrelid
		 WHERE indpred IS NOT NULL AND indrelid::regclass::text ~ '^workspaces' AND relkind = 'i' AND indisvalid AND indisready});
	is($code, 0, "$name: amcheck") or diag($err);
	is(scalar(split /\n/, $out), $database eq 'partitioned' ? 2 : 1, "$name: of each index");
}

# Attach, without a scan.
sub attach
{
	my ($node, $database) = @_;
	is( $node->safe_psql(
			$database, q{
			BEGIN;
			SELECT update_tier.attach('workspaces', 'live') \g /dev/null
			SELECT sum(pg_stat_get_xact_numscans(oid)) FROM pg_class WHERE relkind = 'r' AND relname ~ '^workspaces';
			COMMIT;}),
		'0', "$database: attached without a scan");
}

sub flip
{
	my ($node, $database, $from, $to, $tier) = @_;
	$node->safe_psql($database, "UPDATE workspaces SET update_tier = '$tier' WHERE id IN (SELECT md5(n::text)::uuid FROM generate_series($from, $to) AS n)");
}

sub crash
{
	my ($node) = @_;
	$node->stop('immediate');
	$node->start;
}

# With wal_level = replica every change is logged; with minimal, changes of a new file are
# not logged.
for my $wal_level (qw(replica minimal))
{
	my $node = PostgreSQL::Test::Cluster->new($wal_level);
	$node->init;
	$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\nwal_level = $wal_level\nmax_wal_senders = 0\nautovacuum = off\n");
	$node->start;
	create($node);
	attach($node, $_) for sort keys %table;
	crash($node);

	# After a crash an unlogged table has no rows, and still has its index.
	check($node, 'unlogged', 0, "$wal_level, unlogged, crash");
	$node->safe_psql('unlogged', $insert);
	for my $database (sort keys %table)
	{
		my $name = "$wal_level, $database";
		check($node, $database, 0, "$name, before any canary");
		flip($node, $database, 1, 700, 'canary');
		check($node, $database, 700, "$name, flipped");
		flip($node, $database, 1, 100, 'production');
		$node->safe_psql($database, 'DELETE FROM workspaces WHERE id IN (SELECT md5(n::text)::uuid FROM generate_series(601, 700) AS n)');
		$node->safe_psql($database, 'VACUUM workspaces');
		check($node, $database, 500, "$name, vacuumed");
		$node->safe_psql($database, 'REINDEX INDEX workspaces_update_tier_canary');
		check($node, $database, 500, "$name, built again");
		$node->safe_psql($database, 'REINDEX INDEX CONCURRENTLY workspaces_update_tier_canary');
		check($node, $database, 500, "$name, built again concurrently");
	}
	crash($node);
	check($node, $_, $_ eq 'unlogged' ? 0 : 500, "$wal_level, $_, another crash") for sort keys %table;

	# An attach that had not committed is undone completely.
	my @sessions;
	for my $database (sort keys %table)
	{
		$node->safe_psql($database, 'SET client_min_messages = warning; SELECT update_tier.detach(); ALTER TABLE workspaces DROP COLUMN update_tier');
		push @sessions, $node->background_psql($database);
		$sessions[-1]->query(q{BEGIN; SELECT update_tier.attach('workspaces', 'live');});
	}
	crash($node);
	for my $database (sort keys %table)
	{
		eval { (shift @sessions)->quit };
		is($node->safe_psql($database, q{SELECT count(*) FROM pg_class WHERE relname ~ 'canary'}), '0', "$wal_level, $database: a crash before the commit");
		attach($node, $database);
		check($node, $database, 0, "$wal_level, $database, attached after that");
	}
	$node->stop;
}

# A standby replays the build of the index, and uses the index after it is promoted.
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\nautovacuum = off\n");
$primary->start;
create($primary);
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
for my $database (qw(plain partitioned))
{
	attach($primary, $database);
	$primary->wait_for_catchup($standby);
	check($standby, $database, 0, "standby, $database, before any canary");
	flip($primary, $database, 1, 700, 'canary');
	$primary->wait_for_catchup($standby);
	check($standby, $database, 700, "standby, $database, flipped");
}
$primary->stop('immediate');
$standby->promote;
for my $database (qw(plain partitioned))
{
	flip($standby, $database, 501, 900, 'canary');
	check($standby, $database, 900, "promoted standby, $database");
}

# The build without a scan uses no parallel workers, which would scan.  The build for a
# table that has the column already may use them.
my $parallel = q{SET client_min_messages = debug1; SET max_parallel_maintenance_workers = 2; SET min_parallel_table_scan_size = 0;};
my ($code, $out, $err) = $standby->psql('unlogged', qq{
	DROP TABLE workspaces; $table{plain}; $insert; ALTER TABLE workspaces SET (parallel_workers = 2);
	$parallel SELECT update_tier.attach('workspaces')});
like($err, qr/building index "workspaces_update_tier_canary" on table "workspaces" serially/, 'no parallel workers');
check($standby, 'unlogged', 0, 'no parallel workers');
($code, $out, $err) = $standby->psql('unlogged', qq{DROP INDEX workspaces_update_tier_canary; $parallel SELECT update_tier.attach('workspaces')});
like($err, qr/building index "workspaces_update_tier_canary" on table "workspaces" with request for/, 'workers where the column was there');
check($standby, 'unlogged', 0, 'workers where the column was there');
$standby->stop;
done_testing();
