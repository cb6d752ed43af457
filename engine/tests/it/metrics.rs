//! Fixed metrics: the expectations beside their files, and what becomes of answers when data, time or files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use tideline_engine::clock::{Clock, ManualClock};
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine};
use tideline_engine::error::{Error, Kind, Result};
use tideline_engine::fs::sim::SimFs;
use tideline_engine::metrics::{self, Metric, MetricsConfig, Origin};
use tideline_engine::query::encode::{CellOptions, Encoder, Format};
use tideline_engine::query::{QueryConfig, QueryRequest, time_zone};

use crate::alerts::scenes;
use crate::support::config;

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn micros(text: &str) -> i64 {
    text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros()
}

/// Where the shop of the week is, and when its expectations are asked, unless they say otherwise.
const ZONE: &str = "Europe/Berlin";
const NOW: &str = "2026-03-09T12:00:00Z";

/// An engine with the week in its buffer, and its clock.
struct Week {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
}

impl Week {
    /// Three small metrics over a small week, for what is about the catalogue and not about the metrics.
    async fn small(metrics: MetricsConfig) -> Self {
        let dir = metrics.dir.clone().or_else(|| Some(root("engine/tests/metrics")));
        Self::over("engine/tests/metrics/week.ndjson", "UTC", MetricsConfig { dir, ..metrics }).await
    }

    async fn open(zone: &str) -> Self {
        Self::over("data/week.ndjson", zone, MetricsConfig::default()).await
    }

    /// A time that was made up, with what is wrong in it.
    async fn scene(name: &str, zone: &str) -> Self {
        let week = Self::empty(zone, MetricsConfig::default()).await;
        let body = scenes::events(name, micros(NOW)).into();
        week.engine.ingest(body, InputFormat::Json, "test", Ack::Durable).await.unwrap();
        week
    }

    async fn over(events: &str, zone: &str, metrics: MetricsConfig) -> Self {
        let week = Self::empty(zone, metrics).await;
        week.ingest(&std::fs::read_to_string(root(events)).unwrap()).await;
        week
    }

    async fn empty(zone: &str, metrics: MetricsConfig) -> Self {
        let mut config = config();
        config.query.shop.time_zone = time_zone(zone).unwrap();
        config.metrics = metrics;
        let clock = Arc::new(ManualClock::new(micros(NOW)));
        let engine = Engine::open(config, Arc::new(SimFs::new()), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        Self { engine, clock }
    }

    async fn ingest(&self, ndjson: &str) {
        let body = ndjson.to_owned().into();
        let receipt = self.engine.ingest(body, InputFormat::Json, "test", Ack::Durable).await.unwrap();
        assert_eq!(receipt.rejected, 0, "{receipt:?}");
    }

    /// The answer as CSV, and the ETag.
    async fn ask(&self, name: &str, params: &[(&str, &str)]) -> Result<(String, String)> {
        let params: Vec<_> = params.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let asked = self.engine.metrics().ask(name, &params).await?;
        let answer = self.engine.metrics().answer(&asked).await?;
        let csv = answer.encode(&asked.metric, Format::Csv)?;
        Ok((String::from_utf8(csv.to_vec()).unwrap().replace("\r\n", "\n"), asked.etag))
    }

    async fn csv(&self, name: &str, params: &[(&str, &str)]) -> String {
        self.ask(name, params).await.unwrap_or_else(|e| panic!("{name}: {e}")).0
    }

    async fn metric(&self, name: &str) -> Arc<Metric> {
        Arc::clone(self.engine.metrics().catalogue().await.get(name).unwrap())
    }

    async fn query(&self, sql: &str) -> Result<String> {
        let output = self.engine.query(QueryRequest::new(sql)).await?;
        let mut encoder = Encoder::new(Format::Csv, &output.schema, CellOptions::default())?;
        let mut out = Vec::new();
        for batch in output.stream.try_collect::<Vec<_>>().await? {
            out.extend_from_slice(&encoder.write(&batch)?);
        }
        out.extend_from_slice(&encoder.finish()?);
        Ok(String::from_utf8(out).unwrap().replace("\r\n", "\n"))
    }
}

// The expectations. A file is a list of blocks: a request (`metric NAME PARAM=VALUE …` or `query SQL`), `----`, and the
// answer as CSV up to an empty line, or `error CODE: MESSAGE`. `zone NAME`, `now TIME` and `scene NAME` (another
// data set, made up by `alerts/scenes.rs`) hold for the blocks after them; `#` begins a comment. UPDATE_SNAPSHOTS=1 writes the answers anew: read the difference.

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|e| e == "slt") {
            into.push(path);
        }
    }
}

/// `name=value` pairs; a value with spaces stands in double quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            c => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

async fn answer(week: &Week, request: &str) -> String {
    let outcome = match request.split_once(' ').unwrap_or((request, "")) {
        ("metric", rest) => {
            let words = words(rest);
            let params: Vec<(&str, &str)> = words[1..].iter().map(|w| w.split_once('=').unwrap()).collect();
            week.ask(&words[0], &params).await.map(|(csv, _)| csv)
        }
        ("query", sql) => week.query(sql).await,
        _ => panic!("a block begins with `metric` or `query`: {request}"),
    };
    outcome.unwrap_or_else(|e| format!("error {}: {}\n", e.code, e.message))
}

/// Runs a file's blocks; the file as it should be.
async fn replay(text: &str, weeks: &mut Vec<((String, String), Week)>, flush: bool) -> String {
    let (mut zone, mut now, mut scene) = (ZONE.to_owned(), NOW.to_owned(), String::new());
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        match line.split_once(' ').unwrap_or((line, "")) {
            ("", _) => {}
            _ if line.starts_with('#') => {}
            ("zone", name) => zone = name.to_owned(),
            ("now", time) => now = time.to_owned(),
            ("scene", name) => scene = name.to_owned(),
            _ => {
                let mut request = line.to_owned();
                for line in lines.by_ref() {
                    out += &format!("{line}\n");
                    if line == "----" {
                        break;
                    }
                    request += &format!("\n{line}");
                }
                while lines.peek().is_some_and(|line| !line.is_empty()) {
                    lines.next();
                }
                let which = (zone.clone(), scene.clone());
                if !weeks.iter().any(|(known, _)| *known == which) {
                    let week =
                        if scene.is_empty() { Week::open(&zone).await } else { Week::scene(&scene, &zone).await };
                    weeks.push((which.clone(), week));
                }
                let week = &weeks.iter().find(|(known, _)| *known == which).unwrap().1;
                if flush {
                    week.engine.flush().await.unwrap();
                }
                week.clock.set(micros(&now));
                out += &answer(week, &request).await;
            }
        }
    }
    out
}

#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
fn wants_update() -> bool {
    std::env::var("UPDATE_SNAPSHOTS").is_ok()
}

#[tokio::test]
async fn every_metric_answers_as_written_beside_it() {
    let mut paths = Vec::new();
    files(&root("queries"), &mut paths);
    paths.sort();
    let mut weeks = Vec::new();
    for flush in [false, true] {
        for path in &paths {
            let written = std::fs::read_to_string(path).unwrap();
            let seen = replay(&written, &mut weeks, flush).await;
            if wants_update() && !flush {
                std::fs::write(path, &seen).unwrap();
            } else {
                let place = path.display();
                assert_eq!(seen, written, "{place}, flushed: {flush}; UPDATE_SNAPSHOTS=1 writes it anew");
            }
        }
    }
}

const WHOLE: &[(&str, &str)] = &[("start", "2026-03-02"), ("end", "2026-03-08"), ("at", "2026-03-09T00:00:00Z")];

#[tokio::test]
async fn an_answer_is_kept_until_the_table_changes() {
    let week = Week::small(MetricsConfig::default()).await;
    let (first, tag) = week.ask("sales/daily", WHOLE).await.unwrap();
    assert_eq!(week.ask("sales/daily", WHOLE).await.unwrap(), (first.clone(), tag.clone()));
    let mut shuffled = WHOLE.to_vec();
    shuffled.reverse();
    assert_eq!(week.ask("sales/daily", &shuffled).await.unwrap().1, tag, "the order does not matter");
    let stats = week.engine.metrics().cache_stats();
    assert_eq!((stats.computed, stats.hits), (1, 2));

    let event =
        r#"{"event_id":"n","event_type":"purchase","event_ts":"2026-03-04T09:00:00Z","order_id":"n","price":"1.10"}"#;
    week.ingest(event).await;
    let (second, changed) = week.ask("sales/daily", WHOLE).await.unwrap();
    assert_ne!(tag, changed);
    assert!(second.contains("2026-03-04,1.1000,1,1\n"), "an acknowledged event is in the next answer: {second}");
    week.engine.flush().await.unwrap();
    assert_eq!(week.csv("sales/daily", WHOLE).await, second, "a flush changes no figure");
    assert_eq!(week.engine.metrics().cache_stats().entries, 1, "one answer a request");
}

#[tokio::test]
async fn what_depends_on_the_clock_is_kept_for_its_time_only() {
    let week = Week::small(MetricsConfig::default()).await;
    let tag = async || week.ask("sales/daily", &[]).await.unwrap().1;
    let (first, fixed) = (tag().await, week.ask("sales/daily", WHOLE).await.unwrap().1);
    week.clock.advance(Duration::from_secs(9));
    assert_eq!(tag().await, first, "its header says 10 seconds");
    week.clock.advance(Duration::from_secs(1));
    assert_ne!(tag().await, first);
    assert_eq!(week.ask("sales/daily", WHOLE).await.unwrap().1, fixed, "nothing in it depends on the clock");
    assert_eq!(week.csv("users/active", &[("window", "23h")]).await, "active_users,active_sessions\n0,0\n");
    week.clock.set(micros("2026-03-08T12:00:00Z"));
    assert_eq!(week.csv("users/active", &[("window", "24h")]).await, "active_users,active_sessions\n2,2\n");
}

#[tokio::test]
async fn memory_for_answers_and_their_size_have_limits() {
    let config = MetricsConfig { cache_bytes: 8 << 10, ..MetricsConfig::default() };
    let week = Week::small(config).await;
    for limit in 1..=20 {
        week.csv("sales/top-products", &[("limit", &limit.to_string())]).await;
        assert!(week.engine.metrics().cache_stats().bytes <= 8 << 10);
    }
    let stats = week.engine.metrics().cache_stats();
    assert!(stats.entries > 1 && stats.entries < 20, "{stats:?}");
    let config = MetricsConfig { answer_bytes: 16, ..MetricsConfig::default() };
    let error = Week::small(config).await.ask("sales/daily", WHOLE).await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::TooLarge, "answer_too_large"));
}

/// A folder of metrics that is looked at before every request.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn config(&self) -> MetricsConfig {
        let dir = Some(self.0.path().to_owned());
        MetricsConfig { dir, reload: true, look_every: Duration::ZERO, ..MetricsConfig::default() }
    }
}

fn code(outcome: Result<(String, String)>) -> (&'static str, String) {
    let error: Error = outcome.unwrap_err();
    (error.code, error.message)
}

#[tokio::test]
async fn an_edit_is_seen_and_a_broken_one_keeps_the_last_good_version() {
    let folder = Folder::new();
    folder.write("own/one.sql", "-- summary = \"One\"\nSELECT 1 AS n");
    let week = Week::small(folder.config()).await;
    assert_eq!(week.csv("own/one", &[]).await, "n\n1\n");
    assert_eq!(week.metric("own/one").await.origin, Origin::Folder);

    folder.write("own/one.sql", "-- summary = \"One\"\nSELECT 22 AS n");
    assert_eq!(week.csv("own/one", &[]).await, "n\n22\n");
    folder.write("own/one.sql", "-- summary = \"One\"\nSELECT 333 AS n,\n  nonsense\nFROM events");
    assert_eq!(week.csv("own/one", &[]).await, "n\n22\n");
    let warning = week.metric("own/one").await.warning.clone().unwrap();
    assert!(warning.starts_with("own/one.sql:3:3: ") && warning.contains("last good"), "{warning}");
    assert_eq!(week.engine.metrics().catalogue().await.problems.len(), 1);
    folder.write("own/one.sql", "-- summary = \"One\"\nSELECT 4444 AS n");
    assert_eq!(week.csv("own/one", &[]).await, "n\n4444\n");
    assert_eq!(week.metric("own/one").await.warning, None);

    // One that was never good, and one that stands in for a built-in metric.
    folder.write("own/two.sql", "-- summary = \"Two\"\nSELECT $n AS n");
    assert_eq!(code(week.ask("own/two", &[]).await).0, "metric_broken");
    folder.write("users/active.sql", "-- summary = \"Mine\"\nSELECT 7 AS active_users");
    assert_eq!(week.csv("users/active", &[]).await, "active_users\n7\n");
    folder.write("users/active.sql", "-- summary = \"Mine\"\nSELECT FROM");
    assert_eq!(week.csv("users/active", &[]).await, "active_users\n7\n");
    std::fs::remove_dir_all(folder.0.path().join("users")).unwrap();
    assert!(week.csv("users/active", &[]).await.starts_with("at,active_users,active_sessions,"));
    folder.write("users/active.sql", "-- summary = \"Mine\"\nSELECT FROM");
    assert!(week.csv("users/active", &[]).await.starts_with("at,active_users,active_sessions,"));
    assert!(week.metric("users/active").await.warning.clone().unwrap().contains("built-in"));
    std::fs::remove_dir_all(folder.0.path().join("own")).unwrap();
    assert_eq!(code(week.ask("own/one", &[]).await).0, "unknown_metric");
}

#[tokio::test]
async fn every_mistake_of_a_file_is_named_with_its_place() {
    let folder = Folder::new();
    let cases = [
        ("a", "-- summary = \"A\"\n-- summry = \"A\"\nSELECT 1", "2:4", "summry"),
        ("b", "-- summary = \"B\"\n--\n-- more = 1\nSELECT 1", "3:4", "more"),
        ("c", "-- summary = \"C\"\n\nSELECT\n  event_tpe FROM events", "4:3", "did you mean event_type?"),
        ("d", "-- summary = \"D\"\nSELECT 1\nFROM nowhere", "3:6", "nowhere"),
        ("e", "-- summary = \"E\"\nSELECT 1,\n  $strat", "3:3", "not declared"),
        ("f", "-- summary = \"F\"\n-- [params.n]\n-- type = \"integer\"\nSELECT 1", "2:12", "not used"),
        ("g", "-- summary = \"G\"\n-- units = { m = \"money\" }\nSELECT 1 AS n", "2:14", "no column m"),
        ("h", "-- summary = \"H\"\nSELEC 1", "2:1", "SELEC"),
        ("i", "-- summary = \"I\"\nDROP TABLE events", "2:1", "read-only"),
        (
            "k",
            "-- summary = \"K\"\n-- [alert]\n-- value = \"m\"\n-- open = \"< 1\"\n-- message = \"m\"\nSELECT 1 AS n",
            "3:12",
            "no column m",
        ),
        (
            "l",
            "-- summary = \"L\"\n-- [alert]\n-- value = \"n\"\n-- open = \"< 1\"\n-- message = \"m\"\nSELECT 'a' AS n",
            "3:12",
            "not a number",
        ),
        (
            "m",
            "-- summary = \"M\"\n-- [alert]\n-- value = \"n\"\n-- open = \"< 1\"\n-- message = \"{k}\"\nSELECT 1 AS n",
            "5:14",
            "no column k",
        ),
        (
            "n",
            "-- summary = \"N\"\n-- [alert]\n-- value = \"n\"\n-- open = \"< 1\"\n-- message = \"m\"\n-- [params.p]\n-- type = \"integer\"\nSELECT $p AS n",
            "2:4",
            "no default",
        ),
        ("j", "-- summary = \"J\"\n-- [params.n]\n-- type = \"list\"\nSELECT $n + 1 AS n", "", ""),
    ];
    for (name, text, ..) in cases {
        folder.write(&format!("x/{name}.sql"), text);
    }
    folder.write("x/Upper.sql", "-- summary = \"U\"\nSELECT 1");
    folder.write("views/mine.sql", "SELECT 1");
    folder.write("x/good.sql", "-- summary = \"G\"\n-- path = \"/analytics/x\"\nSELECT 1 AS n");
    let clock = Arc::new(ManualClock::new(0));
    let query = QueryConfig { threads: 1, ..QueryConfig::default() };
    let (good, problems) = metrics::check(query, folder.config(), clock).await.unwrap();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for (name, _, place, part) in cases {
        let problem = said.iter().find(|p| p.starts_with(&format!("x/{name}.sql:{place}")));
        let problem = problem.unwrap_or_else(|| panic!("{name} {place}: {said:#?}"));
        assert!(problem.contains(part), "{problem}");
    }
    assert!(
        said.iter().any(|p| p.starts_with("x/Upper.sql")) && said.iter().any(|p| p.contains("is taken")),
        "{said:#?}"
    );
    assert_eq!(problems.len(), cases.len() + 2, "{said:#?}");
    let none = MetricsConfig::default();
    let (built_in, nothing) =
        metrics::check(QueryConfig::default(), none, Arc::new(ManualClock::new(0))).await.unwrap();
    assert_eq!((good, nothing), (built_in + 1, Vec::new()));
    let missing = MetricsConfig { dir: Some(folder.0.path().join("nowhere")), ..MetricsConfig::default() };
    let (_, problems) = metrics::check(QueryConfig::default(), missing, Arc::new(ManualClock::new(0))).await.unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
}

/// Each type reaches the query as its own type, also when it is null.
#[tokio::test]
async fn every_type_is_bound_as_what_it_is() {
    let folder = Folder::new();
    let mut header = String::from("-- summary = \"Types\"\n");
    for kind in metrics::Kind::ALL {
        let name = kind.name();
        let values = if name == "enum" { "-- values = [\"a\"]\n" } else { "" };
        header += &format!("-- [params.p_{name}]\n-- type = \"{name}\"\n-- optional = true\n{values}");
    }
    let columns: Vec<String> = metrics::Kind::ALL
        .iter()
        .map(|k| format!("$p_{0} AS v_{0}, arrow_typeof($p_{0}) AS t_{0}", k.name()))
        .collect();
    folder.write("types.sql", &format!("{header}SELECT {}", columns.join(", ")));
    folder.write("now.sql", "-- summary = \"Now\"\nSELECT now() AS n");
    let week = Week::small(folder.config()).await;
    let rows = async |given: &[(&str, &str)]| {
        let csv = week.csv("types", given).await;
        csv.lines().nth(1).unwrap().to_owned()
    };
    let given = [
        ("p_string", "'; DROP TABLE events; --"),
        ("p_integer", "7"),
        ("p_decimal", "1.5"),
        ("p_boolean", "true"),
        ("p_timestamp", "2026-03-01T00:00:00Z"),
        ("p_date", "2026-03-01"),
        ("p_duration", "90m"),
        ("p_enum", "a"),
        ("p_list", "a,b"),
    ];
    let bound = rows(&given).await;
    for part in [
        "'; DROP TABLE events; --",
        "7,Int64",
        "1.5000,\"Decimal128(38, 4)\"",
        "true,Boolean",
        "2026-03-01T00:00:00.000Z,",
        "2026-03-01,Date32",
        "Interval",
        "a,Utf8View",
        "[\"\"a\"\",\"\"b\"\"]",
    ] {
        assert!(bound.contains(part), "{part}: {bound}");
    }
    let nulls = rows(&[]).await;
    assert!(nulls.contains("Int64") && nulls.contains("Date32"), "{nulls}");
    let now = async || week.ask("now", &[]).await.unwrap();
    let first = now().await;
    week.clock.advance(Duration::from_secs(60));
    assert_ne!(now().await, first, "a cached plan must not keep the time of its making");
}
