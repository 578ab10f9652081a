# The tables of the documentation, held against the catalog and the C source, so that
# they cannot go stale.  A TAP test because it reads files.
#
# Each check is also run on copies of the pages that contain a mistake, and must find it.

use strict;
use warnings;
use File::Basename;
use File::Temp;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $here = "$FindBin::Bin/../..";
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$node->start;
$node->safe_psql('postgres', q{
	SET client_min_messages = warning; CREATE EXTENSION update_tier;
	SELECT update_tier.start('p', 'v')});
sub lines { return split /\n/, $node->safe_psql('postgres', $_[0]); }

# ---- What the catalog and the source contain ----

my $ours = q{d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier')};

# Every function with whether PUBLIC may execute it; those of one name share a row.
my %public = map { split /\|/ } lines(qq{
	SELECT replace(p.oid::regproc::text, '"', ''),
	       string_agg(DISTINCT CASE WHEN has_function_privilege('public', p.oid, 'execute') THEN 'yes' ELSE 'no' END, '/')
	  FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
	 WHERE d.classid = 'pg_proc'::regclass AND $ours GROUP BY 1});

# Every function with its arguments and its result, as the pages write them.
my @signatures;
for (lines(qq{
	SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
	  FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid WHERE d.classid = 'pg_proc'::regclass AND $ours}))
{
	s/::[a-z ]+(\[\])?//g;
	s/timestamp with time zone/timestamptz/g;
	my ($name, $arguments, $result) = split /\|/, $_, 3;
	my @out = grep { s/^OUT // } split /, /, $arguments;
	my $in = join ', ', grep { !/^OUT / } split /, /, $arguments;
	$result = 'TABLE (' . join(', ', @out) . ')' if @out;
	push @signatures, "$name($in)` | `$result";
}

my @settings = lines(q{
	SELECT name FROM pg_proc, unnest(proargnames) AS name
	 WHERE oid = 'update_tier.set_policy'::regproc AND name NOT IN ('package', 'apply_to_running')});

my %columns = map { split /\|/ } lines(qq{
	SELECT c.oid::regclass, string_agg(a.attname, ' ' ORDER BY a.attnum)
	  FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid JOIN pg_attribute AS a ON a.attrelid = c.oid
	 WHERE d.classid = 'pg_class'::regclass AND $ours AND c.relkind IN ('r', 'v') AND a.attnum > 0 GROUP BY c.oid});

my @server_settings = lines(q{
	DO $$BEGIN PERFORM update_tier.is_valid('x'); END$$; SELECT name FROM pg_settings WHERE name LIKE 'update_tier.%'});

my @codes_of_comments = lines(qq{
	SELECT DISTINCT (regexp_matches(obj_description(objid, 'pg_proc'), '\\m([0-9P][0-9A-Z]{4})\\M', 'g'))[1]
	  FROM pg_depend AS d WHERE classid = 'pg_proc'::regclass AND $ours});

my %known = map { $_ => 1 } 'notify', 'control', lines(q{
	SELECT proname FROM pg_proc WHERE pronamespace = 'update_tier'::regnamespace
	UNION SELECT relname FROM pg_class WHERE relnamespace = 'update_tier'::regnamespace
	UNION SELECT typname FROM pg_type WHERE typnamespace = 'update_tier'::regnamespace});

chomp(my $include = `$ENV{PG_CONFIG} --includedir-server`);
my %sqlstate = slurp_file("$include/utils/errcodes.h") =~ /^#define (ERRCODE_\w+) MAKE_SQLSTATE\((.*?)\)/mg;
tr/', //d for values %sqlstate;

# ---- The checks: each takes a directory, and returns what is wrong there ----

# doc/security.md has a row for each function, and names tests that mention it.
sub security
{
	my ($top) = @_;
	my (%documented, @wrong);
	for (split /\n/, slurp_file("$top/doc/security.md"))
	{
		my ($function, $rights, $public, $touches, $tests) = /^\| `([\w.]+)` \| (.*?) \| (yes|no) \| (.*?) \| (.*?) \|$/ or next;
		push @wrong, "two rows for $function" if $documented{$function};
		$documented{$function} = $public;
		my ($short) = $function =~ /(\w+)$/;
		# The domain calls is_valid, and the server calls the triggers and list_support.
		my $by_name = $short !~ /^(is_valid|list_support|attached_changed|attached_replaced|tier_changes)$/;
		for my $test ($tests =~ /`([^`]+)`/g)
		{
			my $file = $test =~ m{/} ? "$top/$test" : "$top/sql/$test.sql";
			if (!-e $file) { push @wrong, "$function: no test $test"; }
			elsif ($by_name && $file !~ m{/fuzz/} && (slurp_file($file) . slurp_file("$top/test/fleet.sql")) !~ /\b$short\b/)
			{
				push @wrong, "test $test does not mention $function";
			}
		}
	}
	for my $function (sort keys %{ { %public, %documented } })
	{
		if (!$documented{$function}) { push @wrong, "no row for $function"; }
		elsif (!$public{$function}) { push @wrong, "there is no $function"; }
		elsif ($documented{$function} ne $public{$function}) { push @wrong, "PUBLIC may execute $function: $public{$function}"; }
	}
	return @wrong;
}

# doc/reference.md has a row for each function, with its arguments and its result.
# Where the row has an ellipsis, anything may stand there.
sub functions
{
	my ($top) = @_;
	my @rows = slurp_file("$top/doc/reference.md") =~ /^\| `(\w+\([^`]*\)` \| `[^`]+)` \|/mg;
	my @wrong;
	for my $signature (@signatures)
	{
		my $count = grep { my $row = quotemeta; $row =~ s/\\\xe2\\\x80\\\xa6/.*/g; $signature =~ /^$row$/ } @rows;
		push @wrong, "$count rows for $signature" if $count != 1;
	}
	push @wrong, scalar(@rows) . ' rows for ' . scalar(@signatures) . ' functions' if @rows != @signatures;
	return @wrong;
}

# Each setting of a policy is described once in the documentation, with its default, and
# in the order of the parameters of set_policy.
sub policy
{
	my ($top) = @_;
	my $reference = slurp_file("$top/doc/reference.md");
	my $pages = join "\n", map { slurp_file($_) } "$top/README.md", glob "$top/doc/*.md";
	my @wrong;
	for my $setting (@settings)
	{
		my @defaults = $pages =~ /^\| `$setting` \| ([^|]*) \|/mg;
		if (@defaults != 1) { push @wrong, scalar(@defaults) . " descriptions of $setting"; }
		elsif ((lines("SELECT $setting = '$defaults[0]' FROM update_tier.rollout"))[0] ne 't')
		{
			push @wrong, "the default of $setting is not $defaults[0]";
		}
	}
	my $order = join ' ', $reference =~ /^## Policy\n.*?^(\|.*?)^\n/ms && $1 =~ /^\| `(\w+)`/mg;
	push @wrong, "another order: $order" if $order ne "@settings";
	return @wrong;
}

# doc/reference.md has every column of every table and view: from where the table is
# introduced to where the next one is.
sub columns
{
	my ($top) = @_;
	my $reference = slurp_file("$top/doc/reference.md");
	my @wrong;
	for my $table (sort keys %columns)
	{
		my ($part) = $reference =~ /^(`\Q$table\E`[,:].*?)(?=^`update_tier\.|^## |\z)/ms;
		if (!$part) { push @wrong, "no $table"; next; }
		push @wrong, map { "no column $_ of $table" } grep { $part !~ /`$_`/ } split / /, $columns{$table};
	}
	return @wrong;
}

sub server_settings
{
	my ($top) = @_;
	my $reference = slurp_file("$top/doc/reference.md");
	return map { "no $_" } grep { $reference !~ /^\| `$_` \|/m } @server_settings;
}

# doc/reference.md has a row for every error code that the C source raises, and for no
# other code.  The comments of functions only name codes that have a row.  A code that the
# source only compares with is not raised.
sub error_codes
{
	my ($top) = @_;
	my ($table) = slurp_file("$top/doc/reference.md") =~ /^## Error codes\n(.*?)^## /ms or return 'no table of error codes';
	my @listed = $table =~ /^\| ([0-9A-Z]{5}) \|/mg;
	my %listed = map { $_ => 1 } @listed;
	my (%raised, @wrong);
	for my $source (glob("$top/*.c"), glob("$top/{server,fleet,rollout}/*.[ch]"))
	{
		my $text = slurp_file($source);
		$text =~ s{/\*.*?\*/}{}gs;
		$text =~ s/[!=]=\s*ERRCODE_\w+|ERRCODE_TO_CATEGORY//g;
		for my $name ($text =~ /\b(ERRCODE_\w+)/g)
		{
			if ($sqlstate{$name}) { $raised{ $sqlstate{$name} } = 1; }
			else { push @wrong, "$name is no error code of the server"; }
		}
	}
	push @wrong, map { "$_ is raised, and has no row" } grep { !$listed{$_} } sort keys %raised;
	push @wrong, map { "$_ has a row, and is not raised" } grep { !$raised{$_} } sort keys %listed;
	push @wrong, 'rows that are there twice' if @listed != keys %listed;
	push @wrong, map { "$_ is named by a comment, and has no row" } grep { !$listed{$_} } @codes_of_comments;
	return @wrong;
}

# Every name and every link in a page exists.
sub names_and_links
{
	my ($top) = @_;
	my @wrong;
	for my $page ("$top/README.md", glob "$top/{doc,examples/*}/*.md")
	{
		my $name = $page =~ s{.*/(?=examples/)}{}r;
		$name = basename($page) if $name eq $page;
		push @wrong, map { "$name: there is no update_tier.$_" }
		  grep { !$known{$_} } slurp_file($page) =~ /\bupdate_tier\.([a-z_]+)\b(?![.\/])/g;
		push @wrong, map { "$name: a link to $_" }
		  grep { !-e dirname($page) . "/$_" } slurp_file($page) =~ /\]\(([^)#:]+)\)/g;
	}
	return @wrong;
}

# Each test that a page names exists, and is in the Makefile if it is one of pg_regress.
sub tests_exist
{
	my ($top) = @_;
	my %is_run = map { $_ => 1 } slurp_file("$top/Makefile") =~ /^\t(\w+)(?: \\)?$/mg;
	my @wrong;
	for my $page (map { glob "$top/$_" } 'README.md', 'CONTRIBUTING.md', 'doc/*.md', 'examples/*/*.md')
	{
		for my $test (slurp_file($page) =~ m{`((?:sql|test)/[^`\s]*)}g)
		{
			if (!grep { -e "$top/$test$_" } '', '.sql', '.spec', '.pl') { push @wrong, basename($page) . ": no test $test"; }
			elsif ($test =~ m{^(?:sql|test/specs)/(\w+)} && !$is_run{$1}) { push @wrong, basename($page) . ": $test is not run"; }
		}
	}
	return @wrong;
}

my @checks = (
	[ 'security.md: every function, who may execute it, and tests', \&security ],
	[ 'reference.md: every function', \&functions ],
	[ 'reference.md: every setting of a policy', \&policy ],
	[ 'reference.md: every column', \&columns ],
	[ 'reference.md: every setting of the server', \&server_settings ],
	[ 'reference.md: every error code', \&error_codes ],
	[ 'every page: names and links', \&names_and_links ],
	[ 'every page: the tests that it names', \&tests_exist ]);
for (@checks)
{
	my ($name, $check) = @$_;
	is(join("\n", $check->($here)), '', $name);
}
cmp_ok(scalar(keys %public), '>', 40, 'there is something to compare: functions');
cmp_ok(scalar(keys %columns), '>', 6, 'there is something to compare: tables');

# ---- Each check can fail ----

# A copy of the source in which one file has another text, and all others are links.
sub with_text
{
	my ($file, $text) = @_;
	my $copy = File::Temp->newdir;
	symlink $_, "$copy/" . basename($_) for glob "$here/*";
	my $folder = '';
	for my $part (grep { $_ ne '.' } split m{/}, dirname($file))
	{
		$folder .= "/$part";
		unlink "$copy$folder";
		mkdir "$copy$folder" or die;
		symlink $_, "$copy$folder/" . basename($_) for glob "$here$folder/*";
	}
	unlink "$copy/$file";
	open my $handle, '>', "$copy/$file" or die;
	print $handle $text;
	close $handle or die;
	return $copy;
}

# sees CHECK, FILE, CHANGE, WRONG: the check finds this mistake in a copy in which the
# file is changed like this, and does not find it without the change.
sub sees
{
	my ($check, $file, $change, $wrong) = @_;
	local $_ = slurp_file("$here/$file");
	my $before = $_;
	$change->();
	isnt($_, $before, "$file: the mistake is made: $wrong");
	my $copy = with_text($file, $_);
	unlike(join("\n", $check->($here)), qr/^\Q$wrong\E$/m, 'not there before');
	like(join("\n", $check->($copy)), qr/^\Q$wrong\E$/m, 'and seen');
}

sees(\&security, 'doc/security.md', sub { s/^\| `update_tier\.start` .*\n//m }, 'no row for update_tier.start');
sees(\&security, 'doc/security.md', sub { s/^\| `update_tier\.start` .*\n/$&$&/m }, 'two rows for update_tier.start');
sees(\&security, 'doc/security.md', sub { s/^(\| `update_tier\.)start`/$1begin`/m }, 'there is no update_tier.begin');
sees(\&security, 'doc/security.md', sub { s/^(\| `update_tier\.start` .*) no /$1 yes /m }, 'PUBLIC may execute update_tier.start: no');
sees(\&security, 'doc/security.md', sub { s/^(\| `update_tier\.force` .*), `\w+` \|$/$1, `tier` |/m }, 'test tier does not mention update_tier.force');
sees(\&security, 'doc/security.md', sub { s/^(\| `update_tier\.force` .*), `\w+` \|$/$1, `forced` |/m }, 'update_tier.force: no test forced');
sees(\&functions, 'doc/reference.md', sub { s/^\| `start\(package text, version text\)/| `start(package text)/m }, '0 rows for start(package text, version text)` | `text');
sees(\&functions, 'doc/reference.md', sub { s/^\| `start\(.*\n/$&$&/m }, '2 rows for start(package text, version text)` | `text');
sees(\&functions, 'doc/reference.md', sub { s/^\| `start\(.*\n/$&| `begin(package text)` | `text` | |\n/m }, (@signatures + 1) . ' rows for ' . @signatures . ' functions');
sees(\&policy, 'doc/reference.md', sub { s/^\| `retry_delay` .*\n//m }, '0 descriptions of retry_delay');
sees(\&policy, 'doc/operations.md', sub { $_ .= "| `retry_delay` | 5 minutes | again |\n" }, '2 descriptions of retry_delay');
sees(\&policy, 'doc/reference.md', sub { s/^(\| `max_attempts` \|) 3 /$1 4 /m }, 'the default of max_attempts is not 4');
sees(\&policy, 'doc/reference.md', sub { s/^(\| `soak` .*\n)(\| `ramp` .*\n)/$2$1/m }, join ' ', 'another order:', @settings[1, 0, 2 .. $#settings]);
sees(\&columns, 'doc/reference.md', sub { s/^`update_tier\.installation`/`update_tier.execution`/m }, 'no update_tier.installation');
sees(\&columns, 'doc/reference.md', sub { s/`lease_until`/`lease`/g }, 'no column lease_until of update_tier.installed');
sees(\&server_settings, 'doc/reference.md', sub { s/^\| `\Q$server_settings[0]\E` .*\n//m }, "no $server_settings[0]");
sees(\&error_codes, 'doc/reference.md', sub { s/^\| P0002 .*\n//m }, 'P0002 is raised, and has no row');
sees(\&error_codes, 'doc/reference.md', sub { s/^\| P0002 .*\n//m }, 'P0002 is named by a comment, and has no row');
sees(\&error_codes, 'doc/reference.md', sub { s/^\| P0002 .*\n/$&| P0003 | | |\n/m }, 'P0003 has a row, and is not raised');
sees(\&error_codes, 'rollout/verbs.c', sub { $_ .= "static int code = ERRCODE_TOO_MANY_ROWS;\n" }, 'P0003 is raised, and has no row');
sees(\&error_codes, 'rollout/verbs.c', sub { $_ .= "static int code = ERRCODE_NONSENSE;\n" }, 'ERRCODE_NONSENSE is no error code of the server');
sees(\&names_and_links, 'doc/operations.md', sub { $_ .= "`update_tier.phase_at`\n" }, 'operations.md: there is no update_tier.phase_at');
sees(\&names_and_links, 'README.md', sub { $_ .= "[a page](doc/nowhere.md)\n" }, 'README.md: a link to doc/nowhere.md');
sees(\&names_and_links, 'examples/monitoring/README.md', sub { $_ .= "`update_tier.halted`\n" }, 'examples/monitoring/README.md: there is no update_tier.halted');
sees(\&tests_exist, 'doc/design.md', sub { $_ .= "(`sql/ramps`)\n" }, 'design.md: no test sql/ramps');
sees(\&tests_exist, 'Makefile', sub { s/^\tramp \\\n//m }, 'design.md: sql/ramp is not run');

$node->stop;
done_testing();
