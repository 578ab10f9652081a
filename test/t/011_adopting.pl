# doc/adopting.md: every SQL block does what the page says, and the blocks of PL/pgSQL are
# parts of examples/drainer.sql, which sql/drainer runs.  The programs of the page are run by
# test/clients/run, its filter for Alembic by test/migrations/run.  A TAP test because it
# reads files and takes several databases.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Page;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::Bin/../..";
my $page = slurp_file("$top/doc/adopting.md");
my $node = $Page::node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$node->start;
sub sql { return $node->safe_psql($_[0], "SET client_min_messages = warning; $_[1]"); }

# A database with the table, and a copy of it with the extension.
sql('postgres', 'CREATE DATABASE app');
sql('app', q{
	CREATE TYPE workspace_status AS ENUM ('online', 'removed');
	CREATE TABLE workspaces (id uuid PRIMARY KEY, status text NOT NULL);
	INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001', 'online'), (gen_random_uuid(), 'removed')});
sql('postgres', 'CREATE DATABASE attached TEMPLATE app');
sql('attached', q{CREATE EXTENSION update_tier; SELECT set_update_tier(id, 'canary') FROM workspaces WHERE status = 'online'});

# ---- The SQL, each block in a copy of one of these ----

my $copies = 0;
my %block;    # by a word of it, the database in which it was run
Page::run_page('doc/adopting.md', $page, '', sub {
	my ($sql) = @_;
	return 'app' if $sql =~ /ALTER DATABASE app/;
	my $copy = 'copy' . ++$copies;
	sql('postgres', "CREATE DATABASE $copy TEMPLATE " . ($sql =~ /app\.environments|CREATE EXTENSION/ ? 'app' : 'attached'));
	sql($copy, 'DROP TABLE workspaces; CREATE EXTENSION update_tier; CREATE SCHEMA app; CREATE TABLE app.environments (id uuid PRIMARY KEY)')
	  if $sql =~ /app\.environments/;
	sql($copy, q{SELECT update_tier.start('search', 'v7')}) if $sql =~ /TRUNCATE/;
	$block{$_} = $copy
	  for grep { $sql =~ /\Q$_\E/ } 'app.environments', 'ALTER COLUMN status', 'CREATE EXTENSION', 'TRUNCATE', 'min_successes', 'detach';
	return $copy;
});

is(sql($block{'app.environments'}, 'SELECT workspaces FROM update_tier.attached'), 'app.environments', 'a table of another name');
for ('ALTER COLUMN status', 'CREATE EXTENSION')
{
	like(sql($block{$_}, 'SELECT live_when FROM update_tier.attached'), qr/status <> 'removed'/, "a condition, after $_");
}
is(sql($block{'ALTER COLUMN status'}, q{SELECT count(*) FROM canary_workspaces()}), '1', 'and the tiers are kept');
is(sql($block{'CREATE EXTENSION'}, q{SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'update_tier'}), 'extensions', 'a schema of its own');
is(sql('app', 'SHOW search_path'), 'public, extensions', 'and the search path');
is(sql($block{TRUNCATE}, 'SELECT (SELECT count(*) FROM update_tier.status) + (SELECT count(*) FROM update_tier.event)'), '0', 'no rollouts are left');
is(sql($block{min_successes}, q{SELECT update_tier.start('p', '1'); SELECT min_successes, max_failures, retry_delay FROM update_tier.rollout}) =~ s/^canary\n//r,
	'5|2|00:30:00', 'the settings are there');
my ($changes) = $page =~ /^```sql\n(SELECT at, actor.*?)^```/ms;
is(sql('attached', "SELECT count(*), min(path) FROM (" . ($changes =~ s/;\s*\z//r) . ') AS q'), '1|set_update_tier', 'who changed a tier');
is(sql($block{detach}, q{SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'workspaces'::regclass AND attname = 'update_tier'}),
	'text', 'the column is text after the extension was dropped');
is(sql($block{detach}, 'SELECT update_tier FROM workspaces ORDER BY 1'), "canary\nproduction", 'and has its values');

# ---- The PL/pgSQL: as in the example, but for comments, empty lines and indentation ----

sub bare { return join "\n", grep { !/^(--|$)/ } map { s/^\s+|\s+$//gr } split /\n/, $_[0]; }
my $example = bare(slurp_file("$top/examples/drainer.sql"));
my @parts = map { bare($_) } $page =~ /^```plpgsql\n(.*?)^```/gms;
cmp_ok(scalar(@parts), '>', 4, 'there are parts of the example on the page');
cmp_ok(index("$example\n", "$_\n"), '>=', 0, 'the example has: ' . s/\n.*//sr) for @parts;
is(index($example, 'PERFORM update_tier.report(claim.token, outcome);'), -1, 'what it does not have is noticed');

$node->stop;
done_testing();
