//! A shop's visitors: a daily rhythm, noise, and a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::f64::consts::TAU;
use std::fmt::Write as _;

use tideline_engine::clock::{DAY, MILLISECOND, Micros};

/// Visits that begin in a minute, on average over a day.
const VISITS_A_MINUTE: f64 = 130.0;
const SECOND: Micros = 1_000_000;

/// Steps of a visit: the share of visitors that take it after the one before, and how long that takes them, at least
/// and on average more, in seconds.
const STEPS: [(&str, f64, f64, f64); 4] = [
    ("product_view", 0.6, 5.0, 25.0),
    ("add_to_cart", 0.5, 5.0, 30.0),
    ("checkout_start", 0.65, 10.0, 30.0),
    ("purchase", 0.75, 20.0, 60.0),
];

/// Visitors of a shop.
pub struct Shop {
    random: u64,
    now: Micros,
    visits: u64,
    /// How busy it is beyond the hour of the day: wanders slowly around 1.
    mood: f64,
    /// Events to come: when, which step, whose visit.
    coming: BinaryHeap<Reverse<(Micros, usize, u64)>>,
    /// While it is so, nobody gets to buy.
    pub paying_fails: bool,
}

impl Shop {
    pub fn new(seed: u64, now: Micros) -> Self {
        Self { random: seed, now, visits: 0, mood: 1.0, coming: BinaryHeap::new(), paying_fails: false }
    }

    /// SplitMix64, as a number from 0 up to 1.
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A time of which the mean is `mean` seconds, exponentially distributed.
    fn wait(&mut self, mean: f64) -> Micros {
        (-(1.0 - self.chance()).ln() * mean * SECOND as f64) as Micros
    }

    /// How busy the shop is: nights are quiet, evenings busy.
    fn busy(&self) -> f64 {
        let hour = self.now.rem_euclid(DAY) as f64 / DAY as f64;
        let rhythm = 1.0 + 0.7 * (TAU * (hour - 0.58)).cos() + 0.2 * (2.0 * TAU * (hour - 0.83)).cos();
        rhythm.max(0.05) * self.mood
    }

    /// The events up to `now`, as lines of JSON.
    pub fn until(&mut self, now: Micros) -> String {
        loop {
            let rate = VISITS_A_MINUTE * self.busy() / 60.0;
            let next = self.now + self.wait(1.0 / rate).max(MILLISECOND);
            if next > now {
                // Waiting has no memory: what is left of it can be drawn anew.
                self.now = now;
                break;
            }
            // Every visitor nudges the mood a little; it comes back to 1 by itself, within about an hour.
            self.mood += (1.0 - self.mood) * 0.000_2 + (self.chance() - 0.5) * 0.006;
            (self.now, self.visits) = (next, self.visits + 1);
            self.coming.push(Reverse((next, 0, self.visits)));
        }
        let mut out = String::new();
        while let Some(Reverse((at, step, visit))) = self.coming.peek().copied()
            && at <= now
        {
            self.coming.pop();
            let name = if step == 0 { "page_view" } else { STEPS[step - 1].0 };
            if name == "purchase" && self.paying_fails {
                continue;
            }
            let _ = write!(
                out,
                r#"{{"event_id":"{visit}-{step}","event_type":"{name}","event_ts":{},"session_id":"s{visit}","user_id":"u{visit}","page":"/p""#,
                at / MILLISECOND
            );
            if step > 0 {
                let _ = write!(
                    out,
                    r#","product_id":"p","price":"20.00","quantity":1,"currency":"EUR","cart_id":"c{visit}""#
                );
            }
            if name == "purchase" {
                let cents = 1_500 + (self.chance() * self.chance() * 20_000.0) as u64;
                let _ = write!(out, r#","order_id":"o{visit}","revenue":"{}.{:02}""#, cents / 100, cents % 100);
            }
            out.push_str("}\n");
            if let Some((_, share, least, mean)) = STEPS.get(step)
                && self.chance() < *share
            {
                let wait = (least * SECOND as f64) as Micros + self.wait(*mean);
                self.coming.push(Reverse((at + wait, step + 1, visit)));
            }
        }
        out
    }
}
