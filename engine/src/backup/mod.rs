//! A backup: a folder with everything of a data folder as it was at one moment, and a manifest with each file's length and
//! checksum. `engine/backup.rs` makes one, `engine/restore.rs` makes a data folder of one again.
//!
//! It comes as [`Piece`]s, one file after another, the manifest last; so it can go through a pipe, and one that broke off is
//! never taken for whole.

use std::io::ErrorKind;
use std::path::{Component, Path};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::error::{Error, Kind, Result};
use crate::event::Seq;
use crate::fs::{Fs, ReadFile};

mod target;

pub use target::Target;

/// The version of backups.
const FORMAT: u32 = 1;
/// The manifest's name in the backup.
pub const MANIFEST: &str = "MANIFEST.json";
/// What a data folder has that is worth keeping, and a backup may have.
const PARTS: [&str; 8] =
    ["node.json", "lake", "wal", "dead_letters", "alerts.json", "erasures.json", "keys.json", MANIFEST];
/// The longest path, as ustar takes it.
pub const MAX_PATH_BYTES: usize = 100;
/// How much is read at a time.
pub(crate) const PIECE_BYTES: u64 = 1 << 20;
/// Problems that are listed.
const LISTED: usize = 10;

/// A part of a backup on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A file begins.
    File {
        /// Where, relative to the folder.
        path: String,
        /// How long it will be.
        bytes: u64,
    },
    /// The next bytes of that file.
    Bytes(Bytes),
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Where, relative to the folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// CRC32C of its bytes.
    pub crc32c: u32,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of backups.
    pub format: u32,
    /// Which build made it.
    pub made_by: String,
    /// When, in microseconds since the epoch.
    pub created_us: Micros,
    /// The data folder's node id.
    pub node: String,
    /// The lake's version.
    pub lake_version: i64,
    /// The last position the lake holds.
    pub lake_seq: u64,
    /// At least up to this position every event is in it, in the lake or in the log.
    pub seq: u64,
    /// Every file but this one.
    pub files: Vec<FileEntry>,
    /// Of this file, written with 0 here.
    pub crc32c: u32,
}

impl Manifest {
    pub(crate) fn new(created_us: Micros, node: String, lake: (i64, Seq), seq: Seq) -> Self {
        Self {
            format: FORMAT,
            made_by: format!("tideline {}", env!("CARGO_PKG_VERSION")),
            created_us,
            node,
            lake_version: lake.0,
            lake_seq: lake.1.0,
            seq: seq.0,
            files: Vec::new(),
            crc32c: 0,
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// As it stands in its file.
    pub(crate) fn encode(&mut self) -> Result<Vec<u8>> {
        let text = |manifest: &Self| serde_json::to_vec_pretty(manifest).map_err(|e| Error::internal(e.to_string()));
        self.crc32c = 0;
        self.crc32c = crc32c::crc32c(&text(self)?);
        text(self)
    }

    /// Reads one back.
    ///
    /// # Errors
    /// `newer_format`, and `Corrupt` when it is not what was written.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |why: String| Error::new(Kind::Corrupt, "backup_damaged", format!("{MANIFEST}: {why}"));
        let Format { format } = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        if format > FORMAT {
            let message = format!("the backup has format {format}, this build reads up to {FORMAT}");
            return Err(Error::new(Kind::Invalid, "newer_format", message).with_hint("use a newer tideline"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        let mut again = manifest.clone();
        again.encode()?;
        if again.crc32c != manifest.crc32c {
            return Err(damaged("its checksum is wrong".to_owned()));
        }
        if let Some(file) = manifest.files.iter().find(|file| !is_part(&file.path)) {
            return Err(damaged(format!("it names a file that no backup has: {}", file.path)));
        }
        Ok(manifest)
    }
}

/// Whether a path is one that a backup may have: relative, without detours, below a folder that is known.
pub fn is_part(path: &str) -> bool {
    let mut components = Path::new(path).components();
    let known = matches!(components.next(), Some(Component::Normal(first)) if PARTS.iter().any(|part| *part == first));
    known && components.all(|c| matches!(c, Component::Normal(_))) && path.len() <= MAX_PATH_BYTES
}

/// Reads a file through and returns its length and checksum; each piece is given to `piece`.
pub(crate) fn read_through(file: &dyn ReadFile, mut piece: impl FnMut(&Bytes) -> Result<()>) -> Result<(u64, u32)> {
    let (len, mut at, mut crc) = (file.len(), 0, 0);
    while at < len {
        let bytes = file.read_at(at..len.min(at + PIECE_BYTES))?;
        crc = crc32c::crc32c_append(crc, &bytes);
        at += bytes.len() as u64;
        piece(&bytes)?;
    }
    Ok((len, crc))
}

/// Reads a backup's manifest.
///
/// # Errors
/// `not_a_backup`, and those of [`Manifest::decode`].
pub fn manifest(fs: &dyn Fs, dir: &Path) -> Result<Manifest> {
    match fs.read(&dir.join(MANIFEST)) {
        Ok(bytes) => Manifest::decode(&bytes).map_err(|e| e.context(dir.display())),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let message = format!("{} is no backup: it has no {MANIFEST}", dir.display());
            Err(Error::new(Kind::NotFound, "not_a_backup", message)
                .with_hint("name a folder that `tideline backup` made; one that broke off has another name"))
        }
        Err(e) => Err(Error::from(e).context(dir.display())),
    }
}

/// Reads every file of a backup and compares it with the manifest.
///
/// # Errors
/// `backup_damaged`, naming the files; those of [`manifest`].
pub fn verify(fs: &dyn Fs, dir: &Path) -> Result<Manifest> {
    let manifest = manifest(fs, dir)?;
    let mut problems = Vec::new();
    for entry in &manifest.files {
        let found =
            fs.open(&dir.join(&entry.path)).map_err(Error::from).and_then(|file| read_through(&*file, |_| Ok(())));
        problems.extend(problem(entry, found));
    }
    refuse(dir, problems)?;
    Ok(manifest)
}

/// What is wrong with a file, in a sentence.
pub(crate) fn problem(entry: &FileEntry, found: Result<(u64, u32)>) -> Option<String> {
    let path = &entry.path;
    match found {
        Err(e) => Some(format!("{path}: {}", e.message)),
        Ok((bytes, _)) if bytes != entry.bytes => Some(format!("{path}: {bytes} bytes instead of {}", entry.bytes)),
        Ok((_, crc)) if crc != entry.crc32c => Some(format!("{path}: its bytes are not what was written")),
        Ok(_) => None,
    }
}

pub(crate) fn refuse(dir: &Path, problems: Vec<String>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(LISTED);
    let listed = problems.into_iter().take(LISTED).collect::<Vec<_>>().join("; ");
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let message = format!("the backup {} is damaged: {listed}{more}", dir.display());
    Err(Error::new(Kind::Corrupt, "backup_damaged", message).with_hint("use another backup; nothing was restored"))
}

/// Removes a folder with everything in it; one that is not there is fine.
pub(crate) fn remove_tree(fs: &dyn Fs, dir: &Path) -> std::io::Result<()> {
    match fs.list(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => {
            for entry in entries? {
                if entry.is_dir { remove_tree(fs, &entry.path) } else { fs.remove(&entry.path) }?;
            }
        }
    }
    fs.remove_dir(dir)
}
