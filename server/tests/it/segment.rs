//! Segment's tracking API as SDKs see it: every path, keys in both places, pages of other sites, and what becomes of messages
//! that are not acceptable. The SDKs themselves run in `make sdks`.

use std::io::Write as _;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tideline_server::auth::keys::KeyLimits;
use tideline_server::auth::scope::Scope;
use tideline_server::http::segment::CALLS;

use crate::app::{Answer, App};
use crate::auth::{make_key, secret, with_key};
use crate::process::Server;

fn message(id: &str) -> Value {
    json!({ "type": "track", "event": "Order Completed", "messageId": id, "userId": "u1",
            "timestamp": "2026-03-01T12:00:00Z",
            "properties": { "order_id": id, "subtotal": 12.5, "products": [{ "sku": "s", "price": 12.5 }] } })
}

/// Posts as SDKs do: with any Content-Type, and a key as the user name.
fn post(app: &App, path: &str, key: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:"))));
    }
    app.send(request.body(body.into()).unwrap())
}

fn assert_success(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, r#"{"success":true}"#), "{what}");
    assert_eq!(answer.headers["content-type"], "application/json", "{what}");
}

fn count(app: &App, sql: &str) -> u64 {
    app.sql(sql).json()["data"][0]["n"].as_u64().unwrap()
}

#[test]
fn every_path_takes_messages_and_says_exactly_what_sdks_expect() {
    let app = App::start(&[]);
    for (at, (name, _)) in CALLS.iter().enumerate() {
        for (slash, body) in
            [("", message(&format!("one-{at}"))), ("/", json!({ "batch": [message(&format!("b-{at}"))] }))]
        {
            assert_success(&post(&app, &format!("/v1/{name}{slash}"), Some("any key"), body.to_string()), name);
        }
    }
    // Again: duplicates, and success all the same.
    assert_success(
        &post(&app, "/v1/b", None, json!({ "batch": [message("one-0"), message("b-0")] }).to_string()),
        "again",
    );
    assert_success(&post(&app, "/v1/b", None, r#"{"batch":[]}"#), "an empty batch");
    let orders = "SELECT count(*) AS n FROM events WHERE revenue = 12.5";
    assert_eq!(count(&app, orders), 2 * CALLS.len() as u64);

    let zipped = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let body = zipped(&json!({ "batch": [message("zipped")] }).to_string());
    let request = Request::post("/v1/batch").header("content-encoding", "gzip").header("content-type", "text/plain");
    assert_success(&app.send(request.body(body.into()).unwrap()), "gzip");
    assert_eq!(count(&app, "SELECT count(*) AS n FROM events WHERE event_id = 'zipped'"), 1);
    assert_eq!(app.get("/v1/track").status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn a_key_stands_in_the_header_or_in_the_body() {
    let app = App::start(&[]);
    let key = |scope| secret(&make_key(&app, &[scope], KeyLimits::default(), None));
    let (ingest, read) = (key(Scope::Ingest), key(Scope::Read));
    let in_body = |id: &str, key: &str| {
        let mut body = message(id);
        body["writeKey"] = key.into();
        post(&app, "/v1/t", None, body.to_string())
    };
    assert_success(&post(&app, "/v1/t", Some(&ingest), message("a").to_string()), "in the header");
    assert_success(&in_body("b", &ingest), "in the body");
    let batch = json!({ "batch": [message("c")], "writeKey": ingest });
    assert_success(&post(&app, "/v1/b", None, batch.to_string()), "of a batch");
    for (answer, status, code) in [
        (post(&app, "/v1/t", None, message("d").to_string()), 401, "key_missing"),
        (post(&app, "/v1/t", Some("tl_x"), message("d").to_string()), 401, "key_unknown"),
        (in_body("d", "tl_x"), 401, "key_unknown"),
        (in_body("d", ""), 401, "key_missing"),
        (post(&app, "/v1/t", Some(&read), message("d").to_string()), 403, "scope_missing"),
        (in_body("d", &read), 403, "scope_missing"),
        (post(&app, "/v1/t", None, "no JSON"), 401, "key_missing"),
        (app.get("/v1/projects/tl_x/settings"), 401, "key_unknown"),
        (app.get(&format!("/v1/projects/{read}/settings")), 403, "scope_missing"),
    ] {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
        assert!(answer.json()["message"].is_string(), "SDKs repeat what has no message");
    }
    let settings = app.get(&format!("/v1/projects/{ingest}/settings")).json();
    assert_eq!(settings["integrations"]["Segment.io"]["apiKey"], ingest.as_str());
    assert_eq!(settings["metrics"]["sampleRate"], 0);
    let stored = with_key(&app, "GET", "/sql?q=SELECT%20count(*)%20AS%20n%20FROM%20events", &read, "");
    assert_eq!(stored.json()["data"][0]["n"], 3, "nothing of the others was stored");
}

#[test]
fn what_nobody_has_signed_for_is_read_to_a_smaller_limit() {
    let app = App::start(&[("ingest.max_keyless_body_bytes", "1KiB")]);
    let key = secret(&make_key(&app, &[Scope::Ingest], KeyLimits::default(), None));
    let mut long = message("long");
    long["writeKey"] = key.as_str().into();
    long["properties"]["note"] = "x".repeat(1_024).into();
    let refused = post(&app, "/v1/t", None, long.to_string());
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (413, "body_too_large"));
    assert_success(&post(&app, "/v1/t", Some(&key), long.to_string()), "with the key in the header");
}

#[test]
fn a_key_in_the_body_is_limited_like_one_in_the_header() {
    let app = App::start(&[("rate_limit.requests", "3"), ("rate_limit.window", "1h")]);
    let key = secret(&make_key(&app, &[Scope::Ingest], KeyLimits::default(), None));
    let mut body = message("a");
    body["writeKey"] = key.as_str().into();
    for sent in 0..3 {
        let key = (sent == 1).then_some(key.as_str());
        assert_success(&post(&app, "/v1/t", key, body.to_string()), "within the limit");
    }
    let refused = post(&app, "/v1/t", None, body.to_string());
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"));
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds > 0);
    // Guessing is limited by address, which has had no request of its own so far.
    let guesses = (0..4).map(|_| post(&app, "/v1/t", None, r#"{"writeKey":"tl_guess"}"#).status.as_u16());
    assert_eq!(guesses.collect::<Vec<_>>(), [401, 401, 401, 429]);
}

fn from_page(app: &App, method: &str, path: &str, origin: &str, key: Option<&str>, body: String) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(ORIGIN, origin).header(HOST, "localhost:8080");
    if method == "OPTIONS" {
        request = request.header("access-control-request-method", "POST");
        request = request.header("access-control-request-headers", "authorization,content-type,x-retry-count");
    }
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:"))));
    }
    app.send(request.body(body.into()).unwrap())
}

#[test]
fn pages_of_other_sites_may_send_events_and_do_nothing_else() {
    let app = App::start(&[]);
    let shop = "https://shop.example";
    // Without keys only pages of this machine: others could write into the server of whoever looks at them.
    for (origin, status) in [("http://localhost:3000", 200), ("http://127.0.0.1:5173", 200), (shop, 403), ("null", 403)]
    {
        let sent = from_page(&app, "POST", "/v1/t", origin, None, message(origin).to_string());
        assert_eq!(sent.status.as_u16(), status, "{origin}");
        assert_eq!(
            from_page(&app, "OPTIONS", "/v1/t", origin, None, String::new()).status.as_u16(),
            status,
            "{origin}"
        );
    }
    assert_eq!(from_page(&app, "POST", "/events", "http://localhost:3000", None, "{}".to_owned()).code(), "cross_site");

    let key = secret(&make_key(&app, &[Scope::Ingest], KeyLimits::default(), None));
    let asked = from_page(&app, "OPTIONS", "/v1/t", shop, None, String::new());
    assert_eq!((asked.status, &asked.headers["access-control-allow-origin"]), (StatusCode::OK, &shop.parse().unwrap()));
    let headers = asked.headers["access-control-allow-headers"].to_str().unwrap();
    for name in ["authorization", "content-type", "x-retry-count"] {
        assert!(headers.contains(name), "{headers}");
    }
    assert!(!asked.headers.contains_key("access-control-allow-credentials"));
    let sent = from_page(&app, "POST", "/v1/t", shop, Some(&key), message("page").to_string());
    assert_success(&sent, "from a page");
    assert_eq!(sent.headers["access-control-allow-origin"], shop);
    assert!(sent.headers["access-control-expose-headers"].to_str().unwrap().contains("retry-after"));
    // The SDK must be able to read refusals.
    let refused = from_page(&app, "POST", "/v1/t", shop, Some("tl_x"), message("page").to_string());
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["access-control-allow-origin"]),
        (401, &shop.parse().unwrap())
    );
    let settings = from_page(&app, "GET", &format!("/v1/projects/{key}/settings"), shop, None, String::new());
    assert_eq!(settings.headers["access-control-allow-origin"], shop);
    assert_eq!(settings.json()["integrations"]["Segment.io"]["apiHost"], "localhost:8080/v1");
    // Everything else is as it was.
    for path in ["/events", "/sql", "/session", "/admin/keys"] {
        assert_eq!(from_page(&app, "POST", path, shop, Some(&key), "{}".to_owned()).code(), "cross_site", "{path}");
        assert_eq!(from_page(&app, "OPTIONS", path, shop, None, String::new()).code(), "cross_site", "{path}");
    }
}

#[test]
fn a_session_is_no_key_on_these_paths() {
    let app = App::start(&[]);
    let key = secret(&make_key(&app, &[Scope::Admin], KeyLimits::default(), None));
    let begun = app.post("/session", json!({ "key": key }).to_string());
    let cookie = begun.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let request = Request::post("/v1/t").header("cookie", cookie).header(ORIGIN, "https://evil.example");
    let sent = app.send(request.body(message("forged").to_string().into()).unwrap());
    assert_eq!(sent.code(), "key_missing");
}

#[test]
fn what_is_not_acceptable_is_a_dead_letter_that_can_be_replayed() {
    let app = App::start(&[]);
    let bad = json!({ "type": "track", "event": "Order Completed", "messageId": "bad", "userId": "u1",
                      "timestamp": "2026-03-01T11:00:00Z", "context": { "ip": "203.0.113.7" },
                      "properties": { "order_id": "bad", "subtotal": "ten", "currency": "EUR" } });
    let mixed = json!({ "batch": [message("good"), bad, { "type": "page" }], "sentAt": "2026-03-01T12:00:00Z" });
    assert_success(&post(&app, "/v1/batch", None, mixed.to_string()), "a bad one between good ones");
    let nothing = post(&app, "/v1/track", None, r#"{"userId":"u1"}"#);
    assert_eq!((nothing.status.as_u16(), nothing.code().as_str()), (400, "nothing_accepted"));
    assert!(nothing.json()["message"].as_str().unwrap().contains("event is required"), "{}", nothing.text());
    for (body, code) in [("", "empty_body"), ("{", "invalid_json"), ("{\"batch\":[{}", "invalid_json")] {
        let answer = post(&app, "/v1/batch", None, body);
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, code), "{body}");
    }
    let letters = app.get("/admin/dead-letters?source=segment").json();
    let counts = json!({ "invalid_number": 1, "missing_field": 2 });
    assert_eq!(letters["counts"], counts, "{letters}");
    assert!(!letters.to_string().contains("203.0.113"), "{letters}");

    let fix = json!({ "filter": { "code": "invalid_number" }, "fixes": { "revenue": "10.00", "properties": { "order_id": "bad" } } });
    let request = Request::post("/admin/dead-letters/replay").header("content-type", "application/json");
    let replayed = app.send(request.body(fix.to_string().into()).unwrap()).json();
    assert_eq!((&replayed["replayed"], &replayed["duplicates"]), (&json!(1), &json!(0)), "{replayed}");
    let sql = "SELECT event_id, revenue, client_ts, event_ts > now() - interval '2 hours' AS recent FROM events WHERE order_id = 'bad'";
    let row = app.sql(sql).json()["data"][0].clone();
    assert_eq!(
        row,
        json!({ "event_id": "bad", "revenue": "10.0000", "client_ts": "2026-03-01T11:00:00.000Z", "recent": true })
    );
}

#[test]
fn addresses_are_dropped_unless_a_setting_keeps_them() {
    for (setting, stored) in [("drop", None), ("truncate", Some("203.0.113.0")), ("keep", Some("203.0.113.7"))] {
        let app = App::start(&[("ingest.ip_addresses", setting)]);
        let sent = r#"{"event":"x","userId":"u","context":{"ip":"203.0.113.7"}}"#;
        assert_success(&post(&app, "/v1/t", None, sent), setting);
        let found = app.sql("SELECT properties->'context'->>'ip' AS ip FROM events").json();
        assert_eq!(found["data"][0]["ip"].as_str(), stored, "{setting}");
    }
}

#[test]
fn every_message_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &[]);
    let agent = ureq::Agent::new_with_defaults();
    for at in 0..20 {
        let body = json!({ "batch": [message(&format!("a{at}")), message(&format!("b{at}"))] }).to_string();
        let mut answer = agent.post(format!("{}/v1/batch", server.url)).content_type("text/plain").send(body).unwrap();
        assert_eq!(answer.body_mut().read_to_string().unwrap(), r#"{"success":true}"#);
    }
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.csv("SELECT count(*), count(DISTINCT event_id), sum(revenue) FROM events"), ["40,40,500.0000"]);
}

static APP: std::sync::LazyLock<App> = std::sync::LazyLock::new(|| App::start(&[("ingest.max_body_bytes", "256KiB")]));

proptest! {
    #[test]
    fn hostile_messages_are_answered_below_500(
        path in proptest::sample::select(CALLS.to_vec()),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}\":,a-z0-9 ]{0,80}".prop_map(String::into_bytes),
            "\\{\"batch\":\\[[{}\":,a-z0-9\\[\\]]{0,60}\\](,\"sentAt\":[0-9\"e]{0,9})?\\}".prop_map(String::into_bytes),
        ],
    ) {
        let answer = post(&APP, &format!("/v1/{}", path.0), None, body);
        prop_assert!(answer.status.as_u16() < 500, "{}", answer.text());
        if answer.status != StatusCode::OK {
            prop_assert!(answer.json()["code"].is_string() && answer.json()["message"].is_string());
        }
    }
}
