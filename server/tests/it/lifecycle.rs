//! Backup, restore and erase as real processes: under load, killed on the way, with a real Redis, and as the README has them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tideline_engine::clock::{Clock as _, SystemClock};

use crate::process::Server;
use crate::redis::Redis;

/// 2026-03-01T00:00:00Z in milliseconds.
const MARCH_MS: u64 = 1_772_323_200_000;
const USER: &str = "user_204983-person";

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.args(args).env_remove("TIDELINE_FIXTURES").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn tideline(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn start(args: &[&str]) -> Child {
    command(args).spawn().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// An event with some text that does not compress, so that a copy does not fit into a socket's buffers.
fn event(id: &str, n: u64) -> String {
    let ts = MARCH_MS + n * 1_000;
    let mut state = id.bytes().fold(n + 1, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", state ^ (state >> 29))
    })
    .take(200)
    .collect();
    format!(
        r#"{{"event_id":"{id}","event_type":"purchase","event_ts":{ts},"price":"1.50","quantity":1,"order_id":"{id}","noise":"{noise}"}}"#
    )
}

/// Posts events until told to stop or the server is gone; notes what was acknowledged.
fn load(url: &str, client: usize, acknowledged: &Mutex<BTreeSet<String>>, stop: &AtomicBool) {
    for batch in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let ids: Vec<String> = (0..20).map(|i| format!("c{client}-{batch}-{i}")).collect();
        let body: String = ids.iter().map(|id| event(id, batch % 5_000) + "\n").collect();
        match Server::post(url, &body) {
            Some((202, _)) => acknowledged.lock().unwrap().extend(ids),
            Some((503, _)) => {}
            Some(other) => panic!("{other:?}"),
            None => return,
        }
    }
}

/// Waits for something another process does; the limit is a guard against hanging.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

fn hidden(dir: &Path) -> bool {
    let bytes = |path: &Path| std::fs::read_dir(path).map_or(0, Iterator::count);
    bytes(dir) > 1
}

const QUICK: [(&str, &str); 4] = [
    ("TIDELINE_FLUSH_AGE", "150ms"),
    ("TIDELINE_WAL_SEGMENT_BYTES", "64KiB"),
    ("TIDELINE_LAKE_MAINTAIN_EVERY", "1s"),
    ("TIDELINE_QUERY_THREADS", "1"),
];

#[test]
fn backups_under_load_are_whole_or_not_there_and_restore_everything_acknowledged_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut server = Server::start(Path::new(&path("data")), &QUICK);
    let url = server.url.clone();
    let (acknowledged, stop) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let before = std::thread::scope(|scope| {
        for client in 0..2 {
            let (url, acknowledged, stop) = (&url, &acknowledged, &stop);
            scope.spawn(move || load(url, client, acknowledged, stop));
        }
        until("events in the lake", || server.csv("SELECT count(*) FROM events")[0].parse::<u64>().unwrap() > 6_000);
        // The command is killed in the middle of its copy, then the server is.
        let mut killed = start(&["backup", &path("b1"), "--rate", "20KiB", "--url", &url]);
        until("the copy", || hidden(Path::new(&path(".b1.tideline-backup"))));
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert!(!Path::new(&path("b1")).exists());
        let before = acknowledged.lock().unwrap().clone();
        let report = json(&tideline(&["backup", &path("b1"), "--json", "--url", &url]));
        assert!(report["files"].as_u64() > Some(3), "{report}");
        let taken = tideline(&["backup", &path("b1"), "--url", &url]);
        assert!(!taken.status.success() && said(&taken).contains("is there already"), "{}", said(&taken));
        let cut = start(&["backup", &path("b2"), "--rate", "1MiB", "--url", &url]);
        until("the copy", || hidden(Path::new(&path(".b2.tideline-backup"))));
        server.kill();
        stop.store(true, Ordering::SeqCst);
        let cut = cut.wait_with_output().unwrap();
        // Unless all of it was on its way by then.
        if !cut.status.success() {
            assert!(said(&cut).contains("broke off"), "{}", said(&cut));
            assert!(!Path::new(&path("b2")).exists() && !Path::new(&path(".b2.tideline-backup")).exists());
        }
        before
    });
    assert!(tideline(&["backup", "--verify", &path("b1")]).status.success());

    let report = json(&tideline(&["restore", &path("b1"), &path("restored"), "--json"]));
    assert_ne!(report["node"], report["node_before"], "{report}");
    let twice = tideline(&["restore", &path("b1"), &path("restored")]);
    assert!(!twice.status.success() && said(&twice).contains("not empty"), "{}", said(&twice));
    let copy = Server::start(Path::new(&path("restored")), &QUICK);
    let stored = copy.csv("SELECT event_id, count(*) FROM events GROUP BY 1");
    let ids: BTreeSet<String> = stored.iter().map(|row| row.strip_suffix(",1").unwrap().to_owned()).collect();
    let lost: Vec<_> = before.difference(&ids).take(3).collect();
    assert!(lost.is_empty(), "acknowledged before the backup and not in it: {lost:?}");
    let sent_again: String = before
        .iter()
        .take(500)
        .map(|id| {
            let batch: u64 = id.split('-').nth(1).unwrap().parse().unwrap();
            event(id, batch % 5_000) + "\n"
        })
        .collect();
    let (_, receipt) = Server::post(&copy.url, &sent_again).unwrap();
    assert_eq!(receipt["duplicates"].as_u64(), Some(before.len().min(500) as u64), "{receipt}");
    // The old folder goes on under its own name, with all it had acknowledged.
    let old = Server::start(Path::new(&path("data")), &QUICK);
    let all: BTreeSet<String> = old.csv("SELECT event_id FROM events").into_iter().collect();
    assert!(acknowledged.lock().unwrap().is_subset(&all));
    assert_eq!((old.terminate(), copy.terminate()), (Some(0), Some(0)));
    // A folder at rest, and damage.
    assert!(tideline(&["backup", &path("b3"), "--data-dir", &path("restored")]).status.success());
    let letter = Path::new(&path("b3")).join("node.json");
    let whole = std::fs::read_to_string(&letter).unwrap();
    std::fs::write(&letter, whole.replacen("node", "nude", 1)).unwrap();
    let damaged = tideline(&["restore", &path("b3"), &path("other")]);
    assert!(!damaged.status.success() && said(&damaged).contains("node.json"), "{}", said(&damaged));
    assert!(!Path::new(&path("other")).join("node.json").exists());
}

/// The person's events and others', a minute ago.
fn visit(now_ms: i64) -> String {
    let ms = now_ms - 60_000;
    let mut lines = String::new();
    for n in 0..30 {
        let (user, session) =
            if n % 3 == 0 { (USER.to_owned(), format!("s-{USER}")) } else { (format!("other{n}"), format!("s{n}")) };
        lines += &format!(
            "{{\"event_id\":\"v{n}\",\"event_type\":\"page_view\",\"event_ts\":{ms},\"user_id\":\"{user}\",\"session_id\":\"{session}\",\"page\":\"/p/{}\"}}\n",
            n % 4
        );
        lines += &format!(
            "{{\"event_id\":\"o{n}\",\"event_type\":\"purchase\",\"event_ts\":{ms},\"user_id\":\"{user}\",\"session_id\":\"{session}\",\"order_id\":\"A{n}\",\"price\":\"2.00\",\"quantity\":1}}\n"
        );
    }
    lines
}

fn now_ms() -> i64 {
    SystemClock::new().now() / 1_000
}

/// Every key with what it holds, as text.
fn everything_in(redis: &Redis) -> String {
    let mut connection = redis::Client::open(redis.url.as_str()).unwrap().get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let dump = |key: String| {
        let mut ask = |command: &str, args: &[&str]| {
            let mut cmd = redis::cmd(command);
            cmd.arg(&key).arg(args);
            cmd.query::<redis::Value>(&mut connection).unwrap()
        };
        let kind = ask("TYPE", &[]);
        let value = match format!("{kind:?}").as_str() {
            k if k.contains("zset") => ask("ZRANGE", &["0", "-1"]),
            k if k.contains("hash") => ask("HGETALL", &[]),
            k if k.contains("set") => ask("SMEMBERS", &[]),
            _ => ask("GET", &[]),
        };
        let text = |value: &redis::Value| match value {
            redis::Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        };
        let values = match &value {
            redis::Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
            redis::Value::Map(items) => {
                items.iter().map(|(k, v)| text(k) + " " + &text(v)).collect::<Vec<_>>().join(" ")
            }
            redis::Value::Set(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
            other => text(other),
        };
        format!("{key} {values}\n")
    };
    keys.into_iter().map(dump).collect()
}

fn get(url: &str, path: &str) -> Value {
    let text = ureq::get(format!("{url}{path}")).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Also those of the person are gone from the windows that nodes share, and the windows still count what SQL counts.
#[test]
fn redis_forgets_the_person_too() {
    for mode in [&[][..], &["--rows"]] {
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(dir.path());
        let server = Server::start(&dir.path().join("data"), &[("TIDELINE_REDIS_URL", &redis.url)]);
        assert_eq!(Server::post(&server.url, &visit(now_ms())).unwrap().0, 202);
        until("the person in Redis", || everything_in(&redis).contains(USER));
        let erased = json(&tideline(&[&["erase", "--user-id", USER, "--json", "--url", &server.url], mode].concat()));
        assert_eq!((&erased["complete"], &erased["found"]), (&Value::Bool(true), &serde_json::json!([])), "{erased}");
        assert_eq!(erased["redis"], "emptied, and filled again");
        let left = everything_in(&redis);
        assert!(!left.contains(USER), "{left}");
        assert!(left.contains("other1"), "others are there again: {left}");
        let views =
            server.csv("SELECT count(*), count(DISTINCT session_id) FROM events WHERE event_type = 'page_view'");
        let (views, sessions) = views[0].split_once(',').unwrap();
        let (views, sessions): (u64, u64) = (views.parse().unwrap(), sessions.parse().unwrap());
        until("the windows from Redis", || {
            let counted = get(&server.url, "/metrics/active_sessions?minutes=30");
            let pages = get(&server.url, "/metrics/top_pages?minutes=30&limit=10");
            let seen: u64 = pages["top_pages"].as_array().unwrap().iter().filter_map(|p| p["views"].as_u64()).sum();
            counted["count"].as_u64() == Some(sessions) && seen == views
        });
        assert_eq!(server.terminate(), Some(0));
    }
}

/// A real server dies at moments of an erasure; the next one finishes it by itself.
#[test]
fn an_erasure_that_kill_9_cut_is_finished_by_the_next_server() {
    for moment in ["before-truncate:1", "before-commit:2", "before-commit:3"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let settings =
            [("TIDELINE_FLUSH_AGE", "1h"), ("TIDELINE_LAKE_MAINTAIN_EVERY", "0s"), ("TIDELINE_CRASH_AT", moment)];
        let mut server = Server::start(&data, &settings);
        assert_eq!(Server::post(&server.url, &visit(now_ms())).unwrap().0, 202);
        let bad = format!("{{\"event_type\":\"page_view\",\"user_id\":\"{USER}\"}}");
        assert_eq!(Server::post(&server.url, &bad).unwrap().0, 422);
        let cut = tideline(&["erase", "--user-id", USER, "--url", &server.url]);
        if !cut.status.success() {
            until("its end", || server.has_ended());
        }
        server.kill();
        let server = Server::start(&data, &settings[..2]);
        until("the erasure", || !std::fs::read_to_string(data.join("erasures.json")).unwrap().contains("running"));
        // Once more says that nothing is left to do; the first one may have its last search before it.
        let mut report = Value::Null;
        until("the turn of another erasure", || {
            let output = tideline(&["erase", "--user-id", USER, "--json", "--url", &server.url]);
            if said(&output).contains("is under way") {
                return false;
            }
            report = json(&output);
            true
        });
        assert_eq!(
            (&report["complete"], &report["lake"]["files_rewritten"]),
            (&Value::Bool(true), &Value::from(0)),
            "{moment}"
        );
        assert_eq!(report["dead_letters"], 0, "{moment}: {report}");
        assert_eq!(server.csv("SELECT count(*), count(user_id) FROM events"), ["60,40"], "{moment}");
        assert_eq!(server.csv("SELECT sum(value) FROM orders"), ["60.0000"], "{moment}");
    }
}

/// The address a request comes from is for limits, and ends with it.
#[test]
fn no_address_of_a_client_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data, &[("TIDELINE_HTTP_TRUSTED_PROXIES", "127.0.0.1")]);
    let good = r#"{"event_id":"a","event_type":"refund","event_ts":"2026-03-01T10:00:00Z"}"#;
    for body in [good, r#"{"event_type":"refund"}"#] {
        let request = ureq::post(format!("{}/events", server.url)).header("x-forwarded-for", "203.0.113.77");
        // One of them is refused, and kept too.
        let _ = request.content_type("application/json").send(body);
    }
    assert_eq!(server.csv("SELECT count(*) FROM events"), ["1"]);
    assert_eq!(server.csv("SELECT count(*) FROM dead_letters"), ["1"]);
    let all = server.csv("SELECT * FROM events").join("") + &server.csv("SELECT * FROM dead_letters").join("");
    assert!(!all.contains("203.0.113.77") && !all.contains("127.0.0.1"), "{all}");
}

/// The commands of the document, in order, as they stand there.
#[test]
fn the_documents_commands_run_as_pasted() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/backup.md");
    let document = std::fs::read_to_string(document).unwrap();
    let commands: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("    tideline ")).collect();
    assert!(commands.len() >= 6, "{commands:?}");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("tideline-data"), &[]);
    assert_eq!(Server::post(&server.url, &visit(now_ms())).unwrap().0, 202);
    for command in commands {
        let words: Vec<&str> = command.split(" #").next().unwrap().split_whitespace().collect();
        if words[0] == "serve" {
            continue;
        }
        let speaks_to_it = !words.contains(&"--verify") && words[0] != "restore";
        let url = ["--url", &server.url];
        let words = if speaks_to_it { [&words[..], &url[..]].concat() } else { words };
        let output = self::command(&words).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "tideline {command}: {}", said(&output));
    }
    assert!(dir.path().join("restored/node.json").is_file());
}
