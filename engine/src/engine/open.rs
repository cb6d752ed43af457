//! Opening a data folder: its lock, its identity, and the log's replay into the buffer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::buffer::{Buffer, Sealed};
use crate::clock::Micros;
use crate::error::{Error, Kind, Result};
use crate::event::{NodeId, Seq};
use crate::fs::store::FsStore;
use crate::fs::{Fs, LockGuard, write_durably};
use crate::wal::Wal;

use super::EngineConfig;

/// The version of the data folder's layout.
const FOLDER_FORMAT: u32 = 1;

/// Keeps other processes out of a data folder while it lives.
#[derive(Debug)]
pub struct FolderLock {
    _guard: Box<dyn LockGuard>,
}

/// `node.json`: who this folder is.
#[derive(Debug, Serialize, Deserialize)]
struct NodeFile {
    format: u32,
    node: String,
    created_us: Micros,
}

/// Creates a data folder where needed and takes its lock, as [`super::Engine::open`] does: for commands that change
/// small files in it without an engine.
///
/// # Errors
/// `Busy` (`data_dir_locked`) while another process has it.
pub fn lock(fs: &Arc<dyn Fs>, data_dir: &Path) -> Result<FolderLock> {
    let lock = lock_new(fs, data_dir)?;
    if fs.list(&data_dir.join(super::restore::UNFINISHED)).is_ok() {
        let message = format!("a backup was being restored into {} and is not whole", data_dir.display());
        return Err(Error::new(Kind::Corrupt, "restore_unfinished", message)
            .with_hint("run `tideline restore` again, with the same backup: it begins anew"));
    }
    Ok(lock)
}

/// The same, whatever is in the folder.
pub(super) fn lock_new(fs: &Arc<dyn Fs>, data_dir: &Path) -> Result<FolderLock> {
    fs.create_dir_all(data_dir).map_err(|e| {
        Error::from(e)
            .context(format!("cannot create the data folder {}", data_dir.display()))
            .with_hint("name a folder this user may write with --data-dir")
    })?;
    match fs.lock(&data_dir.join("LOCK")) {
        Ok(guard) => Ok(FolderLock { _guard: guard }),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Err(Error::busy(
            "data_dir_locked",
            format!("another process is using the data folder {}", data_dir.display()),
        )
        .with_hint("stop it, talk to it over HTTP, or name another folder with --data-dir")),
        Err(e) => Err(Error::from(e)
            .context(format!("cannot lock the data folder {}", data_dir.display()))
            .with_hint("run as the folder's owner, or name a folder this user may write with --data-dir")),
    }
}

/// The folder's node id, made on first use.
pub(super) fn node(fs: &Arc<dyn Fs>, data_dir: &Path, now: Micros) -> Result<NodeId> {
    let path = data_dir.join("node.json");
    match fs.read(&path) {
        Ok(bytes) => read_node(&bytes, &path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if fs.list(&data_dir.join("wal")).is_ok_and(|entries| !entries.is_empty()) {
                return Err(Error::corrupt(format!("{} is missing beside a write-ahead log", path.display()))
                    .with_hint("restore it from a backup: events are stored under the node id it names"));
            }
            new_node(fs, data_dir, now)
        }
        Err(e) => Err(e.into()),
    }
}

/// Gives the folder a new node id. Its log must be empty: what is in it belongs to the old one.
pub(super) fn new_node(fs: &Arc<dyn Fs>, data_dir: &Path, now: Micros) -> Result<NodeId> {
    let node = NodeId::random();
    let file = NodeFile { format: FOLDER_FORMAT, node: node.to_string(), created_us: now };
    let text = serde_json::to_vec_pretty(&file).map_err(|e| Error::internal(e.to_string()))?;
    write_durably(&**fs, &data_dir.join("node.json"), &text)?;
    Ok(node)
}

fn read_node(bytes: &[u8], path: &Path) -> Result<NodeId> {
    let damaged = |why: String| Error::corrupt(format!("{} cannot be read: {why}", path.display()));
    let file: NodeFile = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    if file.format > FOLDER_FORMAT {
        let message = format!("the data folder has format {}, this build reads up to {FOLDER_FORMAT}", file.format);
        return Err(Error::new(Kind::Invalid, "newer_format", message).with_hint("use a newer tideline"));
    }
    NodeId::parse(&file.node).ok_or_else(|| damaged(format!("'{}' is not a node id", file.node)))
}

/// Where the Delta table lives.
pub(super) fn table_root(data_dir: &Path) -> PathBuf {
    data_dir.join("lake")
}

/// The store of the table's files; every put is durable.
pub(super) fn store(fs: &Arc<dyn Fs>, data_dir: &Path) -> Result<Arc<FsStore>> {
    let root = table_root(data_dir);
    fs.create_dir_all(&root)?;
    Ok(Arc::new(FsStore::open(Arc::clone(fs), &root)?))
}

/// Replays what the lake does not cover into a buffer. Returns the log, the buffer and the last position.
pub(super) fn recover_log(fs: &Arc<dyn Fs>, config: &EngineConfig, covered: Seq) -> Result<(Wal, Buffer, Seq)> {
    let dir = config.data_dir.join("wal");
    fs.create_dir_all(&dir)?;
    let (wal, recovered) = Wal::open(Arc::clone(fs), &dir, config.wal.clone(), covered)?;
    if recovered.torn_bytes > 0 {
        tracing::info!(bytes = recovered.torn_bytes, "cut an unacknowledged, torn frame from the end of the log");
    }
    let mut buffer = Buffer::default();
    for frame in recovered.frames {
        buffer = buffer.push(Sealed::new(frame.first, frame.batch))?;
    }
    let last = buffer.last().unwrap_or(covered).max(recovered.last).max(covered);
    tracing::info!(rows = buffer.rows(), last_seq = last.0, clean = recovered.clean, "recovered the log");
    Ok((wal, buffer, last))
}
