//! Alerts over a simulated shop: quiet days stay quiet, and what goes wrong is noticed. Time is the clock's alone.

pub mod scenes;
mod shop;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tideline_engine::alert_log::Alert;
use tideline_engine::clock::{Clock, DAY, HOUR, ManualClock, Micros};
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine};
use tideline_engine::fs::sim::SimFs;

use crate::support::config;
use shop::Shop;

/// How often traffic arrives and rules are looked at.
const STEP: Duration = Duration::from_secs(15);
const MINUTE: Micros = 60_000_000;

/// An engine, its clock, and the traffic it gets.
struct World {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    fs: Arc<SimFs>,
    shop: Shop,
    flushed: Micros,
    born: Instant,
    times: std::collections::BTreeMap<String, (u32, Duration)>,
}

impl World {
    /// Begins at midnight, after days of history that nobody judged.
    async fn after(days: i64, seed: u64) -> Self {
        let begin = 20_513 * DAY;
        let (clock, fs) = (Arc::new(ManualClock::new(begin - days * DAY)), Arc::new(SimFs::new()));
        let engine = Self::open(&fs, &clock).await;
        let shop = Shop::new(seed, clock.now());
        let mut world =
            Self { born: Instant::now(), times: Default::default(), engine, flushed: clock.now(), clock, fs, shop };
        while world.clock.now() < begin {
            world.clock.advance(Duration::from_secs(3_600));
            world.traffic().await;
        }
        world
    }

    async fn open(fs: &Arc<SimFs>, clock: &Arc<ManualClock>) -> Arc<Engine> {
        Engine::open(config(), Arc::clone(fs) as _, Arc::clone(clock) as Arc<dyn Clock>).await.unwrap()
    }

    /// What the visitors did until now, and a flush now and then.
    async fn traffic(&mut self) {
        let now = self.clock.now();
        let body = self.shop.until(now);
        if !body.is_empty() {
            let receipt = self.engine.ingest(body.into(), InputFormat::Json, "test", Ack::Durable).await.unwrap();
            assert_eq!(receipt.rejected, 0, "{receipt:?}");
        }
        if now - self.flushed >= HOUR / 2 {
            self.flushed = now;
            self.engine.flush().await.unwrap();
        }
    }

    /// Lets time pass; the alerts that opened.
    async fn pass(&mut self, length: Duration) -> Vec<Arc<Alert>> {
        let known = self.engine.alerts().log().all().len();
        let end = self.clock.now() + Micros::try_from(length.as_micros()).unwrap();
        while self.clock.now() < end {
            self.clock.advance(STEP);
            self.traffic().await;
            for rule in [
                "alerts/anomalies",
                "alerts/checkout-stalled",
                "alerts/conversion-drop",
                "alerts/error-rate",
                "alerts/lag",
                "alerts/no-orders",
            ] {
                if now_min(self.clock.now()) {
                    let begun = Instant::now();
                    let asked = self.engine.metrics().ask(rule, &[]).await.unwrap();
                    self.engine.metrics().answer(&asked).await.unwrap();
                    let e = self.times.entry(rule.to_owned()).or_default();
                    e.0 += 1;
                    e.1 += begun.elapsed();
                }
            }
            self.engine.judge_alerts().await;
            for status in self.engine.alerts().status() {
                assert_eq!(status.error, None, "{status:?}");
            }
        }
        self.engine.alerts().log().all().split_off(known)
    }

    /// Closes the engine and opens it anew.
    async fn restart(&mut self) {
        self.engine.close().await.unwrap();
        self.engine = Self::open(&self.fs, &self.clock).await;
    }

    fn open_alert(&self, rule: &str) -> Option<Arc<Alert>> {
        self.engine.alerts().log().open_ones().into_iter().find(|alert| alert.rule == rule)
    }
}

fn now_min(now: Micros) -> bool {
    now % (5 * MINUTE) == 0
}

#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
fn days() -> u64 {
    std::env::var("TIDELINE_ALERT_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(1)
}

/// A day of CI, and as many as `TIDELINE_ALERT_DAYS` asks for.
#[tokio::test]
async fn quiet_days_stay_quiet_and_a_stalled_checkout_is_noticed_within_two_minutes() {
    let mut world = World::after(1, 7).await;
    let begun = Instant::now();
    let mut false_alarms = Vec::new();
    println!("history: {:?}", world.born.elapsed());
    for hour in 1..=24 * days() {
        false_alarms.extend(world.pass(Duration::from_secs(3_600)).await);
        println!("hour {hour}: {} alerts in all, {:?}", false_alarms.len(), begun.elapsed());
        for (rule, (n, time)) in &world.times {
            println!("   {rule} {n} {:?} each", *time / *n);
        }
    }
    println!("{false_alarms:#?}");
    assert!(false_alarms.len() <= 1, "at most one in seven days: {false_alarms:#?}");

    // An evening on which paying fails while visitors go on as ever.
    false_alarms.extend(world.pass(Duration::from_secs(20 * 3_600)).await);
    assert!(false_alarms.len() <= 1, "{false_alarms:#?}");
    world.shop.paying_fails = true;
    let begin = world.clock.now();
    world.pass(Duration::from_secs(120)).await;
    let alert = world.open_alert("alerts/checkout-stalled").expect("no alert within two minutes");
    println!("after {} s: {alert:?}", (alert.opened_at - begin) / 1_000_000);
    assert!(alert.opened_at - begin <= 2 * MINUTE && alert.message.starts_with("Checkout stalled: "), "{alert:?}");

    // It stays the one alert, whatever the process does.
    world.pass(Duration::from_secs(300)).await;
    world.restart().await;
    world.pass(Duration::from_secs(300)).await;
    assert_eq!(world.open_alert("alerts/checkout-stalled").as_deref(), Some(&*alert));
    let all = world.engine.alerts().log().all();
    assert_eq!(all.iter().filter(|alert| alert.rule == "alerts/checkout-stalled").count(), 1);
    println!("{:#?}", world.engine.alerts().log().open_ones());

    // Paying works again.
    world.shop.paying_fails = false;
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(world.open_alert("alerts/checkout-stalled"), None);
    world.pass(Duration::from_secs(3_600)).await;
    assert_eq!(world.engine.alerts().log().open_ones(), []);
}
