//! A small shop on a simulated disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use futures::TryStreamExt;
use proptest::prelude::ProptestConfig;
use tideline_engine::clock::{Clock, ManualClock};
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine, EngineConfig, Receipt};
use tideline_engine::error::Result;
use tideline_engine::fs::Fs;
use tideline_engine::query::QueryRequest;

/// 2026-03-01T00:00:00Z in milliseconds.
pub const MARCH_MS: i64 = 1_772_323_200_000;

/// One event as tests think of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub id: String,
    pub ts_ms: i64,
    pub price: i64,
}

impl Event {
    pub fn new(id: impl Into<String>, ts_ms: i64, price: i64) -> Self {
        Self { id: id.into(), ts_ms, price }
    }

    pub fn json(&self) -> String {
        format!(
            r#"{{"event_id":"{}","event_type":"purchase","event_ts":{},"price":{},"quantity":1,"order_id":"o{}"}}"#,
            self.id, self.ts_ms, self.price, self.id
        )
    }
}

pub fn ndjson(events: &[Event]) -> Bytes {
    events.iter().map(|e| e.json() + "\n").collect::<String>().into()
}

/// As many cases as `PROPTEST_CASES` asks for, else so many.
pub fn cases(usual: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    // 256 is what proptest says when nobody asks.
    if asked.cases == 256 { ProptestConfig { cases: usual, ..asked } } else { asked }
}

/// An engine for tests: small limits, no background work of its own.
pub fn config() -> EngineConfig {
    let mut config = EngineConfig::new(Path::new("/data"));
    config.wal.segment_bytes = 64 << 10;
    config.flush.age = Duration::from_secs(3600);
    config.maintain.every = Duration::ZERO;
    config.query.threads = 1;
    config.max_wait = Duration::from_millis(200);
    config
}

pub async fn open(fs: Arc<dyn Fs>) -> Result<Arc<Engine>> {
    open_with(config(), fs).await
}

pub async fn open_with(config: EngineConfig, fs: Arc<dyn Fs>) -> Result<Arc<Engine>> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new((MARCH_MS + 40 * 86_400_000) * 1_000));
    Engine::open(config, fs, clock).await
}

pub async fn ingest(engine: &Engine, events: &[Event]) -> Result<Receipt> {
    engine.ingest(ndjson(events), InputFormat::Json, "test", Ack::Durable).await
}

pub async fn sql(engine: &Engine, text: &str) -> Result<Vec<RecordBatch>> {
    let request = QueryRequest { sql: text.to_owned(), params: BTreeMap::new(), timeout: None, limit: None };
    engine.query(request).await?.stream.try_collect().await
}

/// Every event SQL sees, sorted; read twice, whole and as an aggregate, because the two take different paths.
pub async fn stored(engine: &Engine) -> Result<Vec<Event>> {
    let batches = sql(engine, "SELECT event_id, event_ts, price FROM events").await?;
    let mut events = Vec::new();
    for batch in &batches {
        let ids = arrow::compute::cast(batch.column(0), &DataType::Utf8)?;
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        let prices = batch.column(2).as_primitive::<Decimal128Type>();
        for row in 0..batch.num_rows() {
            let price = i64::try_from(prices.value(row) / 10_000).unwrap();
            events.push(Event::new(ids.as_string::<i32>().value(row), times.value(row) / 1_000, price));
        }
    }
    events.sort();
    let counted = sql(engine, "SELECT count(*) FROM events").await?;
    let count = counted[0].column(0).as_primitive::<Int64Type>().value(0);
    assert_eq!(count, events.len() as i64, "count(*) and the rows disagree");
    Ok(events)
}

pub fn sorted(mut events: Vec<Event>) -> Vec<Event> {
    events.sort();
    events
}
