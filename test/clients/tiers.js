// How an application uses the tiers of its workspaces, with node-postgres: it lists them,
// changes one, and reads the error of a typo.
//
// The environment says where the database is (PGHOST, PGDATABASE, ...).  The program ends
// with an AssertionError if a result is wrong.

'use strict';

const assert = require('assert');
const pg = require('pg');

const workspaces = [1, 2, 3, 4, 5].map((n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

// With PgBouncer in transaction mode, a statement that was prepared on one
// connection of the server is unknown on the next.  node-postgres prepares only
// queries that have a name.  PgBouncer supports names since 1.21
// (max_prepared_statements); for an older one, set NO_PREPARE.
const named = (name, text, values) => (process.env.NO_PREPARE ? { text, values } : { name, text, values });

async function canaries(db) {
  const { rows } = await db.query(named('canaries', 'SELECT canary_workspaces() AS id', []));
  return rows.map((row) => row.id);
}

// The old tier.
async function setTier(db, workspace, tier) {
  const { rows } = await db.query(named('set_tier', 'SELECT set_update_tier($1, $2) AS old', [workspace, tier]));
  return rows[0].old;
}

async function main() {
  const application = new pg.Pool({ user: 'application' });
  assert.deepStrictEqual(await canaries(application), workspaces.slice(0, 1));
  assert.strictEqual(await setTier(application, workspaces[1], 'canary'), 'production');
  assert.deepStrictEqual(await canaries(application), workspaces.slice(0, 2));

  const typo = { code: '23514', constraint: 'canary_or_production' };
  await assert.rejects(application.query("UPDATE workspaces SET update_tier = 'canery' WHERE id = $1", [workspaces[2]]), typo);
  await assert.rejects(setTier(application, workspaces[2], 'canery'), { ...typo, hint: 'Perhaps you meant "canary".' });
  await application.end();

  const applier = new pg.Pool({ user: 'applier' });
  await assert.rejects(applier.query('SELECT id FROM workspaces'), { code: '42501' });
  await applier.end();
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
