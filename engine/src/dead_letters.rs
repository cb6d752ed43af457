//! Events that were not accepted, kept with the reason until somebody fixes them: nothing is lost silently.
//!
//! It stands beside the data path: what decoding and validation refuse is durable here before the client is answered.
//! A letter's id is a hash of source, original bytes and code, so a client that sends the same bad event a hundred times
//! leaves one letter. The store has a limit; when it is full new letters are refused ([`Kind::Busy`]), never open ones
//! dropped.
//!
//! A letter is open until it is *replayed* (its event is stored now) or *dropped* (somebody said that it is not
//! wanted). Both are marks, written after the letter; the letter can still be listed until its space is needed or the
//! retention takes it (`compact`). A letter that a replay refused again stays one letter, with the new reason.
//!
//! Letters and marks go to segment files, one checksummed frame per sync (see `format`). As in the write-ahead log, a
//! frame is written only after the one before it was synced: an incomplete last frame is cut, anything else that is
//! wrong is damage. Where each letter is, why it was refused and what became of it is in memory (`index`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use siphasher::sip128::SipHasher13;

use crate::clock::{MILLISECOND, Micros};
use crate::dedup::Hour;
use crate::error::{Error, Kind, Result};
use crate::fs::{Fs, ReadFile, WriteFile};

mod compact;
mod erase;
mod format;
mod index;
mod repair;
#[cfg(test)]
mod tests;
mod write;

pub use compact::Tidied;
pub use repair::repair;

use format::{Key, Mark, Record, could_be_torn, decode_letter, scan};
use index::{Entry, Index, Segment};
use repair::settle;
use write::{Change, Request};

/// A new segment is begun when one has reached this size.
const SEGMENT_BYTES: u64 = 16 << 20;
/// A page ends when its letters take this much.
const PAGE_BYTES: u64 = 4 << 20;
/// Entries looked at before a page ends, so that a rare filter does not hold others up.
const PAGE_LOOKS: usize = 65_536;

/// An event that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// When the server received it.
    pub received_at: Micros,
    /// What it came through: `http`, a file, a stream.
    pub source: String,
    /// The id of the API key it came with.
    pub key: Option<String>,
    /// Its place in its request, from 0.
    pub index: u64,
    /// The field that is wrong.
    pub field: String,
    /// Stable, snake_case, for programs.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// The event as it was sent.
    pub original: Bytes,
    /// How often the reason changed because a replay refused it again.
    pub attempts: u32,
}

/// A letter's id: 32 hex digits, a hash of its source, original and first code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId(pub u128);

impl std::fmt::Display for LetterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl LetterId {
    /// Reads an id as it is printed; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing yet.
    Open,
    /// Its event is stored.
    Replayed,
    /// Somebody decided that it is not wanted.
    Dropped,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Replayed, Self::Dropped];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Dropped => "dropped",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// Where letters come from and what is wrong with them: many share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reason {
    /// What they came through.
    pub source: String,
    /// The id of the API key they came with.
    pub key: Option<String>,
    /// The field that is wrong.
    pub field: String,
    /// Its code.
    pub code: String,
}

/// A letter and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: LetterId,
    /// What became of it.
    pub status: Status,
    /// When, unless it is open.
    pub settled_at: Option<Micros>,
    /// The letter. In pages of [`Parts::Summary`] without index, message and original.
    pub letter: DeadLetter,
}

/// Which letters are meant: those for which all that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// These; all when empty.
    pub ids: BTreeSet<LetterId>,
    /// With this code.
    pub code: Option<String>,
    /// Through this source.
    pub source: Option<String>,
    /// With this API key; empty for none.
    pub key: Option<String>,
    /// With this field.
    pub field: Option<String>,
    /// Received at or after.
    pub since: Option<Micros>,
    /// Received before.
    pub until: Option<Micros>,
    /// With this status.
    pub status: Option<Status>,
}

/// How much of each letter is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// What is in memory: everything but index, message and original.
    Summary,
    /// All of it, from its file.
    Whole,
}

/// A place in the store's order of arrival; it stays what it is while the store is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor(u64);

/// An attempt to store a changed event whose outcome was not noted: the process ended in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// When.
    pub at: Micros,
    /// The event's id.
    pub event_id: String,
    /// The hour of its time: with the id, what tells it apart.
    pub hour: Hour,
}

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LetterStatus {
    /// Letters that wait to be fixed or dropped.
    pub open: usize,
    /// Letters whose event is stored now, and that can still be listed.
    pub replayed: usize,
    /// Letters that somebody dropped, and that can still be listed.
    pub dropped: usize,
    /// Open letters that the retention removed since this process started.
    pub expired: u64,
    /// Size on disk.
    pub bytes: u64,
    /// How full it is, from 0 to 1, not counting what is given back when space is needed. At 1 requests with events to
    /// reject are refused.
    pub fullness: f64,
}

/// The store.
#[derive(Debug)]
pub struct DeadLetters {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    max_bytes: u64,
    hasher: SipHasher13,
    key: Key,
    /// Changes waiting for the next sync. Never held together with a sync, so that others can queue meanwhile.
    queue: Mutex<Vec<Arc<Request>>>,
    state: Mutex<State>,
    /// As of the last change, so that asking for it waits for no sync.
    status: Mutex<LetterStatus>,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    /// The last segment when this process began it.
    open: Option<OpenSegment>,
    next_segment: u64,
    /// Open letters that the retention removed.
    expired: u64,
    failure: Option<String>,
}

#[derive(Debug)]
struct OpenSegment {
    number: u64,
    file: Box<dyn WriteFile>,
    len: u64,
}

fn segment_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("dead-")?.strip_suffix(".log")?.parse().ok()
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("dead-{number:020}.log"))
}

fn damaged(path: &Path, offset: usize, what: &str) -> Error {
    Error::corrupt(format!("the dead letters are damaged: {}, byte {offset}: {what}", path.display()))
        .with_hint("run `tideline check --repair`: it keeps what can be read and sets the damaged file aside")
}

fn list_segments(fs: &dyn Fs, dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let files = fs.list(dir)?.into_iter().filter(|e| !e.is_dir);
    let mut found: Vec<_> = files.filter_map(|e| Some((segment_number(&e.path)?, e.path))).collect();
    found.sort_unstable();
    Ok(found)
}

/// A segment that was being written anew when the process ended; the one it was to replace is as it was.
fn remove_unfinished(fs: &dyn Fs, dir: &Path) -> Result<()> {
    for entry in fs.list(dir)?.iter().filter(|e| !e.is_dir && e.path.extension().is_some_and(|x| x == "tmp")) {
        fs.remove(&entry.path)?;
    }
    Ok(())
}

impl DeadLetters {
    /// Opens the store in a folder, which is created when absent. It holds at most `max_bytes`.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] naming file and offset when it is damaged; else the disk's.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, max_bytes: u64) -> Result<Self> {
        fs.create_dir_all(dir)?;
        remove_unfinished(fs.as_ref(), dir)?;
        let found = list_segments(fs.as_ref(), dir)?;
        let mut state = State { next_segment: found.last().map_or(1, |(n, _)| n + 1), ..State::default() };
        let mut key = None;
        let mut marks = Vec::new();
        let count = found.len();
        for (n, (number, path)) in found.into_iter().enumerate() {
            let bytes = fs.read(&path)?;
            let scan = scan(&bytes);
            if let Some(what) = scan.problem
                && (n + 1 < count || !could_be_torn(&bytes, &scan))
            {
                return Err(damaged(&path, scan.end, what));
            }
            if scan.records.is_empty() {
                fs.remove(&path)?;
                continue;
            }
            if n + 1 == count {
                settle(fs.as_ref(), &path, &bytes[..scan.end])?;
            }
            key = key.or(scan.key);
            state.index.segments.insert(number, Segment { bytes: scan.end as u64, garbage: 0 });
            for record in scan.records {
                match record {
                    Record::Letter { offset, len, id, meta } => state.index.add(id, number, offset, len, &meta),
                    Record::Mark { id, mark, len } => marks.push((number, id, mark, len)),
                }
            }
        }
        // After all letters: a repair may have put a letter behind its mark. Times tell which letter a mark is for.
        for (number, id, mark, len) in marks {
            state.index.mark(id, &mark, number, len);
        }
        // What is visible now has to stay, also names that a killed process did not come to sync.
        fs.sync_dir(dir)?;
        let key = key.unwrap_or_else(|| *uuid::Uuid::new_v4().as_bytes());
        Ok(Self {
            fs,
            dir: dir.to_path_buf(),
            max_bytes,
            hasher: SipHasher13::new_with_key(&key),
            key,
            queue: Mutex::default(),
            status: Mutex::new(state.status(max_bytes)),
            state: Mutex::new(state),
        })
    }

    /// Keeps letters. When this returns `Ok`, they survive a loss of power. Letters that are kept already, or whose
    /// event was stored by a replay, cost nothing; one that was dropped is open again.
    ///
    /// Calls at the same time share one sync.
    ///
    /// # Errors
    /// [`Kind::Busy`] when the store or the disk is full, and none of the letters is kept; [`Kind::Fatal`] when a sync
    /// failed, now or before.
    pub fn append(&self, letters: Vec<DeadLetter>) -> Result<()> {
        self.change(letters.into_iter().map(|letter| (self.id_of(&letter), Change::Letter(letter))).collect())
    }

    /// Notes that these letters' events are stored. Durable on return; also when the store is full.
    ///
    /// # Errors
    /// The disk's.
    pub fn mark_replayed(&self, ids: &[LetterId], at: Micros) -> Result<()> {
        self.change(ids.iter().map(|&id| (id, Change::Mark(Mark::Replayed { at }))).collect())
    }

    /// Notes that these letters are not wanted. Durable on return; also when the store is full.
    ///
    /// # Errors
    /// The disk's.
    pub fn mark_dropped(&self, ids: &[LetterId], at: Micros) -> Result<()> {
        self.change(ids.iter().map(|&id| (id, Change::Mark(Mark::Dropped { at }))).collect())
    }

    /// Notes which event each letter is about to become; see [`Try`]. Durable on return.
    ///
    /// # Errors
    /// The disk's.
    pub fn mark_trying(&self, tries: Vec<(LetterId, Try)>) -> Result<()> {
        let mark = |Try { at, event_id, hour }| Change::Mark(Mark::Trying { at, event_id, hour });
        self.change(tries.into_iter().map(|(id, tried)| (id, mark(tried))).collect())
    }

    /// Gives open letters a new reason, because a replay refused them again.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn revise(&self, letters: Vec<(LetterId, DeadLetter)>) -> Result<()> {
        let again = |mut letter: DeadLetter| {
            letter.attempts += 1;
            Change::Revised(letter)
        };
        self.change(letters.into_iter().map(|(id, letter)| (id, again(letter))).collect())
    }

    /// A letter's id.
    pub fn id_of(&self, letter: &DeadLetter) -> LetterId {
        // Lengths between the parts, so that no two letters run together to the same bytes.
        let parts: [&[u8]; 3] = [letter.source.as_bytes(), &letter.original, letter.code.as_bytes()];
        let mut text = Vec::with_capacity(parts.iter().map(|p| p.len() + 8).sum());
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
        LetterId(self.hasher.hash(&text).as_u128())
    }

    /// At most `limit` letters that `filter` takes, in the order in which they came, beginning after the one called
    /// `after`. Fewer when they are large: a list ends when it takes more than 4 MiB.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no letter `after`; else the disk's.
    pub fn list(&self, filter: &Filter, after: Option<LetterId>, limit: usize) -> Result<Vec<Kept>> {
        let (mut from, end) = {
            let index = &self.state.lock().index;
            let order = after.map(|id| index.order_of(id).ok_or_else(|| no_such_letter(id))).transpose()?;
            (Cursor(order.map_or(0, |n| n + 1)), Cursor(index.end()))
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < limit && from < end && bytes < PAGE_BYTES {
            let (page, next) = self.page(filter, from, end, limit - found.len(), Parts::Whole)?;
            bytes += page.iter().map(|l| l.letter.original.len() as u64).sum::<u64>();
            found.extend(page);
            from = next;
        }
        Ok(found)
    }

    /// The end of the store at this moment, for [`page`](Self::page).
    pub fn end(&self) -> Cursor {
        Cursor(self.state.lock().index.end())
    }

    /// Some of the letters from `from` on and before `to`, and where to go on: at `to` all were seen. A page is bounded
    /// in letters, bytes and looks, so it may be short or empty before that.
    ///
    /// # Errors
    /// The disk's.
    pub fn page(
        &self,
        filter: &Filter,
        from: Cursor,
        to: Cursor,
        limit: usize,
        parts: Parts,
    ) -> Result<(Vec<Kept>, Cursor)> {
        let mut next = to;
        let (entries, files) = {
            let state = self.state.lock();
            let mut entries: Vec<(Entry, Reason)> = Vec::new();
            let mut bytes = 0;
            for (looks, (order, entry)) in state.index.range(from.0, to.0).enumerate() {
                if entries.len() >= limit || looks >= PAGE_LOOKS || bytes >= PAGE_BYTES {
                    next = Cursor(order);
                    break;
                }
                if state.index.matches(entry, filter) {
                    bytes += if parts == Parts::Whole { entry.bytes() } else { 0 };
                    entries.push((*entry, state.index.reason_of(entry).clone()));
                }
            }
            // Opened before others can replace them: an open file stays what it is.
            let files =
                if parts == Parts::Whole { self.files(entries.iter().map(|(e, _)| e))? } else { HashMap::new() };
            (entries, files)
        };
        let whole = |entry: Entry, reason: Reason| match parts {
            Parts::Whole => self.read(&files, &entry),
            Parts::Summary => Ok(summary(&entry, reason)),
        };
        let page = entries.into_iter().map(|(entry, reason)| whole(entry, reason)).collect::<Result<_>>()?;
        Ok((page, next))
    }

    fn files<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Result<HashMap<u64, Arc<dyn ReadFile>>> {
        let mut files = HashMap::new();
        for entry in entries {
            if !files.contains_key(&entry.segment) {
                files.insert(entry.segment, self.fs.open(&segment_path(&self.dir, entry.segment))?);
            }
        }
        Ok(files)
    }

    fn read(&self, files: &HashMap<u64, Arc<dyn ReadFile>>, entry: &Entry) -> Result<Kept> {
        let file = files.get(&entry.segment).ok_or_else(|| Error::internal("a dead letter without its segment"))?;
        let bytes = file.read_at(entry.offset..entry.offset + u64::from(entry.len))?;
        let (id, letter) = decode_letter(&bytes).filter(|(id, _)| *id == entry.id).ok_or_else(|| {
            let path = segment_path(&self.dir, entry.segment);
            damaged(&path, entry.offset as usize, "the letter is not what was written")
        })?;
        Ok(Kept { id, status: entry.status, settled_at: settled_at(entry), letter })
    }

    /// One letter.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none; else the disk's.
    pub fn get(&self, id: LetterId) -> Result<Kept> {
        let (entry, files) = {
            let state = self.state.lock();
            let entry = *state.index.get(id).ok_or_else(|| no_such_letter(id))?;
            (entry, self.files([&entry].into_iter())?)
        };
        self.read(&files, &entry)
    }

    /// Attempts on a letter whose outcome was not noted.
    pub fn tries(&self, id: LetterId) -> Vec<Try> {
        self.state.lock().index.tries(id).to_vec()
    }

    /// How many letters there are of each code, of those that `filter` takes.
    pub fn count_by_code(&self, filter: &Filter) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let (mut from, end) = (0, self.end().0);
        while from < end {
            // Others get their turn in between.
            let state = self.state.lock();
            let mut next = end;
            for (looks, (order, entry)) in state.index.range(from, end).enumerate() {
                if looks >= PAGE_LOOKS {
                    next = order;
                    break;
                }
                if state.index.matches(entry, filter) {
                    let code = &state.index.reason_of(entry).code;
                    match counts.get_mut(code) {
                        Some(count) => *count += 1,
                        None => drop(counts.insert(code.clone(), 1)),
                    }
                }
            }
            from = next;
        }
        counts
    }

    /// Every segment as it is now, by name: what is written later is not in it, and what is removed stays in it.
    ///
    /// # Errors
    /// The disk's.
    pub fn frozen(&self) -> Result<Vec<(String, Arc<dyn ReadFile>)>> {
        let state = self.state.lock();
        let open = |(&number, segment): (&u64, &Segment)| {
            let path = segment_path(&self.dir, number);
            let file = self.fs.open(&path)?;
            if file.len() != segment.bytes {
                return Err(Error::internal(format!("{} has another length than it should", path.display())));
            }
            Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), file))
        };
        state.index.segments.iter().map(open).collect()
    }

    /// Open letters.
    pub fn count(&self) -> usize {
        self.state.lock().index.counts.open
    }

    /// Size of the store.
    pub fn bytes(&self) -> u64 {
        self.state.lock().index.bytes()
    }

    /// How the store is.
    pub fn status(&self) -> LetterStatus {
        *self.status.lock()
    }

    fn changed(&self, state: &State) {
        *self.status.lock() = state.status(self.max_bytes);
    }
}

fn settled_at(entry: &Entry) -> Option<Micros> {
    (entry.status != Status::Open).then_some(entry.settled_at)
}

fn summary(entry: &Entry, reason: Reason) -> Kept {
    let Reason { source, key, field, code } = reason;
    let letter = DeadLetter {
        received_at: entry.received_at,
        source,
        key,
        index: 0,
        field,
        code,
        message: String::new(),
        original: Bytes::new(),
        attempts: entry.attempts,
    };
    Kept { id: entry.id, status: entry.status, settled_at: settled_at(entry), letter }
}

impl State {
    fn status(&self, max_bytes: u64) -> LetterStatus {
        let counts = self.index.counts;
        LetterStatus {
            open: counts.open,
            replayed: counts.replayed,
            dropped: counts.dropped,
            expired: self.expired,
            bytes: self.index.bytes(),
            fullness: (self.index.used() as f64 / max_bytes.max(1) as f64).min(1.0),
        }
    }

    fn usable(&self) -> Result<()> {
        self.failure.as_ref().map_or(Ok(()), |why| Err(fatal(why)))
    }

    fn fail(&mut self, why: String) -> Error {
        fatal(self.failure.insert(why))
    }
}

fn fatal(why: &str) -> Error {
    Error::fatal(format!("the store of rejected events can no longer be trusted: {why}"))
        .with_hint("the process has to stop; at the next start it recovers everything that was acknowledged")
}

fn no_such_letter(id: LetterId) -> Error {
    Error::new(Kind::NotFound, "no_such_letter", format!("there is no rejected event {id}"))
}
