# ALTER EXTENSION update_tier UPDATE, from every version to the newest, and from that to a
# made-up next version.  Its script does what an update does (columns, a function, a
# table), so that this is tested before the first real update.  A TAP test because it
# needs script files of its own.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Source;
use Test::More;

# A copy of the staged installation, with one more version.  If the extension is
# installed in the server itself, the version is added there, and removed at the end.
my $stage = "$ENV{UPDATE_TIER_STAGE}_update";
my $conf = $ENV{UPDATE_TIER_CONF};
my $extension;
if ($conf eq '')
{
	chomp(my $sharedir = `$ENV{PG_CONFIG} --sharedir`);
	$extension = "$sharedir/extension";
}
else
{
	system('rm', '-rf', $stage);
	system('cp', '-r', $ENV{UPDATE_TIER_STAGE}, $stage) == 0 or die;
	$conf =~ s/\Q$ENV{UPDATE_TIER_STAGE}\E/$stage/g;
	($extension) = glob "$stage/usr/share/postgresql/*/extension";
}
my $released = slurp_file("$extension/update_tier.control");
my ($newest) = $released =~ /^default_version *= *'(.*)'/m;
END
{
	if ($conf eq '')
	{
		unlink "$extension/update_tier--$newest--next.sql";
		spew("$extension/update_tier.control", $released);
	}
}

my $step = q{
ALTER TABLE update_tier.rollout ADD COLUMN ticket text;
COMMENT ON COLUMN update_tier.rollout.ticket IS 'Where the rollout is discussed.';
ALTER TABLE update_tier.package ADD COLUMN team text NOT NULL DEFAULT 'none';
ALTER TABLE update_tier.installation ADD COLUMN seen text NOT NULL DEFAULT 'never';
ALTER TABLE update_tier.uncounted ADD COLUMN client text NOT NULL DEFAULT 'unknown';
ALTER TABLE update_tier.event ADD COLUMN client text NOT NULL DEFAULT 'unknown';
CREATE FUNCTION update_tier.is_canary(value text) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_is_valid'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE EXECUTE ON FUNCTION update_tier.is_canary(text) FROM PUBLIC;
CREATE TABLE update_tier.approval (rollout bigint NOT NULL PRIMARY KEY, by text NOT NULL);
SELECT pg_catalog.pg_extension_config_dump('update_tier.approval', '');
};
sub spew { open my $file, '>', $_[0] or die "$_[0]: $!"; print $file $_[1]; close $file or die; }
spew("$extension/update_tier--$newest--next.sql", $step);
(my $control = $released) =~ s/^(default_version *= *).*/$1'next'/m;
spew("$extension/update_tier.control", $control);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "$conf\n");
$node->start;
sub database { $node->safe_psql('postgres', "CREATE DATABASE $_[0]"); return $_[0]; }

# The members of the extension, and the rights on them.
my $catalog = q{
	SELECT pg_describe_object(classid, objid, objsubid) AS object,
	       obj_description(objid, classid::regclass::name) AS description,
	       (SELECT concat(pg_get_functiondef(oid), proacl) FROM pg_proc WHERE oid = objid AND classid = 'pg_proc'::regclass),
	       (SELECT concat(relacl, pg_get_viewdef(oid)) FROM pg_class WHERE oid = objid AND classid = 'pg_class'::regclass),
	       (SELECT string_agg(format('%s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum)), ', ' ORDER BY attnum)
	          FROM pg_attribute WHERE attrelid = objid AND classid = 'pg_class'::regclass AND attnum > 0),
	       (SELECT string_agg(pg_get_constraintdef(oid), ', ' ORDER BY conname) FROM pg_constraint WHERE conrelid = objid AND classid = 'pg_class'::regclass)
	  FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	 ORDER BY pg_describe_object(classid, objid, objsubid) COLLATE "C";
	SELECT array(SELECT c::regclass FROM unnest(extconfig) AS c ORDER BY c::regclass::text), extversion FROM pg_extension WHERE extname = 'update_tier';
};
sub installed
{
	my ($version) = @_;
	(my $db = "fresh_$version") =~ s/\W/_/g;
	database($db);
	$node->safe_psql($db, qq{SET client_min_messages = warning; CREATE EXTENSION update_tier VERSION '$version'});
	return $db;
}

# Every version that can be installed is, after an update, the same as the newest.
my $current = installed($newest);
my $fresh = $node->safe_psql($current, $catalog);
for my $script (sort glob "$extension/update_tier--*.sql")
{
	next unless $script =~ /update_tier--([^-]+)\.sql$/ and $1 ne $newest;
	my $db = installed($1);
	$node->safe_psql($db, "ALTER EXTENSION update_tier UPDATE TO '$newest'");
	is($node->safe_psql($db, $catalog), $fresh, "version $1, updated, is version $newest");
}

# The comparison also notices the order of columns: the same columns, added in another
# order, are not the same.
my %in_order = (one => 'ADD first text, ADD second text', other => 'ADD second text, ADD first text');
for my $db (keys %in_order)
{
	database($db);
	$node->safe_psql($db, "SET client_min_messages = warning; CREATE EXTENSION update_tier VERSION '$newest'; ALTER TABLE update_tier.rollout $in_order{$db}");
	$in_order{$db} = $node->safe_psql($db, $catalog);
}
isnt($in_order{one}, $in_order{other}, 'the order of columns counts');

# The library obeys a CHECK that it does not know.
my ($status, $out, $err) = $node->psql($current, q{
	ALTER TABLE update_tier.rollout ADD CONSTRAINT short CHECK (length(version) < 5);
	SELECT update_tier.start('p', 'long enough')});
like($err, qr/violates check constraint "short"/, 'a CHECK that was added holds');

# Between installing the files and ALTER EXTENSION UPDATE the new library works with the
# tables of an older script.  After the update a session that still has the old library
# works with the tables of the newer script.  Every function is called at random.
for my $version ((map { /update_tier--([^-]+)\.sql$/ ? $1 : () } sort glob "$extension/update_tier--*.sql"), 'next')
{
	spew("$extension/update_tier.control", $released =~ s/^(default_version *= *).*/$1'$version'/mr);
	(my $db = "calls_$version") =~ s/\W/_/g;
	database($db);
	my ($out, $err);
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($db), '-v', 'steps=3000', '-v', 'seed=0.5',
			'-f', "$FindBin::Bin/../calls.sql" ], '>', \$out, '2>', \$err);
	is("$out$err", '', "every function on the tables of version $version");
	is($node->safe_psql($db, 'SELECT count(*) > 20 FROM called WHERE succeeded > 0'), 't', 'and they were called');
}
spew("$extension/update_tier.control", $control);

# With rollouts in every phase, and a session that keeps plans.
database('source');
(my $setup = $Source::setup) =~ s/CREATE EXTENSION update_tier/$& VERSION '$newest'/ or die;
$node->safe_psql('source', $setup);
my $rows = q{
	SELECT * FROM update_tier.status;
	SELECT * FROM update_tier.installed ORDER BY package, workspace;
	SELECT (r).token, (r).evidence, (r).runs FROM update_tier.installation AS r ORDER BY package_id, workspace;
	SELECT id, kind, detail FROM update_tier.event ORDER BY id;
};
my $before = $node->safe_psql('source', $rows);
my $next = $node->safe_psql('source', $Source::goes_on);

# Another session updates the extension while this session keeps plans.
my $questions = q{
	SELECT update_tier.explain('b', 'soaking', md5('3')::uuid), update_tier.allows('b', 'soaking', md5('4')::uuid);
	SELECT * FROM canary_workspaces();
	BEGIN;
	SELECT update_tier.claim('b', 'soaking', md5('4')::uuid) IS NOT NULL, update_tier.start('b', 'newer');
	ROLLBACK;
};
my $connstr = $node->connstr('source');
my ($then, $now) = split /updated\n/, $node->safe_psql('source', qq{
	$questions
	\\! psql -X -q -d "$connstr" -c "ALTER EXTENSION update_tier UPDATE"
	SELECT 'updated';
	$questions
});
like($then, qr/open to canary/, 'there is something to compare');
is("$now\n", $then, 'a session that was there before goes on');
is($node->safe_psql('source', q{SELECT extversion FROM pg_extension WHERE extname = 'update_tier'}), 'next', 'updated');
is($node->safe_psql('source', $Source::goes_on), $next, 'the rollouts go on');
is($node->safe_psql('source', $rows), $before, 'nothing is lost');

# A library that does not know the new columns keeps their values, and the rows that it
# adds have the defaults.
my $new = q{
	SELECT 'rollout', count(*) FILTER (WHERE ticket = 'T-' || id) AS kept, count(*) FILTER (WHERE ticket IS NULL) AS added, count(*) FROM update_tier.rollout;
	SELECT 'package', count(*) FILTER (WHERE team = 'team ' || id), count(*) FILTER (WHERE team = 'none'), count(*) FROM update_tier.package;
	SELECT 'installation', count(*) FILTER (WHERE seen = 'by ' || token), count(*) FILTER (WHERE seen = 'never'), count(*) FROM update_tier.installation;
	SELECT 'event', count(*) FILTER (WHERE client IS NULL) FROM update_tier.event;
};
$node->safe_psql('source', q{
	UPDATE update_tier.rollout SET ticket = 'T-' || id;
	UPDATE update_tier.package SET team = 'team ' || id;
	DELETE FROM update_tier.installation WHERE token IS NULL;
	UPDATE update_tier.installation SET seen = 'by ' || token;
	INSERT INTO update_tier.approval SELECT id, 'somebody' FROM update_tier.rollout});
my @before = split /\n/, $node->safe_psql('source', $new);
$node->safe_psql('source', q{
	SET client_min_messages = error;
	SELECT update_tier.report(token, 'succeeded') FROM update_tier.installation WHERE state = 'claimed' ORDER BY token;
	SELECT update_tier.claim('b', 'soaking', md5('3')::uuid), update_tier.start('b', 'newer');
	SELECT update_tier.set_policy('new', soak => '0'), update_tier.start('new', '1');
	SELECT update_tier.report(update_tier.claim('new', '1', md5('1')::uuid), 'failed');
	SELECT update_tier.thaw('g')});
for my $table (qw(rollout package installation))
{
	my ($kept, $count) = $before[0] =~ /^$table\|(\d+)\|0\|(\d+)$/;
	shift @before;
	my $added = $table eq 'package' ? 1 : 2;
	is(scalar(grep { $_ eq join '|', $table, $count, $added, $count + $added } split /\n/, $node->safe_psql('source', $new)), 1,
		"new columns of $table are kept, and have their default in rows that are added") or diag $node->safe_psql('source', $new);
}
is($node->safe_psql('source', 'SELECT count(*) FROM update_tier.event WHERE client IS NULL'), 0, 'and so do those of event');

# The next version is dumped and restored.
my $everything = $node->safe_psql('source', "$Source::answers SELECT * FROM update_tier.approval ORDER BY 1");
my $file = $node->basedir . '/next.sql';
database('copy');
command_ok([ 'pg_dump', '-d', $connstr, '-f', $file ], 'pg_dump of the next version');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $file ], 'restored');
is($node->safe_psql('copy', "$Source::answers SELECT * FROM update_tier.approval ORDER BY 1"), $everything, 'with all that is new');

# The next version is the same whether it is installed or reached by an update.
is($node->safe_psql('copy', $catalog), $node->safe_psql(installed('next'), $catalog), 'installed or updated: the same');

$node->stop;
done_testing();
