// A client in Java, with JDBC: what an application does with the tiers of its
// workspaces, and what an applier of updates does with a rollout.
//
// The environment says where the database is (PGHOST, PGDATABASE, ...).  It ends
// with an AssertionError where it does not see what it must.

import java.sql.*;
import java.util.*;

import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public class Applier {

	// Behind PgBouncer in transaction mode, a statement that the driver has
	// prepared on one connection of the server is unknown on the next.
	// PgBouncer takes care of that since 1.21 (max_prepared_statements); with
	// one that does not, prepareThreshold=0 is a must: the driver prepares
	// once more and tries again, but in a transaction it cannot.  (1: at the
	// first use; the default is 5.)
	static Connection connect(String role) throws SQLException {
		Map<String, String> env = System.getenv();
		return DriverManager.getConnection(
			"jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE")
				+ "?prepareThreshold=" + (env.containsKey("NO_PREPARE") ? 0 : 1),
			role, env.get("PGPASSWORD"));
	}

	// The application: tiers.

	static List<UUID> canaries(Connection db) throws SQLException {
		try (PreparedStatement list = db.prepareStatement("SELECT canary_workspaces()"); ResultSet rows = list.executeQuery()) {
			List<UUID> ids = new ArrayList<>();
			while (rows.next()) ids.add(rows.getObject(1, UUID.class));
			return ids;
		}
	}

	/** Returns the old tier. */
	static String setTier(Connection db, UUID workspace, String tier) throws SQLException {
		return (String) value(db, "SELECT set_update_tier(?, ?)", workspace, tier);
	}

	// The applier.

	/** The update was applied, and it is bad. */
	static class Unhealthy extends Exception {
		Unhealthy(String message) { super(message); }
	}

	interface Update {
		/** Returns the version that is installed now. */
		String apply(UUID workspace, String version) throws Exception;
	}

	record Claim(UUID workspace, int attempt, long token) {}

	static List<Claim> claimBatch(Connection db, String pkg, String version) throws SQLException {
		try (PreparedStatement claim = db.prepareStatement(
				"SELECT workspace, attempt, token FROM update_tier.claim_batch(?, ?, ?)")) {
			claim.setString(1, pkg);
			claim.setString(2, version);
			claim.setInt(3, 2);
			try (ResultSet rows = claim.executeQuery()) {
				List<Claim> batch = new ArrayList<>();
				while (rows.next()) batch.add(new Claim(rows.getObject(1, UUID.class), rows.getInt(2), rows.getLong(3)));
				return batch;
			}
		}
	}

	/** Returns the phase of the rollout. */
	static String report(Connection db, long token, String outcome, String installed, String detail) throws SQLException {
		return (String) value(db, "SELECT update_tier.report(?, ?, ?, ?)", token, outcome, installed, detail);
	}

	/** Takes a version to all workspaces that may have it now. */
	static void rollOut(Connection db, String pkg, String version, Update update) throws SQLException {
		// The claims are committed before anything is applied: these leases are
		// what keeps other appliers away, also after a crash.
		db.setAutoCommit(true);
		for (;;) {
			List<Claim> batch = claimBatch(db, pkg, version);
			if (batch.isEmpty()) return;		// nothing is due at present: the soak, or the end
			for (Claim c : batch) {
				String outcome, installed = null, detail = null;
				try {
					installed = update.apply(c.workspace, version);
					outcome = "succeeded";
				} catch (Exception e) {
					// Evidence against the version, or nobody knows: then it will be due again.
					outcome = e instanceof Unhealthy ? "failed" : "error";
					detail = e.getMessage();
				}
				String phase = report(db, c.token, outcome, installed, detail);
				log.add(WORKSPACES.indexOf(c.workspace) + 1 + " " + c.attempt + " " + phase);
				if (phase.equals("halted")) return;	// not one more; the other leases run out
			}
		}
	}

	/**
	 * Applies to one workspace in one transaction, where applying takes a moment.
	 * Returns the phase, or null if the workspace is to be skipped.
	 */
	static String applyNow(Connection db, String pkg, String version, UUID workspace, Update update) throws Exception {
		db.setAutoCommit(false);
		try {
			Long token = (Long) value(db, "SELECT update_tier.claim(?, ?, ?)", pkg, version, workspace);
			// null: not open to it, or somebody else has it.
			String phase = token == null ? null : report(db, token, "succeeded", update.apply(workspace, version), null);
			db.commit();
			return phase;
		} catch (Exception e) {
			db.rollback();
			throw e;
		}
	}

	/** The value that a statement returns. */
	static Object value(Connection db, String sql, Object... arguments) throws SQLException {
		try (PreparedStatement statement = db.prepareStatement(sql)) {
			for (int i = 0; i < arguments.length; i++) {
				if (arguments[i] == null) statement.setNull(i + 1, Types.VARCHAR);
				else statement.setObject(i + 1, arguments[i]);
			}
			try (ResultSet rows = statement.executeQuery()) {
				rows.next();
				return rows.getObject(1);
			}
		}
	}

	// What has to come of it.

	static final List<UUID> WORKSPACES = new ArrayList<>();
	static final List<String> log = new ArrayList<>();
	static final Set<UUID> unreachable = new HashSet<>();

	interface Action { void run() throws Exception; }

	/** Returns what the server said. */
	static ServerErrorMessage fails(Action action) throws Exception {
		try {
			action.run();
		} catch (PSQLException e) {
			return e.getServerErrorMessage();
		}
		throw new AssertionError("no error");
	}

	static void equal(Object seen, Object expected) {
		if (!Objects.equals(seen, expected)) throw new AssertionError(seen + ", not " + expected);
	}

	static String good(UUID workspace, String version) throws Exception {
		if (unreachable.remove(workspace)) throw new Exception("no answer");	// the next time it answers
		return version;
	}

	static String bad(UUID workspace, String version) throws Unhealthy {
		throw new Unhealthy("crashes");
	}

	static Object allowed(Connection db, UUID workspace) throws SQLException {
		return value(db, "SELECT update_tier.allows('search', 'v9', ?)", workspace);
	}

	public static void main(String[] args) throws Exception {
		for (int n = 1; n <= 5; n++) WORKSPACES.add(UUID.fromString(String.format("00000000-0000-4000-8000-%012d", n)));
		unreachable.add(WORKSPACES.get(4));

		try (Connection application = connect("application")) {
			equal(canaries(application), WORKSPACES.subList(0, 1));
			equal(setTier(application, WORKSPACES.get(1), "canary"), "production");
			equal(canaries(application), WORKSPACES.subList(0, 2));

			ServerErrorMessage error = fails(() -> {
				try (PreparedStatement update = application.prepareStatement(
						"UPDATE workspaces SET update_tier = 'canery' WHERE id = ?")) {
					update.setObject(1, WORKSPACES.get(2));
					update.executeUpdate();
				}
			});
			equal(error.getSQLState(), "23514");
			equal(error.getConstraint(), "canary_or_production");
			error = fails(() -> setTier(application, WORKSPACES.get(2), "canery"));
			equal(error.getSQLState(), "23514");
			equal(error.getConstraint(), "canary_or_production");
			equal(error.getHint(), "Perhaps you meant \"canary\".");
		}

		try (Connection applier = connect("applier")) {
			equal(fails(() -> value(applier, "SELECT id FROM workspaces")).getSQLState(), "42501");
			rollOut(applier, "search", "v7", Applier::good);
			equal(log, List.of("1 1 canary", "2 1 soaking", "3 1 promoted", "4 1 promoted", "5 1 promoted", "5 2 promoted"));
			log.clear();
			rollOut(applier, "search", "v8", Applier::bad);
			equal(log, List.of("1 1 halted"));

			equal(applyNow(applier, "search", "v9", WORKSPACES.get(0), Applier::good), "canary");
			equal(applyNow(applier, "search", "v9", WORKSPACES.get(0), Applier::good), null);
			equal(applyNow(applier, "search", "v9", WORKSPACES.get(2), Applier::good), null);
			try {
				applyNow(applier, "search", "v9", WORKSPACES.get(1), (workspace, version) -> {
					equal(allowed(applier, workspace), false);	// for it is leased
					throw new IllegalStateException("crash");
				});
				throw new AssertionError("no crash");
			} catch (IllegalStateException e) {
				equal(allowed(applier, WORKSPACES.get(1)), true);	// no longer leased
			}
		}
	}
}
