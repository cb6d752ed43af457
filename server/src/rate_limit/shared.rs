//! Windows in Redis, shared by every server with the same `redis_url`: one script a charge, on Redis's own time.
//!
//! The link is up or down. While it is up a charge waits `rate_limit.redis_timeout` at most; the second failure in a row takes it
//! down, and from then on nobody waits: a task connects again each second, and only an answer of Redis brings it up.
//! A charge that got no answer may have been counted all the same, so a limit is rather kept too strictly than exceeded.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, Script};
use tideline_engine::clock::{Clock, MILLISECOND, Micros};

use super::window::{Charge, Count, SLOTS, Shape, Verdict};

/// Before every key: the hash tag that keeps them in one slot of a cluster.
const TAG: &str = "{tl}";
/// How long connecting may take; nobody waits for it.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// After a failure, until the next try.
const PAUSE: Micros = 1_000 * MILLISECOND;
/// Failures in a row that take the link down.
const MAX_FAILURES: u32 = 2;

/// What the server's own time is called in the script.
const SERVER_TIME: i64 = -1;

/// The windows.
#[derive(Debug)]
pub struct Shared {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    script: Script,
    shape: Shape,
    clock: Arc<dyn Clock>,
    /// How long an answer may take.
    within: Duration,
    link: Mutex<Link>,
}

enum Link {
    Down { try_at: Micros },
    Connecting,
    Up { connection: MultiplexedConnection, failures: u32 },
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Down { .. } => "Down",
            Self::Connecting => "Connecting",
            Self::Up { .. } => "Up",
        })
    }
}

impl Shared {
    /// Not connected yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &str, within: Duration, shape: Shape, clock: Arc<dyn Clock>) -> RedisResult<Self> {
        let inner = Inner {
            client: Client::open(url)?,
            script: Script::new(include_str!("limit.lua")),
            shape,
            clock,
            within,
            link: Mutex::new(Link::Down { try_at: Micros::MIN }),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether charges go to Redis.
    pub fn is_up(&self) -> bool {
        matches!(*self.inner.link.lock(), Link::Up { .. })
    }

    /// Connects, if nobody does already, and returns when that is done.
    pub async fn connect(&self) {
        if self.inner.may_connect(true) {
            // On a task of its own: a caller that gives up must not leave the link half made.
            let _ = tokio::spawn(Arc::clone(&self.inner).run_connect()).await;
        }
    }

    /// Takes all charges or none; `None` when Redis does not say.
    pub async fn take(&self, charges: &[Charge]) -> Option<Verdict> {
        if charges.is_empty() {
            return None;
        }
        let Some(mut connection) = self.inner.connection() else {
            if self.inner.may_connect(false) {
                // Off the request's path: it is answered by the local count meanwhile.
                tokio::spawn(Arc::clone(&self.inner).run_connect());
            }
            return None;
        };
        let shape = self.inner.shape;
        let mut call = self.inner.script.prepare_invoke();
        call.arg(SERVER_TIME).arg(shape.slot_ms).arg(SLOTS);
        for charge in charges {
            // Windows of different lengths are different windows.
            call.key(format!("{TAG}:limit:{}:{}", shape.window_ms(), charge.name)).arg(charge.limit).arg(charge.cost);
        }
        let outcome = tokio::time::timeout(self.inner.within, call.invoke_async::<Vec<i64>>(&mut connection)).await;
        let answer = match outcome {
            Ok(Ok(answer)) => verdict(&answer, charges.len()).ok_or_else(|| "an answer of another shape".to_owned()),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(format!("no answer within {} ms", self.inner.within.as_millis())),
        };
        self.inner.note(answer.as_ref().err());
        answer.ok()
    }
}

/// Reads the script's answer.
fn verdict(answer: &[i64], charges: usize) -> Option<Verdict> {
    let (head, counts) = answer.split_at_checked(2)?;
    let number = |n: i64| u64::try_from(n).ok();
    let pairs = counts.chunks_exact(2).map(|p| Some(Count { used: number(p[0])?, returns_ms: number(p[1])? }));
    let counts: Vec<Count> = pairs.collect::<Option<_>>()?;
    let refused = usize::try_from(head[0]).ok()?.checked_sub(1);
    let is_whole = counts.len() == charges && refused.is_none_or(|at| at < charges);
    is_whole.then_some(Verdict { fits: refused.is_none(), refused, wait_ms: number(head[1])?, counts })
}

impl Inner {
    fn connection(&self) -> Option<MultiplexedConnection> {
        match &*self.link.lock() {
            Link::Up { connection, .. } => Some(connection.clone()),
            _ => None,
        }
    }

    /// Whether the caller is the one to connect now.
    fn may_connect(&self, at_once: bool) -> bool {
        let mut link = self.link.lock();
        match *link {
            Link::Down { try_at } if at_once || self.clock.now() >= try_at => {
                *link = Link::Connecting;
                true
            }
            _ => false,
        }
    }

    async fn run_connect(self: Arc<Self>) {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(self.within));
        let connecting = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            // A paused Redis takes connections too: only an answer counts. And it has the script from now on.
            self.script.load_async(&mut connection).await?;
            Ok::<_, redis::RedisError>(connection)
        };
        // The crate's own limit of time covers each step, this one all of them.
        let outcome = match tokio::time::timeout(2 * CONNECT_WITHIN, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
        let next = match outcome {
            Ok(connection) => {
                tracing::info!("rate limits are shared through Redis");
                Link::Up { connection, failures: 0 }
            }
            Err(why) => {
                tracing::debug!(error = why, "Redis cannot be reached; rate limits are this server's own");
                Link::Down { try_at: self.clock.now() + PAUSE }
            }
        };
        *self.link.lock() = next;
    }

    /// Notes how a charge went.
    fn note(&self, error: Option<&String>) {
        let mut link = self.link.lock();
        let Link::Up { failures, .. } = &mut *link else { return };
        let Some(error) = error else {
            *failures = 0;
            return;
        };
        *failures += 1;
        if *failures >= MAX_FAILURES {
            tracing::warn!(error, "Redis does not answer; until it does, rate limits are this server's own");
            *link = Link::Down { try_at: self.clock.now() + PAUSE };
        }
    }
}
