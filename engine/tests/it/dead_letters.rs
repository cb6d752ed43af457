//! Dead letters through the engine: in SQL, replayed exactly once whatever is lost in between, and let go by age.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use futures::TryStreamExt;
use tideline_engine::clock::{Clock, DAY, HOUR, ManualClock};
use tideline_engine::dead_letters::{Filter, Status};
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine, EngineConfig, Fix, Fixed, Origin, Replay};
use tideline_engine::fs::sim::Fault;
use tideline_engine::fs::{Fs, SimFs};
use tideline_engine::query::QueryRequest;

use crate::support::{MARCH_MS, config, open, sql};

/// Puts one text for another.
#[derive(Debug)]
struct Swap(&'static str, String);

impl Fix for Swap {
    fn apply(&self, original: &Bytes) -> Result<Fixed, String> {
        let text = std::str::from_utf8(original).map_err(|e| e.to_string())?;
        Ok(Fixed::Event(text.replace(self.0, &self.1).into()))
    }
}

fn swap(from: &'static str, to: impl Into<String>) -> Replay {
    Replay { fix: Some(Arc::new(Swap(from, to.into()))), ..Replay::default() }
}

async fn send(engine: &Engine, body: impl Into<Bytes>, key: Option<&str>) -> (usize, usize, usize) {
    let origin = Origin { source: "http", key };
    let receipt = engine.ingest(body.into(), InputFormat::Json, origin, Ack::Durable).await.unwrap();
    (receipt.accepted, receipt.duplicates, receipt.rejected)
}

fn text(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|c| arrow::compute::cast(c, &DataType::Utf8).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cell = |c: &Arc<dyn Array>| match c.is_null(row) {
                true => "-".to_owned(),
                false => c.as_string::<i32>().value(row).to_owned(),
            };
            rows.push(columns.iter().map(cell).collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

async fn ask(engine: &Engine, query: &str) -> Vec<String> {
    text(&sql(engine, query).await.unwrap())
}

async fn count(engine: &Engine, query: &str) -> i64 {
    sql(engine, query).await.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0)
}

const BAD: &str = concat!(
    r#"{"event_id":"mine","event_type":"purchase","event_ts":"BAD","price":1,"order_id":"o1"}"#,
    "\n",
    r#"{"event_type":"purchase","event_ts":"BAD","price":2,"order_id":"o2"}"#,
    "\n",
    r#"{"event_type":"page_view","event_ts":"2026-03-01T10:00:00Z"}"#,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_a_table_with_reason_key_and_status() {
    let engine = open(Arc::new(SimFs::new())).await.unwrap();
    assert_eq!(send(&engine, BAD, Some("key-1")).await, (0, 0, 3));
    assert_eq!(send(&engine, "{\"a\":\n{\"event_type\":\"x\",\"event_ts\":\"\u{e9}\"}", None).await, (0, 0, 2));
    assert_eq!(
        ask(&engine, "SELECT key, index, field, code, status, replayed_at FROM dead_letters WHERE key IS NOT NULL")
            .await,
        [
            "key-1|0|event_ts|invalid_timestamp|open|-",
            "key-1|1|event_ts|invalid_timestamp|open|-",
            "key-1|2|session_id|missing_field|open|-"
        ]
    );
    assert_eq!(ask(&engine, "SELECT original FROM dead_letters WHERE code = 'invalid_json'").await, [r#"{"a":"#]);
    assert_eq!(
        ask(
            &engine,
            "SELECT d.code, count(*) FROM dead_letters d JOIN dead_letters e ON d.id = e.id GROUP BY 1 ORDER BY 1"
        )
        .await,
        ["invalid_json|1", "invalid_timestamp|3", "missing_field|1"]
    );
    // Rejects by reason and hour.
    let by_hour =
        "SELECT date_trunc('hour', received_at) AS hour, code, count(*) FROM dead_letters GROUP BY 1, 2 ORDER BY 2";
    assert_eq!(ask(&engine, by_hour).await.len(), 3);
    assert_eq!(
        ask(
            &engine,
            "SELECT table_name FROM information_schema.tables WHERE table_name IN ('dead_letters', 'events') ORDER BY 1"
        )
        .await,
        ["dead_letters", "events"]
    );

    let id = engine.dead_letters().list(&Filter::default(), None, 1).unwrap()[0].id;
    engine.drop_letters(Filter { ids: [id].into(), ..Filter::default() }).await.unwrap();
    let report = engine.replay(swap("BAD", "2026-03-01T10:00:00Z")).await.unwrap();
    assert_eq!((report.selected, report.replayed, report.rejected), (4, 1, 3));
    let statuses = "SELECT status, count(*), count(replayed_at) FROM dead_letters GROUP BY 1 ORDER BY 1";
    assert_eq!(ask(&engine, statuses).await, ["dropped|1|0", "open|3|0", "replayed|1|1"]);
    let unknown = sql(&engine, "SELECT * FROM dead_leters").await.unwrap_err();
    assert_eq!(unknown.did_you_mean.as_deref(), Some("dead_letters"));
    let writes = sql(&engine, "DELETE FROM dead_letters").await.unwrap_err();
    assert_eq!(writes.code, "read_only");
}

fn many_bad(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("{{\"event_type\":\"purchase\",\"event_ts\":\"BAD\",\"order_id\":\"o{n}\"}}\n")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_are_paged_counted_and_replayed_once() {
    let engine = open(Arc::new(SimFs::new())).await.unwrap();
    assert_eq!(send(&engine, many_bad(0..10_000), None).await, (0, 0, 10_000));
    assert_eq!(send(&engine, many_bad(0..10_000), None).await, (0, 0, 10_000), "a retry leaves nothing more");
    let (mut after, mut pages, mut seen) = (None, 0, 0);
    loop {
        let page = engine.dead_letters().list(&Filter::default(), after, 700).unwrap();
        let Some(last) = page.last() else { break };
        assert_eq!(page[0].letter.index, seen, "none twice, none left out");
        (after, pages, seen) = (Some(last.id), pages + 1, seen + page.len() as u64);
    }
    assert_eq!((pages, seen), (15, 10_000));
    assert_eq!(count(&engine, "SELECT count(*) FROM dead_letters").await, 10_000);
    assert_eq!(ask(&engine, "SELECT original FROM dead_letters LIMIT 3 OFFSET 2000").await.len(), 3);

    // A query sees what there was when it was planned, however much comes while it is read.
    let request = QueryRequest::new("SELECT id, message FROM dead_letters");
    let mut rows = engine.query(request).await.unwrap().stream;
    let first = rows.try_next().await.unwrap().unwrap().num_rows();
    assert!(first > 0 && first < 10_000, "it streams: {first}");
    send(&engine, many_bad(10_000..12_000), None).await;
    let rest: Vec<_> = rows.try_collect().await.unwrap();
    assert_eq!(first + rest.iter().map(RecordBatch::num_rows).sum::<usize>(), 10_000);
    assert_eq!(count(&engine, "SELECT count(id) FROM dead_letters WHERE message LIKE '%event_ts%'").await, 12_000);
    let plan = ask(&engine, "EXPLAIN SELECT id FROM dead_letters LIMIT 7").await.join("\n");
    assert!(plan.contains("StreamingTableExec") && plan.contains("fetch=7"), "{plan}");

    let dry = engine.replay(Replay { dry_run: true, ..swap("BAD", "2026-03-01") }).await.unwrap();
    assert_eq!((dry.replayed, dry.rejected, dry.errors.len(), dry.errors_total), (0, 12_000, 100, 12_000));
    assert_eq!(count(&engine, "SELECT count(*) FROM events").await, 0);
    let report = engine.replay(swap("BAD", "2026-03-01T10:00:00Z")).await.unwrap();
    assert_eq!((report.selected, report.replayed, report.duplicates), (12_000, 12_000, 0));
    let again = engine.replay(swap("BAD", "2026-03-01T10:00:00Z")).await.unwrap();
    assert_eq!(again.selected, 0);
    assert_eq!(count(&engine, "SELECT count(DISTINCT event_id) FROM events").await, 12_000);
    assert_eq!(count(&engine, "SELECT count(*) FROM events").await, 12_000);
    assert_eq!(engine.status().dead_letters.replayed, 12_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_again_stays_one_letter_with_the_new_reason() {
    let engine = open(Arc::new(SimFs::new())).await.unwrap();
    send(&engine, BAD, None).await;
    let report = engine.replay(swap(r#""BAD","price":1"#, r#""2026-03-01T10:00:00Z","price":"much""#)).await.unwrap();
    assert_eq!((report.replayed, report.rejected), (0, 3));
    assert_eq!(
        ask(&engine, "SELECT field, code, attempts FROM dead_letters ORDER BY index").await,
        ["price|invalid_number|1", "event_ts|invalid_timestamp|0", "session_id|missing_field|0"]
    );
    assert_eq!(engine.status().dead_letters.open, 3);
}

fn day(config: EngineConfig, days: u32) -> EngineConfig {
    EngineConfig { dead_letter_days: Some(days), ..config }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_setting_is_fix_enough_and_a_clients_retry_is_a_duplicate() {
    let disk = SimFs::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(MARCH_MS * 1_000));
    let early = r#"{"event_type":"purchase","event_ts":"2026-03-01T00:30:00Z","order_id":"o"}"#;
    let engine = Engine::open(config(), Arc::new(disk.clone()), Arc::clone(&clock)).await.unwrap();
    assert_eq!(send(&engine, early, None).await, (0, 0, 1));
    assert_eq!(engine.replay(Replay::default()).await.unwrap().rejected, 1);
    assert_eq!(ask(&engine, "SELECT code, attempts FROM dead_letters").await, ["future_timestamp|0"]);
    engine.close().await.unwrap();
    drop(engine);
    let patient = EngineConfig { max_future: Duration::from_secs(3_600), ..config() };
    let engine = Engine::open(patient, Arc::new(disk.power_loss()), clock).await.unwrap();
    assert_eq!(send(&engine, early, None).await, (1, 0, 0));
    let report = engine.replay(Replay::default()).await.unwrap();
    assert_eq!((report.replayed, report.duplicates), (1, 1));
    assert_eq!(count(&engine, "SELECT count(*) FROM events").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_an_id_keeps_the_one_of_its_original_bytes_however_it_is_changed() {
    let clock = Arc::new(ManualClock::new(MARCH_MS * 1_000));
    let engine = Engine::open(config(), Arc::new(SimFs::new()), Arc::clone(&clock) as _).await.unwrap();
    let early = r#"{"event_type":"purchase","event_ts":"2026-03-01T00:30:00Z","order_id":"o"}"#;
    assert_eq!(send(&engine, early, None).await, (0, 0, 1));
    clock.set(MARCH_MS * 1_000 + HOUR);
    let report = engine.replay(swap("\"o\"", "\"o\",\"coupon\":\"late\"")).await.unwrap();
    assert_eq!((report.replayed, report.duplicates), (1, 0));
    assert_eq!(send(&engine, early, None).await, (0, 1, 0), "the client's own retry is the same event");
    assert_eq!(ask(&engine, "SELECT coupon FROM events").await, ["late"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_retention_removes_counts_and_gives_space_back() {
    let disk = SimFs::new();
    let clock = Arc::new(ManualClock::new(MARCH_MS * 1_000));
    let engine = Engine::open(day(config(), 7), Arc::new(disk.clone()), Arc::clone(&clock) as _).await.unwrap();
    send(&engine, many_bad(0..100), None).await;
    clock.set(MARCH_MS * 1_000 + 6 * DAY);
    send(&engine, many_bad(100..110), None).await;
    let before = engine.status().dead_letters.bytes;
    assert_eq!(engine.retain_letters().await.unwrap().expired, 0);
    clock.set(MARCH_MS * 1_000 + 7 * DAY + HOUR);
    let tidied = engine.retain_letters().await.unwrap();
    assert_eq!((tidied.expired, engine.status().dead_letters.expired), (100, 100));
    assert!(engine.status().dead_letters.bytes < before / 5);
    assert_eq!(ask(&engine, "SELECT status, count(*) FROM dead_letters GROUP BY 1").await, ["open|10"]);
    assert!(disk.list(std::path::Path::new("/data/dead_letters")).unwrap().len() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_refuses_the_request_until_letters_are_settled() {
    let small = EngineConfig { dead_letter_bytes: 8_000, ..config() };
    let engine = crate::support::open_with(small, Arc::new(SimFs::new())).await.unwrap();
    let mut sent = 0;
    let full = loop {
        let body = Bytes::from(many_bad(sent..sent + 1));
        match engine.ingest(body, InputFormat::Json, "http", Ack::Durable).await {
            Ok(_) => sent += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(full.code, "dead_letters_full");
    assert!(engine.status().dead_letters.fullness > 0.9, "{:?}", engine.status().dead_letters);
    assert_eq!(engine.drop_letters(Filter::default()).await.unwrap() as u64, sent);
    assert_eq!(send(&engine, many_bad(sent..sent + 1), None).await, (0, 0, 1));
    assert!(engine.status().dead_letters.fullness < 0.2, "{:?}", engine.status().dead_letters);
}

/// Power is lost at each operation of a replay in turn; afterwards somebody replays with another fix, which sets another
/// hour and other bytes. Each event is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_torn_apart_anywhere_stores_each_event_once() {
    let set_up = async || {
        let disk = SimFs::new();
        let engine = open(Arc::new(disk.clone())).await.unwrap();
        send(&engine, BAD, Some("key-1")).await;
        (disk, engine)
    };
    let first = || swap("BAD", "2026-03-01T10:00:00Z");
    let (disk, engine) = set_up().await;
    let before = disk.op_count();
    assert_eq!(engine.replay(first()).await.unwrap().replayed, 2);
    let operations = disk.op_count() - before;
    assert!(operations >= 6, "a note, the log, a mark: {operations}");
    drop(engine);

    let (mut stored_then_lost, mut nothing) = (0, 0);
    for nth in 1..=operations + 1 {
        let (disk, engine) = set_up().await;
        disk.fail(Fault::crash(nth));
        let outcome = engine.replay(first()).await;
        drop(engine);
        for survivor in [disk.power_loss(), disk.power_loss_random(nth)] {
            let engine = open(Arc::new(survivor)).await.unwrap();
            let there = count(&engine, "SELECT count(*) FROM events").await;
            let open_letters = count(&engine, "SELECT count(*) FROM dead_letters WHERE status = 'open'").await;
            assert!(outcome.is_err() || (there, open_letters) == (2, 1), "crash at {nth}: what was promised is gone");
            stored_then_lost += u64::from((there, open_letters) == (2, 3));
            nothing += u64::from((there, open_letters) == (0, 3));
            engine.replay(swap("BAD", "2026-03-01T17:00:00Z")).await.unwrap();
            let rows = ask(&engine, "SELECT order_id, count(*) FROM events GROUP BY 1 ORDER BY 1").await;
            assert_eq!(rows, ["o1|1", "o2|1"], "crash at {nth}");
            let filter = Filter { status: Some(Status::Open), ..Filter::default() };
            let left = engine.dead_letters().list(&filter, None, 10).unwrap();
            assert_eq!(left.len(), 1, "crash at {nth}");
            assert_eq!(left[0].letter.key.as_deref(), Some("key-1"));
        }
    }
    assert!(stored_then_lost > 0 && nothing > 0, "the dangerous moments came: {stored_then_lost}, {nothing}");
}
