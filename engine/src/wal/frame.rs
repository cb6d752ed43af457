//! The write-ahead log's bytes: a pure codec, without files.
//!
//! ```text
//! segment = header frame*                              everything little-endian, every piece padded to 64 bytes
//! header  = magic[8] version:u32 length:u32 salt:u64 first:u64 schema_len:u32 crc:u32 0[24]  schema (Arrow IPC message)
//! frame   = magic:u32 header_crc:u32 salt:u64 first:u64 rows:u32 payload_len:u32
//!           columns:u128 kind:u32 payload_crc:u32 0[8]                                       payload
//! ```
//!
//! A frame is one group of events. Its payload is one Arrow IPC record batch message without the schema, which stands in
//! the segment's header; columns that are null throughout are left out, and `columns` says which are there. CRC32C covers
//! all: `header_crc` the frame's header after itself, `payload_crc` (which the header's covers) the padded payload. Two
//! checksums, so that a damaged length is told from a damaged payload. The salt is random per segment: no bytes a
//! client sends, and no frame of another segment, pass for a frame of this one.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, StreamWriter};
use arrow::ipc::{Block, MetadataVersion};
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::event::Seq;

/// The version of this format.
pub const VERSION: u32 = 1;
/// Every piece starts at a multiple of this, so that Arrow finds its buffers aligned.
pub const ALIGN: usize = 64;
/// Largest payload of one frame; a group must stay below.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;

const SEGMENT_MAGIC: [u8; 8] = *b"TIDEWAL\0";
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"TFRM");
const HEADER_BYTES: usize = 64;
/// Alignment of the buffers within a payload: enough for 128-bit decimals.
const BUFFER_ALIGN: usize = 16;
/// As many columns as the bits of `columns`.
const MAX_COLUMNS: usize = 128;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A group of events.
    Batch,
    /// The log was closed after this: nothing follows in this segment.
    Close,
}

/// A frame's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// What it is.
    pub kind: FrameKind,
    /// The segment's salt.
    pub salt: u64,
    /// Position of the first event.
    pub first: Seq,
    /// Events.
    pub rows: u32,
    /// Bit *n* says that column *n* of the segment's schema is in the payload.
    pub columns: u128,
    /// Bytes of payload before padding.
    pub payload_len: usize,
    payload_crc: u32,
}

/// A segment's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Marks this segment's frames.
    pub salt: u64,
    /// Position of the first event.
    pub first: Seq,
    /// Columns of the frames.
    pub schema: SchemaRef,
    /// Bytes of the header, padding included: where the first frame starts.
    pub len: usize,
}

/// Why bytes are not a piece of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// The header is cut off, or its checksum is wrong: its length cannot be trusted.
    Header,
    /// Written by a later version.
    Version(u32),
    /// It belongs to another segment.
    Salt,
    /// The header is right and the payload is cut off or its checksum is wrong. The range it claims.
    Payload,
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from(u64_at(bytes, at)) | u128::from(u64_at(bytes, at + 8)) << 64
}

fn ipc_options() -> Result<IpcWriteOptions> {
    Ok(IpcWriteOptions::try_new(BUFFER_ALIGN, false, MetadataVersion::V5)?)
}

impl SegmentHeader {
    /// Encodes a header.
    ///
    /// # Errors
    /// When the schema has more columns than a frame can name.
    pub fn encode(salt: u64, first: Seq, schema: &Schema) -> Result<Vec<u8>> {
        if schema.fields().len() > MAX_COLUMNS {
            return Err(Error::internal(format!("a log holds at most {MAX_COLUMNS} columns")));
        }
        let message = IpcDataGenerator::default()
            .schema_to_bytes_with_dictionary_tracker(schema, &mut DictionaryTracker::new(false), &ipc_options()?)
            .ipc_message;
        let len = padded(HEADER_BYTES + message.len());
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(len as u32).to_le_bytes());
        bytes.extend_from_slice(&salt.to_le_bytes());
        bytes.extend_from_slice(&first.0.to_le_bytes());
        bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(&message);
        bytes.resize(len, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the header at the beginning of a segment.
    ///
    /// # Errors
    /// [`Bad`]: what is wrong with it.
    pub fn decode(segment: &[u8]) -> Result<Self, Bad> {
        if segment.len() < HEADER_BYTES || segment[..8] != SEGMENT_MAGIC {
            return Err(Bad::Header);
        }
        let (version, len, schema_len) =
            (u32_at(segment, 8), u32_at(segment, 12) as usize, u32_at(segment, 32) as usize);
        if len > segment.len() || len < HEADER_BYTES || HEADER_BYTES + schema_len > len {
            return Err(Bad::Header);
        }
        let crc = crc32c::crc32c(&segment[..36]);
        let crc = crc32c::crc32c_append(crc, &[0; 4]);
        if crc32c::crc32c_append(crc, &segment[40..len]) != u32_at(segment, 36) {
            return Err(Bad::Header);
        }
        // Only now: a version in bytes that are not what was written says nothing.
        if version != VERSION {
            return Err(Bad::Version(version));
        }
        let message = &segment[HEADER_BYTES..HEADER_BYTES + schema_len];
        let schema = arrow::ipc::convert::try_schema_from_flatbuffer_bytes(message).map_err(|_| Bad::Header)?;
        Ok(Self { salt: u64_at(segment, 16), first: Seq(u64_at(segment, 24)), schema: Arc::new(schema), len })
    }
}

impl FrameHeader {
    /// Position of the last event; one before the first for a mark.
    pub fn last(&self) -> Seq {
        Seq((self.first.0 + u64::from(self.rows)).saturating_sub(1))
    }

    /// Bytes of the whole frame, padding included.
    pub fn frame_len(&self) -> usize {
        HEADER_BYTES + padded(self.payload_len)
    }

    /// Reads the header at the beginning of `bytes`, without looking at the payload.
    ///
    /// # Errors
    /// [`Bad::Header`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Bad> {
        if bytes.len() < HEADER_BYTES
            || u32_at(bytes, 0) != FRAME_MAGIC
            || u32_at(bytes, 4) != crc32c::crc32c(&bytes[8..HEADER_BYTES])
        {
            return Err(Bad::Header);
        }
        let kind = match u32_at(bytes, 48) {
            1 => FrameKind::Batch,
            2 => FrameKind::Close,
            _ => return Err(Bad::Header),
        };
        Ok(Self {
            kind,
            salt: u64_at(bytes, 8),
            first: Seq(u64_at(bytes, 16)),
            rows: u32_at(bytes, 24),
            payload_len: u32_at(bytes, 28) as usize,
            columns: u128_at(bytes, 32),
            payload_crc: u32_at(bytes, 52),
        })
    }

    /// The payload's place in a frame that starts at `at`.
    pub fn payload(&self, at: usize) -> Range<usize> {
        at + HEADER_BYTES..at + HEADER_BYTES + self.payload_len
    }

    fn encode_into(&self, bytes: &mut [u8]) {
        let kind: u32 = match self.kind {
            FrameKind::Batch => 1,
            FrameKind::Close => 2,
        };
        bytes[..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.rows.to_le_bytes());
        bytes[28..32].copy_from_slice(&(self.payload_len as u32).to_le_bytes());
        bytes[32..48].copy_from_slice(&self.columns.to_le_bytes());
        bytes[48..52].copy_from_slice(&kind.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[56..HEADER_BYTES].fill(0);
        let crc = crc32c::crc32c(&bytes[8..HEADER_BYTES]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Checks the whole frame at the beginning of `bytes`.
///
/// # Errors
/// [`Bad`]: what is wrong with it.
pub fn check_frame(bytes: &[u8], salt: u64) -> Result<FrameHeader, Bad> {
    let header = FrameHeader::decode(bytes)?;
    if header.salt != salt {
        return Err(Bad::Salt);
    }
    let payload = bytes.get(HEADER_BYTES..header.frame_len()).ok_or(Bad::Payload)?;
    if crc32c::crc32c(payload) != header.payload_crc {
        return Err(Bad::Payload);
    }
    Ok(header)
}

/// The mark that says that the log was closed.
pub fn encode_close(salt: u64, next: Seq) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let header =
        FrameHeader { kind: FrameKind::Close, salt, first: next, rows: 0, columns: 0, payload_len: 0, payload_crc: 0 };
    header.encode_into(&mut bytes);
    bytes
}

/// Encodes frames into one buffer that is used again and again.
pub struct Encoder {
    /// Arrow's own writer appends a message to its buffer without a copy in between, which is why it is used here; the
    /// schema message that it begins with is thrown away.
    writer: StreamWriter<Vec<u8>>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("capacity", &self.writer.get_ref().capacity()).finish()
    }
}

impl Encoder {
    /// An encoder with an empty buffer.
    ///
    /// # Errors
    /// None in practice: Arrow's, for a schema without columns.
    pub fn new() -> Result<Self> {
        Ok(Self { writer: StreamWriter::try_new_with_options(Vec::new(), &Schema::empty(), ipc_options()?)? })
    }

    /// Encodes one group as a frame.
    ///
    /// # Errors
    /// When it is empty or larger than [`MAX_PAYLOAD_BYTES`].
    pub fn encode(&mut self, salt: u64, first: Seq, batch: &RecordBatch) -> Result<&[u8]> {
        let rows = u32::try_from(batch.num_rows()).ok().filter(|&rows| rows > 0);
        let rows = rows.ok_or_else(|| Error::internal(format!("a frame cannot hold {} rows", batch.num_rows())))?;
        let (columns, present) = leave_out_nulls(batch)?;
        let buffer = self.writer.get_mut();
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        self.writer.write(&present)?;
        let buffer = self.writer.get_mut();
        let payload_len = buffer.len() - HEADER_BYTES;
        if payload_len > MAX_PAYLOAD_BYTES {
            return Err(Error::new(
                crate::error::Kind::TooLarge,
                "group_too_large",
                format!("a group of {payload_len} bytes is over the log's limit of {MAX_PAYLOAD_BYTES}"),
            ));
        }
        buffer.resize(HEADER_BYTES + padded(payload_len), 0);
        let payload_crc = crc32c::crc32c(&buffer[HEADER_BYTES..]);
        FrameHeader { kind: FrameKind::Batch, salt, first, rows, columns, payload_len, payload_crc }
            .encode_into(&mut buffer[..HEADER_BYTES]);
        Ok(buffer)
    }

    /// Gives a buffer back that one large group has blown up.
    pub fn shrink(&mut self, capacity: usize) {
        self.writer.get_mut().clear();
        self.writer.get_mut().shrink_to(capacity);
    }
}

/// Which columns have a value, and a batch of only those.
fn leave_out_nulls(batch: &RecordBatch) -> Result<(u128, RecordBatch), ArrowError> {
    let has_values = |column: &ArrayRef| column.null_count() < column.len();
    let present: Vec<usize> = (0..batch.num_columns()).filter(|&i| has_values(batch.column(i))).collect();
    let columns = present.iter().fold(0, |bits, &i| bits | 1 << i);
    Ok((columns, batch.project(&present)?))
}

/// Decodes the payload of a checked frame. The arrays share `segment`'s memory; nothing is copied.
///
/// # Errors
/// Arrow's: the checksum was right and yet this is no record batch of the segment's schema.
pub fn decode_batch(segment: &Bytes, at: usize, header: &FrameHeader, schema: &SchemaRef) -> Result<RecordBatch> {
    let present: Vec<usize> =
        (0..schema.fields().len()).filter(|&i| i < MAX_COLUMNS && header.columns & (1 << i) != 0).collect();
    let payload = segment.slice(header.payload(at));
    // The message begins with a marker and the length of its metadata; the buffers follow.
    let message = || Error::corrupt("a frame's payload is not an Arrow message");
    let meta_len = payload.get(4..8).map(|b| u32_at(b, 0) as usize + 8).filter(|&n| n <= payload.len());
    let meta_len = meta_len.ok_or_else(message)?;
    let block = Block::new(0, meta_len as i32, (payload.len() - meta_len) as i64);
    let decoder = FileDecoder::new(Arc::new(schema.project(&present)?), MetadataVersion::V5);
    let batch = decoder.read_record_batch(&block, &Buffer::from(payload))?.ok_or_else(message)?;
    if batch.num_rows() != header.rows as usize {
        return Err(Error::corrupt("a frame's batch has another number of rows than its header says"));
    }
    let mut columns = batch.columns().iter();
    let all = schema.fields().iter().enumerate().map(|(i, field)| match present.contains(&i) {
        true => columns.next().map(Arc::clone).ok_or_else(message),
        false => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), all.collect::<Result<_>>()?, &options)?)
}
