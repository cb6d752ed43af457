//! PostHog's capture API as SDKs see it: every path, keys in the body and in headers, limits, pages of other sites, and what
//! becomes of events that are not acceptable. The SDKs themselves run in `make sdks`.

use std::io::Write as _;

use axum::body::Body;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{Request, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tideline_server::auth::keys::KeyLimits;
use tideline_server::auth::scope::Scope;
use tideline_server::http::posthog::{PATHS, without_slash};

use crate::app::{Answer, App};
use crate::auth::{make_key, secret};

fn event(id: &str) -> Value {
    json!({ "event": "Order Completed", "distinct_id": "u1", "uuid": id, "timestamp": "2026-03-01T12:00:00Z",
            "properties": { "order_id": id, "subtotal": 12.5 } })
}

fn batch(key: &str, ids: &[&str]) -> Value {
    json!({ "api_key": key, "batch": ids.iter().map(|id| event(id)).collect::<Vec<_>>() })
}

fn post(app: &App, path: &str, body: impl Into<Body>) -> Answer {
    app.send(Request::post(path).header("content-type", "text/plain").body(body.into()).unwrap())
}

fn assert_success(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, r#"{"status":1}"#), "{what}");
    assert_eq!(answer.headers["content-type"], "application/json", "{what}");
}

fn count(app: &App, sql: &str) -> u64 {
    app.sql(sql).json()["data"][0]["n"].as_u64().unwrap()
}

fn zipped(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

#[test]
fn every_path_takes_every_form_and_says_what_sdks_expect() {
    let app = App::start(&[]);
    for (at, path) in PATHS.into_iter().enumerate() {
        for path in [path, without_slash(path)] {
            assert_success(&post(&app, path, event(&format!("one-{at}")).to_string()), path);
            assert_success(&post(&app, path, batch("any key", &[&format!("b-{at}")]).to_string()), path);
            assert_success(&post(&app, path, json!([event(&format!("a-{at}"))]).to_string()), path);
        }
    }
    assert_success(&post(&app, "/batch/", r#"{"batch":[]}"#), "an empty batch");
    // The form without a slash sent the same events again.
    assert_eq!(
        count(&app, "SELECT count(*) AS n FROM events WHERE revenue = 12.5 AND user_id = 'u1'"),
        3 * PATHS.len() as u64
    );

    let request = Request::post("/batch/").header("content-encoding", "gzip");
    let body = zipped(&batch("k", &["zipped"]).to_string());
    assert_success(&app.send(request.body(body.into()).unwrap()), "gzip");
    let in_query = "/i/v0/e/?ip=1&ver=1.2&compression=gzip-js";
    assert_success(&post(&app, in_query, zipped(&event("browser").to_string())), "gzip in the query");
    assert_eq!(count(&app, "SELECT count(*) AS n FROM events WHERE event_id IN ('zipped', 'browser')"), 2);
    assert_eq!(app.get("/batch/").status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn a_key_stands_in_the_body_or_in_a_header() {
    let app = App::start(&[]);
    let key = |scope| secret(&make_key(&app, &[scope], KeyLimits::default(), None));
    let (ingest, read) = (key(Scope::Ingest), key(Scope::Read));
    let with_header = |key: &str, body: Value| {
        let request = Request::post("/batch/").header("authorization", format!("Bearer {key}"));
        app.send(request.body(body.to_string().into()).unwrap())
    };
    assert_success(&post(&app, "/batch/", batch(&ingest, &["a"]).to_string()), "in the body");
    assert_success(&with_header(&ingest, batch("phc_x", &["b"])), "in a header");
    let mut token = event("c");
    token["properties"]["token"] = ingest.as_str().into();
    assert_success(&post(&app, "/e/", json!([token]).to_string()), "in the first event");
    for (answer, status, code) in [
        (post(&app, "/batch/", batch("tl_x", &["d"]).to_string()), 401, "key_unknown"),
        (post(&app, "/batch/", batch("", &["d"]).to_string()), 401, "key_missing"),
        (post(&app, "/batch/", batch(&read, &["d"]).to_string()), 403, "scope_missing"),
        (with_header(&read, batch(&ingest, &["d"])), 403, "scope_missing"),
        (post(&app, "/capture/", "no JSON"), 401, "key_missing"),
    ] {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
        assert!(answer.json()["detail"].is_string(), "SDKs tell it their users");
    }
    let request = Request::post("/sql").header("authorization", format!("Bearer {read}"));
    let sql = "SELECT count(*) AS n, count(*) FILTER (WHERE properties LIKE '%tl_%') AS keys FROM events";
    let found = app.send(request.header("content-type", "application/sql").body(sql.into()).unwrap()).json();
    assert_eq!(found["data"][0], json!({ "n": 3, "keys": 0 }), "nothing of the others was stored, and no key");
}

#[test]
fn limits_are_those_of_segments_paths() {
    let app = App::start(&[
        ("rate_limit.requests", "2"),
        ("rate_limit.window", "1h"),
        ("ingest.max_keyless_body_bytes", "1KiB"),
    ]);
    let key = secret(&make_key(&app, &[Scope::Ingest], KeyLimits::default(), None));
    for id in ["a", "b"] {
        assert_success(&post(&app, "/batch/", batch(&key, &[id]).to_string()), id);
    }
    let refused = post(&app, "/batch/", batch(&key, &["c"]).to_string());
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"));
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    let long = post(&app, "/batch/", batch(&"x".repeat(1_024), &["d"]).to_string());
    assert_eq!((long.status.as_u16(), long.code().as_str()), (413, "body_too_large"));
}

#[test]
fn pages_of_other_sites_may_send_with_a_key() {
    let app = App::start(&[]);
    let send = |key: &str, origin: &str, path: &str| {
        let request = Request::post(path).header(ORIGIN, origin).header(HOST, "localhost:8080");
        app.send(request.body(batch(key, &[origin]).to_string().into()).unwrap())
    };
    assert_eq!(send("", "https://shop.example", "/e/").code(), "cross_site", "without keys");
    assert_success(&send("", "http://localhost:3000", "/e/"), "a page of this machine");
    let key = secret(&make_key(&app, &[Scope::Ingest], KeyLimits::default(), None));
    let sent = send(&key, "https://shop.example", "/e/");
    assert_success(&sent, "with a key");
    assert_eq!(sent.headers["access-control-allow-origin"], "https://shop.example");
    assert_eq!(send(&key, "https://shop.example", "/events").code(), "cross_site");
}

#[test]
fn what_is_not_acceptable_is_a_dead_letter_that_can_be_replayed() {
    let app = App::start(&[]);
    let mut bad = event("bad");
    bad["properties"] = json!({ "order_id": "bad", "subtotal": "ten", "$ip": "203.0.113.7" });
    let mixed = json!({ "batch": [event("good"), bad, {}], "sent_at": "2026-03-01T12:00:00Z" });
    assert_success(&post(&app, "/batch/", mixed.to_string()), "a bad one beside a good one");
    let nothing = post(&app, "/capture/", r#"{"distinct_id":"u1"}"#);
    assert_eq!((nothing.status.as_u16(), nothing.code().as_str()), (400, "nothing_accepted"));
    let letters = app.get("/admin/dead-letters?source=posthog").json();
    assert_eq!(letters["counts"], json!({ "invalid_number": 1, "missing_field": 2 }), "{letters}");
    assert!(!letters.to_string().contains("203.0.113"), "{letters}");
    let fix = json!({ "filter": { "code": "invalid_number" },
                      "fixes": { "revenue": "10.00", "properties": { "order_id": "bad" } } });
    let request = Request::post("/admin/dead-letters/replay").header("content-type", "application/json");
    let replayed = app.send(request.body(fix.to_string().into()).unwrap()).json();
    assert_eq!(replayed["replayed"], 1, "{replayed}");
    let found = app.sql("SELECT event_id, revenue FROM events WHERE order_id = 'bad'").json();
    assert_eq!(found["data"], json!([{ "event_id": "bad", "revenue": "10.0000" }]));
    let metrics = Request::get("/metrics").header("accept", "text/plain").body(Body::empty()).unwrap();
    assert!(app.send(metrics).text().contains("source=\"posthog\""), "measured by source");
}

static APP: std::sync::LazyLock<App> = std::sync::LazyLock::new(|| App::start(&[("ingest.max_body_bytes", "256KiB")]));

proptest! {
    #[test]
    fn hostile_events_are_answered_below_500(
        path in proptest::sample::select(PATHS.to_vec()),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "\\{\"batch\":\\[[{}\":,a-z0-9\\[\\]$]{0,60}\\](,\"sent_at\":[0-9\"e]{0,9})?\\}".prop_map(String::into_bytes),
            "\\[?\\{\"event\":\"\\$?[a-z]{0,9}\",\"properties\":[{}\":,$a-z0-9]{0,40}\\}\\]?".prop_map(String::into_bytes),
        ],
    ) {
        let answer = post(&APP, path, body);
        prop_assert!(answer.status.as_u16() < 500, "{}", answer.text());
    }
}
