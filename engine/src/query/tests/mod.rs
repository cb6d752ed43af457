//! The query engine over real Parquet files in a store and batches in memory.

mod answers;
mod json;
mod lifecycle;
mod plans;
mod refusals;

use std::any::Any;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::record_batch::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use futures::StreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::clock::{DAY, HOUR, ManualClock, Micros};
use crate::event::{self, day_name, day_of};

/// 2026-03-01T00:00:00Z
pub(super) const MARCH: Micros = 1_772_323_200_000_000;
const PAGES: [&str; 4] = ["/", "/cart", "/product/1", "/search?q=\"x\",y"];
const COUNTRIES: [&str; 3] = ["DE", "FR", "IT"];

/// `n` events from `from` on, `step` apart, newest first, as files hold them. Every 10th is a purchase of 12.5000.
pub(super) fn stored(from: Micros, step: Micros, n: usize) -> RecordBatch {
    let ids: Vec<i64> = (0..n as i64).rev().collect();
    let times = ids.iter().map(|i| from + i * step);
    let text = |f: &dyn Fn(i64) -> Option<String>| -> ArrayRef {
        Arc::new(ids.iter().map(|i| f(*i)).collect::<StringArray>())
    };
    let bought = |i: i64| i % 10 == 0;
    let columns = event::stored_schema()
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match field.name().as_str() {
                "event_ts" | "received_at" => {
                    Arc::new(TimestampMicrosecondArray::from_iter_values(times.clone()).with_timezone("UTC"))
                }
                "event_type" => text(&|i| Some(if bought(i) { "purchase" } else { "page_view" }.to_owned())),
                "event_id" => text(&|i| Some(format!("e-{from}-{i}"))),
                "seq" => Arc::new(Int64Array::from(ids.clone())),
                "node" => text(&|_| Some("0a0b0c0d".to_owned())),
                "user_id" => text(&|i| (i % 7 != 0).then(|| format!("u{}", i % 50))),
                "session_id" => text(&|i| Some(format!("s{}", i / 6))),
                "page" => text(&|i| Some(PAGES[i as usize % 4].to_owned())),
                "country" => text(&|i| Some(COUNTRIES[i as usize % 3].to_owned())),
                "quantity" => Arc::new(ids.iter().map(|i| bought(*i).then_some(2)).collect::<Int32Array>()),
                "bot" => Arc::new(ids.iter().map(|i| Some(i % 100 == 0)).collect::<BooleanArray>()),
                "revenue" => Arc::new(
                    ids.iter()
                        .map(|i| bought(*i).then_some(125_000))
                        .collect::<Decimal128Array>()
                        .with_precision_and_scale(18, 4)
                        .unwrap(),
                ),
                _ => new_null_array(field.data_type(), n),
            }
        })
        .collect();
    RecordBatch::try_new(event::stored_schema(), columns).unwrap()
}

/// The same rows as the buffer shows them.
pub(super) fn shown(batch: &RecordBatch) -> RecordBatch {
    let schema = event::table_schema();
    let times = batch.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    let mut columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| arrow::compute::cast(column, field.data_type()).unwrap())
        .collect();
    columns.push(Arc::new(Date32Array::from_iter_values(times.values().iter().map(|t| day_of(*t)))));
    RecordBatch::try_new(schema, columns).unwrap()
}

fn statistics(batch: &RecordBatch) -> Statistics {
    let shown = shown(batch);
    let mut statistics = Statistics::new_unknown(&shown.schema());
    statistics.num_rows = Precision::Exact(shown.num_rows());
    for (i, column) in shown.columns().iter().enumerate() {
        let mut known = ColumnStatistics::new_unknown();
        known.null_count = Precision::Exact(column.logical_null_count());
        if column.data_type().is_primitive() {
            let rows = (0..column.len()).filter(|r| column.is_valid(*r));
            let mut values: Vec<ScalarValue> = rows.map(|r| ScalarValue::try_from_array(column, r).unwrap()).collect();
            values.sort_by(|a, b| a.partial_cmp(b).unwrap());
            if let (Some(min), Some(max)) = (values.first(), values.last()) {
                known.min_value = Precision::Exact(min.clone());
                known.max_value = Precision::Exact(max.clone());
            }
        }
        statistics.column_statistics[i] = known;
    }
    statistics
}

/// A lake and a buffer under construction.
pub(super) struct Fixture {
    pub(super) store: Arc<InMemory>,
    pub(super) files: Vec<Arc<ScanFile>>,
    pub(super) buffer: Vec<RecordBatch>,
    pub(super) config: QueryConfig,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let config = QueryConfig { threads: 2, ..QueryConfig::default() };
        Self { store: Arc::new(InMemory::new()), files: Vec::new(), buffer: Vec::new(), config }
    }

    /// Three days of 10,000 events each (8.64 s apart), and 100 more in the buffer on the fourth.
    pub(super) async fn three_days() -> Self {
        let mut fixture = Self::new();
        for day in 0..3 {
            fixture.file(&stored(MARCH + day * DAY, DAY / 10_000, 10_000)).await;
        }
        fixture.buffer.push(shown(&stored(MARCH + 3 * DAY, 1_000_000, 100)));
        fixture
    }

    /// Writes one file; all its rows must be of one day.
    pub(super) async fn file(&mut self, batch: &RecordBatch) {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(4_096))
            .set_data_page_row_count_limit(1_024)
            .set_write_batch_size(512)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let times = batch.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        let day = day_of(times.value(0));
        let path = format!("event_date={}/part-{}.parquet", day_name(day), self.files.len());
        let length = bytes.len() as u64;
        self.store.put(&object_store::path::Path::from(path.as_str()), bytes.into()).await.unwrap();
        let file = ScanFile {
            path,
            bytes: length,
            rows: batch.num_rows(),
            day,
            statistics: Arc::new(statistics(batch)),
            metadata: None,
            pin: Arc::new(()) as Arc<dyn Any + Send + Sync>,
        };
        self.files.insert(0, Arc::new(file));
    }

    pub(super) fn state(&self) -> Arc<TableState> {
        Arc::new(TableState::new(self.files.clone(), self.buffer.clone(), 7, Some(MARCH + 3 * DAY)))
    }

    pub(super) fn engine(&self) -> QueryEngine {
        let state = self.state();
        self.engine_from(Arc::new(move || Ok(Arc::clone(&state))))
    }

    pub(super) fn engine_from(&self, source: StateSource) -> QueryEngine {
        let clock = Arc::new(ManualClock::new(MARCH + 3 * DAY + HOUR));
        let store = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
        QueryEngine::new(self.config.clone(), store, source, clock).unwrap()
    }
}

/// All rows of a query as NDJSON.
pub(super) async fn rows(engine: &QueryEngine, request: QueryRequest) -> Result<String> {
    let mut output = engine.query(request).await?;
    let options = encode::CellOptions::default();
    let mut encoder = encode::Encoder::new(encode::Format::Ndjson, &output.schema, options)?;
    let mut out = Vec::new();
    while let Some(batch) = output.stream.next().await {
        out.extend_from_slice(&encoder.write(&batch?)?);
    }
    out.extend_from_slice(&encoder.finish()?);
    Ok(String::from_utf8(out).unwrap().trim_end().to_owned())
}

pub(super) async fn sql(engine: &QueryEngine, text: &str) -> Result<String> {
    rows(engine, QueryRequest::new(text)).await
}

/// The one physical plan of a query.
pub(super) async fn explain(engine: &QueryEngine, text: &str) -> String {
    let all = sql(engine, &format!("EXPLAIN {text}")).await.unwrap();
    let plan = all.lines().last().unwrap();
    let value: serde_json::Value = serde_json::from_str(plan).unwrap();
    assert_eq!(value["plan_type"], "physical_plan", "{all}");
    value["plan"].as_str().unwrap().to_owned()
}
