# Dump and restore, in every format, with rollouts in every phase.  A TAP test
# because pg_regress can neither run pg_dump nor compare two databases.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$node->start;
my $dir = $node->basedir;

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql(
	'source', q{
	SET client_min_messages = 'warning';
	CREATE SCHEMA app;
	CREATE TYPE app.status AS ENUM ('online', 'removed');
	CREATE TABLE app.environments (id uuid PRIMARY KEY, status app.status NOT NULL DEFAULT 'online');
	INSERT INTO app.environments SELECT md5(n::text)::uuid, CASE n % 10 WHEN 0 THEN 'removed' ELSE 'online' END::app.status
	  FROM generate_series(1, 100) AS n;
	CREATE EXTENSION update_tier;
	SET search_path = app, public;
	SELECT update_tier.attach('environments', $$status <> 'removed'$$);
	SELECT set_update_tier(md5(n::text)::uuid, 'canary') FROM generate_series(1, 5) AS n;

	CREATE FUNCTION run(p text, v text, n integer, outcome text DEFAULT 'succeeded') RETURNS text LANGUAGE sql AS
	$$SELECT update_tier.report(update_tier.claim(p, v, md5(n::text)::uuid), outcome)$$;
	SELECT update_tier.set_policy(max_failures => 1), update_tier.set_policy('b', soak => '3 days', lease => '1 hour');
	SELECT update_tier.start('a', 'superseded'), update_tier.start('a', 'canary'), update_tier.claim('a', 'canary', md5('1')::uuid);
	SELECT run('b', 'soaking', 1), run('b', 'soaking', 2, 'error'), update_tier.start('b', 'queued');
	SELECT run('c', 'promoted', 1), update_tier.promote('c', 'promoted', 'looks good'), run('c', 'promoted', 11, 'failed');
	SELECT count(*) FROM update_tier.claim_batch('c', 'promoted', 7);
	SELECT run('d', 'halted', 1, 'failed'), run('d', 'halted', 2, 'failed');
	SELECT update_tier.start('e', 'aborted'), update_tier.abort('e', 'aborted', 'no');
	DROP FUNCTION run;
});

# Everything that the functions answer, and the rows behind it.
sub answers
{
	my ($db) = @_;
	my $answers = $node->safe_psql(
		$db, q{
		SET TimeZone = 'UTC';
		SELECT * FROM update_tier.attached;
		SELECT * FROM canary_workspaces();
		SELECT count(*) FROM production_workspaces();
		SELECT * FROM update_tier.counts();
		SELECT * FROM update_tier.status;
		SELECT p, v, n, update_tier.explain(p, v, md5(n::text)::uuid)
		  FROM (VALUES ('a', 'canary'), ('a', 'superseded'), ('b', 'soaking'), ('b', 'queued'), ('c', 'promoted'),
		               ('d', 'halted'), ('e', 'aborted')) AS x (p, v), generate_series(1, 13, 3) AS n;
		SELECT * FROM update_tier.progress('c', 'promoted');
		SELECT update_tier.promoted_version('c');
		SELECT * FROM update_tier.policy ORDER BY package;
		SELECT * FROM update_tier.rollout ORDER BY id;
		SELECT * FROM update_tier.execution ORDER BY token;
		SELECT * FROM update_tier.event ORDER BY id;
		SELECT indexdef FROM pg_indexes WHERE tablename = 'environments' ORDER BY 1;
	});
	return $answers;
}

# What goes on: the next numbers are new, and the rollouts continue.
sub goes_on
{
	my ($db) = @_;
	return $node->safe_psql(
		$db, q{
		BEGIN;
		SELECT (SELECT max(token) FROM update_tier.execution) < update_tier.claim('b', 'soaking', md5('3')::uuid);
		SELECT update_tier.start('b', 'newer');
		SELECT version, phase FROM update_tier.status WHERE package = 'b' ORDER BY version;
		SELECT count(*) FROM update_tier.claim_batch('c', 'promoted', 100);
		SELECT update_tier.attach('app.environments', $$status <> 'removed'::app.status$$);
		ROLLBACK;
	});
}

my $before = answers('source');
my $next = goes_on('source');
like($before, qr/soaking/, 'there is something to compare');

my %restore = (
	plain => sub {
		my ($to) = @_;
		command_ok([ 'pg_dump', '-d', $node->connstr('source'), '-f', "$dir/plain.sql" ], 'pg_dump, plain');
		command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($to), '-f', "$dir/plain.sql" ], 'restored');
	},
	custom => sub {
		my ($to) = @_;
		command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('source'), '-f', "$dir/custom" ], 'pg_dump, custom');
		command_ok([ 'pg_restore', '-e', '-d', $node->connstr($to), "$dir/custom" ], 'restored');
	},
	directory => sub {
		my ($to) = @_;
		command_ok([ 'pg_dump', '-Fd', '-j', '2', '-d', $node->connstr('source'), '-f', "$dir/directory" ], 'pg_dump, directory, two jobs');
		command_ok([ 'pg_restore', '-e', '-j', '2', '-d', $node->connstr($to), "$dir/directory" ], 'restored');
	});
for my $format (sort keys %restore)
{
	$node->safe_psql('postgres', "CREATE DATABASE $format");
	$restore{$format}->($format);
	is(answers($format), $before, "$format: every function answers as before");
	is(goes_on($format), $next, "$format: and goes on");
}

# Over what is there already.
command_ok([ 'pg_restore', '-e', '--clean', '--if-exists', '-d', $node->connstr('custom'), "$dir/custom" ], 'restored with --clean');
is(answers('custom'), $before, '--clean: every function answers as before');
is(goes_on('custom'), $next, '--clean: and goes on');

# Into a database that has the extension already, and nothing attached.
$node->safe_psql('postgres', 'CREATE DATABASE prepared');
$node->safe_psql('prepared', 'SET client_min_messages = warning; CREATE EXTENSION update_tier');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('prepared'), '-f', "$dir/plain.sql" ], 'restored where the extension is');
is(answers('prepared'), $before, 'extension there: every function answers as before');

# A single schema: the table comes, with its tiers; what is the extension's
# stays where it was.
$node->safe_psql('postgres', 'CREATE DATABASE single');
$node->safe_psql('single', 'SET client_min_messages = warning; CREATE EXTENSION update_tier');
command_ok([ 'pg_dump', '-n', 'app', '-d', $node->connstr('source'), '-f', "$dir/single.sql" ], 'pg_dump of a single schema');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('single'), '-f', "$dir/single.sql" ], 'restored');
is( $node->safe_psql(
		'single', q{SELECT update_tier.attach('app.environments', $$status <> 'removed'::app.status$$); SELECT * FROM update_tier.counts()}),
	$node->safe_psql('source', 'SELECT NULL; SELECT * FROM update_tier.counts()'),
	'single schema: attach it, and the tiers are there');

# Installed, and nothing attached.
$node->safe_psql('postgres', 'CREATE DATABASE bare');
$node->safe_psql('bare', 'SET client_min_messages = warning; CREATE EXTENSION update_tier');
$node->safe_psql('postgres', 'CREATE DATABASE bare_copy');
command_ok([ 'pg_dump', '-d', $node->connstr('bare'), '-f', "$dir/bare.sql" ], 'pg_dump with nothing attached');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('bare_copy'), '-f', "$dir/bare.sql" ], 'restored');
is($node->safe_psql('bare_copy', 'SELECT count(*) FROM update_tier.attached'), '0', 'nothing attached there either');

# The row of a table that has been dropped is a number, and means nothing
# elsewhere: it is not dumped.
$node->safe_psql('custom', 'DROP TABLE app.environments');
$node->safe_psql('postgres', 'CREATE DATABASE dropped_copy');
command_ok([ 'pg_dump', '-d', $node->connstr('custom'), '-f', "$dir/dropped.sql" ], 'pg_dump after the table was dropped');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('dropped_copy'), '-f', "$dir/dropped.sql" ], 'restored');
is($node->safe_psql('dropped_copy', 'SELECT count(*) FROM update_tier.attached'), '0', 'what was dropped is not attached');

$node->stop;
done_testing();
