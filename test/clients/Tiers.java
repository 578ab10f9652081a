// How an application uses the tiers of its workspaces, with JDBC: it lists them, changes
// one, and reads the error of a typo.
//
// The environment says where the database is (PGHOST, PGDATABASE, ...).  The program ends
// with an AssertionError if a result is wrong.

import java.sql.*;
import java.util.*;

import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public class Tiers {

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

	static final List<UUID> WORKSPACES = new ArrayList<>();

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

	public static void main(String[] args) throws Exception {
		for (int n = 1; n <= 5; n++) WORKSPACES.add(UUID.fromString(String.format("00000000-0000-4000-8000-%012d", n)));

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
		}
	}
}
