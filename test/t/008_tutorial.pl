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

$node->stop;
done_testing();
