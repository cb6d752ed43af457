//! The published snapshot as the query engine's table state.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::Result;
use crate::event::NodeId;
use crate::lake::{LakeFile, LakeSnapshot};
use crate::query::{ScanFile, TableState};
use crate::snapshot::{Published, Snapshot};

/// Translates snapshots, remembering the last one: between two changes all queries share one state, and between two
/// lake versions all states share one list of files. Only the list of files is kept alive by that, never rows.
#[derive(Debug)]
pub(super) struct TableStates {
    published: Arc<Published>,
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    snapshot: Weak<Snapshot>,
    state: Weak<TableState>,
    lake: Arc<LakeSnapshot>,
    files: Vec<Arc<ScanFile>>,
}

impl TableStates {
    pub fn new(published: Arc<Published>) -> Self {
        Self { published, last: Mutex::new(None) }
    }

    /// The state of this moment.
    pub fn current(&self) -> Result<Arc<TableState>> {
        self.of(self.published.load())
    }

    /// The state of this moment, and a name that no other state of this folder has.
    pub fn versioned(&self, node: &NodeId) -> Result<(String, Arc<TableState>)> {
        let snapshot = self.published.load();
        let last = snapshot.buffer.last().unwrap_or(snapshot.lake.covered).max(snapshot.lake.covered);
        Ok((format!("{node} {} {}", snapshot.lake.version, last.0), self.of(snapshot)?))
    }

    fn of(&self, snapshot: Arc<Snapshot>) -> Result<Arc<TableState>> {
        let mut last = self.last.lock();
        let mut files = None;
        if let Some(known) = &*last {
            if Weak::ptr_eq(&known.snapshot, &Arc::downgrade(&snapshot))
                && let Some(state) = known.state.upgrade()
            {
                return Ok(state);
            }
            if Arc::ptr_eq(&known.lake, &snapshot.lake) {
                files = Some(known.files.clone());
            }
        }
        let files = files.unwrap_or_else(|| snapshot.lake.files.iter().map(scan_file).collect());
        let state = Arc::new(table_state(&snapshot, files.clone())?);
        *last = Some(Last {
            snapshot: Arc::downgrade(&snapshot),
            state: Arc::downgrade(&state),
            lake: Arc::clone(&snapshot.lake),
            files,
        });
        Ok(state)
    }
}

fn table_state(snapshot: &Snapshot, files: Vec<Arc<ScanFile>>) -> Result<TableState> {
    let batches = snapshot.buffer.batches();
    let buffer = batches.iter().map(|b| b.table().cloned()).collect::<Result<Vec<_>>>()?;
    let latest = batches.iter().filter_map(|b| b.max_event_ts()).max();
    let through = snapshot.lake.max_event_ts().max(latest);
    let mut state = TableState::new(files, buffer, snapshot.lake.version, through);
    state.rewritten = snapshot.lake.rewritten;
    Ok(state)
}

fn scan_file(file: &Arc<LakeFile>) -> Arc<ScanFile> {
    Arc::new(ScanFile {
        path: file.path.clone(),
        bytes: file.bytes,
        rows: usize::try_from(file.rows).unwrap_or(usize::MAX),
        day: file.day,
        statistics: Arc::clone(&file.statistics),
        metadata: file.metadata(),
        pin: Arc::clone(file) as _,
    })
}
