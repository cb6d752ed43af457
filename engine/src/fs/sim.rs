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

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Entry, Fs, LockGuard, ReadFile, Stat, WriteFile};

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

type Liar = Box<dyn Fn(&Path, SyncKind) -> bool + Send>;
type Ino = usize;
const ROOT: Ino = 0;

#[derive(Default)]
struct Disk {
    nodes: Vec<Node>,
    /// Changes of names that are not durable yet, in order.
    pending: Vec<Change>,
    ops: Vec<Op>,
    syncs: Vec<(PathBuf, SyncKind)>,
    faults: Vec<Fault>,
    liar: Option<Liar>,
    locks: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone)]
enum Node {
    File(Content),
    Dir { seen: BTreeMap<OsString, Ino>, durable: BTreeMap<OsString, Ino> },
}

/// One step: every name in it changes, or none.
#[derive(Debug, Clone)]
struct Change(Vec<(Ino, OsString, Option<Ino>)>);

#[derive(Debug, Clone, Default)]
struct Content {
    seen: Vec<u8>,
    /// So many bytes of `seen` are durable, unless `durable` holds other bytes.
    durable_len: usize,
    /// The durable bytes, where they are not the beginning of `seen` (a truncation that was not synced).
    durable: Option<Vec<u8>>,
    /// Never written, because the sync that should have done it failed.
    lost: Vec<Range<usize>>,
    modified_ms: u64,
}

impl Content {
    fn sync(&mut self) {
        self.durable_len = self.seen.len();
        self.durable = None;
    }

    fn fail_to_sync(&mut self) {
        self.lost.push(self.durable_len..self.seen.len());
    }

    fn cut(&mut self, len: usize) {
        if len < self.durable_len && self.durable.is_none() {
            self.durable = Some(self.written(self.durable_len));
        }
        self.seen.resize(len, 0);
        self.durable_len = self.durable_len.min(len);
        self.lost.iter_mut().for_each(|lost| lost.end = lost.end.min(len));
        self.lost.retain(|lost| !lost.is_empty());
    }

    /// The first `len` bytes as they are on the disk.
    fn written(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.seen[..len].to_vec();
        for lost in &self.lost {
            let end = lost.end.min(len);
            bytes[lost.start.min(end)..end].fill(0);
        }
        bytes
    }

    fn after_power_loss(&self, chance: Option<&mut Chance>) -> Vec<u8> {
        let durable = self.durable.clone().unwrap_or_else(|| self.written(self.durable_len));
        let Some(chance) = chance else { return durable };
        if self.durable.is_some() && chance.coin() {
            return durable;
        }
        let mut bytes = self.written(self.seen.len());
        let mut unsynced = |from: usize| from + chance.below((bytes.len() - from) as u64 + 1) as usize;
        let (from, to) = (unsynced(self.durable_len), bytes.len());
        let hole_end = unsynced(from);
        match chance.below(3) {
            0 => bytes.truncate(from),
            // The new length was written, the blocks were not, or only those behind.
            1 => bytes[from..to].fill(0),
            _ => bytes[from..hole_end].fill(0),
        }
        bytes
    }
}

/// SplitMix64: enough chance for a test, from a seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{kind} (simulated disk): {}", path.display()))
}

impl Disk {
    /// Counts an operation, and says how it fails if it does.
    fn count(&mut self, kind: OpKind, path: &Path) -> Result<(), Fault> {
        self.ops.push(Op { kind, path: path.to_path_buf() });
        let counts = |on: On| match on {
            On::Any => true,
            On::Write => kind == OpKind::Write,
            On::Sync => matches!(kind, OpKind::SyncFile | OpKind::SyncDir | OpKind::Truncate),
        };
        let mut hit = None;
        for fault in self.faults.iter_mut().filter(|f| counts(f.on)) {
            fault.nth = fault.nth.saturating_sub(1);
            if fault.nth == 0 {
                hit = hit.or(Some(*fault));
            }
        }
        self.faults.retain(|f| f.nth > 0 || f.lasting);
        hit.map_or(Ok(()), Err)
    }

    fn op(&mut self, kind: OpKind, path: &Path) -> io::Result<()> {
        self.count(kind, path).map_err(|fault| error(fault.error, path))
    }

    /// Whether a sync is real; a lying disk says yes and does nothing.
    fn sync_is_real(&mut self, path: &Path, kind: SyncKind) -> bool {
        let ignored = self.liar.as_ref().is_some_and(|ignores| ignores(path, kind));
        self.syncs.push((path.to_path_buf(), kind));
        !ignored
    }

    fn now_ms(&self) -> u64 {
        self.ops.len() as u64
    }

    fn entries(&self, dir: Ino, path: &Path) -> io::Result<&BTreeMap<OsString, Ino>> {
        match &self.nodes[dir] {
            Node::Dir { seen, .. } => Ok(seen),
            Node::File(_) => Err(error(ErrorKind::NotADirectory, path)),
        }
    }

    fn find(&self, path: &Path) -> io::Result<Ino> {
        let mut at = ROOT;
        for part in path.components() {
            match part {
                Component::RootDir => {}
                Component::Normal(name) => {
                    let found = self.entries(at, path)?.get(name);
                    at = *found.ok_or_else(|| error(ErrorKind::NotFound, path))?;
                }
                _ => return Err(error(ErrorKind::InvalidInput, path)),
            }
        }
        Ok(at)
    }

    /// The folder a path's last name is in, and that name.
    fn place(&self, path: &Path) -> io::Result<(Ino, OsString)> {
        let name = path.file_name().ok_or_else(|| error(ErrorKind::InvalidInput, path))?;
        let dir = self.find(path.parent().unwrap_or(Path::new("/")))?;
        self.entries(dir, path)?;
        Ok((dir, name.to_owned()))
    }

    fn free_place(&self, path: &Path) -> io::Result<(Ino, OsString)> {
        let (dir, name) = self.place(path)?;
        if self.entries(dir, path)?.contains_key(&name) {
            return Err(error(ErrorKind::AlreadyExists, path));
        }
        Ok((dir, name))
    }

    fn file(&self, path: &Path) -> io::Result<Ino> {
        let ino = self.find(path)?;
        match self.nodes[ino] {
            Node::File(_) => Ok(ino),
            Node::Dir { .. } => Err(error(ErrorKind::NotFound, path)),
        }
    }

    fn content(&mut self, ino: Ino) -> io::Result<&mut Content> {
        match &mut self.nodes[ino] {
            Node::File(content) => Ok(content),
            Node::Dir { .. } => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn add(&mut self, node: Node) -> Ino {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn change(&mut self, steps: Vec<(Ino, OsString, Option<Ino>)>) {
        for (dir, name, target) in &steps {
            if let Node::Dir { seen, .. } = &mut self.nodes[*dir] {
                set(seen, name, *target);
            }
        }
        self.pending.push(Change(steps));
    }

    fn make_durable(&mut self, change: &Change) {
        for (dir, name, target) in &change.0 {
            if let Node::Dir { durable, .. } = &mut self.nodes[*dir] {
                set(durable, name, *target);
            }
        }
    }

    /// Makes a folder's changes durable, with earlier ones of other folders that they are entangled with by renames.
    fn sync_names(&mut self, dir: Ino) {
        let mut dirs = BTreeSet::from([dir]);
        let (mut chosen, mut rest) = (Vec::new(), Vec::new());
        for change in std::mem::take(&mut self.pending).into_iter().rev() {
            if change.0.iter().any(|(d, ..)| dirs.contains(d)) {
                dirs.extend(change.0.iter().map(|(d, ..)| *d));
                chosen.push(change);
            } else {
                rest.push(change);
            }
        }
        rest.reverse();
        self.pending = rest;
        chosen.iter().rev().for_each(|change| self.make_durable(change));
    }

    fn after_power_loss(&self, mut chance: Option<Chance>) -> Self {
        let mut disk = Self { nodes: self.nodes.clone(), ..Self::default() };
        if let Some(chance) = &mut chance {
            for change in &self.pending {
                if chance.coin() {
                    disk.make_durable(change);
                }
            }
        }
        for node in &mut disk.nodes {
            match node {
                Node::Dir { seen, durable } => seen.clone_from(durable),
                Node::File(content) => {
                    let bytes = content.after_power_loss(chance.as_mut());
                    let modified_ms = content.modified_ms;
                    *content = Content { durable_len: bytes.len(), seen: bytes, modified_ms, ..Content::default() };
                }
            }
        }
        disk
    }
}

fn set(names: &mut BTreeMap<OsString, Ino>, name: &OsString, target: Option<Ino>) {
    match target {
        Some(ino) => names.insert(name.clone(), ino),
        None => names.remove(name),
    };
}

fn empty_dir() -> Node {
    Node::Dir { seen: BTreeMap::new(), durable: BTreeMap::new() }
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
