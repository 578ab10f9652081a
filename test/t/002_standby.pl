# A streaming standby answers, and goes on after it has been promoted; the
# table with the domain column replicates logically.  A TAP test because it
# takes more than one server.

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
	SELECT update_tier.report(update_tier.claim('p', '1', md5('1')::uuid), 'succeeded');
	SELECT update_tier.start('p', '2');
};
$primary->safe_psql('postgres', $setup);
$primary->wait_for_catchup($standby);

# Whatever reads gives the same answer there.
my $reads = q{
	SET TimeZone = 'UTC';
	SELECT * FROM canary_workspaces();
	SELECT count(*) FROM production_workspaces();
	SELECT * FROM workspaces_in_tier('production', '80000000-0000-0000-0000-000000000000', 3);
	SELECT workspace_tier(md5('1')::uuid), workspace_tier(md5('9')::uuid);
	SELECT * FROM update_tier.counts();
	SELECT update_tier.is_open('p', '1', 'canary'), update_tier.is_open('p', '1', 'production'), update_tier.is_open('p', '3', 'canary');
	SELECT update_tier.allows('p', '1', md5('2')::uuid), update_tier.allows('p', '1', md5('9')::uuid);
	SELECT update_tier.explain('p', v, md5(n::text)::uuid) FROM unnest(ARRAY['1', '2', '3']) AS v, generate_series(1, 9, 4) AS n;
	SELECT * FROM update_tier.progress('p', '1');
	SELECT update_tier.promoted_version('p');
	SELECT * FROM update_tier.status;
};
is($standby->safe_psql('postgres', $reads), $primary->safe_psql('postgres', $reads), 'a standby answers as the primary does');
is($standby->safe_psql('postgres', q{SELECT set_update_tier(md5('1')::uuid, 'canary')}), 'canary', 'setting what is set is a reading');

# Whatever writes is refused with the server's own error.
for my $call (
	q{set_update_tier(md5('1')::uuid, 'production')},
	q{update_tier.attach('workspaces')},
	q{update_tier.detach()},
	q{update_tier.set_policy('p', soak => '0')},
	q{update_tier.start('p', '9')},
	q{update_tier.claim('p', '1', md5('2')::uuid)},
	q{update_tier.claim_batch('p', '1')},
	q{update_tier.report(1, 'failed')},
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

# A plan kept in a session of the standby notices what happens on the primary.
my $session = $standby->background_psql('postgres');
is($session->query('SELECT count(*) FROM canary_workspaces()'), '5', 'a session on the standby');
$primary->safe_psql('postgres', q{ALTER TABLE workspaces RENAME TO environments; SELECT set_update_tier(md5('6')::uuid, 'canary')});
$primary->wait_for_catchup($standby);
is($session->query('SELECT count(*) FROM canary_workspaces()'), '6', 'the table was renamed on the primary');
$session->quit;
$primary->safe_psql('postgres', q{ALTER TABLE environments RENAME TO workspaces; SELECT set_update_tier(md5('6')::uuid, 'production')});
$primary->wait_for_catchup($standby);

# The standby is promoted: work continues, and no token comes twice.
my $tokens = $primary->safe_psql('postgres', q{SELECT count(*) FROM update_tier.claim_batch('p', '1', 2)});
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', q{SELECT count(*) FROM update_tier.claim_batch('p', '1', 100)}), '2', 'the promoted standby hands out what was left');
is($standby->safe_psql('postgres', q{SELECT count(*) = count(DISTINCT token) FROM update_tier.execution}), 't', 'no token twice');
is( $standby->safe_psql('postgres', q{SELECT DISTINCT update_tier.report(token, 'succeeded') FROM update_tier.execution}),
	'soaking', 'leases of before can be reported');
is($standby->safe_psql('postgres', q{SELECT canary_succeeded FROM update_tier.status WHERE version = '1'}), '5', 'and count');

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
