# The functions that only read work on a streaming standby, and all functions work after
# it was promoted; the table with the domain column replicates logically.  A TAP test
# because it needs more than one server.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical');
$primary->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$primary->start;
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my $setup = q{
	SET client_min_messages = 'warning';
	CREATE TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true);
	INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, 50) AS n;
	CREATE EXTENSION update_tier;
	SELECT update_tier.attach('workspaces', 'live');
	SELECT set_update_tier(md5(n::text)::uuid, 'canary') FROM generate_series(1, 5) AS n;
	SELECT update_tier.start('p', '1');
	SELECT update_tier.report(update_tier.claim('p', '1', md5('1')::uuid), 'succeeded');
	SELECT update_tier.start('p', '2');
	SELECT update_tier.start('ramp', '1'), update_tier.promote('ramp', '1', 'seen elsewhere');
	SELECT update_tier.set_policy('ramp', ramp => '100 years');
	SELECT update_tier.start('ramp', '2'), update_tier.promote('ramp', '2', 'seen elsewhere');
	SELECT update_tier.claim('ramp', '1', md5('9')::uuid) AS token \gset
	SELECT update_tier.report(:token, 'succeeded');
	SELECT update_tier.start('frozen', '1'), update_tier.freeze('frozen', '2100-01-01', 'holidays');
};
$primary->safe_psql('postgres', $setup);
$primary->wait_for_catchup($standby);

# Functions that only read give the same answers on the standby.
my $reads = q{
	SET TimeZone = 'UTC';
	SELECT * FROM canary_workspaces();
	SELECT count(*) FROM production_workspaces();
	SELECT * FROM workspaces_in_tier('production', '80000000-0000-0000-0000-000000000000', 3);
	SELECT workspace_tier(md5('1')::uuid), workspace_tier(md5('9')::uuid);
	SELECT * FROM update_tier.counts();
	SELECT update_tier.is_open('p', '1', 'canary'), update_tier.is_open('p', '1', 'production'), update_tier.is_open('p', '3', 'canary');
	SELECT update_tier.allows('p', '1', md5('2')::uuid), update_tier.allows('p', '1', md5('9')::uuid);
	SELECT p, v, n, update_tier.explain(p, v, md5(n::text)::uuid)
	  FROM unnest(ARRAY['p', 'ramp', 'frozen']) AS p, unnest(ARRAY['1', '2', '3']) AS v, generate_series(1, 9, 4) AS n;
	SELECT p, n, update_tier.wanted_version(p, md5(n::text)::uuid), update_tier.promoted_version(p)
	  FROM unnest(ARRAY['p', 'ramp', 'frozen']) AS p, generate_series(1, 9, 4) AS n;
	SELECT * FROM update_tier.progress('p', '1');
	SELECT * FROM update_tier.progress('ramp', '1');
	SELECT 'uncounted', count(*) FROM update_tier.uncounted;
	SELECT * FROM update_tier.status;
	SELECT * FROM update_tier.installed ORDER BY package, workspace;
};
my $answers = $primary->safe_psql('postgres', $reads);
is($standby->safe_psql('postgres', $reads), $answers, 'a standby answers as the primary does');
like($answers, $_, "there is something to compare: $_")
  for qr/open to canary/, qr/soaking until/, qr/queued behind version 1/, qr/opens for this workspace at/, qr/frozen until/, qr/not started/, qr/uncounted\|1/;
is($standby->safe_psql('postgres', q{SELECT set_update_tier(md5('1')::uuid, 'canary')}), 'canary', 'setting what is set is a reading');

# For functions that write, the server raises its own error.
for my $call (
	q{set_update_tier(md5('1')::uuid, 'production')},
	q{update_tier.attach('workspaces')},
	q{update_tier.detach()},
	q{update_tier.set_policy('p', soak => '0')},
	q{update_tier.reset_policy('p', 'soak')},
	q{update_tier.freeze('p')},
	q{update_tier.thaw('p')},
	q{update_tier.start('p', '9')},
	q{update_tier.start('p', '1')},
	q{update_tier.claim('p', '1', md5('2')::uuid)},
	q{update_tier.claim_batch('p', '1')},
	q{update_tier.claim_batch('p')},
	q{update_tier.force('p', '1', md5('2')::uuid, 'asked for')},
	q{update_tier.report(1, 'failed')},
	q{update_tier.extend(1)},
	q{update_tier.observe('p', '1', md5('2')::uuid)},
	q{update_tier.forget('p', md5('1')::uuid, 'restored')},
	q{update_tier.promote('p', '1')},
	q{update_tier.halt('p', '1')},
	q{update_tier.resume('p', '1')},
	q{update_tier.abort('p', '1')},
	q{update_tier.retry('p', '1')},
	q{update_tier.prune('0')})
{
	my ($code, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");
	like($err, qr/25006: cannot execute .* in a read-only transaction/, "refused: $call");
}

# A session on the standby keeps plans, and notices changes of the table on the primary.
my $session = $standby->background_psql('postgres');
is($session->query('SELECT count(*) FROM canary_workspaces()'), '5', 'a session on the standby');
$primary->safe_psql('postgres', q{ALTER TABLE workspaces RENAME TO environments; SELECT set_update_tier(md5('6')::uuid, 'canary')});
$primary->wait_for_catchup($standby);
is($session->query('SELECT count(*) FROM canary_workspaces()'), '6', 'the table was renamed on the primary');
$session->quit;
$primary->safe_psql('postgres', q{ALTER TABLE environments RENAME TO workspaces; SELECT set_update_tier(md5('6')::uuid, 'production')});
$primary->wait_for_catchup($standby);

# After the standby is promoted claims and reports go on, and no token is given twice.
my $claims = q{SELECT token FROM update_tier.claim_batch('p', '1', %d) ORDER BY token};
my @before = split /\n/, $primary->safe_psql('postgres', sprintf($claims, 2));
is(scalar(@before), 2, 'two leases from the primary');
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
$standby->promote;
my @after = split /\n/, $standby->safe_psql('postgres', sprintf($claims, 100));
is(scalar(@after), 2, 'the promoted standby hands out what was left');
cmp_ok($after[0], '>', $before[-1], 'no token twice');
is($standby->safe_psql('postgres', "SELECT update_tier.report($_, 'succeeded')"), 'soaking', "lease $_ can be reported")
  for @before, @after;
is($standby->safe_psql('postgres', q{SELECT canary_succeeded FROM update_tier.status WHERE package = 'p' AND version = '1'}), '5', 'and they count');

# Logical replication of the table with its domain column.
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$subscriber->start;
$subscriber->safe_psql(
	'postgres', q{
	SET client_min_messages = 'warning';
	CREATE TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true);
	CREATE EXTENSION update_tier});
$standby->safe_psql('postgres', 'CREATE PUBLICATION p FOR TABLE workspaces');
my $connstr = $standby->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "SET client_min_messages = 'warning'; CREATE SUBSCRIPTION s CONNECTION '$connstr' PUBLICATION p");
$subscriber->wait_for_subscription_sync($standby, 's');
is( $subscriber->safe_psql('postgres', 'SELECT * FROM canary_workspaces()'),
	$standby->safe_psql('postgres', 'SELECT * FROM canary_workspaces()'),
	'the tiers are replicated');
$standby->safe_psql('postgres', q{SELECT set_update_tier(md5('7')::uuid, 'canary')});
$standby->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', q{SELECT workspace_tier(md5('7')::uuid)}), 'canary', 'and so is a flip');

$subscriber->stop;
$standby->stop;
done_testing();
