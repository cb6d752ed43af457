//! Giving space back: what is settled or older than the retention leaves the disk.
//!
//! A segment is written anew without its garbage and renamed over the old one, or removed when nothing is left, and the
//! folder is synced before the next segment is touched. So at every moment the files hold every open letter once, and
//! a mark goes only after its letter is gone for good: segments are taken in order, and a mark stands behind its letter.
//! (A repair of damage may turn that around; then a replayed letter can come back, and its event is a duplicate.)

use std::io::{ErrorKind, Write as _};

use super::format::{FRAME_HEADER_BYTES, KIND_LETTERS, KIND_MARKS, SEGMENT_HEADER_BYTES};
use super::format::{encode_mark, seal_frame, segment_header};
use super::*;

/// What a tidying did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tidied {
    /// Open letters that were older than the retention, and are gone.
    pub expired: usize,
    /// Replayed and dropped letters that can no longer be listed.
    pub forgotten: usize,
    /// Bytes given back.
    pub bytes: u64,
}

/// A segment without its garbage.
struct Rewritten {
    bytes: Vec<u8>,
    garbage: u64,
    /// Id, offset and length of each letter.
    places: Vec<(LetterId, u64, u32)>,
}

impl DeadLetters {
    /// Applies the retention: open letters received before `oldest` and letters settled before it go. Of a store that is
    /// more than half full, all settled ones go. Their space is given back. It may be interrupted at any time.
    ///
    /// # Errors
    /// The disk's.
    pub fn tidy(&self, oldest: Option<Micros>) -> Result<Tidied> {
        let mut done = Tidied::default();
        let (before, expires) = {
            let mut state = self.state.lock();
            state.usable()?;
            let before = state.index.bytes();
            if let Some(oldest) = oldest {
                done.expired = state.index.forget(|e| e.status == Status::Open && e.received_at < oldest);
                done.forgotten = state.index.forget(|e| e.status != Status::Open && e.settled_at < oldest);
                state.expired += done.expired as u64;
            }
            if before > self.max_bytes / 2 {
                done.forgotten += state.index.forget(|e| e.status != Status::Open);
            }
            self.changed(&state);
            (before, done != Tidied::default())
        };
        if !expires {
            return Ok(done);
        }
        // Others may write between two segments.
        let segments: Vec<u64> = self.state.lock().index.segments.keys().copied().collect();
        for number in segments {
            self.compact(&mut self.state.lock(), number)?;
        }
        done.bytes = before.saturating_sub(self.state.lock().index.bytes());
        Ok(done)
    }

    /// All that can be given back, at once.
    pub(super) fn give_back(&self, state: &mut State) -> Result<()> {
        state.index.forget(|e| e.status != Status::Open);
        let segments: Vec<u64> = state.index.segments.keys().copied().collect();
        for number in segments {
            self.compact(state, number)?;
        }
        Ok(())
    }

    /// Writes one segment anew when it holds garbage.
    pub(super) fn compact(&self, state: &mut State, number: u64) -> Result<()> {
        state.usable()?;
        let Some(segment) = state.index.segments.get(&number).copied().filter(|s| s.garbage > 0) else {
            return Ok(());
        };
        let path = segment_path(&self.dir, number);
        let bytes = self.fs.read(&path)?;
        let rewritten = self.without_garbage(state, number, &bytes)?;
        if rewritten.as_ref().is_some_and(|r| r.bytes.len() as u64 >= segment.bytes) {
            return Ok(());
        }
        if state.open.as_ref().is_some_and(|open| open.number == number) {
            // Its file is about to be another one; the next frame begins a new segment.
            state.open = None;
        }
        match &rewritten {
            None => self.fs.remove(&path)?,
            Some(rewritten) => self.replace(&path, &rewritten.bytes)?,
        }
        if let Err(e) = self.fs.sync_dir(&self.dir) {
            return Err(state.fail(format!("syncing {} failed: {e}", self.dir.display())));
        }
        match rewritten {
            None => state.index.moved(number, None, &[]),
            Some(Rewritten { bytes, garbage, places }) => {
                state.index.moved(number, Some(Segment { bytes: bytes.len() as u64, garbage }), &places);
            }
        }
        self.changed(state);
        Ok(())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let staged = path.with_extension("tmp");
        match self.fs.remove(&staged) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        let written = self.fs.create(&staged).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync()));
        if let Err(e) = written {
            // The old one is as it was.
            let _ = self.fs.remove(&staged);
            return Err(e.into());
        }
        Ok(self.fs.rename(&staged, path)?)
    }

    /// What of a segment is still needed; `None` when nothing is.
    fn without_garbage(&self, state: &State, number: u64, bytes: &Bytes) -> Result<Option<Rewritten>> {
        let mut letters = vec![0; FRAME_HEADER_BYTES];
        let mut marks = vec![0; FRAME_HEADER_BYTES];
        let (mut places, mut garbage) = (Vec::new(), 0);
        for record in scan(bytes).records {
            match record {
                Record::Letter { offset, len, id, .. } => {
                    let here = |e: &&Entry| e.segment == number && e.offset == offset;
                    if state.index.get(id).filter(here).is_some() {
                        let from = offset as usize - 4;
                        places.push((id, (SEGMENT_HEADER_BYTES + letters.len()) as u64 + 4, len));
                        letters.extend_from_slice(&bytes[from..from + 4 + len as usize]);
                    }
                }
                Record::Mark { id, mark, .. } => {
                    let Some(entry) = state.index.get(id) else { continue };
                    let counts = match mark {
                        Mark::Trying { at, .. } => state.index.tries(id).iter().any(|t| t.at == at),
                        Mark::Replayed { at } => entry.status == Status::Replayed && entry.settled_at == at,
                        Mark::Dropped { at } => entry.status == Status::Dropped && entry.settled_at == at,
                    };
                    if counts {
                        let len = encode_mark(id, &mark, &mut marks)?;
                        garbage += if entry.status == Status::Open { 0 } else { len };
                    }
                }
            }
        }
        let mut out = segment_header(&self.key).to_vec();
        for (mut frame, kind) in [(letters, KIND_LETTERS), (marks, KIND_MARKS)] {
            if frame.len() > FRAME_HEADER_BYTES {
                seal_frame(&mut frame, kind, &self.key);
                out.extend_from_slice(&frame);
            }
        }
        Ok((out.len() > SEGMENT_HEADER_BYTES).then_some(Rewritten { bytes: out, garbage, places }))
    }
}
