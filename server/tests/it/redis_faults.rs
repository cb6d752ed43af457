//! A real server and a real Redis: what `/health` says while Redis is away, and what Redis says after either of them
//! was killed.

use std::time::Duration;

use serde_json::Value;
use tideline_engine::clock::{Clock as _, SystemClock};
use tideline_engine::event::NodeId;
use tideline_engine::hot::{HotConfig, HotWindow as _, RedisConfig, RedisWindows};

use crate::app::until;
use crate::process::Server;
use crate::redis::{Redis, ask};

fn health(server: &Server) -> Value {
    let answer = ureq::get(format!("{}/health", server.url)).call();
    let text = answer.and_then(|mut a| a.body_mut().read_to_string()).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn send(server: &Server, first: usize) {
    let now = SystemClock::new().now() / 1_000;
    let event = |n: usize| {
        format!(
            r#"{{"event_id":"e{n}","event_type":"purchase","event_ts":{},"price":"2.5","quantity":2,"session_id":"s{}","user_id":"u{}"}}"#,
            now - (n % 7) as i64 * 60_000,
            n % 13,
            n % 11
        )
    };
    let body: Vec<String> = (first..first + 50).map(event).collect();
    let (status, answer) = Server::post(&server.url, &body.join("\n")).unwrap();
    assert_eq!((status, &answer["accepted"]), (202, &50.into()), "{answer}");
}

/// Redis has everything the server has, and says so.
fn until_whole(server: &Server) -> Value {
    let whole = |h: &Value| {
        let redis = &h["dependencies"]["redis"];
        redis["status"] == "ok"
            && h["dependencies"]["windows"]["status"] == "ok"
            && redis["applied"] == h["engine"]["seq"]
    };
    until("Redis has everything", || whole(&health(server)));
    health(server)
}

/// What the shared windows say, read by somebody else, is what the server's SQL says.
fn assert_equals_sql(server: &Server, redis: &Redis) {
    let sql = server.csv(
        "SELECT date_part('epoch', date_trunc('minute', event_ts))::BIGINT / 60, count(*), count(DISTINCT session_id), \
         count(DISTINCT user_id), (sum(price * quantity) * 10000)::BIGINT FROM events GROUP BY 1 ORDER BY 1",
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = RedisConfig { response_timeout: Duration::from_secs(30), ..RedisConfig::new(&redis.url) };
    let windows = RedisWindows::new(HotConfig::default(), &config, &NodeId::random()).unwrap();
    let kpis = runtime.block_on(windows.kpis(0, i64::MAX, SystemClock::new().now())).unwrap();
    let live: Vec<String> = kpis
        .iter()
        .filter(|k| k.counts.events > 0)
        .map(|k| format!("{},{},{},{},{}", k.minute, k.counts.purchases, k.sessions.count, k.users.count, k.revenue))
        .collect();
    assert_eq!(live, sql);
}

#[test]
fn redis_fault_health_says_what_happens_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = Redis::start(dir.path());
    let data = dir.path().join("data");
    let url = redis.url.replace("redis://", "redis://default:@");
    let settings = [("TIDELINE_REDIS_URL", &*url), ("TIDELINE_FLUSH_AGE", "500ms")];
    let mut server = Server::start(&data, &settings);
    send(&server, 0);
    let whole = until_whole(&server);
    assert_eq!(whole["status"], "ok", "{whole}");
    assert_equals_sql(&server, &redis);

    redis.kill();
    until("the server notices", || health(&server)["dependencies"]["redis"]["state"] == "away");
    let away = health(&server);
    assert_eq!(
        (&away["status"], &away["dependencies"]["windows"]["status"], &away["dependencies"]["redis"]["status"]),
        (&"degraded".into(), &"degraded".into(), &"degraded".into()),
        "{away}"
    );
    assert!(!away.to_string().contains(redis.url.trim_start_matches("redis://")), "it names the host: {away}");
    send(&server, 50);
    redis.restart_empty();
    let back = until_whole(&server);
    assert_eq!(back["dependencies"]["redis"]["rebuilds"], 1, "{back}");
    assert_equals_sql(&server, &redis);

    // The server goes while Redis is paused: what is acknowledged is in the log and not in Redis.
    redis.pause();
    send(&server, 100);
    server.kill();
    redis.resume();
    let mut server = Server::start(&data, &settings);
    until_whole(&server);
    assert_equals_sql(&server, &redis);
    assert_eq!(server.csv("SELECT count(*) FROM events"), ["150"]);

    // Without Redis it starts as well.
    server.kill();
    redis.kill();
    let server = Server::start(&data, &settings);
    send(&server, 150);
    until("the server notices", || health(&server)["dependencies"]["redis"]["state"] == "away");
    assert_eq!(server.csv("SELECT count(*) FROM events"), ["200"]);
    // A Redis that forgets keys when it is full is no place for windows.
    let mut server = server;
    server.kill();
    redis.restart_empty();
    assert_eq!(ask(&redis.url, &["CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru"]), "OK");
    let server = Server::start(&data, &settings);
    until("the server notices", || health(&server)["dependencies"]["redis"]["evicts"] == "allkeys-lru");
    let forgetful = &health(&server)["dependencies"]["redis"];
    assert_eq!(forgetful["status"], "degraded", "{forgetful}");
}
