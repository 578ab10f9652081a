# The documentation, compared with the catalog and the source: every function, setting,
# column, type, notification and error code is in doc/reference.md, and nothing else is.
# No other page has tables of arguments or error codes.  Names and links exist.  No text has
# a word that the glossary rejects.  A test runs each code block.  A TAP test because it
# reads files.
#
# Each check is also run on a copy that contains a mistake, and must find it.

use strict;
use warnings;
use File::Basename;
use File::Temp;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $here = "$FindBin::Bin/../..";
my ($install_script) = map { "update_tier--$_.sql" } slurp_file("$here/update_tier.control") =~ /^default_version = '(.*)'/m;
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

my %server_settings = map { split /\|/ } lines(q{
	DO $$BEGIN PERFORM update_tier.is_valid('x'); END$$;
	SELECT name, boot_val FROM pg_settings WHERE name LIKE 'update_tier.%'});

# Every domain, in its schema unless that is the one of the extension.
my %domains = map { tr/"//dr =~ /(.*)\|(.*)/ } lines(qq{
	SELECT t.oid::regtype, t.typbasetype::regtype
	  FROM pg_depend AS d JOIN pg_type AS t ON t.oid = d.objid
	 WHERE d.classid = 'pg_type'::regclass AND $ours AND t.typtype = 'd'});
my @phases = lines(q{
	SELECT m[1] FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), $$'(\w+)'::text$$, 'g') AS m
	 WHERE conname = 'known_phase'});

my @codes_of_comments = lines(qq{
	SELECT DISTINCT (regexp_matches(obj_description(objid, 'pg_proc'), '\\m([0-9P][0-9A-Z]{4})\\M', 'g'))[1]
	  FROM pg_depend AS d WHERE classid = 'pg_proc'::regclass AND $ours});

my %known = map { $_ => 1 } 'notify', 'control', 'c', lines(q{
	SELECT proname FROM pg_proc WHERE pronamespace = 'update_tier'::regnamespace
	UNION SELECT relname FROM pg_class WHERE relnamespace = 'update_tier'::regnamespace
	UNION SELECT typname FROM pg_type WHERE typnamespace = 'update_tier'::regnamespace});

chomp(my $include = `$ENV{PG_CONFIG} --includedir-server`);
my %sqlstate = slurp_file("$include/utils/errcodes.h") =~ /^#define (ERRCODE_\w+) MAKE_SQLSTATE\((.*?)\)/mg;
tr/', //d for values %sqlstate;

# ---- The checks: each takes a directory, and returns what is wrong there ----

# The pages that a reader reads, from the top of the source.
sub pages
{
	my ($top) = @_;
	return map { s{^\Q$top\E/}{}r } map { glob "$top/$_" } 'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'doc/*.md', 'examples/*/*.md';
}

# The text of a section of a page, and the rows of the first table in it, without its
# head: each a list of cells.
sub section { return $_[0] =~ /^(## \Q$_[1]\E\n.*?)(?=^## |\z)/ms ? $1 : ''; }
sub table_of
{
	my ($first) = section(@_) =~ /^((?:\|.*\n)+)/m or return;
	my (undef, undef, @rows) = split /\n/, $first;
	return map { [ map { s/^\s+|\s+$//gr } split /\|/, s/^\||\|$//gr, -1 ] } @rows;
}
sub names { return $_[0] =~ /`([^`]+)`/g; }

# What is in one list and not in the other, and what is there twice.
sub differences
{
	my ($what, $there, $documented) = @_;
	my (%there, %documented);
	$there{$_}++ for @$there;
	$documented{$_}++ for @$documented;
	return ((map { "no row for $what $_" } grep { !$documented{$_} } sort keys %there),
		(map { "there is no $what $_" } grep { !$there{$_} } sort keys %documented),
		(map { "two rows for $what $_" } grep { $documented{$_} > 1 } sort keys %documented));
}

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

# The tables of other pages that have an error code in front, and why.
my %own_codes = ('examples/apply-endpoint/README.md' => 'which HTTP status the service makes of it');

# Only doc/reference.md has rows that begin with a function and its arguments, with an
# argument and its type, or with an error code.
sub one_place
{
	my ($top) = @_;
	my %function = map { /^(\w+)/ => 1 } @signatures;
	my %argument = map { /^(\w+ [\w\[\]]+)/ => 1 } map { split /, / } map { /\((.*?)\)`/ } @signatures;
	my %code = map { $_ => 1 } values %sqlstate;
	my @wrong;
	for my $page (grep { $_ ne 'doc/reference.md' } pages($top))
	{
		my $text = slurp_file("$top/$page");
		push @wrong, map { "$page: a row for $_" } grep { /^(\w+)/ && $function{$1} } $text =~ /^\| `(?:update_tier\.)?(\w+\([^)`]+\)?)/mg;
		push @wrong, map { "$page: a row for the argument $_" } grep { $argument{$_} } $text =~ /^\| `(\w+ [\w\[\]]+)/mg;
		next if $own_codes{$page};
		push @wrong, map { "$page: a row for the error code $_" } grep { $code{$_} } $text =~ /^\| `?([0-9A-Z]{5})\b(?!,)/mg;
	}
	return @wrong;
}

# Each setting of a policy is described once in the documentation, with its default, and
# in the order of the parameters of set_policy.
sub policy
{
	my ($top) = @_;
	my $all = join "\n", map { slurp_file("$top/$_") } pages($top);
	my @wrong;
	for my $setting (@settings)
	{
		my @defaults = $all =~ /^\| `$setting` \| ([^|]*) \|/mg;
		if (@defaults != 1) { push @wrong, scalar(@defaults) . " descriptions of $setting"; }
		elsif ((lines("SELECT $setting = '$defaults[0]' FROM update_tier.rollout"))[0] ne 't')
		{
			push @wrong, "the default of $setting is not $defaults[0]";
		}
	}
	my $order = join ' ', map { names($_->[0]) } table_of(slurp_file("$top/doc/reference.md"), 'Policy');
	push @wrong, "another order: $order" if $order ne "@settings";
	return @wrong;
}

# doc/reference.md has every table and view with its columns, and no other.  Each has a
# table of its own, after a line that begins with its name.
sub columns
{
	my ($top) = @_;
	my $reference = slurp_file("$top/doc/reference.md");
	my %documented = $reference =~ /^`(update_tier\.\w+)`[,.:](?:.+\n)+\n((?:\|.*\n)+)/mg;
	my @wrong = differences('table', [ keys %columns ], [ keys %documented ]);
	for my $table (grep { $documented{$_} } sort keys %columns)
	{
		my (undef, undef, @rows) = split /\n/, $documented{$table};
		push @wrong, differences("column of $table", [ split / /, $columns{$table} ], [ map { names((split /\|/)[1]) } @rows ]);
	}
	return @wrong;
}

sub domains
{
	my ($top) = @_;
	my (%documented, @wrong);
	for (table_of(slurp_file("$top/doc/reference.md"), 'Types'))
	{
		for my $name (names($_->[0]))
		{
			push @wrong, "two rows for type $name" if $documented{$name};
			$documented{$name} = $_->[1];
		}
	}
	push @wrong, differences('type', [ keys %domains ], [ keys %documented ]);
	push @wrong, map { "type $_ is over $domains{$_}" }
	  grep { $documented{$_} && $documented{$_} ne $domains{$_} } sort keys %domains;
	return @wrong;
}

sub server_settings
{
	my ($top) = @_;
	my %documented = map { (names($_->[0]), $_->[1]) } table_of(slurp_file("$top/doc/reference.md"), 'Server setting');
	return (differences('setting', [ keys %server_settings ], [ keys %documented ]),
		map { "the default of $_ is $server_settings{$_}" }
		grep { defined $documented{$_} && $documented{$_} ne $server_settings{$_} } sort keys %server_settings);
}

# The C source without its comments.
sub sources
{
	my ($top) = @_;
	return join "\n", map { slurp_file($_) =~ s{/\*.*?\*/}{}gsr } glob("$top/*.c"), glob("$top/{server,fleet,rollout}/*.[ch]");
}

# doc/reference.md has the channel and the keys of what is sent on it, each phase, and
# each kind of event.
sub what_is_said
{
	my ($top) = @_;
	my $source = sources($top);
	my $reference = slurp_file("$top/doc/reference.md");
	my ($row) = table_of($reference, 'Notifications');
	my ($function) = $source =~ /^(notify_phase\(.*?^\})/ms;
	my @keys = ($function =~ /\{?\\"(\w+)\\": \\"/g, $function =~ /\? "(\w+)" : "(\w+)"/);
	my ($kinds) = $reference =~ /^\| `kind` \| (.*?) \|$/m;
	my @noted = ($source =~ /package_note(?:_token)?\((?:loaded|verb->loaded), [^;"]*?"([a-z ]+)"/g,
		(map { /"([a-z ]+)"/g } map { /verb_end\(&verb,.*?\),\s*(.*)\)/s } $source =~ /(verb_end\(&verb,.*?\)\);)/gs));
	my %noted = map { $_ => 1 } @noted;
	return (differences('channel', [ $source =~ /Async_Notify\("(\w+)"/g ], [ names($row->[0]) ]),
		differences('key of a notification', \@keys, [ names($row->[1]) ]),
		differences('phase', \@phases, [ map { names($_->[0]) } table_of($reference, 'Rollouts') ]),
		differences('kind of event', [ keys %noted ], [ names($kinds) ]));
}

# What raises an error code without naming it: functions of the server, and what the
# tables of the extension do not take.
my %raises = (
	'aclcheck_error' => '42501',
	'PreventCommandIfReadOnly' => '25006',
	'elog\(ERROR' => 'XX000');
my %rejects = (
	'NOT NULL' => '23502',
	'PRIMARY KEY|UNIQUE' => '23505',
	'CHECK \(' => '23514');

# doc/reference.md has a row for every error code that the C source and the install
# script can raise, and for no other, each with a cause and a cure; and what a function's
# comment names is among them.  A code that is only compared with is not raised.
sub error_codes
{
	my ($top) = @_;
	my @rows = table_of(slurp_file("$top/doc/reference.md"), 'Error codes') or return 'no table of error codes';
	my %listed = map { $_->[0] => 1 } @rows;
	my (%raised, %seen, @wrong);
	my $source = sources($top);
	my $script = slurp_file("$top/$install_script") =~ s/^\s*--.*//mgr;
	$raised{ $raises{$_} } = 1 for grep { $source =~ /\b$_/ } keys %raises;
	$raised{ $rejects{$_} } = 1 for grep { $script =~ /\b(?:$_)/ } keys %rejects;
	$source =~ s/[!=]=\s*ERRCODE_\w+|ERRCODE_TO_CATEGORY//g;
	for my $name ($source =~ /\b(ERRCODE_\w+)/g)
	{
		if ($sqlstate{$name}) { $raised{ $sqlstate{$name} } = 1; }
		else { push @wrong, "$name is no error code of the server"; }
	}
	push @wrong, map { "$_ is raised, and has no row" } grep { !$listed{$_} } sort keys %raised;
	push @wrong, map { "$_ has a row, and is not raised" } grep { !$raised{$_} } sort keys %listed;
	push @wrong, map { "$_ is named by a comment, and has no row" } grep { !$listed{$_} } @codes_of_comments;
	for (@rows)
	{
		my ($code, $cause, $cure) = @$_;
		push @wrong, "$code has no cause" if !$cause;
		push @wrong, "$code has no cure: $cause" if $cause && !$cure;
		push @wrong, "$code has two rows: $cause" if $seen{"$code $cause"}++;
	}
	push @wrong, 'rows that are out of order' if join(' ', map { $_->[0] } @rows) ne join(' ', sort map { $_->[0] } @rows);
	return @wrong;
}

# Every name and every link in a page exists.
sub names_and_links
{
	my ($top) = @_;
	my @wrong;
	for my $page (pages($top))
	{
		my $text = slurp_file("$top/$page");
		push @wrong, map { "$page: there is no update_tier.$_" }
		  grep { !$known{$_} } $text =~ /\bupdate_tier\.([a-z_]+)\b(?![.\/])/g;
		while ($text =~ /\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)
		{
			my ($file, $anchor) = ($1 eq '' ? $page : dirname($page) . "/$1", $2);
			if (!-e "$top/$file") { push @wrong, "$page: a link to $1"; next; }
			next if !defined $anchor;
			# A heading's anchor is its text, in lower case, with hyphens for blanks.
			my %anchors = map { (lc($_) =~ s/[^\w -]//gr =~ tr/ /-/r) => 1 } slurp_file("$top/$file") =~ /^#+ (.*)/mg;
			push @wrong, "$page: a link to #$anchor" if !$anchors{$anchor};
		}
	}
	return @wrong;
}

# ---- The words ----

# Where a word of the glossary's column "not" has another meaning, and may stand.  A blank
# is any white space, also the end of a line.
my @other_meanings = map { [ $_->[0], map { my $pattern = s/ /\\s+/gr; qr/$pattern/i } @$_[ 1 .. $#$_ ] ] } (
	[ 'of a process, or of the platform as a whole',
		'environment variables?', 'in the environment', 'the environment (?:says|names)', 'fault of the environment' ],
	[ 'of this extension, or of other software',
		'archive of a release', 'after the release', '## release', 'a released version', 'not released yet', 'minor releases?' ],
	[ 'what the platform of a test does', 'release VERSION EFFECT' ],
	[ 'of a lock', 'ACCESS SHARE on the table, to look. It is released', 'lock is released', 'release the locks', 'release what package_take_locks' ],
	[ 'what Alembic calls a migration', 'last revision has run', 'revisions of Alembic' ],
	[ 'the severity of an alert; of an issue tracker', '"ticket"', '\| ticket \|', 'number of a ticket' ],
	[ 'the kind of update, in the first sentence', 'staged updates' ],
	[ 'of a build in a container', '(?:build|final|first|last) stages?', 'stages and what they copy', 'FILE STAGE: the instructions of a stage' ],
	[ 'of a column whose value is computed', 'generation expressions?' ],
	[ 'of an installation below a directory, for the tests',
		'staged (?:build|extension|installation)', 'staging directory', 'the same as stage,' ],
	[ 'of an index, by the name of the parameter', '\*outdated are' ],
	[ 'a tag under which readers search', '"deployment"' ],
	[ 'of a row', 'still the current version' ]);

# The words that the glossary rejects, with the term that stands in their place.
sub rejected_words
{
	my ($top) = @_;
	my %rejected;
	for (table_of(slurp_file("$top/doc/reference.md"), 'Terms'))
	{
		my ($term, undef, $not) = @$_;
		$rejected{$_} = $term for split /, /, $not;
	}
	return %rejected;
}

# A word in its forms: with -s, -ed and -ing.
sub forms
{
	my ($word) = @_;
	return $word =~ /^(.*)e$/ ? qr/\b$1(?:e[sd]?|ing)\b/i : qr/\b\Q$word\E(?:e?s|ed|ing)?\b/i;
}

# What people read, line by line: [FILE:LINE, TEXT].  In a page, the text without code
# and the targets of links.  In SQL, the comments.  In C, the comments, and the strings
# with a blank.  In scripts, the comments and the names of checks.  In other code, the
# comments.
sub said_in_page
{
	my ($file, $text) = @_;
	# In the glossary, the column itself.
	$text =~ s/^## Terms\n.*?(?=^## )/section($text, 'Terms') =~ s{^(\|[^|]*\|[^|]*\|).*}{$1}mgr/mse;
	$text =~ s/^```.*?^```$/$& =~ tr{\n}{}cdr/mges;
	$text =~ s/(?<=\n\n)(?:    .*\n)+/$& =~ tr{\n}{}cdr/ges;
	$text =~ s/`[^`]*`/$& =~ tr{\n}{}cdr/ges;
	$text =~ s/\]\([^)]*\)|<!--.*?-->//g;
	return by_line($file, $text);
}
sub said_in_sql
{
	my ($file, $text) = @_;
	return by_line($file, join "\n", map { /^'(.*)';?$/ || /\bIS\s+'(.*)';$/ || /--\s(.*)/ ? $1 : '' } split /\n/, $text);
}
sub said_in_strings
{
	my ($file, $text) = @_;
	if ($file =~ /\.[ch]$/) { $text =~ s{/\*.*?\*/}{$& =~ tr/\n//cdr}ges; }
	else { $text =~ s/^(?!.*\b(?:check|step|skip|stop|say) ").*//mg; }
	return by_line($file, join "\n", map { join ' ', grep { / / } /"((?:[^"\\]|\\.)*)"/g } split /\n/, $text);
}
# The comments of a file of code, without what begins their lines.
sub said_in_comments
{
	my ($file, $text) = @_;
	if ($file =~ /\.[ch]$/)
	{
		# All but comments becomes empty lines.
		$text =~ s{(.*?)(?:/\*(.*?)\*/|\z)}{($1 =~ tr/\n//cdr) . ($2 // '')}gse;
		$text =~ s/^[ \t]*\*(?=\s)//mg;
		return by_line($file, $text);
	}
	my $begins = $file =~ /\.(?:go|js|java)$/ ? qr{//} : qr{#+};
	return by_line($file, join "\n", map { m{(?:^|\s)$begins\s(.*)} ? $1 : '' } split /\n/, $text);
}
sub by_line
{
	my ($file, $text) = @_;
	my $n = 0;
	for my $meaning (@other_meanings)
	{
		my (undef, @patterns) = @$meaning;
		for my $pattern (@patterns) { $text =~ s/$pattern/$& =~ tr{\n}{}cdr/ge; }
	}
	return map { [ "$file:" . ++$n, $_ ] } split /\n/, $text;
}
sub all_that_is_said
{
	my ($top) = @_;
	my $of = sub {
		my ($said, @patterns) = @_;
		return map { $said->(s{^\Q$top\E/}{}r, slurp_file($_)) } map { glob "$top/$_" } @patterns;
	};
	return ((map { said_in_page($_, slurp_file("$top/$_")) } pages($top)),
		$of->(\&said_in_sql, 'update_tier--*.sql', 'sql/*.sql', 'test/*.sql', 'examples/*.sql', 'examples/*/*.sql'),
		$of->(\&said_in_strings, '*.c', '{server,fleet,rollout}/*.[ch]',
			'test/run', 'test/*/run', 'test/{containers,package,harness,layers}'),
		$of->(\&said_in_comments, '*.c', '{server,fleet,rollout}/*.[ch]', 'test/{fuzz,machine}/*.[ch]', scripts($top),
			'Makefile', '*.control', 'debian/{rules,tests/installcheck}', 'test/specs/*.spec', 'test/t/*.p[lm]', 'test/*/*.{py,go,js,java,yml}',
			'examples/*/*.{go,y*ml}', 'examples/docker/Dockerfile*', '.github/workflows/*.yml'),
		$of->(\&by_line, 'META.json', 'debian/control', 'debian/control.in'));
}
# The programs without an extension in their names, and the shell's files.
sub scripts
{
	my ($top) = @_;
	return map { s{^\Q$top\E/}{}r } grep { -f && (/\.sh$/ || -x && basename($_) !~ /\./) } glob("$top/test/*"), glob("$top/test/*/*"), glob("$top/examples/*");
}

sub words
{
	my ($top) = @_;
	my %rejected = rejected_words($top);
	my %forms = map { $_ => forms($_) } keys %rejected;
	my ($any) = map { qr/$_/ } join '|', values %forms;
	my @wrong;
	for (all_that_is_said($top))
	{
		my ($where, $text) = @$_;
		next if $text !~ $any;
		push @wrong, map { "$where: not \"$_\": $rejected{$_}" } grep { $text =~ $forms{$_} } sort keys %rejected;
	}
	return @wrong;
}

# ---- The code blocks ----

# Which test runs a block: of which page, in which language, with what in it, the file of
# the test, and, where the block is not run as it is printed, why.  The first line that
# fits counts.  A block without a language after one of SQL is what that one prints.
my @runs = (
	[ 'README.md', 'console', qr{test/demo}, 'test/harness', 'test/run is what runs it' ],
	[ 'README.md', 'console', qr/createdb/, 'test/t/008_tutorial.pl' ],
	[ 'README.md', 'console', qr/make install/, 'test/package' ],
	[ 'README.md', 'sql', qr/your_table/, 'test/t/012_blocks.pl' ],
	[ 'README.md', 'sql', qr//, 'test/t/008_tutorial.pl' ],
	[ 'CONTRIBUTING.md', 'console', qr{test/run}, 'test/harness', 'test/run is what runs it' ],
	[ 'CONTRIBUTING.md', 'console', qr/awk/, 'test/t/012_blocks.pl' ],
	[ 'doc/tutorial.md', 'sql', qr//, 'test/t/008_tutorial.pl' ],
	[ 'doc/tutorial.md', 'console', qr//, 'test/t/008_tutorial.pl' ],
	[ 'doc/operations.md', '', qr/"phase"/, 'test/t/012_blocks.pl' ],
	[ 'doc/operations.md', 'sql', qr//, 'test/t/010_operations.pl' ],
	[ 'doc/operations.md', 'bash', qr//, 'test/t/010_operations.pl' ],
	[ 'doc/adopting.md', '', qr/^op\./, 'test/migrations/run' ],
	[ 'doc/adopting.md', '', qr/^applier PACKAGE COMMAND$/, 'test/clients/each', 'every program is run with these arguments' ],
	[ 'doc/adopting.md', 'py', qr/include_object/, 'test/migrations/with_alembic' ],
	[ 'doc/adopting.md', 'sql', qr//, 'test/t/011_adopting.pl' ],
	[ 'doc/adopting.md', 'plpgsql', qr//, 'test/t/011_adopting.pl' ],
	(map { [ 'doc/adopting.md', $_, qr//, 'test/clients/each' ] } qw(bash python javascript go java)),
	[ 'doc/citus.md', 'sql', qr/create_distributed_table/, 'test/t/citus_attach.pl' ],
	[ 'doc/citus.md', 'sql', qr//, 'test/t/citus_queries.pl' ],
	[ 'doc/tenants.md', '', qr/VENDOR CUSTOMER|halted here/, 'test/tenants/run' ],
	[ 'doc/tenants.md', 'bash', qr/xargs/, 'test/tenants/run' ],
	[ 'doc/benchmark.md', '', qr/shared_buffers/, 'test/bench/report.py' ],
	[ 'examples/apply-endpoint/README.md', 'console', qr//, 'test/endpoint/page' ],
	[ 'examples/docker/README.md', 'console', qr/docker/, '.github/workflows/test.yml', 'no test has Docker' ],
	[ 'examples/docker/README.md', 'sql', qr//, 'test/t/012_blocks.pl' ],
	[ 'examples/monitoring/README.md', 'console', qr/apt-get/, 'test/monitoring/run', 'the tests use the files where they are, and change nothing in /etc' ],
	[ 'examples/monitoring/README.md', '', qr/UPDATE_TIER_URL/, 'test/monitoring/ask.py', 'with another connection' ]);

# The blocks of a page: [LINE, LANGUAGE, TEXT].
sub blocks
{
	my ($text) = @_;
	my @blocks;
	while ($text =~ /^```(\w*)\n(.*?)^```\n/msg)
	{
		my ($language, $block, $before) = ($1, $2, substr $text, 0, $-[0]);
		push @blocks, [ 1 + ($before =~ tr/\n//), $language, $block ] if $language || $before !~ /^```sql\n(?:(?!^```).)*^```\n\s*\z/ms;
	}
	return @blocks;
}

sub block_tests
{
	my ($top) = @_;
	my (%used, @wrong);
	for my $page (pages($top))
	{
		my $text = slurp_file("$top/$page");
		my @blocks = blocks($text);
		push @wrong, "$page: a block that has no end" if (() = $text =~ /^```/mg) % 2;
		# Markdown also takes indented lines for a block, which would not be found above.
		push @wrong, map { "$page: a block without a fence: \"$_\"" } $text =~ s/^```.*?^```\n//msgr =~ /^\h*\n(?: {4}|\t)\h*(\S.*)/mg;
		for (@blocks)
		{
			my ($line, $language, $block) = @$_;
			my ($of) = grep { $page eq $_->[0] && $language eq $_->[1] && $block =~ $_->[2] } @runs;
			if ($of) { $used{$of}++; }
			else { push @wrong, "$page: no test runs the block \"" . (split /\n/, $block)[0] . '"'; }
		}
	}
	for (@runs)
	{
		my ($page, $language, undef, $test, $why) = @$_;
		next if $test =~ /^\.github/ && !-e "$top/.github";
		if (!$used{$_}) { push @wrong, "$page has no such block for $test"; }
		elsif (!-e "$top/$test") { push @wrong, "there is no $test"; }
		elsif (!$why && (slurp_file("$top/$test") !~ /\Q@{[ basename($page) ]}\E/)) { push @wrong, "$test does not read $page"; }
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

# doc/design.md has a row for each invariant that the tests check, and the audit has no other.
sub invariants
{
	my ($top) = @_;
	my ($names) = slurp_file("$top/test/machine/invariants.c") =~ /invariant_names\[\w+\] = \{(.*?)\}/s;
	my @tested = $names =~ /"(\w+)"/g;
	my @documented = map { names($_->[0]) } table_of(slurp_file("$top/doc/design.md"), 'Invariants');
	my %documented = map { $_ => 1 } @documented;
	return (differences('invariant', \@tested, \@documented),
		map { "no row for invariant $_ of the audit" } grep { !$documented{$_} } slurp_file("$top/test/audit.sql") =~ /SELECT format\('(\w+): /g);
}

my @checks = (
	[ 'security.md: every function, who may execute it, and tests', \&security ],
	[ 'reference.md: every function', \&functions ],
	[ 'no other page: arguments and error codes', \&one_place ],
	[ 'reference.md: every setting of a policy', \&policy ],
	[ 'reference.md: every column', \&columns ],
	[ 'reference.md: every type', \&domains ],
	[ 'reference.md: every setting of the server', \&server_settings ],
	[ 'reference.md: notifications, phases and events', \&what_is_said ],
	[ 'reference.md: every error code', \&error_codes ],
	[ 'design.md: every invariant', \&invariants ],
	[ 'every page: names and links', \&names_and_links ],
	[ 'every page: the tests that it names', \&tests_exist ],
	[ 'every text: the words of the glossary', \&words ],
	[ 'every page: a test runs each block', \&block_tests ]);
for (@checks)
{
	my ($name, $check) = @$_;
	is(join("\n", $check->($here)), '', $name);
}
cmp_ok(scalar(keys %public), '>', 40, 'there is something to compare: functions');
cmp_ok(scalar(keys %columns), '>', 6, 'there is something to compare: tables');
cmp_ok(scalar(keys %{ { rejected_words($here) } }), '>', 30, 'there is something to compare: words');
cmp_ok(scalar(grep { $_->[1] =~ /\S/ } all_that_is_said($here)), '>', 2000, 'there is something to compare: lines of text');
cmp_ok(scalar(map { blocks(slurp_file("$here/$_")) } pages($here)), '>', 80, 'there is something to compare: blocks');

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
	# Programs are recognised by their mode.
	chmod((stat "$here/$file")[2] & 0777, "$copy/$file") or die;
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
sees(\&one_place, 'doc/adopting.md', sub { $_ .= "| `halt(package, version)` | closes it |\n" }, 'doc/adopting.md: a row for halt(package, version)');
sees(\&one_place, 'doc/citus.md', sub { $_ .= "| `update_tier.attach(workspaces regclass, audit => false)` | |\n" }, 'doc/citus.md: a row for attach(workspaces regclass, audit => false)');
sees(\&one_place, 'doc/adopting.md', sub { $_ .= "| `live_when text` | NULL | the condition |\n" }, 'doc/adopting.md: a row for the argument live_when text');
sees(\&one_place, 'doc/operations.md', sub { $_ .= "| 55P03 | a timeout | try again |\n" }, 'doc/operations.md: a row for the error code 55P03');
sees(\&one_place, 'doc/security.md', sub { $_ .= "| `42501` | no right |\n" }, 'doc/security.md: a row for the error code 42501');
sees(\&policy, 'doc/reference.md', sub { s/^\| `retry_delay` .*\n//m }, '0 descriptions of retry_delay');
sees(\&policy, 'doc/operations.md', sub { $_ .= "| `retry_delay` | 5 minutes | again |\n" }, '2 descriptions of retry_delay');
sees(\&policy, 'doc/reference.md', sub { s/^(\| `max_attempts` \|) 3 /$1 4 /m }, 'the default of max_attempts is not 4');
sees(\&policy, 'doc/reference.md', sub { s/^(\| `soak` .*\n)(\| `ramp` .*\n)/$2$1/m }, join ' ', 'another order:', @settings[1, 0, 2 .. $#settings]);
sees(\&columns, 'doc/reference.md', sub { s/^`update_tier\.installation`/`update_tier.execution`/m }, 'no row for table update_tier.installation');
sees(\&columns, 'doc/reference.md', sub { s/^`update_tier\.installation`/`update_tier.execution`/m }, 'there is no table update_tier.execution');
sees(\&columns, 'doc/reference.md', sub { s/`lease_until`/`lease`/ }, 'no row for column of update_tier.installed lease_until');
sees(\&columns, 'doc/reference.md', sub { s/`lease_until`/`lease`/ }, 'there is no column of update_tier.installed lease');
sees(\&columns, 'doc/reference.md', sub { s/`retry_at` \|/`retry_at`, `state` |/ }, 'two rows for column of update_tier.installed state');
sees(\&domains, 'doc/reference.md', sub { s/`update_tier\.span`, // }, 'no row for type update_tier.span');
sees(\&domains, 'doc/reference.md', sub { s/`update_tier\.span`/`update_tier.time`/ }, 'there is no type update_tier.time');
sees(\&domains, 'doc/reference.md', sub { s/^(\| `update_tier\.span`.*?) interval /$1 text /m }, 'type update_tier.span is over interval');
my ($setting) = sort keys %server_settings;
sees(\&server_settings, 'doc/reference.md', sub { s/^\| `\Q$setting\E` .*\n//m }, "no row for setting $setting");
sees(\&server_settings, 'doc/reference.md', sub { s/^\| `\Q$setting\E` .*\n/$&| `update_tier.log` | on | |\n/m }, 'there is no setting update_tier.log');
sees(\&server_settings, 'doc/reference.md', sub { s/^(\| `\Q$setting\E` \|) on /$1 off /m }, "the default of $setting is on");
sees(\&what_is_said, 'rollout/event.c', sub { s/Async_Notify\("update_tier"/Async_Notify("rollouts"/ }, 'no row for channel rollouts');
sees(\&what_is_said, 'rollout/event.c', sub { s/Async_Notify\("update_tier"/Async_Notify("rollouts"/ }, 'there is no channel update_tier');
sees(\&what_is_said, 'rollout/event.c', sub { s/"package" : "version"/"package" : "name"/ }, 'no row for key of a notification name');
sees(\&what_is_said, 'doc/reference.md', sub { s/`phase`, `package` and `version`/`phase`, `package`, `version` and `at`/ }, 'there is no key of a notification at');
sees(\&what_is_said, 'doc/reference.md', sub { s/^\| `queued` .*\n//m }, 'no row for phase queued');
sees(\&what_is_said, 'doc/reference.md', sub { s/^\| `queued` /| `waiting` /m }, 'there is no phase waiting');
sees(\&what_is_said, 'doc/reference.md', sub { s/`ramp ended`/`ramp over`/ }, 'no row for kind of event ramp ended');
sees(\&what_is_said, 'rollout/report.c', sub { s/"late report"/"late"/ }, 'no row for kind of event late');
sees(\&what_is_said, 'doc/reference.md', sub { s/`thawed`/`thawed`, `melted`/ }, 'there is no kind of event melted');
sees(\&error_codes, 'doc/reference.md', sub { s/^\| P0002 .*\n//mg }, 'P0002 is raised, and has no row');
sees(\&error_codes, 'doc/reference.md', sub { s/^\| P0002 .*\n//mg }, 'P0002 is named by a comment, and has no row');
sees(\&error_codes, 'doc/reference.md', sub { s/^\| XX000 /| P0003 | none | none |\n$&/m }, 'P0003 has a row, and is not raised');
sees(\&error_codes, 'doc/reference.md', sub { s/^\| 25006 .*\n//m }, '25006 is raised, and has no row');
sees(\&error_codes, 'doc/reference.md', sub { s/^\| 23505 .*\n//m }, '23505 is raised, and has no row');
sees(\&error_codes, 'doc/reference.md', sub { s/^(\| 55006 \| ).*?( \|).*/$1cause$2 |/m }, '55006 has no cure: cause');
sees(\&error_codes, 'doc/reference.md', sub { s/^\| 55006 \| (.*?) \|.*\n/$&$&/m }, '55006 has two rows: `attach`: a query of the same session uses the table');
sees(\&error_codes, 'doc/reference.md', sub { s/^(\| 55006 .*\n)(\| 55P03 .*\n)/$2$1/m }, 'rows that are out of order');
sees(\&error_codes, 'rollout/verbs.c', sub { $_ .= "static int code = ERRCODE_TOO_MANY_ROWS;\n" }, 'P0003 is raised, and has no row');
sees(\&error_codes, 'rollout/verbs.c', sub { $_ .= "static int code = ERRCODE_NONSENSE;\n" }, 'ERRCODE_NONSENSE is no error code of the server');
sees(\&invariants, 'doc/design.md', sub { s/^\| `gate` .*\n//m }, 'no row for invariant gate');
sees(\&invariants, 'doc/design.md', sub { s/^\| `gate` /| `door` /m }, 'there is no invariant door');
sees(\&invariants, 'test/audit.sql', sub { s/format\('soaked: /format('baked: / }, 'no row for invariant baked of the audit');
sees(\&names_and_links, 'doc/operations.md', sub { $_ .= "`update_tier.phase_at`\n" }, 'doc/operations.md: there is no update_tier.phase_at');
sees(\&names_and_links, 'README.md', sub { $_ .= "[a page](doc/nowhere.md)\n" }, 'README.md: a link to doc/nowhere.md');
sees(\&names_and_links, 'README.md', sub { $_ .= "[a section](doc/reference.md#nowhere)\n" }, 'README.md: a link to #nowhere');
sees(\&names_and_links, 'examples/monitoring/README.md', sub { $_ .= "`update_tier.halted`\n" }, 'examples/monitoring/README.md: there is no update_tier.halted');
sees(\&tests_exist, 'doc/design.md', sub { $_ .= "(`sql/ramps`)\n" }, 'design.md: no test sql/ramps');
sees(\&tests_exist, 'Makefile', sub { s/^\tramp \\\n//m }, 'design.md: sql/ramp is not run');

# planted FILE, CHANGE, WORD, TERM: a rejected word in the file is noticed.
sub planted
{
	my ($file, $change, $word, $term) = @_;
	my $text = slurp_file("$here/$file");
	local $_ = $text;
	$change->();
	isnt($_, $text, "$file: \"$word\" is planted");
	my $copy = with_text($file, $_);
	my @found = words($copy);
	is(scalar(@found), 1, 'it is noticed');
	like($found[0] // '', qr/^\Q$file\E:\d+: not "\Q$word\E": \Q$term\E$/, 'with the place, and the right word');
}
planted('doc/reference.md', sub { s/^## Policy\n\n/$&Pausing is easy.\n/m }, 'pause', 'halt');
planted('README.md', sub { $_ .= "\nEach Deployment has a phase.\n" }, 'deployment', 'rollout');
planted('doc/tutorial.md', sub { $_ .= "\nThe lease is\na ticket.\n" }, 'ticket', 'claim, lease, token');
planted('examples/monitoring/README.md', sub { $_ .= "\nBeta workspaces.\n" }, 'beta', 'canary');
planted($install_script, sub { s/^('Registers a version)/$1, or a release,/m }, 'release', 'version');
planted($install_script, sub { s/^-- Rollouts: state/-- Roll-outs: state/m }, 'roll-out', 'rollout');
planted('sql/ramp.sql', sub { s/^-- /-- The stage: /m }, 'stage', 'phase');
planted('rollout/gate.c', sub { s/"queued behind %s"/"queued after the burn-in of %s"/ }, 'burn-in', 'soak');
planted('test/run', sub { $_ .= "check \"the quota of a package\" true\n" }, 'quota', 'budget');
planted('rollout/gate.c', sub { $_ .= "/*\n * The grants of a package that\n * an operator has paused.\n */\n" }, 'pause', 'halt');
planted('test/machine/cases.c', sub { $_ .= "static int knobs; /* the knobs */\n" }, 'knob', 'policy, setting');
planted('test/specs/claim_halt.spec', sub { s/^# /# A pilot: /m }, 'pilot', 'canary');
planted('test/t/003_crash.pl', sub { $_ .= 'my $deploy = 1; #' . " the deploy\n" }, 'deploy', 'rollout');
planted('test/layers', sub { $_ .= "# Nothing is deprecated.\n" }, 'deprecated', 'superseded');
planted('examples/apply-endpoint/service.go', sub { s{^// claim leases}{// claim makes reservations of}m }, 'reservation', 'claim, lease, token');
planted('examples/monitoring/alerts.yml', sub { $_ .= "# An artifact.\n" }, 'artifact', 'package');
planted('META.json', sub { s/Update tiers/Rings/ }, 'ring', 'update tier, tier');
planted('debian/control', sub { s/canaries first/early adopters first/ }, 'early adopter', 'canary');
# Code, names and the other meanings are no words of ours.
is(join("\n", words(with_text('rollout/gate.c', slurp_file("$here/rollout/gate.c") . "static int pause; /* the phase */ static int knob;\n"))), '',
	'code may have the word');
is(join("\n", words(with_text('README.md', slurp_file("$here/README.md") . "\n`pause`, [a](doc/release.md), environment variables\n```\nrelease\n```\n"))), '',
	'what is no prose may have the word');

sees(\&block_tests, 'doc/operations.md', sub { $_ .= "```python\nimport os\n```\n" }, 'doc/operations.md: no test runs the block "import os"');
sees(\&block_tests, 'doc/design.md', sub { $_ .= "```sql\nSELECT 1;\n```\n" }, 'doc/design.md: no test runs the block "SELECT 1;"');
sees(\&block_tests, 'doc/tenants.md', sub { s/^```bash\n(xargs.*\n)```\n/    $1/m }, 'doc/tenants.md: a block without a fence: "xargs -P 8 -n 50 examples/one-database-per-tenant vendor <customers"');
sees(\&block_tests, 'CONTRIBUTING.md', sub { s/awk/sed/ }, 'CONTRIBUTING.md: no test runs the block "$ sed \'FNR == 3 || FNR == 4\' update_tier.c */*.c"');
sees(\&block_tests, 'doc/adopting.md', sub { s/^```py\n.*?^```\n//ms }, 'doc/adopting.md has no such block for test/migrations/with_alembic');
sees(\&block_tests, 'test/t/012_blocks.pl', sub { s/operations\.md/adopting.md/g }, 'test/t/012_blocks.pl does not read doc/operations.md');

$node->stop;
done_testing();
