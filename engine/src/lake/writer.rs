//! Parquet out: rows sorted by `event_ts` descending, encoded a row group at a time, columns in parallel.
//!
//! SQL's `DESC` means nulls first, so that is what the files declare; `event_ts` has no nulls. Times and `seq` are
//! delta-encoded without a dictionary. Text that outgrows its dictionary, and `event_id` from the start, is stored as
//! lengths and characters apart: random ids are then nothing but literals, which zstd brings to their entropy.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use parking_lot::Mutex;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::LakeConfig;
use crate::error::{Error, Result};
use crate::event::{COLUMNS, ColumnKind, Seq, day_of, index, stored_schema};

/// Columns that get a bloom filter at compaction, when those are on.
const BLOOM_COLUMNS: [&str; 4] = ["event_id", "user_id", "session_id", "order_id"];
/// Columns of mostly random characters, compressed at level 1 whatever the file's: from level 3 on zstd finds matches in
/// them that cost more than they save (event_id as UUID: 18.5 bytes at level 1, 19.0 at 3 to 12).
const RANDOM_COLUMNS: [&str; 6] = ["event_id", "session_id", "user_id", "anonymous_id", "order_id", "cart_id"];
/// The longest text bound in a footer; longer than what the log keeps of it, whatever the characters.
const TEXT_BOUND_BYTES: usize = 128;

/// What a file is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// On the way from the buffer: quick.
    Flush,
    /// Merged from others: small.
    Compact,
}

/// How Parquet is written.
pub(super) fn properties(config: &LakeConfig, purpose: Purpose) -> Result<WriterPropertiesPtr> {
    let level = match purpose {
        Purpose::Flush => config.flush_zstd_level,
        Purpose::Compact => config.compact_zstd_level,
    };
    let newest_first = SortingColumn { column_idx: 0, descending: true, nulls_first: true };
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("tideline version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_data_page_row_count_limit(config.page_rows)
        .set_write_batch_size(config.page_rows.min(4096))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(TEXT_BOUND_BYTES))
        .set_sorting_columns(Some(vec![newest_first]));
    for column in &COLUMNS {
        let path = || ColumnPath::from(column.name);
        builder = match column.kind {
            ColumnKind::Time | ColumnKind::Long => builder
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED)
                .set_column_statistics_enabled(path(), EnabledStatistics::Page),
            ColumnKind::Text => builder.set_column_encoding(path(), Encoding::DELTA_LENGTH_BYTE_ARRAY),
            _ => builder,
        };
    }
    for name in RANDOM_COLUMNS {
        builder = builder.set_column_compression(ColumnPath::from(name), Compression::ZSTD(ZstdLevel::try_new(1)?));
    }
    builder = builder.set_column_dictionary_enabled(ColumnPath::from("event_id"), false);
    if purpose == Purpose::Compact && config.bloom_filters {
        for name in BLOOM_COLUMNS {
            builder = builder
                .set_column_bloom_filter_enabled(ColumnPath::from(name), true)
                .set_column_bloom_filter_fpp(ColumnPath::from(name), 0.01);
        }
    }
    Ok(Arc::new(builder.build()))
}

/// A row's place in a list of batches: (batch, row).
pub(super) type Place = (usize, usize);

/// The rows of each day, newest first; rows at or before `covered` are left out, as the lake has them.
pub(super) fn split_by_day(batches: &[RecordBatch], covered: Seq) -> Result<BTreeMap<i32, Vec<Place>>> {
    let mut days: BTreeMap<i32, Vec<(i64, i64, u32, u32)>> = BTreeMap::new();
    // What came last is mostly newest: going backwards leaves runs for the sort to find.
    for (b, batch) in batches.iter().enumerate().rev() {
        if batch.schema_ref().fields() != stored_schema().fields() {
            return Err(Error::internal("a batch for the lake is not of the stored schema"));
        }
        let times = batch.column(index::EVENT_TS).as_primitive::<TimestampMicrosecondType>().values();
        let seqs = batch.column(index::SEQ).as_primitive::<Int64Type>().values();
        let b = u32::try_from(b).map_err(|_| Error::internal("too many batches for one flush"))?;
        let mut day = (i32::MIN, Vec::new());
        for (row, (&time, &seq)) in times.iter().zip(seqs).enumerate().rev() {
            if seq <= covered.as_i64() {
                continue;
            }
            if day_of(time) != day.0 {
                let next = days.remove(&day_of(time)).unwrap_or_default();
                let (done, rows) = std::mem::replace(&mut day, (day_of(time), next));
                if !rows.is_empty() {
                    days.insert(done, rows);
                }
            }
            let row = u32::try_from(row).map_err(|_| Error::internal("a batch for the lake is too long"))?;
            day.1.push((time, seq, b, row));
        }
        if !day.1.is_empty() {
            days.insert(day.0, day.1);
        }
    }
    Ok(days
        .into_iter()
        .map(|(day, mut rows)| {
            rows.sort_by_key(|&(time, seq, ..)| Reverse((time, seq)));
            (day, rows.into_iter().map(|(_, _, b, row)| (b as usize, row as usize)).collect())
        })
        .collect())
}

/// A finished file, not yet stored.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) content: Bytes,
    pub(super) footer: Arc<ParquetMetaData>,
}

/// A Parquet file being encoded into memory, front to back. What is done can be [taken](Self::take) away at any time.
pub(super) struct Encoder {
    writer: SerializedFileWriter<Vec<u8>>,
    columns: ArrowRowGroupWriterFactory,
    /// How many Parquet columns each Arrow column has.
    leaves: Vec<usize>,
    row_groups: usize,
    threads: usize,
}

impl Encoder {
    pub(super) fn new(properties: WriterPropertiesPtr, threads: usize) -> Result<Self> {
        // Without the Arrow schema in the footer: Parquet's own types say it all, and it would be 6 KiB a file.
        let schema = ArrowSchemaConverter::new().convert(&stored_schema())?;
        let mut leaves = vec![0; COLUMNS.len()];
        for leaf in 0..schema.num_columns() {
            leaves[schema.get_column_root_idx(leaf)] += 1;
        }
        let writer = SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), properties)?;
        let columns = ArrowRowGroupWriterFactory::new(&writer, stored_schema());
        Ok(Self { writer, columns, leaves, row_groups: 0, threads: threads.max(1) })
    }

    /// Encodes one row group: the rows of `batches` at `order`.
    pub(super) fn row_group(&mut self, batches: &[RecordBatch], order: &[Place]) -> Result<()> {
        let mut writers = self.columns.create_column_writers(self.row_groups)?.into_iter();
        let jobs: Vec<Job> =
            self.leaves.iter().map(|&n| Mutex::new(Some(writers.by_ref().take(n).collect()))).collect();
        let done: Vec<Mutex<Option<Result<Vec<ArrowColumnChunk>>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let work = || {
            for (column, (job, done)) in jobs.iter().zip(&done).enumerate() {
                // Whoever comes first takes a column.
                if let Some(writers) = job.lock().take() {
                    *done.lock() = Some(encode_column(column, writers, batches, order));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(1 + order.len() / ROWS_WORTH_A_THREAD) {
                scope.spawn(work);
            }
            work();
        });
        let mut group = self.writer.next_row_group()?;
        for column in done {
            let chunks = column.into_inner().ok_or_else(|| Error::internal("a column was not encoded"))??;
            for chunk in chunks {
                chunk.append_to_row_group(&mut group)?;
            }
        }
        group.close()?;
        self.row_groups += 1;
        Ok(())
    }

    /// The bytes finished since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// Writes the footer; the bytes are those since the last [`take`](Self::take).
    pub(super) fn finish(mut self) -> Result<Encoded> {
        let footer = Arc::new(self.writer.finish()?);
        Ok(Encoded { content: self.take().into(), footer })
    }
}

type Job = Mutex<Option<Vec<ArrowColumnWriter>>>;

/// Below this many rows a second thread costs more than it saves.
const ROWS_WORTH_A_THREAD: usize = 16_384;

fn encode_column(
    column: usize,
    writers: Vec<ArrowColumnWriter>,
    batches: &[RecordBatch],
    order: &[Place],
) -> Result<Vec<ArrowColumnChunk>> {
    let array = gather(column, batches, order)?;
    let leaves = compute_leaves(stored_schema().field(column), &array)?;
    writers
        .into_iter()
        .zip(leaves)
        .map(|(mut writer, leaf)| {
            writer.write(&leaf)?;
            Ok(writer.close()?)
        })
        .collect()
}

/// One column of the rows at `order`.
fn gather(column: usize, batches: &[RecordBatch], order: &[Place]) -> Result<ArrayRef> {
    let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(column).as_ref()).collect();
    if parts.iter().all(|part| part.null_count() == part.len()) {
        return Ok(new_null_array(stored_schema().field(column).data_type(), order.len()));
    }
    Ok(interleave(&parts, order)?)
}

/// Encodes a whole file of the rows of `batches` at `order`.
pub(super) fn encode_file(
    properties: &WriterPropertiesPtr,
    config: &LakeConfig,
    batches: &[RecordBatch],
    order: &[Place],
) -> Result<Encoded> {
    let mut encoder = Encoder::new(Arc::clone(properties), config.encode_threads)?;
    for group in order.chunks(config.row_group_rows.max(1)) {
        encoder.row_group(batches, group)?;
    }
    encoder.finish()
}
