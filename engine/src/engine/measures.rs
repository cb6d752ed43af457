//! What the engine counts of itself: events by where they came from and what became of them, and flushes. The rest is
//! counted where it happens; [`Measures`] is all of it in one place.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Engine;
use crate::alert_log::NoticeMeasures;
use crate::clock::Micros;
use crate::error::Error;
use crate::hot::{NodeWindows, RedisMeasures};
use crate::lake::CompactionMeasures;
use crate::measure::{Codes, Counter, Histogram, LONG, Named};
use crate::query::{QueryMeasures, QueryUsage};
use crate::wal::WalMeasures;

use super::Receipt;

/// Sources told apart.
const MAX_SOURCES: usize = 16;

/// Events of one source.
#[derive(Debug, Default)]
pub struct SourceMeasures {
    /// Requests that were answered with a receipt.
    pub requests: Counter,
    /// Their bodies, decompressed.
    pub bytes: Counter,
    /// Events stored.
    pub accepted: Counter,
    /// Events that were stored before.
    pub duplicates: Counter,
    /// Events kept as dead letters, by code.
    pub rejected: Codes,
}

/// Events coming in.
#[derive(Debug)]
pub struct IngestMeasures {
    /// By where they came from.
    pub sources: Named<SourceMeasures>,
    /// Requests of which nothing was stored, by code: they could not be read, or there was no room.
    pub refused: Codes,
    /// Events a replay of dead letters stored.
    pub replayed: Counter,
}

impl IngestMeasures {
    fn new() -> Self {
        Self { sources: Named::new(MAX_SOURCES), refused: Codes::default(), replayed: Counter::default() }
    }

    pub(super) fn refused(&self, error: &Error) {
        self.refused.add(error.code, 1);
    }

    /// Counts a request. `rejected` are the codes of what is in none of the receipt's first two counts.
    pub(super) fn taken(
        &self,
        source: &str,
        bytes: usize,
        receipt: &Receipt,
        rejected: impl Iterator<Item = &'static str>,
    ) {
        let source = self.sources.get(source);
        source.requests.inc();
        source.bytes.add(bytes as u64);
        source.accepted.add(receipt.accepted as u64);
        source.duplicates.add(receipt.duplicates as u64);
        rejected.for_each(|code| source.rejected.add(code, 1));
    }
}

/// Flushes.
#[derive(Debug)]
pub struct FlushMeasures {
    /// How long they took, those that failed included.
    pub took: Histogram,
    /// How many moved rows to the lake.
    pub done: Counter,
    /// How many failed.
    pub failed: Counter,
    /// Rows moved.
    pub rows: Counter,
    last: Mutex<Option<Micros>>,
    /// Since when there are rows in the buffer that no flush has taken.
    oldest: Mutex<Option<Instant>>,
}

impl FlushMeasures {
    fn new() -> Self {
        Self {
            took: Histogram::new(LONG),
            done: Counter::default(),
            failed: Counter::default(),
            rows: Counter::default(),
            last: Mutex::default(),
            oldest: Mutex::default(),
        }
    }

    pub(super) fn noted(&self, took: Duration, rows: Option<usize>, now: Micros) {
        self.took.took(took);
        let Some(rows) = rows else { return self.failed.inc() };
        self.done.inc();
        self.rows.add(rows as u64);
        *self.last.lock() = Some(now);
        // What came meanwhile is noticed at the next look, and is that much older.
        *self.oldest.lock() = None;
    }

    /// The flusher saw so many rows. A flush that fails leaves them as old as they are.
    pub(super) fn looked(&self, rows: usize) {
        let mut oldest = self.oldest.lock();
        match rows {
            0 => *oldest = None,
            _ => _ = oldest.get_or_insert_with(Instant::now),
        }
    }

    /// When the last one that succeeded ended; `None` before.
    pub fn last(&self) -> Option<Micros> {
        *self.last.lock()
    }

    /// How long the oldest event of the buffer has waited for a flush, as the flusher saw it last.
    pub fn oldest(&self) -> Duration {
        self.oldest.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// What belongs to the engine itself.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) ingest: IngestMeasures,
    pub(super) flush: FlushMeasures,
}

impl Default for Own {
    fn default() -> Self {
        Self { ingest: IngestMeasures::new(), flush: FlushMeasures::new() }
    }
}

/// All that is counted.
#[derive(Debug, Clone, Copy)]
pub struct Measures<'a> {
    /// Events coming in.
    pub ingest: &'a IngestMeasures,
    /// The write-ahead log.
    pub wal: &'a WalMeasures,
    /// Flushes.
    pub flush: &'a FlushMeasures,
    /// Compaction.
    pub compaction: &'a CompactionMeasures,
    /// Queries.
    pub query: &'a QueryMeasures,
    /// From an event's arrival to its being visible.
    pub visible: &'a Histogram,
    /// Calls of Redis for live windows; `None` without one.
    pub redis: Option<&'a RedisMeasures>,
    /// Notices about alerts.
    pub notices: &'a NoticeMeasures,
}

impl Engine {
    /// What is counted since the start. Reading it holds nobody up.
    pub fn measures(&self) -> Measures<'_> {
        let windows: &NodeWindows = &self.windows;
        Measures {
            ingest: &self.own.ingest,
            wal: self.sequencer.wal(),
            flush: &self.own.flush,
            compaction: self.lake.compaction(),
            query: self.query.measures(),
            visible: windows.visible(),
            redis: windows.redis(),
            notices: self.alerts.log().measures(),
        }
    }

    /// What queries use at this moment.
    pub fn query_usage(&self) -> QueryUsage {
        self.query.usage()
    }

    /// Bytes of request bodies that are being worked on.
    pub fn inflight_bytes(&self) -> usize {
        self.config.inflight_bytes.saturating_sub(self.inflight.available_permits())
    }
}
