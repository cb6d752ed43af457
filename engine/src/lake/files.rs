//! The live files of the lake, in memory: what a query prunes, and what keeps a file on disk while it is read.
//!
//! A [`LakeSnapshot`] is immutable and swapped as a whole. Every [`LakeFile`] in it is shared by reference count:
//! vacuum deletes a file only when the table no longer names it *and* nobody holds it any more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use parking_lot::Mutex;
use parquet::file::metadata::ParquetMetaData;

use crate::clock::Micros;
use crate::event::{Seq, index};

/// One immutable Parquet file of the table.
#[derive(Debug)]
pub struct LakeFile {
    /// Where it is, relative to the table's root: `event_date=2026-01-31/part-….parquet`.
    pub path: String,
    /// The partition: the UTC day of every row, in days since the epoch.
    pub day: i32,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// When it was written.
    pub modified: Micros,
    /// What is known of each column of `event::table_schema()`. `Exact` bounds are the bounds themselves; `Inexact`
    /// ones (text that was cut short) still enclose every value; a column without values, or beyond the first 32 of a
    /// file that another process wrote, has none.
    pub statistics: Arc<Statistics>,
    metadata: ArcSwapOption<ParquetMetaData>,
}

impl LakeFile {
    pub(super) fn new(path: String, day: i32, bytes: u64, rows: u64, modified: Micros, statistics: Statistics) -> Self {
        let metadata = ArcSwapOption::empty();
        Self { path, day, bytes, rows, modified, statistics: Arc::new(statistics), metadata }
    }

    /// The Parquet footer, when it is in memory (bounded, see `LakeConfig::metadata_bytes`).
    pub fn metadata(&self) -> Option<Arc<ParquetMetaData>> {
        self.metadata.load_full()
    }

    /// Exact bounds (lowest, highest) of a time column; `None` when it has no values or nothing is known.
    pub fn time_bounds(&self, column: usize) -> Option<(Micros, Micros)> {
        let column = self.statistics.column_statistics.get(column)?;
        Some((micros(&column.min_value)?, micros(&column.max_value)?))
    }

    /// Whether it is known that a column holds nothing but nulls.
    pub fn all_null(&self, column: usize) -> bool {
        let nulls = self.statistics.column_statistics.get(column).map(|c| c.null_count);
        matches!(nulls, Some(Precision::Exact(nulls)) if nulls as u64 == self.rows)
    }

    /// The latest event time in it.
    pub fn max_event_ts(&self) -> Option<Micros> {
        self.time_bounds(index::EVENT_TS).map(|(_, max)| max)
    }
}

fn micros(bound: &Precision<ScalarValue>) -> Option<Micros> {
    match bound {
        Precision::Exact(ScalarValue::TimestampMicrosecond(value, _)) => *value,
        _ => None,
    }
}

/// The table at one version.
#[derive(Debug)]
pub struct LakeSnapshot {
    /// The Delta version.
    pub version: i64,
    /// The last [`Seq`] of this node that the table holds; [`Seq::ZERO`] before the first.
    pub covered: Seq,
    /// Every live file, newest first: by day, then by latest event time.
    pub files: Vec<Arc<LakeFile>>,
    /// Rows in all files.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Grows when rows may have left the table or changed: by retention, or by commits of others. Not by compaction.
    pub rewritten: u64,
}

impl LakeSnapshot {
    pub(super) fn new(version: i64, covered: Seq, mut files: Vec<Arc<LakeFile>>) -> Self {
        files.sort_by_cached_key(|f| std::cmp::Reverse((f.day, f.time_bounds(index::EVENT_TS), f.path.clone())));
        let rows = files.iter().map(|f| f.rows).sum();
        let bytes = files.iter().map(|f| f.bytes).sum();
        Self { version, covered, files, rows, bytes, rewritten: 0 }
    }

    /// The next version: without `removed`, with `added`; `data_change` when these are not the same rows.
    pub(super) fn next(
        &self,
        added: &[Arc<LakeFile>],
        removed: &[Arc<LakeFile>],
        covered: Seq,
        data_change: bool,
    ) -> Self {
        let gone: HashSet<&str> = removed.iter().map(|f| f.path.as_str()).collect();
        let kept = self.files.iter().filter(|f| !gone.contains(f.path.as_str()));
        let rewritten = self.rewritten + u64::from(data_change && !removed.is_empty());
        Self { rewritten, ..Self::new(self.version + 1, covered, kept.chain(added).cloned().collect()) }
    }

    /// Whether every one of `files` is live.
    pub(super) fn holds(&self, files: &[Arc<LakeFile>]) -> bool {
        if files.is_empty() {
            return true;
        }
        let live: HashSet<&str> = self.files.iter().map(|f| f.path.as_str()).collect();
        files.iter().all(|f| live.contains(f.path.as_str()))
    }

    /// The latest event time of all rows.
    pub fn max_event_ts(&self) -> Option<Micros> {
        self.files.iter().filter_map(|f| f.max_event_ts()).max()
    }
}

/// Every file this process knows of, whether or not the table still names it.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, Weak<LakeFile>>,
    /// Being written: not in the table yet, or never to be.
    writing: HashSet<String>,
    /// Files whose footer is kept, oldest first, with its size.
    footers: VecDeque<(Weak<LakeFile>, usize)>,
    footer_bytes: usize,
}

impl Known {
    pub(super) fn add(&self, file: LakeFile) -> Arc<LakeFile> {
        let file = Arc::new(file);
        self.0.lock().files.insert(file.path.clone(), Arc::downgrade(&file));
        file
    }

    /// The file of this path, if somebody holds it.
    pub(super) fn get(&self, path: &str) -> Option<Arc<LakeFile>> {
        self.0.lock().files.get(path).and_then(Weak::upgrade)
    }

    /// Keeps a footer in memory, letting the oldest go beyond `limit` bytes in all.
    pub(super) fn keep_footer(&self, file: &Arc<LakeFile>, footer: &Arc<ParquetMetaData>, limit: usize) {
        let bytes = footer.memory_size();
        let mut state = self.0.lock();
        if file.metadata.load().is_some() || bytes > limit {
            return;
        }
        file.metadata.store(Some(Arc::clone(footer)));
        state.footers.push_back((Arc::downgrade(file), bytes));
        state.footer_bytes += bytes;
        while state.footer_bytes > limit {
            let Some((oldest, bytes)) = state.footers.pop_front() else { break };
            state.footer_bytes = state.footer_bytes.saturating_sub(bytes);
            if let Some(oldest) = oldest.upgrade() {
                oldest.metadata.store(None);
            }
        }
    }

    /// Marks a path as being written until the guard is dropped.
    pub(super) fn writing(self: &Arc<Self>, path: String) -> Writing {
        self.0.lock().writing.insert(path.clone());
        Writing { known: Arc::clone(self), path }
    }

    /// Whether a file must stay on disk: somebody reads it, or it is being written.
    pub(super) fn is_held(&self, path: &str) -> bool {
        let state = self.0.lock();
        state.writing.contains(path) || state.files.get(path).is_some_and(|f| f.strong_count() > 0)
    }

    /// Whether a file is being written: not in the table yet.
    pub(super) fn is_being_written(&self, path: &str) -> bool {
        self.0.lock().writing.contains(path)
    }

    /// Forgets the files nobody holds.
    pub(super) fn tidy(&self) {
        self.0.lock().files.retain(|_, f| f.strong_count() > 0);
    }
}

/// A path that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    known: Arc<Known>,
    pub(super) path: String,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.known.0.lock().writing.remove(&self.path);
    }
}
