# A database with rollouts in every phase, for what has to survive: what is in
# it, what the functions answer, and how it goes on.

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

	CREATE FUNCTION run(p text, v text, n integer, outcome text DEFAULT 'succeeded') RETURNS text LANGUAGE sql AS
	$$SELECT update_tier.report(update_tier.claim(p, v, md5(n::text)::uuid), outcome)$$;
	SELECT update_tier.set_policy(max_failures => 1), update_tier.set_policy('b', soak => '3 days', lease => '1 hour');
	SELECT update_tier.start('a', 'superseded'), update_tier.start('a', 'canary'), update_tier.claim('a', 'canary', md5('1')::uuid);
	SELECT run('b', 'soaking', 1), run('b', 'soaking', 2, 'error'), update_tier.start('b', 'queued');
	SELECT run('c', 'promoted', 1), update_tier.promote('c', 'promoted', 'looks good'), run('c', 'promoted', 11, 'failed');
	SELECT count(*) FROM update_tier.claim_batch('c', 'promoted', 7);
	SELECT run('d', 'halted', 1, 'failed'), run('d', 'halted', 2, 'failed');
	SELECT update_tier.start('e', 'aborted'), update_tier.abort('e', 'aborted', 'no');
	DROP FUNCTION run;
};

# Everything that the functions answer, and the rows behind it.
our $answers = q{
	SET TimeZone = 'UTC';
	SELECT * FROM update_tier.attached;
	SELECT * FROM canary_workspaces();
	SELECT count(*) FROM production_workspaces();
	SELECT * FROM update_tier.counts();
	SELECT * FROM update_tier.status;
	SELECT p, v, n, update_tier.explain(p, v, md5(n::text)::uuid)
	  FROM (VALUES ('a', 'canary'), ('a', 'superseded'), ('b', 'soaking'), ('b', 'queued'), ('c', 'promoted'),
	               ('d', 'halted'), ('e', 'aborted')) AS x (p, v), generate_series(1, 13, 3) AS n;
	SELECT * FROM update_tier.progress('c', 'promoted');
	SELECT update_tier.promoted_version('c');
	SELECT * FROM update_tier.policy ORDER BY package;
	SELECT * FROM update_tier.rollout ORDER BY id;
	SELECT * FROM update_tier.execution ORDER BY token;
	SELECT * FROM update_tier.event ORDER BY id;
	SELECT * FROM update_tier.tier_change ORDER BY id;
	SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'app.environments'::regclass ORDER BY 1;
	SELECT indexdef FROM pg_indexes WHERE tablename = 'environments' ORDER BY 1;
};

# What goes on: the next numbers are new, and the rollouts continue.
our $goes_on = q{
	BEGIN;
	SELECT (SELECT max(token) FROM update_tier.execution) < update_tier.claim('b', 'soaking', md5('3')::uuid);
	SELECT update_tier.start('b', 'newer');
	SELECT version, phase FROM update_tier.status WHERE package = 'b' ORDER BY version;
	SELECT count(*) FROM update_tier.claim_batch('c', 'promoted', 100);
	SELECT update_tier.attach('app.environments', $$status <> 'removed'::app.status$$);
	ROLLBACK;
};

1;
