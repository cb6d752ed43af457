//! Feeds the shared windows in Redis with what this node has published, and says whether they can be asked.
//!
//! The log's thread only puts a delta into `pending` and goes on. A thread of its own takes deltas from there, merged,
//! and sends them one after another. Whatever happens to Redis, this node's memory has everything: where a delta does
//! not follow what Redis says it has applied, the whole share is put there anew, beside the old one.

mod breaker;
mod pending;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{Applied, HotWindow as _, MemoryWindows, RedisWindows, WindowDelta};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::Seq;

use breaker::Breaker;
use pending::{Pending, Taken};

/// Between two calls, unless there is a lot to send.
const PACE: Duration = Duration::from_millis(100);
/// A call that changes nothing notices a Redis that has lost its data.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long after a failed rebuild the next one is begun, at most.
const REBUILD_BACKOFF: Duration = Duration::from_secs(10);
/// How long the last call may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// How the shared windows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Since the start: not asked yet.
    Joining,
    /// They have what this node has.
    Live,
    /// They are being sent what they missed.
    CatchingUp,
    /// This node's share is being put there anew.
    Rebuilding,
    /// Redis does not answer.
    Away,
}

/// The state of the shared windows, for health checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaStatus {
    /// How they are.
    pub state: ReplicaState,
    /// The last position of this node that counts there.
    pub applied: u64,
    /// Positions that do not count there yet.
    pub lag: u64,
    /// How often this node's share was put there anew.
    pub rebuilds: u64,
    /// The policy by which Redis forgets keys when it is full; windows are exact only with `noeviction`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evicts: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Notify,
    status: RwLock<ReplicaStatus>,
    /// Somebody wants what is in Redis deleted and put there anew.
    wipe: AtomicBool,
    /// How often that was done.
    wiped: watch::Sender<u64>,
}

/// The shared windows and the thread that feeds them. It ends when this is dropped.
#[derive(Debug)]
pub struct Replica {
    shared: Arc<Shared>,
    windows: Arc<RedisWindows>,
    stop: CancellationToken,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Replica {
    /// Starts the thread. The first delta offered follows `applied`; a share of `memory` is whole once `filled`.
    pub fn start(
        windows: Arc<RedisWindows>,
        memory: Arc<MemoryWindows>,
        clock: Arc<dyn Clock>,
        filled: watch::Receiver<bool>,
        applied: Seq,
    ) -> Result<Self> {
        let status = ReplicaStatus {
            state: ReplicaState::Joining,
            applied: 0,
            lag: applied.0,
            rebuilds: 0,
            evicts: None,
            last_error: None,
        };
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending::new(applied)),
            wake: Notify::new(),
            status: RwLock::new(status),
            wipe: AtomicBool::new(false),
            wiped: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let feed = Feed {
            shared: Arc::clone(&shared),
            windows: Arc::clone(&windows),
            memory,
            clock,
            next: None,
            unsent: None,
            whole_at: Seq::ZERO,
            rebuild_after: None,
            rebuild_backoff: PACE,
            looked: None,
        };
        let ended = stop.clone();
        let run = move || runtime.block_on(feed.run(filled, ended));
        let thread = std::thread::Builder::new().name("redis".into()).spawn(run)?;
        Ok(Self { shared, windows, stop, thread: Mutex::new(Some(thread)) })
    }

    /// Takes a delta to be sent. Never waits: what there is no room for is rebuilt from memory later.
    pub fn offer(&self, delta: WindowDelta) {
        if self.shared.pending.lock().offer(delta) {
            self.shared.wake.notify_one();
        }
    }

    /// Deletes everything in the shared windows and puts this node's share there anew; other nodes notice within a second
    /// and do the same with theirs. Resolves when it is done, however long Redis is away.
    pub async fn wipe(&self) {
        let mut wiped = self.shared.wiped.subscribe();
        let before = *wiped.borrow();
        self.shared.wipe.store(true, Ordering::SeqCst);
        self.shared.wake.notify_one();
        // The sender lives as long as we do.
        let _ = wiped.wait_for(|n| *n > before).await;
    }

    /// The shared windows.
    pub fn windows(&self) -> &Arc<RedisWindows> {
        &self.windows
    }

    /// Whether they can be asked.
    pub fn state(&self) -> ReplicaState {
        self.shared.status.read().state
    }

    /// How they are.
    pub fn status(&self) -> ReplicaStatus {
        let mut status = self.shared.status.read().clone();
        status.lag = self.shared.pending.lock().last().0.saturating_sub(status.applied);
        status
    }

    /// Sends what is left, within a second, and ends the thread. Blocks.
    pub fn close(&self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that feeds Redis panicked");
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the thread works with.
struct Feed {
    shared: Arc<Shared>,
    windows: Arc<RedisWindows>,
    memory: Arc<MemoryWindows>,
    clock: Arc<dyn Clock>,
    /// What Redis has applied, while that is known.
    next: Option<Seq>,
    /// Sent, and not known to have arrived.
    unsent: Option<WindowDelta>,
    /// From here on the shared windows have all that this node had when they came back.
    whole_at: Seq,
    /// After a rebuild that failed: when the next one may begin.
    rebuild_after: Option<Instant>,
    rebuild_backoff: Duration,
    /// When it was last seen which nodes have their shares there.
    looked: Option<Instant>,
}

impl Feed {
    async fn run(mut self, mut filled: watch::Receiver<bool>, stop: CancellationToken) {
        let mut breaker = Breaker::default();
        tokio::select! {
            whole = filled.wait_for(|filled| *filled) => if whole.is_err() { return },
            () = stop.cancelled() => return,
        }
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let grace = async {
                stop.cancelled().await;
                tokio::time::sleep(FAREWELL).await;
            };
            let outcome = tokio::select! {
                outcome = self.turn() => outcome,
                // A rebuild may take long; the next start begins another one.
                () = grace => return,
            };
            let pause = match outcome {
                Ok(()) => {
                    breaker.succeeded();
                    let crowded = self.shared.pending.lock().is_crowded();
                    if crowded { Duration::ZERO } else { PACE.saturating_sub(begun.elapsed()) }
                }
                Err(e) => {
                    let (open, pause) = breaker.failed(Instant::now());
                    self.failed(&e, open);
                    pause
                }
            };
            self.pause(pause, &stop).await;
        }
        if self.next.is_some() && tokio::time::timeout(FAREWELL, self.send_rest()).await.is_err() {
            tracing::debug!("Redis was not sent the rest before the end; the next start does it");
        }
    }

    /// Waits for the pace, then for something to send, a heartbeat at the latest.
    async fn pause(&self, pace: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = tokio::time::sleep(pace) => {}
            () = stop.cancelled() => return,
        }
        if self.shared.pending.lock().is_empty() && self.unsent.is_none() && self.next.is_some() {
            tokio::select! {
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = self.shared.wake.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// One call, or a rebuild where there is no other way.
    async fn turn(&mut self) -> Result<()> {
        if self.shared.wipe.load(Ordering::SeqCst) {
            self.lost();
            self.unsent = None;
            self.windows.wipe().await?;
            self.rebuild().await?;
            self.shared.wipe.store(false, Ordering::SeqCst);
            self.shared.wiped.send_modify(|n| *n += 1);
            return Ok(());
        }
        let Some(next) = self.next else { return self.join().await };
        if self.looked.is_none_or(|looked| looked.elapsed() >= HEARTBEAT) {
            self.windows.look_at_others().await?;
            self.looked = Some(Instant::now());
        }
        let unsent = self.unsent.take().map(|delta| Taken::Delta(Box::new(delta)));
        let delta = match unsent.unwrap_or_else(|| self.shared.pending.lock().take(next)) {
            Taken::Delta(delta) => *delta,
            Taken::Nothing => WindowDelta::default().between(next, next),
            Taken::Gap => {
                self.lost();
                return Ok(());
            }
        };
        // Unchanged until its outcome is known: sent again it either counts or is known to have counted.
        match self.windows.apply(&delta, self.clock.now()).await {
            Ok(Applied::Yes) => self.reached(delta.last),
            Ok(Applied::No { at }) if at == delta.last => self.reached(at),
            Ok(Applied::No { at }) => {
                tracing::warn!(redis = at.0, expected = delta.prev.0, "Redis has lost what it had applied");
                self.lost();
            }
            Err(e) => {
                self.unsent = Some(delta);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Finds out where Redis stands, and goes on from there if that is possible.
    async fn join(&mut self) -> Result<()> {
        let at = self.windows.applied().await?;
        self.look_at_eviction().await?;
        self.unsent = None;
        if self.shared.pending.lock().goes_on_from(at) {
            self.whole_at = self.shared.pending.lock().last();
            self.set_state(ReplicaState::CatchingUp);
            self.reached(at);
            return Ok(());
        }
        self.rebuild().await
    }

    async fn look_at_eviction(&self) -> Result<()> {
        let evicts = self.windows.evicts().await?;
        let mut status = self.shared.status.write();
        if let Some(policy) = evicts.as_deref().filter(|_| status.evicts != evicts) {
            tracing::warn!(
                policy,
                "Redis may forget live windows when it is full: set its maxmemory-policy to noeviction"
            );
        }
        status.evicts = evicts;
        Ok(())
    }

    async fn rebuild(&mut self) -> Result<()> {
        if let Some(after) = self.rebuild_after {
            tokio::time::sleep_until(after.into()).await;
        }
        self.set_state(ReplicaState::Rebuilding);
        self.windows.announce(self.clock.now()).await?;
        let begun = Instant::now();
        // In this order: what is forgotten here is in the share, what comes later is kept.
        self.shared.pending.lock().start_over();
        let memory = Arc::clone(&self.memory);
        let share = tokio::task::spawn_blocking(move || memory.share()).await;
        let share = share.map_err(|e| Error::internal(format!("the live windows could not be copied: {e}")))?;
        self.shared.pending.lock().shared(share.last);
        if let Err(e) = self.windows.replace(&share, self.clock.now()).await {
            self.rebuild_after = Some(Instant::now() + self.rebuild_backoff);
            self.rebuild_backoff = (self.rebuild_backoff * 2).min(REBUILD_BACKOFF);
            return Err(e);
        }
        (self.rebuild_after, self.rebuild_backoff) = (None, PACE);
        self.shared.status.write().rebuilds += 1;
        let (users, sessions) = (share.users.len(), share.sessions.len());
        tracing::info!(users, sessions, seconds = begun.elapsed().as_secs_f32(), "shared windows are rebuilt");
        self.whole_at = self.shared.pending.lock().last().max(share.last);
        self.set_state(ReplicaState::CatchingUp);
        self.reached(share.last);
        Ok(())
    }

    fn reached(&mut self, at: Seq) {
        self.next = Some(at);
        let mut status = self.shared.status.write();
        status.applied = at.0;
        if at >= self.whole_at {
            if status.state != ReplicaState::Live {
                tracing::info!(redis = self.windows.address(), seq = at.0, "shared windows answer");
            }
            status.state = ReplicaState::Live;
        } else if status.state == ReplicaState::Away {
            status.state = ReplicaState::CatchingUp;
        }
    }

    /// The shared windows are not what they were taken for: they are not asked until that is mended.
    fn lost(&mut self) {
        self.next = None;
        self.set_state(ReplicaState::Rebuilding);
    }

    fn failed(&mut self, error: &Error, open: bool) {
        let mut status = self.shared.status.write();
        if open && status.state != ReplicaState::Away {
            tracing::warn!(error = %error, "Redis is away: this node answers with its own windows");
            status.state = ReplicaState::Away;
        }
        status.last_error = Some(error.message.clone());
        drop(status);
        if open {
            // Back again it is whole only with what arrives meanwhile.
            self.whole_at = self.shared.pending.lock().last();
        }
    }

    fn set_state(&self, state: ReplicaState) {
        self.shared.status.write().state = state;
    }

    async fn send_rest(&mut self) {
        while self.next.is_some() && (self.unsent.is_some() || !self.shared.pending.lock().is_empty()) {
            if self.turn().await.is_err() {
                return;
            }
        }
    }
}
