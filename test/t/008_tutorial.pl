# The SQL blocks of the tutorial, of the README's example and of operations.md print
# what stands below them.  A TAP test because it reads files.
#
# TUTORIAL_WRITE=DIRECTORY writes the pages there, with what is printed, to be read.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::Bin/../..";
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$node->start;

# Run a block in a database.  What psql prints.
sub run_block
{
	my ($db, $sql) = @_;
	my $out = '';
	my $file = $node->basedir . "/block.sql";
	open my $handle, '>', $file or die; print $handle $sql; close $handle;
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($db), '-f', $file ], '>', \$out, '2>&1');
	$out =~ s/^psql:.*?:\d+: //mg;
	$out =~ s/\n+\z/\n/;
	return $out;
}

# Run the blocks of a page, each in the database that $database says.
sub run_page
{
	my ($page, $body, $rest, $database) = @_;
	my $n = 0;
	$body =~ s{^```sql\n(.*?)^```\n(?:(\s*)^```\n(.*?)^```\n)?}{
		my ($sql, $between, $expected) = ($1, $2, $3);
		my $out = run_block($database->($sql), $sql);
		$n++;
		# What is not shown must at least have gone well.
		if (defined $expected) { is($out, $expected =~ s/\n+\z/\n/r, "$page, block $n"); }
		else { unlike($out, qr/^(ERROR|FATAL|WARNING)/m, "$page, block $n"); }
		"```sql\n$sql```\n" . (defined $expected ? "$between```\n$out```\n" : '');
	}gmse;
	cmp_ok($n, '>', 4, "$page: $n blocks");
	return unless $ENV{TUTORIAL_WRITE};
	open my $handle, '>', "$ENV{TUTORIAL_WRITE}/" . ($page =~ s{.*/}{}r) or die;
	print $handle $body . $rest;
}

# The README, up to where it speaks of other databases.
my ($body, $rest) = slurp_file("$top/README.md") =~ /^(.*?)(^## Install.*)/ms;
$node->safe_psql('postgres', 'CREATE DATABASE readme');
run_page('README.md', $body, $rest, sub { 'readme' });

# The tutorial.  Before the version that failed is aborted, the database is kept as the
# one that operations.md speaks of; after its first block, as one of a large table.
my %kept = ('CREATE EXTENSION' => 'large', 'update_tier.abort' => 'operations');
$node->safe_psql('postgres', 'CREATE DATABASE tutorial');
run_page('doc/tutorial.md', slurp_file("$top/doc/tutorial.md"), '', sub {
	my $sql = shift;
	for my $before (grep { $sql =~ /\Q$_\E/ } sort keys %kept)
	{
		$node->safe_psql('postgres', 'CREATE DATABASE ' . delete($kept{$before}) . ' TEMPLATE tutorial');
	}
	return 'tutorial';
});
is_deeply(\%kept, {}, 'the tutorial creates the extension, and aborts a version');
# In a schema where there is no table to attach.
$node->safe_psql('large', 'CREATE SCHEMA extensions; CREATE EXTENSION update_tier SCHEMA extensions');

# operations.md: each block in a copy of that database.
my $operations = slurp_file("$top/doc/operations.md");
my $copies = 0;
my $roles;
run_page('doc/operations.md', $operations, '', sub {
	my $sql = shift;
	my $copy = 'copy' . ++$copies;
	$node->safe_psql('postgres', "CREATE DATABASE $copy TEMPLATE " . ($sql =~ /CONCURRENTLY/ ? 'large' : 'operations'));
	$roles = $copy if $sql =~ /CREATE ROLE/;
	return $copy;
});

# Its roles may execute everything that PUBLIC may not: the operator all of it, and the
# publisher nothing but start.
my $may = $node->safe_psql($roles, q{
	SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FILTER (WHERE NOT has_function_privilege('operator', p.oid, 'execute')),
	       string_agg(p.proname, ' ' ORDER BY p.proname) FILTER (WHERE has_function_privilege('publisher', p.oid, 'execute'))
	  FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
	 WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier')
	   AND p.prorettype <> 'trigger'::regtype AND NOT has_function_privilege('public', p.oid, 'execute')});
is($may, '|start', 'operations.md: the roles');

# And an operator can do what the page says up to there, without any other right.
my ($situations, $grants) = $operations =~ /^(.*?)^## Roles.*?^```sql\n(.*?)^```/ms;
$grants =~ s/^CREATE ROLE.*\n//mg;
while ($situations =~ /^```sql\n(.*?)^```/gms)
{
	my $sql = $1;
	my $copy = 'copy' . ++$copies;
	$node->safe_psql('postgres', "CREATE DATABASE $copy TEMPLATE operations");
	$node->safe_psql($copy, $grants);
	unlike(run_block($copy, "SET ROLE operator;\n$sql"), qr/^(ERROR|FATAL)/m, 'operations.md: as an operator');
}

# The recipe for many NULLs, where there are many: in batches, and nothing is left
# for attach to set or to scan.
my ($recipe) = $operations =~ /^```sql\n(ALTER TABLE workspaces ALTER COLUMN update_tier SET DEFAULT.*?)^```/ms;
ok($recipe, 'operations.md has the recipe');
$node->safe_psql('postgres', 'CREATE DATABASE nulls');
$node->safe_psql('nulls', q{
	CREATE EXTENSION update_tier;
	CREATE TABLE workspaces (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), update_tier text);
	INSERT INTO workspaces (update_tier) SELECT CASE WHEN n <= 5 THEN 'canary' END FROM generate_series(1, 25000) AS n});
my ($status, $said, $err) = $node->psql('nulls', "SET client_min_messages = debug1;\n$recipe");
is($status, 0, 'the recipe works');
unlike($err, qr/rows of "workspaces" from NULL/, 'attach has nothing to set');
unlike((split /SELECT update_tier.attach/, $err)[-1], qr/(verifying|rewriting) table "workspaces"/, 'nor a row to look at');
is($node->safe_psql('nulls', 'SELECT update_tier, count(*) FROM workspaces GROUP BY 1 ORDER BY 1'),
	"canary|5\nproduction|24995", 'all rows are set');
is($node->safe_psql('nulls', q{SELECT count(DISTINCT xmin::text) FROM workspaces WHERE update_tier = 'production'}),
	3, 'in batches of 10,000');
is($node->safe_psql('nulls', q{SELECT attnotnull, atttypid::regtype FROM pg_attribute
	WHERE attrelid = 'workspaces'::regclass AND attname = 'update_tier'}), 't|update_tier', 'and the column is what it has to be');

$node->stop;
done_testing();
