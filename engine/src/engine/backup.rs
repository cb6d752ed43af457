//! A consistent copy of a running engine's folder: the lake at one version, the log beyond it, and the small files.
//!
//! Nothing is stopped. The copy of the log begins at the position the lake's version covers, because both are looked at while
//! no flush can move one of them. What the copy needs and somebody deletes meanwhile stays readable: the lake's files are
//! pinned as for a query, the log's segments and dead letters are open, and an open file stays what it is. Dead letters are
//! looked at before the log: a letter that is marked as replayed has its event in the copy.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::backup::{FileEntry, MANIFEST, Manifest, PIECE_BYTES, Piece};
use crate::error::{Error, Result};
use crate::fs::{Fs, ReadFile};
use crate::lake::LakeSnapshot;
use crate::{lake, wal};

use super::Engine;

/// How often the Delta log is listed anew when a checkpoint takes entries away meanwhile.
const LISTINGS: usize = 5;

/// A file to come.
#[derive(Debug)]
struct Part {
    path: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Bytes(Bytes),
    Open(Arc<dyn ReadFile>),
    /// A file of the lake, which is pinned.
    Pinned,
}

/// A backup on its way; dropping it lets go of everything it holds.
#[derive(Debug)]
pub struct Backup {
    fs: Arc<dyn Fs>,
    data_dir: std::path::PathBuf,
    parts: VecDeque<Part>,
    reading: Option<Reading>,
    manifest: Option<Manifest>,
    until: Instant,
    _lake: Arc<LakeSnapshot>,
    _alone: tokio::sync::OwnedMutexGuard<()>,
}

#[derive(Debug)]
struct Reading {
    path: String,
    file: Arc<dyn ReadFile>,
    at: u64,
    crc: u32,
}

impl Engine {
    /// Begins a backup: every event that was acknowledged before this call is in it. `keys` takes the keys along, which are
    /// kept as hashes. After `within` it ends with an error: it keeps deleted files' space from being given back.
    ///
    /// # Errors
    /// `Busy` while another backup or an erasure runs; else the disk's.
    pub async fn backup(&self, keys: bool, within: Duration) -> Result<Backup> {
        let alone = self.alone()?;
        let dir = &self.config.data_dir;
        let mut parts = Vec::new();
        for (name, file) in self.dead_letters.frozen()? {
            parts.push(Part { path: format!("dead_letters/{name}"), source: Source::Open(file) });
        }
        let (lake, seq) = {
            let _no_flush = self.flushing.lock().await;
            let lake = Arc::clone(&self.published.load().lake);
            let seq = self.sequencer.last();
            for entry in self.fs.list(&dir.join("wal"))? {
                let Some(name) = entry.path.file_name().and_then(|n| n.to_str()).map(str::to_owned) else { continue };
                if wal::first_of(&entry.path).is_some() {
                    let source = Source::Open(self.fs.open(&entry.path)?);
                    parts.push(Part { path: format!("wal/{name}"), source });
                }
            }
            (lake, seq)
        };
        for (name, source) in self.delta_log(&dir.join("lake").join("_delta_log"), lake.version)? {
            parts.push(Part { path: format!("lake/_delta_log/{name}"), source });
        }
        let small = ["node.json", "alerts.json", crate::erase::record::FILE].into_iter();
        for name in small.chain(keys.then_some("keys.json")) {
            match self.fs.read(&dir.join(name)) {
                Ok(bytes) => parts.push(Part { path: name.to_owned(), source: Source::Bytes(bytes) }),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        let files = lake.files.iter().map(|f| Part { path: format!("lake/{}", f.path), source: Source::Pinned });
        parts.extend(files);
        let manifest =
            Manifest::new(self.clock.now(), self.node.to_string(), (lake.version, lake.covered), seq.max(lake.covered));
        Ok(Backup {
            fs: Arc::clone(&self.fs),
            data_dir: dir.clone(),
            parts: parts.into(),
            reading: None,
            manifest: Some(manifest),
            until: Instant::now() + within,
            _lake: lake,
            _alone: alone,
        })
    }

    /// What of the Delta log says what the table is at a version: the last checkpoint up to it, and the entries after that.
    fn delta_log(&self, dir: &Path, version: i64) -> Result<Vec<(String, Source)>> {
        let mut gone = None;
        for _ in 0..LISTINGS {
            match self.try_delta_log(dir, version) {
                // A new checkpoint made an older entry superfluous just now.
                Err(e) if e.kind() == ErrorKind::NotFound => gone = Some(e),
                done => return Ok(done?),
            }
        }
        Err(gone.map_or_else(|| Error::internal("the Delta log was not read"), Error::from))
    }

    fn try_delta_log(&self, dir: &Path, version: i64) -> std::io::Result<Vec<(String, Source)>> {
        let (mut entries, mut checkpoint) = (BTreeMap::new(), None);
        for entry in self.fs.list(dir)? {
            let Some(name) = entry.path.file_name().and_then(|n| n.to_str()) else { continue };
            match (lake::log_version(name), name.get(20..)) {
                (Some(of), Some(".json")) if of <= version => drop(entries.insert(of, entry.path.clone())),
                (Some(of), Some(".checkpoint.parquet")) if of <= version => {
                    checkpoint = checkpoint.max(Some((of, entry.path.clone())));
                }
                _ => {}
            }
        }
        let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut parts = Vec::new();
        let mut due = 0;
        if let Some((of, path)) = checkpoint {
            parts.push((named(&path), Source::Open(self.fs.open(&path)?)));
            due = of + 1;
        }
        for of in due..=version {
            let path = entries.get(&of).ok_or_else(|| std::io::Error::from(ErrorKind::NotFound))?;
            // Small, and there may be more of them than files may be open.
            parts.push((named(path), Source::Bytes(self.fs.read(path)?)));
        }
        Ok(parts)
    }
}

impl Backup {
    /// The next piece; `None` after the manifest. It reads from the disk.
    ///
    /// # Errors
    /// `backup_timeout`, and the disk's. The backup is over then.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        if Instant::now() > self.until {
            return Err(Error::new(crate::error::Kind::Timeout, "backup_timeout", "the backup took too long")
                .with_hint("raise backup.max_time, or let whoever takes it be quicker"));
        }
        if let Some(reading) = &mut self.reading {
            let (at, len) = (reading.at, reading.file.len());
            if at < len {
                let bytes = reading.file.read_at(at..len.min(at + PIECE_BYTES))?;
                reading.at += bytes.len() as u64;
                reading.crc = crc32c::crc32c_append(reading.crc, &bytes);
                return Ok(Some(Piece::Bytes(bytes)));
            }
            let entry = FileEntry { path: std::mem::take(&mut reading.path), bytes: len, crc32c: reading.crc };
            self.reading = None;
            if let Some(manifest) = &mut self.manifest {
                manifest.files.push(entry);
            }
        }
        let Some(part) = self.parts.pop_front() else { return self.last() };
        let file: Arc<dyn ReadFile> = match part.source {
            Source::Bytes(bytes) => Arc::new(InMemory(bytes)),
            Source::Open(file) => file,
            Source::Pinned => self.fs.open(&self.data_dir.join(&part.path))?,
        };
        let bytes = file.len();
        self.reading = Some(Reading { path: part.path.clone(), file, at: 0, crc: 0 });
        Ok(Some(Piece::File { path: part.path, bytes }))
    }

    /// The manifest: its beginning, then its bytes.
    fn last(&mut self) -> Result<Option<Piece>> {
        let Some(mut manifest) = self.manifest.take() else { return Ok(None) };
        let bytes = Bytes::from(manifest.encode()?);
        let piece = Piece::File { path: MANIFEST.to_owned(), bytes: bytes.len() as u64 };
        self.reading = Some(Reading { path: MANIFEST.to_owned(), file: Arc::new(InMemory(bytes)), at: 0, crc: 0 });
        Ok(Some(piece))
    }
}

#[derive(Debug)]
struct InMemory(Bytes);

impl ReadFile for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, range: std::ops::Range<u64>) -> std::io::Result<Bytes> {
        let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let range = range.filter(|(from, to)| from <= to && *to <= self.0.len());
        range.map(|(from, to)| self.0.slice(from..to)).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}
