# The SQL blocks of the tutorial and of the README's example print what stands below
# them.  A TAP test because it reads files.

use strict;
use warnings;
use FindBin;
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

# The README, up to the section Install.
my ($body, $rest) = slurp_file("$top/README.md") =~ /^(.*?)(^## Install.*)/ms;
$node->safe_psql('postgres', 'CREATE DATABASE readme');
Page::run_page('README.md', $body, $rest, sub { 'readme' });

$node->safe_psql('postgres', 'CREATE DATABASE tutorial');
Page::run_page('doc/tutorial.md', slurp_file("$top/doc/tutorial.md"), '', sub { 'tutorial' });

$node->stop;
done_testing();
