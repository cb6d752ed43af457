//! A shop's traffic as it really arrives: the plain stream and, beside it, programs that crawl, events that come late
//! or twice, stock levels, incidents and malformed events. Everything derives from the seed and the start.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use tideline_engine::clock::Micros;

use super::generator::{Generator, GeneratorConfig, Taken};
use super::habits::{Habits, Incident};
use super::junk;
use super::ledger::Ledger;
use super::rng::{Rng, Waits, mix};
use super::visit::Step;

/// What every id of simulated events begins with, so that SQL can tell them: `event_id LIKE 'demo-%'`.
pub const MARK: &str = "demo-";

/// Events before the first, so that visits are under way: a moment's work at any rate.
const WARM_UP_EVENTS: f64 = 100_000.0;

/// The least time and the mean of what comes on top from an order to its refund, where runs are over in minutes.
const QUICK_REFUNDS_MS: (u64, u32) = (20_000, 150_000);

/// Lines held back at the same time to be sent later; beyond that, events are neither late nor sent twice.
const MAX_HELD: usize = 50_000;
/// The least time and the mean of what comes on top by which an event is late.
const LATE: (i64, u32) = (20_000, 120_000);
/// The same for a second copy: a client that had no answer.
const AGAIN: (i64, u32) = (500, 4_000);

/// Products whose stock is reported, the most popular ones.
const STOCKED: u32 = 40;
/// Time between the reports of two products, until all of them had one.
const STOCK_PACE: Micros = 2_000_000;
/// Time between two reports of one product.
const STOCK_EVERY: Micros = 2 * 3_600_000_000;
/// Units of a product that arrive when it is sold out.
const RESTOCK: u32 = 150;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The stream beneath: seed, start, span, events, users, products, rhythm.
    pub stream: GeneratorConfig,
    /// Whether it has no last event; the rate then is that of the stream.
    pub endless: bool,
    /// What every id begins with; may be empty.
    pub mark: String,
    /// Out of 1,000 visits, those of programs, besides the few that are in the stream anyway.
    pub bots_permille: u32,
    /// Out of 1,000 events, those that arrive late.
    pub late_permille: u32,
    /// Out of 1,000 events, those that are sent twice.
    pub twice_permille: u32,
    /// Whether refunds follow within minutes instead of days, for runs that are over in minutes.
    pub quick_refunds: bool,
    /// What happens when.
    pub incidents: Vec<Incident>,
}

impl Scenario {
    /// About that many events over a span with quiet nights and busy weekends.
    pub fn history(seed: u64, start: Micros, span: Duration, events: u64) -> Self {
        let stream = GeneratorConfig { seed, start, span, events, users: 20_000, products: 1_000, daily_rhythm: true };
        Self {
            stream,
            endless: false,
            mark: MARK.to_owned(),
            bots_permille: 20,
            late_permille: 15,
            twice_permille: 8,
            quick_refunds: false,
            incidents: Vec::new(),
        }
    }

    /// The same without a last event: whoever asks for the past stops at the present, and goes on from there.
    pub fn past(seed: u64, start: Micros, span: Duration, events: u64) -> Self {
        Self { endless: true, ..Self::history(seed, start, span, events) }
    }

    /// An endless, even stream of about that many events a second.
    pub fn live(seed: u64, start: Micros, rate: f64) -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        let mut scenario = Self::history(seed, start, HOUR, (rate * HOUR.as_secs_f64()).max(1.0) as u64);
        scenario.stream.daily_rhythm = false;
        scenario.stream.users = (rate * 500.0).clamp(20_000.0, 500_000.0) as u32;
        (scenario.endless, scenario.quick_refunds) = (true, true);
        scenario
    }
}

/// Makes the events of a [`Scenario`] in the order in which they are sent.
#[derive(Debug)]
pub struct Simulator {
    generator: Generator,
    rng: Rng,
    waits: Waits,
    late_permille: u32,
    twice_permille: u32,
    mark: String,
    held: BinaryHeap<Reverse<Held>>,
    made: u64,
    stock: Stock,
    ledger: Ledger,
}

/// A line that is sent later.
#[derive(Debug)]
struct Held {
    at: Micros,
    /// Makes the order of ties certain.
    number: u64,
    line: Vec<u8>,
    /// The event, when this is its first copy.
    late: Option<Taken>,
}

impl Simulator {
    /// Starts the scenario.
    pub fn new(scenario: Scenario) -> Self {
        let Scenario { stream, mark, .. } = scenario;
        let salt = mix(stream.seed ^ mix(stream.start.unsigned_abs()));
        let refund_after_ms =
            if scenario.quick_refunds { (20_000, 150_000) } else { Habits::default().refund_after_ms };
        let habits = Habits {
            prefix: mark.clone(),
            salt,
            bots_permille: scenario.bots_permille,
            refund_after_ms,
            weekly: true,
            incidents: scenario.incidents,
            warm_up_events: WARM_UP_EVENTS,
        };
        let (seed, start) = (stream.seed, stream.start);
        let mut generator = Generator::with(stream, habits);
        if scenario.endless {
            generator.endless();
        }
        Self {
            generator,
            rng: Rng::new(seed ^ 0x7369_6D75_6C61),
            waits: Waits::new(),
            late_permille: scenario.late_permille,
            twice_permille: scenario.twice_permille,
            mark,
            held: BinaryHeap::new(),
            made: 0,
            stock: Stock::new(start),
            ledger: Ledger::default(),
        }
    }

    /// What was handed out so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// From now on visitors arrive evenly, about as many as make that many events a second, without end.
    pub fn pace(&mut self, events_per_second: f64) {
        self.generator.endless();
        self.generator.pace(events_per_second);
    }

    /// From now on refunds follow within minutes.
    pub fn quick_refunds(&mut self) {
        self.generator.refund_after(QUICK_REFUNDS_MS);
    }

    /// When the next event is sent; `None` at the end.
    pub fn peek(&mut self) -> Option<Micros> {
        let stream = self.generator.peek();
        let stock = stream.map(|_| self.stock.next_at());
        [stream, stock, self.held.peek().map(|Reverse(held)| held.at)].into_iter().flatten().min()
    }

    /// Appends what is sent up to and including `now`, at most `max` events, and returns how many.
    pub fn due(&mut self, now: Micros, max: usize, out: &mut Vec<u8>) -> usize {
        let mut made = 0;
        while made < max && self.next_line(None, now, out) {
            made += 1;
        }
        made
    }

    /// Appends the next event; it happens at `at`, whatever the simulated time is. For streams at a given rate: time in
    /// the shop then passes as fast as events are asked for.
    pub fn next_at(&mut self, at: Micros, out: &mut Vec<u8>) -> bool {
        self.next_line(Some(at), Micros::MAX, out)
    }

    /// Appends what is still held back and returns how many events that were: for the end of a stream that has none.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> usize {
        let mut count = 0;
        while let Some(Reverse(held)) = self.held.pop() {
            self.release(held, out);
            count += 1;
        }
        count
    }

    /// Appends a malformed event with a time around `at`; what is wrong with it.
    pub fn malformed(&mut self, at: Micros, out: &mut Vec<u8>) -> &'static str {
        self.ledger.malformed += 1;
        junk::write(&mut self.rng, &self.mark, at, out)
    }

    fn next_line(&mut self, stamp: Option<Micros>, until: Micros, out: &mut Vec<u8>) -> bool {
        loop {
            let stream = self.generator.peek();
            // Without a stamp, what is due is what comes before the next event of the stream.
            let now = stamp.or(stream).unwrap_or(Micros::MAX);
            let held_at = self.held.peek().map(|Reverse(held)| held.at).filter(|at| *at <= now.min(until));
            let stock_at = stream.map(|_| self.stock.next_at()).filter(|at| *at <= now.min(until));
            match (held_at, stock_at) {
                (Some(held_at), stock_at) if stock_at.is_none_or(|at| held_at <= at) => {
                    if let Some(Reverse(held)) = self.held.pop() {
                        self.release(held, out);
                    }
                    return true;
                }
                (_, Some(stock_at)) => {
                    let (product, level) = self.stock.report(stock_at.max(stamp.unwrap_or(stock_at)));
                    self.generator.write_stock(product, level, stamp.unwrap_or(stock_at), out);
                    self.ledger.count_stock();
                    return true;
                }
                _ => {}
            }
            if stream.is_none() || (stamp.is_none() && now > until) {
                return false;
            }
            let from = out.len();
            let Some(taken) = self.generator.next_taken(stamp, out) else { return false };
            if taken.step == Step::Purchase {
                self.stock.sell(taken.lines());
            }
            if self.hold(self.late_permille) {
                let line = out.split_off(from);
                self.put_aside(now, LATE, line, Some(taken));
                continue;
            }
            self.ledger.count(&taken);
            if self.hold(self.twice_permille) {
                self.put_aside(now, AGAIN, out[from..].to_vec(), None);
            }
            return true;
        }
    }

    fn hold(&mut self, permille: u32) -> bool {
        permille > 0 && self.held.len() < MAX_HELD && self.rng.chance(permille)
    }

    fn put_aside(&mut self, now: Micros, (least_ms, mean_ms): (i64, u32), line: Vec<u8>, late: Option<Taken>) {
        let wait_ms = least_ms + self.waits.draw(&mut self.rng, mean_ms) as i64;
        self.made += 1;
        self.held.push(Reverse(Held { at: now + wait_ms * 1_000, number: self.made, line, late }));
    }

    fn release(&mut self, held: Held, out: &mut Vec<u8>) {
        out.extend_from_slice(&held.line);
        match held.late {
            Some(taken) => {
                self.ledger.count(&taken);
                self.ledger.late += 1;
            }
            None => self.ledger.duplicates += 1,
        }
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The warehouse: how many units of the popular products there are, and when that is reported next.
#[derive(Debug)]
struct Stock {
    levels: Vec<u32>,
    /// When which product is reported, earliest first.
    reports: BinaryHeap<Reverse<(Micros, u32)>>,
}

impl Stock {
    fn new(start: Micros) -> Self {
        Self {
            levels: (0..STOCKED).map(|product| 30 + (mix(u64::from(product)) % 170) as u32).collect(),
            reports: (0..STOCKED).map(|p| Reverse((start + i64::from(p) * STOCK_PACE, p))).collect(),
        }
    }

    fn next_at(&self) -> Micros {
        self.reports.peek().map_or(Micros::MAX, |Reverse((at, _))| *at)
    }

    /// The report that is due, sold-out shelves filled; the next one of that product follows.
    fn report(&mut self, now: Micros) -> (u32, u32) {
        let Some(Reverse((_, product))) = self.reports.pop() else { return (0, 0) };
        self.reports.push(Reverse((now + STOCK_EVERY, product)));
        let Some(level) = self.levels.get_mut(product as usize) else { return (product, 0) };
        if *level < 5 {
            *level += RESTOCK;
        }
        (product, *level)
    }

    fn sell(&mut self, lines: &[(u32, u8)]) {
        for (product, units) in lines {
            if let Some(level) = self.levels.get_mut(*product as usize) {
                *level = level.saturating_sub(u32::from(*units));
            }
        }
    }
}
