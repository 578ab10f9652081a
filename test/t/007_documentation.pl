# The tables of the documentation, held against the catalog, so that they cannot
# go stale.  A TAP test because it reads files.

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
$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION update_tier');

# Every function with whether PUBLIC may execute it.
my %public = map { split /\|/ } split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT p.oid::regproc, CASE WHEN has_function_privilege('public', p.oid, 'execute') THEN 'yes' ELSE 'no' END
	  FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
	 WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier')});

# doc/security.md: a row for each of them, and tests that mention it.
my %documented;
for (split /\n/, slurp_file("$top/doc/security.md"))
{
	my ($function, $rights, $public, $touches, $tests) = /^\| `([\w.]+)` \| (.*?) \| (yes|no) \| (.*?) \| (.*?) \|$/ or next;
	$documented{$function} = $public;
	my ($short) = $function =~ /(\w+)$/;
	# The validator is called by the domain, triggers and support by the server.
	my $by_name = $short !~ /^(is_valid|list_support|attached_changed|attached_replaced|tier_changes)$/;
	for my $test ($tests =~ /`([^`]+)`/g)
	{
		my $file = $test =~ m{/} ? "$top/$test" : "$top/sql/$test.sql";
		ok(-e $file, "security.md: $test exists") or next;
		next if $file =~ m{/fuzz/} or !$by_name;
		ok((slurp_file($file) . slurp_file("$top/test/fleet.sql")) =~ /\b$short\b/, "security.md: $test has $function");
	}
}
is_deeply(\%documented, \%public, 'security.md: every function, and who may execute it');

$node->stop;
done_testing();
