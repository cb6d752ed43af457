//! Changes on their way to a segment: those that come at the same time share a frame and its sync.

use std::io::Write as _;

use super::format::{FRAME_HEADER_BYTES, KIND_LETTERS, KIND_MARKS, Meta, SEGMENT_HEADER_BYTES};
use super::format::{encode_letter, encode_mark, seal_frame, segment_header};
use super::*;

/// What is to be written of a letter.
#[derive(Debug)]
pub(super) enum Change {
    /// It came in.
    Letter(DeadLetter),
    /// It has a new reason.
    Revised(DeadLetter),
    /// Something became of it.
    Mark(Mark),
}

/// The changes of one call, and what became of them.
#[derive(Debug)]
pub(super) struct Request {
    pub changes: Vec<(LetterId, Change)>,
    pub outcome: Mutex<Option<Result<()>>>,
}

/// A frame under construction, and what it will change in the index.
struct Frame {
    kind: u32,
    bytes: Vec<u8>,
    letters: Vec<(LetterId, u64, u32, Meta)>,
    marks: Vec<(LetterId, Mark, u64)>,
}

impl Frame {
    fn new(kind: u32) -> Self {
        Self { kind, bytes: vec![0; FRAME_HEADER_BYTES], letters: Vec::new(), marks: Vec::new() }
    }

    fn len(&self) -> (usize, usize, usize) {
        (self.bytes.len(), self.letters.len(), self.marks.len())
    }

    fn cut(&mut self, (bytes, letters, marks): (usize, usize, usize)) {
        self.bytes.truncate(bytes);
        self.letters.truncate(letters);
        self.marks.truncate(marks);
    }

    fn letter(&mut self, id: LetterId, letter: &DeadLetter) -> Result<()> {
        let offset = self.bytes.len() as u64 + 4;
        let len = encode_letter(id, letter, &mut self.bytes)?;
        self.letters.push((id, offset, len, Meta::of(letter)));
        Ok(())
    }

    fn mark(&mut self, id: LetterId, mark: &Mark) -> Result<()> {
        let len = encode_mark(id, mark, &mut self.bytes)?;
        self.marks.push((id, mark.clone(), len));
        Ok(())
    }
}

impl DeadLetters {
    pub(super) fn change(&self, changes: Vec<(LetterId, Change)>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let request = Arc::new(Request { changes, outcome: Mutex::default() });
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

    pub(super) fn write(&self, state: &mut State, requests: &[Arc<Request>]) {
        let mut frames = [Frame::new(KIND_LETTERS), Frame::new(KIND_MARKS)];
        let mut included = Vec::new();
        for request in requests {
            let before = [frames[0].len(), frames[1].len()];
            match self.encode(state, request, &mut frames) {
                Ok(()) => included.push(request),
                Err(e) => {
                    frames.iter_mut().zip(before).for_each(|(frame, before)| frame.cut(before));
                    *request.outcome.lock() = Some(Err(e));
                }
            }
        }
        // One after the other: a frame is written only when the one before it is synced.
        let mut written = state.usable();
        for mut frame in frames {
            if written.is_ok() && frame.bytes.len() > FRAME_HEADER_BYTES {
                seal_frame(&mut frame.bytes, frame.kind, &self.key);
                written = self.write_frame(state, frame);
            }
        }
        self.changed(state);
        for request in included {
            let outcome = written.as_ref().map_err(copy_of).copied();
            *request.outcome.lock() = Some(outcome);
        }
    }

    /// Encodes those of a request's changes that change something.
    fn encode(&self, state: &mut State, request: &Request, [letters, marks]: &mut [Frame; 2]) -> Result<()> {
        let mut fresh: HashSet<LetterId> = letters.letters.iter().map(|(id, ..)| *id).collect();
        let mut grew = false;
        for (id, change) in &request.changes {
            let known = state.index.get(*id).copied();
            match change {
                Change::Letter(_) if fresh.contains(id) => continue,
                Change::Letter(letter) => match known {
                    None => letters.letter(*id, letter)?,
                    Some(entry) if entry.status == Status::Dropped => {
                        // Later than the mark, whatever the clock says, so that the mark is not for this one.
                        let received_at = letter.received_at.max(entry.settled_at + MILLISECOND);
                        letters.letter(*id, &DeadLetter { received_at, ..letter.clone() })?;
                    }
                    Some(_) => continue,
                },
                Change::Revised(letter) if known.is_some_and(|e| e.status == Status::Open) => {
                    letters.letter(*id, letter)?;
                }
                Change::Revised(_) => continue,
                Change::Mark(mark) => {
                    if let Some(entry) = known.filter(|e| e.status == Status::Open) {
                        marks.mark(*id, &mark.not_before(entry.received_at))?;
                    }
                    continue;
                }
            }
            fresh.insert(*id);
            grew = true;
        }
        if grew {
            self.make_room(state, letters.bytes.len())?;
        }
        Ok(())
    }

    /// Marks may go beyond the limit: they are small, and they are what gives space back.
    fn make_room(&self, state: &mut State, frame_bytes: usize) -> Result<()> {
        let fits = |state: &State| {
            let after = state.index.bytes() + (SEGMENT_HEADER_BYTES + frame_bytes) as u64;
            after <= self.max_bytes && frame_bytes <= u32::MAX as usize
        };
        if !fits(state) && state.index.bytes() > state.index.used() {
            self.give_back(state)?;
        }
        if fits(state) {
            return Ok(());
        }
        Err(Error::busy("dead_letters_full", "the store of rejected events is full").with_hint(
            "replay or drop dead letters (`tideline dead-letters`), or raise dead_letters.max_bytes; then send the \
             request again",
        ))
    }

    fn write_frame(&self, state: &mut State, frame: Frame) -> Result<()> {
        if state.open.as_ref().is_none_or(|open| open.len >= SEGMENT_BYTES) {
            self.begin_segment(state)?;
        }
        let Some(open) = &mut state.open else {
            return Err(Error::internal("the store of rejected events has no segment"));
        };
        let (number, path) = (open.number, segment_path(&self.dir, open.number));
        if let Err(e) = open.file.write_all(&frame.bytes) {
            return match self.fs.truncate(&path, open.len) {
                Ok(()) => Err(Error::from(e).context("keeping rejected events")),
                Err(cut) => Err(state.fail(format!("{e}; and cutting back failed: {cut}"))),
            };
        }
        if let Err(e) = open.file.sync() {
            let why = format!("syncing {} failed: {e}", path.display());
            return Err(state.fail(why));
        }
        let at = open.len;
        open.len += frame.bytes.len() as u64;
        state.index.segments.entry(number).or_default().bytes = open.len;
        for (id, offset, len, meta) in &frame.letters {
            state.index.add(*id, number, at + offset, *len, meta);
        }
        for (id, mark, len) in &frame.marks {
            state.index.mark(*id, mark, number, *len);
        }
        Ok(())
    }

    fn begin_segment(&self, state: &mut State) -> Result<()> {
        let number = state.next_segment;
        let path = segment_path(&self.dir, number);
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
        let len = SEGMENT_HEADER_BYTES as u64;
        state.index.segments.insert(number, Segment { bytes: len, garbage: 0 });
        state.open = Some(OpenSegment { number, file, len });
        Ok(())
    }
}

/// One failure is the answer to several calls.
fn copy_of(e: &Error) -> Error {
    let copy = Error::new(e.kind, e.code, e.message.clone());
    match &e.hint {
        Some(hint) => copy.with_hint(hint.clone()),
        None => copy,
    }
}
