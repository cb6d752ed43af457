//! A delta as script calls: first the ids it saw, in pieces that Redis works off quickly, then, in one call, what
//! adds up.

use std::collections::BTreeMap;
use std::iter;

use ::redis::ToRedisArgs;

use super::keys;
use super::{AHEAD, BOARDS, HotConfig, MINUTE, Minute};
use crate::clock::{MILLISECOND, Micros};
use crate::error::{Error, Result};
use crate::event::Seq;
use crate::hot::Ids;
use crate::hot::delta::{Counts, Estimated, IdSeen, MinuteDelta, OrderSeen, SessionSeen, UserSeen, WindowDelta};
use crate::hot::sketch::{Sketch, hash_of};

/// Ids in one call: a few milliseconds of Redis's time, for which everybody else waits.
const IDS_PER_CALL: usize = 100;
/// Counters in one call, while a share is filled in.
const COUNTERS_PER_CALL: usize = 1_000;
/// A user's sessions in one entry.
const SESSIONS_PER_ENTRY: usize = 500;
/// Amounts are kept in two parts, the lower one below this: neither comes near the end of 64 bits.
pub(super) const HIGH: i128 = 1_000_000_000_000;
/// The largest amount that one delta may add anywhere.
const LARGEST: i128 = HIGH * 100_000_000_000_000;

/// Where calls go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal<'a> {
    /// On top of what is applied.
    Follow { prev: Seq, last: Seq },
    /// Into a generation nobody reads yet.
    Fill { generation: &'a str },
}

/// Which script a call runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    /// `seen.lua`
    Seen,
    /// `add.lua`
    Add,
}

/// One script call: the script, and its arguments after the prefix and the node.
pub(super) struct Call {
    pub run: Run,
    pub args: Vec<Vec<u8>>,
}

impl Call {
    fn new(run: Run) -> Self {
        Self { run, args: Vec::new() }
    }

    fn arg(&mut self, value: impl ToRedisArgs) -> &mut Self {
        value.write_redis_args(&mut self.args);
        self
    }
}

/// Some ids of a delta.
#[derive(Default)]
pub(super) struct Seen<'a> {
    pub users: Vec<(&'a str, &'a UserSeen)>,
    pub sessions: Vec<(&'a str, &'a SessionSeen)>,
}

/// Makes calls out of deltas.
pub(super) struct Writer<'a> {
    pub config: &'a HotConfig,
    pub floor: Minute,
    pub goal: Goal<'a>,
}

/// Seconds after which what is written expires: later than anybody asks for it.
pub(super) fn ttl(config: &HotConfig) -> Minute {
    (Minute::from(config.window) + AHEAD + 10) * 60
}

pub(super) fn millis(time: Micros) -> i64 {
    time.div_euclid(MILLISECOND)
}

/// One piece of what adds up, and about what it costs.
struct Item {
    args: Vec<Vec<u8>>,
    cost: usize,
}

impl Item {
    fn new(kind: &str) -> Self {
        let mut item = Self { args: Vec::new(), cost: 1 };
        item.push(kind);
        item
    }

    fn push(&mut self, value: impl ToRedisArgs) {
        value.write_redis_args(&mut self.args);
    }

    fn amount(&mut self, value: i128) -> Result<()> {
        if value.abs() > LARGEST {
            let message = format!("an amount of {} is too large for shared windows", value / 10_000);
            return Err(Error::internal(message));
        }
        self.push(value % HIGH);
        self.push(value / HIGH);
        Ok(())
    }
}

impl Writer<'_> {
    fn prev(&self) -> String {
        match self.goal {
            Goal::Follow { prev, .. } => prev.to_string(),
            Goal::Fill { .. } => String::new(),
        }
    }

    /// The ids of a delta, in calls of a few.
    pub fn seen(&self, delta: &WindowDelta) -> Vec<Call> {
        let users = delta.users.iter().map(|(id, user)| (&**id, user)).collect();
        let sessions = delta.sessions.iter().map(|(id, session)| (&**id, session)).collect();
        self.seen_of(&Seen { users, sessions })
    }

    /// The same for some of its ids.
    pub fn seen_of(&self, ids: &Seen<'_>) -> Vec<Call> {
        let users = ids.users.iter().flat_map(|(id, user)| self.user(id, user)).map(|item| (0, item));
        let sessions = ids.sessions.iter().filter_map(|(id, session)| self.session(id, session));
        let mut items = users.chain(sessions.map(|item| (1, item)));
        iter::from_fn(|| self.seeing(items.by_ref().take(IDS_PER_CALL))).collect()
    }

    fn seeing(&self, items: impl Iterator<Item = (usize, Item)>) -> Option<Call> {
        let mut counts = [0, 0];
        let mut args = Vec::new();
        for (kind, item) in items {
            counts[kind] += 1;
            args.extend(item.args);
        }
        if args.is_empty() {
            return None;
        }
        let mut call = Call::new(Run::Seen);
        call.arg(self.prev()).arg(self.floor).arg(ttl(self.config)).arg(self.config.max_ids);
        call.arg(counts[0]).arg(counts[1]);
        call.args.extend(args);
        Some(call)
    }

    pub fn live<'m>(&self, minutes: &'m [Minute]) -> &'m [Minute] {
        &minutes[minutes.partition_point(|m| *m < self.floor)..]
    }

    fn user(&self, id: &str, user: &UserSeen) -> Vec<Item> {
        let minutes = self.live(&user.seen.minutes);
        if minutes.is_empty() {
            return Vec::new();
        }
        let floor = self.floor * MINUTE;
        let sessions: Vec<_> = user.sessions.iter().filter(|(_, last)| **last >= floor).collect();
        let item = |sessions: &[(&String, &Micros)]| {
            let mut item = Item::new("u");
            item.push(id);
            item.push(millis(user.seen.last));
            item.push(minutes.len());
            minutes.iter().for_each(|m| item.push(*m));
            item.push(2 * sessions.len());
            for (session, last) in sessions {
                item.push(millis(**last));
                item.push(session.as_str());
            }
            item
        };
        match sessions.len() {
            0 => vec![item(&[])],
            _ => sessions.chunks(SESSIONS_PER_ENTRY).map(item).collect(),
        }
    }

    fn session(&self, id: &str, session: &SessionSeen) -> Option<Item> {
        let minutes = self.live(&session.seen.minutes);
        if minutes.is_empty() {
            return None;
        }
        let mut item = Item::new("s");
        item.push(id);
        item.push(millis(session.seen.last));
        for minutes in [minutes, self.live(&session.converted)] {
            item.push(minutes.len());
            minutes.iter().for_each(|m| item.push(*m));
        }
        let live = session.steps.iter().filter(|(time, _)| *time >= self.floor * MINUTE);
        let steps: Vec<i64> = live.map(|(time, step)| millis(*time) * 4 + *step as i64).collect();
        item.push(steps.len());
        steps.into_iter().for_each(|s| item.push(s));
        Some(item)
    }

    /// What adds up: one call on top of what is applied, or as many as are comfortable while filling in.
    pub fn add(&self, delta: &WindowDelta) -> Result<Vec<Call>> {
        let items = self.items(delta)?;
        let most = match self.goal {
            Goal::Follow { .. } => usize::MAX,
            Goal::Fill { .. } => COUNTERS_PER_CALL,
        };
        let mut calls = Vec::new();
        let (mut args, mut cost) = (Vec::new(), 0);
        for item in items {
            cost += item.cost;
            args.extend(item.args);
            if cost >= most {
                calls.push(self.adding(std::mem::take(&mut args)));
                cost = 0;
            }
        }
        if !args.is_empty() || calls.is_empty() {
            calls.push(self.adding(args));
        }
        Ok(calls)
    }

    fn adding(&self, args: Vec<Vec<u8>>) -> Call {
        let (last, generation) = match self.goal {
            Goal::Follow { last, .. } => (last.to_string(), ""),
            Goal::Fill { generation } => (String::new(), generation),
        };
        let mut call = Call::new(Run::Add);
        call.arg(self.prev()).arg(last).arg(generation);
        call.arg(self.floor).arg(ttl(self.config)).arg(self.config.max_names);
        call.args.extend(args);
        call
    }

    fn items(&self, delta: &WindowDelta) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for (minute, theirs) in delta.minutes.range(self.floor..) {
            items.push(minute_item(*minute, theirs)?);
            for (order, seen) in &theirs.orders {
                items.push(order_item(*minute, order, seen.as_ref())?);
            }
        }
        for (minute, latency) in delta.latency.range(self.floor..) {
            let (buckets, sum_us) = latency.parts();
            let fields = buckets.map(|(bucket, events)| (format!("L{bucket}"), i128::from(events)));
            let sum = ("ls".to_owned(), i128::try_from(sum_us).unwrap_or(i128::MAX).min(HIGH * 10_000));
            items.push(hash_item(&keys::counters(*minute), fields.chain([sum])));
        }
        for (second, events) in &delta.arrivals {
            let field = (second.to_string(), i128::from(*events));
            items.push(hash_item(&keys::arrivals(second.div_euclid(60)), [field]));
        }
        self.board_items(delta, &mut items)?;
        for order in &delta.latest_orders {
            let mut item = Item::new("l");
            item.push(millis(order.event_ts));
            item.push(serde_json::to_string(order).map_err(|e| Error::internal(e.to_string()))?);
            items.push(item);
        }
        for (ids, estimated) in [Ids::Users, Ids::Sessions].into_iter().zip(&delta.estimated) {
            self.estimated_items(ids, estimated, delta, &mut items);
        }
        Ok(items)
    }

    fn estimated_items(&self, ids: Ids, estimated: &Estimated, delta: &WindowDelta, items: &mut Vec<Item>) {
        let made;
        let sketches = match (estimated.refused.filter(|refused| *refused >= self.floor), self.goal) {
            (Some(refused), _) => {
                let mut item = Item::new("r");
                item.push(if ids == Ids::Users { "users" } else { "sessions" });
                item.push(refused);
                items.push(item);
                &estimated.sketches
            }
            // A whole share brings its estimates along: made here, each id costs Redis that much less.
            (None, Goal::Fill { .. }) => {
                made = match ids {
                    Ids::Users => sketches(delta.users.iter().map(|(id, user)| (&**id, &user.seen))),
                    Ids::Sessions => sketches(delta.sessions.iter().map(|(id, session)| (&**id, &session.seen))),
                };
                &made
            }
            (None, Goal::Follow { .. }) => return,
        };
        for (minute, sketch) in sketches.range(self.floor..) {
            let mut item = Item::new("k");
            // Some 12 KiB.
            item.cost = COUNTERS_PER_CALL / 10;
            item.push(keys::sketch(ids, *minute));
            item.args.push(sketch.to_redis());
            items.push(item);
        }
    }

    fn board_items(&self, delta: &WindowDelta, items: &mut Vec<Item>) -> Result<()> {
        for (board, names) in BOARDS.iter().zip(&delta.boards) {
            let mut by_minute = BTreeMap::<Minute, Vec<(&str, i128)>>::new();
            for (name, values) in names {
                let live = values.range(self.floor..).filter(|(_, value)| **value != 0);
                live.for_each(|(minute, value)| by_minute.entry(*minute).or_default().push((name, *value)));
            }
            for (minute, names) in by_minute {
                for names in names.chunks(COUNTERS_PER_CALL) {
                    let mut item = Item::new("b");
                    item.cost = names.len();
                    item.push(*board as usize);
                    item.push(minute);
                    item.push(names.len());
                    for (name, value) in names {
                        item.push(*name);
                        item.amount(*value)?;
                    }
                    items.push(item);
                }
            }
        }
        Ok(())
    }
}

/// Estimates of these ids, by minute.
fn sketches<'a>(ids: impl Iterator<Item = (&'a str, &'a IdSeen)>) -> BTreeMap<Minute, Sketch> {
    let mut sketches = BTreeMap::<Minute, Sketch>::new();
    for (id, seen) in ids {
        let hash = hash_of(id.as_bytes());
        seen.minutes.iter().for_each(|minute| sketches.entry(*minute).or_default().add(hash));
    }
    sketches
}

fn hash_item(key: &str, fields: impl IntoIterator<Item = (String, i128)>) -> Item {
    let fields: Vec<_> = fields.into_iter().filter(|(_, value)| *value != 0).collect();
    let mut item = Item::new("h");
    item.cost = fields.len();
    item.push(key);
    item.push(fields.len());
    for (field, value) in fields {
        item.push(field);
        item.push(value);
    }
    item
}

fn minute_item(minute: Minute, theirs: &MinuteDelta) -> Result<Item> {
    if theirs.amounts.abs() > LARGEST {
        return Err(Error::internal(format!(
            "an amount of {} is too large for shared windows",
            theirs.amounts / 10_000
        )));
    }
    let mut counts = theirs.counts;
    let own = [("oo", theirs.own_orders.into()), ("rl", theirs.amounts % HIGH), ("rh", theirs.amounts / HIGH)];
    let counts = counted(&mut counts).map(|(field, count)| (field, i128::from(*count)));
    let fields = counts.into_iter().chain(own).map(|(field, value)| (field.to_owned(), value));
    Ok(hash_item(&keys::counters(minute), fields))
}

fn order_item(minute: Minute, order: &str, seen: Option<&OrderSeen>) -> Result<Item> {
    let mut item = Item::new("o");
    item.push(minute);
    item.push(order);
    match seen {
        Some(OrderSeen { seq, amount, source, country }) => {
            item.push(seq.0);
            item.amount(*amount)?;
            item.push(source.as_str());
            item.push(country.as_str());
        }
        None => (0..5).for_each(|_| item.push("")),
    }
    Ok(item)
}

/// The counts of a minute, by field.
pub(super) fn counted(counts: &mut Counts) -> [(&'static str, &mut u64); 9] {
    [
        ("ev", &mut counts.events),
        ("bo", &mut counts.bots),
        ("pv", &mut counts.page_views),
        ("pr", &mut counts.product_views),
        ("ac", &mut counts.add_to_carts),
        ("rc", &mut counts.remove_from_carts),
        ("vc", &mut counts.view_carts),
        ("co", &mut counts.checkouts),
        ("pu", &mut counts.purchases),
    ]
}
