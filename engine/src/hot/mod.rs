//! Hot windows: the last hour's KPIs, kept up to date with every batch, so that they answer in microseconds.
//!
//! ```text
//! published rows ─▶ WindowDelta (delta) ─▶ memory ─▶ acknowledge
//!                                             └─ merged, ≥ 100 ms apart ─▶ Redis (replica), where nodes share windows
//! ```
//!
//! Windows are derived state: whatever happens to them, they are rebuilt from lake ∪ buffer. For every minute still
//! in the window a KPI equals the same metric in SQL. That rests on two rules:
//!
//! - **A minute is a function of its own rows.** No figure of a minute depends on rows of another one.
//! - **Applying is commutative.** Deltas add, keep the latest time, or keep the first position of an order; so rows
//!   count the same in whichever order they come, and the past can be filled in while new rows arrive.
//!
//! Minutes are minutes of event time (UTC). The window reaches from the minute `now − window` (exclusive) to a few
//! minutes ahead of now, as far as events may be early. Bots are left out of every figure but [`Counts::bots`].

mod boards;
mod delta;
mod funnel;
mod ids;
mod latency;
mod memory;
mod node;
mod recency;
mod redis;
mod replica;
mod sketch;

use std::fmt::Debug;

use async_trait::async_trait;

use crate::clock::{HOUR, Micros};
use crate::error::Result;
use crate::event::Seq;

pub use delta::{
    BOARDS, COLUMNS, Counts, Estimated, FUNNEL_STEPS, IdSeen, LatestOrder, MinuteDelta, OrderSeen, SessionSeen,
    UserSeen, WindowDelta,
};
pub use latency::Latency;
pub use memory::{BYTES_PER_SESSION, BYTES_PER_USER, MemoryWindows, WindowSizes};
pub use node::{Answering, Degraded, NodeWindows, Told};
pub use redis::{BYTES_PER_MINUTE, RedisConfig, RedisMeasures, RedisWindows};
pub use redis::{BYTES_PER_SESSION as REDIS_BYTES_PER_SESSION, BYTES_PER_USER as REDIS_BYTES_PER_USER};
pub use replica::{Replica, ReplicaState, ReplicaStatus};

/// Minutes since the Unix epoch.
pub type Minute = i64;

/// One minute in [`Micros`].
pub const MINUTE: Micros = HOUR / 60;
/// The longest window, in minutes: which minutes an id was seen in is one word of 128 bits.
pub const MAX_WINDOW: u32 = 120;
/// Minutes ahead of now that a window has room for.
pub const AHEAD: Minute = 6;

/// The minute a time lies in.
pub fn minute_of(time: Micros) -> Minute {
    time.div_euclid(MINUTE)
}

/// How large windows may become, and who shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotConfig {
    /// Minutes kept, 1 to [`MAX_WINDOW`]; one more than a question reaches back.
    pub window: u32,
    /// Users, and sessions, that are counted exactly; beyond it counts are estimates and say so.
    pub max_ids: usize,
    /// Names (pages, products, …) told apart on one board; the rest is counted together.
    pub max_names: usize,
    /// Where windows are shared with other nodes; without it they are this node's own.
    pub redis: Option<RedisConfig>,
}

impl Default for HotConfig {
    fn default() -> Self {
        Self { window: 61, max_ids: 1_000_000, max_names: 50_000, redis: None }
    }
}

impl HotConfig {
    /// The oldest minute of the window at `now`.
    pub fn floor(&self, now: Micros) -> Minute {
        minute_of(now) - Minute::from(self.window.clamp(1, MAX_WINDOW)) + 1
    }
}

/// Whose ids are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// `user_id`, else `anonymous_id`.
    Users,
    /// `session_id`.
    Sessions,
}

/// What is ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// Page views by page.
    Pages,
    /// Product views by product id.
    ProductViews,
    /// Units bought by product id.
    ProductsBought,
    /// Revenue by `utm_source` of the purchase, in 1/10,000.
    RevenueBySource,
    /// Revenue by `country` of the purchase, in 1/10,000.
    RevenueByCountry,
}

/// A number of distinct ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// Whether it is exact, or a HyperLogLog estimate (standard error 0.8 %).
    pub exact: bool,
}

/// An id that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// The user or session.
    pub id: String,
    /// Its latest event's time.
    pub last_seen: Micros,
}

/// One minute's figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteKpi {
    /// Which minute.
    pub minute: Minute,
    /// Events by what they are.
    pub counts: Counts,
    /// Distinct sessions.
    pub sessions: Count,
    /// Distinct users.
    pub users: Count,
    /// Distinct sessions with a purchase.
    pub converted: Count,
    /// Distinct orders; a purchase without an order id counts by itself.
    pub orders: u64,
    /// Σ order value of the purchases, in 1/10,000.
    pub revenue: i128,
    /// From arrival to being visible, of the events that arrived in this minute.
    pub latency: Latency,
}

impl MinuteKpi {
    /// A minute in which nothing happened.
    pub fn empty(minute: Minute) -> Self {
        let none = Count { count: 0, exact: true };
        Self {
            minute,
            counts: Counts::default(),
            sessions: none,
            users: none,
            converted: none,
            orders: 0,
            revenue: 0,
            latency: Latency::default(),
        }
    }
}

/// The best of a [`Board`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Top {
    /// Name and value, the largest first, names in order among equals.
    pub entries: Vec<(String, i128)>,
    /// Whether every name was told apart.
    pub exact: bool,
}

/// What became of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It counts now.
    Yes,
    /// It does not follow what was applied before, which ends here. Nothing was changed.
    No {
        /// The last position applied.
        at: Seq,
    },
}

/// Windows that deltas go into and answers come out of. Every backend passes the same suite (`contract`).
///
/// - A delta is applied wholly or not at all, and only where `delta.prev` is the last position applied: a delta that
///   is sent twice, or after some were lost, changes nothing and says where the windows stand.
/// - Minutes outside the window at `now` are ignored, and never come back.
/// - A last-seen time never moves back.
/// - Time comes in with each call; ranges of minutes are half-open.
#[async_trait]
pub trait HotWindow: Debug + Send + Sync {
    /// Adds a delta.
    async fn apply(&self, delta: &WindowDelta, now: Micros) -> Result<Applied>;

    /// Puts `share` in the place of everything this node has applied. Ids and orders that other nodes may have seen
    /// too are not taken back: they leave with their minutes.
    async fn replace(&self, share: &WindowDelta, now: Micros) -> Result<()>;

    /// The last position of this node that counts.
    async fn applied(&self) -> Result<Seq>;

    /// Distinct ids with an event later than `since`.
    async fn active(&self, ids: Ids, since: Micros) -> Result<Count>;

    /// The ids with an event later than `since`, the latest first, at most `limit`.
    async fn active_ids(&self, ids: Ids, since: Micros, limit: usize) -> Result<Vec<Active>>;

    /// The sessions in which `user` had an event later than `since`, the latest first.
    async fn sessions_of(&self, user: &str, since: Micros) -> Result<Vec<Active>>;

    /// Each minute of the range that is in the window, also those in which nothing happened, oldest first.
    async fn kpis(&self, from: Minute, to: Minute, now: Micros) -> Result<Vec<MinuteKpi>>;

    /// The best of a board over a range of minutes.
    async fn top(&self, board: Board, from: Minute, to: Minute, limit: usize) -> Result<Top>;

    /// Sessions that did the first 1, 2, 3, 4 of [`FUNNEL_STEPS`] in time order, all later than `since`.
    async fn funnel(&self, since: Micros) -> Result<[u64; FUNNEL_STEPS.len()]>;

    /// Events that arrived in each second from `from` to `to` (exclusive), in seconds since the epoch.
    async fn arrivals(&self, from: i64, to: i64) -> Result<Vec<u64>>;

    /// The latest purchases by event time, the latest first.
    async fn latest_orders(&self, limit: usize) -> Result<Vec<LatestOrder>>;
}
