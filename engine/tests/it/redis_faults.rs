//! A Redis that fails under load: nothing is lost, answers say that they are degraded, and afterwards what is read from
//! Redis equals SQL. Prints how long ingest took meanwhile; `TIDELINE_FAULT_SECONDS` makes faults last longer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;
use tideline_engine::clock::SystemClock;
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine, EngineConfig};
use tideline_engine::fs::real::RealFs;
use tideline_engine::hot::{Degraded, Ids, RedisConfig, ReplicaState, ReplicaStatus};

use crate::hot::assert_equals_sql;
use crate::proxy::Proxy;
use crate::windows::events::{Event, ndjson};
use crate::windows::{Backend as _, InRedis};

/// Events in one request, and the time from one request to the next: 500 events a second.
const EVENTS: u64 = 20;
const EVERY: Duration = Duration::from_millis(40);
/// Looked for that often before it counts as hanging: a guard, not a measurement.
const LOOKS: usize = 6_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// How long a fault lasts once it shows.
fn fault_lasts() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a longer run is asked for in the environment")]
    let seconds = std::env::var("TIDELINE_FAULT_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

/// An engine under load.
struct Shop {
    engine: Arc<Engine>,
    sent: AtomicU64,
    stop: AtomicBool,
    /// Of requests since they were last asked for, in microseconds.
    took: Mutex<Vec<u64>>,
    /// Sets the orders of two shops apart.
    salt: u8,
    /// Has all events of several shops.
    reference: Option<Arc<Engine>>,
}

async fn open(dir: &Path, redis: Option<&str>) -> Arc<Engine> {
    let mut config = EngineConfig::new(dir);
    config.query.threads = 1;
    config.flush.age = Duration::from_secs(2);
    config.hot.redis = redis.map(|url| RedisConfig { ranking_age: Duration::ZERO, ..RedisConfig::new(url) });
    for _ in 0..LOOKS {
        match Engine::open(config.clone(), Arc::new(RealFs), Arc::new(SystemClock::new())).await {
            Ok(engine) => return engine,
            // An engine that was dropped may still end a flush.
            Err(e) if e.code == "data_dir_locked" => tokio::time::sleep(BETWEEN_LOOKS).await,
            Err(e) => panic!("{e}"),
        }
    }
    panic!("the folder stays locked");
}

impl Shop {
    fn new(engine: Arc<Engine>, salt: u8, reference: Option<Arc<Engine>>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            sent: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            took: Mutex::default(),
            salt,
            reference,
        })
    }

    /// Sends events at an even rate until it is told to stop. Every one must be accepted.
    fn load(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let shop = Arc::clone(self);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            while !shop.stop.load(Ordering::SeqCst) {
                ticks.tick().await;
                let first = shop.sent.fetch_add(EVENTS, Ordering::SeqCst);
                let events: Vec<Event> = (first..first + EVENTS).map(|n| Event::nth(n, shop.salt)).collect();
                let id = u64::from(shop.salt) * 1_000_000_000 + first;
                let body = Bytes::from(ndjson(&events, id, shop.engine.clock().now()));
                for engine in [Some(&shop.engine), shop.reference.as_ref()].into_iter().flatten() {
                    let begun = Instant::now();
                    let receipt = engine.ingest(body.clone(), InputFormat::Json, "test", Ack::Durable).await.unwrap();
                    assert_eq!(receipt.accepted as u64, EVENTS, "{receipt:?}");
                    if Arc::ptr_eq(engine, &shop.engine) {
                        shop.took.lock().push(begun.elapsed().as_micros() as u64);
                    }
                }
            }
        })
    }

    fn redis(&self) -> ReplicaStatus {
        self.engine.windows().replica().unwrap()
    }

    async fn until(&self, what: &str, done: impl Fn(&ReplicaStatus) -> bool) {
        for _ in 0..LOOKS {
            if done(&self.redis()) {
                return;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        panic!("did not happen: {what}; {:?}", self.redis());
    }

    async fn until_live(&self) {
        self.until("Redis is live", |r| r.state == ReplicaState::Live).await;
    }

    /// The 99th percentile of requests since the last time, in milliseconds.
    fn p99_ms(&self) -> f64 {
        let mut took = std::mem::take(&mut *self.took.lock());
        took.sort_unstable();
        took.get(took.len() * 99 / 100).map_or(0.0, |us| *us as f64 / 1_000.0)
    }

    /// Ends the load and compares what Redis says with what SQL says.
    async fn settle(&self, load: tokio::task::JoinHandle<()>) {
        self.stop.store(true, Ordering::SeqCst);
        load.await.unwrap();
        self.until("everything counts in Redis", |r| r.state == ReplicaState::Live && r.lag == 0).await;
        let answering = self.engine.windows().answering();
        assert_eq!(answering.degraded, None);
        let sql = self.reference.as_ref().unwrap_or(&self.engine);
        assert_equals_sql(sql, answering.windows.as_ref(), self.engine.clock().now(), 60).await;
        let stored = self.engine.status().seq;
        assert_eq!(stored, self.sent.load(Ordering::SeqCst), "an acknowledged event is missing");
        assert_eq!(answering.windows.applied().await.unwrap().0, stored);
        assert_eq!(answering.applied.0, stored, "what answers claim to hold");
    }

    /// Asks as a request does; whether the answer was degraded.
    async fn ask(&self) -> bool {
        let since = self.engine.clock().now() - 60_000_000;
        let told =
            self.engine.windows().ask(|windows| async move { windows.active(Ids::Users, since).await }).await.unwrap();
        assert!(told.body.count > 0);
        matches!(told.degraded, Some(Degraded::Alone(_)))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What a fault must lead to.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    /// Redis counts as away while it lasts.
    Away,
    /// The same, and its data is gone afterwards.
    AwayAndEmpty,
    /// Redis answers all the time, and its data is gone.
    Empty,
}

/// Load, a fault, its end, and the comparison.
fn fault(name: &str, expect: Expect, begin: impl FnOnce(&mut InRedis), end: impl FnOnce(&mut InRedis)) {
    let mut redis = InRedis::start();
    let dir = TempDir::new().unwrap();
    let url = redis.server.url.clone();
    runtime().block_on(async {
        let shop = Shop::new(open(dir.path(), Some(&url)).await, 1, None);
        let load = shop.load();
        shop.until_live().await;
        tokio::time::sleep(fault_lasts()).await;
        assert!(!shop.ask().await, "{:?}", shop.redis());
        let (normal, rebuilds) = (shop.p99_ms(), shop.redis().rebuilds);

        begin(&mut redis);
        let broken = Instant::now();
        if expect != Expect::Empty {
            // Before the breaker opens too: no question fails.
            while shop.redis().state != ReplicaState::Away {
                shop.ask().await;
                assert!(broken.elapsed() < BETWEEN_LOOKS * LOOKS as u32, "{:?}", shop.redis());
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            let until = Instant::now() + fault_lasts();
            while Instant::now() < until {
                assert!(shop.ask().await, "{name}: an answer is not marked");
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        }
        let outage = shop.p99_ms();
        end(&mut redis);
        let healed = Instant::now();
        if expect != Expect::Away {
            shop.until("the share is rebuilt", |r| r.rebuilds > rebuilds).await;
        }
        shop.until_live().await;
        let back = healed.elapsed();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let again = shop.p99_ms();
        shop.settle(load).await;
        println!(
            "{name}: ingest p99 {normal:.1} ms before, {outage:.1} ms during, {again:.1} ms after; live again after \
             {:.1} s, {} rebuilds",
            back.as_secs_f32(),
            shop.redis().rebuilds
        );
        shop.engine.close().await.unwrap();
    });
}

#[test]
fn redis_fault_killed_and_restarted_empty() {
    fault("killed", Expect::AwayAndEmpty, |r| r.server.kill(), |r| r.server.restart_empty());
}

#[test]
fn redis_fault_paused_and_resumed() {
    fault("paused", Expect::Away, |r| r.server.pause(), |r| r.server.resume());
}

#[test]
fn redis_fault_flushed() {
    fault("flushed", Expect::Empty, |r| drop(r.command(&["FLUSHALL"])), |_| {});
}

#[test]
fn redis_fault_out_of_memory() {
    let set = |r: &mut InRedis, limit| drop(r.command(&["CONFIG", "SET", "maxmemory", limit]));
    fault("out of memory", Expect::Away, |r| set(r, "1mb"), |r| set(r, "0"));
}

#[test]
fn redis_fault_slow() {
    let redis = InRedis::start();
    let dir = TempDir::new().unwrap();
    runtime().block_on(async {
        let port: u16 = redis.server.url.rsplit(':').next().unwrap().parse().unwrap();
        let proxy = Proxy::start(([127, 0, 0, 1], port).into()).await;
        let url = format!("redis://127.0.0.1:{}", proxy.port);
        let shop = Shop::new(open(dir.path(), Some(&url)).await, 1, None);
        let load = shop.load();
        shop.until_live().await;
        tokio::time::sleep(fault_lasts()).await;
        let normal = shop.p99_ms();
        // Slow: it lags behind and still answers.
        proxy.delay(60);
        tokio::time::sleep(fault_lasts()).await;
        let slow = shop.p99_ms();
        // Too slow: away.
        proxy.delay(2_000);
        shop.until("Redis is away", |r| r.state == ReplicaState::Away).await;
        assert!(shop.ask().await);
        tokio::time::sleep(fault_lasts()).await;
        let too_slow = shop.p99_ms();
        proxy.delay(0);
        shop.until_live().await;
        shop.settle(load).await;
        println!("slow: ingest p99 {normal:.1} ms before, {slow:.1} ms at 60 ms each way, {too_slow:.1} ms at 2 s");
        shop.engine.close().await.unwrap();
    });
}

/// The engine goes without a word, Redis stays; then the other way round.
#[test]
fn redis_fault_engine_gone_and_back() {
    let mut redis = InRedis::start();
    let dir = TempDir::new().unwrap();
    let url = redis.server.url.clone();
    runtime().block_on(async {
        let mut sent = 0;
        for round in 0..3 {
            let engine = open(dir.path(), Some(&url)).await;
            engine.windows().until_filled().await;
            let shop = Shop::new(engine, 1, None);
            shop.sent.store(sent, Ordering::SeqCst);
            let load = shop.load();
            shop.until_live().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            if round == 1 {
                redis.server.restart_empty();
            }
            if round == 2 {
                shop.settle(load).await;
                shop.engine.close().await.unwrap();
                break;
            }
            shop.stop.store(true, Ordering::SeqCst);
            load.await.unwrap();
            sent = shop.sent.load(Ordering::SeqCst);
        }
        // What was closed in good order needs no rebuild.
        let shop = Shop::new(open(dir.path(), Some(&url)).await, 1, None);
        shop.until_live().await;
        assert_eq!(shop.redis().rebuilds, 0, "{:?}", shop.redis());
        shop.engine.close().await.unwrap();
    });
}

#[test]
fn redis_fault_two_engines_equal_the_union_of_their_sql() {
    let mut redis = InRedis::start();
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let url = redis.server.url.clone();
    runtime().block_on(async {
        let both = open(dirs[2].path(), None).await;
        let a = Shop::new(open(dirs[0].path(), Some(&url)).await, 1, Some(Arc::clone(&both)));
        let b = Shop::new(open(dirs[1].path(), Some(&url)).await, 2, Some(Arc::clone(&both)));
        let (load_a, load_b) = (a.load(), b.load());
        a.until_live().await;
        b.until_live().await;
        tokio::time::sleep(fault_lasts()).await;
        redis.server.restart_empty();
        for shop in [&a, &b] {
            shop.until("the share is rebuilt", |r| r.rebuilds > 0).await;
            shop.until_live().await;
        }
        a.stop.store(true, Ordering::SeqCst);
        b.stop.store(true, Ordering::SeqCst);
        load_a.await.unwrap();
        b.until("everything counts in Redis", |r| r.state == ReplicaState::Live && r.lag == 0).await;
        a.until("everything counts in Redis", |r| r.state == ReplicaState::Live && r.lag == 0).await;
        load_b.await.unwrap();
        b.until("everything counts in Redis", |r| r.state == ReplicaState::Live && r.lag == 0).await;
        for shop in [&a, &b] {
            let answering = shop.engine.windows().answering();
            assert_eq!(answering.degraded, None);
            assert_equals_sql(&both, answering.windows.as_ref(), both.clock().now(), 60).await;
        }
        for engine in [&a.engine, &b.engine, &both] {
            engine.close().await.unwrap();
        }
    });
}
