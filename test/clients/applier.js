// A client in JavaScript, with node-postgres: what an application does with the
// tiers of its workspaces, and what an applier of updates does with a rollout.
//
// The environment says where the database is (PGHOST, PGDATABASE, ...).  It ends
// with an AssertionError where it does not see what it must.

'use strict';

const assert = require('assert');
const pg = require('pg');

const workspaces = [1, 2, 3, 4, 5].map((n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

// Behind PgBouncer in transaction mode, a statement that was prepared on one
// connection of the server is unknown on the next.  node-postgres prepares those
// queries that have a name, and no others.  PgBouncer takes care of names since
// 1.21 (max_prepared_statements); with one that does not, give none.
const named = (name, text, values) => (process.env.NO_PREPARE ? { text, values } : { name, text, values });

// The application: tiers.

async function canaries(db) {
  const { rows } = await db.query('SELECT canary_workspaces() AS id');
  return rows.map((row) => row.id);
}

// The old tier.
async function setTier(db, workspace, tier) {
  const { rows } = await db.query('SELECT set_update_tier($1, $2) AS old', [workspace, tier]);
  return rows[0].old;
}

// The applier.

class Unhealthy extends Error {} // the update was applied, and it is bad

// The phase of the rollout.  (A token is a bigint, and comes as a string.)
async function report(db, token, outcome, installed, detail) {
  const { rows } = await db.query(named('report',
    'SELECT update_tier.report($1, $2, $3, $4) AS phase', [token, outcome, installed, detail]));
  return rows[0].phase;
}

// Take a version to all workspaces that may have it now.
async function rollOut(pool, pkg, version, apply) {
  for (;;) {
    // The claims are committed before anything is applied: these leases are
    // what keeps other appliers away, also after a crash.
    const { rows } = await pool.query(named('claim_batch',
      'SELECT workspace, attempt, token FROM update_tier.claim_batch($1, $2, $3)', [pkg, version, 2]));
    if (rows.length === 0) return; // nothing is due at present: the soak, or the end
    for (const { workspace, attempt, token } of rows) {
      let outcome, installed, detail;
      try {
        installed = await apply(workspace, version);
        outcome = 'succeeded';
      } catch (e) {
        // Evidence against the version, or nobody knows: then it will be due again.
        outcome = e instanceof Unhealthy ? 'failed' : 'error';
        detail = e.message;
      }
      const phase = await report(pool, token, outcome, installed, detail);
      log.push([workspaces.indexOf(workspace) + 1, attempt, phase]);
      if (phase === 'halted') return; // not one more; the other leases run out
    }
  }
}

// Apply to one workspace in one transaction, where applying takes a moment.
// The phase, or null if the workspace is to be skipped.
async function applyNow(pool, pkg, version, workspace, apply) {
  const db = await pool.connect(); // a transaction needs one connection for itself
  try {
    await db.query('BEGIN');
    const { rows } = await db.query('SELECT update_tier.claim($1, $2, $3) AS token', [pkg, version, workspace]);
    const { token } = rows[0];
    // NULL: not open to it, or somebody else has it.
    const phase = token === null ? null : await report(db, token, 'succeeded', await apply(workspace, version, db));
    await db.query('COMMIT');
    return phase;
  } catch (e) {
    await db.query('ROLLBACK');
    throw e;
  } finally {
    db.release();
  }
}

// What has to come of it.

const log = [];
const unreachable = new Set([workspaces[4]]);

async function good(workspace, version) {
  if (unreachable.delete(workspace)) throw new Error('no answer'); // the next time it answers
  return version;
}

async function bad() {
  throw new Unhealthy('crashes');
}

async function allowed(db, workspace) {
  const { rows } = await db.query("SELECT update_tier.allows('search', 'v9', $1) AS allowed", [workspace]);
  return rows[0].allowed;
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
  await rollOut(applier, 'search', 'v7', good);
  assert.deepStrictEqual(log.splice(0), [[1, 1, 'canary'], [2, 1, 'soaking'], [3, 1, 'promoted'], [4, 1, 'promoted'],
    [5, 1, 'promoted'], [5, 2, 'promoted']]);
  await rollOut(applier, 'search', 'v8', bad);
  assert.deepStrictEqual(log, [[1, 1, 'halted']]);

  const crash = async (workspace, version, db) => {
    assert(!await allowed(db, workspace)); // for it is leased
    throw new Error('crash');
  };
  assert.strictEqual(await applyNow(applier, 'search', 'v9', workspaces[0], good), 'canary');
  assert.strictEqual(await applyNow(applier, 'search', 'v9', workspaces[0], good), null);
  assert.strictEqual(await applyNow(applier, 'search', 'v9', workspaces[2], good), null);
  await assert.rejects(applyNow(applier, 'search', 'v9', workspaces[1], crash), { message: 'crash' });
  assert(await allowed(applier, workspaces[1])); // no longer leased
  await applier.end();
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
