//! The windows in this process's memory: the default backend, and what every other one is filled from.
//!
//! Memory is bounded by [`HotConfig`]: about [`BYTES_PER_USER`] bytes for a user with one session and
//! [`BYTES_PER_SESSION`] for a session, up to `max_ids` of each; about 24 bytes for each name and minute on a board;
//! about 100 for an order; and up to 16 MB for each of the six histograms of last-seen times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use hashbrown::HashMap;
use parking_lot::{RwLock, RwLockWriteGuard};

use crate::clock::Micros;
use crate::error::Result;
use crate::event::Seq;

use super::boards::Ranking;
use super::delta::{
    BOARDS, Counts, FUNNEL_STEPS, IdSeen, LATEST_ORDERS, LatestOrder, MinuteDelta, OrderSeen, SessionSeen, UserSeen,
    WindowDelta, keep_first,
};
use super::funnel::{NEVER, Path};
use super::ids::{Entry, IdTable, MinuteSet, SHARDS};
use super::latency::Latency;
use super::recency::Recency;
use super::{AHEAD, Active, Applied, Board, Count, HotConfig, HotWindow, Ids, MINUTE, Minute, MinuteKpi, Top};

/// About what a user with one session takes, in bytes.
pub const BYTES_PER_USER: usize = 250;
/// About what a session takes, in bytes.
pub const BYTES_PER_SESSION: usize = 330;
/// Seconds for which arrivals are kept.
const ARRIVAL_SECONDS: i64 = 120;
/// Entries written before readers get their turn.
const TURN: usize = 512;

/// A user's latest event in each session, by session. Nearly always one.
type UserSessions = Vec<(Arc<str>, Micros)>;

#[derive(Debug, Default)]
struct Session {
    /// The minutes with a purchase.
    converted: MinuteSet,
    /// Made at the first step of the funnel.
    path: Option<Box<Path>>,
}

/// A minute's figures, but for distinct ids.
#[derive(Debug, Default)]
struct MinuteState {
    counts: Counts,
    own_orders: u64,
    /// What adds, and the first amount of each order.
    revenue: i128,
    /// Sessions with a purchase.
    converted: u64,
    /// Shared with a copy that is being made; written to it is copied.
    orders: Arc<HashMap<String, Option<OrderSeen>>>,
}

#[derive(Debug)]
struct State {
    applied: Seq,
    /// How often everything was forgotten.
    clears: u64,
    floor: Minute,
    users: IdTable<UserSessions>,
    sessions: IdTable<Session>,
    /// For each step of the funnel, when the sessions that reached it started.
    funnel: [Recency; FUNNEL_STEPS.len()],
    minutes: BTreeMap<Minute, MinuteState>,
    latency: BTreeMap<Minute, Latency>,
    arrivals: BTreeMap<i64, u64>,
    latest_orders: BTreeSet<LatestOrder>,
}

/// What windows hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSizes {
    /// Users told apart.
    pub users: usize,
    /// Sessions told apart.
    pub sessions: usize,
    /// Minutes with an event.
    pub minutes: usize,
}

/// Windows in memory.
#[derive(Debug)]
pub struct MemoryWindows {
    config: HotConfig,
    state: RwLock<State>,
    boards: RwLock<Boards>,
}

#[derive(Debug)]
struct Boards {
    floor: Minute,
    rankings: [Ranking; BOARDS.len()],
}

impl MemoryWindows {
    /// Empty windows; the first delta follows `applied`.
    pub fn new(config: HotConfig, applied: Seq) -> Self {
        let (state, boards) = (State::new(&config, applied), Boards::new(&config));
        Self { config, state: RwLock::new(state), boards: RwLock::new(boards) }
    }

    /// Forgets everything but the last position applied, which it returns.
    pub fn clear(&self) -> Seq {
        let (mut state, mut boards) = (self.state.write(), self.boards.write());
        let clears = state.clears + 1;
        *state = State { clears, ..State::new(&self.config, state.applied) };
        *boards = Boards::new(&self.config);
        state.applied
    }

    /// The limits.
    pub fn config(&self) -> &HotConfig {
        &self.config
    }

    /// Adds rows whatever their place: the past is filled in so, while new rows arrive.
    pub fn fill(&self, delta: &WindowDelta, now: Micros) {
        let mut state = self.state.write();
        self.add(&mut state, delta, now);
    }

    /// Adds a delta where it follows what was applied.
    pub fn apply_now(&self, delta: &WindowDelta, now: Micros) -> Applied {
        let mut state = self.state.write();
        if delta.prev != state.applied {
            return Applied::No { at: state.applied };
        }
        self.add(&mut state, delta, now);
        state.applied = delta.last;
        Applied::Yes
    }

    fn add(&self, state: &mut RwLockWriteGuard<'_, State>, delta: &WindowDelta, now: Micros) {
        let floor = self.config.floor(now);
        // Ids first, letting others in between: adding one again changes nothing. Whoever makes a share meanwhile finds the
        // position from before, and is sent all of this again; so nothing of what adds up may be there yet.
        loop {
            let clears = state.clears;
            state.advance(floor, now);
            for turn in chunks(delta.sessions.iter()) {
                turn.into_iter().for_each(|(id, seen)| state.add_session(id, seen));
                RwLockWriteGuard::bump(state);
            }
            for turn in chunks(delta.users.iter()) {
                turn.into_iter().for_each(|(id, seen)| state.add_user(id, seen));
                RwLockWriteGuard::bump(state);
            }
            if state.clears == clears {
                break;
            }
        }
        state.users.adopt(&delta.estimated[Ids::Users as usize]);
        state.sessions.adopt(&delta.estimated[Ids::Sessions as usize]);
        // An order's first amount may replace another one on the boards, which is known only here.
        let mut moved = Vec::new();
        for (minute, theirs) in delta.minutes.range(floor..) {
            state.add_minute(*minute, theirs, &mut moved);
        }
        {
            let mut boards = self.boards.write();
            boards.add(delta, moved, floor);
        }
        for (second, events) in &delta.arrivals {
            *state.arrivals.entry(*second).or_default() += events;
        }
        for (minute, latency) in delta.latency.range(floor..) {
            state.latency.entry(*minute).or_default().merge(latency);
        }
        state.latest_orders.extend(delta.latest_orders.iter().cloned());
        while state.latest_orders.len() > LATEST_ORDERS {
            state.latest_orders.pop_first();
        }
    }

    /// Everything that counts here, as one delta, for a copy elsewhere. What adds up is of one moment, the delta's
    /// `last`; ids may be newer by what arrived while they were copied, which changes nothing when it comes again.
    pub fn share(&self) -> WindowDelta {
        let mut share = self.share_of_counters();
        {
            // Before the ids: one that comes meanwhile is sent again.
            let state = self.state.read();
            share.estimated = [state.users.estimated(), state.sessions.estimated()];
        }
        for shard in 0..SHARDS {
            let state = self.state.read();
            let live = state.floor;
            let seen =
                |last, minutes: MinuteSet| IdSeen { last, minutes: minutes.iter().filter(|m| *m >= live).collect() };
            for entry in state.sessions.shard(shard).filter(|e| e.last >= live * MINUTE) {
                let Entry { id, last, minutes, value } = entry;
                let converted = value.converted.iter().filter(|m| *m >= live).collect();
                let steps = value.path.iter().flat_map(|p| p.steps()).filter(|(t, _)| *t >= live * MINUTE).collect();
                let session = SessionSeen { seen: seen(*last, *minutes), converted, steps };
                share.sessions.insert((**id).into(), session);
            }
            for entry in state.users.shard(shard).filter(|e| e.last >= live * MINUTE) {
                let sessions = entry.value.iter().map(|(id, last)| ((**id).into(), *last)).collect();
                let user = UserSeen { seen: seen(entry.last, entry.minutes), sessions };
                share.users.insert((*entry.id).into(), user);
            }
        }
        share
    }

    fn share_of_counters(&self) -> WindowDelta {
        let state = self.state.read();
        let boards = self.boards.read();
        let mut share = WindowDelta::default().between(Seq::ZERO, state.applied);
        for (minute, mine) in state.minutes.range(state.floor..) {
            let of_orders: i128 = mine.orders.values().flatten().map(|o| o.amount).sum();
            let minute_share = MinuteDelta {
                counts: mine.counts,
                own_orders: mine.own_orders,
                amounts: mine.revenue - of_orders,
                orders: HashMap::clone(&mine.orders),
            };
            share.minutes.insert(*minute, minute_share);
        }
        for (to, ranking) in share.boards.iter_mut().zip(&boards.rankings) {
            *to = ranking.all();
        }
        // Amounts that count once come with their orders again.
        for (minute, mine) in state.minutes.range(state.floor..) {
            for order in mine.orders.values().flatten() {
                for (board, name) in places(order) {
                    let values = share.boards[board as usize].get_mut(name);
                    if let Some(value) = values.and_then(|v| v.get_mut(minute)) {
                        *value -= order.amount;
                    }
                }
            }
        }
        share.arrivals = state.arrivals.clone();
        share.latency = state.latency.clone();
        share.latest_orders = state.latest_orders.iter().rev().cloned().collect();
        share
    }

    /// How many users, sessions and minutes they hold.
    pub fn sizes(&self) -> WindowSizes {
        let state = self.state.read();
        WindowSizes { users: state.users.len(), sessions: state.sessions.len(), minutes: state.minutes.len() }
    }

    /// About how many bytes the windows take.
    pub fn bytes(&self) -> usize {
        let of_state = self.state_bytes();
        // One at a time: names are many, and whoever adds to them must not wait for all.
        let of_boards = (0..BOARDS.len()).map(|at| self.boards.read().rankings[at].bytes());
        of_state + of_boards.sum::<usize>()
    }

    fn state_bytes(&self) -> usize {
        let state = self.state.read();
        let orders: usize = state.minutes.values().map(|m| m.orders.capacity() * 100).sum();
        let per_session = 48 + 4 * size_of::<Micros>();
        state.users.bytes()
            + state.users.len() * size_of::<(Arc<str>, Micros)>()
            + state.sessions.bytes()
            + state.sessions.len() * per_session
            + state.funnel.iter().map(Recency::bytes).sum::<usize>()
            + orders
    }

    fn live(&self, from: Minute, to: Minute, now: Micros) -> std::ops::Range<Minute> {
        let from = from.max(self.config.floor(now));
        from..to.min(super::minute_of(now) + AHEAD).max(from)
    }
}

/// Where an order's own amount counts.
fn places(order: &OrderSeen) -> [(Board, &str); 2] {
    [(Board::RevenueBySource, &*order.source), (Board::RevenueByCountry, &*order.country)]
}

fn chunks<T>(mut items: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let turn: Vec<T> = items.by_ref().take(TURN).collect();
        (!turn.is_empty()).then_some(turn)
    })
}

impl Boards {
    fn new(config: &HotConfig) -> Self {
        Self { floor: 0, rankings: [(); BOARDS.len()].map(|()| Ranking::new(config.max_names)) }
    }

    fn add(&mut self, delta: &WindowDelta, moved: Vec<Moved>, floor: Minute) {
        if floor > self.floor {
            self.floor = floor;
            self.rankings.iter_mut().for_each(|r| r.forget_before(floor));
        }
        for (ranking, names) in self.rankings.iter_mut().zip(&delta.boards) {
            for (name, values) in names {
                values.range(floor..).for_each(|(minute, value)| ranking.add(name, *minute, *value));
            }
        }
        for Moved { board, name, minute, value } in moved {
            self.rankings[board as usize].add(&name, minute, value);
        }
    }
}

/// A change of a board that follows from an order's first amount.
struct Moved {
    board: Board,
    name: String,
    minute: Minute,
    value: i128,
}

impl State {
    fn new(config: &HotConfig, applied: Seq) -> Self {
        Self {
            applied,
            clears: 0,
            floor: 0,
            users: IdTable::new(config.max_ids),
            sessions: IdTable::new(config.max_ids),
            funnel: Default::default(),
            minutes: BTreeMap::new(),
            latency: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            latest_orders: BTreeSet::new(),
        }
    }

    fn advance(&mut self, floor: Minute, now: Micros) {
        self.users.advance(floor);
        self.sessions.advance(floor);
        if floor > self.floor {
            self.floor = floor;
            self.funnel.iter_mut().for_each(|r| r.advance(floor * MINUTE));
            self.minutes = self.minutes.split_off(&floor);
            self.latency = self.latency.split_off(&floor);
        }
        let oldest = now.div_euclid(1_000_000) - ARRIVAL_SECONDS;
        while self.arrivals.first_key_value().is_some_and(|(second, _)| *second < oldest) {
            self.arrivals.pop_first();
        }
    }

    fn add_minute(&mut self, minute: Minute, theirs: &MinuteDelta, moved: &mut Vec<Moved>) {
        let mine = self.minutes.entry(minute).or_default();
        mine.counts.add(&theirs.counts);
        mine.own_orders += theirs.own_orders;
        mine.revenue += theirs.amounts;
        if theirs.orders.is_empty() {
            return;
        }
        let orders = Arc::make_mut(&mut mine.orders);
        for (order, seen) in &theirs.orders {
            let known = orders.entry_ref(&**order).or_default();
            let before = known.clone();
            keep_first(known, seen.clone());
            if *known == before {
                continue;
            }
            for (sign, order) in [(-1, &before), (1, &*known)] {
                let Some(order) = order else { continue };
                mine.revenue += sign * order.amount;
                moved.extend(places(order).map(|(board, name)| {
                    let value = sign * order.amount;
                    Moved { board, name: name.into(), minute, value }
                }));
            }
        }
    }

    fn add_session(&mut self, id: &str, theirs: &SessionSeen) {
        let floor = self.floor;
        let Some(entry) = self.sessions.see(id, &theirs.seen) else { return };
        for minute in theirs.converted.iter().filter(|m| **m >= floor) {
            if entry.value.converted.insert(*minute, floor) {
                self.minutes.entry(*minute).or_default().converted += 1;
            }
        }
        let live = theirs.steps.iter().filter(|(time, _)| *time >= floor * MINUTE);
        for (time, step) in live {
            let path = entry.value.path.get_or_insert_default();
            let before = path.starts();
            path.add(*time, *step);
            for ((before, after), recency) in before.iter().zip(path.starts()).zip(&mut self.funnel) {
                if *before == after {
                    continue;
                }
                if *before != NEVER {
                    recency.remove(*before);
                }
                recency.add(after);
            }
        }
    }

    fn add_user(&mut self, id: &str, theirs: &UserSeen) {
        let floor = self.floor * MINUTE;
        let Some(entry) = self.users.see(id, &theirs.seen) else { return };
        let sessions = &mut entry.value;
        for (session, time) in theirs.sessions.iter().filter(|(_, time)| **time >= floor) {
            match sessions.binary_search_by(|(known, _)| (**known).cmp(session)) {
                Ok(at) => sessions[at].1 = sessions[at].1.max(*time),
                Err(at) => {
                    // One allocation for both tables where the session is known.
                    let id = self.sessions.get(session).map_or_else(|| Arc::from(&**session), |s| Arc::clone(&s.id));
                    if sessions.len() == sessions.capacity() {
                        sessions.retain(|(_, last)| *last >= floor);
                        sessions.reserve_exact(1 + sessions.len() / 2);
                    }
                    let at = at.min(sessions.partition_point(|(known, _)| **known < **session));
                    sessions.insert(at, (id, *time));
                }
            }
        }
    }
}

#[async_trait]
impl HotWindow for MemoryWindows {
    async fn apply(&self, delta: &WindowDelta, now: Micros) -> Result<Applied> {
        Ok(self.apply_now(delta, now))
    }

    async fn replace(&self, share: &WindowDelta, now: Micros) -> Result<()> {
        let fresh = Self::new(self.config.clone(), Seq::ZERO);
        fresh.fill(share, now);
        let (mut state, mut boards) = (self.state.write(), self.boards.write());
        *state = fresh.state.into_inner();
        state.applied = share.last;
        *boards = fresh.boards.into_inner();
        Ok(())
    }

    async fn applied(&self) -> Result<Seq> {
        Ok(self.state.read().applied)
    }

    async fn active(&self, ids: Ids, since: Micros) -> Result<Count> {
        let state = self.state.read();
        Ok(match ids {
            Ids::Users => state.users.active(since),
            Ids::Sessions => state.sessions.active(since),
        })
    }

    async fn active_ids(&self, ids: Ids, since: Micros, limit: usize) -> Result<Vec<Active>> {
        let state = self.state.read();
        Ok(match ids {
            Ids::Users => state.users.latest(since, limit),
            Ids::Sessions => state.sessions.latest(since, limit),
        })
    }

    async fn sessions_of(&self, user: &str, since: Micros) -> Result<Vec<Active>> {
        let state = self.state.read();
        let sessions = state.users.get(user).map(|u| u.value.as_slice()).unwrap_or_default();
        let active = sessions.iter().filter(|(_, last)| *last > since);
        let mut active: Vec<Active> =
            active.map(|(id, last)| Active { id: id.to_string(), last_seen: *last }).collect();
        active.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.id.cmp(&b.id)));
        Ok(active)
    }

    async fn kpis(&self, from: Minute, to: Minute, now: Micros) -> Result<Vec<MinuteKpi>> {
        let state = self.state.read();
        let kpi = |minute: Minute| {
            let mut kpi = MinuteKpi::empty(minute);
            kpi.sessions = state.sessions.in_minute(minute);
            kpi.users = state.users.in_minute(minute);
            kpi.latency = state.latency.get(&minute).cloned().unwrap_or_default();
            if let Some(mine) = state.minutes.get(&minute) {
                kpi.counts = mine.counts;
                kpi.orders = mine.own_orders + mine.orders.len() as u64;
                kpi.revenue = mine.revenue;
                // A session that could not be told apart is not known to have converted.
                kpi.converted = Count { count: mine.converted, exact: kpi.sessions.exact };
            }
            kpi
        };
        Ok(self.live(from, to, now).map(kpi).collect())
    }

    async fn top(&self, board: Board, from: Minute, to: Minute, limit: usize) -> Result<Top> {
        Ok(self.boards.read().rankings[board as usize].top(from, to, limit))
    }

    async fn funnel(&self, since: Micros) -> Result<[u64; FUNNEL_STEPS.len()]> {
        let state = self.state.read();
        Ok(std::array::from_fn(|step| state.funnel[step].later_than(since)))
    }

    async fn arrivals(&self, from: i64, to: i64) -> Result<Vec<u64>> {
        let state = self.state.read();
        Ok((from..to).map(|second| state.arrivals.get(&second).copied().unwrap_or(0)).collect())
    }

    async fn latest_orders(&self, limit: usize) -> Result<Vec<LatestOrder>> {
        Ok(self.state.read().latest_orders.iter().rev().take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::minute_of;
    use super::*;

    /// One event a minute-delta, of more sessions than are added without letting others in.
    fn delta(seq: u64, now: Micros) -> WindowDelta {
        let mut delta = WindowDelta::default().between(Seq(seq), Seq(seq + 1));
        let minute = minute_of(now);
        delta.minutes.entry(minute).or_default().counts.events = 1;
        for session in 0..4 * TURN {
            let seen = IdSeen { last: now, minutes: vec![minute] };
            let session = format!("s{session}");
            delta.sessions.insert(session, SessionSeen { seen, converted: Vec::new(), steps: Vec::new() });
        }
        delta
    }

    #[test]
    fn what_adds_up_in_a_share_is_what_its_position_says() {
        let now = 1_772_323_200_000_000;
        let windows = MemoryWindows::new(HotConfig::default(), Seq::ZERO);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for seq in 0..400 {
                    assert_eq!(windows.apply_now(&delta(seq, now), now), Applied::Yes);
                }
                done.store(true, Ordering::SeqCst);
            });
            while !done.load(Ordering::SeqCst) {
                let share = windows.share_of_counters();
                assert_eq!(share.minutes.values().map(|minute| minute.counts.events).sum::<u64>(), share.last.0);
            }
        });
    }
}
