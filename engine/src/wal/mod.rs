//! The write-ahead log: the place where an event becomes durable.
//!
//! It stands between dedup and publishing. One writer calls [`Wal::append`] with one group of events at a time; when
//! that returns, the group survives a loss of power. A group is one checksummed frame, and the next one is written only
//! after this one is synced: so a crash leaves at most one incomplete frame, the last (a *torn tail*, cut at the next
//! start), and any other damage is real damage, which refuses to start and names file and offset.
//!
//! Frames go to segments `wal-<first position>.log`. A segment is created, its header synced and its folder synced before
//! its first frame is written; when it is large enough the next one is begun. [`Wal::truncate`] deletes segments that the
//! lake covers. Every opening begins a new segment with its first append; segments of earlier processes are only read.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;

use crate::error::{Error, Result};
use crate::event::{Seq, stored_schema};
use crate::fs::{Fs, WriteFile};
use crate::measure::{Counter, Histogram, SHORT, SIZES};

pub mod frame;
mod recover;
mod segment;
#[cfg(test)]
mod tests;

pub use recover::{Damage, Lost, Report, SegmentReport, check, repair, salvage};

use frame::{Encoder, SegmentHeader};
use segment::Segment;

/// The position that a segment's file begins with; `None` for other files.
pub fn first_of(path: &Path) -> Option<Seq> {
    segment::parse_name(path)
}

/// A buffer that one large group has blown up is given back down to this.
const BUFFER_KEPT_BYTES: usize = 16 << 20;

/// Sizes of the log.
#[derive(Debug, Clone)]
pub struct WalConfig {
    /// A new segment is begun when one has reached this size.
    pub segment_bytes: u64,
    /// The log is [full](Wal::is_full) at this size.
    pub max_bytes: u64,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, max_bytes: 4 << 30 }
    }
}

/// A group of events as it was appended.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Position of its first event.
    pub first: Seq,
    /// Position of its last event.
    pub last: Seq,
    /// The events, in [`stored_schema`].
    pub batch: RecordBatch,
}

/// What opening the log found.
#[derive(Debug)]
pub struct Recovered {
    /// The groups beyond what the lake covers, in order; the first may be the rest of one.
    pub frames: Vec<Frame>,
    /// Bytes of an incomplete last frame that were cut. They were never acknowledged.
    pub torn_bytes: u64,
    /// Whether the log was closed properly, or is new.
    pub clean: bool,
    /// The last position used, in the log or in the lake.
    pub last: Seq,
}

/// Why a group was not appended.
#[derive(Debug)]
pub enum AppendError {
    /// Nothing of the group remains, and the log can be used further (the disk is full, for example).
    NotWritten(Error),
    /// It is unknown what is on the disk: the process must stop and recover. Every later append fails likewise.
    Fatal(Error),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritten(e) | Self::Fatal(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotWritten(e) | Self::Fatal(e) => Some(e),
        }
    }
}

impl From<AppendError> for Error {
    fn from(e: AppendError) -> Self {
        match e {
            AppendError::NotWritten(e) | AppendError::Fatal(e) => e,
        }
    }
}

/// What the log counts of itself since the process started.
#[derive(Debug)]
pub struct WalMeasures {
    /// How long a group's sync took.
    pub sync: Histogram,
    /// Bytes of frames written.
    pub written_bytes: Counter,
    /// Events of each group.
    pub group_events: Histogram,
    /// Requests whose events were put into one group.
    pub group_requests: Histogram,
    segments: AtomicU64,
}

impl WalMeasures {
    fn new() -> Self {
        Self {
            sync: Histogram::new(SHORT),
            written_bytes: Counter::default(),
            group_events: Histogram::new(SIZES),
            group_requests: Histogram::new(SIZES),
            segments: AtomicU64::new(0),
        }
    }

    /// Segments of the log on disk, as of the last group or truncation.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }
}

/// The log, open for appending.
#[derive(Debug)]
pub struct Wal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    config: WalConfig,
    encoder: Encoder,
    /// Segments that get no more frames, oldest first.
    full: VecDeque<Segment>,
    active: Option<Active>,
    next: Seq,
    /// Whether the last segment of an earlier process ends with its mark, so that closing need not leave another.
    marked: bool,
    failure: Option<String>,
    measures: Arc<WalMeasures>,
}

/// Segments that are no longer part of the log and still on disk. Where their deletion is cut short they are deleted when
/// the log is opened, as the lake covers them.
#[must_use]
#[derive(Debug)]
pub struct Released {
    fs: Arc<dyn Fs>,
    paths: Vec<PathBuf>,
}

impl Released {
    /// Deletes the files. That takes tens of milliseconds for each: not on the thread that appends.
    ///
    /// # Errors
    /// The disk's.
    pub fn delete(self) -> Result<()> {
        for path in &self.paths {
            match self.fs.remove(path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::from(e).context(format!("deleting {}", path.display())));
                }
                _ => {}
            }
        }
        // Not synced: a segment that is back after a loss of power is covered, and deleted when the log is opened.
        Ok(())
    }
}

#[derive(Debug)]
struct Active {
    segment: Segment,
    salt: u64,
    file: Box<dyn WriteFile>,
}

impl Wal {
    /// Opens the log in a folder, which is created when absent, and reads what is in it beyond `covered`, the last
    /// position the lake holds. A torn tail is cut; segments that are covered as a whole are deleted.
    ///
    /// # Errors
    /// [`Kind::Corrupt`](crate::error::Kind::Corrupt) naming file and offset when the log is damaged or events between
    /// `covered` and its beginning are missing; else the disk's.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, config: WalConfig, covered: Seq) -> Result<(Self, Recovered)> {
        let (kept, recovered) = recover::recover(fs.as_ref(), dir, covered)?;
        let wal = Self {
            fs,
            dir: dir.to_path_buf(),
            config,
            encoder: Encoder::new()?,
            marked: kept.marked,
            full: kept.segments.into(),
            active: None,
            next: recovered.last.plus(1),
            failure: None,
            measures: Arc::new(WalMeasures::new()),
        };
        wal.count_segments();
        Ok((wal, recovered))
    }

    /// Appends one group. When this returns `Ok`, it survives a loss of power.
    ///
    /// `first` must follow the last position; `batch` is in [`stored_schema`] and not empty.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&mut self, first: Seq, batch: &RecordBatch) -> Result<(), AppendError> {
        self.usable().map_err(AppendError::Fatal)?;
        self.accepts(first, batch).map_err(AppendError::NotWritten)?;
        let mut active = match self.active.take() {
            Some(active) if active.segment.bytes < self.config.segment_bytes => active,
            Some(done) => {
                self.full.push_back(done.segment);
                self.begin_segment()?
            }
            None => self.begin_segment()?,
        };
        let written = self.write_group(&mut active, first, batch);
        self.active = Some(active);
        self.count_segments();
        self.encoder.shrink(BUFFER_KEPT_BYTES);
        written
    }

    fn write_group(&mut self, active: &mut Active, first: Seq, batch: &RecordBatch) -> Result<(), AppendError> {
        let frame = self.encoder.encode(active.salt, first, batch).map_err(AppendError::NotWritten)?;
        let frame_bytes = frame.len() as u64;
        let segment = &mut active.segment;
        if let Err(e) = active.file.write_all(frame) {
            // Some of it may be there: the log must end with its last whole frame before anything else is written.
            let cut = self.fs.truncate(&segment.path, segment.bytes);
            let e = Error::from(e).context("writing to the write-ahead log");
            return Err(match cut {
                Ok(()) => AppendError::NotWritten(e),
                Err(cut) => self.fail(format!("{e}; and cutting the log back failed: {cut}")),
            });
        }
        let begun = Instant::now();
        if let Err(e) = active.file.sync() {
            return Err(self.fail(format!("syncing {} failed: {e}", segment.path.display())));
        }
        self.measures.sync.took(begun.elapsed());
        self.measures.written_bytes.add(frame_bytes);
        self.measures.group_events.record(batch.num_rows() as u64);
        segment.bytes += frame_bytes;
        segment.last = Seq(first.0 + batch.num_rows() as u64 - 1);
        self.next = segment.last.plus(1);
        Ok(())
    }

    fn accepts(&self, first: Seq, batch: &RecordBatch) -> Result<()> {
        if first != self.next {
            return Err(Error::internal(format!("a group for position {first} came where {} is due", self.next)));
        }
        if batch.schema() != stored_schema() {
            return Err(Error::internal("a group for the log is not in the stored schema"));
        }
        Ok(())
    }

    /// Creates the next segment. When this returns, it would be there, with its header, after a loss of power: so where
    /// there is a frame, the header was right once, and a bad one is damage.
    fn begin_segment(&mut self) -> Result<Active, AppendError> {
        let first = self.next;
        let salt = uuid::Uuid::new_v4().as_u64_pair().0;
        let header = SegmentHeader::encode(salt, first, &stored_schema()).map_err(AppendError::NotWritten)?;
        let path = self.dir.join(segment::file_name(first));
        let not_begun = |e| Error::from(e).context("beginning a segment of the write-ahead log");
        let mut file = self.fs.create(&path).map_err(|e| AppendError::NotWritten(not_begun(e)))?;
        if let Err(e) = file.write_all(&header) {
            return Err(match self.fs.remove(&path) {
                Ok(()) => AppendError::NotWritten(not_begun(e)),
                Err(stays) => self.fail(format!("{}; and removing it failed: {stays}", not_begun(e))),
            });
        }
        if let Err(e) = file.sync().and_then(|()| self.fs.sync_dir(&self.dir)) {
            return Err(self.fail(format!("syncing {} failed: {e}", path.display())));
        }
        let segment = Segment { path, first, last: Seq(first.0 - 1), bytes: header.len() as u64 };
        Ok(Active { segment, salt, file })
    }

    /// Lets go of the segments whose events are all covered by the lake; they are no longer part of the log, and
    /// [`Released::delete`] removes their files. Call it only when the lake's files, its log and their folders are durable.
    ///
    /// The active segment goes too once it is worth it; the next append begins another.
    ///
    /// # Errors
    /// When an append has failed fatally before.
    pub fn release(&mut self, covered: Seq) -> Result<Released> {
        self.usable()?;
        let worth_it = |active: &mut Active| {
            let s = &active.segment;
            s.last <= covered && s.last >= s.first && s.bytes >= self.config.segment_bytes / 4
        };
        if let Some(done) = self.active.take_if(worth_it) {
            self.full.push_back(done.segment);
        }
        let gone = self.full.iter().take_while(|s| s.last <= covered).count();
        let paths = self.full.drain(..gone).map(|s| s.path).collect();
        self.count_segments();
        Ok(Released { fs: Arc::clone(&self.fs), paths })
    }

    /// Ends the active segment, so that it goes as soon as it is covered; the next append begins another.
    ///
    /// # Errors
    /// When an append has failed fatally before.
    pub fn rotate(&mut self) -> Result<()> {
        self.usable()?;
        // An empty one is where the next append goes anyway.
        self.full.extend(self.active.take_if(|a| a.segment.last >= a.segment.first).map(|active| active.segment));
        Ok(())
    }

    /// [Lets go](Self::release) of covered segments and deletes them.
    ///
    /// # Errors
    /// The disk's, besides those of `release`.
    pub fn truncate(&mut self, covered: Seq) -> Result<()> {
        self.release(covered)?.delete()
    }

    /// What it counts of itself.
    pub fn measures(&self) -> &Arc<WalMeasures> {
        &self.measures
    }

    fn count_segments(&self) {
        let segments = self.full.len() + usize::from(self.active.is_some());
        self.measures.segments.store(segments as u64, Ordering::Relaxed);
    }

    /// Size of all segments.
    pub fn bytes(&self) -> u64 {
        let active = self.active.as_ref().map(|a| &a.segment);
        self.full.iter().chain(active).map(|s| s.bytes).sum()
    }

    /// Whether the log has reached its limit: nothing more should be appended until it is truncated.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.config.max_bytes
    }

    /// Leaves the mark of a clean close.
    ///
    /// # Errors
    /// When an append has failed fatally before, and the disk's. Nothing is lost by that: the next opening replays.
    pub fn close(mut self) -> Result<()> {
        self.usable()?;
        let active = match self.active.take() {
            Some(active) => Some(active),
            None if self.full.is_empty() || self.marked => None,
            None => Some(self.begin_segment()?),
        };
        if let Some(mut active) = active {
            active.file.write_all(&frame::encode_close(active.salt, self.next))?;
            active.file.sync().map_err(|e| Error::fatal(format!("syncing the write-ahead log failed: {e}")))?;
        }
        Ok(())
    }

    fn usable(&self) -> Result<()> {
        self.failure.as_ref().map_or(Ok(()), |why| Err(fatal(why)))
    }

    fn fail(&mut self, why: String) -> AppendError {
        AppendError::Fatal(fatal(self.failure.insert(why)))
    }
}

fn fatal(why: &str) -> Error {
    Error::fatal(format!("the write-ahead log can no longer be trusted: {why}"))
        .with_hint("the process has to stop; at the next start it recovers everything that was acknowledged")
}
