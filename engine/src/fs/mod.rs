//! Every byte Tideline keeps goes through [`Fs`], so that a simulator can stand in for the disk and lose power.
//!
//! `kill -9` keeps the page cache; only a simulator that drops what was not fsynced shows that every fsync is
//! there and needed.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

pub mod crash;
mod disk;
pub mod hook;
pub mod host;
pub mod open_files;
pub mod real;
pub mod sim;
pub mod store;
mod upload;

#[cfg(test)]
mod tests;

pub use real::RealFs;
pub use sim::SimFs;
pub use store::FsStore;

/// A folder's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Full path.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// Facts about a file.
#[derive(Debug, Clone)]
pub struct Stat {
    /// Its length.
    pub len: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

/// A file being written, front to back.
pub trait WriteFile: io::Write + Debug + Send + Sync {
    /// Returns when every byte written so far would survive a loss of power (the file's content, not its name).
    fn sync(&mut self) -> io::Result<()>;
}

/// A file open for reading; it stays readable when its name is removed.
pub trait ReadFile: Debug + Send + Sync {
    /// Its length.
    fn len(&self) -> u64;

    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, which must lie within the file.
    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// A lock that lasts until it is dropped or its process ends.
pub trait LockGuard: Debug + Send + Sync {}

/// The file operations Tideline uses. Paths are absolute.
///
/// Contract: content survives a loss of power only after [`WriteFile::sync`]; a name (made by `create`, `link`,
/// `rename`, `create_dir`, or gone by `remove`) only after [`Fs::sync_dir`] on the folder that holds it.
pub trait Fs: Debug + Send + Sync {
    /// Creates a file; fails with `AlreadyExists` when the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a file.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>>;
    /// Cuts a file to `len` and syncs it. A writer that has it open goes on at the new end.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// Gives a file a second name; fails with `AlreadyExists` when that is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a file or folder, replacing a file that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder; one that exists is fine. Its parent must exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// A folder's entries, sorted by path.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Facts about a file; `NotFound` when there is none.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// Returns when the names in this folder would survive a loss of power.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Lets nobody but this user read a file, where the system has such rights.
    fn make_private(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    /// Takes the exclusive lock of this name, creating the file; `WouldBlock` while somebody holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;

    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = self.open(path)?;
        file.read_at(0..file.len())
    }

    /// Creates a folder and those above it, each synced into its parent.
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent();
        if self.list(path).is_ok() {
            // It may have been left by a process that was killed before it could sync the parent. A parent we may not
            // read is one that somebody else made the folder in.
            return match parent.map(|parent| self.sync_dir(parent)) {
                Some(Err(e)) if e.kind() != io::ErrorKind::PermissionDenied => Err(e),
                _ => Ok(()),
            };
        }
        if let Some(parent) = parent {
            self.create_dir_all(parent)?;
            self.create_dir(path)?;
            self.sync_dir(parent)?;
        }
        Ok(())
    }
}

/// Writes a whole small file: after a loss of power it is there completely, or as it was before.
pub fn write_durably(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    if fs.stat(&temporary).is_ok() {
        fs.remove(&temporary)?;
    }
    let mut file = fs.create(&temporary)?;
    file.write_all(bytes)?;
    file.sync()?;
    fs.rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => fs.sync_dir(folder),
        None => Ok(()),
    }
}
