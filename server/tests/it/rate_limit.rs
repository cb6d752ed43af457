//! Limits as clients meet them: by key, address and user; alone, and shared through a real Redis that goes away.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use rand::{RngExt as _, SeedableRng as _};
use tideline_server::auth::keys::KeyLimits;
use tideline_server::auth::scope::Scope;
use tideline_server::http::client::Peer;
use tideline_server::rate_limit::local::Local;
use tideline_server::rate_limit::window::{Charge, Shape};

use crate::app::{Answer, App, event, until};
use crate::auth::{make_key, secret, with_key};
use crate::redis::Redis;

/// A window that does not slide on while a test runs.
const WINDOW: (&str, &str) = ("rate_limit.window", "1d");

fn version_like(app: &App, peer: &str, forwarded: Option<&str>) -> Answer {
    let mut request = Request::get("/sql?q=select+1");
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
    app.send(request)
}

fn events(ids: std::ops::Range<usize>) -> String {
    ids.map(|i| event(&format!("e{i}")) + "\n").collect()
}

fn stored(app: &App) -> u64 {
    app.state.engine.status().seq
}

/// How many of `n` requests are let through.
fn wave(app: &App, n: usize) -> usize {
    let statuses = (0..n).map(|_| version_like(app, "127.0.0.1", None).status);
    let ok = |status: &StatusCode| {
        assert!([StatusCode::OK, StatusCode::TOO_MANY_REQUESTS].contains(status), "{status}");
        *status == StatusCode::OK
    };
    statuses.filter(ok).count()
}

#[test]
fn requests_are_limited_by_address_and_the_answer_says_how() {
    let app = App::start(&[WINDOW, ("rate_limit.requests", "3"), ("http.trusted_proxies", "10.0.0.0/8")]);
    for left in [2, 1, 0] {
        let answer = version_like(&app, "203.0.113.9", Some("1.2.3.4"));
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["ratelimit-policy"], "\"requests\";q=3;w=86400");
        let standing = answer.headers["ratelimit"].to_str().unwrap();
        assert!(standing.starts_with(&format!("\"requests\";r={left};t=")), "{standing}");
    }
    let refused = version_like(&app, "203.0.113.9", None);
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"));
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((86_000..=87_300).contains(&wait), "{wait}");
    assert!(refused.headers["ratelimit"].to_str().unwrap().starts_with("\"requests\";r=0;t="));

    // Others are not concerned: another address, the clients behind a proxy, a network of IPv6.
    for (peer, forwarded) in [
        ("203.0.113.10", None),
        ("10.0.0.1", Some("198.51.100.1")),
        ("10.0.0.1", Some("198.51.100.2")),
        ("2001:db8:0:1::1", None),
    ] {
        assert_eq!(version_like(&app, peer, forwarded).status, StatusCode::OK, "{peer} {forwarded:?}");
    }
    // One network of IPv6 is one client, and so is whoever writes what no proxy of ours wrote.
    assert_eq!(version_like(&app, "2001:db8:0:1:ffff::2", None).status, StatusCode::OK);
    assert_eq!(version_like(&app, "2001:db8:0:1:ffff::3", None).status, StatusCode::OK);
    assert_eq!(version_like(&app, "2001:db8:0:1:ffff::4", None).status, StatusCode::TOO_MANY_REQUESTS);
    for _ in 0..10 {
        let health = app.send(Request::get("/health/live").body(Body::empty()).unwrap());
        assert_eq!(health.status, StatusCode::OK);
    }
}

#[test]
fn a_wave_of_ten_times_the_limit_gets_the_limit() {
    let app = App::start(&[WINDOW, ("rate_limit.requests", "100")]);
    assert_eq!(wave(&app, 1_000), 100);
}

#[test]
fn guessing_keys_is_limited_like_anything_else() {
    let app = App::start(&[WINDOW, ("rate_limit.requests", "5")]);
    let key = secret(&make_key(&app, &[Scope::Admin], KeyLimits::default(), None));
    let statuses: Vec<u16> =
        (0..7).map(|n| with_key(&app, "GET", "/session", &format!("tl_{n}"), "").status.as_u16()).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(with_key(&app, "GET", "/session", &key, "").status, StatusCode::OK, "the key has a window of its own");
}

#[test]
fn events_are_taken_whole_or_not_at_all() {
    let app = App::start(&[WINDOW, ("rate_limit.events", "10")]);
    let larger = app.post("/events", events(0..11));
    assert_eq!((larger.status, larger.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "request_over_rate_limit"));
    assert!(larger.text().contains("at most 10 events"), "{}", larger.text());
    let taken = app.post("/events", events(0..6));
    assert_eq!(taken.status, StatusCode::ACCEPTED);
    assert_eq!(taken.headers["ratelimit-policy"], "\"events\";q=10;w=86400");
    assert!(taken.headers["ratelimit"].to_str().unwrap().starts_with("\"events\";r=4;t="));
    let refused = app.post("/events", events(6..11));
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(stored(&app), 6, "something of a refused request was stored");
    assert_eq!(app.state.engine.dead_letters().count(), 0);
    // What is not acceptable counts too: it costs as much.
    assert_eq!(app.post("/events", events(6..9) + "rubbish\n").status, StatusCode::ACCEPTED);
    assert_eq!(app.post("/events", events(20..21)).status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(stored(&app), 9);
}

#[test]
fn a_key_may_have_limits_of_its_own() {
    let settings = [WINDOW, ("rate_limit.events", "5"), ("rate_limit.requests", "1000")];
    let app = App::start(&settings);
    let key = |events| {
        let limits = KeyLimits { events, requests: Some(0) };
        secret(&make_key(&app, &[Scope::Ingest], limits, None))
    };
    let (usual, more, free) = (key(None), key(Some(20)), key(Some(0)));
    for (key, n, status) in [(&usual, 6, 413), (&more, 20, 202), (&more, 1, 429), (&free, 500, 202), (&usual, 5, 202)] {
        let answer = with_key(&app, "POST", "/events", key, events(0..n));
        assert_eq!(answer.status.as_u16(), status, "{n}: {}", answer.text());
        let policy = answer.headers.get("ratelimit-policy").map_or("", |v| v.to_str().unwrap());
        assert!(!policy.contains("requests"), "its requests are not limited: {policy}");
    }
}

#[test]
fn a_user_is_limited_whoever_sends_the_events() {
    let app = App::start(&[WINDOW, ("rate_limit.user_events", "3")]);
    let of = |users: &[&str]| -> String {
        let line = |(n, user): (usize, &&str)| {
            let id = users.concat() + &n.to_string();
            format!(
                "{{\"event_id\":\"{id}\",\"event_type\":\"page_view\",\"event_ts\":\"2026-03-01T12:00:00Z\",\
                 \"session_id\":\"s\",\"page\":\"/\",\"user_id\":\"{user}\"}}\n"
            )
        };
        users.iter().enumerate().map(line).collect()
    };
    for (users, status) in [
        (&["a", "a", "b"][..], 202),
        (&["a", "c"], 202),
        (&["a", "d"], 429),
        (&["e", "e", "e", "e"], 413),
        (&["b", "b", "c", "d"], 202),
        (&["b"], 429),
    ] {
        let answer = app.post("/events", of(users));
        assert_eq!(answer.status.as_u16(), status, "{users:?}: {}", answer.text());
    }
    assert_eq!(stored(&app), 9);
    assert_eq!(app.post("/events", events(0..50)).status, StatusCode::ACCEPTED, "events without a user");
}

/// Settings of a server that shares its limits. It waits long for Redis: a busy machine must not decide a test.
fn sharing(redis: &Redis) -> [(&'static str, String); 4] {
    let url = redis.url.clone();
    let text = |text: &str| text.to_owned();
    [
        ("redis_url", url),
        ("rate_limit.window", text("1d")),
        ("rate_limit.requests", text("200")),
        ("rate_limit.redis_timeout", text("30s")),
    ]
}

fn start(settings: &[(&'static str, String)]) -> App {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let app = App::start(&settings);
    app.runtime.block_on(app.state.limits.connect());
    assert_eq!(app.state.limits.is_shared(), Some(true));
    app
}

#[test]
fn two_servers_on_one_redis_have_one_limit() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(dir.path());
    let apps = [start(&sharing(&redis)), start(&sharing(&redis))];
    let let_through = std::thread::scope(|scope| {
        let waves: Vec<_> = apps.iter().map(|app| scope.spawn(|| wave(app, 1_000))).collect();
        waves.into_iter().map(|wave| wave.join().unwrap()).sum::<usize>()
    });
    assert_eq!(let_through, 200);
    let mut connection = redis::Client::open(redis.url.as_str()).unwrap().get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("{tl}:limit:*").query(&mut connection).unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let expires_ms: i64 = redis::cmd("PTTL").arg(&keys[0]).query(&mut connection).unwrap();
    assert!(expires_ms > 0, "the key stays for ever");
}

#[test]
fn without_its_redis_a_server_goes_on_with_its_own_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = Redis::start(dir.path());
    let app = start(&sharing(&redis));
    assert_eq!(wave(&app, 50), 50);
    redis.kill();
    // Its own part of the count is known: 150 of the limit are left.
    assert_eq!(wave(&app, 1_000), 150);
    assert_eq!(app.state.limits.is_shared(), Some(false));
    let health = app.send(Request::get("/health").body(Body::empty()).unwrap());
    assert_eq!((health.status, health.json()["status"].as_str()), (StatusCode::OK, Some("degraded")));
    assert_eq!(health.json()["dependencies"]["rate_limits"]["status"], "degraded");
    redis.restart_empty();
    until("the limit is shared again", || {
        version_like(&app, "203.0.113.9", None);
        app.state.limits.is_shared() == Some(true)
    });
    assert!(wave(&app, 1_000) > 0, "Redis has forgotten, and is asked");
}

#[test]
fn a_redis_that_stands_still_is_left_alone_until_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(dir.path());
    let settings = [
        ("redis_url", redis.url.clone()),
        ("rate_limit.window", "1d".to_owned()),
        ("rate_limit.requests", "1000".to_owned()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let app = App::start(&settings);
    until("the limit is shared", || {
        version_like(&app, "203.0.113.9", None);
        app.state.limits.is_shared() == Some(true)
    });
    redis.pause();
    assert_eq!(wave(&app, 20), 20, "a request was refused because Redis does not answer");
    assert_eq!(app.state.limits.is_shared(), Some(false));
    redis.resume();
    until("the limit is shared again", || {
        version_like(&app, "203.0.113.9", None);
        app.state.limits.is_shared() == Some(true)
    });
}

#[test]
fn the_script_decides_as_the_server_itself_does() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(dir.path());
    let mut connection = redis::Client::open(redis.url.as_str()).unwrap().get_connection().unwrap();
    let script = redis::Script::new(include_str!("../../src/rate_limit/limit.lua"));
    let shape = Shape::of(std::time::Duration::from_secs(60));
    let local = Local::new(shape, 1_000);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let (mut now, mut taken, mut refused) = (1_700_000_000_123_i64, 0, 0);
    for step in 0..3_000 {
        now += rng.random_range(0..1_500);
        let names = rng.random_range(1..=3);
        let charges: Vec<Charge> = (0..names)
            .map(|n| Charge { name: format!("w{n}"), limit: 100 * (n + 1), cost: rng.random_range(0..12) })
            .collect();
        let mut call = script.prepare_invoke();
        call.arg(now).arg(shape.slot_ms).arg(100);
        for charge in &charges {
            call.key(format!("{{tl}}:{}", charge.name)).arg(charge.limit).arg(charge.cost);
        }
        let answer: Vec<i64> = call.invoke(&mut connection).unwrap();
        let verdict = local.take(&charges, now);
        let mut own = vec![verdict.refused.map_or(0, |at| at as i64 + 1), verdict.wait_ms as i64];
        own.extend(verdict.counts.iter().flat_map(|count| [count.used as i64, count.returns_ms as i64]));
        assert_eq!(answer, own, "step {step} at {now}: {charges:?}");
        if verdict.fits { taken += 1 } else { refused += 1 }
    }
    assert!(taken > 500 && refused > 500, "{taken} {refused}");
}

#[test]
fn a_steady_wave_through_redis_gets_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(dir.path());
    let mut connection = redis::Client::open(redis.url.as_str()).unwrap().get_connection().unwrap();
    let script = redis::Script::new(include_str!("../../src/rate_limit/limit.lua"));
    let shape = Shape::of(std::time::Duration::from_secs(60));
    // Ten windows, ten times the limit of 100 in each: one in 60 ms.
    let (mut let_through, windows) = (0, 10);
    for n in 0..windows * 1_000 {
        let mut call = script.prepare_invoke();
        call.arg(1_700_000_000_000_i64 + n * 60).arg(shape.slot_ms).arg(100).key("{tl}:wave").arg(100).arg(1);
        let answer: Vec<i64> = call.invoke(&mut connection).unwrap();
        let_through += i64::from(answer[0] == 0);
    }
    let wanted = windows * 100;
    assert!(let_through * 100 >= wanted * 98 && let_through * 100 <= wanted * 102, "{let_through} of {wanted}");
}
