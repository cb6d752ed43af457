//! Exports: over HTTP, a span that lies partly in the buffer, in every format, and a day's KPIs; on the command line, a
//! folder with a file for each day.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::ipc::reader::StreamReader;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tideline_engine::clock::{Clock as _, ManualClock};
use tower::ServiceExt as _;

use crate::app::{Answer, App};
use crate::process::Server;

/// Hours of 2026-03-01 at which there are events: one each minute of the first ten minutes.
const HOURS: [u32; 3] = [9, 10, 11];

fn at(hour: u32, minute: u32) -> String {
    format!("2026-03-01T{hour:02}:{minute:02}:00Z")
}

fn lines(hour: u32) -> String {
    let line = |minute| {
        let time = at(hour, minute);
        format!(
            r#"{{"event_id":"h{hour}m{minute}","event_type":"purchase","event_ts":"{time}","price":"12.50","page":"a,\"b\"","items":[{{"product_id":"p","price":1.5,"quantity":2}}],"x":1}}"#
        ) + "\n"
    };
    (0..10).map(line).collect()
}

/// Two hours in the lake, one of them in a file of its own, and one in the buffer.
fn shop() -> App {
    let app = App::start(&[("flush.age", "1h"), ("lake.maintain_every", "0")]);
    for (hour, ack) in HOURS.into_iter().zip(["committed", "committed", "durable"]) {
        assert_eq!(app.post(&format!("/events?ack={ack}"), lines(hour)).status, StatusCode::ACCEPTED);
    }
    let health = app.get("/health").json();
    assert_eq!((&health["engine"]["lake_rows"], &health["engine"]["buffer_rows"]), (&20.into(), &10.into()));
    app
}

fn ok(app: &App, uri: &str) -> Answer {
    let answer = app.get(uri);
    assert_eq!(answer.status, StatusCode::OK, "{uri}: {}", answer.text());
    answer
}

fn parquet(bytes: Bytes) -> Vec<RecordBatch> {
    ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap().map(Result::unwrap).collect()
}

fn arrow(bytes: &[u8]) -> Vec<RecordBatch> {
    StreamReader::try_new(bytes, None).unwrap().map(Result::unwrap).collect()
}

/// Ids in the order of the rows.
fn ids(batches: &[RecordBatch]) -> Vec<String> {
    let of = |batch: &RecordBatch| {
        let column = batch.column_by_name("event_id").unwrap();
        let text = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
        text.as_string::<i32>().iter().map(|id| id.unwrap().to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

#[test]
fn a_span_that_lies_partly_in_the_buffer_is_complete_in_every_format() {
    let app = shop();
    // Half-open: the first minute is in it, the last is not. A day, an offset and milliseconds are times too.
    let span = format!("start_time={}&end_time={}", at(9, 5), at(11, 5));
    let wanted: Vec<String> = [(11, 0..5), (10, 0..10), (9, 5..10)]
        .into_iter()
        .flat_map(|(hour, minutes)| minutes.rev().map(move |minute| format!("h{hour}m{minute}")))
        .collect();
    let of = |format: &str| ok(&app, &format!("/export/events.{format}?{span}"));
    assert_eq!(ids(&parquet(of("parquet").body)), wanted, "newest first");
    assert_eq!(ids(&arrow(&of("arrow").body)), wanted);
    let id = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
    let ndjson: Vec<Value> = of("ndjson").text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ndjson.iter().map(id).collect::<Vec<_>>(), wanted);
    assert_eq!(of("json").json().as_array().unwrap(), &ndjson);
    let csv = of("csv").body;
    let mut reader = csv::Reader::from_reader(&csv[..]);
    let (at_id, at_page) = (2, reader.headers().unwrap().iter().position(|name| name == "page").unwrap());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.iter().map(|r| r[at_id].to_owned()).collect::<Vec<_>>(), wanted);
    assert_eq!(&records[0][at_page], "a,\"b\"");

    // What is exported as JSON can be sent again as it is.
    let again = app.post("/events", of("ndjson").body).json();
    assert_eq!((&again["duplicates"], &again["rejected"]), (&20.into(), &0.into()), "{again}");

    for same in
        ["start_time=2026-03-01T10:05:00%2B01:00", "start_time=2026-03-01T10:05:00+01:00", "start_time=1772355900000"]
    {
        let uri = format!("/export/events?{same}&end_time={}", at(11, 5));
        assert_eq!(ids(&parquet(ok(&app, &uri).body)), wanted, "{same}");
    }
    let day = ok(&app, "/export/events?start_time=2026-03-01&end_time=2026-03-02");
    assert_eq!(parquet(day.body).iter().map(RecordBatch::num_rows).sum::<usize>(), 30);
    assert_eq!(day.headers["content-disposition"], "attachment; filename=\"events-2026-03-01.parquet\"");
    let none = ok(&app, "/export/events?start_time=2025-01-01&end_time=2025-02-01");
    assert_eq!(parquet(none.body).len(), 0, "no events: a file of no rows");
}

#[test]
fn parquet_is_usual_and_suffix_parameter_and_accept_choose() {
    let app = shop();
    let span = "start_time=2026-03-01&end_time=2026-03-02";
    let kind = |uri: &str, accept: Option<&str>| {
        let mut request = Request::get(uri);
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let answer = app.send(request.body(Body::empty()).unwrap());
        (answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap().to_owned())
    };
    let (parquet, csv) =
        ("application/vnd.apache.parquet".to_owned(), "text/csv; charset=utf-8; header=present".to_owned());
    let events = format!("/export/events?{span}");
    assert_eq!(kind(&events, None), (200, parquet.clone()));
    assert_eq!(kind(&events, Some("text/html,application/xhtml+xml,*/*;q=0.8")), (200, parquet.clone()));
    assert_eq!(kind(&events, Some("text/csv")), (200, csv.clone()));
    assert_eq!(kind(&format!("{events}&format=csv"), Some("application/json")), (200, csv.clone()));
    assert_eq!(kind(&format!("/export/events.parquet?{span}&format=csv"), None), (200, parquet));
    assert_eq!(kind("/export/kpis?date=2026-03-01", None), (200, "application/json".to_owned()));
    assert_eq!(kind("/export/kpis.csv?date=2026-03-01", None), (200, csv));
    for (uri, accept) in
        [(&*events, Some("image/png")), (&format!("{events}&format=xml"), None), ("/export/kpis.xml", None)]
    {
        assert_eq!(kind(uri, accept), (406, "application/problem+json".to_owned()), "{uri}");
    }
}

#[test]
fn what_is_asked_wrongly_is_named() {
    let app = shop();
    for (uri, code, named) in [
        ("/export/events", "missing_parameter", "start_time"),
        ("/export/events?start_time=2026-03-01", "missing_parameter", "end_time"),
        ("/export/events?start_time=2026-03-01&end_time=", "missing_parameter", "end_time"),
        ("/export/events?start_time=yesterday&end_time=2026-03-01", "invalid_parameter", "start_time"),
        ("/export/events?start_time=1960-01-01&end_time=2026-03-01", "invalid_parameter", "start_time"),
        ("/export/events?start_time=2026-03-01&end_time=2026-02-30", "invalid_parameter", "end_time"),
        ("/export/events?start_time=2026-03-01&end_time=2026-03-01", "invalid_range", "end_time"),
        ("/export/events?start_time=2026-03-02&end_time=2026-03-01", "invalid_range", "end_time"),
        ("/export/events?start=2026-03-01&end_time=2026-03-02", "unknown_parameter", "start"),
        ("/export/kpis", "missing_parameter", "date"),
        ("/export/kpis?date=01.03.2026", "invalid_parameter", "date"),
        ("/export/kpis?date=2026-3-1", "invalid_parameter", "date"),
        ("/export/kpis?date=1969-12-31", "invalid_parameter", "1970"),
        ("/export/kpis?date=9999-12-31", "invalid_parameter", "future"),
        ("/export/kpis?date=2026-03-01&minutes=5", "unknown_parameter", "minutes"),
    ] {
        let answer = app.get(uri);
        let said = answer.json();
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, code), "{uri}: {said}");
        assert!(said["message"].as_str().unwrap().contains(named) && said["hint"].is_string(), "{uri}: {said}");
    }
}

#[test]
fn an_export_that_fails_after_its_first_rows_is_aborted() {
    let app = App::start(&[("flush.age", "1h"), ("flush.bytes", "700MiB")]);
    let line = |n: u32| {
        let (id, time) = (format!("{n:x}{}", "-".repeat(200)), 1_772_366_400_000_u64 + u64::from(n));
        format!("{{\"event_id\":\"{id}\",\"event_type\":\"purchase\",\"price\":1,\"event_ts\":{time}}}\n")
    };
    for from in (0..200_000).step_by(20_000) {
        let sent = app.post("/events", (from..from + 20_000).map(line).collect::<String>());
        assert_eq!(sent.status, StatusCode::ACCEPTED);
    }
    let request = Request::get("/export/events.csv?start_time=2026-03-01&end_time=2026-03-02");
    let broken = app.runtime.block_on(async {
        let response = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let id = response.headers()["x-query-id"].to_str().unwrap().to_owned();
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert!(!first.into_data().unwrap().is_empty());
        assert!(app.engine.cancel(&id), "the export is not running");
        body.collect().await.map(|rest| rest.to_bytes().len())
    });
    assert!(broken.is_err(), "a part must not look whole: {broken:?}");
}

#[test]
fn a_local_day_has_a_kpi_for_each_of_its_complete_minutes() {
    // 2026-03-29 12:00 in Berlin, where the day has 23 hours.
    let clock = Arc::new(ManualClock::new(1_774_778_430_000_000));
    let settings = [("flush.age", "1h"), ("lake.maintain_every", "0"), ("shop.time_zone", "Europe/Berlin")];
    let app = App::start_with(&settings, Arc::clone(&clock) as _);
    let event = |id: &str, time: &str| {
        format!(
            r#"{{"event_id":"{id}","event_type":"purchase","event_ts":"{time}","session_id":"{id}","user_id":"u","order_id":"{id}","revenue":"10.10"}}"#
        ) + "\n"
    };
    let lines = [
        event("before", "2026-03-28T22:59:30Z"),
        event("first", "2026-03-28T23:00:30Z"),
        event("recent", "2026-03-29T09:59:30Z"),
        event("running", "2026-03-29T10:00:10Z"),
    ];
    assert_eq!(app.post("/events?ack=committed", lines[..2].concat()).status, StatusCode::ACCEPTED);
    assert_eq!(app.post("/events", lines[2..].concat()).status, StatusCode::ACCEPTED);

    let day = ok(&app, "/export/kpis?date=2026-03-29").json();
    assert_eq!((&day["start"], &day["end"]), (&"2026-03-28T23:00:00.000Z".into(), &"2026-03-29T22:00:00.000Z".into()));
    let kpis = day["kpis"].as_array().unwrap();
    // Clocks have moved: eleven hours since midnight, and the running minute is not complete.
    assert_eq!((kpis.len(), day["count"].as_u64()), (660, Some(660)));
    let busy: Vec<&str> =
        kpis.iter().filter(|k| k["metrics"]["orders"] == 1).map(|k| k["window_start"].as_str().unwrap()).collect();
    assert_eq!(busy, ["2026-03-28T23:00:00Z", "2026-03-29T09:59:00Z"]);
    // Of one definition: the same minutes as the history says them, which is newest first.
    let mut history = ok(&app, &format!("/kpis/history?minutes_back=660&at={}", clock.now() / 1_000)).json();
    let history = history["kpis"].as_array_mut().unwrap();
    history.reverse();
    assert_eq!(kpis, history);

    let table = parquet(ok(&app, "/export/kpis.parquet?date=2026-03-29").body);
    assert_eq!(table.iter().map(RecordBatch::num_rows).sum::<usize>(), 660);
    let first = ok(&app, "/export/kpis.ndjson?date=2026-03-29").text().lines().next().unwrap().to_owned();
    let first: Value = serde_json::from_str(&first).unwrap();
    for figure in ["events", "sessions", "unique_users", "purchases", "orders", "conversion_rate", "revenue", "aov"] {
        assert_eq!(first[figure], kpis[0]["metrics"][figure], "{figure}: {first}");
    }
    let whole = ok(&app, "/export/kpis?date=2026-03-28").json();
    assert_eq!((whole["count"].as_u64(), &whole["kpis"][1439]["metrics"]["orders"]), (Some(1440), &1.into()));
    clock.set(1_774_778_430_000_000 + 2 * 86_400_000_000);
    assert_eq!(ok(&app, "/export/kpis?date=2026-03-29").json()["count"], 1380);
}

fn tideline(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.args(args).current_dir(dir).env_remove("TIDELINE_FIXTURES").output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Two days around midnight.
fn two_days(dir: &Path) -> PathBuf {
    let line = |n: u32| {
        let (day, hour) = if n < 40 { (1, 23) } else { (2, 0) };
        format!(
            "{{\"event_id\":\"e{n}\",\"event_type\":\"purchase\",\"price\":1,\"event_ts\":\"2026-03-{day:02}T{hour:02}:{:02}:00Z\"}}\n",
            n % 40
        )
    };
    let file = dir.join("events.ndjson");
    std::fs::write(&file, (0..60).map(line).collect::<String>()).unwrap();
    file
}

/// Files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name().into_string().unwrap())).unwrap();
        match path.is_dir() {
            true => found.extend(files(&path).into_iter().map(|file| format!("{name}/{file}"))),
            false => drop(found.insert(name)),
        }
    }
    found
}

fn of_day(folder: &Path, day: &str) -> Vec<String> {
    let bytes = std::fs::read(folder.join(format!("event_date={day}/events.parquet"))).unwrap();
    ids(&parquet(bytes.into()))
}

#[test]
fn a_folder_has_a_file_for_each_day_from_a_server_and_from_a_stopped_folder() {
    let dir = tempfile::tempdir().unwrap();
    let events = two_days(dir.path());
    let server = Server::start(&dir.path().join("data"), &[]);
    json(&tideline(dir.path(), &["load", events.to_str().unwrap(), "--json", "--url", &server.url]));
    let export = ["export", "--partition", "day", "--json", "--out"];
    let said = json(&tideline(dir.path(), &[&export[..], &["from/server", "--url", &server.url]].concat()));
    assert_eq!(server.terminate(), Some(0));
    assert_eq!((&said["files"], &said["rows"]), (&2.into(), &60.into()), "{said}");
    let at_rest = ["--data-dir", "data"];
    json(&tideline(dir.path(), &[&export[..], &["stopped"], &at_rest].concat()));
    for folder in ["from/server", "stopped"] {
        let folder = dir.path().join(folder);
        let names = ["2026-03-01", "2026-03-02"].map(|day| format!("event_date={day}/events.parquet"));
        assert_eq!(files(&folder), names.into());
        let wanted = |from: u32, to: u32| (from..to).rev().map(|n| format!("e{n}")).collect::<Vec<_>>();
        assert_eq!(of_day(&folder, "2026-03-01"), wanted(0, 40));
        assert_eq!(of_day(&folder, "2026-03-02"), wanted(40, 60));
    }
    for format in ["csv", "ndjson"] {
        let said = json(&tideline(dir.path(), &[&export[..], &[format, "--format", format], &at_rest].concat()));
        assert_eq!(said["rows"], 60, "{said}");
        let loaded =
            ["load", &format!("{format}/event_date=2026-03-02/events.{format}"), "--data-dir", "again", "--json"];
        let again = json(&tideline(dir.path(), &loaded));
        let first = format == "csv";
        assert_eq!(again[if first { "accepted" } else { "duplicates" }], 20, "{again}");
    }
}

#[test]
fn an_export_into_a_folder_is_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let events = two_days(dir.path());
    json(&tideline(dir.path(), &["load", events.to_str().unwrap(), "--json", "--data-dir", "data"]));
    let export = |more: &[&str]| {
        let args = [&["export", "--partition", "day", "--json", "--data-dir", "data"], more].concat();
        tideline(dir.path(), &args)
    };
    let out = dir.path().join("out");
    // What another program left there is not written into, and an export that died leaves nothing that looks like one.
    std::fs::create_dir_all(out.join("event_date=2026-03-01")).unwrap();
    std::fs::write(out.join("event_date=2026-03-01/old.parquet"), "old").unwrap();
    std::fs::write(out.join("mine.txt"), "mine").unwrap();
    std::fs::create_dir_all(dir.path().join(".out.tideline-export/event_date=2020-01-01")).unwrap();
    let refused = export(&["--out", "out"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"), "{refused:?}");
    assert_eq!(files(&out).len(), 2, "nothing was written");
    // A failure in the middle: the time is over before the rows are.
    let failed = export(&["--out", "out", "--force", "--timeout", "0"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_eq!(files(&out), ["event_date=2026-03-01/old.parquet".to_owned(), "mine.txt".to_owned()].into());
    let fresh = export(&["--out", "fresh", "--timeout", "0"]);
    assert!(!fresh.status.success() && !dir.path().join("fresh").exists(), "{fresh:?}");
    // Only the days that are exported are replaced.
    json(&export(&["--out", "out", "--force", "--end", "2026-03-02"]));
    assert_eq!(files(&out), ["event_date=2026-03-01/events.parquet".to_owned(), "mine.txt".to_owned()].into());
    assert_eq!(of_day(&out, "2026-03-01").len(), 40);
    // An empty folder is as good as none; nothing is left beside.
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    json(&export(&["--out", "empty"]));
    assert_eq!(files(&dir.path().join("empty")).len(), 2);
    let beside = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let beside: Vec<String> = beside.filter(|name| name.contains("tideline-export")).collect();
    assert!(beside.is_empty(), "{beside:?}");
    let lock = dir.path().join(".locked.tideline-export");
    std::fs::create_dir(&lock).unwrap();
    let held = std::fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    let second = export(&["--out", "locked"]);
    assert!(String::from_utf8_lossy(&second.stderr).contains("another export"), "{second:?}");
    for wrong in [["--out", "-"], ["--out", "events.ndjson"]] {
        assert!(!export(&wrong).status.success(), "{wrong:?}");
    }
}
