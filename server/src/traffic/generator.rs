//! The stream of a made-up shop's events: who arrives when, and which visit takes its next step next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tideline_engine::clock::{MILLISECOND, Micros};

use super::catalogue::Catalogue;
use super::habits::{Habits, weekday};
use super::line::{self, Order, Spelling, TimeText};
use super::rng::{Alias, Exponent, Rng, Waits};
use super::visit::{MAX_LINES, Step, Visit};

/// 2024-01-01T00:00:00Z, a Monday: where made-up history starts unless told otherwise.
pub const DEFAULT_START: Micros = 1_704_067_200_000_000;

const MINUTE_MS: i64 = 60_000;
const MINUTES_PER_DAY: i64 = 1_440;
/// Visits are under way when the stream starts: the shop does not open its doors at that moment.
const WARM_UP_MINUTES: i64 = 30;
/// Out of 1,000 orders, those that are sent back.
const REFUNDS_PERMILLE: u32 = 40;

/// How long a crawler waits between two pages, on average.
const BOTS_WAIT_MS: u32 = 1_500;

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
    habits: Habits,
    spelling: Spelling,
    /// Randomness of what `habits` adds, so that the plain stream is the same without.
    aside: Rng,
    warm: bool,
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
        Self::with(config, Habits::default())
    }

    /// The same for a shop with habits of its own.
    pub(super) fn with(config: GeneratorConfig, habits: Habits) -> Self {
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
        let events_per_minute = config.events.max(1) as f64 / minutes / level;
        let warm_up = (habits.warm_up_events / events_per_minute).min(WARM_UP_MINUTES as f64) as i64;
        let mut generator = Self {
            rng: Rng::new(config.seed),
            shop: Catalogue::new(config.products),
            users: Alias::zipf(config.users, Exponent::ThreeQuarters),
            products: Alias::zipf(config.products, Exponent::One),
            waits: Waits::new(),
            times: TimeText::new(),
            visits: Visits::default(),
            spelling: Spelling { prefix: habits.prefix.clone(), salt: habits.salt, slow_pages: 1 },
            aside: Rng::new(config.seed ^ 0x6173_6964_6521),
            habits,
            warm: false,
            daily_rhythm: config.daily_rhythm,
            start_ms,
            minute: minute - warm_up,
            events_per_minute,
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
        generator.endless();
        generator
    }

    /// From now on there is no last event.
    pub(super) fn endless(&mut self) {
        self.remaining = u64::MAX;
    }

    /// From now on visitors arrive evenly, about as many as make that many events a second.
    pub(super) fn pace(&mut self, events_per_second: f64) {
        self.daily_rhythm = false;
        self.events_per_minute = events_per_second * 60.0;
    }

    /// From now on refunds follow after at least so many milliseconds, and so many more on average.
    pub(super) fn refund_after(&mut self, least_and_mean_ms: (u64, u32)) {
        self.habits.refund_after_ms = least_and_mean_ms;
    }

    /// Time of the next event; `None` at the end.
    pub fn peek(&mut self) -> Option<Micros> {
        (self.remaining > 0).then(|| self.next_ms() * MILLISECOND)
    }

    /// Appends the next event as a line of JSON and returns its time; `None`, and nothing appended, at the end.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> Option<Micros> {
        let at = self.peek()?;
        self.next_taken(None, out)?;
        Some(at)
    }

    /// The same; the event's time is `stamp` where there is one, and what is known of it is returned.
    pub(super) fn next_taken(&mut self, stamp: Option<Micros>, out: &mut Vec<u8>) -> Option<Taken> {
        self.peek()?;
        self.remaining -= 1;
        self.take(stamp.map(|at| at.div_euclid(MILLISECOND)), out)
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
            self.take(None, &mut unseen);
        }
        self.warm = true;
    }

    /// Time of the next step of any visit, letting visitors arrive until that is certain.
    fn next_ms(&mut self) -> i64 {
        loop {
            match self.visits.next_ms() {
                Some(at_ms) if at_ms < self.minute * MINUTE_MS => match self.given_up(at_ms) {
                    true => continue,
                    false => return at_ms,
                },
                _ => self.admit_minute(),
            }
        }
    }

    /// Ends the visit whose step is next when the shop does not let it go on; whether it did.
    fn given_up(&mut self, at_ms: i64) -> bool {
        let Some(slot) = self.visits.next_slot() else { return false };
        let stalled =
            self.habits.stalls(at_ms) && self.visits.get_mut(slot).is_some_and(|v| v.next() == Some(Step::Purchase));
        if stalled {
            self.visits.pop();
            self.visits.remove(slot);
        }
        stalled
    }

    /// Lets the visitors of the next minute arrive.
    fn admit_minute(&mut self) {
        let mut share = if self.daily_rhythm { busy(self.minute) } else { 1.0 };
        if self.habits.weekly && self.daily_rhythm {
            share *= weekday(self.minute);
        }
        let surge = self.habits.surge(self.minute * MINUTE_MS);
        self.open += self.events_per_minute * share * surge.map_or(1.0, |(times, _)| f64::from(times));
        while self.open > 0.0 {
            let mut visit = Visit::new(&mut self.rng, &self.shop, &self.users);
            if let Some((times, source)) = surge {
                // Those who come on top come from the campaign.
                if !self.aside.chance(1_000 / times.max(1)) {
                    visit.source = source;
                }
            }
            if self.habits.bots_permille > 0 && self.aside.chance(self.habits.bots_permille) {
                visit.crawl(&mut self.aside);
            }
            self.open -= visit.events() as f64;
            let at_ms = self.minute * MINUTE_MS + i64::from(self.rng.below(MINUTE_MS as u32));
            self.visits.add(at_ms, visit);
        }
        self.minute += 1;
    }

    /// Takes the earliest step, appends its event, and schedules what follows from it.
    fn take(&mut self, stamp_ms: Option<i64>, out: &mut Vec<u8>) -> Option<Taken> {
        let (at_ms, slot) = self.visits.pop()?;
        let visit = self.visits.get_mut(slot)?;
        let step = visit.next()?;
        prepare(visit, step, &mut self.rng, &self.products);
        let stamp_ms = stamp_ms.unwrap_or(at_ms);
        self.spelling.slow_pages = self.habits.slow_pages(stamp_ms);
        line::write(out, &mut self.times, &mut self.rng, &self.shop, &self.spelling, visit, stamp_ms);
        let taken = Taken {
            step,
            bot: visit.is_bot(),
            first: self.warm && visit.appears(step),
            reached: self.warm.then(|| visit.reach(step)).flatten(),
            cents: Order::of(visit, &self.shop.products).revenue(),
            lines: visit.cart,
            line_count: visit.lines,
        };
        if step == Step::Remove {
            visit.lines = visit.lines.saturating_sub(1);
        }
        let (pause, crawls) = (visit.pause(), visit.crawls);
        visit.advance();
        let next = visit.next().map(|step| if crawls { BOTS_WAIT_MS } else { step.mean_wait_ms() });
        let refund = (step == Step::Purchase && self.rng.chance(REFUNDS_PERMILLE)).then(|| visit.refund());
        match next {
            Some(mean) => {
                let wait = pause + self.waits.draw(&mut self.rng, mean);
                self.visits.schedule(at_ms + wait as i64, slot);
            }
            None => self.visits.remove(slot),
        }
        if let Some(refund) = refund {
            let (least, mean) = self.habits.refund_after_ms;
            let wait = least + self.waits.draw(&mut self.rng, mean);
            self.open -= 1.0;
            self.visits.add(at_ms + wait as i64, refund);
        }
        Some(taken)
    }

    /// The JSON of a stock level of the product of that popularity rank.
    pub(super) fn write_stock(&mut self, product: u32, level: u32, at: Micros, out: &mut Vec<u8>) {
        let at_ms = at.div_euclid(MILLISECOND);
        line::write_stock(out, &mut self.times, &mut self.aside, &self.shop, &self.spelling, (product, level), at_ms);
    }
}

/// What is known of an event that was made.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// What happened.
    pub step: Step,
    /// Whether a program did it.
    pub bot: bool,
    /// Whether it is the first event of its session.
    pub first: bool,
    /// Which step of the funnel its session reached with it, in order and for the first time: 0 to 3.
    pub reached: Option<usize>,
    /// Value of the cart, discounts taken off.
    pub cents: u64,
    lines: [(u32, u8); MAX_LINES],
    line_count: usize,
}

impl Taken {
    /// Products and units in the cart.
    pub fn lines(&self) -> &[(u32, u8)] {
        self.lines.get(..self.line_count).unwrap_or(&[])
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
pub(super) fn busy(minute: i64) -> f64 {
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

    fn next_slot(&self) -> Option<u32> {
        self.queue.peek().map(|Reverse((_, slot))| *slot)
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
