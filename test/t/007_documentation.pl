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

# doc/reference.md: every function, and every column of every table and view.
my $reference = slurp_file("$top/doc/reference.md");
for my $function (sort keys %public)
{
	my ($short) = $function =~ /(\w+)$/;
	# As code, with its arguments, or in a list of functions that have the same.
	like($reference, qr/`(?:[\w.]+\.)?$short(?:\(|`)/, "reference.md: $function");
}
for (split /\n/, $node->safe_psql(
		'postgres', q{
		SELECT c.oid::regclass, string_agg(a.attname, ' ' ORDER BY a.attnum)
		  FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid JOIN pg_attribute AS a ON a.attrelid = c.oid
		 WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'v') AND a.attnum > 0
		   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier')
		 GROUP BY c.oid}))
{
	my ($table, $columns) = split /\|/;
	# From where the table is introduced to where the next one is.
	my ($part) = $reference =~ /^(`\Q$table\E`[,:].*?)(?=^`update_tier\.|^## |\z)/ms;
	ok($part, "reference.md: $table") or next;
	my @missing = grep { $part !~ /`$_`/ } split / /, $columns;
	is("@missing", '', "reference.md: every column of $table");
}
for my $setting (split /\n/, $node->safe_psql('postgres', q{DO $$BEGIN PERFORM update_tier.is_valid('x'); END$$; SELECT name FROM pg_settings WHERE name LIKE 'update_tier.%'}))
{
	like($reference, qr/^\| `$setting` \|/m, "reference.md: $setting");
}
# reference.md has a row for every error code that the C source raises, and for no
# other; and what a function's comment names is among them.  A code that is only
# compared with is not raised.
chomp(my $include = `$ENV{PG_CONFIG} --includedir-server`);
my %sqlstate = slurp_file("$include/utils/errcodes.h") =~ /^#define (ERRCODE_\w+) MAKE_SQLSTATE\((.*?)\)/mg;
tr/', //d for values %sqlstate;
my %raised;
for my $source (glob("$top/*.c"), glob("$top/{server,fleet,rollout}/*.c"))
{
	for my $name (slurp_file($source) =~ /\berrcode\((ERRCODE_\w+)\)/g)
	{
		ok($sqlstate{$name}, "$name is an error code of the server") or next;
		$raised{ $sqlstate{$name} } = 1;
	}
}
my ($table) = $reference =~ /^## Error codes\n(.*?)^## /ms;
my %listed = map { $_ => 1 } $table =~ /^\| ([0-9A-Z]{5}) \|/mg;
is_deeply([ sort keys %listed ], [ sort keys %raised ], 'reference.md: every error code that is raised, and no other');
my $codes = $node->safe_psql('postgres', q{
	SELECT DISTINCT (regexp_matches(obj_description(objid, 'pg_proc'), '\m([0-9P][0-9A-Z]{4})\M', 'g'))[1]
	  FROM pg_depend WHERE classid = 'pg_proc'::regclass AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier')});
for my $code (split /\n/, $codes)
{
	ok($listed{$code}, "reference.md: error $code, which a comment names");
}

# No page speaks of something that is not there.
my %known = map { $_ => 1 } split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT proname FROM pg_proc WHERE pronamespace = 'update_tier'::regnamespace
	UNION SELECT relname FROM pg_class WHERE relnamespace = 'update_tier'::regnamespace
	UNION SELECT typname FROM pg_type WHERE typnamespace = 'update_tier'::regnamespace
	UNION SELECT 'notify' UNION SELECT 'control'});
for my $page ("$top/README.md", glob "$top/doc/*.md")
{
	my @unknown = grep { !$known{$_} } slurp_file($page) =~ /\bupdate_tier\.([a-z_]+)\b(?![.\/])/g;
	is("@unknown", '', "$page speaks of what is there");
	# Links lead somewhere.
	(my $dir = $page) =~ s{/[^/]*$}{};
	for my $link (slurp_file($page) =~ /\]\(([^)#:]+)\)/g)
	{
		ok(-e "$dir/$link", "$page: $link is there");
	}
}

$node->stop;
done_testing();
