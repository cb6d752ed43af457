//! Erasing a person: no byte of their ids is left in any file, whatever queries hold on to and wherever the process dies;
//! the shop's figures stay what they were; and what is sent again does not bring them back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use bytes::Bytes;
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tideline_engine::clock::ManualClock;
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine, EngineConfig, Receipt};
use tideline_engine::erase::Person;
use tideline_engine::fs::Fs;
use tideline_engine::fs::sim::{Fault, SimFs, SyncKind};
use tideline_engine::query::QueryRequest;

use crate::support::{cases, config, sql};

/// 2026-03-20T12:00:00Z, in milliseconds: the engine's now.
const NOW_MS: i64 = 1_774_008_000_000;
const USER: &str = "user_204983-person";
const VISITOR: &str = "anon-77-person";

fn person() -> Person {
    Person { user_id: Some(USER.into()), anonymous_ids: vec![VISITOR.into()] }
}

async fn open(disk: &SimFs) -> Arc<Engine> {
    open_with(disk, config()).await
}

async fn open_with(disk: &SimFs, config: EngineConfig) -> Arc<Engine> {
    let engine =
        Engine::open(config, Arc::new(disk.clone()), Arc::new(ManualClock::new(NOW_MS * 1_000))).await.unwrap();
    engine.windows().until_filled().await;
    engine
}

async fn send(engine: &Engine, lines: &str) -> Receipt {
    let body = Bytes::from(lines.to_owned());
    engine.ingest(body, InputFormat::Json, "test", Ack::Durable).await.unwrap()
}

/// Ten events at `ms`: four of the person's, one that names them, five that have nothing to do with them.
fn lines(prefix: &str, ms: i64) -> String {
    let mut lines = vec![
        format!(
            r#"{{"event_id":"{prefix}-1","event_type":"page_view","event_ts":{ms},"user_id":"{USER}","session_id":"s1-{USER}","page":"/p?mail={USER}","geo":{{"city":"Munich","lat":48.1,"lon":11.5}}}}"#
        ),
        format!(
            r#"{{"event_id":"{prefix}-2-{USER}","event_type":"purchase","event_ts":{ms},"user_id":"{USER}","order_id":"{prefix}-A","price":"12.50","quantity":2,"note":"for {USER}"}}"#
        ),
        format!(
            r#"{{"event_id":"{prefix}-3","event_type":"page_view","event_ts":{ms},"anonymous_id":"{VISITOR}","session_id":"s0","page":"/"}}"#
        ),
        format!(
            r#"{{"event_id":"{prefix}-4","event_type":"add_to_cart","event_ts":{ms},"user_id":"{USER}","anonymous_id":"anon-more","session_id":"s1-{USER}","product_id":"x","price":"12.50","quantity":1}}"#
        ),
        format!(
            r#"{{"event_id":"{prefix}-5","event_type":"page_view","event_ts":{ms},"user_id":"friend","session_id":"s2","page":"/","referrer":"https://shop.example/?by={USER}","to":{{"who":"\u0075ser_204983-person"}}}}"#
        ),
    ];
    for n in 6..11 {
        lines.push(format!(
            r#"{{"event_id":"{prefix}-{n}","event_type":"purchase","event_ts":{ms},"user_id":"other{n}","session_id":"o{n}","order_id":"{prefix}-{n}","price":"1.00","quantity":1}}"#
        ));
    }
    lines.join("\n")
}

/// Everywhere a person can be: files that were merged and their parts, the Delta log (where builds before this one wrote
/// bounds of ids), a flushed file of the hour, rows in log and buffer, dead letters.
async fn fill(engine: &Engine, disk: &SimFs) {
    for round in 0..2 {
        send(engine, &lines(&format!("old{round}"), NOW_MS - 10 * 86_400_000)).await;
        engine.flush().await.unwrap();
    }
    let entry = Path::new("/data/lake/_delta_log/00000000000000000001.json");
    let text = String::from_utf8(disk.read(entry).unwrap().to_vec()).unwrap();
    let named = text.replacen(r#"{"commitInfo":{"#, &format!(r#"{{"commitInfo":{{"by":"{USER}","#), 1);
    assert_ne!(named, text);
    disk.overwrite(entry, named.as_bytes()).unwrap();
    engine.compact().await.unwrap();
    send(engine, &lines("new", NOW_MS - 120_000)).await;
    engine.flush().await.unwrap();
    send(engine, &lines("buffered", NOW_MS - 60_000)).await;
    let bad = format!(r#"{{"event_type":"page_view","user_id":"{USER}"}}"#) + "\n" + r#"{"event_type":"page_view"}"#;
    assert_eq!(send(engine, &bad).await.rejected, 2);
}

fn files(fs: &SimFs, dir: &Path) -> Vec<PathBuf> {
    let (files, folders): (Vec<_>, Vec<_>) = fs.list(dir).unwrap_or_default().into_iter().partition(|e| !e.is_dir);
    let below = folders.iter().flat_map(|folder| files_of(fs, &folder.path));
    files.into_iter().map(|e| e.path).chain(below).collect()
}

fn files_of(fs: &SimFs, dir: &Path) -> Vec<PathBuf> {
    files(fs, dir)
}

fn strings(column: &ArrayRef, into: &mut Vec<String>) {
    match column.data_type() {
        DataType::Utf8 => into.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned)),
        DataType::List(_) => strings(column.as_list::<i32>().values(), into),
        DataType::Struct(_) => column.as_struct().columns().iter().for_each(|c| strings(c, into)),
        DataType::Map(..) => column.as_map().entries().columns().iter().for_each(|c| strings(c, into)),
        _ => {}
    }
}

/// The files that hold an id anywhere: as bytes, or in Parquet's pages. The log's frames are not compressed.
fn holding(fs: &SimFs) -> Vec<String> {
    let ids = [USER, VISITOR];
    let holds = |bytes: &[u8]| ids.iter().any(|id| bytes.windows(id.len()).any(|w| w == id.as_bytes()));
    let mut found = Vec::new();
    for path in files(fs, Path::new("/data")) {
        let bytes = fs.read(&path).unwrap();
        let mut text = Vec::new();
        if path.extension().is_some_and(|e| e == "parquet") {
            let batches = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().build().unwrap();
            let batches: Vec<RecordBatch> = batches.map(Result::unwrap).collect();
            batches.iter().flat_map(RecordBatch::columns).for_each(|column| strings(column, &mut text));
        }
        if holds(&bytes) || text.iter().any(|text| holds(text.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn text(engine: &Engine, query: &str) -> String {
    let batches = sql(engine, query).await.unwrap();
    arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
}

/// What the shop's books say, which an erasure must not change.
async fn books(engine: &Engine) -> String {
    let events = "SELECT event_type, count(*), sum(price * quantity) FROM events GROUP BY 1 ORDER BY 1";
    let orders = "SELECT count(*), sum(value) FROM orders";
    text(engine, events).await + &text(engine, orders).await
}

async fn until_erased(engine: &Engine) {
    while engine.is_erasing() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_person_is_left_and_every_sum_stays() {
    let disk = SimFs::new();
    let engine = open(&disk).await;
    fill(&engine, &disk).await;
    let before = books(&engine).await;
    let places = holding(&disk).join(" ");
    for place in [
        "/wal/wal-",
        "/lake/_delta_log/",
        "/lake/event_date=2026-03-10",
        "/lake/event_date=2026-03-20",
        "/dead_letters/",
    ] {
        assert!(places.contains(place), "the search does not find them in {place}: {places}");
    }
    // A query that reads the old files, and is in the middle of it.
    let request = QueryRequest::new("SELECT user_id, properties FROM events");
    let mut pinned = engine.query(request).await.unwrap().stream;
    let first = pinned.next().await.unwrap().unwrap();
    let eraser = Arc::clone(&engine);
    let erasing = tokio::spawn(async move { eraser.erase(person(), false).await });
    // Events go on coming, also theirs: from before, and from after they came back.
    let mut sent = 0;
    while sent < 20 {
        let ms = NOW_MS - 1_000;
        let late = format!(r#"{{"event_id":"late{sent}","event_type":"refund","event_ts":{ms},"user_id":"{USER}"}}"#);
        let receipt = send(&engine, &late).await;
        if receipt.rejected == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        } else {
            assert_eq!(receipt.errors[0].code, "erased");
            sent += 1;
        }
    }
    let mut rows = first.num_rows();
    while let Some(batch) = pinned.next().await {
        rows += batch.unwrap().num_rows();
    }
    assert!(rows >= 40, "a query that began before reads what it began with: {rows}");
    drop(pinned);
    let report = erasing.await.unwrap().unwrap();
    assert!(report.complete && report.found.is_empty(), "{report:?}");
    assert_eq!((report.lake.rows_removed, report.dead_letters), (0, 1), "{report:?}");
    assert!(report.lake.rows_emptied >= 16 && report.lake.rows_mentioning == 4, "{report:?}");
    assert!(report.purged.files_deleted >= 3 && report.purged.log_entries_deleted > 0, "{report:?}");
    assert_eq!(report.linked_anonymous_ids, ["anon-more"]);
    assert_eq!(holding(&disk), [""; 0]);
    // Without the refunds that came in before the note.
    let without = "SELECT event_type, count(*), sum(price * quantity) FROM events WHERE event_type <> 'refund' GROUP BY 1 ORDER BY 1";
    let after = text(&engine, without).await + &text(&engine, "SELECT count(*), sum(value) FROM orders").await;
    assert_eq!(after, before);
    let left =
        "SELECT count(*) FROM events WHERE user_id IS NOT NULL AND user_id NOT LIKE 'other%' AND user_id <> 'friend'";
    assert!(text(&engine, left).await.contains("| 0 "), "{}", text(&engine, left).await);
    // Sent again, the same events are refused; others' are duplicates.
    let again = send(&engine, &lines("new", NOW_MS - 120_000)).await;
    assert_eq!((again.accepted, again.duplicates, again.rejected), (0, 6, 4), "{again:?}");
    let back =
        format!(r#"{{"event_id":"back","event_type":"refund","event_ts":{},"user_id":"{USER}"}}"#, NOW_MS + 299_000);
    assert_eq!(send(&engine, &back).await.rejected, 1, "clocks may be ahead by as much as is taken");
    // The live windows count what SQL counts.
    let views =
        "SELECT count(*) FROM events WHERE event_type = 'page_view' AND event_ts >= to_timestamp_millis(1774007700000)";
    let kpis = engine.windows().memory();
    let minute = NOW_MS / 60_000;
    let kpis = tideline_engine::hot::HotWindow::kpis(&**kpis, minute - 5, minute + 1, NOW_MS * 1_000).await.unwrap();
    let counted: u64 = kpis.iter().map(|kpi| kpi.counts.page_views).sum();
    assert!(text(&engine, views).await.contains(&format!("| {counted} ")), "{counted} {}", text(&engine, views).await);
    // All of that is durable.
    drop(engine);
    let survivor = disk.power_loss();
    assert_eq!(holding(&survivor), [""; 0]);
    let engine = open(&survivor).await;
    assert!(!engine.is_erasing());
    assert_eq!(send(&engine, &lines("new", NOW_MS - 120_000)).await.rejected, 4, "also the next process knows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_as_a_whole_where_that_is_asked_for() {
    let disk = SimFs::new();
    let engine = open(&disk).await;
    fill(&engine, &disk).await;
    let report = engine.erase(person(), true).await.unwrap();
    assert!(report.complete, "{report:?}");
    assert_eq!((report.lake.rows_emptied, report.lake.rows_removed, report.lake.rows_mentioning), (0, 16, 4));
    assert!(text(&engine, "SELECT count(*) FROM events").await.contains("| 24 "));
    assert_eq!(holding(&disk), [""; 0]);
    assert_eq!(
        send(&engine, &lines("old0", NOW_MS - 10 * 86_400_000)).await.accepted,
        0,
        "a retry brings nothing back"
    );
    let again = engine.erase(person(), true).await.unwrap();
    assert_eq!((again.lake.files_rewritten, again.purged.files_deleted), (0, 0), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_named_is_refused_and_short_ids_touch_nobody_else() {
    let disk = SimFs::new();
    let engine = open(&disk).await;
    assert_eq!(engine.erase(Person::default(), false).await.unwrap_err().code, "invalid_person");
    let of = |n: i64, user: &str| {
        let ms = NOW_MS - n;
        format!(
            r#"{{"event_id":"e{n}","event_type":"refund","event_ts":{ms},"user_id":"{user}","order_id":"7","note":"7 of 7"}}"#
        )
    };
    send(&engine, &[of(1, "7"), of(2, "77"), of(3, "u7")].join("\n")).await;
    let report = engine.erase(Person { user_id: Some("7".into()), anonymous_ids: Vec::new() }, false).await.unwrap();
    assert_eq!((report.lake.rows_emptied, report.complete), (1, true), "{report:?}");
    let users = text(&engine, "SELECT user_id FROM events ORDER BY event_id").await;
    assert!(users.contains("77") && users.contains("u7") && !users.contains("| 7 "), "{users}");
}

/// The process is gone at an operation on the way, and the power with it. The next one goes on by itself. `PROPTEST_CASES`
/// says at how many operations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_is_cut_anywhere_is_finished_by_the_next_process() {
    let base = SimFs::new();
    let engine = open(&base).await;
    fill(&engine, &base).await;
    let before = books(&engine).await;
    drop(engine);
    let steps = {
        let disk = base.power_loss();
        let engine = open(&disk).await;
        let begun = disk.op_count();
        engine.erase(person(), false).await.unwrap();
        disk.op_count() - begun
    };
    assert!(steps > 40, "{steps}");
    let mut resumed = 0;
    for nth in (1..=steps).step_by(usize::try_from(steps / u64::from(cases(10).cases)).unwrap().max(1)) {
        let disk = base.power_loss();
        let engine = open(&disk).await;
        disk.fail(Fault::crash(nth));
        let outcome = engine.erase(person(), false).await;
        drop(engine);
        let disk = if nth % 2 == 0 { disk.power_loss() } else { disk.power_loss_random(nth) };
        let engine = open(&disk).await;
        resumed += usize::from(engine.is_erasing());
        until_erased(&engine).await;
        if !holding(&disk).is_empty() {
            // It was cut before it was noted, so nobody was told that it would be done.
            assert!(outcome.is_err(), "cut at {nth}, and reported as done");
            let retry = send(&engine, &lines("new", NOW_MS - 120_000)).await;
            assert_eq!(retry.rejected, 0, "cut at {nth}: it was noted and is not done: {:?}", holding(&disk));
            engine.erase(person(), false).await.unwrap();
        }
        assert_eq!(holding(&disk), [""; 0], "cut at {nth}");
        assert_eq!(books(&engine).await, before, "cut at {nth}");
    }
    assert!(resumed > 3, "only {resumed} were gone on with");
}

/// A disk that lies about one kind of sync brings back what was deleted: so each of them is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_one_of_the_syncs_something_of_the_person_comes_back() {
    type Ignored = fn(&Path, SyncKind) -> bool;
    let sites: [(&str, Ignored); 4] = [
        ("the log's folder", |p, k| k == SyncKind::Dir && p.ends_with("wal")),
        ("partition folders", |p, k| k == SyncKind::Dir && p.to_string_lossy().contains("event_date=")),
        ("the Delta log's folder", |p, k| k == SyncKind::Dir && p.ends_with("_delta_log")),
        ("the dead letters' folder", |p, k| k == SyncKind::Dir && p.ends_with("dead_letters")),
    ];
    for (site, ignored) in sites {
        let disk = SimFs::new();
        let engine = open(&disk).await;
        fill(&engine, &disk).await;
        disk.ignore_syncs(ignored);
        assert!(engine.erase(person(), false).await.unwrap().complete);
        drop(engine);
        assert_eq!(holding(&disk), [""; 0]);
        let survivor = disk.power_loss();
        assert!(!holding(&survivor).is_empty(), "nothing came back although {site} were never synced");
    }
    // Without the note a retry brings them back.
    let notes: [(&str, Ignored); 2] = [
        ("the note", |p, k| k == SyncKind::File && p.ends_with("data/erasures.tmp")),
        ("its folder", |p, k| k == SyncKind::Dir && p.ends_with("data")),
    ];
    for (site, ignored) in notes {
        let disk = SimFs::new();
        let engine = open(&disk).await;
        fill(&engine, &disk).await;
        disk.ignore_syncs(ignored);
        engine.erase(person(), false).await.unwrap();
        drop(engine);
        let clock = Arc::new(ManualClock::new(NOW_MS * 1_000));
        let forgotten = match Engine::open(config(), Arc::new(disk.power_loss()), clock).await {
            Ok(engine) => send(&engine, &lines("new", NOW_MS - 120_000)).await.rejected == 0,
            Err(_) => true,
        };
        assert!(forgotten, "it is remembered although {site} was never synced");
    }
}
