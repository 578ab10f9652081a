# Gates in queries over distributed tables: an error, or the right answer, and never an
# answer from the empty tables of a worker; and the forms that doc/citus.md recommends.
# A TAP test because it needs four servers.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Citus;
use PostgreSQL::Test::Utils;
use Test::More;

my $plain = Citus->plain;
my $citus = Citus->distributed;
my $setup = q{
	SET client_min_messages = 'warning';
	CREATE EXTENSION update_tier;
	CREATE TABLE workspaces (id uuid PRIMARY KEY, name text NOT NULL, region text NOT NULL DEFAULT 'eu');
	CREATE TABLE queue (workspace_id uuid PRIMARY KEY, status text NOT NULL DEFAULT 'pending', created_at integer);
	:distribute
	SELECT update_tier.attach('workspaces', audit => false);
	INSERT INTO workspaces SELECT md5(n::text)::uuid, 'workspace ' || n FROM generate_series(1, 2000) AS n;
	INSERT INTO queue SELECT id, 'pending', substr(name, 11)::integer FROM workspaces;
	UPDATE workspaces SET update_tier = 'canary' WHERE id IN (SELECT md5(n::text)::uuid FROM generate_series(1, 20) AS n);
	-- Open to canaries, halted, promoted.
	SELECT update_tier.set_policy(max_in_flight => 1000);
	SELECT update_tier.start('p', '1'), update_tier.start('halted', '1'), update_tier.halt('halted', '1', 'bad');
	SELECT update_tier.start('all', '1'), update_tier.promote('all', '1', 'seen elsewhere');
	SELECT update_tier.start('app', 'v7'), update_tier.promote('app', 'v7', 'seen elsewhere');
	SELECT update_tier.observe('all', '1', md5(n::text)::uuid) FROM generate_series(1, 100) AS n;
};
for my $where ($plain, $citus)
{
	$where->database('queries');
	my $distribute = $where == $plain ? '' : q{
		SELECT create_distributed_table('workspaces', 'id', shard_count => 4);
		SELECT create_distributed_table('queue', 'workspace_id', colocate_with => 'workspaces');};
	unlike($where->prints('queries', $setup =~ s/:distribute/$distribute/r), qr/ERROR/, 'set up');
}

# A gate on a worker would give a wrong answer, so it must be an error.
for my $query (
	q{SELECT count(*) FROM workspaces WHERE update_tier.allows(%s, id)},
	q{SELECT count(*) FROM workspaces WHERE update_tier.is_open(%s, update_tier)},
	q{SELECT count(*) FROM workspaces WHERE update_tier.is_open(%s, 'canary')},
	q{SELECT id FROM workspaces WHERE update_tier.allows(%s, id) ORDER BY id LIMIT 3},
	q{SELECT update_tier.explain(%s, id) FROM workspaces WHERE id = md5('1')::uuid},
	q{SELECT update_tier.allows(%s, id) FROM workspaces WHERE id = md5('1')::uuid},
	q{SELECT count(*) FROM queue JOIN workspaces ON id = workspace_id WHERE update_tier.allows(%s, id)},
	q{SELECT count(*) FROM (SELECT id, update_tier.allows(%s, id) AS a FROM workspaces) AS w WHERE a},
	q{WITH w AS (SELECT id FROM workspaces) SELECT count(*) FROM w WHERE update_tier.allows(%s, id)},
	q{UPDATE queue SET status = 'claimed' WHERE update_tier.allows(%s, workspace_id)},
	q{DELETE FROM queue WHERE update_tier.allows(%s, workspace_id)},
	q{INSERT INTO queue SELECT workspace_id, 'again' FROM queue WHERE update_tier.allows(%s, workspace_id)})
{
	for my $package ('p', 'halted', 'all')
	{
		like($citus->prints('queries', sprintf("$query;", "'$package', '1'")),
			# What is not asked of the workers at all Citus refuses itself.
			qr/\AERROR: +(55000: update_tier\.\w+ must be called on the node that holds its tables\nDETAIL: .*\nHINT: .*|0A000: STABLE functions .*)\n\z/,
			"an error: " . sprintf($query, "'$package'"));
	}
}
for my $query (
	q{SELECT count(*) FROM workspaces WHERE id IN (SELECT workspace FROM update_tier.claim_batch('all', NULL, 5))},
	q{SELECT workspace FROM update_tier.claim_batch('all', NULL, 5, ARRAY(SELECT workspace_id FROM queue))},
	q{SELECT update_tier.claim('all', '1', id) FROM workspaces},
	q{SELECT update_tier.wanted_version('all', id) FROM workspaces WHERE id = md5('1')::uuid},
	q{SELECT workspace_tier(id) FROM workspaces})
{
	my $said = $citus->prints('queries', "BEGIN; $query; ROLLBACK;");
	my $expected = $plain->prints('queries', "BEGIN; $query; ROLLBACK;");
	ok($said eq $expected || $said =~ /\AERROR: +55000: .* must be called on the node that holds its tables/, "an error, or the same: $query")
	  or diag $said;
}

# These forms work, with the answers of a plain server.
my @forms = (
	'ids, and then the gate' =>
	  q{WITH w AS MATERIALIZED (SELECT id FROM workspaces WHERE name < 'workspace 3')
	    SELECT count(*), md5(string_agg(id::text, ',' ORDER BY id)) FROM w WHERE update_tier.allows('%s', '1', id)},
	'the gates, and then the rows' =>
	  q{WITH g AS MATERIALIZED (SELECT tier, update_tier.is_open('%s', '1', tier) AS is_open FROM update_tier.tiers() AS tier)
	    SELECT count(*), md5(string_agg(id::text, ',' ORDER BY id)) FROM workspaces AS w JOIN g ON g.tier = w.update_tier WHERE g.is_open},
	'a queue' =>
	  q{WITH g AS MATERIALIZED (SELECT tier, update_tier.is_open('%s', '1', tier) AS is_open FROM update_tier.tiers() AS tier)
	    SELECT count(*) FROM queue JOIN workspaces AS w ON w.id = workspace_id JOIN g ON g.tier = w.update_tier WHERE g.is_open},
	'rows, with the reason of each' =>
	  q{WITH w AS MATERIALIZED (SELECT id, name FROM workspaces WHERE name < 'workspace 11')
	    SELECT name, update_tier.explain('%s', '1', id) FROM w ORDER BY name},
	'a list' => q{SELECT count(*) FROM workspaces WHERE id IN (SELECT canary_workspaces()) AND '%s' <> ''},
	'a joined list' => q{SELECT count(*) FROM queue JOIN canary_workspaces() AS c ON c = workspace_id WHERE '%s' <> ''},
	'what is installed' =>
	  q{SELECT count(*) FROM workspaces JOIN update_tier.installed AS i ON i.workspace = id WHERE i.package = '%s' AND i.version = '1'},
	'claims of candidates' => q{
	    BEGIN;
	    WITH c AS MATERIALIZED (SELECT array_agg(workspace_id ORDER BY workspace_id) AS ids FROM queue WHERE status = 'pending')
	    SELECT b.workspace, b.version, b.tier FROM c, update_tier.claim_batch('%s', NULL, 5, c.ids) AS b;
	    ROLLBACK},
	'claims of the first candidates' => q{
	    BEGIN;
	    SELECT workspace, version, tier FROM update_tier.claim_batch('%s', NULL, 5,
	        ARRAY(SELECT workspace_id FROM queue WHERE status = 'pending' ORDER BY workspace_id LIMIT 200));
	    ROLLBACK});
while (my ($what, $query) = splice(@forms, 0, 2))
{
	for my $package ('p', 'halted', 'all')
	{
		my $expected = $plain->prints('queries', sprintf("$query;", $package));
		is($citus->prints('queries', sprintf("$query;", $package)), $expected, "$what: $package");
		unlike($expected, qr/ERROR/, "$what: no error");
	}
}

# The page's own examples: the first is the error, the others give the same as they do
# on a plain server, in any order, but for the numbers of tokens.
my ($section) = slurp_file("$FindBin::Bin/../../doc/citus.md") =~ /^## Gates in queries\n(.*?)^## /ms;
my ($refused, @examples) = $section =~ /^```sql\n(.*?)^```/msg;
is(scalar(@examples), 3, 'the page has three examples that work');
like($citus->prints('queries', $refused), qr/\AERROR: +55000: /, 'and one that is an error');
for my $example (@examples)
{
	my ($rows, $expected) = map { [ sort map { s/\|\d+$//r } split /\n/, $_->prints('queries', "BEGIN;\n$example\nROLLBACK;") ] } $citus, $plain;
	# Which workspaces LIMIT takes depends on the shards.
	if ($example =~ /^SELECT id FROM candidate/m) { is(scalar(@$rows), 100, 'as many rows as on a plain server'); }
	else { is_deeply($rows, $expected, 'the rows of a plain server'); }
	cmp_ok(scalar(@$expected), '>', 10, "the example finds something: $example");
}

# On a worker, functions that read the extension's tables are errors.
for my $query (
	q{SELECT update_tier.is_open('halted', '1', 'canary')},
	q{SELECT update_tier.allows('p', '1', md5('1')::uuid)},
	q{SELECT * FROM update_tier.status},
	q{SELECT * FROM canary_workspaces()},
	q{SELECT set_update_tier(md5('1')::uuid, 'production')},
	q{SELECT update_tier.start('p', '9')})
{
	my ($code, $out, $err) = $citus->worker(0)->psql('queries', $query);
	like($err, qr/must be called on the node that holds its tables/, "on a worker: $query");
	is($out, '', 'and no answer');
}

# Estimates: the server's default for a function without an estimate.
like($citus->prints('queries', 'EXPLAIN SELECT * FROM canary_workspaces();'), qr/rows=1000 /, 'no estimate is invented');

# A gate makes one round trip for each workspace, and claim_batch few for many claims.
sub commands
{
	my ($sql) = @_;
	return scalar(() = $citus->prints('queries', "SET citus.log_remote_commands = on; BEGIN; $sql ROLLBACK;") =~ /NOTICE: .* issuing SELECT/g);
}
is(commands(q{SELECT update_tier.allows('p', '1', md5('1')::uuid);}), 1, 'allows() asks one shard');
is(commands(q{SELECT update_tier.claim('p', '1', md5('1')::uuid);}), 1, 'and so does claim()');
is(commands(q{SELECT update_tier.is_open('p', '1', 'canary');}), 0, 'is_open() asks none');
is(commands(q{SELECT * FROM update_tier.status;}), 0, 'nor does the view status');
is(commands(q{SELECT count(*) FROM update_tier.claim_batch('all');}), 8, 'claim_batch() asks each of four shards twice: for canaries, and for production');
is(commands(q{SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch('all');}), 8, 'reports ask none');

$_->stop for $plain->coordinator, $citus->worker(0), $citus->worker(1), $citus->coordinator;
done_testing();
