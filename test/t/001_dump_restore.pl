# Dump and restore, in every format, with rollouts in every phase.  A TAP test
# because pg_regress can neither run pg_dump nor compare two databases.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Source;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$node->start;
my $dir = $node->basedir;

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', $Source::setup);

sub answers { return $node->safe_psql($_[0], $Source::answers); }
sub goes_on { return $node->safe_psql($_[0], $Source::goes_on); }

my $next = goes_on('source');
my $before = answers('source');
for my $phase (qw(queued canary soaking promoted halted aborted superseded))
{
	like($before, qr/\|$phase\|/, "there is something to compare: $phase");
}
like($before, qr/^uncounted\|/m, 'there is something to compare: a report that is not counted yet');

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

# Over a database that has these objects already.
command_ok([ 'pg_restore', '-e', '--clean', '--if-exists', '-d', $node->connstr('custom'), "$dir/custom" ], 'restored with --clean');
is(answers('custom'), $before, '--clean: every function answers as before');
is(goes_on('custom'), $next, '--clean: and goes on');

# Into a database that has the extension, and no attached table.
$node->safe_psql('postgres', 'CREATE DATABASE prepared');
$node->safe_psql('prepared', 'SET client_min_messages = warning; CREATE EXTENSION update_tier');
like($before, qr/^\d+\|\*\|/m, 'package * has a row, which is restored');
is($node->safe_psql('prepared', 'SELECT count(*) FROM update_tier.package'), '0', 'and which an installation does not make itself');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('prepared'), '-f', "$dir/plain.sql" ], 'restored where the extension is');
is(answers('prepared'), $before, 'extension there: every function answers as before');

# Only the data, into a database in which the table was created and attached
# separately: the row of "attached" is the same, and no conflict.
$node->safe_psql('postgres', 'CREATE DATABASE data_only');
command_ok([ 'pg_dump', '-s', '-d', $node->connstr('source'), '-f', "$dir/schema.sql" ], 'pg_dump of the schema');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('data_only'), '-f', "$dir/schema.sql" ], 'restored');
$node->safe_psql('data_only', q{SELECT update_tier.attach('app.environments', $$status <> 'removed'::app.status$$)});
command_ok([ 'pg_restore', '-e', '-a', '-d', $node->connstr('data_only'), "$dir/custom" ], 'the data restored');
is(answers('data_only'), $before, 'data only: every function answers as before');
is(goes_on('data_only'), $next, 'data only: and goes on');

# The same where another table is attached: the restored attachment replaces that.
$node->safe_psql('postgres', 'CREATE DATABASE replaced');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('replaced'), '-f', "$dir/schema.sql" ], 'restored');
$node->safe_psql('replaced', q{CREATE TABLE app.other (id uuid PRIMARY KEY, live boolean); SELECT update_tier.attach('app.other', 'live')});
my $attached = 'SELECT * FROM update_tier.attached; SELECT * FROM update_tier.counts()';
isnt($node->safe_psql('replaced', $attached), $node->safe_psql('source', $attached), 'another table is attached');
command_ok([ 'pg_restore', '-e', '-a', '-d', $node->connstr('replaced'), "$dir/custom" ], 'the data restored');
is($node->safe_psql('replaced', $attached), $node->safe_psql('source', $attached), 'the restored attachment replaced it');

# A single schema: the dump contains the table with its tiers, and nothing of the
# extension.
$node->safe_psql('postgres', 'CREATE DATABASE single');
$node->safe_psql('single', 'SET client_min_messages = warning; CREATE EXTENSION update_tier');
command_ok([ 'pg_dump', '-n', 'app', '-d', $node->connstr('source'), '-f', "$dir/single.sql" ], 'pg_dump of a single schema');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('single'), '-f', "$dir/single.sql" ], 'restored');
is( $node->safe_psql(
		'single', q{SELECT update_tier.attach('app.environments', $$status <> 'removed'::app.status$$); SELECT * FROM update_tier.counts()}),
	$node->safe_psql('source', 'SELECT NULL; SELECT * FROM update_tier.counts()'),
	'single schema: attach it, and the tiers are there');

# The extension, and no attached table.
$node->safe_psql('postgres', 'CREATE DATABASE bare');
$node->safe_psql('bare', 'SET client_min_messages = warning; CREATE EXTENSION update_tier');
$node->safe_psql('postgres', 'CREATE DATABASE bare_copy');
command_ok([ 'pg_dump', '-d', $node->connstr('bare'), '-f', "$dir/bare.sql" ], 'pg_dump with nothing attached');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('bare_copy'), '-f', "$dir/bare.sql" ], 'restored');
is($node->safe_psql('bare_copy', 'SELECT count(*) FROM update_tier.attached'), '0', 'nothing attached there either');

# After DROP TABLE the row of "attached" contains only an OID, which means nothing in
# another database: it is not dumped.
$node->safe_psql('custom', 'DROP TABLE app.environments');
$node->safe_psql('postgres', 'CREATE DATABASE dropped_copy');
command_ok([ 'pg_dump', '-d', $node->connstr('custom'), '-f', "$dir/dropped.sql" ], 'pg_dump after the table was dropped');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('dropped_copy'), '-f', "$dir/dropped.sql" ], 'restored');
is($node->safe_psql('dropped_copy', 'SELECT count(*) FROM update_tier.attached'), '0', 'what was dropped is not attached');

$node->stop;
done_testing();
