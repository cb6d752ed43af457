//! Status and body of every class of answer, against `tests/snapshots/answers.txt`. After a wanted change, write
//! the file anew with `UPDATE_SNAPSHOTS=1` and read the difference.

use std::fmt::Write as _;
use std::path::Path;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use serde_json::Value;
use tideline_server::auth::keys::KeyLimits;
use tideline_server::auth::scope::Scope;

use crate::app::{Answer, App, event};
use crate::auth::{make_key, secret};

/// Name, method, path, headers, body.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], Vec<u8>);

const SQL: &[(&str, &str)] = &[("content-type", "application/sql")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn event_cases() -> Vec<Case<'static>> {
    let bad = r#"{"event_type":"purchase","event_ts":"yesterday"}"#;
    vec![
        ("one event", "POST", "/events", JSON, event("a").into()),
        ("the same again", "POST", "/events", JSON, event("a").into()),
        (
            "a bad one between good ones",
            "POST",
            "/ingest",
            &[],
            format!("{}\n{bad}\n{}", event("b"), event("c")).into(),
        ),
        ("nothing acceptable", "POST", "/events", JSON, format!("[{bad},{{}}]").into()),
        ("in the lake", "POST", "/events?ack=committed", JSON, event("d").into()),
        ("not JSON", "POST", "/events", JSON, "hello".into()),
        ("no body", "POST", "/events", JSON, "".into()),
        ("not Arrow", "POST", "/events", &[("content-type", "application/vnd.apache.arrow.stream")], "x".into()),
        ("unknown ack", "POST", "/events?ack=durabel", JSON, event("e").into()),
        ("unknown parameter", "POST", "/events?akc=durable", JSON, event("e").into()),
        ("unknown type", "POST", "/events", &[("content-type", "text/csv")], "a,b".into()),
        ("unknown encoding", "POST", "/events", &[("content-encoding", "br")], "x".into()),
        ("two encodings", "POST", "/events", &[("content-encoding", "gzip, zstd")], "x".into()),
        ("not gzip", "POST", "/events", &[("content-encoding", "gzip")], "x".into()),
        ("too large", "POST", "/events", JSON, vec![b' '; 9 << 10]),
        ("wrong method", "GET", "/events", &[], vec![]),
    ]
}

fn sql_cases() -> Vec<Case<'static>> {
    let long: &'static str = Box::leak(format!("/sql?q={}", "x".repeat(3_000)).into_boxed_str());
    vec![
        ("rows", "POST", "/sql", SQL, "SELECT event_id, price FROM events ORDER BY event_id LIMIT 2".into()),
        ("more rows than shown", "POST", "/sql?limit=1", SQL, "SELECT event_id FROM events ORDER BY 1".into()),
        ("ndjson", "GET", "/sql.ndjson?q=SELECT%201%20AS%20one", &[], vec![]),
        ("csv by parameter", "GET", "/sql?q=SELECT%201%20AS%20one&format=csv", &[], vec![]),
        ("csv by Accept", "GET", "/sql?q=SELECT%201%20AS%20one", &[("accept", "text/csv")], vec![]),
        ("a bound parameter", "POST", "/sql", JSON, r#"{"q":"SELECT $n + 1 AS n","params":{"n":41}}"#.into()),
        ("no query", "GET", "/sql", &[], vec![]),
        ("unknown parameter", "GET", "/sql?query=SELECT%201", &[], vec![]),
        ("a parameter twice", "GET", "/sql?q=SELECT%201&q=SELECT%202", &[], vec![]),
        ("a limit that is no number", "GET", "/sql?q=SELECT%201&limit=ten", &[], vec![]),
        ("too much time", "GET", "/sql?q=SELECT%201&timeout_ms=99999999", &[], vec![]),
        ("not JSON", "POST", "/sql", JSON, "{".into()),
        ("unknown field", "POST", "/sql", JSON, r#"{"sql":"SELECT 1"}"#.into()),
        ("not UTF-8", "POST", "/sql", SQL, vec![0xff, 0xfe]),
        ("unknown type", "POST", "/sql", &[("content-type", "text/csv")], "SELECT 1".into()),
        ("syntax", "POST", "/sql", SQL, "SELECT 1\nFORM events".into()),
        ("unknown column", "POST", "/sql", SQL, "SELECT event_typ FROM events".into()),
        ("unknown table", "POST", "/sql", SQL, "SELECT * FROM event".into()),
        ("unbound parameter", "POST", "/sql", SQL, "SELECT $n".into()),
        ("not read-only", "POST", "/sql", SQL, "DROP TABLE events".into()),
        ("two statements", "POST", "/sql", SQL, "SELECT 1; SELECT 2".into()),
        ("a file", "POST", "/sql", SQL, "SELECT * FROM '/etc/passwd'".into()),
        ("fails while it runs", "POST", "/sql", SQL, "SELECT 1 / (price - price) FROM events".into()),
        ("out of time", "POST", "/sql?timeout_ms=100", SQL, SLOW.into()),
        ("unknown suffix", "GET", "/sql.xml?q=SELECT%201", &[], vec![]),
        ("unknown format", "GET", "/sql?q=SELECT%201&format=jsn", &[], vec![]),
        ("unknown Accept", "GET", "/sql?q=SELECT%201", &[("accept", "image/png")], vec![]),
        ("a query that is not there", "DELETE", "/queries/nothing", &[], vec![]),
        ("a long URL", "GET", long, &[], vec![]),
    ]
}

/// Ten thousand million pairs: minutes, on any machine.
const SLOW: &str = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b \
                    WHERE (a.value * b.value) % 7 = 3";

fn other_cases() -> Vec<Case<'static>> {
    vec![
        ("live", "GET", "/health/live", &[], vec![]),
        ("ready", "GET", "/health/ready", &[], vec![]),
        ("version", "GET", "/version", &[], vec![]),
        ("flush", "POST", "/admin/flush", &[], vec![]),
        ("retain", "POST", "/admin/retain", &[], vec![]),
        ("vacuum", "POST", "/admin/vacuum", &[], vec![]),
        ("not there", "GET", "/evnts", &[], vec![]),
        ("wrong method", "PUT", "/sql", &[], vec![]),
        ("a foreign host", "GET", "/version", &[("host", "evil.example")], vec![]),
        ("a foreign page", "POST", "/events", &[("host", "localhost"), ("origin", "https://evil.example")], vec![]),
    ]
}

/// After the events above: four were rejected, two of them the same.
fn letter_cases() -> Vec<Case<'static>> {
    let replay = "/admin/dead-letters/replay";
    vec![
        ("dead letters", "GET", "/admin/dead-letters", &[], vec![]),
        ("of one code", "GET", "/admin/dead-letters?code=missing_field&since=2020-01-01&limit=1", &[], vec![]),
        ("of a key", "GET", "/admin/dead-letters?key=none&status=all", &[], vec![]),
        ("unknown status", "GET", "/admin/dead-letters?status=opne", &[], vec![]),
        ("no time", "GET", "/admin/dead-letters?since=yesterday", &[], vec![]),
        ("unknown parameter", "GET", "/admin/dead-letters?cod=missing_field", &[], vec![]),
        ("too many", "GET", "/admin/dead-letters?limit=100000", &[], vec![]),
        ("after nothing", "GET", "/admin/dead-letters?after=00000000000000000000000000000000", &[], vec![]),
        ("no id", "GET", "/admin/dead-letters/abc", &[], vec![]),
        ("not there", "GET", "/admin/dead-letters/00000000000000000000000000000000", &[], vec![]),
        ("would be replayed", "POST", replay, JSON, r#"{"fixes":{"event_ts":"2026-03-01"},"dry_run":true}"#.into()),
        (
            "replayed",
            "POST",
            replay,
            JSON,
            r#"{"filter":{"code":"invalid_timestamp"},"fixes":{"event_ts":1772323200000}}"#.into(),
        ),
        ("nothing left of it", "POST", replay, JSON, r#"{"filter":{"code":"invalid_timestamp"}}"#.into()),
        ("unknown field", "POST", replay, JSON, r#"{"fix":{"currency":"EUR"}}"#.into()),
        ("a wrong mapping", "POST", replay, JSON, r#"{"mapping":"[fields]\npreis = 1\n"}"#.into()),
        ("drop what", "DELETE", "/admin/dead-letters", &[], vec![]),
        ("drop some", "DELETE", "/admin/dead-letters?code=missing_field", &[], vec![]),
        (
            "in SQL",
            "POST",
            "/sql",
            SQL,
            "SELECT status, code, count(*) AS n FROM dead_letters GROUP BY 1, 2 ORDER BY 1, 2".into(),
        ),
        ("wrong method", "PUT", "/admin/dead-letters", &[], vec![]),
    ]
}

fn run(app: &App, (name, method, path, headers, body): &Case<'_>, into: &mut String) {
    let mut request = Request::builder().method(*method).uri(*path).header("x-request-id", "test");
    for (header, value) in *headers {
        request = request.header(*header, *value);
    }
    let answer = app.send(request.body(Body::from(body.clone())).unwrap());
    let shown: String = path.chars().take(60).collect();
    let _ = write!(into, "### {name}\n{method} {shown}");
    for (header, value) in *headers {
        let _ = write!(into, " · {header}: {value}");
    }
    let text = String::from_utf8_lossy(body);
    if body.len() <= 400 && !body.is_empty() {
        let _ = write!(into, "\n{text}");
    }
    let _ = write!(into, "\n=> {}", render(&answer));
}

fn render(answer: &Answer) -> String {
    let mut out = format!("{}", answer.status);
    for name in ["content-type", "allow", "accept-encoding", "retry-after", "www-authenticate"] {
        if let Some(value) = answer.headers.get(name) {
            let _ = write!(out, " · {name}: {}", value.to_str().unwrap());
        }
    }
    for name in ["x-request-id", "server-timing"] {
        assert!(answer.headers.contains_key(name), "{name} is missing: {answer:?}");
    }
    let is_json = answer.headers.get("content-type").is_some_and(|t| t.as_bytes().ends_with(b"json"));
    let body = if is_json && serde_json::from_slice::<Value>(&answer.body).is_ok() {
        let mut json = answer.json();
        mask(&mut json);
        format!("{json:#}")
    } else {
        answer.text()
    };
    let _ = write!(out, "\n{}\n\n", body.trim_end());
    if answer.status.is_client_error() && answer.status != StatusCode::UNPROCESSABLE_ENTITY {
        assert!(out.contains("application/problem+json"), "{out}");
    }
    out
}

/// Takes out what differs from run to run.
fn mask(json: &mut Value) {
    const VOLATILE: [&str; 9] =
        ["query_id", "elapsed_ms", "bytes_read", "rows_read", "through", "version", "id", "next", "received_at"];
    match json {
        Value::Object(map) => {
            for (name, value) in map {
                if VOLATILE.contains(&name.as_str()) && !value.is_null() {
                    *value = Value::from("…");
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
pub fn wants_update() -> bool {
    std::env::var("UPDATE_SNAPSHOTS").is_ok()
}

#[test]
fn every_class_of_answer_is_as_written_down() {
    let app = App::start(&[
        ("ingest.max_body_bytes", "8KiB"),
        ("http.max_uri_bytes", "2KiB"),
        ("query.json_rows", "100"),
        ("flush.age", "1h"),
        ("lake.maintain_every", "0"),
    ]);
    let mut seen = String::new();
    for case in event_cases().iter().chain(&letter_cases()).chain(&sql_cases()).chain(&other_cases()) {
        run(&app, case, &mut seen);
    }
    let keyed = App::start(&[]);
    let key = secret(&make_key(&keyed, &[Scope::Ingest], KeyLimits::default(), None));
    let (bearer, unknown) = (format!("Bearer {key}"), [("authorization", "Bearer tl_unknown")]);
    let bearer = [("authorization", bearer.as_str())];
    let cases: [Case<'_>; 4] = [
        ("no key", "POST", "/events", JSON, event("a").into()),
        ("an unknown key", "POST", "/events", &unknown, event("a").into()),
        ("a key", "POST", "/events", &bearer, event("a").into()),
        ("a key without the scope", "GET", "/sql?q=SELECT%201", &bearer, Vec::new()),
    ];
    for case in &cases {
        // The key itself differs from run to run.
        let mut said = String::new();
        run(&keyed, case, &mut said);
        seen += &said.replace(&key, "tl_…");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/answers.txt");
    if wants_update() {
        std::fs::write(&file, &seen).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap();
    let (mut now, mut before) = (seen.split("### "), written.split("### "));
    loop {
        match (now.next(), before.next()) {
            (None, None) => return,
            (now, before) => assert_eq!(now, before, "an answer is not as in {}", file.display()),
        }
    }
}

#[test]
fn a_full_server_says_when_to_come_back() {
    let app = App::start(&[("query.max_concurrent", "1"), ("query.max_waiting", "0")]);
    let rows = "SELECT value FROM generate_series(1, 1000000)";
    let first = app.runtime.block_on(async {
        use tower::ServiceExt as _;
        let request = Request::post("/sql.ndjson").body(Body::from(rows)).unwrap();
        app.router.clone().oneshot(request).await.unwrap()
    });
    assert_eq!(first.status(), StatusCode::OK);
    let id = first.headers()["x-query-id"].to_str().unwrap().to_owned();
    let busy = app.sql("SELECT 1");
    assert_eq!((busy.status, &busy.headers["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(1)));

    let cancel = app.send(Request::delete(format!("/queries/{id}")).body(Body::empty()).unwrap());
    assert_eq!(cancel.status, StatusCode::ACCEPTED);
    let broken = app.runtime.block_on(async {
        use http_body_util::BodyExt as _;
        first.into_body().collect().await
    });
    assert!(broken.is_err(), "a cancelled answer must not look whole");
    crate::app::until("the place is free", || app.sql("SELECT 1").status == StatusCode::OK);
}

#[test]
fn an_error_after_the_first_rows_breaks_the_transfer() {
    let app = App::start(&[("query.json_rows", "200000")]);
    let late = "SELECT 1 / (90000 - value) AS n FROM generate_series(1, 100000)";
    for suffix in ["ndjson", "csv", "arrow", "parquet"] {
        let outcome = app.runtime.block_on(async {
            use http_body_util::BodyExt as _;
            use tower::ServiceExt as _;
            let request = Request::post(format!("/sql.{suffix}")).body(Body::from(late)).unwrap();
            let answer = app.router.clone().oneshot(request).await.unwrap();
            (answer.status(), answer.into_body().collect().await.is_err())
        });
        assert_eq!(outcome, (StatusCode::OK, true), "{suffix}");
    }
    let json = app.sql(late);
    assert_eq!((json.status, json.code().as_str()), (StatusCode::BAD_REQUEST, "division_by_zero"));
}

#[test]
fn json_is_cut_at_its_rows_and_refused_beyond_its_bytes() {
    let app = App::start(&[("query.json_rows", "5000"), ("query.json_bytes", "64KiB")]);
    let shown = |sql: &str| {
        let answer = app.sql(sql).json();
        assert_eq!(answer["rows"].as_u64(), answer["data"].as_array().map(|d| d.len() as u64));
        (answer["rows"].as_u64(), answer["truncated"].as_bool())
    };
    assert_eq!(shown("SELECT value AS v FROM generate_series(1, 10)"), (Some(10), Some(false)));
    assert_eq!(shown("SELECT 1 AS v FROM generate_series(1, 5000)"), (Some(5_000), Some(false)));
    assert_eq!(shown("SELECT 1 AS v FROM generate_series(1, 5001)"), (Some(5_000), Some(true)));
    let wide = app.sql("SELECT value, value AS again, value AS third FROM generate_series(100000, 104000)");
    assert_eq!((wide.status, wide.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "answer_too_large"));
}
