//! What a segment's bytes hold, and whether what is wrong with them is a torn tail or damage. Pure: no files.
//!
//! A frame is written only after the one before it was synced. So a crash can leave at most one incomplete frame, the
//! last, with nothing behind it: that is a *torn tail*, nothing in it was acknowledged, it is cut. Everything else is
//! *damage*: bytes that were synced are no longer what was written.

use std::path::{Path, PathBuf};

use super::frame::{ALIGN, Bad, FrameHeader, FrameKind, SegmentHeader, check_frame};
use crate::event::Seq;

/// A segment among the log's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub first: Seq,
    /// One before `first` while it holds no frame.
    pub last: Seq,
    pub bytes: u64,
}

/// The name of the segment that begins with `first`.
pub(super) fn file_name(first: Seq) -> String {
    format!("wal-{:020}.log", first.0)
}

/// Reads [`file_name`] back.
pub(super) fn parse_name(path: &Path) -> Option<Seq> {
    let digits = path.file_name()?.to_str()?.strip_prefix("wal-")?.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Seq)).flatten()
}

/// What a segment holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub header: Option<SegmentHeader>,
    /// Complete frames of events, with the offset of each.
    pub frames: Vec<(usize, FrameHeader)>,
    /// Whether the last thing is the mark of a clean close.
    pub closed: bool,
    /// End of the last complete piece.
    pub end: usize,
    /// What is wrong at `end`; `None` when the file ends there.
    pub problem: Option<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// For people.
    pub what: String,
    /// Whether a crash in the middle of writing the log's last frame explains it.
    pub could_be_torn: bool,
}

impl Problem {
    fn damage(what: impl Into<String>) -> Self {
        Self { what: what.into(), could_be_torn: false }
    }
}

impl Scan {
    /// Position after the last complete frame, `None` when there is not even a header.
    pub fn next(&self) -> Option<Seq> {
        let header = self.header.as_ref()?;
        Some(self.frames.last().map_or(header.first, |(_, f)| f.last().plus(1)))
    }
}

/// Reads through a segment up to the first thing that is wrong.
pub(super) fn scan(bytes: &[u8], named: Seq) -> Scan {
    let mut scan = Scan { header: None, frames: Vec::new(), closed: false, end: 0, problem: None };
    let header = match SegmentHeader::decode(bytes) {
        Ok(header) => header,
        Err(bad) => {
            scan.problem = Some(header_problem(bytes, bad));
            return scan;
        }
    };
    if header.first != named {
        scan.problem = Some(Problem::damage(format!("its header says that it begins with {}", header.first)));
        return scan;
    }
    let (salt, mut next) = (header.salt, header.first);
    scan.end = header.len;
    scan.header = Some(header);
    while scan.end < bytes.len() {
        let rest = &bytes[scan.end..];
        if scan.closed {
            scan.problem = Some(Problem::damage("bytes follow the mark of a clean close"));
            break;
        }
        match check_frame(rest, salt) {
            Err(bad) => scan.problem = Some(frame_problem(rest, salt, bad)),
            Ok(frame) if frame.first != next => {
                let what = format!("the frame begins with event {} where {next} is due", frame.first);
                scan.problem = Some(Problem::damage(what));
            }
            Ok(frame) => {
                let at = scan.end;
                scan.end += frame.frame_len();
                match frame.kind {
                    FrameKind::Close => scan.closed = true,
                    FrameKind::Batch => {
                        next = frame.last().plus(1);
                        scan.frames.push((at, frame));
                    }
                }
                continue;
            }
        }
        break;
    }
    scan
}

fn header_problem(bytes: &[u8], bad: Bad) -> Problem {
    match bad {
        Bad::Version(v) => Problem::damage(format!("it is in format version {v}, which this build does not know")),
        // The header is synced before the first frame is written: where there is a frame, there was a header.
        _ if frames_after(bytes, 0).next().is_some() => Problem::damage("its header is damaged and frames follow"),
        _ => Problem { what: "its header is incomplete".into(), could_be_torn: true },
    }
}

/// `rest` begins with the bad frame.
fn frame_problem(rest: &[u8], salt: u64, bad: Bad) -> Problem {
    let what = match bad {
        Bad::Salt => return Problem::damage("the frame belongs to another segment"),
        Bad::Version(_) | Bad::Header => "the frame's header is incomplete or damaged",
        Bad::Payload => "the frame is incomplete or its checksum is wrong",
    };
    // The salt is asked for, so that nothing a client sent can pass for a frame.
    if frames_after(rest, ALIGN).any(|(_, frame)| frame.salt == salt) {
        return Problem::damage(format!("{what}, and frames follow it"));
    }
    // A header that is right says where the frame ends; nothing can have been written after it.
    let end = FrameHeader::decode(rest).map_or(rest.len(), |frame| frame.frame_len().min(rest.len()));
    if rest[end..].iter().any(|&byte| byte != 0) {
        return Problem::damage(format!("{what}, and bytes follow it"));
    }
    Problem { what: what.into(), could_be_torn: true }
}

/// Frame headers at or after an offset, whether or not their payloads are right.
pub(super) fn frames_after(bytes: &[u8], from: usize) -> impl Iterator<Item = (usize, FrameHeader)> {
    let offsets = (from.next_multiple_of(ALIGN)..bytes.len()).step_by(ALIGN);
    offsets.filter_map(|at| Some((at, FrameHeader::decode(&bytes[at..]).ok()?)))
}
