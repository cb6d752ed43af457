//! Opening the log again: a torn tail is cut, anything else that is wrong is an error that names file and offset.
//! Repair sets what is damaged aside; it never deletes.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use bytes::Bytes;
use serde::Serialize;

use super::frame::{self, Bad, SegmentHeader};
use super::segment::{Scan, Segment, file_name, frames_after, parse_name, scan};
use super::{Frame, Recovered};
use crate::error::{Error, Kind, Result};
use crate::event::{Seq, conform, stored_schema};
use crate::fs::Fs;

/// What a log's files hold.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// The first damage, if any.
    pub damage: Option<Damage>,
    /// The files that a repair made of what was damaged and what followed it; [`salvage`](super::salvage) reads them.
    pub set_aside: Vec<PathBuf>,
    /// The events that a repair took out of the log.
    pub lost: Option<Lost>,
}

/// One segment.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentReport {
    /// Its file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Groups of events in it.
    pub frames: usize,
    /// Position of its first event, if it has one.
    pub first: Option<u64>,
    /// Position of its last event, if it has one.
    pub last: Option<u64>,
    /// Whether it ends with the mark of a clean close.
    pub closed: bool,
    /// Bytes of an incomplete last frame. They were not acknowledged and are cut when the log is opened.
    pub torn_bytes: u64,
}

/// Bytes that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// In which file.
    pub file: PathBuf,
    /// From which byte on.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// A range of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The first.
    pub first: u64,
    /// The last, as far as it can be told.
    pub last: Option<u64>,
}

impl From<Damage> for Error {
    fn from(d: Damage) -> Self {
        Self::corrupt(format!("the write-ahead log is damaged: {}, byte {}: {}", d.file.display(), d.offset, d.what))
            .with_hint("run `tideline check --repair`: it sets the damaged part aside and says which events that costs")
    }
}

/// A segment with its bytes.
struct Examined {
    path: PathBuf,
    bytes: Bytes,
    scan: Scan,
}

impl Examined {
    fn torn_bytes(&self) -> u64 {
        (self.bytes.len() - self.scan.end) as u64
    }
}

fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<(Seq, PathBuf)>> {
    let entries = fs.list(dir).map_err(|e| Error::from(e).context(dir.display()))?;
    let mut found: Vec<_> =
        entries.into_iter().filter(|e| !e.is_dir).filter_map(|e| Some((parse_name(&e.path)?, e.path))).collect();
    found.sort_unstable();
    Ok(found)
}

/// Reads the segments in order up to the first damage. Gaps are fine up to `covered`: deleting covered segments may
/// have been cut short by a loss of power, in any order.
fn examine(
    fs: &dyn Fs,
    segments: Vec<(Seq, PathBuf)>,
    covered: Option<Seq>,
) -> Result<(Vec<Examined>, Option<Damage>)> {
    let mut examined: Vec<Examined> = Vec::with_capacity(segments.len());
    let count = segments.len();
    let mut due = covered.map(|c| c.plus(1));
    for (n, (named, path)) in segments.into_iter().enumerate() {
        let bytes = fs.read(&path).map_err(|e| Error::from(e).context(path.display()))?;
        let scan = scan(&bytes, named);
        let damage = |offset, what: &str| Damage { file: path.clone(), offset, what: what.to_owned() };
        let overlaps = examined.last().and_then(|e| e.scan.next()).is_some_and(|next| named < next);
        let torn = n + 1 == count && scan.problem.as_ref().is_none_or(|p| p.could_be_torn);
        let found = if scan.header.is_some() && due.is_some_and(|due| named > due) {
            let due = due.unwrap_or_default();
            Some(damage(0, &format!("it begins with event {named}, and the events from {due} on are missing")))
        } else if scan.header.is_some() && overlaps {
            Some(damage(0, &format!("it begins with event {named}, which an earlier segment holds")))
        } else {
            scan.problem.as_ref().filter(|_| !torn).map(|p| damage(scan.end as u64, &p.what))
        };
        due = due.max(scan.next());
        examined.push(Examined { path, bytes, scan });
        if found.is_some() {
            return Ok((examined, found));
        }
    }
    Ok((examined, None))
}

/// Puts a file's new content in its place, durably: the old one stays whole until the new one is.
fn replace(fs: &dyn Fs, path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let staged = path.with_extension("tmp");
    match fs.remove(&staged) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = fs.create(&staged)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync());
    if let Err(e) = written {
        let _ = fs.remove(&staged);
        return Err(e);
    }
    fs.rename(&staged, path)?;
    sync_parent(fs, path)
}

fn sync_parent(fs: &dyn Fs, path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |dir| fs.sync_dir(dir))
}

/// Makes what was read of the last segment stay: its last frame may be visible and yet not be on the disk, because the
/// process died before the sync, or because the sync failed (Linux then calls the pages clean, and syncing again does
/// nothing). What is shown once must not vanish later, so the segment is written anew.
fn settle(fs: &dyn Fs, last: &Examined) -> Result<()> {
    let good = &last.bytes[..last.scan.end];
    match replace(fs, &last.path, &[good]) {
        // A full disk must not keep the server from starting; a sync in place is right in all but the last case above.
        Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            fs.truncate(&last.path, good.len() as u64)
        }
        other => other,
    }
    .map_err(|e| Error::from(e).context(format!("rewriting {}", last.path.display())))
}

/// The segments that stay when a log is opened.
pub(super) struct Kept {
    pub segments: Vec<Segment>,
    /// Whether the last of them ends with the mark of a clean close, or there is none.
    pub marked: bool,
}

/// Opens the log's files. Returns the segments that stay, and what they hold beyond `covered`.
pub(super) fn recover(fs: &dyn Fs, dir: &Path, covered: Seq) -> Result<(Kept, Recovered)> {
    fs.create_dir_all(dir)?;
    for entry in fs.list(dir)? {
        if entry.path.extension().is_some_and(|x| x == "tmp") {
            fs.remove(&entry.path)?;
        }
    }
    let mut segments = list(fs, dir)?;
    // A segment whose successor begins within what is covered is covered as a whole: it need not even be read.
    while segments.len() > 1 && segments[1].0 <= covered.plus(1) {
        fs.remove(&segments.remove(0).1)?;
    }
    // What is visible now has to stay, also names that a killed process did not come to sync.
    fs.sync_dir(dir)?;
    let (mut examined, damage) = examine(fs, segments, Some(covered))?;
    if let Some(damage) = damage {
        let newer = examined.last().is_some_and(|e| matches!(SegmentHeader::decode(&e.bytes), Err(Bad::Version(_))));
        return Err(if newer { newer_format(&damage) } else { damage.into() });
    }
    let clean = examined.last().is_none_or(|last| last.scan.closed && last.torn_bytes() == 0);
    let torn_bytes = examined.last().map_or(0, Examined::torn_bytes);
    let last = examined.iter().filter_map(|e| e.scan.next()).fold(covered, |at, next| at.max(Seq(next.0 - 1)));
    if let Some(tail) = examined.last() {
        let has_news = tail.scan.frames.last().is_some_and(|(_, f)| f.last() > covered);
        if !has_news {
            // Empty, or covered as a whole.
            fs.remove(&tail.path)?;
            fs.sync_dir(dir)?;
            examined.pop();
        } else if !clean {
            settle(fs, tail)?;
        }
    }
    let marked = examined.last().is_none_or(|last| last.scan.closed);
    let mut frames = Vec::new();
    let mut segments = Vec::new();
    for segment in examined {
        frames.extend(decode(&segment, covered)?);
        let first = segment.scan.header.as_ref().map_or(Seq::ZERO, |h| h.first);
        let last = segment.scan.frames.last().map_or(first, |(_, f)| f.last());
        segments.push(Segment { path: segment.path, first, last, bytes: segment.scan.end as u64 });
    }
    Ok((Kept { segments, marked }, Recovered { frames, torn_bytes, clean, last }))
}

/// Nothing is wrong with such a log, and it must not be repaired.
fn newer_format(found: &Damage) -> Error {
    let message = format!("the write-ahead log is newer than this build: {}: {}", found.file.display(), found.what);
    Error::new(Kind::Invalid, "newer_format", message).with_hint("use a newer tideline")
}

fn decode(segment: &Examined, covered: Seq) -> Result<Vec<Frame>> {
    let Some(header) = &segment.scan.header else { return Ok(Vec::new()) };
    let beyond = segment.scan.frames.iter().filter(|(_, f)| f.last() > covered);
    beyond
        .map(|(at, frame)| {
            let context = || format!("{}, byte {at}", segment.path.display());
            let batch = frame::decode_batch(&segment.bytes, *at, frame, &header.schema)
                .and_then(|batch| conform(batch, &stored_schema()))
                .map_err(|e| Error::corrupt(e.message).context(context()))?;
            let skip = (covered.plus(1).0).saturating_sub(frame.first.0) as usize;
            let batch = if skip == 0 { batch } else { batch.slice(skip, batch.num_rows() - skip) };
            Ok(Frame { first: frame.first.plus(skip as u64), last: frame.last(), batch })
        })
        .collect()
}

fn report(examined: &[Examined], damage: Option<Damage>) -> Report {
    let last = examined.len().saturating_sub(1);
    let segment = |(n, e): (usize, &Examined)| SegmentReport {
        file: e.path.clone(),
        bytes: e.bytes.len() as u64,
        frames: e.scan.frames.len(),
        first: e.scan.frames.first().map(|(_, f)| f.first.0),
        last: e.scan.frames.last().map(|(_, f)| f.last().0),
        closed: e.scan.closed,
        torn_bytes: if n == last && damage.is_none() { e.torn_bytes() } else { 0 },
    };
    let segments = examined.iter().enumerate().map(segment).collect();
    Report { segments, damage, ..Report::default() }
}

/// Reads the whole log and says what it holds, without changing anything. `covered` is the last position the lake
/// holds, where that is known: up to there events may be missing.
///
/// # Errors
/// Only the disk's: damage is part of the report.
pub fn check(fs: &dyn Fs, dir: &Path, covered: Option<Seq>) -> Result<Report> {
    let (examined, damage) = examine(fs, list(fs, dir)?, covered)?;
    Ok(report(&examined, damage))
}

/// Sets the first damage and everything after it aside in files called `damaged-…` beside the log, so that it opens
/// again. Nothing is deleted. The log must not be open.
///
/// # Errors
/// The disk's. It can be run again: what it did not come to is still reported as damage.
pub fn repair(fs: &dyn Fs, dir: &Path, covered: Option<Seq>) -> Result<Report> {
    let segments = list(fs, dir)?;
    let (examined, damage) = examine(fs, segments.clone(), covered)?;
    let mut report = report(&examined, damage);
    let (Some(damage), Some(bad)) = (&report.damage, examined.last()) else { return Ok(report) };
    let mut suspects: Vec<PathBuf> = segments.iter().skip(examined.len()).map(|(_, path)| path.clone()).collect();
    let good_end = damage.offset as usize;
    let before = examined[..examined.len() - 1].iter().filter_map(|e| e.scan.next()).next_back();
    let mut next = before.or(covered.map(|c| c.plus(1)));
    let mut seen_last = None;
    if let (Some(header), true) = (&bad.scan.header, good_end > 0 && !bad.scan.frames.is_empty()) {
        // The damaged end gets the segment's header in front, so that it can be read by itself. Only when it is safe is
        // it cut from the log. Were the later segments moved first, it would pass for a torn tail after a crash.
        let aside = free_name(fs, dir, &format!("damaged-{}-{good_end}.log", stem(&bad.path)))?;
        replace(fs, &aside, &[&bad.bytes[..header.len], &bad.bytes[good_end..]])?;
        replace(fs, &bad.path, &[&bad.bytes[..good_end]])?;
        next = bad.scan.next();
        report.set_aside.push(aside);
    } else {
        suspects.insert(0, bad.path.clone());
    }
    seen_last = seen_last.max(frames_after(&bad.bytes, good_end).map(|(_, f)| f.last()).max());
    for path in suspects {
        let bytes = fs.read(&path)?;
        seen_last = seen_last.max(frames_after(&bytes, 0).map(|(_, f)| f.last()).max());
        seen_last = seen_last.max(parse_name(&path).map(|first| Seq(first.0.saturating_sub(1))));
        let aside = free_name(fs, dir, &format!("damaged-{}.log", stem(&path)))?;
        fs.rename(&path, &aside)?;
        fs.sync_dir(dir)?;
        report.set_aside.push(aside);
    }
    let first = next.or(segments.first().map(|(first, _)| *first)).unwrap_or_default();
    report.lost = Some(Lost { first: first.0, last: seen_last.filter(|last| *last >= first).map(|last| last.0) });
    Ok(report)
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| file_name(Seq::ZERO), |s| s.to_string_lossy().into_owned())
}

fn free_name(fs: &dyn Fs, dir: &Path, wanted: &str) -> Result<PathBuf> {
    let mut path = dir.join(wanted);
    for n in 1_u32.. {
        match fs.stat(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => break,
            Err(e) => return Err(e.into()),
            Ok(_) => path = dir.join(format!("{wanted}.{n}")),
        }
    }
    Ok(path)
}

/// The groups that can still be read in a file that [`repair`] set aside. Sent in again, those that are in the lake
/// already are recognised as duplicates.
///
/// # Errors
/// When the file cannot be read, or its header is gone and with it the meaning of the rest.
pub fn salvage(fs: &dyn Fs, path: &Path) -> Result<Vec<RecordBatch>> {
    let bytes = fs.read(path).map_err(|e| Error::from(e).context(path.display()))?;
    let header = SegmentHeader::decode(&bytes)
        .map_err(|_| Error::corrupt(format!("{}: the segment's header is damaged", path.display())))?;
    let sound = frames_after(&bytes, header.len)
        .filter(|(at, _)| frame::check_frame(&bytes[*at..], header.salt).is_ok_and(|f| f.rows > 0));
    sound
        .map(|(at, frame)| {
            frame::decode_batch(&bytes, at, &frame, &header.schema).and_then(|batch| conform(batch, &stored_schema()))
        })
        .collect()
}
