//! A real server under load, killed again and again, at random and at named moments of the data path: every
//! acknowledged event is there exactly once, and nothing that was refused.
//!
//! `TIDELINE_CRASH_CYCLES` sets how often (20), `TIDELINE_CRASH_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::process::Server;

/// 2026-03-01T00:00:00Z in milliseconds; the load spreads over three days from here.
const MARCH_MS: u64 = 1_772_323_200_000;
const MOMENTS: [&str; 4] = ["log-written", "log-synced", "before-commit", "before-truncate"];
const CLIENTS: usize = 3;
/// A moment that does not come within this time is replaced by a plain kill.
const CYCLE: Duration = Duration::from_millis(2_500);

#[expect(clippy::disallowed_methods, reason = "a test's own knobs")]
fn knob(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What clients know.
#[derive(Default)]
struct Ledger {
    /// Answered 202 as accepted or duplicate.
    acknowledged: BTreeSet<String>,
    /// Sent without an answer: may be there, once.
    unknown: BTreeMap<String, String>,
    /// Refused with a reason.
    refused: BTreeSet<String>,
    sent: u64,
    answers_busy: u64,
}

impl Ledger {
    fn record(&mut self, good: &[(String, String)], bad: &[String], answer: Option<(u16, serde_json::Value)>) {
        self.sent += (good.len() + bad.len()) as u64;
        match answer {
            Some((202, receipt)) => {
                let stored = receipt["accepted"].as_u64().unwrap_or(0) + receipt["duplicates"].as_u64().unwrap_or(0);
                assert_eq!(stored, good.len() as u64, "{receipt}");
                assert_eq!(receipt["rejected"].as_u64(), Some(bad.len() as u64), "{receipt}");
                self.acknowledged.extend(good.iter().map(|(id, _)| id.clone()));
                self.refused.extend(bad.iter().cloned());
                good.iter().for_each(|(id, _)| drop(self.unknown.remove(id)));
            }
            Some((503, _)) | None => {
                self.answers_busy += 1;
                self.unknown.extend(good.iter().cloned());
            }
            Some((status, body)) => panic!("status {status}: {body}"),
        }
    }
}

fn line(id: &str, rng: &mut ChaCha8Rng) -> String {
    let ts = MARCH_MS + rng.random_range(0..3 * 86_400_000u64);
    format!(
        r#"{{"event_id":"{id}","event_type":"purchase","event_ts":{ts},"price":"{}.50","order_id":"{id}"}}"#,
        ts % 100
    )
}

/// Posts batches of new events, some of them wrong, until the server is gone.
fn load(url: &str, prefix: &str, seed: u64, ledger: &Mutex<Ledger>, stop: &AtomicBool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for batch in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let size = rng.random_range(1..40);
        let (mut good, mut bad, mut body) = (Vec::new(), Vec::new(), String::new());
        for i in 0..size {
            let id = format!("{prefix}-{batch}-{i}");
            if rng.random_range(0..25) == 0 {
                body += &format!("{{\"event_id\":\"{id}\",\"event_type\":\"purchase\",\"event_ts\":\"yesterday\"}}\n");
                bad.push(id);
            } else {
                let text = line(&id, &mut rng);
                body = body + &text + "\n";
                good.push((id, text));
            }
        }
        if good.is_empty() {
            continue;
        }
        let answer = Server::post(url, &body);
        let gone = answer.is_none();
        ledger.lock().unwrap().record(&good, &bad, answer);
        if gone {
            return;
        }
    }
}

fn verify(server: &Server, ledger: &Ledger, context: &str) {
    let rows = server.csv("SELECT event_id, count(*) AS n FROM events GROUP BY event_id");
    let mut stored = BTreeSet::new();
    for row in &rows {
        let (id, count) = row.split_once(',').unwrap();
        assert_eq!(count, "1", "{context}: {id} is there {count} times");
        stored.insert(id.to_owned());
    }
    let lost: Vec<_> = ledger.acknowledged.difference(&stored).take(5).collect();
    assert!(lost.is_empty(), "{context}: acknowledged and lost: {lost:?}");
    for id in &stored {
        let known = ledger.acknowledged.contains(id) || ledger.unknown.contains_key(id);
        assert!(known && !ledger.refused.contains(id), "{context}: {id} was never accepted");
    }
}

/// A client's retries: what had no answer is sent again, and is then stored once.
fn resend(server: &Server, ledger: &mut Ledger) {
    let unknown: Vec<_> = std::mem::take(&mut ledger.unknown).into_iter().collect();
    for chunk in unknown.chunks(500) {
        let body: String = chunk.iter().map(|(_, text)| format!("{text}\n")).collect();
        let answer = Server::post(&server.url, &body);
        ledger.record(chunk, &[], answer);
    }
    assert!(ledger.unknown.is_empty(), "a retry had no answer from a healthy server");
}

fn settings(crash_at: Option<&str>) -> Vec<(&str, &str)> {
    let mut settings = vec![
        ("TIDELINE_FLUSH_AGE", "150ms"),
        ("TIDELINE_WAL_SEGMENT_BYTES", "64KiB"),
        ("TIDELINE_LOG_LEVEL", "warn"),
        ("TIDELINE_QUERY_THREADS", "1"),
    ];
    // The ready line is an info line of the server itself.
    settings.push(("TIDELINE_LOG_LEVEL", "info"));
    settings.extend(crash_at.map(|at| ("TIDELINE_CRASH_AT", at)));
    settings
}

fn cycle(dir: &Path, number: u64, rng: &mut ChaCha8Rng, ledger: &Mutex<Ledger>) -> String {
    let moment = (!number.is_multiple_of(5)).then(|| {
        let moment = MOMENTS[rng.random_range(0..MOMENTS.len())];
        format!("{moment}:{}", rng.random_range(1..if moment.starts_with("log") { 60 } else { 6 }))
    });
    let mut server = match (Server::try_start(dir, &settings(moment.as_deref())), &moment) {
        (Ok(server), _) => server,
        // Recovery removes log segments too: the moment came before anybody could connect.
        (Err(_), Some(moment)) => return format!("{moment} while starting"),
        (Err(e), None) => panic!("the server did not start: {e}"),
    };
    let stop = AtomicBool::new(false);
    let after = rng.random_range(30..900);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (url, stop, seed) = (server.url.clone(), &stop, rng.random());
            scope.spawn(move || load(&url, &format!("c{number}-{client}"), seed, ledger, stop));
        }
        if moment.is_none() {
            std::thread::sleep(Duration::from_millis(after));
        } else {
            let mut waited = Duration::ZERO;
            while !server.has_ended() && waited < CYCLE {
                std::thread::sleep(Duration::from_millis(10));
                waited += Duration::from_millis(10);
            }
        }
        let by_itself = server.has_ended();
        server.kill();
        stop.store(true, Ordering::SeqCst);
        match (moment, by_itself) {
            (Some(moment), true) => moment,
            (Some(moment), false) => format!("kill -9 ({moment} did not come)"),
            (None, _) => format!("kill -9 after {after} ms"),
        }
    })
}

#[test]
fn every_acknowledged_event_survives_kill_9_exactly_once() {
    let seed = knob("TIDELINE_CRASH_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let cycles = knob("TIDELINE_CRASH_CYCLES").unwrap_or(20);
    eprintln!("crash test: seed {seed}, {cycles} cycles");
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ledger = Mutex::new(Ledger::default());
    for number in 0..cycles {
        let how = cycle(dir.path(), number, &mut rng, &ledger);
        let context = format!("seed {seed}, cycle {number}, {how}");
        // Twice: recovery itself must not change anything.
        let mut server = Server::start(dir.path(), &settings(None));
        verify(&server, &ledger.lock().unwrap(), &context);
        server.kill();
        let server = Server::start(dir.path(), &settings(None));
        verify(&server, &ledger.lock().unwrap(), &context);
        resend(&server, &mut ledger.lock().unwrap());
        verify(&server, &ledger.lock().unwrap(), &context);
        let state = ledger.lock().unwrap();
        eprintln!(
            "cycle {number}: {how}; {} acknowledged, {} refused, {} sent, {} without answer",
            state.acknowledged.len(),
            state.refused.len(),
            state.sent,
            state.answers_busy
        );
        drop(state);
        assert_eq!(server.terminate(), Some(0), "{context}: SIGTERM must end it cleanly");
    }
}

/// The disk refuses one sync of the log: nobody is told that those events are stored, the process stops, and the next
/// start has everything that was acknowledged before.
#[test]
fn a_failed_sync_of_the_log_answers_503_and_stops_the_process() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    // The first sync is that of the segment's header.
    for nth in [1_usize, 2, 9] {
        let dir = tempfile::tempdir().unwrap();
        let at = format!("log-sync-fails:{nth}");
        let server = Server::start(dir.path(), &[("TIDELINE_CRASH_AT", &at)]);
        let mut ledger = Ledger::default();
        let refusal = (0..20).find_map(|batch| {
            let ids = (0..3).map(|i| format!("{nth}-{batch}-{i}"));
            let events: Vec<_> = ids.map(|id| (id.clone(), line(&id, &mut rng))).collect();
            let body: String = events.iter().map(|(_, text)| format!("{text}\n")).collect();
            let answer = Server::post(&server.url, &body);
            let refusal = answer.clone().filter(|(status, _)| *status != 202);
            ledger.record(&events, &[], answer);
            refusal
        });
        let (status, problem) = refusal.expect("no request was answered with an error");
        assert_eq!((status, problem["code"].as_str()), (503, Some("fatal")), "{problem}");
        assert_eq!(ledger.acknowledged.len(), 3 * nth.saturating_sub(2), "one sync is one batch");
        let (code, said) = server.ended();
        assert_eq!(code, Some(1), "{said}");
        for words in ["syncing", "can no longer promise that events are durable", "start it again"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let server = Server::start(dir.path(), &[]);
        verify(&server, &ledger, &at);
        resend(&server, &mut ledger);
        verify(&server, &ledger, &at);
        assert_eq!(server.terminate(), Some(0), "{at}");
    }
}
