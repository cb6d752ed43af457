//! The windows in Redis, which several nodes share. `replica` feeds them with what has been published here.
//!
//! What adds up belongs to a node and a generation, so that a node's share can be put in place of another one with
//! a single write. Ids, orders and funnels are facts: they go into sets that all nodes share, where adding one again
//! changes nothing, and they are taken back by time alone. `keys` lists what is kept.
//!
//! One script call makes a delta count, where `prev` is what was applied last (`add.lua`). The ids of the delta go
//! ahead of it in small pieces (`seen.lua`), so that nobody waits long for Redis; if the connection breaks between
//! them, ids count that much earlier than their events. Scripts are refused by a Redis that is out of memory before
//! they begin, and check what they were given before they write.
//!
//! An id takes 20 to 50 µs of Redis's time (measured on a busy machine of 2 cores: a user with a session 22, a session
//! 18, with a whole funnel 49), so a share of a million users and a million sessions is there in about a minute, and
//! one Redis follows some 20,000 ids a second.
//!
//! Memory in Redis 7 (measured by a test, ids of 20 bytes): about [`BYTES_PER_USER`] for a user with one session in one
//! minute and [`BYTES_PER_SESSION`] for a session that went through the whole funnel, and about [`BYTES_PER_MINUTE`]
//! for each further minute in which an id is seen; 12 KiB for each minute and kind of id. Redis must not evict keys
//! (`maxmemory-policy noeviction`).

mod fill;
mod keys;
mod link;
mod read;
mod ranks;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, Script};
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    AHEAD, Active, Applied, BOARDS, Board, Count, FUNNEL_STEPS, HotConfig, HotWindow, Ids, LatestOrder, MINUTE, Minute,
    MinuteKpi, Top, WindowDelta,
};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::{NodeId, Seq};

use keys::{Keys, Share};
use link::Link;
pub use link::RedisMeasures;
use ranks::Ranks;
use write::{Call, Goal, Run, Seen, Writer, ttl};

/// About what a user with one session takes in Redis, in bytes.
pub const BYTES_PER_USER: usize = 320;
/// About what a session takes in Redis, in bytes.
pub const BYTES_PER_SESSION: usize = 930;
/// About what each further minute of an id takes in Redis, in bytes.
pub const BYTES_PER_MINUTE: usize = 80;
/// Calls on their way at once while a share is filled in.
const FILLING: usize = 4;
/// Calls on their way at once while following: one is made ready while the other runs. More would hold up answers.
const FOLLOWING: usize = 2;
/// Keys deleted in one call.
const DELETE: usize = 200;
/// The generation of a node whose share is still being put there, for the first time or again.
const ANNOUNCED: &str = "announced";

/// How to reach a Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`
    pub url: String,
    /// The hash tag of every key: nodes with the same one share their windows.
    pub tag: String,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// For how long a ranking is given out again before it is read anew.
    pub ranking_age: Duration,
}

impl RedisConfig {
    /// The defaults, at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tag: "tl".to_owned(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
            ranking_age: Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for RedisConfig {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("tag", &self.tag)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

/// Windows in Redis, as one node sees and feeds them.
#[derive(Debug)]
pub struct RedisWindows {
    config: HotConfig,
    node: String,
    address: String,
    keys: Keys,
    /// Apart from each other, so that no answer waits behind a large delta.
    writes: Link,
    reads: Link,
    seen: Script,
    add: Script,
    swap: Script,
    shares: parking_lot::Mutex<Vec<Share>>,
    /// What Redis is known to have applied of this node: an answer without it is not given.
    reached: AtomicU64,
    /// Whether another node has announced its share and not brought it yet, when that was last seen.
    lacking: AtomicBool,
    ranks: Ranks,
    measures: Arc<RedisMeasures>,
}

impl RedisWindows {
    /// The windows at `redis`, of which `node` feeds its share. Connects when it is first used.
    ///
    /// # Errors
    /// `Invalid` when the address cannot be read.
    pub fn new(config: HotConfig, redis: &RedisConfig, node: &NodeId) -> Result<Self> {
        let client = Client::open(redis.url.as_str()).map_err(|e| {
            // The error's text may repeat the address with its password.
            let why = e.detail().filter(|d| !d.contains('@')).unwrap_or("it cannot be read").to_owned();
            Error::invalid("invalid_redis_url", format!("the address of Redis is refused: {why}"))
                .with_hint("write it like redis://127.0.0.1:6379 or redis://user:password@host:6379/0")
        })?;
        let measures = Arc::<RedisMeasures>::default();
        let link = || Link::new(client.clone(), redis.connect_timeout, redis.response_timeout, Arc::clone(&measures));
        Ok(Self {
            node: node.to_string(),
            address: link::address(&client),
            keys: Keys::new(&redis.tag),
            writes: link(),
            reads: link(),
            seen: Script::new(include_str!("redis/seen.lua")),
            add: Script::new(include_str!("redis/add.lua")),
            swap: Script::new(include_str!("redis/swap.lua")),
            shares: parking_lot::Mutex::default(),
            reached: AtomicU64::new(0),
            lacking: AtomicBool::new(false),
            ranks: Ranks::new(redis.ranking_age),
            measures,
            config,
        })
    }

    /// What calls count.
    pub fn measures(&self) -> &RedisMeasures {
        &self.measures
    }

    /// Where it is, without credentials.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Runs a script; the position applied where the delta does not follow it.
    async fn call(&self, call: Call) -> Result<Option<Seq>> {
        let script = match call.run {
            Run::Seen => &self.seen,
            Run::Add => &self.add,
        };
        let mut invocation = script.key(self.keys.nodes());
        invocation.arg(&self.keys.prefix).arg(&self.node).arg(call.args);
        let (done, at): (i64, String) = self.writes.run(async |c| invocation.invoke_async(c).await).await?;
        let at = at.parse().map(Seq).unwrap_or(Seq::ZERO);
        Ok((done == 0).then_some(at))
    }

    /// How Redis makes room when it is full, where that is by forgetting keys: windows would then count too little and
    /// nobody would know.
    pub async fn evicts(&self) -> Result<Option<String>> {
        let info =
            async |c: &mut MultiplexedConnection| ::redis::cmd("INFO").arg("memory").query_async::<String>(c).await;
        let info = self.writes.run(info).await?;
        let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let limited = value("maxmemory").is_some_and(|bytes| bytes.trim() != "0");
        Ok(value("maxmemory_policy").map(str::trim).filter(|p| limited && *p != "noeviction").map(str::to_owned))
    }

    /// The node's current generation and the last position applied.
    async fn pointer(&self) -> Result<(String, Seq)> {
        let get = async |c: &mut MultiplexedConnection| {
            let mut command = ::redis::cmd("HGET");
            command.arg(self.keys.nodes()).arg(&self.node).query_async::<Option<String>>(c).await
        };
        Ok(parse(&self.writes.run(get).await?.unwrap_or_default()))
    }

    /// Says that this node's share is coming, where Redis knows nothing of it: until then nobody takes the figures for
    /// whole.
    pub async fn announce(&self, now: Micros) -> Result<()> {
        let pointer = format!("{ANNOUNCED} 0 {}", now.div_euclid(1_000_000));
        let announce = async |c: &mut MultiplexedConnection| {
            let mut pipe = ::redis::pipe();
            pipe.atomic().cmd("HSETNX").arg(self.keys.nodes()).arg(&self.node).arg(&pointer).ignore();
            pipe.cmd("EXPIRE").arg(self.keys.nodes()).arg(ttl(&self.config)).ignore();
            pipe.query_async::<()>(c).await
        };
        self.writes.run(announce).await
    }

    /// Finds out whether other nodes' shares are there.
    pub async fn look_at_others(&self) -> Result<()> {
        let get = async |c: &mut MultiplexedConnection| {
            ::redis::cmd("HGETALL").arg(self.keys.nodes()).query_async::<BTreeMap<String, String>>(c).await
        };
        self.see_others(&self.writes.run(get).await?);
        Ok(())
    }

    fn see_others(&self, nodes: &BTreeMap<String, String>) {
        let lacking = nodes.iter().any(|(node, pointer)| *node != self.node && parse(pointer).0 == ANNOUNCED);
        self.lacking.store(lacking, Ordering::Release);
    }

    /// Whether another node's share is announced and not there, as far as is known: answers are too low then.
    pub fn is_lacking(&self) -> bool {
        self.lacking.load(Ordering::Acquire)
    }

    /// Puts a share into a generation that nobody reads.
    async fn fill(&self, generation: &str, share: &WindowDelta, floor: Minute) -> Result<()> {
        let goal = Goal::Fill { generation };
        let writer = Writer { config: &self.config, floor, goal };
        let add = writer.add(share)?;
        let ids = async |ids: Seen<'_>| match self.has_room(ids.users.len(), ids.sessions.len()).await? {
            true => self.add_ids(&writer, &ids).await,
            false => self.call_all(writer.seen_of(&ids)).await,
        };
        stream::iter(fill::pieces(share)).map(ids).buffered(FILLING).try_for_each(|()| async { Ok(()) }).await?;
        self.call_all(add).await
    }

    async fn call_all(&self, calls: impl IntoIterator<Item = Call>) -> Result<()> {
        stream::iter(calls).map(|call| self.call(call)).buffered(FILLING).try_for_each(|_| async { Ok(()) }).await
    }

    /// Deletes everything that all nodes keep there. Which generation is whose goes last: a node that adds meanwhile, or
    /// fills a generation, finds it gone and fills another.
    pub async fn wipe(&self) -> Result<()> {
        let pattern = format!("{}*", self.keys.prefix.replace(['[', ']', '*', '\\'], "?"));
        let (mut cursor, mut keys) = (0_u64, Vec::new());
        loop {
            let scan = async |c: &mut MultiplexedConnection| {
                let mut command = ::redis::cmd("SCAN");
                command.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1_000);
                command.query_async::<(u64, Vec<String>)>(c).await
            };
            let (next, found) = self.writes.run(scan).await?;
            keys.extend(found.into_iter().filter(|key| self.keys.holds_what_is_seen(key)));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        keys.push(self.keys.nodes());
        for keys in keys.chunks(DELETE) {
            let unlink =
                async |c: &mut MultiplexedConnection| ::redis::cmd("UNLINK").arg(keys).query_async::<()>(c).await;
            self.writes.run(unlink).await?;
        }
        Ok(())
    }

    /// Deletes a generation. What is left, should that fail, expires by itself.
    async fn forget(&self, generation: String, floor: Minute) {
        let share = Share { node: self.node.clone(), generation };
        let window = Minute::from(self.config.window);
        // As far back as it may have been filled.
        let keys = self.keys.all_of(&share, floor - window..floor + window + AHEAD);
        for keys in keys.chunks(DELETE) {
            let unlink =
                async |c: &mut MultiplexedConnection| ::redis::cmd("UNLINK").arg(keys).query_async::<()>(c).await;
            if let Err(e) = self.writes.run(unlink).await {
                tracing::debug!(error = %e, "an old generation of the shared windows is left to expire");
                return;
            }
        }
    }
}

/// A node's generation and the last position applied.
fn parse(pointer: &str) -> (String, Seq) {
    let mut parts = pointer.split(' ');
    let generation = parts.next().filter(|g| !g.is_empty()).unwrap_or("0").to_owned();
    (generation, Seq(parts.next().and_then(|at| at.parse().ok()).unwrap_or(0)))
}

#[async_trait]
impl HotWindow for RedisWindows {
    async fn apply(&self, delta: &WindowDelta, now: Micros) -> Result<Applied> {
        let goal = Goal::Follow { prev: delta.prev, last: delta.last };
        let floor = self.config.floor(now);
        let writer = Writer { config: &self.config, floor, goal };
        // Made first: what cannot be written as a whole must not begin.
        let add = writer.add(delta)?;
        let seen = writer.seen(delta);
        let mut outcomes = stream::iter(seen).map(|call| self.call(call)).buffered(FOLLOWING);
        while let Some(outcome) = outcomes.next().await {
            if let Some(at) = outcome? {
                return Ok(Applied::No { at });
            }
        }
        // Only then: it moves the position, and what it adds up must not count without its ids.
        for call in add {
            if let Some(at) = self.call(call).await? {
                return Ok(Applied::No { at });
            }
        }
        self.reached.store(delta.last.0, Ordering::Release);
        Ok(Applied::Yes)
    }

    async fn replace(&self, share: &WindowDelta, now: Micros) -> Result<()> {
        let floor = self.config.floor(now);
        let (before, _) = self.pointer().await?;
        let generation = uuid::Uuid::new_v4().simple().to_string();
        if let Err(e) = self.fill(&generation, share, floor).await {
            self.forget(generation, floor).await;
            return Err(e);
        }
        let mut swap = self.swap.prepare_invoke();
        swap.key(self.keys.nodes()).arg(&self.node).arg(&before).arg(&generation);
        swap.arg(share.last.0).arg(ttl(&self.config));
        let swapped: i64 = self.writes.run(async |c| swap.invoke_async(c).await).await?;
        if swapped == 0 {
            self.forget(generation, floor).await;
            return Err(Error::busy("redis_changed", "the shared windows were replaced by somebody else meanwhile"));
        }
        self.reached.store(share.last.0, Ordering::Release);
        self.forget(before, floor).await;
        Ok(())
    }

    async fn applied(&self) -> Result<Seq> {
        Ok(self.pointer().await?.1)
    }

    async fn active(&self, ids: Ids, since: Micros) -> Result<Count> {
        self.read_active(ids, since).await
    }

    async fn active_ids(&self, ids: Ids, since: Micros, limit: usize) -> Result<Vec<Active>> {
        self.read_active_ids(ids, since, limit).await
    }

    async fn sessions_of(&self, user: &str, since: Micros) -> Result<Vec<Active>> {
        self.read_sessions_of(user, since).await
    }

    async fn kpis(&self, from: Minute, to: Minute, now: Micros) -> Result<Vec<MinuteKpi>> {
        self.read_kpis(from, to, now).await
    }

    async fn top(&self, board: Board, from: Minute, to: Minute, limit: usize) -> Result<Top> {
        self.read_top(board, from, to, limit).await
    }

    async fn funnel(&self, since: Micros) -> Result<[u64; FUNNEL_STEPS.len()]> {
        self.read_funnel(since).await
    }

    async fn arrivals(&self, from: i64, to: i64) -> Result<Vec<u64>> {
        self.read_arrivals(from, to).await
    }

    async fn latest_orders(&self, limit: usize) -> Result<Vec<LatestOrder>> {
        self.read_latest_orders(limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_address_nor_errors_nor_debug_output_tell_the_password() {
        let config = RedisConfig::new("redis://shop:hunter2@127.0.0.1:6390/3");
        let node = NodeId::random();
        let windows = RedisWindows::new(HotConfig::default(), &config, &node).unwrap();
        assert_eq!(windows.address(), "127.0.0.1:6390/3");
        assert!(!format!("{config:?} {windows:?}").contains("hunter2"));
        let wrong = RedisConfig::new("redis://shop:hunter2@127.0.0.1:port");
        let error = RedisWindows::new(HotConfig::default(), &wrong, &node).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
