//! Parquet in, for the lake's own needs: merging files, and the ids that deduplication asks for. Queries have their
//! own scan.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::files::LakeFile;
use super::log::store_error;
use crate::clock::{HOUR, Micros};
use crate::error::{Error, Result};
use crate::event::{COLUMNS, conform, hour_of, index, stored_schema};

/// Rows in a batch.
const BATCH_ROWS: usize = 8192;
/// How much of a file's end is fetched in the hope that it holds the footer.
const FOOTER_HINT_BYTES: usize = 64 << 10;

/// Reads a file of the store.
pub(super) struct StoreReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for StoreReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let read = async move { self.store.get_range(&self.path, range).await };
        read.map(|r| r.map_err(|e| ParquetError::External(Box::new(e)))).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let read = async move { self.store.get_ranges(&self.path, &ranges).await };
        read.map(|r| r.map_err(|e| ParquetError::External(Box::new(e)))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Skip)
                .with_prefetch_hint(Some(FOOTER_HINT_BYTES));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

impl StoreReader {
    pub(super) fn new(store: &Arc<dyn ObjectStore>, file: &LakeFile) -> Result<Self> {
        Ok(Self { store: Arc::clone(store), path: store_path(&file.path)?, size: file.bytes })
    }
}

/// A table path as the store wants it.
pub(super) fn store_path(path: &str) -> Result<Path> {
    Path::parse(path).map_err(|e| Error::corrupt(format!("the table names a file with an impossible path: {e}")))
}

/// The footer, from memory or from the file.
pub(super) async fn footer(store: &Arc<dyn ObjectStore>, file: &LakeFile) -> Result<Arc<ParquetMetaData>> {
    match file.metadata() {
        Some(footer) => Ok(footer),
        None => footer_on_disk(store, file).await,
    }
}

/// The footer as it is in the file.
pub(super) async fn footer_on_disk(store: &Arc<dyn ObjectStore>, file: &LakeFile) -> Result<Arc<ParquetMetaData>> {
    let read = StoreReader::new(store, file)?.get_metadata(None).await;
    read.map_err(|e| damaged(file, e))
}

/// A file that cannot be read as Parquet is damaged; a store that cannot be reached is not the file's fault.
pub(super) fn damaged(file: &LakeFile, e: ParquetError) -> Error {
    let doing = format!("reading lake file {}", file.path);
    match e {
        ParquetError::External(e) => match e.downcast::<object_store::Error>() {
            Ok(e) => store_error(&doing, *e),
            Err(e) => Error::internal(e.to_string()).context(doing),
        },
        e => Error::corrupt(e.to_string()).with_source(e).context(doing).with_hint("run `tideline check`"),
    }
}

/// Which part of a file to read.
pub(super) struct Part {
    /// Positions in `stored_schema()`; `None` is all.
    pub(super) columns: Option<Vec<usize>>,
    /// Row groups; `None` is all.
    pub(super) row_groups: Option<Vec<usize>>,
}

/// The batches of a file, in file order, in the stored schema's types; columns that are newer than the file are missing,
/// see [`conform`](crate::event::conform).
pub(super) fn open(
    store: &Arc<dyn ObjectStore>,
    file: &LakeFile,
    footer: Arc<ParquetMetaData>,
    part: Part,
) -> Result<ParquetRecordBatchStream<StoreReader>> {
    let options = ArrowReaderOptions::new().with_schema(physical_schema(&footer)?);
    let metadata = ArrowReaderMetadata::try_new(footer, options)?;
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(StoreReader::new(store, file)?, metadata)
        .with_batch_size(BATCH_ROWS);
    if let Some(columns) = part.columns {
        let wanted: Vec<&str> = columns.iter().map(|&at| COLUMNS[at].name).collect();
        let fields = builder.parquet_schema().root_schema().get_fields();
        let there: Vec<usize> = (0..fields.len()).filter(|&at| wanted.contains(&fields[at].name())).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), there);
        builder = builder.with_projection(mask);
    }
    if let Some(groups) = part.row_groups {
        builder = builder.with_row_groups(groups);
    }
    Ok(builder.build()?)
}

/// The columns a file has, in its order and in the stored schema's types: those it lacks are newer than it is.
pub(super) fn physical_schema(footer: &ParquetMetaData) -> Result<SchemaRef> {
    let found = footer.file_metadata().schema_descr().root_schema().get_fields();
    let ours = stored_schema();
    let known = |name: &str| ours.fields().iter().find(|field| field.name() == name).map(Arc::clone);
    let fields: Option<Vec<FieldRef>> = found.iter().map(|field| known(field.name())).collect();
    let has = |name: &str| found.iter().any(|field| field.name() == name);
    match fields {
        Some(fields) if COLUMNS.iter().all(|c| !c.required || has(c.name)) => Ok(Arc::new(Schema::new(fields))),
        _ => Err(Error::corrupt("a lake file has other columns than the event schema")),
    }
}

/// The columns an event's key is made of, in stored order.
pub(super) const KEY_COLUMNS: [usize; 3] = [index::EVENT_TS, index::EVENT_ID, index::CLIENT_TS];

/// Rows of one file whose `event_ts` or `client_ts` lies in one of `hours`: `event_ts`, `event_id`, `client_ts`.
pub(super) async fn keys(
    store: &Arc<dyn ObjectStore>,
    file: &LakeFile,
    footer: Arc<ParquetMetaData>,
    hours: &BTreeSet<i64>,
) -> Result<Vec<RecordBatch>> {
    let may_match = |group: &RowGroupMetaData| {
        group_touches(group, index::EVENT_TS, hours) || group_touches(group, index::CLIENT_TS, hours)
    };
    let groups: Vec<usize> = (0..footer.num_row_groups()).filter(|&g| may_match(footer.row_group(g))).collect();
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let part = Part { columns: Some(KEY_COLUMNS.to_vec()), row_groups: Some(groups) };
    let schema = Arc::new(stored_schema().project(&KEY_COLUMNS)?);
    let mut batches = open(store, file, footer, part)?;
    let mut found = Vec::new();
    while let Some(batch) = batches.try_next().await.map_err(|e| damaged(file, e))? {
        let batch = conform(batch, &schema)?;
        let batch = filter_record_batch(&batch, &in_hours(&batch, hours))?;
        if batch.num_rows() > 0 {
            found.push(batch);
        }
    }
    Ok(found)
}

fn in_hours(batch: &RecordBatch, hours: &BTreeSet<i64>) -> BooleanArray {
    let event_ts = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let client_ts = batch.column(2).as_primitive::<TimestampMicrosecondType>();
    // Rows are sorted by time: the hour is mostly the one before.
    let mut last = (i64::MIN, false);
    let mut known = |time: Micros| {
        let hour = hour_of(time);
        if hour != last.0 {
            last = (hour, hours.contains(&hour));
        }
        last.1
    };
    (0..batch.num_rows())
        .map(|row| Some(known(event_ts.value(row)) || client_ts.is_valid(row) && known(client_ts.value(row))))
        .collect()
}

/// Whether any of `hours` meets the times from `low` to `high`.
pub(super) fn touches((low, high): (Micros, Micros), hours: &BTreeSet<i64>) -> bool {
    low <= high && hours.range(low.div_euclid(HOUR)..=high.div_euclid(HOUR)).next().is_some()
}

/// Whether a file may have rows with one of `hours`.
pub(super) fn file_touches(file: &LakeFile, hours: &BTreeSet<i64>) -> bool {
    let column = |column| match file.time_bounds(column) {
        Some(bounds) => touches(bounds, hours),
        None => !file.all_null(column),
    };
    column(index::EVENT_TS) || column(index::CLIENT_TS)
}

fn group_touches(group: &RowGroupMetaData, column: usize, hours: &BTreeSet<i64>) -> bool {
    let name = COLUMNS[column].name;
    let Some(column) = group.columns().iter().find(|c| c.column_path().parts() == [name]) else { return false };
    match column.statistics() {
        Some(Statistics::Int64(s)) => match (s.min_opt(), s.max_opt()) {
            (Some(&low), Some(&high)) => touches((low, high), hours),
            _ => s.null_count_opt() != u64::try_from(group.num_rows()).ok(),
        },
        _ => true,
    }
}
