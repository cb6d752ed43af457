//! The bytes of dead letters: a pure codec, without files.
//!
//! ```text
//! segment = header frame*                                  dead-<number>.log, everything little-endian
//! header  = magic[8] version:u32 crc:u32 key[16]           the key of the ids, the same in every segment of a store
//! frame   = magic:u32 kind:u32 len:u32 crc:u32 key[16] payload[len]     crc over all but magic and itself
//! kind 1  = letters: (letter_len:u32 id[16] meta_len:u32 meta:JSON original:bytes)*
//! kind 2  = marks:   (mark_len:u32 id[16] mark:JSON)*                    what became of letters, see [`Mark`]
//! ```
//!
//! The key is random and secret, so no bytes a client sends pass for a frame. Stores of builds that knew letters only
//! are read as they are: what their JSON lacks has a default. A build that meets a kind it does not know says so.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DeadLetter, LetterId};
use crate::clock::Micros;
use crate::dedup::Hour;
use crate::error::{Error, Result};

const SEGMENT_MAGIC: [u8; 8] = *b"TIDEDEAD";
const VERSION: u32 = 1;
/// Size of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 32;
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"DFRM");
/// Size of a frame's header.
pub(super) const FRAME_HEADER_BYTES: usize = 32;
/// Frames of letters.
pub(super) const KIND_LETTERS: u32 = 1;
/// Frames of marks.
pub(super) const KIND_MARKS: u32 = 2;
/// A letter's length and id, before its JSON's length.
const LETTER_HEADER_BYTES: usize = 4 + 16;

pub(super) type Key = [u8; 16];

/// What a letter's JSON holds; the original follows it as it is, whatever its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Meta {
    pub received_at: Micros,
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub index: u64,
    pub field: String,
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
}

impl Meta {
    pub fn of(letter: &DeadLetter) -> Self {
        Self {
            received_at: letter.received_at,
            source: letter.source.clone(),
            key: letter.key.clone(),
            index: letter.index,
            field: letter.field.clone(),
            code: letter.code.clone(),
            message: letter.message.clone(),
            attempts: letter.attempts,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What became of a letter. It holds for the letter as it was at that time: one that is received later is a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub(super) enum Mark {
    /// Its event is stored.
    Replayed { at: Micros },
    /// Somebody decided that it is not wanted.
    Dropped { at: Micros },
    /// It is about to be stored, changed, as this event: whether it was can be told from that, also after a crash.
    Trying { at: Micros, event_id: String, hour: Hour },
}

impl Mark {
    pub fn at(&self) -> Micros {
        match self {
            Self::Replayed { at } | Self::Dropped { at } | Self::Trying { at, .. } => *at,
        }
    }

    /// The same, not before the letter it is for, whatever the clock says.
    pub fn not_before(&self, time: Micros) -> Self {
        let mut mark = self.clone();
        match &mut mark {
            Self::Replayed { at } | Self::Dropped { at } | Self::Trying { at, .. } => *at = (*at).max(time),
        }
        mark
    }
}

/// Appends a mark to a frame; says how long it is with its length.
pub(super) fn encode_mark(id: LetterId, mark: &Mark, out: &mut Vec<u8>) -> Result<u64> {
    let json = serde_json::to_vec(mark).map_err(|e| Error::internal(e.to_string()))?;
    out.extend_from_slice(&(16 + json.len() as u32).to_le_bytes());
    out.extend_from_slice(&id.0.to_le_bytes());
    out.extend_from_slice(&json);
    Ok(20 + json.len() as u64)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(super) fn segment_header(key: &Key) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..].copy_from_slice(key);
    let crc = crc32c::crc32c(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode_segment_header(bytes: &[u8]) -> Option<Key> {
    let key = bytes.get(16..SEGMENT_HEADER_BYTES)?.try_into().ok()?;
    (bytes[..SEGMENT_HEADER_BYTES] == segment_header(&key)).then_some(key)
}

/// Appends a letter to a frame; says how long it is without its length.
pub(super) fn encode_letter(id: LetterId, letter: &DeadLetter, out: &mut Vec<u8>) -> Result<u32> {
    let meta = serde_json::to_vec(&Meta::of(letter)).map_err(|e| Error::internal(e.to_string()))?;
    let len = u32::try_from(LETTER_HEADER_BYTES + meta.len() + letter.original.len());
    let len = len.map_err(|_| Error::internal("a rejected event is over 4 GiB"))?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&id.0.to_le_bytes());
    out.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    out.extend_from_slice(&meta);
    out.extend_from_slice(&letter.original);
    Ok(len)
}

fn letter_id(bytes: &[u8]) -> Option<LetterId> {
    Some(LetterId(u128::from_le_bytes(bytes.get(..16)?.try_into().ok()?)))
}

fn meta(bytes: &[u8]) -> Option<(Meta, usize)> {
    let end = LETTER_HEADER_BYTES + u32_at(bytes, 16)? as usize;
    Some((serde_json::from_slice(bytes.get(LETTER_HEADER_BYTES..end)?).ok()?, end))
}

/// Reads a letter without its length.
pub(super) fn decode_letter(bytes: &Bytes) -> Option<(LetterId, DeadLetter)> {
    let (Meta { received_at, source, key, index, field, code, message, attempts }, end) = meta(bytes)?;
    let original = bytes.slice(end..);
    let letter = DeadLetter { received_at, source, key, index, field, code, message, original, attempts };
    Some((letter_id(bytes)?, letter))
}

fn frame_crc(header: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&header[4..12]);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &header[16..FRAME_HEADER_BYTES]), payload)
}

/// Finishes a frame whose payload stands after room for its header.
pub(super) fn seal_frame(frame: &mut [u8], kind: u32, key: &Key) {
    let (header, payload) = frame.split_at_mut(FRAME_HEADER_BYTES);
    header[..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
    header[4..8].copy_from_slice(&kind.to_le_bytes());
    header[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[16..].copy_from_slice(key);
    let crc = frame_crc(header, payload);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// The kind, length and key of the whole frame at the beginning of `bytes`; `None` when it is incomplete or damaged.
fn check_frame(bytes: &[u8]) -> Option<(u32, usize, Key)> {
    if u32_at(bytes, 0)? != FRAME_MAGIC {
        return None;
    }
    let end = FRAME_HEADER_BYTES.checked_add(u32_at(bytes, 8)? as usize)?;
    let crc = frame_crc(bytes, bytes.get(FRAME_HEADER_BYTES..end)?);
    let key = bytes.get(16..FRAME_HEADER_BYTES)?.try_into().ok()?;
    (u32_at(bytes, 12)? == crc).then_some((u32_at(bytes, 4)?, end, key))
}

/// What stands in a frame.
pub(super) enum Record {
    /// A letter: where it is and how long (both without the length field), and what it says of itself.
    Letter { offset: u64, len: u32, id: LetterId, meta: Meta },
    /// A mark, and how long it is with its length.
    Mark { id: LetterId, mark: Mark, len: u64 },
}

/// What a segment holds.
pub(super) struct Scan {
    /// `None` when the header is bad.
    pub key: Option<Key>,
    /// In the order in which they were written.
    pub records: Vec<Record>,
    /// End of the last whole frame.
    pub end: usize,
    /// What is wrong there; `None` when the segment ends there.
    pub problem: Option<&'static str>,
}

/// Reads through a segment up to the first thing that is wrong.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan { key: decode_segment_header(bytes), records: Vec::new(), end: 0, problem: None };
    let Some(key) = scan.key else {
        scan.problem = Some("the header is incomplete or damaged");
        return scan;
    };
    scan.end = SEGMENT_HEADER_BYTES;
    while scan.end < bytes.len() {
        let records = match check_frame(&bytes[scan.end..]) {
            None => Err("the frame is incomplete or its checksum is wrong"),
            Some((_, _, other)) if other != key => Err("the frame belongs to another store"),
            Some((kind @ (KIND_LETTERS | KIND_MARKS), len, _)) => {
                frame_records(&bytes[..scan.end + len], scan.end, kind)
                    .map(|records| (records, len))
                    .ok_or("the frame holds something else than letters or marks")
            }
            Some(_) => Err("the frame is of a kind that this build does not know"),
        };
        match records {
            Ok((records, len)) => {
                scan.records.extend(records);
                scan.end += len;
            }
            Err(what) => {
                scan.problem = Some(what);
                break;
            }
        }
    }
    scan
}

/// The records of the frame that begins at `at` and ends where `bytes` does.
fn frame_records(bytes: &[u8], at: usize, kind: u32) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    let mut at = at + FRAME_HEADER_BYTES;
    while at < bytes.len() {
        let len = u32_at(bytes, at)?;
        let record = bytes.get(at + 4..at + 4 + len as usize)?;
        let id = letter_id(record)?;
        records.push(if kind == KIND_LETTERS {
            Record::Letter { offset: at as u64 + 4, len, id, meta: meta(record)?.0 }
        } else {
            Record::Mark { id, mark: serde_json::from_slice(record.get(16..)?).ok()?, len: u64::from(len) + 4 }
        });
        at += 4 + len as usize;
    }
    Some(records)
}

/// Whether what is wrong at the end of the last segment can be what was being written when the process died.
pub(super) fn could_be_torn(bytes: &[u8], scan: &Scan) -> bool {
    // The header is synced before the first frame is written: where there is more than a header, it was right once.
    let Some(key) = scan.key else { return bytes.len() <= SEGMENT_HEADER_BYTES };
    let rest = &bytes[scan.end..];
    // A frame that is whole is not torn, one that follows proves that this one was synced.
    (0..rest.len()).all(|at| check_frame(&rest[at..]).is_none_or(|(_, _, other)| other != key && at > 0))
}

/// The whole frames in a damaged segment, one after the other, and their key.
pub(super) fn readable_frames(bytes: &[u8], key: Option<Key>) -> (Option<Key>, Vec<u8>) {
    // With the header gone, the frame that begins where it ended is surely ours.
    let first = || check_frame(bytes.get(SEGMENT_HEADER_BYTES..)?).map(|(_, _, key)| key);
    let Some(key) = key.or_else(first) else { return (None, Vec::new()) };
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match check_frame(&bytes[at..]) {
            Some((KIND_LETTERS | KIND_MARKS, len, other)) if other == key => {
                frames.extend_from_slice(&bytes[at..at + len]);
                at += len;
            }
            _ => at += 1,
        }
    }
    (Some(key), frames)
}
