//! Events that were not accepted, kept with the reason until somebody fixes them: nothing is lost silently.
//!
//! It stands beside the data path: what decoding and validation refuse is durable here before the client is answered.
//! A letter's id is a hash of source, original bytes and code, so a client that sends the same bad event a hundred times
//! leaves one letter. The store has a limit; when it is full new letters are refused ([`Kind::Busy`]), never old ones
//! dropped.
//!
//! Letters go to segment files, one checksummed frame per sync (see `format`). As in the write-ahead log, a frame is
//! written only after the one before it was synced: an incomplete last frame is cut, anything else that is wrong is
//! damage.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use siphasher::sip128::SipHasher13;

use crate::clock::Micros;
use crate::error::{Error, Kind, Result};
use crate::fs::{Fs, WriteFile};

mod format;
mod repair;
#[cfg(test)]
mod tests;

pub use repair::repair;

use format::{FRAME_HEADER_BYTES, Key, SEGMENT_HEADER_BYTES, Scan, could_be_torn, decode_letter, encode_letter};
use format::{scan, seal_frame, segment_header};
use repair::settle;

/// A new segment is begun when one has reached this size.
const SEGMENT_BYTES: u64 = 16 << 20;

/// An event that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// When the server received it.
    pub received_at: Micros,
    /// What it came through: `http`, a file, a stream.
    pub source: String,
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
}

/// A letter's id: 32 hex digits, a hash of its source, original and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// The store.
#[derive(Debug)]
pub struct DeadLetters {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    max_bytes: u64,
    hasher: SipHasher13,
    key: Key,
    /// Letters waiting for the next sync. Never held together with a sync, so that others can queue meanwhile.
    queue: Mutex<Vec<Arc<Request>>>,
    state: Mutex<State>,
}

/// The letters of one call, and what became of them.
#[derive(Debug)]
struct Request {
    letters: Vec<(LetterId, DeadLetter)>,
    outcome: Mutex<Option<Result<()>>>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they came.
    letters: Vec<Place>,
    /// Where a letter stands in `letters`.
    positions: HashMap<LetterId, usize>,
    segments: Vec<PathBuf>,
    /// The last segment when this process began it, and how long it is.
    open: Option<(Box<dyn WriteFile>, u64)>,
    next_segment: u64,
    bytes: u64,
    failure: Option<String>,
}

/// Where a letter's bytes are.
#[derive(Debug, Clone, Copy)]
struct Place {
    id: LetterId,
    segment: u32,
    len: u32,
    offset: u64,
}

fn segment_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("dead-")?.strip_suffix(".log")?.parse().ok()
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

impl DeadLetters {
    /// Opens the store in a folder, which is created when absent. It holds at most `max_bytes`.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] naming file and offset when it is damaged; else the disk's.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, max_bytes: u64) -> Result<Self> {
        fs.create_dir_all(dir)?;
        let found = list_segments(fs.as_ref(), dir)?;
        let mut state = State { next_segment: found.last().map_or(1, |(n, _)| n + 1), ..State::default() };
        let mut key = None;
        let count = found.len();
        for (n, (_, path)) in found.into_iter().enumerate() {
            let bytes = fs.read(&path)?;
            let scan = scan(&bytes);
            if let Some(what) = scan.problem
                && (n + 1 < count || !could_be_torn(&bytes, &scan))
            {
                return Err(damaged(&path, scan.end, what));
            }
            if scan.letters.is_empty() {
                fs.remove(&path)?;
                continue;
            }
            if n + 1 == count {
                settle(fs.as_ref(), &path, &bytes[..scan.end])?;
            }
            key = key.or(scan.key);
            state.add_segment(path, &scan);
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
            state: Mutex::new(state),
        })
    }

    /// Keeps letters. When this returns `Ok`, they survive a loss of power. Letters that are kept already cost nothing.
    ///
    /// Calls at the same time share one sync.
    ///
    /// # Errors
    /// [`Kind::Busy`] when the store or the disk is full, and none of the letters is kept; [`Kind::Fatal`] when a sync
    /// failed, now or before.
    pub fn append(&self, letters: Vec<DeadLetter>) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let letters = letters.into_iter().map(|letter| (self.id_of(&letter), letter)).collect();
        let request = Arc::new(Request { letters, outcome: Mutex::default() });
        self.queue.lock().push(Arc::clone(&request));
        // Whoever gets here first writes for all that queued meanwhile; the others find their outcome.
        let mut state = self.state.lock();
        if let Some(outcome) = request.outcome.lock().take() {
            return outcome;
        }
        let requests = std::mem::take(&mut *self.queue.lock());
        self.write(&mut state, &requests);
        let outcome = request.outcome.lock().take();
        outcome.unwrap_or_else(|| Err(Error::internal("a dead letter was left without an outcome")))
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

    fn write(&self, state: &mut State, requests: &[Arc<Request>]) {
        let mut frame = vec![0; FRAME_HEADER_BYTES];
        let mut places = Vec::new();
        let mut fresh = HashSet::new();
        let mut included = Vec::new();
        for request in requests {
            let (len, kept) = (frame.len(), places.len());
            let encoded = self.encode_new(state, request, &mut frame, &mut places, &mut fresh);
            match encoded {
                Ok(()) => included.push(request),
                Err(e) => {
                    frame.truncate(len);
                    for place in places.drain(kept..) {
                        let place: Place = place;
                        fresh.remove(&place.id);
                    }
                    *request.outcome.lock() = Some(Err(e));
                }
            }
        }
        let written = match places.is_empty() {
            true => state.usable(),
            false => {
                seal_frame(&mut frame, &self.key);
                self.write_frame(state, &frame, places)
            }
        };
        for request in included {
            let outcome = written.as_ref().map_err(copy_of).copied();
            *request.outcome.lock() = Some(outcome);
        }
    }

    /// Encodes those of a request's letters that are neither kept nor in this frame already.
    fn encode_new(
        &self,
        state: &State,
        request: &Request,
        frame: &mut Vec<u8>,
        places: &mut Vec<Place>,
        fresh: &mut HashSet<LetterId>,
    ) -> Result<()> {
        for (id, letter) in &request.letters {
            if state.positions.contains_key(id) || fresh.contains(id) {
                continue;
            }
            let offset = frame.len() as u64 + 4;
            let len = encode_letter(*id, letter, frame)?;
            fresh.insert(*id);
            places.push(Place { id: *id, segment: 0, len, offset });
            let after = state.bytes + (SEGMENT_HEADER_BYTES + frame.len()) as u64;
            if after > self.max_bytes || frame.len() > u32::MAX as usize {
                return Err(Error::busy("dead_letters_full", "the store of rejected events is full").with_hint(
                    "fix and replay rejected events, or raise the store's limit; then send the request again",
                ));
            }
        }
        Ok(())
    }

    fn write_frame(&self, state: &mut State, frame: &[u8], places: Vec<Place>) -> Result<()> {
        state.usable()?;
        if state.open.as_ref().is_none_or(|(_, len)| *len >= SEGMENT_BYTES) {
            self.begin_segment(state)?;
        }
        let (Some((file, len)), Some(path)) = (&mut state.open, state.segments.last()) else {
            return Err(Error::internal("the store of rejected events has no segment"));
        };
        if let Err(e) = file.write_all(frame) {
            return match self.fs.truncate(path, *len) {
                Ok(()) => Err(Error::from(e).context("keeping rejected events")),
                Err(cut) => Err(state.fail(format!("{e}; and cutting back failed: {cut}"))),
            };
        }
        if let Err(e) = file.sync() {
            let why = format!("syncing {} failed: {e}", path.display());
            return Err(state.fail(why));
        }
        let at = *len;
        *len += frame.len() as u64;
        state.bytes += frame.len() as u64;
        let segment = (state.segments.len() - 1) as u32;
        for place in places {
            state.add(Place { segment, offset: at + place.offset, ..place });
        }
        Ok(())
    }

    fn begin_segment(&self, state: &mut State) -> Result<()> {
        let path = self.dir.join(format!("dead-{:020}.log", state.next_segment));
        let context = |e| Error::from(e).context("keeping rejected events");
        let mut file = self.fs.create(&path).map_err(context)?;
        if let Err(e) = file.write_all(&segment_header(&self.key)) {
            return match self.fs.remove(&path) {
                Ok(()) => Err(context(e)),
                Err(stays) => Err(state.fail(format!("{e}; and removing {} failed: {stays}", path.display()))),
            };
        }
        if let Err(e) = file.sync().and_then(|()| self.fs.sync_dir(&self.dir)) {
            return Err(state.fail(format!("syncing {} failed: {e}", path.display())));
        }
        state.next_segment += 1;
        state.bytes += SEGMENT_HEADER_BYTES as u64;
        state.segments.push(path);
        state.open = Some((file, SEGMENT_HEADER_BYTES as u64));
        Ok(())
    }

    /// At most `limit` letters in the order in which they came, beginning after the one called `after`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no letter `after`; else the disk's.
    pub fn list(&self, after: Option<LetterId>, limit: usize) -> Result<Vec<(LetterId, DeadLetter)>> {
        let (places, segments) = {
            let state = self.state.lock();
            let start = match after {
                None => 0,
                Some(id) => 1 + *state.positions.get(&id).ok_or_else(|| no_such_letter(id))?,
            };
            let places: Vec<Place> = state.letters.iter().skip(start).take(limit).copied().collect();
            (places, state.segments.clone())
        };
        places.into_iter().map(|place| self.read(&segments, place)).collect()
    }

    /// One letter.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none; else the disk's.
    pub fn get(&self, id: LetterId) -> Result<DeadLetter> {
        let (place, segments) = {
            let state = self.state.lock();
            let position = *state.positions.get(&id).ok_or_else(|| no_such_letter(id))?;
            (state.letters[position], state.segments.clone())
        };
        self.read(&segments, place).map(|(_, letter)| letter)
    }

    fn read(&self, segments: &[PathBuf], place: Place) -> Result<(LetterId, DeadLetter)> {
        let path = &segments[place.segment as usize];
        let bytes = self.fs.open(path)?.read_at(place.offset..place.offset + u64::from(place.len))?;
        let letter = decode_letter(&bytes).filter(|(id, _)| *id == place.id);
        letter.ok_or_else(|| damaged(path, place.offset as usize, "the letter is not what was written"))
    }

    /// Letters kept.
    pub fn count(&self) -> usize {
        self.state.lock().letters.len()
    }

    /// Size of the store.
    pub fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }
}

impl State {
    fn add(&mut self, place: Place) {
        // A repair that was cut short and run again leaves a letter twice.
        if !self.positions.contains_key(&place.id) {
            self.positions.insert(place.id, self.letters.len());
            self.letters.push(place);
        }
    }

    fn add_segment(&mut self, path: PathBuf, scan: &Scan) {
        let segment = self.segments.len() as u32;
        self.segments.push(path);
        self.bytes += scan.end as u64;
        for &(offset, len, id) in &scan.letters {
            self.add(Place { id, segment, len, offset });
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

/// One failure is the answer to several calls.
fn copy_of(e: &Error) -> Error {
    let copy = Error::new(e.kind, e.code, e.message.clone());
    match &e.hint {
        Some(hint) => copy.with_hint(hint.clone()),
        None => copy,
    }
}
