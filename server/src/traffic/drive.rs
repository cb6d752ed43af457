//! Sends simulated traffic to a server at a given rate and watches how it takes it.
//!
//! Every request has an intended time, which follows from the plan alone, and its latency counts from then: a server
//! (or a machine) that falls behind shows in the latencies of all it held up, instead of slowing the questions down
//! (no "coordinated omission": Gil Tene, "How NOT to Measure Latency"). Bodies are made ahead by a thread of their own;
//! another hands each to an idle connection when its time has come; the connections share one runtime.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tideline_engine::clock::Micros;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::latency::{Histogram, Summary};
use super::phases::{Phases, Second};
use super::rng::Rng;
use super::simulate::Simulator;
use super::wire::{Connection, Server};

/// Requests made ahead of their time, at most, and events in them.
const AHEAD: usize = 4_096;
const EVENTS_AHEAD: usize = 100_000;
/// How long a sleep may be before it looks whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Events in one request of what was held back at the end.
const LAST_BATCH: usize = 500;
/// Different reasons of failures that are told apart.
const MAX_REASONS: usize = 16;

/// How to send.
#[derive(Debug)]
pub struct Drive {
    /// Where to.
    pub server: Arc<Server>,
    /// How many requests in which second.
    pub phases: Phases,
    /// Requests under way at the same time, at most.
    pub connections: usize,
    /// Events in a request.
    pub batch: usize,
    /// Out of 1,000 requests, those that are malformed.
    pub junk_permille: u32,
    /// A request without an answer for that long has failed; one that is that late is not sent.
    pub timeout: Duration,
}

/// What happened in one second of the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// Its end.
    pub at: Micros,
    /// What was planned.
    pub second: Second,
    /// Requests answered in it as they should be: events with 2xx, malformed ones with a 4xx that says so.
    pub ok: u64,
    /// Requests answered with 429.
    pub limited: u64,
    /// Requests that failed otherwise.
    pub other: u64,
    /// Mean latency of all of them, in milliseconds from the intended time.
    pub avg_ms: f64,
    /// The same, the 95th percentile.
    pub p95_ms: f64,
}

/// What happened in all.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// How long it took.
    pub seconds: f64,
    /// Requests that were due.
    pub requests: u64,
    /// Those answered as they should be.
    pub ok: u64,
    /// Those answered with 429.
    pub limited: u64,
    /// Those that failed otherwise.
    pub other: u64,
    /// Events the server stored.
    pub accepted: u64,
    /// Events it had before.
    pub duplicates: u64,
    /// Events it refused.
    pub rejected: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Latencies of all requests, from their intended time.
    pub latency: Summary,
    /// The same of those answered as they should be.
    pub ok_latency: Summary,
    /// The same as `latency` by phase.
    pub phases: BTreeMap<&'static str, Summary>,
}

/// A request and when it is due, counted from the start.
struct Request {
    due: Duration,
    phase: &'static str,
    body: Vec<u8>,
    malformed: bool,
}

#[derive(Debug, Default)]
struct Recorder {
    now: [u64; 3],
    now_latency: Histogram,
    all_latency: Histogram,
    ok_latency: Histogram,
    phases: BTreeMap<&'static str, Histogram>,
    outcome: Outcome,
}

/// The part of a receipt that is counted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Receipt {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
}

/// Sends until the plan ends or it is told to stop; then waits for answers under way, and sends what was held back.
/// Events happen at `start` and onward. `on_tick` is called after each second.
pub fn drive(
    drive: &Drive,
    runtime: &Handle,
    simulator: &mut Simulator,
    start: Micros,
    stop: &CancellationToken,
    on_tick: &mut (dyn FnMut(&Tick) + Send),
) -> Outcome {
    let recorder = Arc::new(Mutex::new(Recorder::default()));
    let (made, requests) = sync_channel((EVENTS_AHEAD / drive.batch.max(1)).clamp(16, AHEAD));
    let started = Instant::now();
    let connections = drive.connections.max(1);
    let (idle, mut next_idle) = mpsc::channel(connections);
    for _ in 0..connections {
        // There is room for all of them.
        let _ = idle.try_send(Connection::new(Arc::clone(&drive.server)));
    }
    thread::scope(|scope| {
        scope.spawn(|| make(drive, simulator, start, stop, made));
        scope.spawn(|| watch(&drive.phases, &recorder, started, start, stop, on_tick));
        dispatch(drive, runtime, &requests, started, stop, &recorder, (&idle, &mut next_idle));
        // Whoever makes more of them is told that nobody wants them.
        drop(requests);
    });
    // Whoever is under way comes back within the time limit.
    let mut last = next_idle.blocking_recv();
    for _ in 1..connections {
        last = next_idle.blocking_recv().or(last);
    }
    let seconds = started.elapsed().as_secs_f64();
    if let Some(connection) = last {
        runtime.block_on(send_held(drive, simulator, connection, &recorder));
    }
    let mut recorder = std::mem::take(&mut *recorder.lock());
    recorder.outcome.seconds = seconds;
    recorder.outcome.latency = recorder.all_latency.summary();
    recorder.outcome.ok_latency = recorder.ok_latency.summary();
    recorder.outcome.phases = recorder.phases.iter().map(|(name, all)| (*name, all.summary())).collect();
    recorder.outcome
}

/// The same on a runtime of its own, to the end of the plan.
///
/// # Errors
/// When there can be no runtime.
pub fn drive_alone(
    plan: &Drive,
    simulator: &mut Simulator,
    start: Micros,
    on_tick: &mut (dyn FnMut(&Tick) + Send),
) -> std::io::Result<Outcome> {
    let runtime = runtime()?;
    Ok(drive(plan, runtime.handle(), simulator, start, &CancellationToken::new(), on_tick))
}

/// What connections run on: two threads carry more than a server on the same machine takes.
///
/// # Errors
/// When there can be none.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("traffic").enable_all().build()
}

/// Makes the requests of the plan in its order, ahead of their time.
fn make(drive: &Drive, simulator: &mut Simulator, start: Micros, stop: &CancellationToken, made: SyncSender<Request>) {
    let batch = drive.batch.max(1);
    let mut junk = Rng::new(drive.phases.seed ^ 0x6A75_6E6B);
    let mut nominal = None;
    for n in 0.. {
        let Some(second) = drive.phases.second(n) else { return };
        if nominal.replace(second.nominal) != Some(second.nominal) {
            simulator.pace(f64::from(second.nominal) * batch as f64);
        }
        let between_us = 1_000_000 / i64::from(second.target.max(1));
        for k in 0..u64::from(second.target) {
            // On whole milliseconds: a thread cannot wake more often than that for long.
            let due = Duration::from_secs(n) + Duration::from_millis(k * 1_000 / u64::from(second.target));
            let at = start + i64::try_from(due.as_micros()).unwrap_or(i64::MAX);
            let malformed = drive.junk_permille > 0 && junk.chance(drive.junk_permille);
            let mut body = Vec::new();
            if malformed {
                simulator.malformed(at, &mut body);
            } else {
                // Events of a batch happened since the one before.
                for i in 1..=batch as i64 {
                    simulator.next_at(at - between_us + between_us * i / batch as i64, &mut body);
                }
            }
            let request = Request { due, phase: second.phase, body, malformed };
            if stop.is_cancelled() || made.send(request).is_err() {
                return;
            }
        }
    }
}

/// Hands each request to an idle connection when its time has come.
fn dispatch(
    drive: &Drive,
    runtime: &Handle,
    requests: &Receiver<Request>,
    started: Instant,
    stop: &CancellationToken,
    recorder: &Arc<Mutex<Recorder>>,
    (idle, next_idle): (&mpsc::Sender<Connection>, &mut mpsc::Receiver<Connection>),
) {
    // Single events go as a shop's page sends them.
    let content_type = if drive.batch > 1 { "application/x-ndjson" } else { "application/json" };
    while let Ok(request) = requests.recv() {
        if !sleep_until(started + request.due, stop) {
            return;
        }
        let timeout = drive.timeout;
        if started.elapsed().saturating_sub(request.due) > timeout {
            recorder.lock().failed(&request, started, "was not sent in time: everything is busy");
            continue;
        }
        let Some(mut connection) = next_idle.blocking_recv() else { return };
        let (idle, recorder) = (idle.clone(), Arc::clone(recorder));
        runtime.spawn(async move {
            let answer = tokio::time::timeout(timeout, connection.post("/events", content_type, &request.body)).await;
            match answer {
                Ok(Ok(answer)) => recorder.lock().answered(&request, started, answer.status, &answer.body),
                Ok(Err(error)) => recorder.lock().failed(&request, started, &error.to_string()),
                Err(_) => {
                    connection.close();
                    recorder.lock().failed(&request, started, "no answer in time");
                }
            }
            let _ = idle.send(connection).await;
        });
    }
    // The last second goes on after its last request.
    sleep_until(started + Duration::from_secs(drive.phases.seconds().unwrap_or_default()), stop);
}

/// Whether that moment came before it was told to stop.
fn sleep_until(moment: Instant, stop: &CancellationToken) -> bool {
    loop {
        if stop.is_cancelled() {
            return false;
        }
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(LOOK_EVERY));
    }
}

/// Reports every second when it is over.
fn watch(
    phases: &Phases,
    recorder: &Mutex<Recorder>,
    started: Instant,
    start: Micros,
    stop: &CancellationToken,
    on_tick: &mut (dyn FnMut(&Tick) + Send),
) {
    for n in 0.. {
        let Some(second) = phases.second(n) else { return };
        let end = Duration::from_secs(n + 1);
        if !sleep_until(started + end, stop) {
            return;
        }
        let at = start + i64::try_from(end.as_micros()).unwrap_or(i64::MAX);
        let tick = recorder.lock().tick(at, second);
        on_tick(&tick);
    }
}

/// Sends what was held back to come late: the run is over, nothing else would ever send it.
async fn send_held(drive: &Drive, simulator: &mut Simulator, mut connection: Connection, recorder: &Mutex<Recorder>) {
    let mut held = Vec::new();
    simulator.finish(&mut held);
    let lines: Vec<&[u8]> = held.split_inclusive(|byte| *byte == b'\n').collect();
    for batch in lines.chunks(LAST_BATCH) {
        let body = batch.concat();
        let answer =
            tokio::time::timeout(drive.timeout, connection.post("/events", "application/x-ndjson", &body)).await;
        // Whoever does not take it now has shown why in the figures before.
        let Ok(Ok(answer)) = answer else { return };
        recorder.lock().receipt(&answer.body);
    }
}

impl Recorder {
    fn answered(&mut self, request: &Request, started: Instant, status: u16, body: &[u8]) {
        *self.outcome.statuses.entry(status).or_default() += 1;
        self.receipt(body);
        let result = match status {
            429 => 1,
            400 | 413 | 422 if request.malformed => 0,
            200..=299 if !request.malformed => 0,
            _ => 2,
        };
        self.count(request, started, result);
    }

    fn failed(&mut self, request: &Request, started: Instant, why: &str) {
        let failures = &mut self.outcome.failures;
        let why = if failures.len() < MAX_REASONS || failures.contains_key(why) { why } else { "other reasons" };
        *failures.entry(why.to_owned()).or_default() += 1;
        self.count(request, started, 2);
    }

    fn receipt(&mut self, body: &[u8]) {
        // A problem has no counts, and what is not JSON has neither.
        let receipt: Receipt = serde_json::from_slice(body).unwrap_or_default();
        self.outcome.accepted += receipt.accepted;
        self.outcome.duplicates += receipt.duplicates;
        self.outcome.rejected += receipt.rejected;
    }

    /// Counts a request with its latency; `result` is 0 for ok, 1 for limited, 2 for other.
    fn count(&mut self, request: &Request, started: Instant, result: usize) {
        let latency = started.elapsed().saturating_sub(request.due);
        self.outcome.requests += 1;
        let all = [&mut self.outcome.ok, &mut self.outcome.limited, &mut self.outcome.other];
        for (i, count) in all.into_iter().enumerate() {
            *count += u64::from(i == result);
        }
        if let Some(count) = self.now.get_mut(result) {
            *count += 1;
        }
        self.now_latency.add(latency);
        self.all_latency.add(latency);
        self.phases.entry(request.phase).or_default().add(latency);
        if result == 0 {
            self.ok_latency.add(latency);
        }
    }

    fn tick(&mut self, at: Micros, second: Second) -> Tick {
        let [ok, limited, other] = std::mem::take(&mut self.now);
        let latency = self.now_latency.summary();
        self.now_latency.clear();
        Tick { at, second, ok, limited, other, avg_ms: latency.avg_ms, p95_ms: latency.p95_ms }
    }
}
