//! Dead letters after a crash or damage: making what is shown stay, and setting damage aside.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::format::{could_be_torn, readable_frames, scan, segment_header};
use super::list_segments;
use crate::error::Result;
use crate::fs::Fs;

/// Writes a segment anew up to `good`: its last frame may be in the page cache only (see `wal::recover`), and what
/// stands after it is cut.
pub(super) fn settle(fs: &dyn Fs, path: &Path, good: &[u8]) -> Result<()> {
    let staged = path.with_extension("tmp");
    match fs.remove(&staged) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let mut file = fs.create(&staged)?;
    match file.write_all(good).and_then(|()| file.sync()) {
        Ok(()) => fs.rename(&staged, path)?,
        Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            let _ = fs.remove(&staged);
            fs.truncate(path, good.len() as u64)?;
        }
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

/// Makes a damaged store open again: the frames that can be read go to a new segment, the damaged file is set aside
/// as `damaged-…` beside it. Nothing is deleted. The store must not be open. Returns the files set aside.
///
/// # Errors
/// The disk's. It can be run again.
pub fn repair(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>> {
    let found = list_segments(fs, dir)?;
    let mut aside = Vec::new();
    let mut next = found.last().map_or(1, |(n, _)| n + 1);
    let count = found.len();
    let mut key = None;
    let mut bad = Vec::new();
    for (n, (_, path)) in found.into_iter().enumerate() {
        let bytes = fs.read(&path)?;
        let scan = scan(&bytes);
        key = key.or(scan.key);
        if scan.problem.is_some() && (n + 1 < count || !could_be_torn(&bytes, &scan)) {
            bad.push((path, bytes));
        }
    }
    for (path, bytes) in bad {
        let (key, readable) = readable_frames(&bytes, key);
        if let (Some(key), false) = (key, readable.is_empty()) {
            let copy = dir.join(format!("dead-{next:020}.log"));
            next += 1;
            let parts = [segment_header(&key).to_vec(), readable].concat();
            let staged = copy.with_extension("tmp");
            let _ = fs.remove(&staged);
            let mut file = fs.create(&staged)?;
            file.write_all(&parts)?;
            file.sync()?;
            fs.rename(&staged, &copy)?;
            fs.sync_dir(dir)?;
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let to = dir.join(format!("damaged-{name}"));
        fs.rename(&path, &to)?;
        fs.sync_dir(dir)?;
        aside.push(to);
    }
    Ok(aside)
}
