import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What tools over pgJDBC ask for: metadata, bound parameters, rows in parts, a cancel. Prints NAME=VALUE for run.py. */
class Metadata {
  static String names(ResultSet rows, String... columns) throws SQLException {
    List<String> names = new ArrayList<>();
    while (rows.next()) {
      List<String> parts = new ArrayList<>();
      for (String column : columns) parts.add(rows.getString(column));
      names.add(String.join(":", parts));
    }
    rows.close();
    return String.join(",", names);
  }

  static String state(Statement statement, String sql) {
    try {
      statement.executeQuery(sql);
      return "taken";
    } catch (SQLException e) {
      return e.getSQLState();
    }
  }

  public static void main(String[] arguments) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("user", "analyst");
    properties.setProperty("password", System.getenv("TIDELINE_KEY"));
    properties.setProperty("sslmode", "verify-full");
    properties.setProperty("sslrootcert", arguments[1]);
    String url = "jdbc:postgresql://localhost:" + arguments[0] + "/tideline";
    try (Connection connection = DriverManager.getConnection(url, properties)) {
      DatabaseMetaData meta = connection.getMetaData();
      System.out.println("product=" + meta.getDatabaseProductName());
      System.out.println("catalogs=" + names(meta.getCatalogs(), "TABLE_CAT"));
      System.out.println("schemas=" + names(meta.getSchemas(), "TABLE_SCHEM"));
      System.out.println("tables=" + names(meta.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME"));
      System.out.println("views=" + names(meta.getTables(null, "public", "%", new String[] {"VIEW"}), "TABLE_NAME"));
      System.out.println("columns=" + names(meta.getColumns(null, "public", "events", "%"), "COLUMN_NAME", "TYPE_NAME"));
      System.out.println("primary=" + names(meta.getPrimaryKeys(null, "public", "events"), "COLUMN_NAME"));
      System.out.println("indexes=" + names(meta.getIndexInfo(null, "public", "events", false, true), "INDEX_NAME"));
      System.out.println("imported=" + names(meta.getImportedKeys(null, "public", "events"), "FK_NAME"));
      System.out.println("types=" + names(meta.getTableTypes(), "TABLE_TYPE").length());
      try (PreparedStatement query = connection.prepareStatement(
          "SELECT revenue, event_ts, event_date FROM events WHERE event_id = ? AND seq >= ? AND revenue >= ?")) {
        // Often enough for the driver to go over to a statement of its own, and to binary.
        for (int n = 0; n < 8; n++) {
          query.setString(1, "o" + n);
          query.setLong(2, 0);
          query.setBigDecimal(3, new BigDecimal("20.20"));
          ResultSet row = query.executeQuery();
          row.next();
          if (row.getTimestamp(2).getTime() != 1772366400000L + n * 10_000L) throw new Exception(row.getString(2));
          if (n == 7) System.out.println("money=" + row.getBigDecimal(1));
        }
      }
      // Rows in parts, which needs a transaction.
      connection.setAutoCommit(false);
      Statement parts = connection.createStatement();
      parts.setFetchSize(50);
      ResultSet rows = parts.executeQuery("SELECT event_id FROM events");
      int fetched = 0;
      while (rows.next()) fetched++;
      System.out.println("fetched=" + fetched);
      connection.commit();
      connection.setAutoCommit(true);
      Statement statement = connection.createStatement();
      ResultSet count = statement.executeQuery("SELECT count(*) FROM events");
      count.next();
      System.out.println("count=" + count.getLong(1));
      System.out.println("write=" + state(statement, "INSERT INTO events VALUES (1)"));
      statement.setQueryTimeout(1);
      System.out.println("cancelled=" + state(statement,
          "SELECT count(*) FROM generate_series(1, 9000000) a, generate_series(1, 9000000) b"));
      connection.setReadOnly(true);
      if (!connection.isValid(5)) throw new Exception("not valid");
    }
  }
}
