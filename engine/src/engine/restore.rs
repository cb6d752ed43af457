//! A data folder made of a backup.
//!
//! It is not the folder the backup was made of: that one may go on, and two that write under one node id would each take
//! the other's events for its own. So the log's rest is moved to the lake under the old id first, and then the folder gets a
//! new one. Everything is made in a folder within the new one, because that may be a mounted disk; while it is there no
//! server opens the folder, and restoring again begins anew.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::backup::{self, Manifest, problem, read_through, refuse, remove_tree};
use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::fs::Fs;
use crate::wal;

use super::{Engine, EngineConfig, open};

/// Where it is made.
pub(super) const UNFINISHED: &str = ".restore";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Files of the backup.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Events that were in the log and are in the lake now.
    pub moved: usize,
    /// Events in all.
    pub events: u64,
    /// The backup's node id.
    pub node_before: String,
    /// This folder's.
    pub node: String,
}

/// Restores the backup in `from` into the data folder of `config`, which must be empty. `from` is absolute.
///
/// # Errors
/// `folder_not_empty`; `backup_damaged`, naming the files, and then nothing is restored; the disk's.
pub async fn restore(
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    config: EngineConfig,
    from: &Path,
) -> Result<RestoreReport> {
    let dir = config.data_dir.clone();
    let manifest = backup::manifest(&*fs, from)?;
    let _lock = open::lock_new(&fs, &dir)?;
    make_room(&*fs, &dir)?;
    let made_in = dir.join(UNFINISHED);
    fs.create_dir_all(&made_in)?;
    let copied = copy(&*fs, &manifest, from, &made_in);
    if let Err(e) = copied {
        remove_tree(&*fs, &made_in)?;
        return Err(e);
    }
    let (moved, events) = drain(&fs, &clock, config, &made_in).await?;
    let node = open::new_node(&fs, &made_in, clock.now())?;
    for entry in fs.list(&made_in)? {
        let Some(name) = entry.path.file_name() else { continue };
        if name == "LOCK" || name == "tmp" {
            if entry.is_dir { remove_tree(&*fs, &entry.path) } else { fs.remove(&entry.path) }?;
        } else {
            fs.rename(&entry.path, &dir.join(name))?;
        }
    }
    fs.sync_dir(&dir)?;
    fs.remove_dir(&made_in)?;
    fs.sync_dir(&dir)?;
    Ok(RestoreReport {
        files: manifest.files.len(),
        bytes: manifest.bytes(),
        moved,
        events,
        node_before: manifest.node,
        node: node.to_string(),
    })
}

/// Empties a folder in which a restore was not finished; refuses any other that has something in it.
fn make_room(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let entries = fs.list(dir)?;
    let named = |path: &Path, name: &str| path.file_name().is_some_and(|n| n == name);
    // What a file system has of its own, and the lock that is held.
    let ours = |path: &Path| !named(path, "LOCK") && !named(path, "lost+found");
    if !entries.iter().any(|entry| named(&entry.path, UNFINISHED)) {
        return match entries.iter().find(|entry| ours(&entry.path)) {
            None => Ok(()),
            Some(entry) => {
                let message = format!("{} is not empty: it has {}", dir.display(), entry.path.display());
                Err(Error::invalid("folder_not_empty", message).with_hint(
                    "name a new folder with --data-dir; move this one aside if the backup is to take its place",
                ))
            }
        };
    }
    // The mark goes last: as long as anything is left of it, this can be done again.
    for entry in entries.iter().filter(|entry| ours(&entry.path) && !named(&entry.path, UNFINISHED)) {
        if entry.is_dir { remove_tree(fs, &entry.path) } else { fs.remove(&entry.path) }?;
    }
    fs.sync_dir(dir)?;
    Ok(remove_tree(fs, &dir.join(UNFINISHED))?)
}

/// Copies every file, comparing it with the manifest on the way, and syncs all.
fn copy(fs: &dyn Fs, manifest: &Manifest, from: &Path, to: &Path) -> Result<()> {
    let mut folders = std::collections::BTreeSet::from([to.to_owned()]);
    let mut problems = Vec::new();
    for entry in &manifest.files {
        let path = to.join(&entry.path);
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != to) {
            folders.insert(folder.to_owned());
        }
        for folder in folders.iter().filter(|folder| path.starts_with(folder)) {
            fs.create_dir(folder)?;
        }
        let copied = fs.open(&from.join(&entry.path)).map_err(Error::from).and_then(|source| {
            let mut file = fs.create(&path)?;
            let read = read_through(&*source, |bytes| Ok(file.write_all(bytes)?))?;
            file.sync()?;
            Ok(read)
        });
        match copied {
            // A full disk is not the backup's fault.
            Err(e) if e.kind == Kind::Busy => return Err(e.context(format!("cannot write {}", path.display()))),
            copied => problems.extend(problem(entry, copied)),
        }
    }
    refuse(from, problems)?;
    for folder in folders.iter().rev() {
        fs.sync_dir(folder)?;
    }
    Ok(())
}

/// Moves the log's rest to the lake under the old node id, and takes the log away. Returns how many events that were, and
/// how many there are.
async fn drain(fs: &Arc<dyn Fs>, clock: &Arc<dyn Clock>, mut config: EngineConfig, dir: &Path) -> Result<(usize, u64)> {
    config.data_dir = dir.to_owned();
    config.query.spill_dir = None;
    config.maintain.every = Duration::ZERO;
    config.alerts.enabled = false;
    // Those windows are of the folder that the backup was made of.
    config.hot.redis = None;
    let engine = Engine::open(config, Arc::clone(fs), Arc::clone(clock)).await?;
    let moved = engine.snapshot().buffer.rows();
    let report = engine.close().await?;
    let events = engine.snapshot().lake.rows;
    drop(engine);
    if report.rows_kept_in_log > 0 {
        let why = report.reason.unwrap_or_default();
        return Err(Error::internal(format!(
            "{} events of the log did not get into the lake: {why}",
            report.rows_kept_in_log
        )));
    }
    let wal_dir = dir.join("wal");
    for entry in fs.list(&wal_dir)?.into_iter().filter(|entry| wal::first_of(&entry.path).is_some()) {
        fs.remove(&entry.path)?;
    }
    fs.sync_dir(&wal_dir)?;
    Ok((moved, events))
}
