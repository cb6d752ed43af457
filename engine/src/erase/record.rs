//! `erasures.json`: who is being erased, until that is done; and who was, as keyed hashes, so that what was sent before does
//! not come back with a retry or an old file.
//!
//! The record is durable before the first step, so a process that dies in between takes all steps again: each of them may
//! be repeated. When all are taken the ids leave the file.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher13;

use super::Person;
use crate::clock::{DAY, Micros};
use crate::error::{Error, Kind, Result};
use crate::event::{ANONYMOUS_ID, EVENT_TS, USER_ID};
use crate::fs::{Fs, write_durably};

/// What this build writes and reads.
const FORMAT: u32 = 1;
/// Its name in the data folder.
pub const FILE: &str = "erasures.json";

/// What is remembered, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseConfig {
    /// Days for which events from before an erasure are refused.
    pub remember_days: u32,
    /// Most ids remembered at a time.
    pub max_ids: usize,
    /// How long an erasure waits for queries that still read what it is to delete.
    pub max_wait: std::time::Duration,
}

impl Default for EraseConfig {
    fn default() -> Self {
        Self { remember_days: 400, max_ids: 100_000, max_wait: std::time::Duration::from_secs(600) }
    }
}

/// An erasure under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// Whom.
    pub person: Person,
    /// Whether their rows go as a whole.
    pub rows: bool,
    /// When it was asked for.
    pub at: Micros,
    /// Events of theirs up to this time are refused from then on.
    pub until: Micros,
    /// Makes names for what has to stay apart; forgotten when it is done.
    pub key: [u8; 16],
}

/// One id of somebody who was erased.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Erased {
    /// Keyed hash of the id, in hex.
    id: String,
    at: Micros,
    until: Micros,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    /// The key of the hashes.
    key: [u8; 16],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    running: Option<Erasure>,
    erased: Vec<Erased>,
}

/// Who was erased, as ingest asks for it.
#[derive(Debug, Clone, Default)]
pub struct Tombstones(Option<Arc<Known>>);

#[derive(Debug)]
struct Known {
    hasher: SipHasher13,
    /// Until when events of an id are refused.
    until: HashMap<u128, Micros>,
}

impl Tombstones {
    /// Which rows are of somebody erased, from before that; `None` when none is. `batch` has the columns of events.
    pub fn find(&self, batch: &RecordBatch) -> Option<BooleanArray> {
        let known = self.0.as_ref()?;
        let text = |name| batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>());
        let times = batch.column_by_name(EVENT_TS)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        let (users, visitors) = (text(USER_ID)?, text(ANONYMOUS_ID)?);
        let is_erased = |row: usize| {
            let id = if users.is_valid(row) { users } else { visitors };
            id.is_valid(row) && known.until(id.value(row)).is_some_and(|until| times.value(row) <= until)
        };
        let found: Vec<bool> = (0..batch.num_rows()).map(is_erased).collect();
        found.contains(&true).then(|| found.into())
    }
}

impl Known {
    fn until(&self, id: &str) -> Option<Micros> {
        self.until.get(&self.hasher.hash(id.as_bytes()).as_u128()).copied()
    }
}

/// The file.
#[derive(Debug)]
pub struct Erasures {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    config: EraseConfig,
    contents: Mutex<Contents>,
}

impl Erasures {
    /// Opens it; without a file nobody was erased.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be read: without it erased events could come back.
    pub fn open(fs: Arc<dyn Fs>, data_dir: &Path, config: EraseConfig) -> Result<Self> {
        let path = data_dir.join(FILE);
        let contents = match fs.read(&path) {
            Ok(bytes) => read(&bytes, &path)?,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Contents { format: FORMAT, key: *uuid::Uuid::new_v4().as_bytes(), running: None, erased: Vec::new() }
            }
            Err(e) => return Err(e.into()),
        };
        Ok(Self { fs, path, config, contents: Mutex::new(contents) })
    }

    /// The erasure that was begun and is not done.
    pub fn running(&self) -> Option<Erasure> {
        self.contents.lock().running.clone()
    }

    /// How many ids are remembered.
    pub fn count(&self) -> usize {
        self.contents.lock().erased.len()
    }

    /// Notes an erasure before its first step. Durable on return.
    ///
    /// # Errors
    /// `too_many_erased`, and the disk's.
    pub fn begin(&self, erasure: Erasure) -> Result<()> {
        self.change(|contents| {
            let hasher = SipHasher13::new_with_key(&contents.key);
            let hashes: Vec<String> = erasure.person.ids().map(|id| hash(&hasher, id)).collect();
            let oldest = erasure.at.saturating_sub(i64::from(self.config.remember_days) * DAY);
            contents.erased.retain(|e| e.at >= oldest && !hashes.contains(&e.id));
            if contents.erased.len() + hashes.len() > self.config.max_ids {
                let message = format!("{} ids of erased people are remembered already", contents.erased.len());
                return Err(Error::new(Kind::TooLarge, "too_many_erased", message)
                    .with_hint("raise erase.max_ids, or lower erase.remember_days"));
            }
            let erased = |id| Erased { id, at: erasure.at, until: erasure.until };
            contents.erased.extend(hashes.into_iter().map(erased));
            contents.running = Some(erasure);
            Ok(())
        })
    }

    /// Notes that all steps are taken; the ids are gone from the file on return.
    ///
    /// # Errors
    /// The disk's.
    pub fn done(&self) -> Result<()> {
        self.change(|contents| {
            contents.running = None;
            Ok(())
        })
    }

    /// What ingest looks at.
    pub fn tombstones(&self) -> Tombstones {
        let contents = self.contents.lock();
        if contents.erased.is_empty() {
            return Tombstones(None);
        }
        let ids = contents.erased.iter().filter_map(|e| Some((u128::from_str_radix(&e.id, 16).ok()?, e.until)));
        let until = ids.collect();
        Tombstones(Some(Arc::new(Known { hasher: SipHasher13::new_with_key(&contents.key), until })))
    }

    fn change(&self, change: impl FnOnce(&mut Contents) -> Result<()>) -> Result<()> {
        let mut contents = self.contents.lock();
        let mut next = contents.clone();
        change(&mut next)?;
        let text = serde_json::to_vec(&next).map_err(|e| Error::internal(e.to_string()))?;
        write_durably(&*self.fs, &self.path, &text)?;
        *contents = next;
        Ok(())
    }
}

fn hash(hasher: &SipHasher13, id: &str) -> String {
    format!("{:032x}", hasher.hash(id.as_bytes()).as_u128())
}

fn read(bytes: &[u8], path: &Path) -> Result<Contents> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |e: serde_json::Error| {
        Error::corrupt(format!("{} cannot be read: {e}", path.display()))
            .with_hint("restore this file from a backup: it says whose events must not come back")
    };
    let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format > FORMAT {
        let message = format!("{} has format {format}, this build reads up to {FORMAT}", path.display());
        return Err(Error::new(Kind::Invalid, "newer_format", message).with_hint("use a newer tideline"));
    }
    serde_json::from_slice(bytes).map_err(damaged)
}
