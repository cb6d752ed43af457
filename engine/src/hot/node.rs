//! A node's windows: its own share in memory, and, where there is a Redis, the windows that all nodes share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::Result;
use crate::event::{NodeId, Seq};
use crate::measure::{Histogram, SHORT, micros};

use super::{
    HotConfig, HotWindow, MemoryWindows, RedisMeasures, RedisWindows, Replica, ReplicaState, ReplicaStatus, WindowDelta,
};

/// Whether answers are whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Degraded {
    /// Since the start: the window's past is still being read from the table.
    Filling,
    /// The shared windows are out of reach, and these are this node's own.
    Alone(String),
    /// These are the shared windows, which another node is still bringing its share to.
    Lacking,
}

/// The windows that answer at this moment.
#[derive(Debug, Clone)]
pub struct Answering {
    /// Ask these.
    pub windows: Arc<dyn HotWindow>,
    /// Why they may not have everything.
    pub degraded: Option<Degraded>,
    /// The last position of this node that they count for certain.
    pub applied: Seq,
}

/// What windows said.
#[derive(Debug, Clone)]
pub struct Told<T> {
    /// It.
    pub body: T,
    /// Why it may not have everything.
    pub degraded: Option<Degraded>,
    /// The last position of this node that is in it for certain.
    pub applied: Seq,
}

/// The windows of this node.
#[derive(Debug)]
pub struct NodeWindows {
    clock: Arc<dyn Clock>,
    memory: Arc<MemoryWindows>,
    filled: watch::Sender<bool>,
    applied: AtomicU64,
    replica: Option<Replica>,
    visible: Histogram,
}

impl NodeWindows {
    /// Empty ones; rows up to `applied` are still to be [filled in](Self::fill). Redis need not be there.
    ///
    /// # Errors
    /// `Invalid` when the address of Redis cannot be read.
    pub fn new(config: HotConfig, clock: Arc<dyn Clock>, node: &NodeId, applied: Seq) -> Result<Self> {
        let redis = config.redis.clone();
        let memory = Arc::new(MemoryWindows::new(config.clone(), applied));
        let filled = watch::Sender::new(false);
        let replica = match redis {
            None => None,
            Some(redis) => {
                let windows = Arc::new(RedisWindows::new(config, &redis, node)?);
                let (memory, clock) = (Arc::clone(&memory), Arc::clone(&clock));
                Some(Replica::start(windows, memory, clock, filled.subscribe(), applied)?)
            }
        };
        let visible = Histogram::new(SHORT);
        Ok(Self { clock, memory, filled, applied: AtomicU64::new(applied.0), replica, visible })
    }

    /// Counts rows that have just become visible in SQL: those after `prev` up to `last`, and when the requests
    /// arrived that brought them. Called in order of Seq, before the requests are acknowledged.
    pub fn publish(&self, rows: &RecordBatch, prev: Seq, last: Seq, arrivals: &[(Instant, usize)]) -> Result<()> {
        let now = self.clock.now();
        let floor = self.memory.config().floor(now);
        let mut delta = WindowDelta::of_rows(rows, floor)?.between(prev, last);
        for (arrived, events) in arrivals {
            let took = arrived.elapsed();
            self.visible.record_many(micros(took), *events as u64);
            delta.arrived(now, took, *events as u64);
        }
        self.memory.apply_now(&delta, now);
        self.applied.store(last.0, Ordering::Release);
        // After the memory: whoever forgets what is offered here finds it there.
        if let Some(replica) = &self.replica {
            replica.offer(delta);
        }
        Ok(())
    }

    /// Counts rows of the past, from before the start.
    pub fn fill(&self, rows: &RecordBatch) -> Result<()> {
        let now = self.clock.now();
        let delta = WindowDelta::of_rows(rows, self.memory.config().floor(now))?;
        self.memory.fill(&delta, now);
        Ok(())
    }

    /// Forgets everything that was counted, up to the position returned: the past is to be filled in up to there.
    pub fn start_over(&self) -> Seq {
        self.memory.clear()
    }

    /// Forgets everything that was counted, as at the start: answers say that the past is missing until it is filled in, up
    /// to the position returned.
    pub fn forget(&self) -> Seq {
        self.filled.send_replace(false);
        self.memory.clear()
    }

    /// Empties the shared windows and fills them from this node's; whether that was done in time. Without a Redis there is
    /// nothing to do.
    pub async fn wipe_shared(&self, within: std::time::Duration) -> Option<bool> {
        let replica = self.replica.as_ref()?;
        Some(tokio::time::timeout(within, replica.wipe()).await.is_ok())
    }

    /// The past is filled in.
    pub fn filled(&self) {
        self.filled.send_replace(true);
    }

    /// Resolves when the past is filled in.
    pub async fn until_filled(&self) {
        // The sender lives as long as we do.
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// This node's own windows.
    pub fn memory(&self) -> &Arc<MemoryWindows> {
        &self.memory
    }

    /// The windows to ask now.
    pub fn answering(&self) -> Answering {
        if !*self.filled.borrow() {
            return self.own(Some(Degraded::Filling));
        }
        let Some(replica) = &self.replica else { return self.own(None) };
        let status = replica.status();
        let why = match status.state {
            ReplicaState::Live => {
                let degraded = replica.windows().is_lacking().then_some(Degraded::Lacking);
                let windows = Arc::clone(replica.windows()) as _;
                return Answering { windows, degraded, applied: Seq(status.applied) };
            }
            ReplicaState::Joining => "Redis was not reached yet",
            ReplicaState::CatchingUp => "Redis is being sent what it missed",
            ReplicaState::Rebuilding => "Redis is being filled again",
            ReplicaState::Away => "Redis does not answer",
        };
        self.own(Some(Degraded::Alone(why.to_owned())))
    }

    /// This node's own windows, as the ones to ask.
    fn own(&self, degraded: Option<Degraded>) -> Answering {
        Answering { windows: Arc::clone(&self.memory) as _, degraded, applied: self.applied() }
    }

    /// Asks the windows that answer now. Where those are the shared ones and they fail, this node's own are asked.
    ///
    /// # Errors
    /// Those of the question, from windows that are within reach.
    pub async fn ask<T, F>(&self, question: impl Fn(Arc<dyn HotWindow>) -> F) -> Result<Told<T>>
    where
        F: Future<Output = Result<T>>,
    {
        // The position first: what has been applied by now is in any answer that follows.
        let Answering { windows, degraded, applied } = self.answering();
        let are_shared = self.replica.is_some() && matches!(degraded, None | Some(Degraded::Lacking));
        match question(windows).await {
            Ok(body) => Ok(Told { body, degraded, applied }),
            Err(e) if are_shared => {
                tracing::warn!(error = %e, "the shared windows did not answer; this node's own do");
                let alone = Degraded::Alone("Redis does not answer".to_owned());
                let Answering { windows, degraded, applied } = self.own(Some(alone));
                Ok(Told { body: question(windows).await?, degraded, applied })
            }
            Err(e) => Err(e),
        }
    }

    /// How long events took from their arrival to being visible in SQL and in the windows.
    pub fn visible(&self) -> &Histogram {
        &self.visible
    }

    /// What calls of Redis count; `None` without a Redis.
    pub fn redis(&self) -> Option<&RedisMeasures> {
        self.replica.as_ref().map(|r| r.windows().measures())
    }

    /// Whether the past is filled in.
    pub fn is_filled(&self) -> bool {
        *self.filled.borrow()
    }

    /// How the shared windows are; `None` without a Redis.
    pub fn replica(&self) -> Option<ReplicaStatus> {
        self.replica.as_ref().map(Replica::status)
    }

    /// Where Redis is, without credentials; `None` without one.
    pub fn redis_address(&self) -> Option<&str> {
        self.replica.as_ref().map(|r| r.windows().address())
    }

    /// Sends Redis what it lacks, within a second, and stops. Blocks.
    pub fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.close();
        }
    }

    /// The last position of this node that its windows count.
    pub fn applied(&self) -> Seq {
        Seq(self.applied.load(Ordering::Acquire))
    }
}
