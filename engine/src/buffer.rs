//! Rows that are durable in the write-ahead log and not yet in the lake: sealed Arrow batches in Seq order.
//!
//! A [`Buffer`] is an immutable view. The one publisher makes the next view from the current one; a query keeps
//! reading the view it started with. Small batches are merged as they pile up, so that a view of a million
//! single-event requests still holds a few hundred batches.

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{cast, concat_batches, max, min};
use arrow::datatypes::DataType;

use crate::clock::Micros;
use crate::error::Result;
use crate::event::{Seq, day_of, hour_of, index, stored_schema, table_schema};

/// How many neighbours of one size class are merged into one of the next.
const FAN_IN: usize = 8;
/// Batches of at least this many rows stay as they are. So no merge makes more than [`FAN_IN`] times as many: whoever
/// waits for an acknowledgement waits for the copy, and with page faults a hundred megabytes take as many milliseconds.
const SETTLED_ROWS: usize = 2_048;

/// Consecutive rows of one node.
#[derive(Debug)]
pub struct Sealed {
    first: Seq,
    last: Seq,
    stored: RecordBatch,
    bytes: usize,
    hours: RangeInclusive<i64>,
    max_event_ts: Option<Micros>,
    table: OnceLock<RecordBatch>,
}

impl Sealed {
    /// Rows in [`stored_schema`], the first of which is `first`; the others follow without gaps.
    pub fn new(first: Seq, stored: RecordBatch) -> Self {
        let last = Seq((first.0 + stored.num_rows() as u64).saturating_sub(1));
        let bytes = batch_bytes(&stored);
        let hours = hours_of(&stored);
        let max_event_ts = max(times(&stored, index::EVENT_TS));
        Self { first, last, stored, bytes, hours, max_event_ts, table: OnceLock::new() }
    }

    /// The latest event time in it.
    pub fn max_event_ts(&self) -> Option<Micros> {
        self.max_event_ts
    }

    /// The hours that the rows' times, the corrected and the client's own, lie within.
    pub fn hours(&self) -> &RangeInclusive<i64> {
        &self.hours
    }

    /// The first row's position.
    pub fn first(&self) -> Seq {
        self.first
    }

    /// The last row's position.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The rows as the log and the lake hold them.
    pub fn stored(&self) -> &RecordBatch {
        &self.stored
    }

    /// The rows as SQL sees them, made when first asked for.
    pub fn table(&self) -> Result<&RecordBatch> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let made = to_table(&self.stored)?;
        Ok(self.table.get_or_init(|| made))
    }

    /// The rows after `covered`.
    fn beyond(self: &Arc<Self>, covered: Seq) -> Option<Arc<Self>> {
        if covered < self.first {
            return Some(Arc::clone(self));
        }
        let skip = usize::try_from(covered.0 + 1 - self.first.0).unwrap_or(usize::MAX);
        let rows = self.stored.num_rows();
        (skip < rows).then(|| Arc::new(Self::new(covered.plus(1), self.stored.slice(skip, rows - skip))))
    }

    /// 0 for the smallest batches, one more for each factor of [`FAN_IN`]; `None` when settled.
    fn size_class(&self) -> Option<u32> {
        let rows = self.stored.num_rows();
        (rows < SETTLED_ROWS).then(|| (rows / 64).max(1).ilog(FAN_IN))
    }
}

fn times(batch: &RecordBatch, column: usize) -> &TimestampMicrosecondArray {
    batch.column(column).as_primitive()
}

fn hours_of(batch: &RecordBatch) -> RangeInclusive<i64> {
    let (event, client) = (times(batch, index::EVENT_TS), times(batch, index::CLIENT_TS));
    let low = min(event).into_iter().chain(min(client)).min();
    let high = max(event).into_iter().chain(max(client)).max();
    hour_of(low.unwrap_or(0))..=hour_of(high.unwrap_or(0))
}

/// Bytes of memory a batch's values take; slices count what they show.
fn batch_bytes(batch: &RecordBatch) -> usize {
    let column = |c: &ArrayRef| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size());
    batch.columns().iter().map(column).sum()
}

/// Rows in [`stored_schema`] as [`table_schema`] shows them: text as views over the same bytes, and the day.
pub fn to_table(stored: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = stored
        .columns()
        .iter()
        .map(|c| match c.data_type() {
            DataType::Utf8 => Ok(cast(c, &DataType::Utf8View)?),
            _ => Ok(Arc::clone(c)),
        })
        .collect::<Result<Vec<_>>>()?;
    let days: Date32Array =
        times(stored, index::EVENT_TS).values().iter().map(|&t| day_of(t)).collect::<Vec<_>>().into();
    columns.push(Arc::new(days));
    Ok(RecordBatch::try_new(table_schema(), columns)?)
}

/// An immutable view of the buffered rows, in Seq order. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Buffer {
    batches: Arc<Vec<Arc<Sealed>>>,
    rows: usize,
    bytes: usize,
}

impl Buffer {
    fn of(batches: Vec<Arc<Sealed>>) -> Self {
        let rows = batches.iter().map(|b| b.stored.num_rows()).sum();
        let bytes = batches.iter().map(|b| b.bytes).sum();
        Self { batches: Arc::new(batches), rows, bytes }
    }

    /// The next view: these rows appended, small neighbours merged.
    pub fn push(&self, sealed: Sealed) -> Result<Self> {
        let mut batches = Vec::with_capacity(self.batches.len() + 1);
        batches.extend(self.batches.iter().cloned());
        batches.push(Arc::new(sealed));
        while let Some(from) = mergeable_tail(&batches) {
            let parts = batches.split_off(from);
            let merged = concat_batches(&stored_schema(), parts.iter().map(|b| &b.stored))?;
            batches.push(Arc::new(Sealed::new(parts[0].first, merged)));
        }
        Ok(Self::of(batches))
    }

    /// The view without the rows the lake now covers.
    pub fn beyond(&self, covered: Seq) -> Self {
        Self::of(self.batches.iter().filter_map(|b| b.beyond(covered)).collect())
    }

    /// The batches, in Seq order.
    pub fn batches(&self) -> &[Arc<Sealed>] {
        &self.batches
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How much memory they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last row's position; `None` when empty.
    pub fn last(&self) -> Option<Seq> {
        self.batches.last().map(|b| b.last)
    }
}

/// Where a run of [`FAN_IN`] batches of one size class starts at the end of the list.
fn mergeable_tail(batches: &[Arc<Sealed>]) -> Option<usize> {
    let from = batches.len().checked_sub(FAN_IN)?;
    let class = batches.last()?.size_class()?;
    batches[from..].iter().all(|b| b.size_class() == Some(class)).then_some(from)
}

#[cfg(test)]
pub(crate) mod tests {
    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};

    use super::*;
    use crate::event::COLUMNS;

    /// `rows` rows from `first`, one second apart.
    pub(crate) fn rows(first: u64, rows: usize) -> RecordBatch {
        let schema = stored_schema();
        let columns = COLUMNS.iter().zip(schema.fields()).map(|(column, field)| -> ArrayRef {
            let numbers = (0..rows as i64).map(|i| first as i64 + i);
            match column.name {
                "seq" => Arc::new(Int64Array::from_iter_values(numbers)),
                "event_ts" | "received_at" => Arc::new(
                    TimestampMicrosecondArray::from_iter_values(numbers.map(|n| n * 1_000_000)).with_timezone("UTC"),
                ),
                "node" => Arc::new(StringArray::from(vec!["0000abcd"; rows])),
                "event_id" => Arc::new(StringArray::from_iter_values(numbers.map(|n| format!("e{n}")))),
                "event_type" => Arc::new(StringArray::from(vec!["page_view"; rows])),
                _ => new_null_array(field.data_type(), rows),
            }
        });
        RecordBatch::try_new(stored_schema(), columns.collect()).unwrap()
    }

    fn seqs(buffer: &Buffer) -> Vec<i64> {
        let column = |b: &Arc<Sealed>| {
            b.table().unwrap().column(index::SEQ).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        };
        buffer.batches().iter().flat_map(column).collect()
    }

    #[test]
    fn many_small_batches_become_few_in_the_same_order() {
        let mut buffer = Buffer::default();
        for seq in 1..=1_000 {
            buffer = buffer.push(Sealed::new(Seq(seq), rows(seq, 1))).unwrap();
        }
        assert!(buffer.batches().len() <= 3 * FAN_IN, "{}", buffer.batches().len());
        assert_eq!(seqs(&buffer), (1..=1_000).collect::<Vec<i64>>());
        assert_eq!((buffer.rows(), buffer.last()), (1_000, Some(Seq(1_000))));
    }

    #[test]
    fn no_merge_makes_a_large_batch() {
        for batch in [100, 500, 2_000] {
            let mut buffer = Buffer::default();
            for first in (1..200_000).step_by(batch) {
                buffer = buffer.push(Sealed::new(Seq(first), rows(first, batch))).unwrap();
            }
            let largest = buffer.batches().iter().map(|b| b.stored().num_rows()).max().unwrap();
            assert!(largest <= FAN_IN * SETTLED_ROWS, "{batch}: {largest}");
            assert!(
                buffer.batches().len() <= 200_000 / SETTLED_ROWS + 3 * FAN_IN,
                "{batch}: {}",
                buffer.batches().len()
            );
        }
    }

    #[test]
    fn a_view_beyond_a_seq_holds_exactly_the_rest() {
        let mut buffer = Buffer::default();
        for seq in (1..100).step_by(10) {
            buffer = buffer.push(Sealed::new(Seq(seq), rows(seq, 10))).unwrap();
        }
        for covered in 0..=100 {
            let rest = buffer.beyond(Seq(covered));
            assert_eq!(seqs(&rest), (covered as i64 + 1..=100).collect::<Vec<_>>());
        }
        assert_eq!(buffer.beyond(Seq(100)).bytes(), 0);
    }
}
