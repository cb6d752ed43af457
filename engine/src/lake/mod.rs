//! The lake: every event older than the buffer, as a Delta table of Parquet files partitioned by `event_date`.
//!
//! ```text
//! flush ─▶ append: split by day, sort newest first, write Parquet ─▶ one Delta commit with the last Seq ─▶ LakeSnapshot
//! compact · retain: the same commit, replacing or removing files      vacuum · checkpoint · verify: the maintainer's
//! ```
//!
//! Delta is the log and nothing else: deltalake replays it at start and after a conflict; Parquet writing, the list of
//! live files with their statistics, and the order of commits are ours (see `commit` for the protocol). The
//! store is rooted at the table and durable by contract: when a put returns, file, name and folders survive a loss of
//! power. So when [`Lake::append`] returns, the write-ahead log may be cut.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Mutex;

use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::event::{NodeId, Seq};
use crate::pace::{CALM_NICENESS, Pace, yield_to_others};

mod commit;
mod compact;
mod erase;
mod files;
mod log;
mod maintain;
mod merge;
mod read;
mod stats;
#[cfg(test)]
mod tests;
mod writer;

pub use compact::{CompactionMeasures, CompactionPolicy, Eagerness, Job, plan};
pub use erase::{Erased, Purged};
pub use files::{LakeFile, LakeSnapshot};
pub use log::version_of as log_version;
pub use maintain::{Check, Vacuumed};

use commit::Tip;
use files::{Known, Writing};
use log::{Change, Loaded, Log};
use writer::{Encoded, Purpose};

/// How the lake is kept.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    /// zstd level of flushed files, 1 to 22. More costs ingest throughput.
    pub flush_zstd_level: i32,
    /// zstd level of compacted files, 1 to 22.
    pub compact_zstd_level: i32,
    /// Rows in a Parquet row group: the unit of parallel encoding and of pruning within a file.
    pub row_group_rows: usize,
    /// Rows in a Parquet page: the unit of pruning by time within a row group.
    pub page_rows: usize,
    /// Most rows one flush puts into one file.
    pub file_rows: usize,
    /// Threads that encode the columns of a row group; more shorten a flush, not its CPU time.
    pub encode_threads: usize,
    /// Whether compacted files get bloom filters on the id columns: lookups of one id skip row groups, for about 2.5
    /// bytes an event (of about 37 without).
    pub bloom_filters: bool,
    /// What is merged, and when.
    pub compaction: CompactionPolicy,
    /// Attempts at one commit before the flush is reported as failed (it is tried again later).
    pub commit_attempts: u32,
    /// Pause before the second attempt; it doubles from there, with jitter.
    pub commit_pause: Duration,
    /// Commits between two checkpoints of the log.
    pub checkpoint_commits: u64,
    /// Days the log keeps entries that a checkpoint covers: how far back other readers can time-travel.
    pub log_retention_days: u32,
    /// Days a file stays on disk after the table stopped naming it.
    pub vacuum_days: u32,
    /// Most memory for Parquet footers, in bytes.
    pub metadata_bytes: usize,
}

impl Default for LakeConfig {
    fn default() -> Self {
        Self {
            flush_zstd_level: 1,
            compact_zstd_level: 3,
            row_group_rows: 131_072,
            page_rows: 16_384,
            file_rows: 16 * 131_072,
            encode_threads: 2,
            bloom_filters: false,
            compaction: CompactionPolicy::default(),
            commit_attempts: 5,
            commit_pause: Duration::from_millis(50),
            checkpoint_commits: 100,
            log_retention_days: 2,
            vacuum_days: 7,
            metadata_bytes: 32 << 20,
        }
    }
}

/// The lake of one node. See the module's documentation.
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    log: Log,
    clock: Arc<dyn Clock>,
    config: LakeConfig,
    current: ArcSwap<LakeSnapshot>,
    known: Arc<Known>,
    tip: Mutex<Tip>,
    /// One append at a time: each is a prefix of Seq after the one before.
    appending: Mutex<()>,
    /// One piece of maintenance at a time.
    maintaining: Mutex<()>,
    checkpointed: std::sync::atomic::AtomicI64,
    compaction: CompactionMeasures,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        let mut lake = f.debug_struct("Lake");
        lake.field("version", &current.version).field("files", &current.files.len()).finish_non_exhaustive()
    }
}

impl Lake {
    /// Opens the table at the root of `store`, creating it when there is none.
    ///
    /// # Errors
    /// `lake_schema` when the table there is not one of ours; otherwise the store's failures.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        node: NodeId,
        clock: Arc<dyn Clock>,
        config: LakeConfig,
    ) -> Result<Self> {
        for purpose in [Purpose::Flush, Purpose::Compact] {
            writer::properties(&config, purpose)
                .map_err(|e| Error::invalid("lake_config", format!("the lake cannot be written like this: {e}")))?;
        }
        let log = Log::open(Arc::clone(&store), &node, &config).await?;
        log.upgrade(clock.now(), config.commit_attempts).await?;
        let lake = Self {
            log,
            clock,
            config,
            current: ArcSwap::from_pointee(LakeSnapshot::new(0, Seq::ZERO, Vec::new())),
            known: Arc::default(),
            tip: Mutex::default(),
            appending: Mutex::default(),
            maintaining: Mutex::default(),
            compaction: CompactionMeasures::default(),
            checkpointed: (maintain::last_checkpoint(&store).await).into(),
            store,
        };
        let loaded = lake.log.load().await?;
        lake.publish(Arc::new(lake.snapshot_of(loaded)));
        Ok(lake)
    }

    /// The table as of the last commit this process made or saw.
    pub fn current(&self) -> Arc<LakeSnapshot> {
        self.current.load_full()
    }

    /// The last [`Seq`] the table holds of this node.
    pub fn covered(&self) -> Seq {
        self.current().covered
    }

    /// How it is kept.
    pub fn config(&self) -> &LakeConfig {
        &self.config
    }

    /// What compaction counts of itself.
    pub fn compaction(&self) -> &CompactionMeasures {
        &self.compaction
    }

    fn publish(&self, snapshot: Arc<LakeSnapshot>) {
        self.current.store(snapshot);
    }

    /// A snapshot of what the log says; files that somebody holds stay the same objects.
    fn snapshot_of(&self, loaded: Loaded) -> LakeSnapshot {
        let known = |file: LakeFile| self.known.get(&file.path).unwrap_or_else(|| self.known.add(file));
        let files = loaded.files.into_iter().map(known).collect();
        // What others committed is not known one by one.
        let rewritten = self.current().rewritten + 1;
        LakeSnapshot { rewritten, ..LakeSnapshot::new(loaded.version, loaded.covered, files) }
    }

    /// Writes rows (in [`stored_schema`](crate::event::stored_schema), any order) and commits them together with
    /// `last`, the last [`Seq`] that the table holds from then on; when this returns both are durable. `pace` is that of
    /// sorting and encoding.
    ///
    /// Rows the table holds already (after a commit that failed and yet landed) are left out; no rows at all is fine.
    ///
    /// # Errors
    /// With `Kind::Fatal` the process must stop: another one writes under this node's name. After any other error
    /// nothing is visible, and the same rows can be appended again; files already written are vacuumed later.
    pub async fn append(&self, batches: Vec<RecordBatch>, last: Seq, pace: Pace) -> Result<Arc<LakeSnapshot>> {
        let _appending = self.appending.lock().await;
        let covered = {
            let _tip = self.tip().await?;
            self.covered()
        };
        if last <= covered {
            return Ok(self.current());
        }
        let (added, _writing) = self.write_flush(batches, covered, pace).await?;
        let change = Change { added, removed: Vec::new(), last, operation: log::write_operation(), data_change: true };
        let mut tip = self.tip().await?;
        if self.covered() != covered {
            return Err(Error::fatal("the lake moved on while a flush was being written"));
        }
        self.commit(&mut tip, &change, self.config.commit_attempts).await
    }

    /// Encodes a flush on a thread of its own and puts its files into the store.
    async fn write_flush(
        &self,
        batches: Vec<RecordBatch>,
        covered: Seq,
        pace: Pace,
    ) -> Result<(Vec<Arc<LakeFile>>, Vec<Writing>)> {
        let config = LakeConfig { encode_threads: pace.threads(self.config.encode_threads), ..self.config.clone() };
        let encoded = at_pace(pace, move || {
            let properties = writer::properties(&config, Purpose::Flush)?;
            let mut files = Vec::new();
            for (day, order) in writer::split_by_day(&batches, covered)? {
                for order in order.chunks(config.file_rows.max(1)) {
                    files.push((day, writer::encode_file(&properties, &config, &batches, order)?));
                }
            }
            Ok(files)
        })
        .await?;
        let puts = encoded.into_iter().map(|(day, encoded)| self.put(day, encoded));
        let written: Vec<_> = futures::stream::iter(puts).buffered(PARALLEL_PUTS).try_collect().await?;
        Ok(written.into_iter().unzip())
    }

    async fn put(&self, day: i32, encoded: Encoded) -> Result<(Arc<LakeFile>, Writing)> {
        let writing = self.known.writing(log::new_path(day));
        let bytes = encoded.content.len() as u64;
        self.store
            .put(&read::store_path(&writing.path)?, PutPayload::from_bytes(encoded.content))
            .await
            .map_err(|e| log::store_error("writing a lake file", e))?;
        Ok((self.written(&writing, day, bytes, &encoded.footer)?, writing))
    }

    /// The file that was just written.
    fn written(&self, writing: &Writing, day: i32, bytes: u64, footer: &Arc<Footer>) -> Result<Arc<LakeFile>> {
        let statistics = stats::from_footer(footer, day, bytes)?;
        let rows = footer.file_metadata().num_rows().unsigned_abs();
        let file = LakeFile::new(writing.path.clone(), day, bytes, rows, self.clock.now(), statistics);
        let file = self.known.add(file);
        self.known.keep_footer(&file, footer, self.config.metadata_bytes);
        Ok(file)
    }

    /// A file's Parquet footer, from memory or read and then kept in memory (within `LakeConfig::metadata_bytes`).
    pub async fn footer(&self, file: &Arc<LakeFile>) -> Result<Arc<Footer>> {
        let footer = read::footer(&self.store, file).await?;
        self.known.keep_footer(file, &footer, self.config.metadata_bytes);
        Ok(footer)
    }

    /// The keys of stored events for deduplication: columns `event_ts`, `event_id`, `client_ts` of every row of
    /// `snapshot` whose `event_ts` or `client_ts` lies in one of `hours` (hours since the Unix epoch).
    ///
    /// Files and row groups without such rows are not read; when there are none this costs no I/O.
    pub async fn read_keys(&self, snapshot: &LakeSnapshot, hours: &BTreeSet<i64>) -> Result<Vec<RecordBatch>> {
        let touched = |f: &&Arc<LakeFile>| read::file_touches(f, hours);
        let files: Vec<_> = snapshot.files.iter().filter(touched).map(Arc::clone).collect();
        let reads = files.into_iter().map(|file| async move {
            let footer = self.footer(&file).await?;
            let (store, hours) = (Arc::clone(&self.store), hours.clone());
            // Decoding is work for a thread of its own, not for the runtime's.
            let runtime = tokio::runtime::Handle::current();
            blocking(move || runtime.block_on(read::keys(&store, &file, footer, &hours))).await
        });
        let found: Vec<_> = futures::stream::iter(reads).buffered(PARALLEL_READS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The latest event time in the table.
    pub fn max_event_ts(&self) -> Option<Micros> {
        self.current().max_event_ts()
    }
}

/// A Parquet footer.
pub type Footer = parquet::file::metadata::ParquetMetaData;

/// Files of one flush that are put into the store at a time.
const PARALLEL_PUTS: usize = 4;
/// Files that are searched for keys at a time.
const PARALLEL_READS: usize = 4;

/// Runs CPU-bound work at a pace.
async fn at_pace<T: Send + 'static>(pace: Pace, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if pace == Pace::Hurried {
        return blocking(work).await;
    }
    // Not one of the runtime's threads: those are used again, and niceness stays.
    let (reply, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("calm".into()).spawn(move || {
        yield_to_others(CALM_NICENESS);
        // Whoever asked may have gone.
        let _ = reply.send(work());
    })?;
    outcome.await.map_err(|_| Error::internal("a lake worker stopped unexpectedly"))?
}

/// Runs CPU-bound work on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal(format!("a lake worker stopped unexpectedly: {e}")).with_source(e))?
}
