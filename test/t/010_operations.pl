# doc/operations.md: every block does what the page says, and so do its tables of the lines
# of explain, of locks and of dumps.  A TAP test because it reads files, and needs several
# databases, pg_dump and sessions that end.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use IPC::Run ();
use Page;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Source;
use Test::More;

my $top = "$FindBin::Bin/../..";
my $page = slurp_file("$top/doc/operations.md");
my $node = $Page::node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_CONF}\n");
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\nwal_retrieve_retry_interval = '100ms'\n");
$node->start;
sub sql { return $node->safe_psql(@_); }

# A new database, as a copy of another one.
my $copies = 0;
sub copy_of
{
	my ($template) = @_;
	my $copy = 'copy' . ++$copies;
	sql('postgres', "CREATE DATABASE $copy TEMPLATE $template");
	return $copy;
}

# The page uses the database of the tutorial, before its failed version is aborted.  The
# database "large" is that of the tutorial before CREATE EXTENSION.
sql('postgres', 'CREATE DATABASE operations');
for my $block (Page::blocks(slurp_file("$top/doc/tutorial.md")))
{
	last if $block =~ /update_tier\.abort/;
	sql('postgres', 'CREATE DATABASE large TEMPLATE operations') if $block =~ /CREATE EXTENSION/;
	Page::run_block('operations', $block);
}
# In a schema that has no table to attach.
sql('large', 'SET client_min_messages = warning; CREATE SCHEMA extensions; CREATE EXTENSION update_tier SCHEMA extensions');
sql('large', 'ALTER DATABASE large SET search_path = public, extensions');

# ---- Every block, each in a copy of that database ----

my $locks;       # the copy in which transactions are left open
my ($holder, $waiter);
my $waits = q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%freeze()%' AND wait_event_type = 'Lock'};
my ($roles, $timeouts);
my @replication;

# Where a block names v9, and does not start it, it was started before.
sub with_v9
{
	my ($copy, $sql) = @_;
	sql($copy, q{SELECT update_tier.start('search', 'v9')}) if $sql =~ /v9/ && $sql !~ /start\(/;
}

# A session has left a transaction open that has changed the package.
sub leave_open
{
	$locks = copy_of('operations');
	$holder = $node->background_psql($locks);
	$holder->query_safe(q{BEGIN; SELECT update_tier.start('search', 'v9')});
}

# A prepared transaction holds a package, too, and the lock for all packages; another
# session waits for both.
sub leave_more_open
{
	sql($locks, q{SET update_tier.notify = off; BEGIN; SELECT update_tier.start('mail', 'v1'); PREPARE TRANSACTION 'applier-17'});
	$waiter = $node->background_psql($locks);
	$waiter->query_until(qr/asked/, "\\echo asked\nSELECT update_tier.freeze();\n");
	ok($node->poll_query_until('postgres', "SELECT ($waits) = 1"), 'a freeze waits');
}

sub shows_who_holds
{
	my ($query) = @_;
	is(sql($locks, "SELECT package, lock, mode, granted, pid IS NULL, prepared, state FROM (" . $query =~ s/;\s*\z//r .
		') AS q ORDER BY package, granted, mode, prepared'),
		join("\n", '*|package|ExclusiveLock|f|f||active',
			'*|package|ShareLock|t|t|applier-17|',
			'*|package|ShareLock|t|f||idle in transaction',
			'search|package|ExclusiveLock|t|f||idle in transaction',
			'|package|ExclusiveLock|t|t|applier-17|'),
		'who holds a package');
}

sub only_prepared_is_left
{
	ok($node->poll_query_until($locks, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'}),
		'the session is ended');
	my ($query) = $page =~ /^```sql\n(SELECT w\.pid.*?)^```/ms;
	like(sql($locks, $query), qr/\|SELECT update_tier\.freeze\(\);\|0\|\|$/m, 'what is waited for is a prepared transaction');
}

Page::run_page('doc/operations.md', $page, '', sub {
	my ($sql) = @_;
	if ($sql =~ /On the (publisher|subscriber)/) { push @replication, $sql; return undef; }
	if ($sql =~ /lock_timeout = '2s';\nSELECT update_tier\.halt/) { leave_open(); return $locks; }
	if ($sql =~ /pg_prepared_xacts/) { leave_more_open(); shows_who_holds($sql); return $locks; }
	if ($sql =~ /pg_terminate_backend/) { return $locks; }
	if ($sql =~ /ROLLBACK PREPARED/) { only_prepared_is_left(); return $locks; }
	if ($sql =~ /pg_blocking_pids/)
	{
		ok($node->poll_query_until($locks, q{SELECT frozen_until = 'infinity' FROM update_tier.package WHERE name = '*'}),
			'then the freeze goes through');
		return $locks;
	}
	my $copy = copy_of($sql =~ /update_tier\.attach\(/ && $sql !~ /^ALTER TABLE/m ? 'large' : 'operations');
	with_v9($copy, $sql);
	$roles = $copy if $sql =~ /CREATE ROLE publisher/;
	$timeouts = $copy if $sql =~ /CREATE ROLE drainer/;
	return $copy;
});
$waiter->quit;
eval { $holder->quit };

# The operator of the page may execute every function that PUBLIC may not, and the
# publisher only start.
is(sql($roles, q{
	SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FILTER (WHERE NOT has_function_privilege('operator', p.oid, 'execute')),
	       string_agg(p.proname, ' ' ORDER BY p.proname) FILTER (WHERE has_function_privilege('publisher', p.oid, 'execute'))
	  FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
	 WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier')
	   AND p.prorettype <> 'trigger'::regtype AND NOT has_function_privilege('public', p.oid, 'execute')}), '|start', 'the roles');

# An operator can do what the page says up to the locks, without any other right.
my ($situations) = $page =~ /^(.*?)^## Appliers and locks/ms;
my ($grants) = $page =~ /^## Roles.*?^```sql\n(.*?)^```/ms;
$grants =~ s/^CREATE ROLE.*\n//mg;
for my $sql (Page::blocks($situations))
{
	my $copy = copy_of('operations');
	sql($copy, $grants);
	with_v9($copy, $sql);
	unlike(Page::run_block($copy, "SET ROLE operator;\n$sql"), qr/^(ERROR|FATAL)/m, 'as an operator');
}

# ---- The table of what explain and status say has a row for each text in the source ----

sub missing_rows
{
	my ($text) = @_;
	my ($table) = $text =~ /^\| it says \|.*?\n(.*?)\n\n/ms;
	my @rows = map { /`([^`]+)`/g } map { (split / \| /)[0] } split /\n/, $table;
	# An ellipsis, and the letters that stand for numbers.
	$_ = join '.*', map { quotemeta } split /\xe2\x80\xa6|\b[nmk]\b/, $_, -1 for @rows;
	my $gate = slurp_file("$top/rollout/gate.c");
	my @texts = grep { !/^(version %s|%s: %s|%s to go back to %s)$/ } $gate =~ /\b(?:psprintf|pstrdup|with_reason)\("([a-z%][^"]*[a-z][^"]*)"/g;
	cmp_ok(scalar(@texts), '>', 25, 'there are texts to compare');
	return grep { my $said = s/\b(behind|has|for|from) %s/$1 version 0/r =~ s/^%s, not due/error, not due/r =~ s/%(lld|[sd])/0/gr; !grep { $said =~ /^$_$/ || "$said: 0" =~ /^$_$/ } @rows } @texts;
}
is(join("\n", missing_rows($page)), '', 'explain and status: every text has a row');
is(join("\n", missing_rows($page =~ s/^\| `attempts spent.*\n//mr)), 'attempts spent: %d of %d', 'and one that had none would be noticed');

# ---- The timeouts of the roles ----

sql($timeouts, $grants);
my $timeout = $node->safe_psql($timeouts, 'SHOW idle_in_transaction_session_timeout', extra_params => [ '-U', 'drainer' ]);
is(sql($timeouts, "SELECT '$timeout' > interval '0' AND '$timeout' < min(lease) FROM update_tier.rollout"), 't', 'the timeout of an applier is less than the lease');
# Without waiting for a minute.
sql($timeouts, q{ALTER ROLE drainer SET idle_in_transaction_session_timeout = '200ms'; ALTER ROLE oncall SET lock_timeout = '1min'});
my $hung = $node->background_psql($timeouts, extra_params => [ '-U', 'drainer' ]);
$hung->query(q{BEGIN; SELECT update_tier.claim('search', 'v7', '00000000-0000-0000-0000-000000000004')});
is($node->safe_psql($timeouts, q{SELECT update_tier.halt('search', 'v7', 'ticket 99')}, extra_params => [ '-U', 'oncall' ]),
	'halted', 'an operator gets through when the session of an applier that hangs has ended');
eval { $hung->quit };

# ---- Locks on a large table ----

sql('postgres', 'CREATE DATABASE fleet');
sql('fleet', q{
	SET client_min_messages = warning;
	CREATE EXTENSION update_tier;
	CREATE TABLE w (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), status text DEFAULT 'online');
	INSERT INTO w SELECT FROM generate_series(1, 100)});
my $plain_form = q{
	ALTER TABLE w ADD update_tier text NOT NULL DEFAULT 'production' CHECK (update_tier IN ('canary', 'production'));};
my $text = q{ALTER TABLE w ADD update_tier text NOT NULL DEFAULT 'production';};
my $attached = q{SELECT update_tier.attach('w');};

# waits ROW, BEFORE, CALL, WAITING, PASSES: which sessions wait while the transaction of the
# call goes on, and how often the server reports a pass over the table, as the row says.
sub waits
{
	my ($row, $before, $call, $waiting, $passes) = @_;
	my ($step, $waiting_there, $how_long) = $page =~ /^\| (\Q$row\E[^|]*) \| ([^|]*) \| ([^|]*?) ?\|$/m;
	ok($step, "the page has a row: $row");
	my $copy = copy_of('fleet');
	sql($copy, "SET client_min_messages = warning; $before") if $before;
	my ($status, $said, $err) = $node->psql($copy, qq{
		SET client_min_messages = debug1;
		BEGIN; SELECT $call;
		SELECT CASE WHEN 'AccessExclusiveLock' = ANY (array_agg(mode)) THEN 'readers and writers'
		            WHEN array_agg(mode) && ARRAY['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock'] THEN 'writers' ELSE 'none' END
		  FROM pg_locks WHERE relation = 'w'::regclass AND pid = pg_backend_pid()});
	is($status, 0, $step);
	like($said, qr/^\Q$waiting\E$/m, "$step: $waiting wait");
	# The index of a new column is built from nothing: see 009_empty_index.
	my $built = $step =~ /does not have/ ? '' : '|building index "w_';
	my $counted = () = $err =~ /(?:verifying|rewriting) table "w"$built/g;
	is($counted, $passes, "$step: passes over the table");
	like($waiting_there, qr/\b\Q$waiting\E\b/, 'as the page says') if $step !~ /replaces|builds/;
}
waits('`attach`, the table does not have the column', '', q{update_tier.attach('w')}, 'readers and writers', 0);
waits('`attach`, the column is there and every value', $plain_form, q{update_tier.attach('w', create_index => false)}, 'readers and writers', 0);
waits('`attach`, the column is there and every value', $attached, q{update_tier.attach('w', $$status <> 'gone'$$, create_index => false)}, 'readers and writers', 0);
waits('`attach` checks the values', $text, q{update_tier.attach('w', create_index => false)}, 'readers and writers', 0);
waits('`attach` sets NULLs', 'ALTER TABLE w ADD update_tier text;', q{update_tier.attach('w', create_index => false)}, 'readers and writers', 1);
waits('`attach` converts an enum', q{CREATE TYPE tier AS ENUM ('canary', 'production'); ALTER TABLE w ADD update_tier tier NOT NULL DEFAULT 'production';},
	q{update_tier.attach('w', create_index => false)}, 'readers and writers', 2);
waits('`attach` builds the index', "$attached DROP INDEX w_update_tier_canary;", q{update_tier.attach('w')}, 'writers', 1);
waits('`attach` builds the index', $plain_form, q{update_tier.attach('w')}, 'readers and writers', 1);
waits('`attach` builds the index', $attached, q{update_tier.attach('w', $$status <> 'gone'$$)}, 'readers and writers', 1);
waits('`attach` drops its trigger', $attached, q{update_tier.attach('w', audit => false)}, 'readers and writers', 0);
waits('`attach` that finds nothing', $attached, q{update_tier.attach('w')}, 'none', 0);
waits('`detach`', $attached, q{update_tier.detach()}, 'readers and writers', 2);

# The recipe for many NULLs sets them in batches, and leaves nothing for attach to set or
# to scan.
my ($recipe) = $page =~ /^```sql\n(SET lock_timeout = '2s';\nALTER TABLE workspaces ALTER COLUMN update_tier SET DEFAULT.*?)^```/ms;
ok($recipe, 'the page has the recipe');
sql('postgres', 'CREATE DATABASE nulls');
sql('nulls', q{
	SET client_min_messages = warning;
	CREATE EXTENSION update_tier;
	CREATE TABLE workspaces (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), update_tier text);
	INSERT INTO workspaces (update_tier) SELECT CASE WHEN n <= 5 THEN 'canary' END FROM generate_series(1, 25000) AS n});
my ($status, $said, $err) = $node->psql('nulls', "SET client_min_messages = debug1;\n$recipe");
is($status, 0, 'the recipe works');
unlike($err, qr/rows of "workspaces" from NULL/, 'attach has nothing to set');
unlike((split /SELECT update_tier.attach/, $err)[-1], qr/(verifying|rewriting) table "workspaces"/, 'nor a row to look at');
is(sql('nulls', 'SELECT update_tier, count(*) FROM workspaces GROUP BY 1 ORDER BY 1'),
	"canary|5\nproduction|24995", 'all rows are set');
is(sql('nulls', q{SELECT count(DISTINCT xmin::text) FROM workspaces WHERE update_tier = 'production'}),
	3, 'in batches of 10,000');
is(sql('nulls', q{SELECT attnotnull, atttypid::regtype FROM pg_attribute
	WHERE attrelid = 'workspaces'::regclass AND attname = 'update_tier'}), 't|update_tier', 'and the column is what it has to be');

# ---- Dumps ----

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
sub shell
{
	my ($script) = @_;
	my $out = '';
	my $ok = IPC::Run::run([ 'bash', '-e', '-o', 'pipefail', '-c', $script ], '>', \$out, '2>&1');
	return ($ok, $out);
}
my @shell = $page =~ /^```bash\n(.*?)^```/gms;

sql('postgres', 'CREATE DATABASE platform');
sql('platform', $Source::setup);
my $goes_on = sql('platform', $Source::goes_on);
my $answers = sql('platform', $Source::answers);
my $extension = 'SET client_min_messages = warning; CREATE EXTENSION update_tier;';
my $carried = q{SELECT count(*) = 1, (SELECT count(*) > 5 FROM update_tier.rollout) FROM update_tier.attached};

# Each command of the table, into a database that is as the page says.
my ($dumps) = $page =~ /^\| dump \| carries \|\n.*?\n(.*?)\n\n/ms;
my $tried = 0;
for my $row (split /\n/, $dumps)
{
	my ($commands, $says) = $row =~ /^\| (.*?) \| (.*) \|$/;
	for my $command ($commands =~ /`(pg_dump [^`]*)`/g)
	{
		$tried++;
		my $name = $command;
		my $to = "dump$tried";
		sql('postgres', "CREATE DATABASE $to");
		sql($to, $extension) if $says =~ /extension in the target first/;
		sql($to, q{CREATE SCHEMA app; CREATE TYPE app.status AS ENUM ('online', 'removed')}) if $command =~ /--table=app/;
		shell("pg_dump -s platform | psql -X -q -v ON_ERROR_STOP=1 -d $to") if $says =~ /target that has the extension and the table/;
		$command =~ s/workspaces/environments/;
		$command .= ' platform' if $command !~ /platform/;
		my ($ok, $out) = shell("$command | psql -X -q -v ON_ERROR_STOP=1 -d $to");
		ok($ok, "$name: restored") or diag($out);
		my $all = $says !~ /\*\*Not the attachment, no rollouts\*\*/;
		is(sql($to, $carried), $all ? 't|t' : 'f|f', "$name: " . ($all ? 'everything' : 'neither the attachment nor rollouts'));
		next if $command =~ /--data-only/;
		is(sql($to, 'SELECT count(*) FROM app.environments WHERE update_tier = $$canary$$'), $command =~ /--schema-only/ ? 0 : 5, "$name: the tiers");
	}
}
is($tried, 9, 'the dumps of the page');
sql('postgres', 'CREATE DATABASE without');
like((shell('pg_dump --schema=app platform | psql -X -q -v ON_ERROR_STOP=1 -d without'))[1],
	qr/type "public.update_tier" does not exist/, 'a schema, where the extension is not');

# The commands of the page.
my ($ok, $out) = shell($shell[0]);
ok($ok, 'a schema with its rollouts') or diag($out);
is(sql('part', $Source::answers), $answers, 'every function answers as before');
sql('postgres', 'CREATE DATABASE copy');
sql('copy', $extension);
shell('pg_dump --schema=app platform | psql -X -q -v ON_ERROR_STOP=1 -d copy');
like(($node->psql('copy', 'SELECT update_tier.counts()'))[2], qr/no workspaces table is attached/, 'the message that the page names');
($ok, $out) = shell($shell[1]);
ok($ok, 'what was missing is carried over') or diag($out);
is(sql('copy', $Source::answers), $answers, 'every function answers as before');
is(sql('copy', $Source::goes_on), $goes_on, 'and goes on');

# ---- Logical replication ----

# subscribe PUBLISHER, SUBSCRIBER: databases of the one server, so that a slot has to be there.
sub subscribe
{
	my ($publisher, $subscriber) = @_;
	sql($publisher, "CREATE PUBLICATION p FOR TABLE workspaces; SELECT pg_create_logical_replication_slot('$subscriber', 'pgoutput')");
	sql($subscriber, 'SET client_min_messages = warning; CREATE SUBSCRIPTION fleet CONNECTION ' .
		"'" . $node->connstr . " dbname=$publisher' PUBLICATION p WITH (create_slot = false, slot_name = '$subscriber')");
	ok($node->poll_query_until($subscriber, q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel}), "$subscriber: copied");
}
sub w { return "md5('$_[0]')::uuid"; }
sub comes { ok($node->poll_query_until($_[0], "SELECT update_tier::text = '$_[2]' FROM workspaces WHERE id = " . w($_[1])), $_[3]); }

sql('postgres', "CREATE DATABASE $_") for qw(plain follower);
my $table = "CREATE TABLE workspaces (id uuid PRIMARY KEY);";
sql('plain', "$table ALTER TABLE workspaces ADD update_tier text NOT NULL DEFAULT 'production';
	INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, 5) AS n");
sql('follower', "$table $extension");
subscribe('plain', 'follower');
my ($always, $notice, $correct, $skip, $again, $disable) = @replication;
is(scalar(@replication), 6, 'the blocks of logical replication');
sub flip { sql('plain', "UPDATE workspaces SET update_tier = '$_[1]' WHERE id = " . w($_[0])); }

flip(1, 'canary');
comes('follower', 1, 'canary', 'a tier is replicated');
is(sql('follower', 'SELECT canary_workspaces() = ' . w(1)), 't', 'and listed');
is(sql('follower', 'SELECT count(*) FROM update_tier.tier_change'), 0, 'but not recorded');
Page::run_block('follower', $always);
flip(2, 'canary');
comes('follower', 2, 'canary', 'another one');
is(sql('follower', 'SELECT workspace = ' . w(2) . q{, actor = current_user, path FROM update_tier.tier_change}), 't|t|UPDATE', 'is recorded');
sql('follower', q{SELECT update_tier.attach('workspaces')});
is(sql('follower', q{SELECT tgenabled FROM pg_trigger WHERE tgname = 'update_tier_changed'}), 'A', 'attach keeps that');

# An invalid tier, in one transaction with a valid one.
sql('plain', 'UPDATE workspaces SET update_tier = CASE id WHEN ' . w(1) . q{ THEN 'beta' ELSE 'production' END WHERE update_tier = 'canary'});
ok($node->poll_query_until('follower', 'SELECT apply_error_count > 1 FROM pg_stat_subscription_stats'), 'fails again and again');
like(Page::run_block('follower', $notice), qr/^ fleet \s*\| t /m, 'as the query shows');
like(slurp_file($node->logfile), qr/ERROR:  value for domain public.update_tier violates check constraint "canary_or_production"/, 'with the message that the page names');
flip(3, 'canary');
unlike(Page::run_block('plain', $correct), qr/ERROR/, 'no other comes');
my $lsn = (slurp_file($node->logfile) =~ /finished at ([0-9A-F]+\/[0-9A-F]+)/g)[-1];
isnt($skip =~ s/'0\/14C0378'/'$lsn'/r, $skip, 'the block has an example of an LSN');
unlike(Page::run_block('follower', $skip =~ s/'0\/14C0378'/'$lsn'/r), qr/ERROR/, 'the transaction is skipped');
comes('follower', 3, 'canary', 'later ones arrive');
comes('follower', 1, 'production', 'so does the correction');
is(sql('follower', 'SELECT update_tier FROM workspaces WHERE id = ' . w(2)), 'canary', 'but not the rest of the transaction');
Page::run_block('plain', $again);
comes('follower', 2, 'production', 'until it is sent again');
Page::run_block('follower', $disable);
sql('plain', 'ALTER TABLE workspaces DROP CONSTRAINT workspaces_update_tier_check');
flip(4, 'beta');
ok($node->poll_query_until('follower', 'SELECT NOT subenabled FROM pg_subscription WHERE subname = $$fleet$$ AND subslotname = $$follower$$'), 'disabled at the first error');

# The subscriber takes over.
sql('postgres', "CREATE DATABASE $_") for qw(publisher subscriber);
sql('publisher', "$table INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, 5) AS n; $extension");
sql('subscriber', "$table $extension");
subscribe('publisher', 'subscriber');
sql('publisher', 'CREATE PUBLICATION everything FOR ALL TABLES');
is(sql('publisher', q{SELECT count(*) FROM pg_publication_tables WHERE pubname = 'everything' AND schemaname = 'update_tier' AND tablename = 'rollout'}),
	1, "FOR ALL TABLES has the extension's tables");
sql('publisher', 'SELECT set_update_tier(' . w(1) . q{, 'canary'); SELECT update_tier.start('p', '1'), update_tier.promote('p', '1', 'tested elsewhere')});
comes('subscriber', 1, 'canary', 'the tier is replicated');
my $token = sql('publisher', q{SELECT update_tier.claim('p', '1', } . w(2) . ')');
is(sql('subscriber', 'SELECT count(*) FROM update_tier.rollout'), 0, 'rollouts are not replicated');
($ok, $out) = shell($shell[2]);
ok($ok, 'the rows are carried over') or diag($out);
is(sql('subscriber', "SELECT update_tier.report($token, 'succeeded')"), 'promoted', 'tokens stay valid');
is(sql('subscriber', q{SELECT count(*), min(token) > } . $token . q{ FROM update_tier.claim_batch('p')}), '4|t', 'and rollouts go on');
is(sql('publisher', q{SELECT count(*) FROM update_tier.claim_batch('p')}), 0, 'the publisher is frozen');
like((shell("pg_dump --data-only --table='update_tier.*' publisher | psql -X -q -v ON_ERROR_STOP=1 -d follower"))[1],
	qr/duplicate key value violates unique constraint "tier_change_pkey"/, 'changes of tiers that were recorded there collide');
is(scalar(@shell), 3, 'the commands of the page');

sql('follower', 'ALTER SUBSCRIPTION fleet SET (slot_name = NONE); DROP SUBSCRIPTION fleet');
sql('subscriber', 'ALTER SUBSCRIPTION fleet DISABLE');
$node->stop;
done_testing();
