//! Answers. Everything one answer needs comes in one transaction, together with the list of shares it was made for:
//! where a share was replaced meanwhile, it is asked again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use ::redis::{FromRedisValue, Pipeline, Value, from_redis_value, pipe};

use super::write::{HIGH, counted};
use super::{AHEAD, FUNNEL_STEPS, RedisWindows, Share, parse};
use crate::clock::{MILLISECOND, Micros};
use crate::error::{Error, Result};
use crate::hot::{Active, Board, Count, Counts, Ids, Latency, LatestOrder, Minute, MinuteKpi, Top, minute_of};

/// How often it is asked again before giving up: shares change when a node starts, ends or is rebuilt.
const ATTEMPTS: usize = 5;

/// Values of one answer, in the order in which they were asked for.
pub(super) struct Values(std::vec::IntoIter<Value>);

impl Values {
    fn take<T: FromRedisValue>(&mut self) -> Result<T> {
        let value = self.0.next().ok_or_else(|| Error::internal("Redis answered with too little"))?;
        from_redis_value(value).map_err(|e| Error::internal(format!("Redis answered with something else: {e}")))
    }
}

/// A time as an exclusive lower bound.
fn after(since: Micros) -> String {
    format!("({}", since.div_euclid(MILLISECOND))
}

fn active(found: Vec<(String, f64)>) -> Vec<Active> {
    let mut active: Vec<_> =
        found.into_iter().map(|(id, ms)| Active { id, last_seen: ms as Micros * MILLISECOND }).collect();
    active.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.id.cmp(&b.id)));
    active
}

/// The window's beginning, and the latest minutes in which a user, a session could not be told apart.
struct Limits {
    floor: Minute,
    refused: [Minute; 2],
}

impl Limits {
    fn ask(pipe: &mut Pipeline, windows: &RedisWindows) {
        pipe.cmd("HMGET").arg(windows.keys.window()).arg(&["floor", "users", "sessions"]);
    }

    fn take(values: &mut Values) -> Result<Self> {
        let found: Vec<Option<Minute>> = values.take()?;
        let at = |n: usize| found.get(n).copied().flatten().unwrap_or(0);
        Ok(Self { floor: at(0), refused: [at(1), at(2)] })
    }

    /// The latest minute that has to be estimated, if there is one in the window.
    fn estimated(&self, ids: Ids) -> Option<Minute> {
        let refused = self.refused[ids as usize];
        (refused > 0 && refused >= self.floor).then_some(refused)
    }
}

fn shares(nodes: &BTreeMap<String, String>) -> Vec<Share> {
    nodes.iter().map(|(node, pointer)| Share { node: node.clone(), generation: parse(pointer).0 }).collect()
}

impl RedisWindows {
    /// Asks in one transaction.
    pub(super) async fn ask(&self, questions: impl Fn(&mut Pipeline, &[Share])) -> Result<(Vec<Share>, Values)> {
        for _ in 0..ATTEMPTS {
            let assumed = self.shares.lock().clone();
            let reached = self.reached.load(Ordering::Acquire);
            let mut pipe = pipe();
            pipe.atomic().cmd("HGETALL").arg(self.keys.nodes());
            questions(&mut pipe, &assumed);
            let values: Vec<Value> = self.reads.run(async |c| pipe.query_async(c).await).await?;
            let mut values = Values(values.into_iter());
            let nodes: BTreeMap<String, String> = values.take()?;
            if nodes.get(&self.node).map_or(0, |pointer| parse(pointer).1.0) < reached {
                return Err(Error::busy("redis_lost_data", "Redis has lost what it had applied"));
            }
            self.see_others(&nodes);
            let found = shares(&nodes);
            if found == assumed {
                return Ok((found, values));
            }
            *self.shares.lock() = found;
        }
        Err(Error::busy("redis_changing", "the shared windows change too quickly to be read"))
    }

    pub(super) async fn read_active(&self, ids: Ids, since: Micros) -> Result<Count> {
        let key = self.keys.last_seen(ids);
        let (_, mut values) = self
            .ask(|pipe, _| {
                Limits::ask(pipe, self);
                pipe.cmd("ZCOUNT").arg(&key).arg(after(since)).arg("+inf");
            })
            .await?;
        let limits = Limits::take(&mut values)?;
        let count = values.take()?;
        if limits.estimated(ids).is_none() {
            return Ok(Count { count, exact: true });
        }
        let from = minute_of(since).max(limits.floor);
        let to = limits.floor + Minute::from(self.config.window) + AHEAD;
        let sketches: Vec<_> = (from..to).map(|minute| self.keys.sketch(ids, minute)).collect();
        if sketches.is_empty() {
            return Ok(Count { count: 0, exact: false });
        }
        let (_, mut values) = self
            .ask(|pipe, _| {
                pipe.cmd("PFCOUNT").arg(&sketches);
            })
            .await?;
        Ok(Count { count: values.take()?, exact: false })
    }

    pub(super) async fn read_active_ids(&self, ids: Ids, since: Micros, limit: usize) -> Result<Vec<Active>> {
        let key = self.keys.last_seen(ids);
        let (_, mut values) = self
            .ask(|pipe, _| {
                let range = pipe.cmd("ZREVRANGEBYSCORE").arg(&key).arg("+inf").arg(after(since));
                range.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
            })
            .await?;
        let mut found: Vec<(String, f64)> = values.take()?;
        // Redis has equals in the opposite order, so the last of them may be others.
        if let Some((_, least)) = found.last().filter(|_| found.len() == limit).cloned() {
            found.retain(|(_, ms)| *ms > least);
            let (_, mut values) = self
                .ask(|pipe, _| {
                    let range = pipe.cmd("ZRANGEBYSCORE").arg(&key).arg(least).arg(least);
                    range.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit - found.len());
                })
                .await?;
            found.extend(values.take::<Vec<(String, f64)>>()?);
        }
        Ok(active(found))
    }

    pub(super) async fn read_sessions_of(&self, user: &str, since: Micros) -> Result<Vec<Active>> {
        let key = self.keys.sessions_of(user);
        let (_, mut values) = self
            .ask(|pipe, _| {
                pipe.cmd("ZRANGEBYSCORE").arg(&key).arg(after(since)).arg("+inf").arg("WITHSCORES");
            })
            .await?;
        Ok(active(values.take()?))
    }

    fn live(&self, from: Minute, to: Minute, now: Micros) -> Range<Minute> {
        let from = from.max(self.config.floor(now));
        from..to.min(minute_of(now) + AHEAD).max(from)
    }

    pub(super) async fn read_kpis(&self, from: Minute, to: Minute, now: Micros) -> Result<Vec<MinuteKpi>> {
        let minutes = self.live(from, to, now);
        let (shares, mut values) = self
            .ask(|pipe, shares| {
                Limits::ask(pipe, self);
                for minute in minutes.clone() {
                    for share in shares {
                        pipe.cmd("HGETALL").arg(self.keys.counters(share, minute));
                    }
                    pipe.cmd("HMGET").arg(self.keys.of_minute("om", minute)).arg(&["rl", "rh"]);
                    pipe.cmd("HLEN").arg(self.keys.of_minute("o", minute));
                    for kind in ["s", "u", "c"] {
                        pipe.cmd("SCARD").arg(self.keys.of_minute(kind, minute));
                    }
                }
            })
            .await?;
        let limits = Limits::take(&mut values)?;
        let mut kpis = Vec::new();
        for minute in minutes {
            kpis.push(minute_kpi(minute, shares.len(), &mut values)?);
        }
        self.estimate(&mut kpis, &limits).await?;
        Ok(kpis)
    }

    /// Puts estimates where ids could not be told apart.
    async fn estimate(&self, kpis: &mut [MinuteKpi], limits: &Limits) -> Result<()> {
        for ids in [Ids::Users, Ids::Sessions] {
            let Some(last) = limits.estimated(ids) else { continue };
            let concerned = || kpis.iter().map(|k| k.minute).filter(|m| *m <= last);
            let (_, mut values) = self
                .ask(|pipe, _| {
                    for minute in concerned() {
                        pipe.cmd("PFCOUNT").arg(self.keys.sketch(ids, minute));
                    }
                })
                .await?;
            for kpi in kpis.iter_mut().filter(|k| k.minute <= last) {
                let count = Count { count: values.take()?, exact: false };
                match ids {
                    Ids::Users => kpi.users = count,
                    Ids::Sessions => {
                        kpi.sessions = count;
                        // A session that could not be told apart is not known to have converted.
                        kpi.converted.exact = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// Every name of a board with its value, in no order.
    pub(super) async fn read_board(&self, board: Board, minutes: Range<Minute>) -> Result<(Vec<(String, i128)>, bool)> {
        // No more minutes than there can be: each is asked for.
        let most = 2 * (Minute::from(self.config.window) + AHEAD);
        let minutes = minutes.start.max(minutes.end.saturating_sub(most))..minutes.end;
        let by_orders = matches!(board, Board::RevenueBySource | Board::RevenueByCountry);
        let (shares, mut values) = self
            .ask(|pipe, shares| {
                pipe.cmd("HGET").arg(self.keys.window()).arg(format!("b{}", board as usize));
                for minute in minutes.clone() {
                    for share in shares {
                        pipe.cmd("HGETALL").arg(self.keys.board(share, board, minute));
                    }
                    if by_orders {
                        pipe.cmd("HGETALL").arg(self.keys.orders_board(board, minute));
                    }
                }
            })
            .await?;
        let lumped: Option<Minute> = values.take()?;
        let mut sums = hashbrown::HashMap::<String, i128>::new();
        for _ in minutes.clone() {
            for _ in 0..shares.len() + usize::from(by_orders) {
                for (field, value) in values.take::<Vec<(String, i64)>>()? {
                    let Some((part, name)) = field.split_at_checked(1) else { continue };
                    let unit = if part == "h" { HIGH } else { 1 };
                    *sums.entry_ref(name).or_default() += i128::from(value) * unit;
                }
            }
        }
        let exact = lumped.is_none_or(|lumped| lumped < minutes.start);
        Ok((sums.into_iter().filter(|(_, sum)| *sum != 0).collect(), exact))
    }

    pub(super) async fn read_top(&self, board: Board, from: Minute, to: Minute, limit: usize) -> Result<Top> {
        let ranking = self.ranks.get(self, board, from..to).await?;
        Ok(Top { entries: ranking.entries.iter().take(limit).cloned().collect(), exact: ranking.exact })
    }

    pub(super) async fn read_funnel(&self, since: Micros) -> Result<[u64; FUNNEL_STEPS.len()]> {
        let (_, mut values) = self
            .ask(|pipe, _| {
                for step in 0..FUNNEL_STEPS.len() {
                    pipe.cmd("ZCOUNT").arg(self.keys.funnel(step)).arg(after(since)).arg("+inf");
                }
            })
            .await?;
        let mut counts = [0; FUNNEL_STEPS.len()];
        for count in &mut counts {
            *count = values.take()?;
        }
        Ok(counts)
    }

    pub(super) async fn read_arrivals(&self, from: i64, to: i64) -> Result<Vec<u64>> {
        let seconds: Vec<i64> = (from..to).collect();
        let minutes: Vec<&[i64]> = seconds.chunk_by(|a, b| a.div_euclid(60) == b.div_euclid(60)).collect();
        let (shares, mut values) = self
            .ask(|pipe, shares| {
                for seconds in &minutes {
                    for share in shares {
                        pipe.cmd("HMGET").arg(self.keys.arrivals(share, seconds[0].div_euclid(60))).arg(*seconds);
                    }
                }
            })
            .await?;
        let mut arrivals = Vec::with_capacity(seconds.len());
        for seconds in minutes {
            let mut sums = vec![0; seconds.len()];
            for _ in &shares {
                let counts: Vec<Option<u64>> = values.take()?;
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count.unwrap_or(0));
            }
            arrivals.extend(sums);
        }
        Ok(arrivals)
    }

    pub(super) async fn read_latest_orders(&self, limit: usize) -> Result<Vec<LatestOrder>> {
        let (_, mut values) = self
            .ask(|pipe, _| {
                pipe.cmd("ZREVRANGE").arg(self.keys.latest()).arg(0).arg(-1);
            })
            .await?;
        let found: Vec<String> = values.take()?;
        let mut orders = Vec::with_capacity(found.len());
        for order in found {
            let order: LatestOrder = serde_json::from_str(&order)
                .map_err(|e| Error::internal(format!("an order in Redis cannot be read: {e}")))?;
            orders.push(order);
        }
        orders.sort_unstable_by(|a, b| b.cmp(a));
        orders.truncate(limit);
        Ok(orders)
    }
}

fn minute_kpi(minute: Minute, shares: usize, values: &mut Values) -> Result<MinuteKpi> {
    let mut kpi = MinuteKpi::empty(minute);
    for _ in 0..shares {
        let fields: BTreeMap<String, i64> = values.take()?;
        let field = |name: &str| fields.get(name).copied().unwrap_or(0);
        let mut counts = Counts::default();
        for (name, count) in counted(&mut counts) {
            *count = u64::try_from(field(name)).unwrap_or(0);
        }
        kpi.counts.add(&counts);
        kpi.orders += u64::try_from(field("oo")).unwrap_or(0);
        kpi.revenue += i128::from(field("rl")) + i128::from(field("rh")) * HIGH;
        let buckets = fields.iter().filter_map(|(name, n)| Some((name.strip_prefix('L')?.parse().ok()?, *n)));
        let buckets = buckets.map(|(bucket, n): (u16, i64)| (bucket, u64::try_from(n).unwrap_or(0)));
        kpi.latency.merge(&Latency::from_parts(buckets, u128::try_from(field("ls")).unwrap_or(0)));
    }
    let of_orders: Vec<Option<i64>> = values.take()?;
    let part = |n: usize| i128::from(of_orders.get(n).copied().flatten().unwrap_or(0));
    kpi.revenue += part(0) + part(1) * HIGH;
    kpi.orders += values.take::<u64>()?;
    for count in [&mut kpi.sessions, &mut kpi.users, &mut kpi.converted] {
        *count = Count { count: values.take()?, exact: true };
    }
    Ok(kpi)
}
