//! What the maintainer does, and `tideline check`: retention, vacuum, checkpoints of the log, and looking whether
//! every file is there and whole. None of it stands on the data path.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deltalake::protocol::DeltaOperation;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::files::{LakeFile, LakeSnapshot};
use super::log::{Change, day_of_path, store_error};
use super::{Lake, read};
use crate::clock::{MILLISECOND, Micros};
use crate::error::Result;
use crate::event::{EVENT_DATE, day_name};

/// What a vacuum deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What [`Lake::verify`] found.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// Live files.
    pub files: u64,
    /// Their rows, as the files themselves say.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, a sentence each; empty when all is well.
    pub problems: Vec<String>,
}

/// Files looked at in parallel.
const PARALLEL_CHECKS: usize = 8;

/// The version of the last checkpoint; 0 when there is none or it cannot be read (the next one repairs that).
pub(super) async fn last_checkpoint(store: &Arc<dyn ObjectStore>) -> i64 {
    let read = async {
        let hint = store.get(&Path::from("_delta_log/_last_checkpoint")).await.ok()?.bytes().await.ok()?;
        serde_json::from_slice::<serde_json::Value>(&hint).ok()?.get("version")?.as_i64()
    };
    read.await.unwrap_or(0)
}

impl Lake {
    /// Removes whole days before `oldest_day` from the table; `None` when there are none. Their files are deleted by
    /// a later [`vacuum`](Self::vacuum).
    pub async fn retain(&self, oldest_day: i32) -> Result<Option<Arc<LakeSnapshot>>> {
        let _maintaining = self.maintaining.lock().await;
        let mut tip = self.tip().await?;
        let current = self.current();
        let removed: Vec<_> = current.files.iter().filter(|f| f.day < oldest_day).map(Arc::clone).collect();
        if removed.is_empty() {
            return Ok(None);
        }
        let predicate = Some(format!("{EVENT_DATE} < '{}'", day_name(oldest_day)));
        let operation = DeltaOperation::Delete { predicate };
        let change = Change { added: Vec::new(), removed, last: current.covered, operation, data_change: true };
        self.commit(&mut tip, &change, self.config.commit_attempts).await.map(Some)
    }

    /// Deletes data files that the table has not named for `keep`, and those that were never committed and are older
    /// than that. Files that a query holds or that are being written stay.
    pub async fn vacuum(&self, keep: Duration) -> Result<Vacuumed> {
        let _maintaining = self.maintaining.lock().await;
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX / MILLISECOND);
        let oldest: Micros = self.clock.now().saturating_sub(keep_ms.saturating_mul(MILLISECOND));
        // Live files are held by the current snapshot.
        let may_go = |object: &ObjectMeta| {
            let path = object.location.as_ref();
            day_of_path(path).is_some()
                && object.last_modified.timestamp_micros() <= oldest
                && !self.known.is_held(path)
        };
        // The list of files before the log: what is committed in between is not in it, or is live by then.
        let listed = self.store.list(None).try_filter(|object| std::future::ready(may_go(object)));
        let listed: Vec<_> = listed.try_collect().await.map_err(|e| store_error("listing the lake", e))?;
        let mut done = Vacuumed::default();
        if listed.is_empty() {
            return Ok(done);
        }
        {
            // Other nodes may have committed files meanwhile.
            let mut tip = self.tip.lock().await;
            self.reload(&mut tip).await?;
        }
        let removals = self.log.removals().await?;
        for object in listed {
            let path = object.location.as_ref();
            if self.known.is_held(path) || removals.get(path).is_some_and(|&removed| removed > oldest) {
                continue;
            }
            match self.store.delete(&object.location).await {
                Ok(()) => {
                    done.files += 1;
                    done.bytes += object.size;
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(store_error("deleting a lake file", e)),
            }
        }
        self.known.tidy();
        Ok(done)
    }

    /// Whether the log has grown enough since the last checkpoint for another.
    pub fn checkpoint_due(&self) -> bool {
        let since = self.current().version - self.checkpointed.load(Ordering::Relaxed);
        since >= i64::try_from(self.config.checkpoint_commits).unwrap_or(i64::MAX)
    }

    /// Writes a checkpoint of the log, so that opening the table stays quick, and drops log entries past their
    /// retention. Returns the version.
    pub async fn checkpoint(&self) -> Result<i64> {
        let _maintaining = self.maintaining.lock().await;
        let (version, dropped) = self.log.checkpoint().await?;
        self.checkpointed.store(version, Ordering::Relaxed);
        tracing::debug!(version, dropped, "checkpoint of the lake's log");
        Ok(version)
    }

    /// Looks at every live file: that it is there, as long as the log says, and that its footer can be read and has the
    /// columns and the rows it should.
    pub async fn verify(&self) -> Result<Check> {
        let snapshot = self.current();
        let checks = snapshot.files.iter().map(|file| async move { (file, self.verify_file(file).await) });
        let mut checks = futures::stream::iter(checks).buffered(PARALLEL_CHECKS);
        let mut found = Check::default();
        while let Some((file, result)) = checks.next().await {
            found.files += 1;
            found.bytes += file.bytes;
            match result {
                Ok(rows) => found.rows += rows,
                Err(problem) => found.problems.push(format!("{}: {problem}", file.path)),
            }
        }
        Ok(found)
    }

    async fn verify_file(&self, file: &LakeFile) -> std::result::Result<u64, String> {
        let path = read::store_path(&file.path).map_err(|e| e.message)?;
        let found = match self.store.head(&path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err("the file is missing".to_owned()),
            Err(e) => return Err(e.to_string()),
        };
        if found.size != file.bytes {
            return Err(format!("it has {} bytes, the table says {}", found.size, file.bytes));
        }
        let footer = read::footer_on_disk(&self.store, file).await.map_err(|e| e.message)?;
        read::physical_schema(&footer).map_err(|e| e.message)?;
        let rows = footer.file_metadata().num_rows().unsigned_abs();
        if rows != file.rows {
            return Err(format!("it has {rows} rows, the table says {}", file.rows));
        }
        Ok(rows)
    }
}
