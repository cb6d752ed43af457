//! Whatever bytes and headers come in: an answer below 500, no panic, and the server goes on.
//!
//! `PROPTEST_CASES` sets how many.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use proptest::prelude::*;

use crate::app::{App, event};

static APP: LazyLock<App> =
    LazyLock::new(|| App::start(&[("query.timeout", "20s"), ("ingest.max_body_bytes", "256KiB")]));

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
    let Ok(mut request) = Request::post(path).body(Body::from(body)) else { return Ok(()) };
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(&value.into_iter().filter(|b| *b != 0x7f).collect::<Vec<_>>()) {
            request.headers_mut().insert(name, value);
        }
    }
    let answer = APP.send(request);
    prop_assert!(answer.status.as_u16() < 500, "{} {}", answer.status, answer.text());
    if answer.status.is_client_error() && answer.status != 422 {
        let json = answer.json();
        for field in ["type", "title", "status", "detail", "code", "message", "request_id"] {
            prop_assert!(!json[field].is_null(), "{field} is missing in {json}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

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
    fn no_events_are_answered_5xx(body in json_pieces()) {
        check("/events", vec![], body)?;
    }
}
