//! What strangers send: everything here gets a clear error, and the engine answers the next query.

use super::*;

async fn code(engine: &QueryEngine, text: &str) -> String {
    let request = QueryRequest { timeout: Some(Duration::from_secs(60)), ..QueryRequest::new(text) };
    match rows(engine, request).await {
        Ok(rows) => format!("ok: {}", rows.chars().take(100).collect::<String>()),
        Err(error) => {
            assert!(!error.message.contains("DataFusion") && !error.message.contains("/root"), "{}", error.message);
            error.code.to_owned()
        }
    }
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let engine = Fixture::three_days().await.engine();
    for text in [
        "INSERT INTO events SELECT * FROM events",
        "INSERT INTO events VALUES (1)",
        "UPDATE events SET page = '/'",
        "DELETE FROM events",
        "DROP TABLE events",
        "DROP VIEW events",
        "TRUNCATE TABLE events",
        "TRUNCATE events",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TABLE t (a INT)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE DATABASE d",
        "CREATE SCHEMA s",
        "CREATE FUNCTION f() RETURNS INT AS '1'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE INDEX i ON events (page)",
        "CREATE ROLE r",
        "ALTER TABLE events ADD COLUMN a INT",
        "COPY events TO '/tmp/x.csv'",
        "COPY (SELECT 1) TO '/tmp/x.parquet' STORED AS PARQUET",
        "COPY events FROM '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "SET TIME ZONE 'UTC'",
        "RESET datafusion.execution.batch_size",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "GRANT SELECT ON events TO x",
        "REVOKE SELECT ON events FROM x",
        "MERGE INTO events USING events e ON true WHEN MATCHED THEN DELETE",
        "CALL f()",
        "VACUUM",
        "ATTACH DATABASE 'x' AS y",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE events",
        "SELECT * INTO t FROM events",
        "SELECT * FROM events FOR UPDATE",
        "EXPLAIN DELETE FROM events",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
        "EXPLAIN COPY events TO '/tmp/x.csv'",
        "WITH x AS (SELECT 1) INSERT INTO events SELECT * FROM x",
        "SHOW ALL",
        "SHOW datafusion.runtime.temp_directory",
        "USE x",
        "KILL 1",
        "ANALYZE TABLE events",
    ] {
        let code = code(&engine, text).await;
        assert!(code == "read_only" || code == "syntax_error", "{text}: {code}");
    }
    let error = sql(&engine, "DROP TABLE events").await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Forbidden, "read_only"));
    assert_eq!(sql(&engine, "SELECT count(*) AS n FROM events").await.unwrap(), r#"{"n":30100}"#);
}

#[tokio::test]
async fn only_known_tables_are_read() {
    let engine = Fixture::three_days().await.engine();
    for text in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM 'file:///etc/passwd'",
        "SELECT * FROM 's3://bucket/x.parquet'",
        "SELECT * FROM 'tideline://lake/x.parquet'",
        "SELECT * FROM other",
        "SELECT * FROM tideline.secret.events",
        "SELECT * FROM other.public.events",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM tideline.information_schema.df_settings",
        "SELECT * FROM \"information_schema\".\"DF_SETTINGS\"",
        "SELECT (SELECT count(*) FROM other)",
        "SELECT * FROM events WHERE page IN (SELECT page FROM other)",
        "SELECT * FROM events WHERE EXISTS (SELECT 1 FROM other)",
        "WITH a AS (SELECT * FROM other) SELECT * FROM a",
        "SELECT 1 UNION ALL SELECT * FROM other",
        "DESCRIBE other",
        "TABLE other",
    ] {
        let code = code(&engine, text).await;
        assert!(code == "unknown_table" || code == "syntax_error", "{text}: {code}");
    }
    let error = sql(&engine, "SELECT *\nFROM event").await.unwrap_err();
    assert_eq!((error.code, error.did_you_mean.as_deref()), ("unknown_table", Some("events")));
    assert_eq!(error.position.map(|p| (p.line, p.column)), Some((2, 6)));
    for text in
        ["SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM parquet_metadata('/x')", "SELECT * FROM glob('/*')"]
    {
        let code = code(&engine, text).await;
        assert!(["unknown_function", "unknown_table"].contains(&code.as_str()), "{text}: {code}");
    }
}

/// Shapes that overflow a stack or eat memory while they are parsed or planned.
#[tokio::test]
async fn bombs_for_the_planner() {
    let engine = Fixture::three_days().await.engine();
    let chain = |piece: &str, n: usize| vec![piece; n].join("");
    let nested =
        |open: &str, inner: &str, close: &str, n: usize| format!("{}{inner}{}", chain(open, n), chain(close, n));
    let ctes: String = (1..40).map(|i| format!(", c{i} AS (SELECT a.x FROM c{p} a, c{p} b)", p = i - 1)).collect();
    let doubled: String = (1..60).map(|i| format!(", c{i} AS (SELECT x || x AS x FROM c{})", i - 1)).collect();
    for (name, text) in [
        ("plus", format!("SELECT 1{}", chain("+1", 2_000))),
        ("plus in one word", format!("SELECT seq FROM events WHERE seq = 1{}", chain("+1", 20_000))),
        ("concat", format!("SELECT 'a'{}", chain("||'a'", 2_000))),
        ("or", format!("SELECT * FROM events WHERE seq = 0{}", chain(" OR seq = 1", 5_000))),
        ("and", format!("SELECT * FROM events WHERE seq = 0{}", chain(" AND seq = 1", 5_000))),
        ("union", format!("SELECT 1{}", chain(" UNION ALL SELECT 1", 3_000))),
        ("parentheses", format!("SELECT {}", nested("(", "1", ")", 10_000))),
        ("functions", format!("SELECT {}", nested("abs(", "1", ")", 5_000))),
        ("subqueries", format!("SELECT * FROM {}", nested("(SELECT * FROM ", "events", ")", 1_000))),
        ("arrays", format!("SELECT {}", nested("[", "1", "]", 5_000))),
        ("not", format!("SELECT {} true", chain("NOT ", 5_000))),
        ("minus", format!("SELECT {}1", chain("- ", 5_000))),
        ("cast", format!("SELECT 1{}", chain("::int", 5_000))),
        ("is null", format!("SELECT 1{}", chain(" IS NULL", 5_000))),
        ("subscripts", format!("SELECT items{} FROM events", chain("[1]", 5_000))),
        ("case", format!("SELECT {}", nested("CASE WHEN true THEN ", "1", " END", 2_000))),
        ("joins", format!("SELECT 1 FROM events{}", chain(" JOIN events ON true", 2_000))),
        ("tables", format!("SELECT 1 FROM events{}", chain(", events", 5_000))),
        ("common tables", format!("WITH c0 AS (SELECT 1 AS x){ctes} SELECT count(*) FROM c39")),
        ("doubled text", format!("WITH c0 AS (SELECT 'x' AS x){doubled} SELECT length(x) FROM c59")),
        ("cube", format!("SELECT 1 FROM events GROUP BY CUBE ({})", "page, country, seq, node, city, os, bot, brand")),
        ("cubes", "SELECT 1 FROM events GROUP BY CUBE (page, country, seq), CUBE (node, city, os, bot)".to_owned()),
        ("recursion", "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t) SELECT * FROM t".to_owned()),
        ("text", format!("SELECT '{}'", chain("x", 70_000))),
    ] {
        let code = code(&engine, &text).await;
        let clear = ["query_too_complex", "query_too_large", "function_limit", "memory_limit"];
        assert!(clear.contains(&code.as_str()), "{name}: {code}");
    }
    assert_eq!(sql(&engine, "SELECT 1 AS x").await.unwrap(), r#"{"x":1}"#);
}

/// Functions that make much out of little.
#[tokio::test]
async fn bombs_for_memory() {
    let engine = Fixture::three_days().await.engine();
    for text in [
        "SELECT * FROM generate_series(1, 200000000)",
        "SELECT * FROM range(0, 9000000000)",
        "SELECT * FROM generate_series(timestamp '2000-01-01', timestamp '2026-01-01', interval '1 millisecond')",
        "SELECT generate_series(1, 200000000)",
        "SELECT unnest(range(0, 200000000))",
        "SELECT array_length(range(1, seq * 100000000)) FROM events WHERE seq = 9",
        "SELECT repeat('x', 1000000000)",
        "SELECT length(repeat(page, 1000000000)) FROM events",
        "SELECT max(length(repeat(page, 100000))) FROM events",
        "SELECT lpad('x', 1000000000, 'y')",
        "SELECT rpad('x', 1000000000)",
        "SELECT array_resize([1], 1000000000, 0)",
        "SELECT array_repeat(1, 1000000000)",
        "SELECT array_repeat(array_repeat(repeat('x', 1000), 1000), 1000)",
        "SELECT replace(repeat('x', 1000000), 'x', repeat('y', 1000000))",
        "SELECT regexp_replace(repeat('x', 1000000), 'x', repeat('y', 1000), 'g')",
        "SELECT array_to_string(range(0, 900000), repeat('x', 100000))",
        "SELECT levenshtein(repeat('x', 1000000), repeat('y', 1000000))",
    ] {
        let code = code(&engine, text).await;
        assert_eq!(code, "function_limit", "{text}");
    }
    for (text, answer) in [
        ("SELECT repeat('ab', 3) AS x", r#"{"x":"ababab"}"#),
        ("SELECT lpad('7', 3, '0') AS x", r#"{"x":"007"}"#),
        ("SELECT replace('a-b', '-', '+') AS x", r#"{"x":"a+b"}"#),
        ("SELECT range(1, 4) AS x", r#"{"x":[1,2,3]}"#),
        ("SELECT array_repeat('a', 2) AS x", r#"{"x":["a","a"]}"#),
        ("SELECT array_resize([1], 3, 0) AS x", r#"{"x":[1,0,0]}"#),
        ("SELECT array_to_string([1,2], '-') AS x", r#"{"x":"1-2"}"#),
        ("SELECT max(length(repeat(page, 10))) AS x FROM events", r#"{"x":150}"#),
        ("SELECT concat('a', 1, NULL) AS x", r#"{"x":"a1"}"#),
        ("SELECT levenshtein('cart', 'card') AS x", r#"{"x":1}"#),
        (
            "SELECT count(*) AS x FROM generate_series(timestamp '2026-01-01', timestamp '2026-01-02', interval '1 hour')",
            r#"{"x":25}"#,
        ),
    ] {
        assert_eq!(sql(&engine, text).await.unwrap(), answer, "{text}");
    }
}

/// Long, but not complex: these answer.
#[tokio::test]
async fn long_lists_are_fine() {
    let engine = Fixture::three_days().await.engine();
    let numbers: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE seq IN ({})", numbers.join(","));
    assert_eq!(sql(&engine, &text).await.unwrap(), r#"{"n":30100}"#);
    let negative: Vec<String> = (1..2_000).map(|i| format!("-{i}")).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE seq IN ({})", negative.join(","));
    assert_eq!(sql(&engine, &text).await.unwrap(), r#"{"n":0}"#);
    let words: Vec<String> = (0..3_000).map(|i| format!("'u{i}'")).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE user_id IN ({})", words.join(","));
    assert_eq!(sql(&engine, &text).await.unwrap(), r#"{"n":25798}"#);
    let ors: Vec<String> = (0..120).map(|i| format!("seq = {i}")).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE {}", ors.join(" OR "));
    assert_eq!(sql(&engine, &text).await.unwrap(), r#"{"n":460}"#);
    let unions = vec!["SELECT count(*) AS n FROM events"; 60].join(" UNION ALL ");
    assert_eq!(sql(&engine, &unions).await.unwrap().lines().count(), 60);
}

#[tokio::test]
async fn mistakes_are_explained() {
    let engine = Fixture::three_days().await.engine();
    let at = |e: &Error| e.position.map(|p| (p.line, p.column));
    let error = async |text: &str| sql(&engine, text).await.unwrap_err();
    let e = error("SELECT page FORM events").await;
    assert_eq!(e.code, "syntax_error", "{}", e.message);
    let e = error("SELECT page\nFROM events\nWHERE (seq = 1").await;
    assert_eq!((e.code, at(&e).is_some()), ("syntax_error", true), "{}", e.message);
    let e = error("SELECT 'open").await;
    assert_eq!((e.code, at(&e).is_some()), ("syntax_error", true), "{}", e.message);
    let e = error("SELECT\n  event_tpye FROM events").await;
    assert_eq!((e.code, e.did_you_mean.as_deref(), at(&e)), ("unknown_column", Some("event_type"), Some((2, 3))));
    let e = error("SELECT e.pagee FROM events e").await;
    assert_eq!((e.code, e.did_you_mean.as_deref()), ("unknown_column", Some("page")), "{}", e.message);
    let e = error("SELECT dat_trunc('day', event_ts) FROM events").await;
    let meant = e.did_you_mean.clone().unwrap_or_default().replace('_', "");
    assert_eq!((e.code, meant.as_str()), ("unknown_function", "datetrunc"), "{}", e.message);
    let e = error("SELECT page + 1 FROM events").await;
    assert_eq!(e.code, "type_error", "{}", e.message);
    let e = error("SELECT cast(page AS bigint) FROM events").await;
    assert_eq!(e.code, "type_error", "{}", e.message);
    let e = error("SELECT 1 / 0").await;
    assert_eq!(e.code, "division_by_zero", "{}", e.message);
    let e = error("SELECT page, count(*) FROM events").await;
    assert_eq!((e.kind, e.code), (Kind::Invalid, "plan_error"), "{}", e.message);
    let e = error("SELECT seq FROM events a JOIN events b ON a.seq = b.seq").await;
    assert_eq!(e.code, "ambiguous_column", "{}", e.message);
    let e = error("").await;
    assert_eq!(e.code, "syntax_error");
    let e = error("SELECT * FROM events WHERE event_ts > 'yesterday'").await;
    assert_eq!(e.code, "type_error", "{}", e.message);
}
