//! The commands as people type them, as real processes: against a server, and over a data folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::Server;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/sample.ndjson")
}

fn sample_rows() -> u64 {
    std::fs::read_to_string(sample()).unwrap().lines().count() as u64
}

/// Runs `tideline` in a folder; standard input is `input`.
fn tideline_with(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.args(args).current_dir(dir).env_remove("TIDELINE_FIXTURES");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read it closes the pipe, which is fine.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn tideline(dir: &Path, args: &[&str]) -> Output {
    tideline_with(dir, args, "")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn a_file_is_loaded_into_a_server_asked_about_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let url = server.url.clone();
    let at = |args: &[&str]| tideline(dir.path(), &[args, &["--url", &url]].concat());
    let file = sample();
    let file = file.to_str().unwrap();

    let first = json(&at(&["load", file, "--json", "--batch", "4"]));
    assert_eq!((first["accepted"].as_u64(), first["rejected"].as_u64()), (Some(sample_rows()), Some(0)), "{first}");
    let again = json(&at(&["load", file, "--json", "--compress"]));
    assert_eq!((again["accepted"].as_u64(), again["duplicates"].as_u64()), (Some(0), Some(sample_rows())), "{again}");

    let sql =
        "select event_type, sum(price * quantity) as amount from events where order_id = $id group by 1 order by 1";
    let answer = json(&at(&["sql", sql, "--param", "id=o_9001", "--json"]));
    assert_eq!(answer[1], serde_json::json!({"event_type": "refund", "amount": "8.2500"}));
    let table = stdout(&at(&["sql", "select event_type, quantity from events where event_type = 'stock_level'"]));
    assert!(
        table.starts_with(" event_type  | quantity\n-------------+----------\n stock_level |       37\n(1 row"),
        "{table}"
    );
    let columns = stdout(&at(&["sql", "\\d events"]));
    assert!(columns.contains("event_date") && columns.contains("price of one unit"), "{columns}");
    assert!(stdout(&at(&["sql", "\\d"])).contains("events"));

    let moved = json(&at(&["maintain", "flush", "--json"]));
    assert_eq!(moved["rows"].as_u64(), Some(sample_rows()));
    stdout(&at(&["maintain", "compact"]));
    let exported = json(&at(&["export", "--start", "2026-01-16", "--out", "late.csv", "--json"]));
    let text = std::fs::read_to_string(dir.path().join("late.csv")).unwrap();
    assert_eq!(text.len() as u64, exported["bytes"].as_u64().unwrap());
    assert_eq!(text.lines().count(), 5, "the header, two of the 16th, a purchase, a refund: {text}");
    let refused = at(&["export", "--out", "late.csv"]);
    assert!(stderr(&refused).contains("--force"), "{refused:?}");

    let locked = tideline(dir.path(), &["sql", "select 1", "--data-dir", "data"]);
    assert_eq!(locked.status.code(), Some(1));
    assert!(stderr(&locked).contains("--url"), "{locked:?}");
    assert_eq!(server.terminate(), Some(0));
    let gone = at(&["sql", "select 1"]);
    assert!(stderr(&gone).contains("tideline serve"), "{gone:?}");
}

/// Every column clients send, of every event.
const ALL: &str = "select event_ts, event_type, event_id, user_id, anonymous_id, session_id, page, referrer, channel, bot, \
    load_ms, product_id, product_name, category, brand, price, quantity, currency, order_id, cart_id, revenue, tax, \
    shipping, discount, coupon, country, utm_source, utm_campaign, utm_medium, os, mobile, city, lat, lon, user_agent, \
    items, properties from events order by event_id";

#[test]
fn what_is_exported_loads_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| stdout(&tideline(dir.path(), args));
    let file = sample();
    run(&["load", file.to_str().unwrap(), "--data-dir", "first"]);
    let before = run(&["sql", ALL, "--json", "--data-dir", "first"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&before).unwrap().len() as u64, sample_rows());
    for name in ["all.parquet", "all.csv", "all.ndjson"] {
        run(&["export", "--data-dir", "first", "--out", name]);
        let result: Value =
            serde_json::from_str(&run(&["load", name, "--data-dir", name[4..].as_ref(), "--json"])).unwrap();
        assert_eq!(result["accepted"].as_u64(), Some(sample_rows()), "{name}: {result}");
        let after = run(&["sql", ALL, "--json", "--data-dir", name[4..].as_ref()]);
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn a_mapped_file_counts_what_it_refuses_and_names_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("m.toml"),
        "[fields]\nevent_type = \"purchase\"\nevent_ts = { column = \"Day\", time = \"%d.%m.%Y\" }\nprice = \"{Price}\"\n",
    )
    .unwrap();
    let csv = "Day,Price\n31.01.2026,10\n31.02.2026,10\n31.01.2026,ten\n31.01.2026,10,more\n";
    let args = ["load", "-", "--mapping", "m.toml", "--format", "csv", "--data-dir", "data"];
    let output = tideline_with(dir.path(), &args, csv);
    let said = stdout(&output);
    for needed in [
        "accepted                 1",
        "rejected                 3",
        "line 3: event_ts: ",
        "line 4: price: ",
        "it has 3 columns",
    ] {
        assert!(said.contains(needed), "{needed}: {said}");
    }
    let strict = tideline_with(dir.path(), &[&args[..], &["--strict"]].concat(), csv);
    assert_eq!(strict.status.code(), Some(1), "{strict:?}");
    let hopeless = tideline_with(dir.path(), &args, "Day,Price\n31.02.2026,10\n");
    assert_eq!(hopeless.status.code(), Some(1), "nothing was acceptable: {hopeless:?}");

    std::fs::write(dir.path().join("m.toml"), "[fields]\nevent_type = \"x\"\nevent_ts = \"{T}\"\npreis = 1\n").unwrap();
    let wrong = tideline_with(dir.path(), &args, csv);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("m.toml:4:1: `preis`"), "{wrong:?}");
}

#[test]
fn sql_mistakes_are_shown_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let missing = tideline(dir.path(), &["sql", "select 1", "--data-dir", "nothing"]);
    assert!(stderr(&missing).contains("is not a data folder"), "{missing:?}");
    assert!(!dir.path().join("nothing").exists(), "asking must not make a folder");

    let file = sample();
    stdout(&tideline(dir.path(), &["load", file.to_str().unwrap(), "--data-dir", "data"]));
    let script = "select 1 as one;\nselect 2 as two,\n  form events; select 3 as three;";
    let output = tideline_with(dir.path(), &["sql", "--data-dir", "data", "--format", "csv"], script);
    assert_eq!(output.status.code(), Some(1));
    let answers = String::from_utf8_lossy(&output.stdout);
    assert_eq!(answers.lines().collect::<Vec<_>>(), ["one", "1"], "it stops at the first mistake");
    let said = stderr(&output);
    assert!(said.contains("^") && said.contains("error: "), "{said}");
    let mixed = tideline_with(dir.path(), &["sql", "--data-dir", "data"], "select 1 as one;\n\\d\nselect\n 2 as two");
    let mixed = stdout(&mixed);
    assert!(mixed.contains(" one") && mixed.contains(" events") && mixed.contains(" two"), "{mixed}");
    let writes = tideline(dir.path(), &["sql", "delete from events", "--data-dir", "data"]);
    assert_eq!(writes.status.code(), Some(1), "{writes:?}");
}

#[test]
fn the_demo_fills_a_folder_and_its_queries_answer() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["demo", "--once", "--events", "2000", "--days", "1", "--listen", "127.0.0.1:0", "--data-dir", "demo"];
    let said = stdout(&tideline(dir.path(), &args));
    for needed in ["made-up shop", "DEMO DATA", "/events -H", "--data-urlencode", "page_view", "Revenue a day"] {
        assert!(said.contains(needed), "{needed}: {said}");
    }
    assert!(!said.contains("curl -G http://127.0.0.1:0/"), "it names the real port");
    let loaded = said.split("Loaded ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let events: u64 = loaded.replace(',', "").parse().unwrap();
    assert!((1_500..=2_500).contains(&events), "about 2,000 were wanted: {said}");
    let again = stdout(&tideline(dir.path(), &args));
    assert!(again.contains(&format!("Going on with the {loaded} events")), "{loaded}: {again}");
    let unmarked = "select count(*) from events where event_id not like 'demo-%' or session_id not like 'demo-%'";
    let asked = tideline(dir.path(), &["sql", unmarked, "--data-dir", "demo", "--format", "csv"]);
    assert_eq!(stdout(&asked).lines().last(), Some("0"), "all of it is marked");
}

#[test]
fn the_demo_plants_incidents_goes_on_live_and_may_use_a_redis() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["demo", "--redis", "--events", "30000", "--days", "10", "--rate", "5", "--exit-after", "2"];
    let said = stdout(&tideline(dir.path(), &[&args[..], &["--listen", "127.0.0.1:0", "--data-dir", "demo"]].concat()));
    for planted in ["times the visitors", "checkout stalls", "pages take", "every 30 minutes", "marked as demo data"] {
        assert!(said.contains(planted), "{planted}: {said}");
    }
    // The first day has what is left of it, at midnight next to nothing.
    let sql = "select count(*) filter (where event_ts < now() - interval '2 hours') > 20000, \
               count(*) filter (where event_ts > now() - interval '70 minutes') > 15000, \
               count(*) filter (where received_at < event_ts + interval '2 seconds') > 0, \
               (select count(*) from dead_letters) > 0,
               count(*) filter (where event_ts between now() - interval '26 hours' and now() - interval '2 hours') < 6000,
               (select min(n) from (select count(*) as n from events where event_date > (select min(event_date) from events)
                                    group by event_date)) > 300 from events";
    let asked = tideline(dir.path(), &["sql", sql, "--data-dir", "demo", "--format", "csv"]);
    assert_eq!(
        stdout(&asked).lines().last(),
        Some("true,true,true,true,true,true"),
        "history, a dense hour, live, rejects, thin before that, no gap"
    );
}

#[test]
fn damage_in_the_log_is_named_then_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data, &[("TIDELINE_FLUSH_AGE", "1h")]);
    let log = || std::fs::read_dir(data.join("wal")).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    let mut ends = Vec::new();
    for id in ["a", "b", "c"] {
        assert_eq!(Server::post(&server.url, &crate::app::event(id)).unwrap().0, 202);
        ends.push(std::fs::metadata(log()).unwrap().len());
    }
    let busy = tideline(dir.path(), &["check", "--data-dir", "data"]);
    assert!(stderr(&busy).contains("stop that server"), "{busy:?}");
    // Killed, so that the log keeps what the lake does not have.
    drop(server);
    assert!(stdout(&tideline(dir.path(), &["check", "--data-dir", "data"])).contains("all is well"));

    let wal = log();
    let mut bytes = std::fs::read(&wal).unwrap();
    // Within the second of three groups.
    let middle = usize::try_from(ends[0] + ends[1]).unwrap() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&wal, &bytes).unwrap();

    let refused = Server::try_start(&data, &[]).err().unwrap();
    assert!(refused.contains("check --repair"), "{refused}");
    let found = tideline(dir.path(), &["check", "--data-dir", "data", "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let findings: Value = serde_json::from_slice(&found.stdout).unwrap();
    let offset = findings["log"]["damage"]["offset"].as_u64().unwrap();
    assert!(offset >= ends[0] && offset <= middle as u64, "{findings}");
    assert_eq!(std::fs::read(&wal).unwrap(), bytes, "checking changes nothing");

    let repaired = stdout(&tideline(dir.path(), &["check", "--data-dir", "data", "--repair"]));
    for needed in ["set aside", "LOST          events 2 to 3", "repaired"] {
        assert!(repaired.contains(needed), "{needed}: {repaired}");
    }
    let server = Server::start(&data, &[]);
    assert_eq!(server.csv("SELECT event_id FROM events"), ["a"]);
    assert_eq!(server.terminate(), Some(0));
}
