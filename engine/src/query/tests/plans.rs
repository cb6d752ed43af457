//! Plans: what is pruned, what needs no sort, what is answered without reading.

use super::*;

async fn read(engine: &QueryEngine, text: &str) -> (usize, usize) {
    let mut output = engine.query(QueryRequest::new(text)).await.unwrap();
    while let Some(batch) = output.stream.next().await {
        batch.unwrap();
    }
    (output.stats.rows_read(), output.stats.bytes_read())
}

#[tokio::test]
async fn the_latest_need_no_sort_of_files() {
    let mut fixture = Fixture::three_days().await;
    let latest = "SELECT event_ts, page FROM events ORDER BY event_ts DESC LIMIT 100";
    let plan = explain(&fixture.engine(), latest).await;
    // The buffer is in no order: it gets a TopK, the files nothing.
    assert_eq!(plan.matches("SortExec: TopK").count(), 1, "{plan}");
    assert!(plan.contains("output_ordering=[event_ts@0 DESC]"), "{plan}");
    assert!(plan.find("SortExec").unwrap() > plan.find("UnionExec").unwrap(), "below the union only: {plan}");
    let german = latest.replace("events", "events WHERE country = 'DE'");
    let plan = explain(&fixture.engine(), &german).await;
    assert!(plan.find("SortExec: TopK").unwrap() > plan.find("UnionExec").unwrap(), "{plan}");
    fixture.buffer.clear();
    let plan = explain(&fixture.engine(), latest).await;
    assert!(!plan.contains("SortExec:"), "{plan}");
}

#[tokio::test]
async fn the_latest_read_a_part_of_the_newest_file() {
    let mut fixture = Fixture::three_days().await;
    fixture.buffer.clear();
    let (rows, _) = read(&fixture.engine(), "SELECT event_ts, page FROM events ORDER BY event_ts DESC LIMIT 100").await;
    assert!(rows < 9_000, "{rows} rows for the latest 100 of 30,000");
}

#[tokio::test]
async fn counts_read_nothing() {
    let engine = Fixture::three_days().await.engine();
    for text in [
        "SELECT count(*) FROM events",
        "SELECT event_date, count(*) FROM events GROUP BY event_date",
        "SELECT event_date, count(*) FROM events GROUP BY event_date ORDER BY event_date",
        "SELECT min(event_ts), max(event_ts), count(*) FROM events",
        "SELECT event_date, min(event_ts), max(event_ts), count(user_id) FROM events WHERE event_date >= '2026-03-02' GROUP BY 1",
        "SELECT count(*) FROM events WHERE event_ts >= '2026-03-02' AND event_ts < '2026-03-04'",
        "SELECT event_date, count(*) FROM events WHERE event_ts >= '2026-03-02' GROUP BY event_date",
    ] {
        let (_, bytes) = read(&engine, text).await;
        assert_eq!(bytes, 0, "{text}\n{}", explain(&engine, text).await);
    }
}

#[tokio::test]
async fn counts_with_filters_are_not_answered_from_statistics() {
    let engine = Fixture::three_days().await.engine();
    for (text, answer) in [
        ("SELECT count(*) AS n FROM events WHERE country = 'DE'", r#"{"n":10036}"#),
        ("SELECT max(seq) AS n FROM events WHERE country = 'FR' AND event_date = '2026-03-01'", r#"{"n":9997}"#),
        ("SELECT count(DISTINCT event_date) AS n FROM events", r#"{"n":4}"#),
        ("SELECT count(*) FILTER (WHERE bot) AS n FROM events", r#"{"n":301}"#),
        ("SELECT count(*) AS n FROM (SELECT * FROM events LIMIT 10)", r#"{"n":10}"#),
        ("SELECT count(revenue) AS n FROM events", r#"{"n":3010}"#),
    ] {
        assert_eq!(sql(&engine, text).await.unwrap(), answer, "{text}");
    }
}

#[tokio::test]
async fn files_outside_are_not_opened() {
    let engine = Fixture::three_days().await.engine();
    for (filter, files) in [
        ("event_date = '2026-03-02'", 1),
        ("event_ts >= '2026-03-02T06:00:00Z'", 2),
        ("event_ts >= '2026-03-03' AND event_ts < '2026-03-03T01:00:00Z'", 1),
        ("event_ts < '2026-02-01'", 0),
        ("seq > 100000", 0),
    ] {
        let plan = explain(&engine, &format!("SELECT page FROM events WHERE {filter}")).await;
        assert_eq!(plan.matches(".parquet").count(), files, "{filter}\n{plan}");
    }
}

#[tokio::test]
async fn files_inside_need_neither_filter_nor_column() {
    let mut fixture = Fixture::three_days().await;
    fixture.buffer.clear();
    let plan = explain(&fixture.engine(), "SELECT page FROM events WHERE event_ts >= '2026-03-02'").await;
    assert!(plan.contains("projection=[page]") && !plan.contains("FilterExec"), "{plan}");
    let half = "SELECT page FROM events WHERE event_ts >= '2026-03-02T12:00:00Z'";
    let plan = explain(&fixture.engine(), half).await;
    assert!(plan.contains("projection=[page],") && plan.contains("projection=[page, event_ts]"), "{plan}");
    assert_eq!(plan.matches("FilterExec").count(), 1, "{plan}");
}

#[tokio::test]
async fn rows_are_filtered_while_decoding_only_when_few_pass() {
    let mut fixture = Fixture::three_days().await;
    fixture.buffer.clear();
    let engine = fixture.engine();
    let plan = explain(&engine, "SELECT page, country, event_ts FROM events WHERE user_id = 'u3'").await;
    assert!(!plan.contains("FilterExec"), "decided in the scan: {plan}");
    let plan = explain(&engine, "SELECT page, country, event_ts FROM events WHERE country = 'DE'").await;
    assert!(plan.contains("FilterExec"), "decided above the scan: {plan}");
    let (rows, _) = read(&engine, "SELECT page, country, event_ts FROM events WHERE user_id = 'u3'").await;
    assert_eq!(rows, 30_000, "rows the reader dropped were read all the same");
}

#[tokio::test]
async fn aggregates_do_not_keep_the_order() {
    let mut fixture = Fixture::new();
    for day in 0..8 {
        fixture.file(&stored(MARCH + day * DAY, 1_000_000, 20_000)).await;
    }
    fixture.buffer.push(shown(&stored(MARCH + 8 * DAY, 1_000_000, 100)));
    let plan = explain(&fixture.engine(), "SELECT country, count(*) FROM events GROUP BY country").await;
    assert!(!plan.contains("output_ordering") && !plan.contains("SortExec"), "{plan}");
    assert!(plan.contains("RepartitionExec: partitioning=Hash"), "on both cores: {plan}");
}

#[tokio::test]
async fn small_queries_stay_on_one_core() {
    let engine = Fixture::three_days().await.engine();
    let plan = explain(&engine, "SELECT country, count(*) FROM events GROUP BY country").await;
    assert!(!plan.contains("RepartitionExec"), "{plan}");
}
