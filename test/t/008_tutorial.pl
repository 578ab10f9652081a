# The SQL blocks of the tutorial and of the README's example print what is printed below
# them, and their commands create and drop the databases.  A TAP test because it reads files.

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

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
delete $ENV{PGDATABASE};

# The README, up to the section Install; then what it says removes the example.
my ($body, $rest) = slurp_file("$top/README.md") =~ /^(.*?)(^## Install.*)/ms;
my (undef, $create) = Page::consoles($body);
is(Page::run_console($create), '', 'README.md: a database');
Page::run_page('README.md', $body, $rest, sub { 'try_it' });
my ($drop_role) = $body =~ /`(DROP OWNED BY [^`]*)`/;
my ($drop) = $body =~ /`(sudo -u postgres dropdb [^`]*)`/;
is(Page::run_block('try_it', $drop_role), '', 'README.md: the role goes');
is(Page::run_console("\$ $drop"), '', 'README.md: the database goes');

($create, $drop) = Page::consoles(slurp_file("$top/doc/tutorial.md"));
is(Page::run_console($create), '', 'doc/tutorial.md: a database');
Page::run_page('doc/tutorial.md', slurp_file("$top/doc/tutorial.md"), '', sub { 'tutorial' });
is(Page::run_console($drop), '', 'doc/tutorial.md: the database goes');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname IN ('try_it', 'tutorial')}), 0, 'nothing is left');

$node->stop;
done_testing();
