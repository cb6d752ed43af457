//! The simulated disk's two states: what processes see, and what a loss of power leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::{Fault, On, Op, OpKind, SyncKind};

pub(super) type Liar = Box<dyn Fn(&Path, SyncKind) -> bool + Send>;
pub(super) type Ino = usize;
const ROOT: Ino = 0;

#[derive(Default)]
pub(super) struct Disk {
    pub(super) nodes: Vec<Node>,
    /// Changes of names that are not durable yet, in order.
    pub(super) pending: Vec<Change>,
    pub(super) ops: Vec<Op>,
    pub(super) syncs: Vec<(PathBuf, SyncKind)>,
    pub(super) faults: Vec<Fault>,
    pub(super) liar: Option<Liar>,
    /// Gone with the power, like every lock.
    pub(super) locks: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(Content),
    Dir { seen: BTreeMap<OsString, Ino>, durable: BTreeMap<OsString, Ino> },
}

/// One step: every name in it changes, or none.
#[derive(Debug, Clone)]
pub(super) struct Change(Vec<(Ino, OsString, Option<Ino>)>);

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) seen: Vec<u8>,
    /// So many bytes of `seen` are durable, unless `durable` holds other bytes.
    pub(super) durable_len: usize,
    /// The durable bytes, where they are not the beginning of `seen` (a truncation that was not synced).
    pub(super) durable: Option<Vec<u8>>,
    /// Never written, because the sync that should have done it failed.
    pub(super) lost: Vec<Range<usize>>,
    pub(super) modified_ms: u64,
}

impl Content {
    pub(super) fn sync(&mut self) {
        self.durable_len = self.seen.len();
        self.durable = None;
    }

    pub(super) fn fail_to_sync(&mut self) {
        self.lost.push(self.durable_len..self.seen.len());
    }

    pub(super) fn cut(&mut self, len: usize) {
        if len < self.durable_len && self.durable.is_none() {
            self.durable = Some(self.written(self.durable_len));
        }
        self.seen.resize(len, 0);
        self.durable_len = self.durable_len.min(len);
        self.lost.iter_mut().for_each(|lost| lost.end = lost.end.min(len));
        self.lost.retain(|lost| !lost.is_empty());
    }

    /// The first `len` bytes as they are on the disk.
    pub(super) fn written(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.seen[..len].to_vec();
        for lost in &self.lost {
            let end = lost.end.min(len);
            bytes[lost.start.min(end)..end].fill(0);
        }
        bytes
    }

    pub(super) fn after_power_loss(&self, chance: Option<&mut Chance>) -> Vec<u8> {
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
pub(super) struct Chance(pub(super) u64);

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

pub(super) fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{kind} (simulated disk): {}", path.display()))
}

impl Disk {
    /// Counts an operation, and says how it fails if it does.
    pub(super) fn count(&mut self, kind: OpKind, path: &Path) -> Result<(), Fault> {
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

    pub(super) fn op(&mut self, kind: OpKind, path: &Path) -> io::Result<()> {
        self.count(kind, path).map_err(|fault| error(fault.error, path))
    }

    /// Whether a sync is real; a lying disk says yes and does nothing.
    pub(super) fn sync_is_real(&mut self, path: &Path, kind: SyncKind) -> bool {
        let ignored = self.liar.as_ref().is_some_and(|ignores| ignores(path, kind));
        self.syncs.push((path.to_path_buf(), kind));
        !ignored
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.ops.len() as u64
    }

    pub(super) fn entries(&self, dir: Ino, path: &Path) -> io::Result<&BTreeMap<OsString, Ino>> {
        match &self.nodes[dir] {
            Node::Dir { seen, .. } => Ok(seen),
            Node::File(_) => Err(error(ErrorKind::NotADirectory, path)),
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Ino> {
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
    pub(super) fn place(&self, path: &Path) -> io::Result<(Ino, OsString)> {
        let name = path.file_name().ok_or_else(|| error(ErrorKind::InvalidInput, path))?;
        let dir = self.find(path.parent().unwrap_or(Path::new("/")))?;
        self.entries(dir, path)?;
        Ok((dir, name.to_owned()))
    }

    pub(super) fn free_place(&self, path: &Path) -> io::Result<(Ino, OsString)> {
        let (dir, name) = self.place(path)?;
        if self.entries(dir, path)?.contains_key(&name) {
            return Err(error(ErrorKind::AlreadyExists, path));
        }
        Ok((dir, name))
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<Ino> {
        let ino = self.find(path)?;
        match self.nodes[ino] {
            Node::File(_) => Ok(ino),
            Node::Dir { .. } => Err(error(ErrorKind::NotFound, path)),
        }
    }

    pub(super) fn content(&mut self, ino: Ino) -> io::Result<&mut Content> {
        match &mut self.nodes[ino] {
            Node::File(content) => Ok(content),
            Node::Dir { .. } => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn add(&mut self, node: Node) -> Ino {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(super) fn change(&mut self, steps: Vec<(Ino, OsString, Option<Ino>)>) {
        for (dir, name, target) in &steps {
            if let Node::Dir { seen, .. } = &mut self.nodes[*dir] {
                set(seen, name, *target);
            }
        }
        self.pending.push(Change(steps));
    }

    pub(super) fn make_durable(&mut self, change: &Change) {
        for (dir, name, target) in &change.0 {
            if let Node::Dir { durable, .. } = &mut self.nodes[*dir] {
                set(durable, name, *target);
            }
        }
    }

    /// Makes a folder's changes durable, with earlier ones of other folders that they are entangled with by renames.
    pub(super) fn sync_names(&mut self, dir: Ino) {
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

    pub(super) fn after_power_loss(&self, mut chance: Option<Chance>) -> Self {
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

pub(super) fn empty_dir() -> Node {
    Node::Dir { seen: BTreeMap::new(), durable: BTreeMap::new() }
}
