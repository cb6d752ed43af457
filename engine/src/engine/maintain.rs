//! What the engine does in the background: flush, compaction, checkpoints, retention, vacuum; and closing.
//!
//! It runs on a runtime of its own, so that sorting and encoding never hold up a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::alerts::AlertsConfig;
use crate::error::{Error, Result};
use crate::event::day_of;
use crate::flush::{Pressure, is_due, pace};
use crate::lake::{Eagerness, Vacuumed};
use crate::pace::Pace;

use super::Engine;

/// How often the background looks whether something is due.
const TICK: Duration = Duration::from_millis(100);
/// Threads for flushing and compaction.
const THREADS: usize = 2;
/// How long close waits for background work to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Compaction, retention, vacuum, checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintainConfig {
    /// How often to look for files to merge; zero turns the background maintenance off.
    pub every: Duration,
    /// Days of events to keep; `None` keeps all.
    pub retention_days: Option<u32>,
    /// How long files stay that the table no longer names, for readers of older versions.
    pub vacuum_after: Duration,
    /// How often to apply the retention and to vacuum.
    pub tidy_every: Duration,
}

impl Default for MaintainConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30),
            retention_days: None,
            vacuum_after: Duration::from_secs(7 * 86_400),
            tidy_every: Duration::from_secs(3600),
        }
    }
}

/// How the flusher is.
#[derive(Debug, Clone, Default)]
pub(super) struct FlushState {
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Failed attempts since the last success.
    pub failures: u32,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FlushReport {
    /// Rows moved to the lake.
    pub rows: usize,
    /// The lake's version afterwards.
    pub lake_version: i64,
    /// The last position the lake holds.
    pub lake_seq: u64,
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CompactReport {
    /// Live files before.
    pub files_before: usize,
    /// Live files after.
    pub files_after: usize,
    /// The lake's version afterwards.
    pub lake_version: i64,
}

/// How the engine was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloseReport {
    /// Rows that stay in the write-ahead log because the lake was out of reach.
    pub rows_kept_in_log: usize,
    /// Why.
    pub reason: Option<String>,
}

impl Engine {
    pub(super) fn start_background(self: &Arc<Self>) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("background")
            .enable_all()
            .build()?;
        let weak = Arc::downgrade(self);
        let stop = self.stop.clone();
        runtime.spawn(async move {
            let mut flusher = Flusher::new();
            while !stop.is_cancelled() {
                let Some(engine) = weak.upgrade() else { return };
                flusher.step(&engine).await;
                tokio::select! {
                    () = tokio::time::sleep(TICK) => {}
                    () = engine.flush_wanted.notified() => flusher.urgent = true,
                    () = stop.cancelled() => {}
                }
            }
        });
        if !self.config.maintain.every.is_zero() {
            let weak = Arc::downgrade(self);
            let stop = self.stop.clone();
            let MaintainConfig { every, tidy_every, .. } = self.config.maintain.clone();
            runtime.spawn(async move {
                let mut tidied = Instant::now();
                loop {
                    tokio::select! {
                        () = tokio::time::sleep(every) => {}
                        () = stop.cancelled() => return,
                    }
                    let Some(engine) = weak.upgrade() else { return };
                    engine.maintain().await;
                    if tidied.elapsed() >= tidy_every {
                        tidied = Instant::now();
                        engine.tidy().await;
                    }
                }
            });
        }
        if self.config.alerts.enabled {
            let weak = Arc::downgrade(self);
            let stop = self.stop.clone();
            let AlertsConfig { look_every, warm_up, .. } = self.config.alerts;
            runtime.spawn(async move {
                let mut pause = warm_up;
                loop {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => return,
                    }
                    pause = look_every;
                    let Some(engine) = weak.upgrade() else { return };
                    tokio::select! {
                        () = engine.judge_alerts() => {}
                        () = stop.cancelled() => return,
                    }
                }
            });
        }
        *self.background.lock() = Some(runtime);
        Ok(())
    }

    /// Moves everything buffered at this moment to the lake.
    pub async fn flush(&self) -> Result<FlushReport> {
        self.flush_at(Pace::Hurried).await
    }

    async fn flush_at(&self, pace: Pace) -> Result<FlushReport> {
        let _one_at_a_time = self.flushing.lock().await;
        let now = self.published.load();
        let Some(last) = now.buffer.last() else {
            return Ok(FlushReport { rows: 0, lake_version: now.lake.version, lake_seq: now.lake.covered.0 });
        };
        let rows = now.buffer.rows();
        let batches = now.buffer.batches().iter().map(|b| b.stored().clone()).collect();
        drop(now);
        let begun = Instant::now();
        let outcome = self.lake.append(batches, last, pace).await;
        self.own.flush.noted(begun.elapsed(), outcome.is_ok().then_some(rows), self.clock.now());
        self.note_fatal(&outcome);
        self.flush_state.send_modify(|state| match &outcome {
            Ok(lake) => {
                self.published.lake_changed(Arc::clone(lake));
                *state = FlushState::default();
            }
            Err(e) => {
                state.error = Some(e.message.clone());
                state.failures += 1;
            }
        });
        let lake = outcome?;
        // The lake's files are durable now, so the log may let go of what they hold.
        self.sequencer.truncate(last).await?;
        // Space in the log is free a moment later; whoever waits for it looks again.
        self.flush_state.send_modify(|_| {});
        tracing::debug!(rows, version = lake.version, "flushed");
        Ok(FlushReport { rows, lake_version: lake.version, lake_seq: lake.covered.0 })
    }

    /// Merges small files until nothing is left to merge, today's too.
    pub async fn compact(&self) -> Result<CompactReport> {
        self.merge(Eagerness::Everything).await
    }

    async fn merge(&self, eagerness: Eagerness) -> Result<CompactReport> {
        let files_before = self.published.load().lake.files.len();
        loop {
            // Dropped half-way, a merge leaves nothing but a file for vacuum.
            let merged = tokio::select! {
                merged = self.lake.compact(eagerness) => merged,
                () = self.stop.cancelled() => break,
            };
            self.note_fatal(&merged);
            let Some(lake) = merged? else { break };
            self.published.lake_changed(lake);
        }
        let now = self.published.load();
        Ok(CompactReport { files_before, files_after: now.lake.files.len(), lake_version: now.lake.version })
    }

    /// Drops days older than the retention. Returns how many files went; 0 without a retention.
    pub async fn retain(&self) -> Result<usize> {
        let Some(days) = self.config.maintain.retention_days else { return Ok(0) };
        let before = self.published.load().lake.files.len();
        let oldest = day_of(self.clock.now()) - i32::try_from(days).unwrap_or(i32::MAX);
        if let Some(lake) = self.lake.retain(oldest).await? {
            self.published.lake_changed(lake);
        }
        Ok(before.saturating_sub(self.published.load().lake.files.len()))
    }

    /// Deletes files that the table has not named for long enough. Returns how many.
    pub async fn vacuum(&self) -> Result<Vacuumed> {
        self.lake.vacuum(self.config.maintain.vacuum_after).await
    }

    async fn maintain(&self) {
        if let Err(e) = self.merge(Eagerness::Background).await {
            tracing::warn!(error = %e, "compaction failed; it is tried again later");
        }
        if self.lake.checkpoint_due()
            && let Err(e) = self.lake.checkpoint().await
        {
            tracing::warn!(error = %e, "checkpoint failed; it is tried again later");
        }
    }

    async fn tidy(&self) {
        if let Err(e) = self.retain().await {
            tracing::warn!(error = %e, "retention failed; it is tried again later");
        }
        if let Err(e) = self.vacuum().await {
            tracing::warn!(error = %e, "vacuum failed; it is tried again later");
        }
        if let Err(e) = self.retain_letters().await {
            tracing::warn!(error = %e, "tidying dead letters failed; it is tried again later");
        }
    }

    /// Stops background work, flushes, and leaves a clean mark in the log. Where the lake is out of reach the rows
    /// stay in the log, and the report says so.
    pub async fn close(&self) -> Result<CloseReport> {
        self.inflight.close();
        self.stop.cancel();
        let flushed = self.flush().await;
        self.sequencer.close().await?;
        let background = self.background.lock().take();
        self.query.shutdown();
        let windows = Arc::clone(&self.windows);
        let stopped = tokio::task::spawn_blocking(move || {
            windows.close();
            if let Some(runtime) = background {
                runtime.shutdown_timeout(STOP_WITHIN);
            }
        });
        stopped.await.map_err(|e| Error::internal(e.to_string()))?;
        // What came in between the flush and the end of the log stays in the log too.
        let rows_kept_in_log = self.published.load().buffer.rows();
        Ok(CloseReport { rows_kept_in_log, reason: flushed.err().map(|e| e.message) })
    }
}

impl Drop for Engine {
    /// An engine that is dropped without [`Engine::close`] leaves everything as a crash would; the log has it all.
    fn drop(&mut self) {
        self.stop.cancel();
        self.query.shutdown();
        if let Some(runtime) = self.background.lock().take() {
            runtime.shutdown_background();
        }
    }
}

/// Decides when to flush. Keeps what the decision needs between looks.
struct Flusher {
    urgent: bool,
    oldest: Option<Instant>,
    attempted: Instant,
}

impl Flusher {
    fn new() -> Self {
        Self { urgent: false, oldest: None, attempted: Instant::now() }
    }

    async fn step(&mut self, engine: &Engine) {
        let now = engine.published.load();
        let rows = now.buffer.rows();
        if rows == 0 {
            self.oldest = None;
        } else {
            self.oldest.get_or_insert_with(Instant::now);
        }
        engine.own.flush.looked(rows);
        let pressure = Pressure {
            bytes: now.buffer.bytes(),
            rows,
            age: self.oldest.map_or(Duration::ZERO, |t| t.elapsed()),
            urgent: self.urgent || engine.sequencer.wal_bytes() >= engine.config.wal.max_bytes / 2,
            failures: engine.flush_state.borrow().failures,
            since_attempt: self.attempted.elapsed(),
        };
        drop(now);
        if !is_due(&engine.config.flush, &pressure) {
            return;
        }
        self.attempted = Instant::now();
        self.urgent = false;
        self.oldest = None;
        if let Err(e) = engine.flush_at(pace(&engine.config.flush, &pressure)).await {
            tracing::warn!(error = %e, "flush failed; events stay in the log and the buffer, and it is tried again");
        }
    }
}
