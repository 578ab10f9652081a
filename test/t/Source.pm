# A database with rollouts in every phase, for tests of dumps and upgrades: its contents,
# the answers of the functions, and calls that continue the rollouts.

package Source;

use strict;
use warnings;

our $setup = q{
	SET client_min_messages = 'warning';
	CREATE SCHEMA app;
	CREATE TYPE app.status AS ENUM ('online', 'removed');
	CREATE TABLE app.environments (id uuid PRIMARY KEY, status app.status NOT NULL DEFAULT 'online');
	INSERT INTO app.environments SELECT md5(n::text)::uuid, CASE n % 10 WHEN 0 THEN 'removed' ELSE 'online' END::app.status
	  FROM generate_series(1, 100) AS n;
	CREATE EXTENSION update_tier;
	SET search_path = app, public;
	SELECT update_tier.attach('environments', $$status <> 'removed'$$);
	SELECT set_update_tier(md5(n::text)::uuid, 'canary') FROM generate_series(1, 5) AS n;

	CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT md5(n::text)::uuid$$;
	CREATE FUNCTION run(p text, v text, n integer, outcome text DEFAULT 'succeeded') RETURNS text LANGUAGE sql AS
	$$SELECT update_tier.report(update_tier.claim(p, v, w(n)), outcome)$$;
	SELECT update_tier.set_policy(max_failures => 1, retry_delay => '1 hour');
	-- A version in canary, with a lease, and the version that it has superseded.
	SELECT update_tier.start('a', 'superseded'), update_tier.start('a', 'canary');
	SELECT update_tier.claim('a', 'canary', w(1));
	-- A version that soaks, and a version that is queued.
	SELECT update_tier.set_policy('b', soak => '3 days', lease => '1 hour');
	SELECT update_tier.start('b', 'soaking');
	SELECT run('b', 'soaking', 1), run('b', 'soaking', 2, 'error');
	SELECT update_tier.start('b', 'queued');
	-- A promoted version that ramps, and the version before, which production still gets.
	SELECT update_tier.start('c', 'before'), update_tier.promote('c', 'before', 'seen elsewhere');
	SELECT run('c', 'before', 1), run('c', 'before', 11, 'failed'), run('c', 'before', 12);
	SELECT count(*) FROM update_tier.claim_batch('c', 'before', candidates => ARRAY(SELECT w(n) FROM generate_series(13, 19) AS n));
	SELECT update_tier.set_policy('c', ramp => '100 years');
	SELECT update_tier.start('c', 'promoted'), update_tier.promote('c', 'promoted', 'looks good');
	SELECT run('c', 'promoted', 1), run('c', 'promoted', 2, 'skipped'), update_tier.claim('c', 'promoted', w(3));
	-- A halted and an aborted version.
	SELECT update_tier.start('d', 'halted');
	SELECT run('d', 'halted', 1, 'failed'), run('d', 'halted', 2, 'failed');
	SELECT update_tier.start('e', 'aborted'), update_tier.abort('e', 'aborted', 'no');
	-- A version in its second run, with a lease of the first run.
	SELECT update_tier.start('f', 'retried');
	SELECT run('f', 'retried', 1, 'failed'), update_tier.claim('f', 'retried', w(2));
	SELECT update_tier.halt('f', 'retried', 'slow'), update_tier.retry('f', 'retried', 'fixed');
	SELECT run('f', 'retried', 3);
	-- A frozen package, with a forced claim and with observations.
	SELECT update_tier.start('g', 'frozen');
	SELECT update_tier.freeze('g', '2100-01-01 00:00:00+00', 'holidays');
	SELECT update_tier.force('g', 'frozen', w(21), 'asked for');
	SELECT update_tier.observe('g', 'frozen', w(1)), update_tier.observe('g', 'by hand', w(2));
	SELECT update_tier.observe('g', 'frozen', w(3)), update_tier.forget('g', w(3), 'restored');
	-- A lease that has expired.
	SELECT update_tier.set_policy('h', lease => '1 microsecond');
	SELECT update_tier.start('h', 'expired'), update_tier.claim('h', 'expired', w(1));
	SELECT update_tier.start('h', 'expired');
	-- A report that is not counted yet.
	SELECT update_tier.report(token, 'succeeded') FROM update_tier.installation WHERE workspace = w(13) AND state = 'claimed';
	DROP FUNCTION run, w;
};

# All answers of the functions, and all rows of the tables.
our $answers = q{
	SET TimeZone = 'UTC';
	SELECT * FROM update_tier.attached;
	SELECT * FROM canary_workspaces();
	SELECT count(*) FROM production_workspaces();
	SELECT * FROM update_tier.counts();
	SELECT * FROM update_tier.status;
	SELECT * FROM update_tier.installed ORDER BY package, workspace;
	SELECT package, version, n, update_tier.explain(package, version, md5(n::text)::uuid)
	  FROM update_tier.rollout, unnest(ARRAY[1, 2, 3, 10, 11, 12, 21]) AS n ORDER BY package, version, n;
	SELECT p.name, n, update_tier.wanted_version(p.name, md5(n::text)::uuid)
	  FROM update_tier.package AS p, unnest(ARRAY[1, 2, 11, 12]) AS n ORDER BY p.name, n;
	SELECT name, update_tier.promoted_version(name) FROM update_tier.package ORDER BY name;
	SELECT * FROM update_tier.progress('c', 'before');
	SELECT * FROM update_tier.package ORDER BY id;
	SELECT * FROM update_tier.rollout ORDER BY id;
	SELECT * FROM update_tier.installation ORDER BY package_id, workspace;
	SELECT 'uncounted', u.* FROM update_tier.uncounted AS u ORDER BY at;
	SELECT * FROM update_tier.event ORDER BY id;
	SELECT * FROM update_tier.tier_change ORDER BY id;
	SELECT 'package_id', last_value, is_called FROM update_tier.package_id;
	SELECT 'rollout_id', last_value, is_called FROM update_tier.rollout_id;
	SELECT 'rollout_ordinal', last_value, is_called FROM update_tier.rollout_ordinal;
	SELECT 'installation_token', last_value, is_called FROM update_tier.installation_token;
	SELECT 'event_id', last_value, is_called FROM update_tier.event_id;
	SELECT 'tier_change_id', last_value, is_called FROM update_tier.tier_change_id;
	SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'app.environments'::regclass ORDER BY 1;
	SELECT indexdef FROM pg_indexes WHERE tablename = 'environments' ORDER BY 1;
};

# Calls that continue the rollouts, with new numbers from the sequences.  They are rolled
# back, but the sequences have moved on.  So a test runs this before it reads the answers
# of the database that it dumps, and after it reads those of the restored database.
our $goes_on = q{
	BEGIN;
	SELECT (SELECT max(token) FROM update_tier.installation) < update_tier.claim('b', 'soaking', md5('3')::uuid);
	SELECT update_tier.start('b', 'newer'), update_tier.start('i', '1');
	SELECT name FROM update_tier.package ORDER BY id DESC LIMIT 1;
	SELECT version FROM update_tier.rollout ORDER BY id DESC LIMIT 2;
	SELECT package, version, phase FROM update_tier.status WHERE package IN ('b', 'i') ORDER BY package, version;
	SELECT max_failures, retry_delay FROM update_tier.rollout WHERE package = 'i';
	SELECT workspace, version, attempt FROM update_tier.claim_batch('c', max_claims => 3);
	SELECT count(*) FROM update_tier.claim_batch('c', 'before', 100);
	SELECT production_succeeded, (SELECT count(*) FROM update_tier.uncounted) FROM update_tier.rollout WHERE package = 'c' AND version = 'before';
	SELECT update_tier.set_policy(max_failures => 2);
	SELECT update_tier.report(token, 'succeeded') FROM update_tier.installation WHERE state = 'claimed' ORDER BY token LIMIT 1;
	SELECT update_tier.attach('app.environments', $$status <> 'removed'::app.status$$);
	ROLLBACK;
};

1;
