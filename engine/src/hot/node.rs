//! A node's windows: its own share in memory, and, where there is a Redis, the windows that all nodes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::Result;
use crate::event::Seq;

use super::{HotConfig, HotWindow, MemoryWindows, WindowDelta};

/// Whether answers are whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Degraded {
    /// Since the start: the window's past is still being read from the table.
    Filling,
    /// The shared windows are out of reach, and these are this node's own.
    Alone(String),
}

/// The windows that answer at this moment.
#[derive(Debug, Clone)]
pub struct Answering {
    /// Ask these.
    pub windows: Arc<dyn HotWindow>,
    /// Why they may not have everything.
    pub degraded: Option<Degraded>,
}

/// The windows of this node.
#[derive(Debug)]
pub struct NodeWindows {
    clock: Arc<dyn Clock>,
    memory: Arc<MemoryWindows>,
    filled: watch::Sender<bool>,
    applied: AtomicU64,
}

impl NodeWindows {
    /// Empty ones; rows up to `applied` are still to be [filled in](Self::fill).
    pub fn new(config: HotConfig, clock: Arc<dyn Clock>, applied: Seq) -> Self {
        Self {
            clock,
            memory: Arc::new(MemoryWindows::new(config, applied)),
            filled: watch::Sender::new(false),
            applied: AtomicU64::new(applied.0),
        }
    }

    /// Counts rows that have just become visible in SQL: those after `prev` up to `last`, and when the requests
    /// arrived that brought them. Called in order of Seq, before the requests are acknowledged.
    pub fn publish(&self, rows: &RecordBatch, prev: Seq, last: Seq, arrivals: &[(Instant, usize)]) -> Result<()> {
        let now = self.clock.now();
        let floor = self.memory.config().floor(now);
        let mut delta = WindowDelta::of_rows(rows, floor)?.between(prev, last);
        for (arrived, events) in arrivals {
            delta.arrived(now, arrived.elapsed(), *events as u64);
        }
        self.memory.apply_now(&delta, now);
        self.applied.store(last.0, Ordering::Release);
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
        let degraded = (!*self.filled.borrow()).then_some(Degraded::Filling);
        Answering { windows: Arc::clone(&self.memory) as _, degraded }
    }

    /// The last position of this node that its windows count.
    pub fn applied(&self) -> Seq {
        Seq(self.applied.load(Ordering::Acquire))
    }
}
