//! Fixed metrics over HTTP and on the command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::datatypes::DataType;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::app::{Answer, App};
use crate::process::Server;

/// Three small metrics over a small week, so that these tests are about the catalogue and not about the metrics.
fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/metrics")
}

fn data(name: &str) -> String {
    std::fs::read_to_string(samples().join(name)).unwrap()
}

fn app(settings: &[(&str, &str)]) -> App {
    let samples = samples();
    let dir = [("metrics.dir", samples.to_str().unwrap())];
    let has_own = settings.iter().any(|(key, _)| *key == "metrics.dir");
    let app = App::start(&[settings, if has_own { &[] } else { &dir }].concat());
    assert_eq!(app.post("/events", data("week.ndjson")).status, StatusCode::ACCEPTED);
    app
}

fn get(app: &App, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).unwrap())
}

const WEEK: &str = "start=2026-03-02&end=2026-03-08&at=2026-03-09";

#[test]
fn a_metric_comes_in_every_format() {
    let app = app(&[]);
    let json = get(&app, &format!("/analytics/sales/daily?{WEEK}"), &[]);
    assert_eq!(json.status, StatusCode::OK, "{json:?}");
    assert!(json.text().contains(r#""gross":100.4000,"#), "money is a number at full scale: {}", json.text());
    let body = json.json();
    assert_eq!(body["metric"], "sales/daily");
    assert_eq!(body["params"]["start"], "2026-03-02");
    assert_eq!(body["params"]["at"], "2026-03-09T00:00:00.000Z");
    assert_eq!(body["meta"][1], json!({"name": "gross", "type": "Decimal128(38,4)", "unit": "money"}));
    assert_eq!((&body["rows"], &body["data"][0]["day"]), (&json!(2), &json!("2026-03-02")));
    assert!(body["freshness"]["buffered_rows"].is_u64() && body["freshness"]["through"].is_string());

    let csv = "day,gross,units,orders\r\n2026-03-02,100.4000,4,2\r\n2026-03-05,33.0000,4,1\r\n";
    for (uri, accept) in [
        (format!("/analytics/sales/daily.csv?{WEEK}"), "application/json"),
        (format!("/analytics/sales/daily?{WEEK}&format=csv"), "application/json"),
        (format!("/analytics/sales/daily?{WEEK}"), "text/csv"),
        (format!("/sales.csv?{WEEK}"), "*/*"),
        (format!("/sales?format=csv&{WEEK}"), "*/*"),
    ] {
        let answer = get(&app, &uri, &[("accept", accept)]);
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, csv.to_owned()), "{uri}");
    }
    let lines = get(&app, &format!("/analytics/sales/daily.ndjson?{WEEK}"), &[]).text();
    assert_eq!(lines.lines().next(), Some(r#"{"day":"2026-03-02","gross":100.4000,"units":4,"orders":2}"#));
    assert!(get(&app, &format!("/analytics/sales/daily.parquet?{WEEK}"), &[]).body.starts_with(b"PAR1"));
    let arrow = get(&app, &format!("/analytics/sales/daily.arrow?{WEEK}"), &[]);
    let reader = arrow::ipc::reader::StreamReader::try_new(&arrow.body[..], None).unwrap();
    assert_eq!(reader.schema().field(1).data_type(), &DataType::Decimal128(38, 4));
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);

    let compared = get(&app, "/analytics/sales/daily?start=2026-03-05&end=2026-03-07&compare=previous", &[]).json();
    let periods: Vec<&Value> = compared["data"].as_array().unwrap().iter().map(|row| &row["period"]).collect();
    assert_eq!(periods, ["current", "previous"]);
}

#[test]
fn mistakes_are_named() {
    let app = app(&[]);
    for (uri, status, code, part) in [
        ("/analytics/sales/daly", 404, "unknown_metric", "sales/daily"),
        ("/analytics/daily", 404, "unknown_metric", "/daily"),
        ("/analytics/", 404, "not_found", ""),
        ("/analytics/sales/daily?strat=-1d", 400, "unknown_parameter", "\"start\""),
        ("/analytics/sales/daily?comprae=previous", 400, "unknown_parameter", "\"compare\""),
        ("/analytics/sales/daily?start=soon", 400, "invalid_parameter", "`start` must be a date"),
        ("/analytics/sales/daily?start=2026-03-02&end=2026-03-01", 400, "invalid_range", "after `end`"),
        ("/analytics/sales/daily?start=-1d&start=-2d", 400, "repeated_parameter", "start"),
        ("/analytics/sales/daily?compare=next", 400, "invalid_parameter", "previous"),
        ("/analytics/users/active?compare=previous", 400, "unknown_parameter", "no range"),
        ("/analytics/users/active?window=48h", 400, "invalid_parameter", "from 1m to 24h"),
        ("/analytics/sales/top-products?limit=1001", 400, "invalid_parameter", "a whole number from 1 to 1000"),
        ("/analytics/sales/daily.xml", 406, "not_acceptable", "xml"),
        ("/analytics/sales/daily?format=cvs", 406, "not_acceptable", "csv"),
        ("/analytic", 404, "not_found", "/analytics"),
    ] {
        let answer = get(&app, uri, &[]);
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{uri}: {answer:?}");
        assert!(answer.text().contains(part), "{uri}: {}", answer.text());
    }
    let unacceptable = get(&app, "/analytics/sales/daily", &[("accept", "image/png")]);
    assert_eq!(unacceptable.status, StatusCode::NOT_ACCEPTABLE);
    for uri in ["/analytics/sales/daily", "/sales"] {
        let posted = app.post(uri, "");
        assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED, "{uri}");
        assert!(posted.headers["allow"].to_str().unwrap().contains("GET"), "{uri}");
    }
}

#[test]
fn a_client_that_has_the_answer_is_told_so() {
    let app = app(&[]);
    let uri = format!("/analytics/sales/daily?{WEEK}");
    let first = get(&app, &uri, &[]);
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(first.headers["cache-control"], "private, max-age=10");
    assert_eq!(get(&app, "/analytics/users/active", &[]).headers["cache-control"], "private, no-cache");
    let asks = || get(&app, &uri, &[("if-none-match", &tag)]);
    let known = asks();
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(known.headers["etag"].to_str().unwrap(), tag);
    let csv = get(&app, &uri, &[("if-none-match", &tag), ("accept", "text/csv")]);
    assert_eq!(csv.status, StatusCode::OK, "another format is another answer");
    let head = app.send(Request::head(uri.as_str()).body(Body::empty()).unwrap());
    assert_eq!(
        (head.status, head.body.len(), head.headers["etag"].to_str().unwrap()),
        (StatusCode::OK, 0, tag.as_str())
    );

    assert_eq!(app.post("/events", crate::app::event("new")).status, StatusCode::ACCEPTED);
    let changed = asks();
    assert_eq!(changed.status, StatusCode::OK, "an event is in the next answer");
    let later = changed.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(app.post("/admin/flush", "").status, StatusCode::OK);
    let flushed = get(&app, &uri, &[("if-none-match", &later)]);
    assert!(flushed.status == StatusCode::NOT_MODIFIED || flushed.json()["data"] == changed.json()["data"]);
}

#[test]
fn the_list_says_all_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(dir.path().join("mine.sql"), text).unwrap();
    write("-- summary = \"Mine\"\nSELECT 1 AS n");
    let app = app(&[("metrics.dir", dir.path().to_str().unwrap())]);
    let list = get(&app, "/analytics", &[]).json();
    let metrics = list["metrics"].as_array().unwrap();
    let daily = metrics.iter().find(|m| m["name"] == "sales/daily").unwrap();
    assert_eq!((&daily["path"], &daily["cache_seconds"]), (&json!("/analytics/sales/daily"), &json!(10)));
    assert_eq!(
        (&daily["chart"], &daily["compare"], &daily["origin"]),
        (&json!("bars"), &json!(true), &json!("built_in"))
    );
    let start = json!({"name": "start", "type": "date", "required": false, "default": "-29d",
        "doc": "first day, in the shop's time zone"});
    assert_eq!(daily["params"][0], start);
    assert_eq!(daily["columns"][0], json!({"name": "day", "type": "Date", "unit": "date"}));
    assert!(daily["sql"].as_str().unwrap().contains("SELECT "));
    assert_eq!(metrics.iter().find(|m| m["name"] == "mine").unwrap()["origin"], "folder");
    assert_eq!(list["problems"], json!([]));
    write("-- summary = \"Mine\"\nSELECT 22 AS n");
    assert_eq!(get(&app, "/analytics/mine.csv", &[]).text(), "n\r\n1\r\n", "without metrics.reload edits wait");
}

fn tideline(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.args(args).current_dir(dir).env_remove("TIDELINE_FIXTURES").output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_command_lists_describes_and_asks() {
    let dir = tempfile::tempdir().unwrap();
    let week = dir.path().join("week.ndjson");
    std::fs::write(&week, data("week.ndjson")).unwrap();
    let samples = samples();
    let settings = format!("[metrics]\ndir = {:?}\n", samples.to_str().unwrap());
    std::fs::write(dir.path().join("tideline.toml"), settings).unwrap();
    stdout(&tideline(dir.path(), &["load", "week.ndjson", "--data-dir", "data"]));
    let asked = ["metrics", "sales/daily", "-p", "start=2026-03-02", "-p", "end=2026-03-08", "--format", "csv"];
    let csv = "day,gross,units,orders\r\n2026-03-02,100.4000,4,2\r\n2026-03-05,33.0000,4,1\r\n";
    let folder = |args: &[&str]| tideline(dir.path(), &[args, &["--data-dir", "data"]].concat());
    assert_eq!(stdout(&folder(&asked)), csv);
    let list = stdout(&folder(&["metrics"]));
    assert!(list.contains("sales/top-products") && list.contains("start end categories limit"), "{list}");
    let table = stdout(&folder(&["metrics", "users/active", "-p", "at=2026-03-08T12:00:00Z"]));
    assert!(table.ends_with("            2 |               2\n(1 row)\n"), "{table}");
    let described = stdout(&folder(&["metrics", "sales/daily", "--describe"]));
    assert!(described.contains("-29d") && described.contains("money") && described.contains("FROM line_items"));

    let server = Server::start(&dir.path().join("data"), &[("TIDELINE_METRICS_DIR", samples.to_str().unwrap())]);
    let at = |args: &[&str]| tideline(dir.path(), &[args, &["--url", &server.url]].concat());
    assert_eq!(stdout(&at(&asked)), csv);
    assert_eq!(stdout(&at(&["metrics"])), list);
    let slip = at(&["metrics", "sales/daly"]);
    assert_eq!(slip.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&slip.stderr).contains("did you mean: sales/daily"), "{slip:?}");
    assert_eq!(server.terminate(), Some(0));

    let whole = stdout(&tideline(dir.path(), &["check", "--data-dir", "data"]));
    assert!(whole.contains("metrics ") && whole.contains("all is well"), "{whole}");
    std::fs::create_dir(dir.path().join("own")).unwrap();
    std::fs::write(dir.path().join("own/broken.sql"), "-- summary = \"B\"\nSELECT page,\n  pages FROM events").unwrap();
    std::fs::write(dir.path().join("tideline.toml"), "[metrics]\ndir = \"own\"\n").unwrap();
    for args in [&["check", "--data-dir", "data"][..], &["check", "--metrics"]] {
        let broken = tideline(dir.path(), args);
        assert_eq!(broken.status.code(), Some(1), "{broken:?}");
        let said = String::from_utf8_lossy(&broken.stdout);
        assert!(said.contains("broken.sql:3:3: there is no column pages (did you mean page?)"), "{said}");
    }
}
