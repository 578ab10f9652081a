# The code blocks that no other test runs: README.md (Install), CONTRIBUTING.md,
# doc/operations.md (a notification) and examples/docker/README.md.  test/t/007_documentation.pl
# has the list of which test runs which block.  A TAP test because it reads files.

use strict;
use warnings;
use FindBin;
use IPC::Run ();
use lib $FindBin::Bin;
use Page;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::Bin/../..";
my $node = $Page::node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$node->start;

# runs PAGE, DATABASE, SQL, BLOCK: the one block of the page with this in it goes well, after
# that SQL.
sub runs
{
	my ($page, $database, $sql, $in_it) = @_;
	my @found = grep { /$in_it/ } Page::blocks(slurp_file("$top/$page"));
	is(scalar(@found), 1, "$page has one block with $in_it");
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "SET client_min_messages = warning; $sql");
	my $out = Page::run_block($database, $found[0]);
	unlike($out, qr/^(ERROR|FATAL|WARNING)/m, 'and it goes well') or diag($out);
	is($node->safe_psql($database, 'SELECT workspaces FROM update_tier.attached'), $found[0] =~ /attach\('(\w+)'/ ? $1 : '', 'the table is attached');
}
runs('README.md', 'install', 'CREATE TABLE your_table (id uuid PRIMARY KEY)', qr/your_table/);
runs('examples/docker/README.md', 'docker', slurp_file("$top/examples/docker/create-extension.sql"), qr/attach/);

# The notification that the page shows is one that is sent.
my ($payload) = slurp_file("$top/doc/operations.md") =~ /^```\n(\{"phase".*\})\n```$/m;
ok($payload, 'doc/operations.md shows a notification');
my $out = Page::run_block('docker', q{
	LISTEN update_tier;
	SELECT update_tier.start('search', 'v8');
	SELECT update_tier.halt('search', 'v8');});
like($out, qr/^Asynchronous notification "update_tier" with payload "\Q$payload\E" received/m, 'and that is sent');

# The first comments of all files.
my ($command) = slurp_file("$top/CONTRIBUTING.md") =~ /^```console\n\$ (awk .*)\n```$/m;
ok($command, 'CONTRIBUTING.md has a command that prints them');
my @files = map { s{^\Q$top\E/}{}r } glob("$top/update_tier.c"), glob("$top/*/*.c");
my $printed = '';
ok(IPC::Run::run([ 'bash', '-euc', "cd '$top' && $command" ], '>', \$printed), 'it goes well');
my @lines = split /\n/, $printed;
is(join("\n", @lines[ grep { $_ % 2 == 0 } 0 .. $#lines ]), join("\n", map { " * $_" } @files), 'the name of each file');
is(scalar(grep { !/^ \*\t  \S/ } @lines[ grep { $_ % 2 } 0 .. $#lines ]), 0, 'and what it is for');

$node->stop;
done_testing();
