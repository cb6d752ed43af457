//! Simulated traffic against a real server: SQL finds what the simulator's ledger says, and `tideline traffic` tells
//! how the server took it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tideline_engine::clock::{Clock as _, DAY, SystemClock};
use tideline_server::traffic::{Ledger, Promise, Scenario, Simulator};

use crate::process::Server;

const BATCH: usize = 4_000;

fn one(server: &Server, sql: &str) -> Vec<String> {
    let rows = server.csv(sql);
    assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
    rows[0].split(',').map(str::to_owned).collect()
}

/// Sends everything; how many were answered as duplicates.
fn send_all(server: &Server, simulator: &mut Simulator) -> u64 {
    let mut duplicates = 0;
    loop {
        let mut body = Vec::new();
        if simulator.due(i64::MAX, BATCH, &mut body) == 0 {
            return duplicates;
        }
        let (status, receipt) = Server::post(&server.url, std::str::from_utf8(&body).unwrap()).unwrap();
        assert_eq!((status, receipt["rejected"].as_u64()), (202, Some(0)), "{receipt}");
        duplicates += receipt["duplicates"].as_u64().unwrap();
    }
}

fn funnel(server: &Server) -> [u64; 4] {
    let mut answer = ureq::get(format!("{}/analytics/funnel/ordered.csv", server.url)).call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let mut lines = text.lines();
    let column = lines.next().unwrap().split(',').position(|name| name == "actors").unwrap();
    let actors: Vec<u64> = lines.map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
    actors.try_into().unwrap_or_else(|steps| panic!("{steps:?} of {text}"))
}

#[test]
fn sql_finds_what_a_simulated_shop_did_and_the_rates_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let start = SystemClock::new().now() - 25 * DAY;
    let mut simulator = Simulator::new(Scenario::history(11, start, Duration::from_secs(20 * 86_400), 40_000));
    let duplicates = send_all(&server, &mut simulator);
    let Ledger { events, by_type, sessions, funnel: steps, orders, revenue_cents, units, refunds, .. } =
        simulator.ledger();
    let Ledger { refunded_cents, bot_sessions, bot_events, duplicates: twice, late, .. } = simulator.ledger();
    assert_eq!(duplicates, *twice);
    assert!([orders, refunds, bot_sessions, late, twice].iter().all(|n| **n > 0), "{:?}", simulator.ledger());

    let found = server.csv("SELECT event_type, count(*) FROM events GROUP BY 1 ORDER BY 1");
    let made: Vec<String> = by_type.iter().map(|(name, count)| format!("{name},{count}")).collect();
    assert_eq!(found, made);
    let counts = "SELECT count(*), count(DISTINCT session_id) FILTER (WHERE bot IS NOT TRUE), \
                  count(DISTINCT session_id) FILTER (WHERE bot), count(*) FILTER (WHERE bot) FROM events";
    assert_eq!(one(&server, counts), [events, sessions, bot_sessions, bot_events].map(u64::to_string));
    let cents = |sql: &str| one(&server, sql)[0].parse::<u64>().unwrap();
    let sum =
        |of: &str| cents(&format!("SELECT CAST(sum(revenue) * 100 AS BIGINT) FROM events WHERE event_type = '{of}'"));
    assert_eq!((sum("purchase"), sum("refund")), (*revenue_cents, *refunded_cents));
    assert_eq!(cents("SELECT count(*) FROM orders"), *orders);
    assert_eq!(cents("SELECT sum(quantity) FROM line_items WHERE event_type = 'purchase'"), *units);

    let found = funnel(&server);
    assert_eq!(found, *steps);
    let promise = Promise::of_the_shop();
    let [viewed, added, started, bought] = found;
    for (promised, part, whole) in [
        (promise.view, viewed, *sessions),
        (promise.add, added, viewed),
        (promise.checkout, started, added),
        (promise.purchase, bought, started),
    ] {
        // Five standard deviations of a binomial share.
        let off = 5.0 * (promised * (1.0 - promised) / whole as f64).sqrt();
        assert!((part as f64 / whole as f64 - promised).abs() < off, "{part} of {whole}, promised {promised}");
    }
}

fn traffic(args: &[&str], url: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.arg("traffic").args(args).args(["--url", url]).env_remove("TIDELINE_FIXTURES").output().unwrap()
}

#[test]
fn traffic_comes_in_phases_and_its_report_agrees_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let phases = ["--base-rps", "40", "--base-sec", "2", "--spike-rps", "120", "--spike-sec", "1"];
    let more = ["--cooldown-rps", "20", "--cooldown-sec", "1", "--jitter-pct", "0", "--junk", "10", "--json"];
    let kept = ["--max-errors-pct", "0", "--max-limited-pct", "0"];
    let output = traffic(&[&phases[..], &more[..], &kept[..]].concat(), &server.url);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} of {report}"));
    assert_eq!((count("requests"), count("ok"), count("other")), (220, 220, 0), "{report}");
    let made = |name: &str| report["made"][name].as_u64().unwrap();
    assert_eq!((count("accepted"), count("duplicates")), (made("events"), made("duplicates")));
    assert_eq!(one(&server, "SELECT count(*) FROM events WHERE event_id LIKE 'demo-%'"), [made("events").to_string()]);
    let refused: u64 = ["400", "413", "422"].iter().filter_map(|status| report["statuses"][status].as_u64()).sum();
    assert!(refused > 5 && refused == made("malformed"), "{report}");
    assert_eq!(report["latency"]["count"], 220);
    assert_eq!(report["phases"]["SPIKE"]["count"], 120);

    let phases: Vec<&str> = said.lines().filter_map(|line| line.split("phase=").nth(1)?.split(' ').next()).collect();
    assert_eq!(phases, ["BASE", "BASE", "SPIKE", "COOLDOWN"], "{said}");
    for line in said.lines() {
        let names =
            ["] phase=", " | OK: ", " | 429: ", " | Other: ", " | RPS Target: ", " | avg(ms): ", " | p95(ms): "];
        assert!(line.starts_with('[') && names.iter().all(|name| line.contains(name)), "{line}");
    }
}

#[test]
fn a_missed_threshold_is_an_exit_code_and_a_server_that_is_not_there_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let limits = [("TIDELINE_RATE_LIMIT_REQUESTS", "30"), ("TIDELINE_RATE_LIMIT_WINDOW", "10m")];
    let server = Server::start(dir.path(), &limits);
    let args = ["--base-rps", "60", "--base-sec", "1", "--quiet", "--max-limited-pct", "5"];
    let output = traffic(&args, &server.url);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said.contains("threshold limited_pct at most 5: ") && said.contains("MISSED"), "{said}");
    let url = server.url.clone();
    drop(server);
    let output = traffic(&args, &url);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no answer from"), "{output:?}");
}

#[test]
fn printed_events_are_the_same_for_a_seed_and_a_start() {
    let print = |seed: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
        command.args(["traffic", "--print", "500", "--start", "2026-01-16T22:15:00Z", "--seed", seed]);
        command.output().unwrap().stdout
    };
    let first = print("7");
    assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), 500);
    assert_eq!(first, print("7"));
    assert_ne!(first, print("8"));
}

fn script(name: &str, args: &[&str], settings: &[(&str, &str)]) -> Output {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name);
    let mut command = Command::new("bash");
    command.arg(path).args(args).env("TIDELINE", env!("CARGO_BIN_EXE_tideline")).env_remove("TIDELINE_FIXTURES");
    command.envs(settings.iter().copied()).output().unwrap()
}

#[test]
fn the_scripts_are_wrappers_that_work() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let url = server.url.clone();
    for name in ["spiky_events_stats_latency.sh", "health_check.sh"] {
        let help = script(name, &["--help"], &[]);
        assert!(help.status.success() && help.stdout.starts_with(b"Usage: "), "{help:?}");
    }
    let phases =
        [("BASE_SEC", "1"), ("BASE_RPS", "10"), ("SPIKE_SEC", "1"), ("SPIKE_RPS", "30"), ("COOLDOWN_SEC", "1")];
    let output = script("spiky_events_stats_latency.sh", &[&url, "--seed", "5"], &phases);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("phase=SPIKE    | OK: ") && said.contains("phase=COOLDOWN | OK: "), "{said}");
    let healthy = script("health_check.sh", &[&url], &[]);
    assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
    drop(server);
    let gone = script("health_check.sh", &[&url], &[]);
    assert_eq!(gone.status.code(), Some(2), "{gone:?}");
}
