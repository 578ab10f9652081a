# The blocks of the tutorial, and of the README's example, print what stands below
# them; those of operations.md work.  A TAP test because it reads files.
#
# TUTORIAL_WRITE=1 writes what is printed into the page instead, to be read.

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

for my $page ('README.md', 'doc/tutorial.md')
{
	(my $db = lc $page) =~ s/\W/_/g;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	my $text = slurp_file("$top/$page");
	# Up to where the page speaks of other databases.
	my ($body, $rest) = $text =~ /^(.*?)(^## Install.*|\z)/ms;
	my $n = 0;
	$body =~ s{^```sql\n(.*?)^```\n(?:(\s*)^```\n(.*?)^```\n)?}{
		my ($sql, $between, $expected) = ($1, $2, $3);
		my ($out, $err) = ('', '');
		my $file = $node->basedir . "/block.sql";
		open my $handle, '>', $file or die; print $handle $sql; close $handle;
		IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($db), '-f', $file ], '>', \$out, '2>&1');
		$out =~ s/^psql:.*?:\d+: //mg;
		$out =~ s/\n+\z/\n/;
		$n++;
		# What is not shown must at least have gone well.
		if (defined $expected) { is($out, $expected =~ s/\n+\z/\n/r, "$page, block $n"); }
		else { unlike($out, qr/^(ERROR|FATAL|WARNING)/m, "$page, block $n"); }
		"```sql\n$sql```\n" . (defined $expected ? "$between```\n$out```\n" : '');
	}gmse;
	cmp_ok($n, '>', 4, "$page: $n blocks");
	if ($ENV{TUTORIAL_WRITE})
	{
		open my $handle, '>', "$ENV{TUTORIAL_WRITE}/" . ($page =~ s{.*/}{}r) or die;
		print $handle $body . $rest;
	}
}

# What operations.md says to type works in the tutorial's database, with the
# workspace that somebody asks about.  (An index that is there already cannot be
# built again.)
my $text = slurp_file("$top/doc/operations.md");
my $n = 0;
while ($text =~ /^```sql\n(.*?)^```/gms)
{
	my $sql = $1;
	next if $sql =~ /CONCURRENTLY/;
	my ($out, $err) = ('', '');
	my $file = $node->basedir . "/block.sql";
	open my $handle, '>', $file or die; print $handle $sql; close $handle;
	IPC::Run::run([ 'psql', '-X', '-q', '-v', q{workspace='00000000-0000-0000-0000-000000000002'},
			'-d', $node->connstr('doc_tutorial_md'), '-f', $file ], '>', \$out, '2>', \$err);
	unlike($err, qr/ERROR|FATAL/, 'operations.md, block ' . ++$n) or diag $err;
}
cmp_ok($n, '>', 5, "operations.md: $n blocks");

# The recipe for many NULLs, where there are many: in batches, and nothing is left
# for attach to set or to scan.
my ($recipe) = $text =~ /^```sql\n(ALTER TABLE workspaces ALTER COLUMN update_tier SET DEFAULT.*?)^```/ms;
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
