//! The real-time metrics: their shapes, their bounds, and that SQL says the same as the live windows.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use tideline_engine::clock::{Clock as _, ManualClock, Micros};

use crate::answers::{Case, compare, run};
use crate::app::App;

/// 2026-03-01T12:30:40Z
const NOW: Micros = 1_772_368_240_000_000;

struct Shop {
    app: App,
    clock: Arc<ManualClock>,
}

impl Shop {
    fn open(settings: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let mut all = vec![("flush.age", "1h"), ("lake.maintain_every", "0")];
        all.extend(settings);
        let app = App::start_with(&all, Arc::clone(&clock) as _);
        Self { app, clock }
    }

    fn post(&self, lines: &str) {
        let receipt = self.app.post("/events", lines.to_owned());
        assert_eq!(receipt.status, StatusCode::ACCEPTED, "{}", receipt.text());
        assert_eq!(receipt.json()["rejected"], 0, "{}", receipt.text());
    }

    fn json(&self, uri: &str) -> Value {
        let answer = self.app.get(uri);
        assert_eq!(answer.status, StatusCode::OK, "{uri}: {}", answer.text());
        answer.json()
    }
}

/// One event, so many milliseconds before [`NOW`].
fn line(id: &str, ago_ms: i64, rest: &str) -> String {
    format!("{{\"event_id\":\"{id}\",\"event_ts\":{},{rest}}}\n", NOW / 1_000 - ago_ms)
}

const MINUTE: i64 = 60_000;

fn small_day() -> String {
    [
        line("e1", 1_000, r#""event_type":"page_view","user_id":"u1","session_id":"s1","page":"/a""#),
        line("e2", 2_000, r#""event_type":"page_view","user_id":"u2","session_id":"s2","page":"/a""#),
        line("e3", 3_000, r#""event_type":"page_view","anonymous_id":"x1","session_id":"s3","page":"/b""#),
        line("e4", 4_000, r#""event_type":"page_view","user_id":"u1","session_id":"s4","page":"/b""#),
        // In the last complete minute: an order that comes twice, one of lines, one without an id.
        line("v1", MINUTE + 9_000, r#""event_type":"product_view","user_id":"u1","session_id":"s1","product_id":"p1""#),
        line("c1", MINUTE + 8_000, r#""event_type":"add_to_cart","user_id":"u1","session_id":"s1","product_id":"p1""#),
        line("k1", MINUTE + 7_000, r#""event_type":"checkout_start","user_id":"u1","session_id":"s1""#),
        line(
            "o1",
            MINUTE + 6_000,
            r#""event_type":"purchase","user_id":"u1","session_id":"s1","order_id":"A","revenue":"100.1001","currency":"EUR","geo":{"country":"DE"},"utm":{"source":"google"}"#,
        ),
        line("o2", MINUTE + 5_000, r#""event_type":"purchase","user_id":"u1","session_id":"s1","order_id":"A","revenue":"999""#),
        line("o3", MINUTE + 4_000, r#""event_type":"purchase","user_id":"u2","session_id":"s2","product_id":"p2","price":"0.0001","quantity":3"#),
        line("v2", MINUTE + 3_000, r#""event_type":"product_view","user_id":"u2","session_id":"s2","product_id":"p2""#),
        line("b1", MINUTE + 2_000, r#""event_type":"page_view","user_id":"bot","session_id":"sb","page":"/a","user_agent":"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)""#),
        // Out of five minutes, of fifteen, of the hour.
        line("r1", 6 * MINUTE, r#""event_type":"remove_from_cart","user_id":"u3","session_id":"s5","product_id":"p1""#),
        line("w1", 20 * MINUTE, r#""event_type":"view_cart","user_id":"u4","session_id":"s6""#),
        line("p9", 90 * MINUTE, r#""event_type":"page_view","user_id":"u9","session_id":"s9","page":"/old""#),
    ]
    .concat()
}

const ACCEPT_JSON: &[(&str, &str)] = &[("accept", "application/json")];

fn cases() -> Vec<Case<'static>> {
    let get = |name, path| (name, "GET", path, &[][..], vec![]);
    vec![
        get("active users", "/metrics/active_users"),
        get("active users of a longer time", "/metrics/active_users?minutes=60"),
        get("active users of more than the window", "/metrics/active_users?minutes=120"),
        get("active users at another time", "/metrics/active_users?at=2026-03-01T12:28:00Z"),
        get("active sessions", "/metrics/active_sessions"),
        get("a user's active sessions", "/metrics/active_sessions?user_id=u1"),
        get("a user's sessions", "/users/u1/sessions"),
        get("nobody's sessions", "/users/no%20one/sessions?minutes=10"),
        get("top pages", "/metrics/top_pages?minutes=15&limit=1"),
        get("top pages of two hours", "/metrics/top_pages?minutes=120"),
        get("active users by name", "/users/active?minutes=5&limit=2"),
        get("sessions by user", "/sessions/active"),
        get("the last minute's KPIs", "/kpis/latest"),
        get("a minute's KPIs that will not change", "/kpis/latest?at=2026-03-01T12:11:00Z"),
        get("KPIs of two minutes", "/kpis/history?minutes_back=2"),
        get("the funnel", "/funnel/current"),
        get("the funnel of five minutes", "/funnel/current?minutes=5&at=1772368240000"),
        get("totals", "/api/analytics/metrics?minutes=2"),
        get("page views", "/api/analytics/page-views?minutes=2&limit=3"),
        get("cart actions", "/api/analytics/cart-actions?minutes=2"),
        ("the summary", "GET", "/metrics", ACCEPT_JSON, vec![]),
        ("an unknown form of the summary", "GET", "/metrics", &[("accept", "image/png")], vec![]),
        get("an unknown parameter", "/metrics/active_users?minute=5"),
        get("no minute", "/metrics/active_users?minutes=0"),
        get("too many minutes", "/kpis/history?minutes_back=1441"),
        get("too long a list", "/users/active?limit=1001"),
        get("minutes that are no number", "/funnel/current?minutes=ten"),
        get("the future", "/kpis/latest?at=2026-03-01T12:30:41Z"),
        get("before time", "/kpis/latest?at=-1"),
        get("no time", "/kpis/latest?at=yesterday"),
        get("an empty user", "/metrics/active_sessions?user_id="),
        get("a path nearly right", "/kpis/lastest"),
        ("no WebSocket", "GET", "/ws", &[], vec![]),
    ]
}

#[test]
fn every_metric_has_the_shape_that_is_written_down() {
    let shop = Shop::open(&[]);
    shop.post(&small_day());
    let mut seen = String::new();
    cases().iter().for_each(|case| run(&shop.app, case, &mut seen));
    compare("realtime.txt", &seen);
}

#[test]
fn money_is_a_json_number_with_all_its_digits() {
    let shop = Shop::open(&[]);
    shop.post(&small_day());
    for uri in ["/kpis/latest", "/kpis/latest?at=1772368240000", "/api/analytics/metrics"] {
        let text = shop.app.get(uri).text();
        // 100.1001 for the order once, and 3 × 0.0001; by two orders, rounded half up.
        assert!(text.contains(r#""revenue":100.1004,"aov":50.0502"#), "{uri}: {text}");
    }
}

#[test]
fn the_metrics_of_the_engine_are_text() {
    let shop = Shop::open(&[]);
    shop.post(&small_day());
    let answer = shop.app.get("/metrics");
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(
        answer.text().contains("# TYPE tideline_applied_seq gauge\ntideline_applied_seq 15\n"),
        "{}",
        answer.text()
    );
}

/// A busy shop: `n` events over `minutes`, none of them ahead of now.
fn traffic(n: u64, minutes: u64) -> String {
    let kinds =
        ["page_view", "product_view", "add_to_cart", "checkout_start", "purchase", "remove_from_cart", "refund"];
    let mut state = 42_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = String::new();
    for id in 0..n {
        let kind = kinds[next(7) as usize];
        let user = next(40);
        let mut rest = format!(r#""event_type":"{kind}""#);
        // Browsing needs a visitor, a session and a page; orders may come from elsewhere.
        let browses = !["purchase", "refund"].contains(&kind);
        match next(10) {
            0 if !browses => {}
            1 | 2 => drop(write!(rest, r#","anonymous_id":"x{user}""#)),
            _ => drop(write!(rest, r#","user_id":"u{user}""#)),
        }
        if next(8) > 0 || browses {
            let _ = write!(rest, r#","session_id":"s{user}-{}""#, next(3));
        }
        if next(6) > 0 || kind == "page_view" {
            let _ = write!(rest, r#","page":"/{}""#, next(9));
        }
        if kind == "purchase" {
            match next(3) {
                0 => drop(write!(rest, r#","order_id":"o{}","revenue":"{}.{:04}""#, next(20), next(90), next(9_999))),
                1 => drop(write!(rest, r#","revenue":"{}.5""#, next(90))),
                _ => drop(write!(
                    rest,
                    r#","order_id":"o{}","price":"{}.25","quantity":{}"#,
                    next(20),
                    next(90),
                    1 + next(3)
                )),
            }
        }
        if next(20) == 0 {
            rest.push_str(r#","user_agent":"Googlebot/2.1 (+http://www.google.com/bot.html)""#);
        }
        // A coarse time, so that ties happen.
        let ago = next(minutes * 240) as i64 * 250;
        text += &line(&format!("t{id}"), ago, &rest);
    }
    text
}

/// What differs by where the answer comes from: latencies are not in SQL.
fn comparable(mut json: Value) -> Value {
    fn strip(json: &mut Value) {
        match json {
            Value::Object(map) => {
                ["source", "applied_seq", "performance"].iter().for_each(|name| drop(map.remove(*name)));
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut json);
    json
}

#[test]
fn sql_answers_for_this_instant_what_the_windows_answer() {
    let shop = Shop::open(&[]);
    for (n, part) in traffic(3_000, 62).lines().collect::<Vec<_>>().chunks(700).enumerate() {
        shop.post(&part.join("\n"));
        if n == 1 {
            assert_eq!(shop.app.post("/admin/flush", "").status, StatusCode::OK);
        }
    }
    let mut compared = 0;
    for minutes in [1, 5, 59, 60] {
        for question in [
            "/metrics/active_users?minutes=",
            "/metrics/active_sessions?minutes=",
            "/metrics/active_sessions?user_id=u7&minutes=",
            "/users/x3/sessions?minutes=",
            "/users/active?limit=7&minutes=",
            "/sessions/active?limit=1000&minutes=",
            "/metrics/top_pages?limit=4&minutes=",
            "/kpis/history?minutes_back=",
            "/funnel/current?minutes=",
            "/api/analytics/metrics?minutes=",
            "/api/analytics/page-views?minutes=",
            "/api/analytics/cart-actions?minutes=",
        ] {
            let live = shop.json(&format!("{question}{minutes}"));
            let sql = shop.json(&format!("{question}{minutes}&at={}", NOW / 1_000));
            assert_eq!((&live["source"], &sql["source"]), (&"windows".into(), &"sql".into()), "{question}{minutes}");
            assert_eq!(comparable(live), comparable(sql), "{question}{minutes}");
            compared += 1;
        }
    }
    assert_eq!(compared, 48);
    let busy = shop.json("/funnel/current");
    assert!(busy["steps"][3]["count"].as_u64() > Some(0), "the data set reaches every step: {busy}");
}

#[test]
fn a_minute_becomes_final_when_late_events_have_had_their_time() {
    let shop = Shop::open(&[("hot.late_after", "10m")]);
    shop.post(&small_day());
    let first = |shop: &Shop| shop.json("/kpis/history?minutes_back=10")["kpis"][9]["final"].clone();
    // The oldest of ten minutes ended nine minutes and forty seconds ago.
    assert_eq!(first(&shop), false);
    shop.clock.advance(Duration::from_secs(19));
    assert_eq!(shop.json("/kpis/history?minutes_back=11")["kpis"][10]["final"], true);
    assert_eq!(shop.json("/kpis/latest")["final"], false);
}

#[test]
fn lists_are_made_once_a_second_and_counts_are_always_current() {
    let shop = Shop::open(&[]);
    shop.post(&small_day());
    let count = |uri: &str| shop.json(uri)["active_users"].clone();
    assert_eq!((count("/metrics/active_users"), count("/users/active")), (3.into(), 3.into()));
    shop.post(&line("new", 0, r#""event_type":"page_view","user_id":"u77","session_id":"s77","page":"/a""#));
    assert_eq!((count("/metrics/active_users"), count("/users/active")), (4.into(), 3.into()));
    shop.clock.advance(Duration::from_secs(1));
    assert_eq!(count("/users/active"), 4);
}

#[test]
fn a_shorter_window_hands_over_to_sql_sooner() {
    let shop = Shop::open(&[("hot.window", "2m")]);
    shop.post(&small_day());
    for (minutes, source) in [(1, "windows"), (2, "windows"), (3, "sql")] {
        let answer = shop.json(&format!("/metrics/active_users?minutes={minutes}"));
        assert_eq!(answer["source"], source, "{answer}");
        assert_eq!(answer["active_users"], 3, "{answer}");
    }
    assert_eq!(shop.clock.now(), NOW);
}
