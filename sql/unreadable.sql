--
-- Whatever has happened to the attached table, operators can stop a version, status
-- answers, and no report is lost.  A workspace counts as live, as it was when it was claimed.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set ECHO none
\i :fleet
\set ECHO all
CREATE VIEW counted AS
    SELECT package, phase, canary_succeeded AS cs, canary_failed AS cf, waits_for FROM update_tier.status ORDER BY package;
-- In each package one lease whose end is the end of the last attempt, and one to be
-- reported.
SELECT update_tier.set_policy(max_attempts => 1, max_failures => 1, min_successes => 2, lease => '1 hour');
SELECT update_tier.start(p, 'v1'), update_tier.claim(p, 'v1', w(1)) IS NOT NULL AS claimed,
       update_tier.extend(update_tier.claim(p, 'v1', w(2)), '1 day') IS NOT NULL AS extended
  FROM unnest(ARRAY['renamed', 'missing', 'dropped', 'detached']) AS p;
SELECT later('2 hours');
CREATE FUNCTION reported(p text) RETURNS text LANGUAGE sql AS
    $$SELECT update_tier.report(token, 'succeeded') FROM update_tier.installed WHERE package = p AND workspace = w(2)$$;

-- A column that live_when names has another name.
ALTER TABLE workspaces RENAME COLUMN live TO is_live;
SELECT * FROM counted WHERE package = 'renamed';
SELECT update_tier.freeze('renamed'), update_tier.thaw('renamed'), reported('renamed');
SELECT update_tier.halt('renamed', 'v1', 'stop');
SELECT * FROM counted WHERE package = 'renamed';
-- Calls that need the table say what is wrong.
SELECT update_tier.allows('renamed', 'v1', w(3));
ALTER TABLE workspaces RENAME COLUMN is_live TO live;

-- The column update_tier is missing.
BEGIN;
ALTER TABLE workspaces DROP COLUMN update_tier;
SELECT reported('missing'), update_tier.halt('missing', 'v1', 'stop');
SELECT * FROM counted WHERE package = 'missing';
ROLLBACK;

-- The table is gone.
BEGIN;
DROP TABLE workspaces;
SELECT reported('dropped'), update_tier.halt('dropped', 'v1', 'stop');
SELECT * FROM counted WHERE package = 'dropped';
ROLLBACK;

-- No table is attached: no workspace is live, so nothing counts.
SELECT update_tier.detach();
SELECT reported('detached'), update_tier.halt('detached', 'v1', 'stop');
SELECT * FROM counted WHERE package = 'detached';

DROP VIEW counted;
DROP FUNCTION w, n, later, run, phases, reported;
DROP EXTENSION update_tier;
DROP TABLE workspaces;
