//! Made-up shop traffic, deterministic: the demo, the load tests and the benchmarks feed the server with it.
//!
//! Visitors arrive through the day as a shop's visitors do, look at products by Zipf's law, and a few of them buy;
//! their visits interleave, and the events come out in the order of time as lines of JSON in the nested spelling.
//! The same configuration gives the same bytes on every machine.
//!
//! ```
//! use tideline_server::traffic::{Generator, GeneratorConfig};
//!
//! let mut lines = Vec::new();
//! let mut generator = Generator::new(GeneratorConfig { events: 1_000, ..GeneratorConfig::default() });
//! while generator.next_line(&mut lines).is_some() {}
//! assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 1_000);
//! ```

mod catalogue;
mod line;
mod rng;
mod visit;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tideline_engine::clock::{MILLISECOND, Micros};

use catalogue::Catalogue;
use line::TimeText;
use rng::{Alias, Exponent, Rng, Waits};
use visit::{MAX_LINES, Step, Visit};

/// 2024-01-01T00:00:00Z, a Monday: where made-up history starts unless told otherwise.
pub const DEFAULT_START: Micros = 1_704_067_200_000_000;

const MINUTE_MS: i64 = 60_000;
const MINUTES_PER_DAY: i64 = 1_440;
/// Visits are under way when the stream starts: the shop does not open its doors at that moment.
const WARM_UP_MINUTES: i64 = 30;
/// Out of 1,000 orders, those that are sent back.
const REFUNDS_PERMILLE: u32 = 40;

/// How busy each hour (UTC) is, against an average of 100.
const RHYTHM: [u32; 24] =
    [48, 30, 20, 15, 15, 22, 42, 68, 90, 104, 112, 118, 126, 124, 118, 116, 118, 126, 142, 162, 176, 170, 132, 80];

/// What to generate.
#[derive(Debug, Clone)]
pub struct GeneratorConfig {
    /// Everything random derives from it.
    pub seed: u64,
    /// Time of the first event (the next one after it), microseconds UTC.
    pub start: Micros,
    /// The time the events spread over.
    pub span: Duration,
    /// How many different users there are.
    pub users: u32,
    /// How many different products there are.
    pub products: u32,
    /// How many events to make, exactly.
    pub events: u64,
    /// Whether nights are quiet and evenings busy; without, the rate is even.
    pub daily_rhythm: bool,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self {
            seed: 42,
            start: DEFAULT_START,
            span: Duration::from_secs(30 * 86_400),
            users: 500_000,
            products: 10_000,
            events: 2_000_000,
            daily_rhythm: true,
        }
    }
}

/// Makes the events, one line at a time.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
    shop: Catalogue,
    users: Alias,
    products: Alias,
    waits: Waits,
    times: TimeText,
    visits: Visits,
    daily_rhythm: bool,
    start_ms: i64,
    /// The first minute whose arrivals are not in `visits` yet.
    minute: i64,
    events_per_minute: f64,
    /// Events the minutes so far have room for, minus the events of the visits that started in them.
    open: f64,
    remaining: u64,
}

impl Generator {
    /// Starts the stream that belongs to `config`.
    pub fn new(config: GeneratorConfig) -> Self {
        let start_ms = config.start.div_euclid(MILLISECOND);
        let minute = start_ms.div_euclid(MINUTE_MS);
        let minutes = (config.span.as_secs_f64() / 60.0).max(1.0);
        // A span that is not whole days sees more or less than the average of the rhythm.
        let level = match config.daily_rhythm {
            true => {
                (minute..minute + (minutes as i64).clamp(1, 7 * MINUTES_PER_DAY)).map(busy).sum::<f64>()
                    / (minutes as i64).clamp(1, 7 * MINUTES_PER_DAY) as f64
            }
            false => 1.0,
        };
        let mut generator = Self {
            rng: Rng::new(config.seed),
            shop: Catalogue::new(config.products),
            users: Alias::zipf(config.users, Exponent::ThreeQuarters),
            products: Alias::zipf(config.products, Exponent::One),
            waits: Waits::new(),
            times: TimeText::new(),
            visits: Visits::default(),
            daily_rhythm: config.daily_rhythm,
            start_ms,
            minute: minute - WARM_UP_MINUTES,
            events_per_minute: config.events.max(1) as f64 / minutes / level,
            open: 0.0,
            remaining: config.events,
        };
        generator.warm_up();
        generator
    }

    /// An endless, even stream of about `rate` events a second from `now` on. Feed it with [`Generator::due`].
    pub fn live(seed: u64, rate: u32, now: Micros) -> Self {
        let span = Duration::from_secs(3_600);
        let mut generator = Self::new(GeneratorConfig {
            seed,
            start: now,
            span,
            events: u64::from(rate.max(1)) * span.as_secs(),
            daily_rhythm: false,
            ..GeneratorConfig::default()
        });
        generator.remaining = u64::MAX;
        generator
    }

    /// Time of the next event; `None` at the end.
    pub fn peek(&mut self) -> Option<Micros> {
        (self.remaining > 0).then(|| self.next_ms() * MILLISECOND)
    }

    /// Appends the next event as a line of JSON and returns its time; `None`, and nothing appended, at the end.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> Option<Micros> {
        let at_ms = self.peek()? / MILLISECOND;
        self.remaining -= 1;
        self.take(out);
        Some(at_ms * MILLISECOND)
    }

    /// Appends the events up to and including `now`, at most `max` of them, and returns how many.
    pub fn due(&mut self, now: Micros, max: usize, out: &mut Vec<u8>) -> usize {
        let mut made = 0;
        while made < max && self.peek().is_some_and(|at| at <= now) && self.next_line(out).is_some() {
            made += 1;
        }
        made
    }

    /// Runs through what happened before the stream starts.
    fn warm_up(&mut self) {
        let mut unseen = Vec::new();
        while self.next_ms() < self.start_ms {
            unseen.clear();
            self.take(&mut unseen);
        }
    }

    /// Time of the next step of any visit, letting visitors arrive until that is certain.
    fn next_ms(&mut self) -> i64 {
        loop {
            match self.visits.next_ms() {
                Some(at_ms) if at_ms < self.minute * MINUTE_MS => return at_ms,
                _ => self.admit_minute(),
            }
        }
    }

    /// Lets the visitors of the next minute arrive.
    fn admit_minute(&mut self) {
        let share = if self.daily_rhythm { busy(self.minute) } else { 1.0 };
        self.open += self.events_per_minute * share;
        while self.open > 0.0 {
            let visit = Visit::new(&mut self.rng, &self.shop, &self.users);
            self.open -= visit.events() as f64;
            let at_ms = self.minute * MINUTE_MS + i64::from(self.rng.below(MINUTE_MS as u32));
            self.visits.add(at_ms, visit);
        }
        self.minute += 1;
    }

    /// Takes the earliest step, appends its event, and schedules what follows from it.
    fn take(&mut self, out: &mut Vec<u8>) {
        let Some((at_ms, slot)) = self.visits.pop() else { return };
        let Some(visit) = self.visits.get_mut(slot) else { return };
        let Some(step) = visit.next() else { return };
        prepare(visit, step, &mut self.rng, &self.products);
        line::write(out, &mut self.times, &mut self.rng, &self.shop, visit, at_ms);
        if step == Step::Remove {
            visit.lines = visit.lines.saturating_sub(1);
        }
        visit.advance();
        let next = visit.next().map(Step::mean_wait_ms);
        let refund = (step == Step::Purchase && self.rng.chance(REFUNDS_PERMILLE)).then(|| visit.refund());
        match next {
            Some(mean) => {
                let wait = 800 + self.waits.draw(&mut self.rng, mean);
                self.visits.schedule(at_ms + wait as i64, slot);
            }
            None => self.visits.remove(slot),
        }
        if let Some(refund) = refund {
            let wait = 3_600_000 + self.waits.draw(&mut self.rng, Step::Refund.mean_wait_ms());
            self.open -= 1.0;
            self.visits.add(at_ms + wait as i64, refund);
        }
    }
}

/// Settles what a step is about before its event is written.
fn prepare(visit: &mut Visit, step: Step, rng: &mut Rng, products: &Alias) {
    match step {
        Step::Category | Step::Search => visit.topic = rng.below(64),
        Step::Landing | Step::Product => visit.product = products.draw(rng),
        Step::Add => {
            let units = if rng.chance(150) { 2 + rng.below(2) as u8 } else { 1 };
            // A full cart changes its last line.
            visit.lines = (visit.lines + 1).min(MAX_LINES);
            visit.cart[visit.lines - 1] = (visit.product, units);
        }
        Step::Checkout => visit.known = true,
        _ => {}
    }
}

/// How busy a minute since the epoch is, against an average of 1: the hours of [`RHYTHM`], joined by straight lines.
fn busy(minute: i64) -> f64 {
    let minute = minute.rem_euclid(MINUTES_PER_DAY);
    let (hour, part) = ((minute / 60) as usize, (minute % 60) as f64 / 60.0);
    let (from, to) = (f64::from(RHYTHM[hour]), f64::from(RHYTHM[(hour + 1) % 24]));
    let average = f64::from(RHYTHM.iter().sum::<u32>()) / 24.0;
    (from + (to - from) * part) / average
}

/// The visits under way, by the time of their next step.
#[derive(Debug, Default)]
struct Visits {
    slots: Vec<Visit>,
    free: Vec<u32>,
    /// Time and slot, earliest first; the slot makes the order of ties certain.
    queue: BinaryHeap<Reverse<(i64, u32)>>,
}

impl Visits {
    fn add(&mut self, at_ms: i64, visit: Visit) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.slots.len() as u32,
        };
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = visit,
            None => self.slots.push(visit),
        }
        self.schedule(at_ms, slot);
    }

    fn schedule(&mut self, at_ms: i64, slot: u32) {
        self.queue.push(Reverse((at_ms, slot)));
    }

    fn next_ms(&self) -> Option<i64> {
        self.queue.peek().map(|Reverse((at_ms, _))| *at_ms)
    }

    fn pop(&mut self) -> Option<(i64, u32)> {
        self.queue.pop().map(|Reverse(next)| next)
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut Visit> {
        self.slots.get_mut(slot as usize)
    }

    fn remove(&mut self, slot: u32) {
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests;
