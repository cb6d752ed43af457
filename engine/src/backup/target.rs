//! A backup being written: into a hidden folder beside the wanted one, which takes its name, once, when all of it is there,
//! is what the manifest says, and is synced.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileEntry, MANIFEST, Manifest, Piece, is_part, problem, refuse, remove_tree};
use crate::error::{Error, Result};
use crate::fs::{Fs, LockGuard, WriteFile};

const LOCK: &str = "LOCK";

/// The file that pieces go to.
#[derive(Debug)]
struct Open {
    entry: FileEntry,
    left: u64,
    file: Box<dyn WriteFile>,
    manifest: Option<Vec<u8>>,
}

/// A backup being written.
#[derive(Debug)]
pub struct Target {
    fs: Arc<dyn Fs>,
    out: PathBuf,
    made_in: PathBuf,
    _lock: Box<dyn LockGuard>,
    folders: BTreeSet<PathBuf>,
    open: Option<Open>,
    files: Vec<FileEntry>,
    manifest: Option<Manifest>,
}

impl Target {
    /// Makes the hidden folder beside `out`, an absolute path. What a backup that died has left there goes.
    ///
    /// # Errors
    /// `folder_exists`, `backup_runs`, and the disk's.
    pub fn new(fs: Arc<dyn Fs>, out: &Path) -> Result<Self> {
        let Some(name) = out.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return Err(Error::invalid("invalid_config", format!("{} is no name for a backup", out.display()))
                .with_hint("name a folder inside it"));
        };
        if fs.list(out).is_ok() || fs.stat(out).is_ok() {
            return Err(Error::invalid("folder_exists", format!("{} is there already", out.display())).with_hint(
                "each backup is a folder of its own: name one that does not exist, by its date for example",
            ));
        }
        let made_in = out.with_file_name(format!(".{name}.tideline-backup"));
        fs.create_dir_all(&made_in).map_err(|e| cannot(&made_in, e))?;
        let lock = fs.lock(&made_in.join(LOCK)).map_err(|e| match e.kind() {
            ErrorKind::WouldBlock => {
                Error::invalid("backup_runs", format!("another backup is writing {}", out.display()))
                    .with_hint("wait for it, or name another folder")
            }
            _ => cannot(&made_in, e),
        })?;
        for entry in fs.list(&made_in)?.into_iter().filter(|entry| !entry.path.ends_with(LOCK)) {
            let gone = if entry.is_dir { remove_tree(&*fs, &entry.path) } else { fs.remove(&entry.path) };
            gone.map_err(|e| cannot(&entry.path, e))?;
        }
        let folders = BTreeSet::from([made_in.clone()]);
        Ok(Self {
            fs,
            out: out.to_owned(),
            made_in,
            _lock: lock,
            folders,
            open: None,
            files: Vec::new(),
            manifest: None,
        })
    }

    /// Writes what comes next. A file is synced when its last byte is written.
    ///
    /// # Errors
    /// When the pieces are not those of a backup, and the disk's.
    pub fn take(&mut self, piece: Piece) -> Result<()> {
        match piece {
            Piece::File { path, bytes } => self.begin(path, bytes),
            Piece::Bytes(bytes) => self.write(&bytes),
        }
    }

    fn begin(&mut self, path: String, bytes: u64) -> Result<()> {
        if self.open.is_some() || self.manifest.is_some() || !is_part(&path) {
            return Err(Error::corrupt(format!("what arrived is no backup: {path} is out of place")));
        }
        let full = self.made_in.join(&path);
        for folder in Path::new(&path).ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
            self.folders.insert(self.made_in.join(folder));
        }
        for folder in self.folders.iter().filter(|folder| full.starts_with(folder)) {
            self.fs.create_dir(folder).map_err(|e| cannot(folder, e))?;
        }
        let file = self.fs.create(&full).map_err(|e| cannot(&full, e))?;
        let manifest = (path == MANIFEST).then(Vec::new);
        self.open = Some(Open { entry: FileEntry { path, bytes, crc32c: 0 }, left: bytes, file, manifest });
        if bytes == 0 { self.end() } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let open = self.open.as_mut().filter(|open| bytes.len() as u64 <= open.left);
        let open = open.ok_or_else(|| Error::corrupt("what arrived is no backup: more bytes than a file has"))?;
        open.file.write_all(bytes).map_err(|e| cannot(&self.made_in.join(&open.entry.path), e))?;
        open.entry.crc32c = crc32c::crc32c_append(open.entry.crc32c, bytes);
        open.left -= bytes.len() as u64;
        if let Some(manifest) = &mut open.manifest {
            manifest.extend_from_slice(bytes);
        }
        if open.left == 0 { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.file.sync().map_err(|e| cannot(&self.made_in.join(&open.entry.path), e))?;
        match open.manifest {
            Some(bytes) => self.manifest = Some(Manifest::decode(&bytes)?),
            None => self.files.push(open.entry),
        }
        Ok(())
    }

    /// Gives the backup its name, durably, when everything arrived as the manifest says.
    ///
    /// # Errors
    /// `backup_damaged`, and the disk's.
    pub fn finish(mut self) -> Result<Manifest> {
        let manifest = match (self.open.take(), self.manifest.take()) {
            (None, Some(manifest)) => manifest,
            _ => return Err(Error::corrupt("the backup broke off: it has no manifest")),
        };
        let found = |entry: &FileEntry| {
            let file = self.files.iter().find(|file| file.path == entry.path);
            file.map(|file| (file.bytes, file.crc32c)).ok_or_else(|| Error::corrupt("it did not arrive"))
        };
        refuse(&self.out, manifest.files.iter().filter_map(|entry| problem(entry, found(entry))).collect())?;
        match self.fs.remove(&self.made_in.join(LOCK)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(cannot(&self.made_in, e)),
            _ => {}
        }
        // The deepest first, so that a folder's names are synced before its own.
        for folder in self.folders.iter().rev() {
            self.fs.sync_dir(folder).map_err(|e| cannot(folder, e))?;
        }
        self.fs.rename(&self.made_in, &self.out).map_err(|e| cannot(&self.out, e))?;
        if let Some(parent) = self.out.parent() {
            self.fs.sync_dir(parent).map_err(|e| cannot(parent, e))?;
        }
        Ok(manifest)
    }

    /// Gives up, leaving nothing.
    pub fn abort(self) {
        if let Err(e) = remove_tree(&*self.fs, &self.made_in) {
            tracing::warn!(folder = %self.made_in.display(), error = %e, "an unfinished backup could not be removed");
        }
    }
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::from(error).context(format!("cannot write {}", path.display()))
}
