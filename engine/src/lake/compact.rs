//! Compaction: many small files of a day become one. Deciding what to merge is pure; the runner streams.
//!
//! Flushes leave one file a day and flush. While a day is live its files are merged by size class, so that each row is
//! rewritten a few times at most; once it is quiet whatever is small is merged once more. The commit only swaps files
//! (`dataChange` false) and carries this node's unchanged Seq. It is tried once: had the table moved on, the work is
//! dropped and the next round plans anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deltalake::protocol::DeltaOperation;
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;

use super::commit::CONFLICT;
use super::files::{LakeFile, LakeSnapshot};
use super::log::{Change, new_path};
use super::merge::{Merge, Upload};
use super::writer::{Encoder, Purpose, properties};
use super::{Footer, Lake, LakeConfig, at_pace, read};
use crate::clock::{MILLISECOND, Micros};
use crate::error::{Error, Kind, Result};
use crate::event::day_of;
use crate::measure::{Counter, Histogram, LONG};
use crate::pace::Pace;

/// What is merged, and when.
#[derive(Debug, Clone)]
pub struct CompactionPolicy {
    /// The size a merged file should reach, in bytes. Files of half this and more are left alone.
    pub target_bytes: u64,
    /// Files of one size class that a live day must have before they are merged.
    pub min_files: usize,
    /// Most files merged at a time: each costs memory for one row group.
    pub max_files: usize,
    /// How long a past day must have been left alone before its rest is merged.
    pub quiet: Duration,
}

impl Default for CompactionPolicy {
    fn default() -> Self {
        Self { target_bytes: 192 << 20, min_files: 8, max_files: 48, quiet: Duration::from_secs(3600) }
    }
}

/// What compaction counts of itself since the process started. A merge makes one file of several.
#[derive(Debug)]
pub struct CompactionMeasures {
    /// How long a merge took, its commit included.
    pub took: Histogram,
    /// Merges that were committed.
    pub merged: Counter,
    /// Merges whose work was dropped: the table had moved on.
    pub dropped: Counter,
    /// Merges that failed.
    pub failed: Counter,
    /// Files that were replaced.
    pub files: Counter,
    /// Their size.
    pub read_bytes: Counter,
    /// Size of what replaced them.
    pub written_bytes: Counter,
}

impl Default for CompactionMeasures {
    fn default() -> Self {
        Self {
            took: Histogram::new(LONG),
            merged: Counter::default(),
            dropped: Counter::default(),
            failed: Counter::default(),
            files: Counter::default(),
            read_bytes: Counter::default(),
            written_bytes: Counter::default(),
        }
    }
}

/// How much is worth merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eagerness {
    /// What pays off now.
    Background,
    /// Whatever is small, today's files too: somebody asked for it.
    Everything,
}

/// Files of one day to be merged into one.
#[derive(Debug, Clone)]
pub struct Job {
    /// The day.
    pub day: i32,
    /// The files, newest first.
    pub files: Vec<Arc<LakeFile>>,
}

/// Files below this size are one class; above, each class spans a factor of four.
const SMALLEST_CLASS_BYTES: u64 = 256 << 10;

fn class(bytes: u64) -> u32 {
    (bytes / SMALLEST_CLASS_BYTES).checked_ilog2().map_or(0, |n| 1 + n / 2)
}

/// What to merge, the job with most files first. `files` are all live files, newest first.
pub fn plan(files: &[Arc<LakeFile>], policy: &CompactionPolicy, now: Micros, eagerness: Eagerness) -> Vec<Job> {
    let mut days: BTreeMap<i32, Vec<&Arc<LakeFile>>> = BTreeMap::new();
    for file in files.iter().filter(|f| f.bytes < policy.target_bytes / 2) {
        days.entry(file.day).or_default().push(file);
    }
    let quiet = i64::try_from(policy.quiet.as_millis()).unwrap_or(i64::MAX / MILLISECOND) * MILLISECOND;
    let mut jobs = Vec::new();
    for (day, small) in days {
        let newest = small.iter().map(|f| f.modified).max().unwrap_or(now);
        let settled = day < day_of(now) && newest <= now.saturating_sub(quiet);
        if eagerness == Eagerness::Everything || (settled && pays_off(&small)) {
            jobs.extend(chunks(day, &small, policy, 2));
            continue;
        }
        let mut classes: BTreeMap<u32, Vec<&Arc<LakeFile>>> = BTreeMap::new();
        for file in small {
            classes.entry(class(file.bytes)).or_default().push(file);
        }
        for files in classes.into_values() {
            jobs.extend(chunks(day, &files, policy, policy.min_files.max(2)));
        }
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.files.len()));
    jobs
}

/// Whether merging a quiet day is worth rewriting its largest small file: one late event is not.
fn pays_off(small: &[&Arc<LakeFile>]) -> bool {
    let total: u64 = small.iter().map(|f| f.bytes).sum();
    let largest = small.iter().map(|f| f.bytes).max().unwrap_or(0);
    small.len() > 4 || (total - largest) * 8 >= largest
}

/// Neighbours in time, in groups of `least` files and more that stay within the target.
fn chunks(day: i32, files: &[&Arc<LakeFile>], policy: &CompactionPolicy, least: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut group: Vec<Arc<LakeFile>> = Vec::new();
    let mut bytes = 0;
    for file in files {
        if group.len() >= policy.max_files.max(2) || (bytes + file.bytes > policy.target_bytes && !group.is_empty()) {
            jobs.push(Job { day, files: std::mem::take(&mut group) });
            bytes = 0;
        }
        group.push(Arc::clone(file));
        bytes += file.bytes;
    }
    jobs.push(Job { day, files: group });
    jobs.retain(|job| job.files.len() >= least);
    jobs
}

impl Lake {
    /// Merges the files of one day that need it most; `None` when there is nothing to merge, or another writer was
    /// quicker (nothing changed then). Call it until it returns `None`.
    ///
    /// It may run beside queries and appends: memory is bounded, and only the commit waits its turn. Dropping the
    /// future stops the work at the next row group.
    pub async fn compact(&self, eagerness: Eagerness) -> Result<Option<Arc<LakeSnapshot>>> {
        let _maintaining = self.maintaining.lock().await;
        let pace = if eagerness == Eagerness::Background { Pace::Calm } else { Pace::Hurried };
        let jobs = plan(&self.current().files, &self.config.compaction, self.clock.now(), eagerness);
        let mut failed = None;
        for job in &jobs {
            let begun = Instant::now();
            let merged = self.merge(job, pace).await;
            self.compaction.took.took(begun.elapsed());
            match &merged {
                Ok(Some(_)) => self.compaction.merged.inc(),
                Ok(None) => self.compaction.dropped.inc(),
                Err(_) => self.compaction.failed.inc(),
            }
            match merged {
                Err(e) if e.kind == Kind::Corrupt => {
                    // The other days must not wait for this one to be repaired.
                    tracing::error!(day = job.day, error = %e, "these files cannot be merged");
                    failed = Some(e);
                }
                done => return done,
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Merges the files of one job and commits the result.
    pub(super) async fn merge(&self, job: &Job, pace: Pace) -> Result<Option<Arc<LakeSnapshot>>> {
        let mut inputs = Vec::with_capacity(job.files.len());
        for file in &job.files {
            inputs.push((Arc::clone(file), read::footer(&self.store, file).await?));
        }
        let writing = self.known.writing(new_path(job.day));
        let (store, config, path) = (Arc::clone(&self.store), self.config.clone(), read::store_path(&writing.path)?);
        let runtime = tokio::runtime::Handle::current();
        // The thread cannot be stopped from outside; it looks whether this future is still wanted.
        let wanted = CancellationToken::new();
        let _unwanted_when_dropped = wanted.clone().drop_guard();
        // Decoding and encoding on one thread of their own, off the runtime.
        let work = move || runtime.block_on(merge_files(&store, inputs, Upload::new(&store, path), &config, &wanted));
        let (bytes, footer) = at_pace(pace, work).await?;
        let file = self.written(&writing, job.day, bytes, &footer)?;
        let rows: u64 = job.files.iter().map(|f| f.rows).sum();
        if file.rows != rows {
            return Err(Error::corrupt(format!("{} rows became {} when merged; nothing was changed", rows, file.rows))
                .with_hint("run `tideline check`"));
        }
        let target_size = i64::try_from(self.config.compaction.target_bytes).unwrap_or(i64::MAX);
        let operation = DeltaOperation::Optimize { predicate: None, target_size };
        let mut tip = self.tip().await?;
        let change = Change {
            added: vec![file],
            removed: job.files.clone(),
            last: self.covered(),
            operation,
            data_change: false,
        };
        match self.commit(&mut tip, &change, 1).await {
            Ok(snapshot) => {
                self.compaction.files.add(job.files.len() as u64);
                self.compaction.read_bytes.add(job.files.iter().map(|f| f.bytes).sum());
                self.compaction.written_bytes.add(bytes);
                Ok(Some(snapshot))
            }
            Err(e) if e.code == CONFLICT => {
                tracing::info!(day = job.day, "a compaction was dropped: the table moved on meanwhile");
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

async fn merge_files(
    store: &Arc<dyn ObjectStore>,
    inputs: Vec<(Arc<LakeFile>, Arc<Footer>)>,
    mut upload: Upload,
    config: &LakeConfig,
    wanted: &CancellationToken,
) -> Result<(u64, Arc<Footer>)> {
    let merged = async {
        let mut merge = Merge::open(store, inputs).await?;
        let mut encoder = Encoder::new(properties(config, Purpose::Compact)?, 1)?;
        loop {
            let (batches, order) = merge.next(config.row_group_rows.max(1)).await?;
            if order.is_empty() {
                break;
            }
            if wanted.is_cancelled() {
                return Err(Error::new(Kind::Cancelled, "cancelled", "the compaction was cancelled"));
            }
            encoder.row_group(&batches, &order)?;
            upload.push(&encoder.take()).await?;
        }
        let end = encoder.finish()?;
        upload.push(&end.content).await?;
        Ok(end.footer)
    };
    match merged.await {
        Ok(footer) => Ok((upload.finish().await?, footer)),
        Err(e) => {
            upload.abort().await;
            Err(e)
        }
    }
}
