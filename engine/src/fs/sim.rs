//! A disk in memory that can lose power, lie about syncs and fail when told. For tests of everything that uses [`Fs`].
//!
//! It keeps two states: what processes see, and what would be there after a loss of power. Content becomes durable with
//! [`WriteFile::sync`], names with [`Fs::sync_dir`] on their folder, and nothing earlier. A rename is one step: after
//! a loss of power the file has the old name or the new one. After a failed sync the content stays visible but is
//! never written, and the next sync succeeds all the same: that is what Linux does.
//!
//! ```
//! # use tideline_engine::fs::{Fs, SimFs};
//! # use std::path::Path;
//! let disk = SimFs::new();
//! let mut file = disk.create(Path::new("/a"))?;
//! std::io::Write::write_all(&mut file, b"hello")?;
//! file.sync()?;
//! assert!(disk.power_loss().read(Path::new("/a")).is_err(), "its name was not synced");
//! disk.sync_dir(Path::new("/"))?;
//! assert_eq!(disk.power_loss().read(Path::new("/a"))?, "hello");
//! # std::io::Result::Ok(())
//! ```

use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Entry, Fs, LockGuard, ReadFile, Stat, WriteFile};

mod disk;

use disk::{Chance, Content, Disk, Ino, Node, empty_dir, error};

/// What an operation does. Only those that change something are counted and can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// [`Fs::create`]
    Create,
    /// A write to an open file.
    Write,
    /// [`WriteFile::sync`]
    SyncFile,
    /// [`Fs::sync_dir`]
    SyncDir,
    /// [`Fs::truncate`]
    Truncate,
    /// [`Fs::link`]
    Link,
    /// [`Fs::rename`]
    Rename,
    /// [`Fs::remove`]
    Remove,
    /// [`Fs::create_dir`]
    CreateDir,
    /// [`Fs::remove_dir`]
    RemoveDir,
}

/// One operation: what it did, to which path (of two, the new one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// What it does.
    pub kind: OpKind,
    /// To what.
    pub path: PathBuf,
}

/// What a sync makes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// A file's content.
    File,
    /// A folder's names.
    Dir,
}

/// Which operations a [`Fault`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Writes to open files.
    Write,
    /// Syncs of files and folders, and truncations, which sync.
    Sync,
    /// Everything that changes something.
    Any,
}

/// A failure to come.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which operations count.
    pub on: On,
    /// Which of them fails, counted from now: 1 is the next one.
    pub nth: u64,
    /// With which error.
    pub error: ErrorKind,
    /// Whether all of them fail from then on.
    pub lasting: bool,
    /// Whether a write that fails leaves half of its bytes.
    pub partial: bool,
}

impl Fault {
    /// One failure of the `nth` operation from now that `on` counts; a failing write leaves half of its bytes.
    pub fn once(on: On, nth: u64, error: ErrorKind) -> Self {
        Self { on, nth, error, lasting: false, partial: true }
    }

    /// The process is gone at the `nth` operation from now: that one and all after it fail.
    pub fn crash(nth: u64) -> Self {
        Self { on: On::Any, nth, error: ErrorKind::Other, lasting: true, partial: true }
    }
}

/// The simulated disk: a cheap handle, clones share it.
#[derive(Clone)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
}

impl Default for SimFs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimFs")
    }
}

impl SimFs {
    /// An empty disk: the folder `/` and nothing in it.
    pub fn new() -> Self {
        Self::of(Disk { nodes: vec![empty_dir()], ..Disk::default() })
    }

    fn of(disk: Disk) -> Self {
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// The disk after a loss of power: everything that was not synced is gone. Faults and lies end with it; this disk
    /// stays as it is.
    pub fn power_loss(&self) -> Self {
        Self::of(self.disk.lock().after_power_loss(None))
    }

    /// Like [`power_loss`](Self::power_loss), but some of what was not synced survives, by chance from a seed: any
    /// part of the changes of names; of a file's unsynced bytes any beginning, that and zeros up to its length, or all but
    /// a hole of zeros.
    pub fn power_loss_random(&self, seed: u64) -> Self {
        Self::of(self.disk.lock().after_power_loss(Some(Chance(seed))))
    }

    /// Lets something fail.
    pub fn fail(&self, fault: Fault) {
        self.disk.lock().faults.push(fault);
    }

    /// Forgets the faults to come.
    pub fn heal(&self) {
        self.disk.lock().faults.clear();
    }

    /// Makes the disk lie: a sync for which `ignores` is true succeeds and does nothing. To prove that a sync is needed.
    pub fn ignore_syncs(&self, ignores: impl Fn(&Path, SyncKind) -> bool + Send + 'static) {
        self.disk.lock().liar = Some(Box::new(ignores));
    }

    /// Every operation so far that changed something, or failed to.
    pub fn ops(&self) -> Vec<Op> {
        self.disk.lock().ops.clone()
    }

    /// How many [`ops`](Self::ops) there were.
    pub fn op_count(&self) -> u64 {
        self.disk.lock().ops.len() as u64
    }

    /// Every sync that succeeded so far, ignored ones included.
    pub fn syncs(&self) -> Vec<(PathBuf, SyncKind)> {
        self.disk.lock().syncs.clone()
    }

    /// Replaces a file's content, durably and without counting as an operation: for tests that damage files.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let ino = disk.file(path)?;
        *disk.content(ino)? = Content {
            seen: bytes.to_vec(),
            durable_len: bytes.len(),
            modified_ms: disk.now_ms(),
            ..Content::default()
        };
        Ok(())
    }
}

#[derive(Debug)]
struct Writer {
    fs: SimFs,
    ino: Ino,
    path: PathBuf,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.fs.disk.lock();
        let outcome = disk.count(OpKind::Write, &self.path);
        let now = disk.now_ms();
        let content = disk.content(self.ino)?;
        content.modified_ms = now;
        match outcome {
            Ok(()) => {
                content.seen.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Err(fault) => {
                if fault.partial {
                    content.seen.extend_from_slice(&bytes[..bytes.len() / 2]);
                }
                Err(error(fault.error, &self.path))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for Writer {
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.fs.disk.lock();
        if let Err(e) = disk.op(OpKind::SyncFile, &self.path) {
            disk.content(self.ino)?.fail_to_sync();
            return Err(e);
        }
        if disk.sync_is_real(&self.path, SyncKind::File) {
            disk.content(self.ino)?.sync();
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Reader {
    fs: SimFs,
    ino: Ino,
    len: u64,
}

impl ReadFile for Reader {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut disk = self.fs.disk.lock();
        let seen = &disk.content(self.ino)?.seen;
        let bytes = seen.get(range.start as usize..range.end as usize);
        bytes.map(Bytes::copy_from_slice).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}

#[derive(Debug)]
struct Lock {
    fs: SimFs,
    path: PathBuf,
}

impl LockGuard for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.fs.disk.lock().locks.remove(&self.path);
    }
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut disk = self.disk.lock();
        disk.op(OpKind::Create, path)?;
        let (dir, name) = disk.free_place(path)?;
        let modified_ms = disk.now_ms();
        let ino = disk.add(Node::File(Content { modified_ms, ..Content::default() }));
        disk.change(vec![(dir, name, Some(ino))]);
        Ok(Box::new(Writer { fs: self.clone(), ino, path: path.to_path_buf() }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        let mut disk = self.disk.lock();
        let ino = disk.file(path)?;
        let len = disk.content(ino)?.seen.len() as u64;
        Ok(Arc::new(Reader { fs: self.clone(), ino, len }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.op(OpKind::Truncate, path)?;
        let ino = disk.file(path)?;
        let modified_ms = disk.now_ms();
        let real = disk.sync_is_real(path, SyncKind::File);
        let content = disk.content(ino)?;
        content.modified_ms = modified_ms;
        content.cut(len as usize);
        if real {
            content.sync();
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.op(OpKind::Link, to)?;
        let ino = disk.file(from)?;
        let (dir, name) = disk.free_place(to)?;
        disk.change(vec![(dir, name, Some(ino))]);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.op(OpKind::Rename, to)?;
        let ino = disk.find(from)?;
        let (from_dir, from_name) = disk.place(from)?;
        let (to_dir, to_name) = disk.place(to)?;
        match disk.entries(to_dir, to)?.get(&to_name) {
            // Two names of one file: POSIX asks to do nothing.
            Some(&old) if old == ino => return Ok(()),
            Some(&old) if matches!(disk.nodes[old], Node::Dir { .. }) => {
                return Err(error(ErrorKind::AlreadyExists, to));
            }
            _ => {}
        }
        disk.change(vec![(from_dir, from_name, None), (to_dir, to_name, Some(ino))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.op(OpKind::Remove, path)?;
        disk.file(path)?;
        let (dir, name) = disk.place(path)?;
        disk.change(vec![(dir, name, None)]);
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.op(OpKind::CreateDir, path)?;
        if matches!(disk.find(path).map(|ino| &disk.nodes[ino]), Ok(Node::Dir { .. })) {
            return Ok(());
        }
        let (dir, name) = disk.free_place(path)?;
        let ino = disk.add(empty_dir());
        disk.change(vec![(dir, name, Some(ino))]);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.op(OpKind::RemoveDir, path)?;
        let ino = disk.find(path)?;
        if !disk.entries(ino, path)?.is_empty() {
            return Err(error(ErrorKind::DirectoryNotEmpty, path));
        }
        let (dir, name) = disk.place(path)?;
        disk.change(vec![(dir, name, None)]);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let disk = self.disk.lock();
        let entries = disk.entries(disk.find(dir)?, dir)?;
        let entry = |(name, &ino): (&OsString, &Ino)| Entry {
            path: dir.join(name),
            is_dir: matches!(disk.nodes[ino], Node::Dir { .. }),
        };
        Ok(entries.iter().map(entry).collect())
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let mut disk = self.disk.lock();
        let ino = disk.file(path)?;
        let content = disk.content(ino)?;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(content.modified_ms);
        Ok(Stat { len: content.seen.len() as u64, modified })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.op(OpKind::SyncDir, dir)?;
        let ino = disk.find(dir)?;
        disk.entries(ino, dir)?;
        if disk.sync_is_real(dir, SyncKind::Dir) {
            disk.sync_names(ino);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        if !self.disk.lock().locks.insert(path.to_path_buf()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock { fs: self.clone(), path: path.to_path_buf() }))
    }
}
