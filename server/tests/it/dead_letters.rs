//! Dead letters end to end: the commands as people type them, against a server and over a data folder; a replay that
//! the process does not survive; and what health says of a store that fills up.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::app::App;
use crate::process::Server;

/// Runs `tideline` in a folder.
fn tideline(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.args(args).current_dir(dir).env_remove("TIDELINE_FIXTURES");
    command.envs(env.iter().copied()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn bad(order: &str) -> String {
    format!(r#"{{"event_type":"purchase","event_ts":"31.01.2026","betrag":"12.5000","order_id":"{order}"}}"#)
}

const MAPPING: &str = "[fields]\nevent_type = \"{event_type}\"\nevent_ts = { column = \"event_ts\", time = \"%d.%m.%Y\" }\n\
                       price = \"{betrag}\"\norder_id = \"{order_id}\"\n";

#[test]
fn the_command_lists_shows_replays_and_drops_on_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let at = |args: &[&str]| tideline(dir.path(), &[], &[&["dead-letters"], args, &["--url", &server.url]].concat());
    let body = format!("{}\n{}\n{{\"event_type\":\"x\"\n{{\"event_type\":\"x & y\"}}", bad("o1"), bad("o2"));
    assert_eq!(Server::post(&server.url, &body).unwrap().0, 422);

    let listed = stdout(&at(&["list"]));
    for needed in ["invalid_timestamp", "4 dead letters: invalid_json 1, invalid_timestamp 2, missing_field 1"] {
        assert!(listed.contains(needed), "{needed}: {listed}");
    }
    let page = json(&at(&["list", "--code", "invalid_timestamp", "--limit", "1", "--json"]));
    assert_eq!((page["total"].as_u64(), page["letters"].as_array().unwrap().len()), (Some(2), 1));
    let (first, next) = (page["letters"][0]["id"].as_str().unwrap(), page["next"].as_str().unwrap());
    assert_eq!(first, next);
    let rest = json(&at(&["list", "--code", "invalid_timestamp", "--after", next, "--json"]));
    assert_eq!((rest["letters"][0]["index"].as_u64(), &rest["next"]), (Some(1), &Value::Null));
    let shown = stdout(&at(&["show", first]));
    assert!(shown.contains(&bad("o1")) && shown.contains("event_ts must be RFC 3339"), "{shown}");

    std::fs::write(dir.path().join("m.toml"), MAPPING).unwrap();
    let replay = ["replay", "--code", "invalid_timestamp", "--mapping", "m.toml"];
    let dry = stdout(&at(&[&replay[..], &["--dry-run"]].concat()));
    assert!(dry.contains("2 of 2 dead letters would be replayed"), "{dry}");
    assert_eq!(server.csv("SELECT count(*) FROM events"), ["0"]);
    let done = json(&at(&[&replay[..], &["--json"]].concat()));
    assert_eq!((done["replayed"].as_u64(), done["duplicates"].as_u64()), (Some(2), Some(0)), "{done}");
    let events = "SELECT order_id, event_ts, price FROM events ORDER BY 1";
    assert_eq!(server.csv(events), ["o1,2026-01-31T00:00:00.000Z,12.5000", "o2,2026-01-31T00:00:00.000Z,12.5000"]);
    assert_eq!(json(&at(&[&replay[..], &["--json"]].concat()))["selected"].as_u64(), Some(0), "once is enough");

    let set = ["replay", "--code", "missing_field", "--set", "event_type=stock_level", "--json"];
    let refused = at(&set);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(refused["errors"][0]["field"], "event_ts", "{refused}");
    let set = [&set[..5], &["--set", "event_ts=1772323200000", "--json"]].concat();
    assert_eq!(json(&at(&set))["replayed"].as_u64(), Some(1));

    let nothing_said = at(&["drop"]);
    assert_eq!(nothing_said.status.code(), Some(2), "{nothing_said:?}");
    assert_eq!(stdout(&at(&["drop", "--code", "invalid_json"])), "dropped 1 dead letters\n");
    let statuses = "SELECT status, count(*) FROM dead_letters GROUP BY 1 ORDER BY 1";
    assert_eq!(server.csv(statuses), ["dropped,1", "replayed,3"]);
    assert!(stdout(&at(&["list"])).starts_with("0 dead letters"), "nothing is left to do");
    let described = tideline(dir.path(), &[], &["sql", "\\d dead_letters", "--url", &server.url]);
    assert!(stdout(&described).contains("why it was not accepted, for people"));
    assert!(stdout(&tideline(dir.path(), &[], &["sql", "\\d", "--url", &server.url])).contains("dead_letters"));
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn the_command_works_on_a_stopped_folder_after_a_setting_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let strict = [("TIDELINE_INGEST_MAX_EVENT_BYTES", "1KiB")];
    let server = Server::start(&data, &strict);
    let long = format!(
        r#"{{"event_type":"purchase","event_ts":"2026-01-31T12:00:00Z","order_id":"o1","note":"{}"}}"#,
        "x".repeat(2_000)
    );
    let sent = Server::post(&server.url, &format!("{long}\n{}", bad("o2"))).unwrap();
    assert_eq!((sent.0, sent.1["errors"][0]["code"].as_str()), (422, Some("event_too_large")), "{sent:?}");
    let busy = tideline(dir.path(), &[], &["dead-letters", "list", "--data-dir", "data"]);
    assert!(String::from_utf8_lossy(&busy.stderr).contains("--url"), "{busy:?}");
    assert_eq!(server.terminate(), Some(0));

    let at = |env: &[(&str, &str)], args: &[&str]| {
        tideline(dir.path(), env, &[&["dead-letters"], args, &["--data-dir", "data", "--json"]].concat())
    };
    let replay = ["replay", "--code", "event_too_large"];
    assert_eq!(at(&strict, &replay).status.code(), Some(1), "nothing was changed yet");
    let changed = json(&at(&[("TIDELINE_INGEST_MAX_EVENT_BYTES", "4KiB")], &replay));
    assert_eq!((changed["replayed"].as_u64(), changed["rejected"].as_u64()), (Some(1), Some(0)), "{changed}");
    let left = json(&at(&[], &["list"]));
    assert_eq!((left["total"].as_u64(), &left["counts"]), (Some(1), &json!({"invalid_timestamp": 1})));
    let id = left["letters"][0]["id"].as_str().unwrap();
    assert_eq!(json(&at(&[], &["show", id]))["original"], bad("o2"));
    let gone = tideline(dir.path(), &[], &["dead-letters", "show", &"0".repeat(32), "--data-dir", "data"]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert_eq!(json(&at(&[], &["drop", id]))["dropped"].as_u64(), Some(1));
    let checked = stdout(&tideline(dir.path(), &[], &["check", "--data-dir", "data"]));
    assert!(checked.contains("0 open, 1 replayed, 1 dropped") && checked.contains("all is well"), "{checked}");
    let swept = json(&tideline(dir.path(), &[], &["maintain", "retain", "--data-dir", "data", "--json"]));
    assert_eq!(swept["dead_letters_expired"].as_u64(), Some(0), "{swept}");
}

#[test]
fn damage_among_the_dead_letters_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    for order in ["o1", "o2", "o3"] {
        Server::post(&server.url, &bad(order)).unwrap();
    }
    drop(server);
    let file = std::fs::read_dir(data.join("dead_letters")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 0x40;
    std::fs::write(&file, bytes).unwrap();
    let check = |args: &[&str]| tideline(dir.path(), &[], &[&["check", "--data-dir", "data"], args].concat());
    let found = check(&[]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(String::from_utf8_lossy(&found.stdout).contains("the dead letters are damaged"), "{found:?}");
    let repaired = stdout(&check(&["--repair"]));
    assert!(repaired.contains("2 open") && repaired.contains("damaged-dead-"), "{repaired}");
    assert!(stdout(&check(&[])).contains("all is well"));
}

/// The process ends at each write and sync of a replay's notes and marks, and of the log between them; afterwards the
/// replay is run again with another fix. The event is there once.
#[test]
fn a_replay_that_crashes_between_event_and_mark_is_simply_run_again() {
    let (mut crashes, mut stored_before_the_mark) = (0, 0);
    for moment in ["letters-written", "letters-synced", "log-written", "log-synced"] {
        for nth in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let data = dir.path().join("data");
            let mut server = Server::start(&data, &[("TIDELINE_FLUSH_AGE", "1h")]);
            Server::post(&server.url, &format!("{}\n{}", bad("o1"), bad("o2"))).unwrap();
            server.kill();
            let at = format!("{moment}:{nth}");
            let crashing = Server::try_start(&data, &[("TIDELINE_CRASH_AT", &at), ("TIDELINE_FLUSH_AGE", "1h")]);
            // Opening the store syncs it too: that moment comes before anybody can connect.
            let Ok(mut server) = crashing else { continue };
            let replay = |url: &str, day: &str| {
                let set = format!("event_ts={day}");
                tideline(dir.path(), &[], &["dead-letters", "replay", "--set", &set, "--json", "--url", url])
            };
            let survived = replay(&server.url, "2026-01-31T00:00:00Z").status.success();
            server.kill();
            let server = Server::start(&data, &[]);
            let open = server.csv("SELECT count(*) FROM dead_letters WHERE status = 'open'").remove(0);
            let stored = server.csv("SELECT count(*) FROM events").remove(0);
            assert!(!survived || (open.as_str(), stored.as_str()) == ("0", "2"), "{at}: {open} {stored}");
            stored_before_the_mark += u64::from((open.as_str(), stored.as_str()) == ("2", "2"));
            // Another day: only the note tells that it is the same event.
            let again = json(&replay(&server.url, "2026-02-27T12:00:00Z"));
            assert_eq!(again["replayed"].as_u64().unwrap().to_string(), open, "{at}: {again}");
            let rows = server.csv("SELECT order_id, count(*) FROM events GROUP BY 1 ORDER BY 1");
            assert_eq!(rows, ["o1,1", "o2,1"], "{at}");
            assert_eq!(server.csv("SELECT DISTINCT status FROM dead_letters"), ["replayed"], "{at}");
            if survived {
                break;
            }
            crashes += 1;
        }
    }
    assert!(crashes >= 6 && stored_before_the_mark >= 2, "{crashes} crashes, {stored_before_the_mark} in between");
}

#[test]
fn health_says_early_that_the_store_fills_up() {
    let app = App::start(&[("dead_letters.max_bytes", "64KiB"), ("lake.maintain_every", "0")]);
    let health = || app.send(axum::http::Request::get("/health").body(axum::body::Body::empty()).unwrap()).json();
    assert_eq!(
        (health()["status"].as_str(), health()["engine"]["dead_letters"]["open"].as_u64()),
        (Some("ok"), Some(0))
    );
    let mut degraded = None;
    let mut sent = 0;
    let refused = loop {
        let answer = app.post("/events", bad(&format!("o{sent}")));
        if answer.status != 422 {
            break answer;
        }
        sent += 1;
        let health = health();
        if health["status"] == "degraded" && degraded.is_none() {
            let fullness = health["engine"]["dead_letters"]["fullness"].as_f64().unwrap();
            assert!((0.9..0.93).contains(&fullness), "{health}");
            let why = health["dependencies"]["dead_letters"]["message"].as_str().unwrap();
            assert!(why.contains("dead_letters.max_bytes"), "{why}");
            degraded = Some(sent);
        }
    };
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "dead_letters_full"));
    assert!(refused.headers.contains_key("retry-after"));
    assert!(degraded.is_some_and(|at| at < sent), "it was said before it hurt: {degraded:?} of {sent}");
    let drop_all = axum::http::Request::delete("/admin/dead-letters?all=true").body(axum::body::Body::empty()).unwrap();
    assert_eq!(app.send(drop_all).json()["dropped"].as_u64(), Some(sent));
    assert_eq!(health()["status"], "ok");
    assert_eq!(app.post("/events", bad("after")).status, 422);
}
