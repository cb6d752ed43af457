//! Alerts over a simulated shop: quiet hours stay quiet, and what goes wrong is noticed. Time is the clock's alone.

pub mod scenes;
mod shop;

use std::sync::Arc;
use std::time::Duration;

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
/// A midnight.
const BEGIN: Micros = 20_513 * DAY;

/// An engine, its clock, and the traffic it gets.
struct World {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    fs: Arc<SimFs>,
    shop: Shop,
    flushed: Micros,
}

impl World {
    /// With visitors from this moment on.
    async fn at(begin: Micros, seed: u64) -> Self {
        let (clock, fs) = (Arc::new(ManualClock::new(begin)), Arc::new(SimFs::new()));
        let engine = Self::open(&fs, &clock).await;
        Self { engine, flushed: begin, clock, fs, shop: Shop::new(seed, begin) }
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

    /// Time passes and nobody judges.
    async fn unjudged(&mut self, until: Micros) {
        // In large steps, and as it comes towards the end: what comes late is noticed too.
        let usual = until - 10 * MINUTE;
        while self.clock.now() < usual {
            self.clock.set((self.clock.now() + HOUR / 4).min(usual));
            self.traffic().await;
        }
        while self.clock.now() < until {
            self.clock.advance(STEP);
            self.traffic().await;
        }
    }

    /// Time passes; the alerts that opened.
    async fn pass(&mut self, length: Duration) -> Vec<Arc<Alert>> {
        let known = self.engine.alerts().log().all().len();
        let end = self.clock.now() + Micros::try_from(length.as_micros()).unwrap();
        while self.clock.now() < end {
            self.clock.advance(STEP);
            self.traffic().await;
            self.engine.judge_alerts().await;
            for status in self.engine.alerts().status() {
                assert_eq!(status.error, None, "{status:?}");
            }
        }
        self.engine.alerts().log().all().split_off(known)
    }

    /// Closes the engine and opens it anew.
    async fn restarted(self) -> Self {
        let Self { engine, clock, fs, shop, flushed } = self;
        engine.close().await.unwrap();
        // It holds the folder's lock.
        drop(engine);
        Self { engine: Self::open(&fs, &clock).await, clock, fs, shop, flushed }
    }

    fn open_alert(&self, rule: &str) -> Option<Arc<Alert>> {
        self.engine.alerts().log().open_ones().into_iter().find(|alert| alert.rule == rule)
    }
}

#[tokio::test]
async fn a_stalled_checkout_is_noticed_within_two_minutes_and_one_alert_until_it_works_again() {
    let evening = BEGIN + 19 * HOUR;
    // All the rules read of the day before is some hours around this time.
    let mut world = World::at(evening - DAY - 4 * HOUR, 7).await;
    world.unjudged(evening - DAY + 3 * HOUR).await;
    world.shop = Shop::new(8, evening - 2 * HOUR);
    world.clock.set(evening - 2 * HOUR);
    world.unjudged(evening).await;
    assert_eq!(world.pass(Duration::from_secs(600)).await, [], "ten minutes as any other");

    world.shop.paying_fails = true;
    let begin = world.clock.now();
    world.pass(Duration::from_secs(120)).await;
    let alert = world.open_alert("alerts/checkout-stalled").expect("no alert within two minutes");
    println!("after {} s: {alert:?}", (alert.opened_at - begin) / 1_000_000);
    assert!(alert.opened_at - begin <= 2 * MINUTE && alert.message.starts_with("Checkout stalled: "), "{alert:?}");

    // It stays the one alert, whatever the process does.
    world.pass(Duration::from_secs(120)).await;
    let mut world = world.restarted().await;
    world.pass(Duration::from_secs(120)).await;
    assert_eq!(world.open_alert("alerts/checkout-stalled").as_deref(), Some(&*alert));
    let all = world.engine.alerts().log().all();
    assert_eq!(all.iter().filter(|alert| alert.rule == "alerts/checkout-stalled").count(), 1);

    world.shop.paying_fails = false;
    world.pass(Duration::from_secs(1_200)).await;
    let open = world.engine.alerts().log().open_ones();
    assert_eq!(open, [], "all is well again");
}

#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
fn asked_days() -> Option<u64> {
    std::env::var("TIDELINE_ALERT_DAYS").ok()?.parse().ok()
}

/// A quarter of an hour of the night in CI; whole days, at most one false alarm in all, where `TIDELINE_ALERT_DAYS` asks
/// for them. A judgement costs far more without optimisation than what it computes.
#[tokio::test]
async fn quiet_time_stays_quiet() {
    let days = asked_days();
    let quarters = days.map_or(1, |days| days * 96);
    let mut world = World::at(BEGIN - DAY - 3 * HOUR, 9).await;
    world.unjudged(if days.is_some() { BEGIN } else { BEGIN - DAY + 2 * HOUR }).await;
    if days.is_none() {
        world.shop = Shop::new(10, BEGIN - 3 * HOUR);
        world.clock.set(BEGIN - 3 * HOUR);
        world.unjudged(BEGIN).await;
    }
    let mut alarms = Vec::new();
    for quarter in 1..=quarters {
        alarms.extend(world.pass(Duration::from_secs(900)).await);
        println!("quarter {quarter} of {quarters}: {} alerts in all", alarms.len());
    }
    assert!(alarms.len() <= usize::from(days.is_some()), "{alarms:#?}");
}
