//! `GET /metrics`: both formats, who may read them, and that counters count. That a real Prometheus reads it, and that
//! every name on a dashboard is there, is `make monitoring`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use axum::body::Body;
use axum::http::Request;
use tideline_server::auth::scope::Scope;

use crate::app::{App, event};
use crate::auth::{make_key, secret};
use crate::connections::Listening;

fn scrape(app: &App) -> BTreeMap<String, f64> {
    let text = app.get("/metrics").text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, n)| (name.to_owned(), n.parse().unwrap())).collect()
}

#[test]
fn counters_count_what_was_done() {
    let app = App::start(&[]);
    let before = scrape(&app);
    let bad = r#"{"event_type":"page_view"}"#;
    app.post("/events", format!("[{},{},{},{bad}]", event("a"), event("b"), event("a")));
    app.post("/events", "{");
    app.sql("SELECT count(*) FROM events");
    app.sql("SELECT nothing FROM events");
    app.get("/analytics/sales/summary?start=2026-03-01&end=2026-03-01");
    app.get("/there/is/no/such/path?q=secret");
    app.post("/admin/flush", "");
    let after = scrape(&app);
    let grew = |name: &str| after.get(name).copied().unwrap_or(0.0) - before.get(name).copied().unwrap_or(0.0);
    for (name, by) in [
        (r#"tideline_ingest_events_total{source="http",outcome="accepted"}"#, 2.0),
        (r#"tideline_ingest_events_total{source="http",outcome="duplicate"}"#, 1.0),
        (r#"tideline_ingest_events_total{source="http",outcome="rejected"}"#, 1.0),
        (r#"tideline_ingest_rejected_events_total{source="http",code="missing_field"}"#, 1.0),
        (r#"tideline_ingest_refused_requests_total{code="invalid_json"}"#, 1.0),
        (r#"tideline_http_requests_total{route="/events",method="POST",status="2xx"}"#, 1.0),
        (r#"tideline_http_requests_total{route="/events",method="POST",status="4xx"}"#, 1.0),
        (r#"tideline_http_requests_total{route="other",method="GET",status="4xx"}"#, 1.0),
        (r#"tideline_http_request_duration_seconds_count{route="/sql",method="POST"}"#, 2.0),
        (r#"tideline_queries_total{class="sql",outcome="ok"}"#, 1.0),
        (r#"tideline_queries_total{class="sql",outcome="invalid"}"#, 1.0),
        (r#"tideline_queries_total{class="metric",outcome="ok"}"#, 1.0),
        (r#"tideline_flushes_total{outcome="ok"}"#, 1.0),
        ("tideline_flush_rows_total", 2.0),
        ("tideline_lake_rows", 2.0),
        ("tideline_seq", 2.0),
        ("tideline_wal_sync_duration_seconds_count", 1.0),
        ("tideline_wal_group_events_sum", 2.0),
        ("tideline_ingest_visible_seconds_count", 2.0),
        ("tideline_dead_letters", 1.0),
    ] {
        assert!((grew(name) - by).abs() < 1e-9, "{name} grew by {} and not by {by}", grew(name));
    }
    assert!(!app.get("/metrics").text().contains("secret"), "what a client wrote is in no label");
    assert!(after["tideline_disk_available_bytes"] > 0.0 && after["tideline_build_info{version=\"0.1.0\"}"] > 0.0);
}

#[test]
fn openmetrics_is_given_to_who_asks_for_it() {
    let app = App::start(&[]);
    app.post("/events", event("a"));
    let ask = |accept: &str| app.send(Request::get("/metrics").header("accept", accept).body(Body::empty()).unwrap());
    let open = ask("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");
    assert_eq!(open.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = open.text();
    assert!(text.contains("# TYPE tideline_ingest_events counter\n") && text.ends_with("# EOF\n"), "{text}");
    let plain = ask("text/plain").text();
    assert!(plain.contains("# TYPE tideline_ingest_events_total counter\n") && !plain.contains("EOF"), "{plain}");
}

#[test]
fn without_a_key_only_this_machine_reads_them_and_only_where_that_is_set() {
    for (allowed, status) in [("false", 401), ("true", 200)] {
        let mut server = Listening::start(&[("http.scrape_without_key", allowed)]);
        let key = secret(&make_key(&server.app, &[Scope::Ingest], Default::default(), None));
        let ask = |head: &str| {
            let mut stream = server.connect();
            let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
        };
        assert_eq!(ask(""), status, "{allowed}");
        assert_eq!(ask("accept: application/json\r\n"), 401, "the shop's figures need a key");
        assert_eq!(ask("x-forwarded-for: 203.0.113.9\r\n"), 401, "a proxy asks for somebody else");
        assert_eq!(ask("authorization: Bearer tl_unknown\r\n"), 401, "a wrong key is not none");
        assert_eq!(ask(&format!("authorization: Bearer {key}\r\n")), 403, "a key without the scope");
        server.end();
    }
}
