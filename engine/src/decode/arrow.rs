//! Arrow IPC streams → the same rows as JSON.
//!
//! Each row is written as one JSON object and read by the JSON reader. That costs a second pass, and buys that every
//! rule (names, nested structs, conflicts, exact money, derived ids) is stated once, and that a rejected row has an
//! original that can be fixed and sent again. Values go through text losslessly: integers and decimals digit by digit,
//! floats as the shortest text that reads back the same (so a float is taken for money where that has at most four
//! decimals), times as epoch milliseconds, cut off below. Nulls are left out.
//!
//! The stream is hostile until shown otherwise: message lengths and row counts are checked before anything is
//! allocated by them, buffer compression is refused (it would decompress without bound; compress the body instead),
//! values that dictionaries and views multiply are counted against a limit, and a panic in the decoder is caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ::arrow::array::{Array, ArrayRef, RecordBatch};
use ::arrow::buffer::Buffer;
use ::arrow::datatypes::{FieldRef, Schema};
use ::arrow::ipc::reader::StreamDecoder;
use ::arrow::ipc::{MessageHeader, root_as_message};
use bytes::Bytes;

use super::arrow_values as values;
use super::names::{kind_of, target};
use super::{DecodeContext, Decoded, Sink};
use crate::error::{Error, Kind, Result};
use crate::event::ColumnKind;

/// Decodes a whole stream.
pub(super) fn decode(body: &Bytes, ctx: &DecodeContext) -> Result<Decoded> {
    if body.is_empty() {
        return Err(Error::invalid("empty_body", "the body is empty").with_hint("send an Arrow IPC stream"));
    }
    check_messages(body, ctx)?;
    // The decoder indexes by what the stream says and panics where that lies; nothing outlives the attempt.
    let batches = catch_unwind(AssertUnwindSafe(|| read_batches(body)))
        .unwrap_or_else(|_| Err(invalid("its messages contradict each other")))?;
    let mut text = String::new();
    let mut rows = Vec::new();
    for batch in &batches {
        check_schema(&batch.schema())?;
        let columns = columns(batch)?;
        for row in 0..batch.num_rows() {
            let start = text.len();
            write_row(&mut text, &columns, row, ctx)?;
            rows.push(start..text.len());
        }
    }
    drop(batches);
    let text = Bytes::from(text);
    let mut sink = Sink::new(&text, ctx);
    for row in rows {
        sink.event(row)?;
    }
    sink.finish()
}

fn invalid(message: impl std::fmt::Display) -> Error {
    Error::invalid("invalid_arrow", format!("the body is not a readable Arrow IPC stream: {message}"))
        .with_hint("write it with an IPC stream writer (not the file format), uncompressed")
}

/// Walks over the messages' headers, before anything is allocated by what they say.
fn check_messages(body: &[u8], ctx: &DecodeContext) -> Result<()> {
    let mut rest = body;
    let mut rows = 0i64;
    let take = |rest: &mut &[u8], bytes: usize| -> Result<Vec<u8>> {
        let (head, tail) = rest.split_at_checked(bytes).ok_or_else(|| invalid("it breaks off"))?;
        *rest = tail;
        Ok(head.to_vec())
    };
    while !rest.is_empty() {
        let mut length = take(&mut rest, 4)?;
        if length == [0xff; 4] {
            length = take(&mut rest, 4)?;
        }
        let length = length.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
        if length == 0 {
            return if rest.is_empty() { Ok(()) } else { Err(invalid("bytes follow its end")) };
        }
        let header = take(&mut rest, length as usize)?;
        let message = root_as_message(&header).map_err(invalid)?;
        let contents = usize::try_from(message.bodyLength()).map_err(invalid)?;
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|d| d.data()),
            _ => None,
        };
        if let Some(batch) = batch {
            if batch.compression().is_some() {
                return Err(Error::invalid("compressed_arrow", "the Arrow stream's buffers are compressed")
                    .with_hint("write it uncompressed, and compress the body: Content-Encoding: zstd"));
            }
            if message.header_type() == MessageHeader::RecordBatch {
                rows = rows.saturating_add(batch.length());
            }
            // A column of nulls has any length at no cost, in a dictionary too.
            let most = i64::try_from(ctx.max_events).unwrap_or(i64::MAX);
            if batch.length() < 0 || rows > most || batch.length() > most.max(body.len() as i64) {
                return Err(Error::new(
                    Kind::TooLarge,
                    "too_many_events",
                    format!("the body has more than {} events", ctx.max_events),
                )
                .with_hint("split it into several requests"));
            }
        }
        rest = rest.get(contents..).ok_or_else(|| invalid("it breaks off"))?;
    }
    Ok(())
}

fn read_batches(body: &Bytes) -> Result<Vec<RecordBatch>> {
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from(body.clone());
    let mut batches = Vec::new();
    while !buffer.is_empty() {
        match decoder.decode(&mut buffer) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => {}
            Err(e) => return Err(invalid(e)),
        }
    }
    decoder.finish().map_err(invalid)?;
    if decoder.schema().is_none() {
        return Err(invalid("it has no schema"));
    }
    Ok(batches)
}

fn check_schema(schema: &Schema) -> Result<()> {
    for (names, what) in
        [(&["event_type"][..], "event_type"), (&["event_ts", "timestamp"][..], "event_ts (or timestamp)")]
    {
        if !names.iter().any(|name| schema.column_with_name(name).is_some()) {
            return Err(Error::invalid("missing_column", format!("the Arrow stream has no column {what}"))
                .with_hint("name the columns as the fields of a JSON event"));
        }
    }
    Ok(())
}

struct Column {
    /// `,"name":`
    key: String,
    is_time: bool,
    values: ArrayRef,
}

fn columns(batch: &RecordBatch) -> Result<Vec<Column>> {
    let schema = batch.schema();
    let column = |(field, array): (&FieldRef, &ArrayRef)| {
        if !values::is_supported(field.data_type()) {
            return Err(Error::invalid(
                "unsupported_type",
                format!("column {} has the type {}, which is not taken", field.name(), field.data_type()),
            )
            .with_hint("cast it to text, a number, a time, or a list or struct of these"));
        }
        let mut key = String::from(",");
        super::properties::push_json_string(&mut key, field.name());
        key.push(':');
        let is_time = kind_of(target(field.name())) == Some(ColumnKind::Time);
        Ok(Column { key, is_time, values: ArrayRef::clone(array) })
    };
    schema.fields().iter().zip(batch.columns()).map(column).collect()
}

fn write_row(out: &mut String, columns: &[Column], row: usize, ctx: &DecodeContext) -> Result<()> {
    let start = out.len();
    for column in columns {
        if column.values.is_null(row) {
            continue;
        }
        out.push_str(&column.key);
        let is_time = column.is_time && values::is_time(column.values.data_type());
        let written = if is_time {
            values::write_epoch_ms(out, &column.values, row)
        } else {
            values::write(out, &column.values, row, ctx.max_decoded_bytes)
        };
        // A row may be too large by itself, and is rejected as such later; the body as a whole is bounded here.
        if written.is_none() || out.len() >= ctx.max_decoded_bytes {
            let message = "the Arrow stream is too large once its values stand in rows";
            return Err(Error::new(Kind::TooLarge, "too_large", message)
                .with_hint("send fewer rows in a request, without long repeated values"));
        }
    }
    // The first comma opens the object.
    if out.len() > start {
        out.replace_range(start..=start, "{");
    } else {
        out.push('{');
    }
    out.push('}');
    Ok(())
}
