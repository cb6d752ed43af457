//! A query's life: limits of time and number, cancelling from either end, and what is freed afterwards.

use std::time::Duration;

use super::*;

/// Never ends by itself, and takes no memory.
const FOREVER: &str = "SELECT count(*) FROM generate_series(1, 9000000) a, generate_series(1, 9000000) b \
                       WHERE (a.value * b.value) % 7 = 8";

fn forever() -> QueryRequest {
    QueryRequest::new(FOREVER)
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn time_ends() {
    let engine = Fixture::new().engine();
    let request = QueryRequest { timeout: Some(Duration::from_millis(100)), ..forever() };
    let error = rows(&engine, request).await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Timeout, "query_timeout"));
    until(|| engine.running() == 0).await;
    assert_eq!(sql(&engine, "SELECT 1 AS x").await.unwrap(), r#"{"x":1}"#);
}

/// Joins that read their inputs in one go and then compare for hours, letting nothing through: with one query thread
/// nobody else would be served until they are done.
#[tokio::test]
async fn joins_that_never_yield_give_their_thread_back() {
    let mut fixture = Fixture::new();
    fixture.config.threads = 1;
    let engine = fixture.engine();
    let nested = "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 8000) b \
                  ON a.value * b.value + 1 < 0";
    let hashed = "SELECT count(*) FROM (SELECT value, value % 1 AS k FROM generate_series(1, 1000000)) a \
                  JOIN (SELECT value, value % 1 AS k FROM generate_series(1, 8000)) b \
                  ON a.k = b.k AND a.value * b.value + 1 < 0";
    let crossed = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 400000) b";
    for endless in [nested, hashed, crossed] {
        let request = QueryRequest { timeout: Some(Duration::from_millis(1_000)), ..QueryRequest::new(endless) };
        let error = rows(&engine, request).await.unwrap_err();
        assert_eq!((error.kind, error.code), (Kind::Timeout, "query_timeout"), "{endless}");
        assert_eq!(sql(&engine, "SELECT 1 AS x").await.unwrap(), r#"{"x":1}"#, "{endless}");
        until(|| engine.running() == 0).await;
    }
}

#[tokio::test]
async fn the_configured_time_is_the_most() {
    let mut fixture = Fixture::new();
    fixture.config.timeout = Duration::from_millis(100);
    let engine = fixture.engine();
    let request = QueryRequest { timeout: Some(Duration::from_secs(3_600)), ..forever() };
    assert_eq!(rows(&engine, request).await.unwrap_err().code, "query_timeout");
}

#[tokio::test]
async fn cancelled_by_id() {
    let engine = Arc::new(Fixture::new().engine());
    let mut output = engine.query(forever()).await.unwrap();
    assert_eq!(engine.running(), 1);
    assert!(!engine.cancel("nobody"));
    assert!(engine.cancel(&output.id));
    let error = output.stream.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Cancelled, "cancelled"));
    assert!(output.stream.next().await.is_none());
    until(|| engine.running() == 0).await;
    assert!(!engine.cancel(&output.id));
}

#[tokio::test]
async fn a_name_of_the_client_s_is_for_one_query_at_a_time() {
    let engine = Arc::new(Fixture::new().engine());
    let output = engine.query_as("mine".to_owned(), forever()).await.unwrap();
    assert_eq!(output.id, "mine");
    let again = engine.query_as("mine".to_owned(), forever()).await.map(|_| ()).unwrap_err();
    assert_eq!((again.kind, again.code), (Kind::Invalid, "query_id_taken"));
    assert!(engine.cancel("mine"), "the first one keeps its place in the list");
    drop(output);
    until(|| engine.running() == 0).await;
    assert!(engine.query_as("mine".to_owned(), QueryRequest::new("SELECT 1")).await.is_ok());
}

#[tokio::test]
async fn cancelled_by_leaving() {
    let engine = Fixture::new().engine();
    let output = engine.query(forever()).await.unwrap();
    assert_eq!(engine.running(), 1);
    drop(output);
    until(|| engine.running() == 0).await;
}

#[tokio::test]
async fn too_many_are_refused_and_room_is_made() {
    let mut fixture = Fixture::new();
    fixture.config.max_concurrent = 1;
    fixture.config.max_waiting = 1;
    fixture.config.max_wait = Duration::from_millis(50);
    let engine = fixture.engine();
    let running = engine.query(forever()).await.unwrap();
    let (a, b) = tokio::join!(sql(&engine, "SELECT 1"), sql(&engine, "SELECT 1"));
    for refused in [a, b] {
        let error = refused.unwrap_err();
        assert_eq!((error.kind, error.code), (Kind::Busy, "too_many_queries"));
    }
    drop(running);
    until(|| engine.running() == 0).await;
    assert!(sql(&engine, "SELECT 1").await.is_ok());
}

#[tokio::test]
async fn rows_are_limited_and_it_is_said() {
    let engine = Fixture::three_days().await.engine();
    for (limit, got, truncated) in [(5, 5, true), (30_099, 30_099, true), (30_100, 30_100, false), (0, 0, true)] {
        let request = QueryRequest { limit: Some(limit), ..QueryRequest::new("SELECT seq FROM events") };
        let mut output = engine.query(request).await.unwrap();
        let mut n = 0;
        while let Some(batch) = output.stream.next().await {
            n += batch.unwrap().num_rows();
        }
        assert_eq!((n, output.stats.truncated()), (got, truncated), "limit {limit}");
    }
}

/// A file stays pinned while its rows are read, and is let go with the stream.
#[tokio::test]
async fn files_are_pinned_while_they_are_read() {
    let pin: Arc<dyn Any + Send + Sync> = Arc::new("pin");
    let mut fixture = Fixture::new();
    fixture.config.threads = 1;
    fixture.file(&stored(MARCH, 1_000, 50_000)).await;
    let file = Arc::into_inner(fixture.files.remove(0)).unwrap();
    let file = Arc::new(ScanFile { pin: Arc::clone(&pin), ..file });
    let once = parking_lot::Mutex::new(Some(file));
    let engine = fixture.engine_from(Arc::new(move || {
        let files = once.lock().take().into_iter().collect();
        Ok(Arc::new(TableState::new(files, Vec::new(), 1, None)))
    }));
    let mut output = engine.query(QueryRequest::new("SELECT * FROM events")).await.unwrap();
    assert!(output.stream.next().await.unwrap().unwrap().num_rows() > 0);
    assert!(Arc::strong_count(&pin) > 1, "the running plan holds its files");
    while let Some(batch) = output.stream.next().await {
        batch.unwrap();
    }
    until(|| Arc::strong_count(&pin) == 1).await;
    assert_eq!(output.stats.rows_read(), 50_000, "statistics stay when the plan goes");
}

#[tokio::test]
async fn memory_is_bounded() {
    let mut fixture = Fixture::three_days().await;
    fixture.config.memory_bytes = 256 << 10;
    let engine = fixture.engine();
    let error = sql(&engine, "SELECT event_id, count(*) FROM events GROUP BY event_id ORDER BY 2").await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::TooLarge, "memory_limit"), "{}", error.message);
    assert!(sql(&engine, "SELECT count(*) FROM events").await.is_ok());
}

#[tokio::test]
async fn what_does_not_fit_is_spilled_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::three_days().await;
    fixture.config.threads = 1;
    fixture.config.memory_bytes = 16 << 20;
    fixture.config.spill_dir = Some(dir.path().to_owned());
    fixture.config.spill_bytes = 64 << 20;
    let sorted =
        "SELECT event_id, page, session_id, user_id FROM events, generate_series(1, 6) ORDER BY event_id, page";
    let request = QueryRequest::new(sorted);
    assert_eq!(rows(&fixture.engine(), request.clone()).await.unwrap().lines().count(), 180_600);
    fixture.config.spill_bytes = 64 << 10;
    let error = rows(&fixture.engine(), request).await.unwrap_err();
    assert!(["spill_limit", "memory_limit"].contains(&error.code), "{}: {}", error.code, error.message);
}

/// A file that is gone is our defect, not the query's; the path stays in the log.
#[tokio::test]
async fn a_missing_file_is_internal_and_names_no_path() {
    let fixture = Fixture::three_days().await;
    let engine = fixture.engine();
    fixture.store.delete(&object_store::path::Path::from(fixture.files[0].path.as_str())).await.unwrap();
    let error = sql(&engine, "SELECT max(page) FROM events").await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Internal, "internal"));
    assert!(!error.message.contains("parquet") && !error.message.contains("part-"), "{}", error.message);
}

#[tokio::test]
async fn a_stopped_engine_says_so() {
    let engine = Fixture::new().engine();
    engine.shutdown();
    let error = sql(&engine, "SELECT 1").await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Busy, "shutting_down"));
}

/// A defect in one query is that query's: the threads and the next query live.
#[tokio::test]
async fn a_panic_costs_one_query() {
    let fixture = Fixture::three_days().await;
    let state = fixture.state();
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let engine = fixture.engine_from(Arc::new(move || {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert_ne!(call, 0, "the first query meets a defect");
        Ok(Arc::clone(&state))
    }));
    let error = sql(&engine, "SELECT count(*) FROM events").await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Internal, "internal"));
    until(|| engine.running() == 0).await;
    assert!(sql(&engine, "SELECT count(*) FROM events").await.is_ok());
}

#[tokio::test]
async fn the_json_document_is_the_contract() {
    let engine = Fixture::three_days().await.engine();
    let text = "SELECT country, sum(revenue) AS revenue FROM events WHERE bot GROUP BY country ORDER BY country";
    let request = QueryRequest { limit: Some(2), ..QueryRequest::new(text) };
    let mut output = engine.query(request).await.unwrap();
    let mut answer = encode::JsonAnswer::new(&output.id, &output.schema, encode::CellOptions::default());
    while let Some(batch) = output.stream.next().await {
        answer.push(&batch.unwrap()).unwrap();
    }
    let mut value: serde_json::Value =
        serde_json::from_slice(&answer.finish(&output.stats, &output.freshness)).unwrap();
    assert_eq!(value["query_id"].take(), output.id);
    let statistics = value["statistics"].take();
    assert!(statistics["elapsed_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(statistics["rows_read"], 30_100);
    assert!(statistics["bytes_read"].as_u64().unwrap() > 0);
    let expected = serde_json::json!({
        "query_id": null,
        "meta": [{"name": "country", "type": "Utf8"}, {"name": "revenue", "type": "Decimal128(28,4)"}],
        "data": [{"country": "DE", "revenue": "1287.5000"}, {"country": "FR", "revenue": "1237.5000"}],
        "rows": 2,
        "truncated": true,
        "statistics": null,
        "freshness": {"through": "2026-03-04T00:00:00.000Z", "lake_version": 7, "buffered_rows": 100},
    });
    assert_eq!(value, expected);
}

/// A join that never yields keeps its thread when its time is over; planning our own texts must not wait for it.
#[tokio::test]
async fn what_is_ours_is_planned_while_every_query_thread_is_busy() {
    let mut fixture = Fixture::new();
    fixture.config.threads = 1;
    let engine = fixture.engine();
    let text = "SELECT count(*) FROM generate_series(1, 30000) a, generate_series(1, 30000) b \
                WHERE (a.value * b.value) % 7 = 3";
    let request = QueryRequest { timeout: Some(Duration::from_millis(100)), ..QueryRequest::new(text) };
    assert_eq!(rows(&engine, request).await.unwrap_err().code, "query_timeout");
    let prepared = engine.prepare("n", "SELECT $n + 1 AS n", vec![("n".into(), BindType::Integer, 1i64.into())]).await;
    assert_eq!(prepared.unwrap().schema().field(0).name(), "n");
}
