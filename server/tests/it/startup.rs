//! Starting and stopping a real process: what goes wrong says what to do, and a signal ends it in good order.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::app::{event, until};
use crate::process::Server;

fn tideline(args: &[&str], settings: &[(&str, &str)], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.args(args).current_dir(dir).envs(settings.iter().copied());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It is expected to end by itself; a server that started all the same must not hold up the tests.
    for _ in 0..3_000 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("{args:?} did not end by itself: {}", stderr(&child.wait_with_output().unwrap()));
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_setting_is_refused_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    for (args, settings, said) in [
        (&["serve"][..], &[("TIDELINE_DATADIR", "x")][..], "TIDELINE_DATA_DIR"),
        (&["serve", "--set", "wal.max_byte=1GiB"], &[], "wal.max_bytes"),
        (&["serve", "--set", "query.timeout=soon"], &[], "30s"),
        (&["serve", "--listen", "0.0.0.0:0"], &[], "listen on 127.0.0.1"),
        (&["serve", "--listen", "0.0.0.0:0"], &[], "tideline keys create"),
        (&["serve", "--redis-url", "cache:6379"], &[], "redis://"),
        (&["serve", "--set", "http.trusted_proxies=proxy"], &[], "10.0.0.0/8"),
        (&["serve", "--set", "http.cors_origins=shop.example"], &[], "https://shop.example"),
        (&["serve", "--set", "log.level=tideline=loud"], &[], "log.level"),
        (&["serve", "--set", "oidc.issuer=http://login.example"], &[], "https://login.example"),
        (
            &["serve"],
            &[
                ("TIDELINE_OIDC_ISSUER", "https://login.example"),
                ("TIDELINE_OIDC_CLIENT_ID", "tideline"),
                ("TIDELINE_OIDC_PUBLIC_URL", "https://stats.shop.example"),
                ("TIDELINE_OIDC_ALLOW_READ", "@shop.example"),
            ],
            "tideline keys create",
        ),
    ] {
        let output = tideline(args, settings, dir.path());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a folder was made all the same");
}

#[test]
fn a_port_or_folder_in_use_is_named_with_the_flag_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let address = server.url.trim_start_matches("http://");
    let port = tideline(&["serve", "--listen", address, "--data-dir", "other"], &[], dir.path());
    assert_eq!(port.status.code(), Some(1));
    assert!(stderr(&port).contains(address) && stderr(&port).contains("--listen"), "{}", stderr(&port));

    let folder = tideline(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"], &[], dir.path());
    assert_eq!(folder.status.code(), Some(1));
    assert!(stderr(&folder).contains("data") && stderr(&folder).contains("--data-dir"), "{}", stderr(&folder));
}

#[test]
fn a_signal_stops_it_and_everything_is_in_the_lake() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("TIDELINE_LOG_FORMAT", "json")]);
    let (status, receipt) = Server::post(&server.url, &event("a")).unwrap();
    assert_eq!((status, receipt["accepted"].as_u64()), (202, Some(1)));
    assert_eq!(server.terminate(), Some(0));

    let server = Server::start(dir.path(), &[]);
    let mut answer = ureq::get(format!("{}/health", server.url)).call().unwrap();
    let health: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!((health["engine"]["lake_rows"].as_u64(), health["engine"]["buffer_rows"].as_u64()), (Some(1), Some(0)));
    assert_eq!(server.csv("SELECT event_id FROM events"), ["a"]);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_lake_out_of_reach_at_the_end_leaves_the_events_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("TIDELINE_FLUSH_AGE", "1h")]);
    assert_eq!(Server::post(&server.url, &event("a")).unwrap().0, 202);
    let (lake, aside) = (dir.path().join("lake"), dir.path().join("aside"));
    std::fs::rename(&lake, &aside).unwrap();
    std::fs::write(&lake, "not a folder").unwrap();
    assert_eq!(server.terminate(), Some(0), "nothing is lost, so it ends in good order");

    std::fs::remove_file(&lake).unwrap();
    std::fs::rename(&aside, &lake).unwrap();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.csv("SELECT event_id FROM events"), ["a"]);
}

#[test]
fn a_signal_under_load_costs_no_acknowledged_event() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("TIDELINE_FLUSH_AGE", "200ms")]);
    let url = server.url.clone();
    let (code, acknowledged) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let url = &url;
                scope.spawn(move || {
                    let mut stored = 0;
                    for batch in 0.. {
                        let body: String = (0..20).map(|i| event(&format!("{client}-{batch}-{i}")) + "\n").collect();
                        match Server::post(url, &body) {
                            Some((202, _)) => stored += 20,
                            // Stopping: refused, or no answer any more.
                            Some((503, _)) | None => break,
                            Some((status, body)) => panic!("{status}: {body}"),
                        }
                    }
                    stored
                })
            })
            .collect();
        until("there is load", || server.csv("SELECT count(*) FROM events")[0] != "0");
        let code = server.terminate();
        (code, clients.into_iter().map(|c| c.join().unwrap()).sum::<u64>())
    });
    assert_eq!(code, Some(0));
    let server = Server::start(dir.path(), &[]);
    let found: u64 = server.csv("SELECT count(DISTINCT event_id) FROM events")[0].parse().unwrap();
    assert!(found >= acknowledged, "{acknowledged} acknowledged, {found} there");
    assert_eq!(server.csv("SELECT count(*) FROM events")[0], found.to_string());
}

#[test]
fn the_configuration_can_be_seen_with_its_origins() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tideline.toml"), "[wal]\nmax_bytes = \"4GiB\"\n").unwrap();
    let settings = [("TIDELINE_REDIS_URL", "redis://:hunter2@cache")];
    let output = tideline(&["config", "--json", "--listen", "127.0.0.1:1"], &settings, dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("hunter2"));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["wal.max_bytes"]["value"], "4GiB");
    assert_eq!(json["wal.max_bytes"]["origin"]["line"], 2);
    assert_eq!(json["redis_url"]["origin"]["name"], "TIDELINE_REDIS_URL");
    assert_eq!(json["listen"]["origin"]["name"], "--listen");
}
