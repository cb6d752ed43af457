//! The lake against stores that fail at the worst moment, writers that race, and files that must not go.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutResult,
};

use super::*;
use crate::clock::{DAY, HOUR, MILLISECOND, ManualClock};
use crate::event::{COLUMNS, MONEY_PRECISION, MONEY_SCALE, index, stored_schema};
use crate::pace::Pace;

mod commits;
mod maintenance;
mod storage;

/// 2026-01-31T12:00Z
const NOON: Micros = 20_484 * DAY + 12 * HOUR;

/// An event: its position, its time, and the client's own time where that was corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    seq: i64,
    ts: Micros,
    client_ts: Option<Micros>,
}

fn event(seq: i64, ts: Micros) -> Event {
    Event { seq, ts, client_ts: None }
}

/// Events `seqs`, each a minute after the one before, the first at `start`.
fn minutes(seqs: Range<i64>, start: Micros) -> Vec<Event> {
    let first = seqs.start;
    seqs.map(|seq| event(seq, start + (seq - first) * 60_000 * MILLISECOND)).collect()
}

fn batch_of(node: &str, events: &[Event]) -> RecordBatch {
    let times = |values: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    };
    let text = |value: &dyn Fn(&Event) -> Option<String>| -> ArrayRef {
        Arc::new(events.iter().map(value).collect::<StringArray>())
    };
    let columns = COLUMNS.iter().map(|column| match column.name {
        "event_ts" | "received_at" => times(events.iter().map(|e| Some(e.ts)).collect()),
        "client_ts" => times(events.iter().map(|e| e.client_ts).collect()),
        "event_type" => text(&|_| Some("page_view".into())),
        "event_id" => text(&|e| Some(format!("{node}-{:036}", e.seq))),
        "node" => text(&|_| Some(node.into())),
        "seq" => Arc::new(events.iter().map(|e| e.seq).collect::<Int64Array>()),
        "user_id" => text(&|e| (e.seq % 3 != 0).then(|| format!("u{}", e.seq % 100))),
        "product_name" => text(&|e| Some(format!("a product with a rather long name, of size {}", e.seq))),
        "page" => text(&|e| Some(format!("/a/page/with/a/rather/long/path/{}", e.seq))),
        "price" => {
            let prices = events.iter().map(|e| (e.seq % 2 == 0).then(|| i128::from(e.seq) * 10_001));
            let prices: Decimal128Array = prices.collect();
            Arc::new(prices.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE).unwrap())
        }
        _ => new_null_array(&column.kind.stored_type(), events.len()),
    });
    RecordBatch::try_new(stored_schema(), columns.collect()).unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

const A: &str = "aaaaaaaa";
const B: &str = "bbbbbbbb";

fn quick() -> LakeConfig {
    LakeConfig {
        row_group_rows: 64,
        page_rows: 16,
        commit_attempts: 4,
        commit_pause: Duration::from_millis(1),
        ..LakeConfig::default()
    }
}

async fn open(store: &Arc<dyn ObjectStore>, name: &str) -> Lake {
    open_at(store, name, Arc::new(ManualClock::new(NOON))).await
}

async fn open_at(store: &Arc<dyn ObjectStore>, name: &str, clock: Arc<dyn Clock>) -> Lake {
    Lake::open(Arc::clone(store), node(name), clock, quick()).await.unwrap()
}

/// Appends `events` of node `name` in two batches, which hold them in order.
async fn append(lake: &Lake, name: &str, events: &[Event]) -> Result<Arc<LakeSnapshot>> {
    let (first, second) = events.split_at(events.len() / 2);
    let last = events.iter().map(|e| e.seq).max().unwrap();
    lake.append(vec![batch_of(name, first), batch_of(name, second)], Seq(last.unsigned_abs()), Pace::Calm).await
}

/// Every row of a file, in file order.
async fn rows_of(lake: &Lake, file: &LakeFile) -> Vec<(String, Event)> {
    let footer = read::footer_on_disk(&lake.store, file).await.unwrap();
    let part = read::Part { columns: None, row_groups: None };
    let batches: Vec<_> = read::open(&lake.store, file, footer, part).unwrap().try_collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        let nodes = batch.column(index::NODE).as_string::<i32>();
        let seqs = batch.column(index::SEQ).as_primitive::<Int64Type>();
        let times = batch.column(index::EVENT_TS).as_primitive::<TimestampMicrosecondType>();
        let client = batch.column(index::CLIENT_TS).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let client_ts = arrow::array::Array::is_valid(client, row).then(|| client.value(row));
            rows.push((nodes.value(row).into(), Event { seq: seqs.value(row), ts: times.value(row), client_ts }));
        }
    }
    rows
}

/// Every row of a snapshot.
async fn rows(lake: &Lake, snapshot: &LakeSnapshot) -> Vec<(String, Event)> {
    let mut rows = Vec::new();
    for file in &snapshot.files {
        rows.extend(rows_of(lake, file).await);
    }
    rows
}

/// The positions of node `name` in the table, as a fresh reader of the store sees it, sorted.
async fn stored(store: &Arc<dyn ObjectStore>, name: &str) -> Vec<i64> {
    let reader = open(store, "eeeeeeee").await;
    let mut seqs: Vec<_> =
        rows(&reader, &reader.current()).await.into_iter().filter(|(n, _)| n == name).map(|(_, e)| e.seq).collect();
    seqs.sort_unstable();
    seqs
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// A store that fails on demand. Each switch is how many of the next operations fail.
#[derive(Debug)]
struct Flaky {
    inner: InMemory,
    /// Commits that land and answer with an error.
    land_and_fail: AtomicU32,
    /// Commits that do not land.
    refuse: AtomicU32,
    /// A commit that lands and never answers.
    land_and_hang: AtomicBool,
    /// Whether reading and listing fail.
    blind: AtomicBool,
    /// Whether a landed commit makes the store blind.
    blind_after_commit: AtomicBool,
}

impl Flaky {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: InMemory::new(),
            land_and_fail: AtomicU32::new(0),
            refuse: AtomicU32::new(0),
            land_and_hang: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            blind_after_commit: AtomicBool::new(false),
        })
    }

    fn failure() -> object_store::Error {
        object_store::Error::Generic { store: "flaky", source: "the network is down".into() }
    }

    fn takes(counter: &AtomicU32) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
    }

    fn seen(&self) -> object_store::Result<()> {
        if self.blind.load(Ordering::SeqCst) { Err(Self::failure()) } else { Ok(()) }
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky")
    }
}

fn is_commit(path: &Path) -> bool {
    path.as_ref().starts_with("_delta_log/") && path.as_ref().ends_with(".json")
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        if !is_commit(to) {
            return self.inner.put_opts(to, payload, options).await;
        }
        if Self::takes(&self.refuse) {
            return Err(Self::failure());
        }
        let done = self.inner.put_opts(to, payload, options).await?;
        if self.blind_after_commit.load(Ordering::SeqCst) {
            self.blind.store(true, Ordering::SeqCst);
        }
        if self.land_and_hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if Self::takes(&self.land_and_fail) { Err(Self::failure()) } else { Ok(done) }
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.seen()?;
        self.inner.get_opts(from, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.seen() {
            Ok(()) => self.inner.list(prefix),
            Err(e) => futures::stream::iter([Err(e)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.seen()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
