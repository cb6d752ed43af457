//! Whatever bytes and headers come in: an answer below 500, no panic, and the server goes on.
//!
//! `PROPTEST_CASES` sets how many.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use proptest::prelude::*;

use crate::app::{App, event};

static APP: LazyLock<App> = LazyLock::new(|| {
    let app = App::start(&[("query.timeout", "20s"), ("ingest.max_body_bytes", "256KiB")]);
    // Some rows in the lake and some beside it.
    for (ack, from) in [("committed", 0), ("durable", 50)] {
        let lines: String = (from..from + 50).map(|i| event(&format!("e{i}")) + "\n").collect();
        assert_eq!(app.post(&format!("/events?ack={ack}"), lines).status, 202);
    }
    app
});

/// Pieces that parsers have to look at, and a few that they must not trust.
fn json_pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(event("x").into_bytes()),
        Just(b"\n".to_vec()),
        Just(b"[".to_vec()),
        Just(b"]".to_vec()),
        Just(b",".to_vec()),
        Just(b"{\"event_type\":".to_vec()),
        Just(b"\"event_ts\":1e999}".to_vec()),
        Just(b"{\"event_ts\":-9223372036854775808,\"event_type\":\"refund\",\"price\":1e-400}".to_vec()),
        Just(b"{\"event_type\":\"\\ud800\",\"event_ts\":0}".to_vec()),
        Just(b"\xef\xbb\xbf".to_vec()),
        Just(b"[[[[[[[[".to_vec()),
        Just(b"\0".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn sql_pieces() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&str; 40] = [
        "SELECT",
        "*",
        "FROM",
        "events",
        "WHERE",
        "event_ts",
        "event_type",
        "=",
        "'x'",
        "'",
        "(",
        ")",
        ",",
        "1",
        "-1",
        "NULL",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "99999999999999999999",
        "count(*)",
        "UNION ALL",
        "WITH a AS (",
        "$x",
        "now()",
        "INTERVAL '1 day'",
        "CASE WHEN",
        "END",
        "--",
        "/*",
        ";",
        "EXPLAIN",
        "items",
        "[1]",
        "::",
        "DATE",
        "\"",
        "price / 0",
        "over (",
        "\u{1F600}",
    ];
    let piece = prop_oneof![
        8 => proptest::sample::select(&WORDS[..]).prop_map(|w| format!("{w} ").into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

/// Text that parses, so that planning and running are reached.
fn expression() -> impl Strategy<Value = String> {
    const LEAVES: [&str; 26] = [
        "event_ts",
        "event_type",
        "price",
        "quantity",
        "items",
        "bot",
        "lat",
        "event_date",
        "seq",
        "properties",
        "NULL",
        "1",
        "-0.5",
        "1e308",
        "9223372036854775807",
        "''",
        "'2026-02-30'",
        "true",
        "now()",
        "INTERVAL '1' MONTH",
        "[1,2]",
        "DATE '0001-01-01'",
        "x'ff'",
        "(SELECT max(seq) FROM events)",
        "count(*)",
        "row_number() OVER (ORDER BY seq)",
    ];
    const OPERATORS: [&str; 14] =
        ["+", "-", "*", "/", "%", "=", "<", "AND", "OR", "||", "LIKE", "~", "IS DISTINCT FROM", "IN (1, NULL) ="];
    const FUNCTIONS: [&str; 24] = [
        "sum",
        "avg",
        "min",
        "count",
        "abs",
        "lower",
        "length",
        "date_trunc('day',",
        "to_timestamp",
        "coalesce",
        "sqrt",
        "ln",
        "array_length",
        "cardinality",
        "substr('abc',",
        "chr",
        "repeat('a',",
        "lpad('a',",
        "date_part('hour',",
        "approx_distinct",
        "median",
        "array_agg",
        "nth_value",
        "round",
    ];
    const TYPES: [&str; 8] = ["INT", "BIGINT", "VARCHAR", "DATE", "TIMESTAMP", "DECIMAL(5,2)", "BOOLEAN", "DOUBLE"];
    let leaf = proptest::sample::select(&LEAVES[..]).prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 2, |inner| {
        let operator = proptest::sample::select(&OPERATORS[..]);
        let function = proptest::sample::select(&FUNCTIONS[..]);
        let kind = proptest::sample::select(&TYPES[..]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (function, inner.clone()).prop_map(|(f, a)| match f.contains('(') {
                true => format!("{f} {a})"),
                false => format!("{f}({a})"),
            }),
            (inner.clone(), kind).prop_map(|(a, kind)| format!("CAST({a} AS {kind})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("CASE WHEN {a} THEN {b} END")),
        ]
    })
}

fn statement() -> impl Strategy<Value = Vec<u8>> {
    let clause = |words: &'static str| prop_oneof![2 => Just(String::new()), 1 => expression().prop_map(move |e| format!(" {words} {e}"))];
    let select = (expression(), clause("WHERE"), clause("GROUP BY"), clause("HAVING"), clause("ORDER BY"));
    let shape = proptest::sample::select(
        &[
            "{}",
            "EXPLAIN {}",
            "WITH a AS ({}) SELECT * FROM a x JOIN a y USING (e)",
            "{} UNION ALL {}",
            "SELECT * FROM ({}) LIMIT 3",
        ][..],
    );
    (select, shape).prop_map(|((e, filter, group, having, order), shape)| {
        let select = format!("SELECT {e} AS e FROM events{filter}{group}{having}{order}");
        shape.replace("{}", &select).into_bytes()
    })
}

fn header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let name = proptest::sample::select(
        &[
            "content-type",
            "content-encoding",
            "accept",
            "host",
            "origin",
            "x-request-id",
            "content-length",
            "transfer-encoding",
            "expect",
        ][..],
    );
    let value = prop_oneof![
        proptest::sample::select(
            &[
                "application/json",
                "application/sql",
                "application/vnd.apache.arrow.stream",
                "gzip",
                "zstd",
                "text/csv;q=0.1, */*;q=0",
                "*/*",
                "localhost",
                "a@b:c",
                "http://localhost",
                "-1",
                "chunked",
            ][..]
        )
        .prop_map(|v| v.as_bytes().to_vec()),
        proptest::collection::vec(0x20u8..=0xff, 0..20),
    ];
    (name, value)
}

fn paths() -> impl Strategy<Value = String> {
    let base = proptest::sample::select(
        &[
            "/events",
            "/events?ack=committed",
            "/sql",
            "/sql.csv",
            "/sql.parquet",
            "/sql.arrow?limit=3",
            "/sql.zip",
            "/x",
        ][..],
    );
    let query = prop_oneof![3 => Just(String::new()), 1 => "[a-z=&%0-9+;]{0,20}"];
    (base, query).prop_map(|(base, query)| match (query.is_empty(), base.contains('?')) {
        (true, _) => base.to_owned(),
        (_, true) => format!("{base}&{query}"),
        _ => format!("{base}?{query}"),
    })
}

fn check(path: &str, headers: Vec<(&'static str, Vec<u8>)>, body: Vec<u8>) -> Result<(), TestCaseError> {
    let sent = body.clone();
    let Ok(mut request) = Request::post(path).body(Body::from(body)) else { return Ok(()) };
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(&value.into_iter().filter(|b| *b != 0x7f).collect::<Vec<_>>()) {
            request.headers_mut().insert(name, value);
        }
    }
    let answer = APP.send(request);
    let sent = String::from_utf8_lossy(&sent).into_owned();
    prop_assert!(answer.status.as_u16() < 500, "{} {}\nto {path} {sent}", answer.status, answer.text());
    if answer.status.is_client_error() && answer.status != 422 {
        let json = answer.json();
        for field in ["type", "title", "status", "detail", "code", "message", "request_id"] {
            prop_assert!(!json[field].is_null(), "{field} is missing in {json}");
        }
    }
    Ok(())
}

/// 64 cases, or `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default().cases;
    let cases = if asked == 256 { 64 } else { asked };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_request_is_answered_5xx(
        path in paths(),
        headers in proptest::collection::vec(header(), 0..3),
        body in prop_oneof![json_pieces(), sql_pieces(), proptest::collection::vec(any::<u8>(), 0..200)],
    ) {
        check(&path, headers, body)?;
    }

    #[test]
    fn no_sql_is_answered_5xx(body in sql_pieces()) {
        check("/sql", vec![("content-type", b"application/sql".to_vec())], body)?;
    }

    #[test]
    fn no_statement_is_answered_5xx(body in statement()) {
        check("/sql", vec![("content-type", b"application/sql".to_vec())], body)?;
    }

    #[test]
    fn no_events_are_answered_5xx(body in json_pieces()) {
        check("/events", vec![], body)?;
    }
}
