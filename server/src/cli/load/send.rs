//! Batches to where they belong, several at a time, again and again until each has an answer.
//!
//! A batch that may or may not have arrived is sent again as it is: event ids make that exactly-once, and so a load
//! that was interrupted is simply started again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tideline_engine::error::{Error, Result};

use super::read::{Batch, Body};
use crate::cli::client::{Answer, Client};

/// Reasons kept for the report.
const MAX_REASONS: usize = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What became of a batch, as the server says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Counts {
    /// Events stored.
    pub accepted: u64,
    /// Events that were there before.
    pub duplicates: u64,
    /// Events refused and kept as dead letters.
    pub rejected: u64,
    /// Why, for the first of them.
    #[serde(default)]
    pub errors: Vec<EventError>,
}

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EventError {
    /// Its position in the batch.
    pub index: usize,
    /// The field that is wrong.
    pub field: String,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Why a batch has no answer yet.
#[derive(Debug)]
pub enum Unsent {
    /// Send it again, after this time where the server named one.
    Again(Option<Duration>, Error),
    /// It never will have one.
    Never(Error),
}

/// Where events go.
pub trait Sink: Sync {
    /// Sends one batch and waits for its answer.
    fn send(&self, batch: &Batch) -> Result<Counts, Unsent>;
}

/// A running server.
#[derive(Debug)]
pub struct ServerSink {
    /// The server.
    pub client: Client,
    /// Whether bodies are compressed with zstd.
    pub compress: bool,
}

impl Sink for ServerSink {
    fn send(&self, batch: &Batch) -> Result<Counts, Unsent> {
        let content_type = match batch.body_kind {
            Body::Ndjson => "application/x-ndjson",
            Body::Arrow => "application/vnd.apache.arrow.stream",
        };
        let packed = if self.compress {
            Some(zstd::bulk::compress(&batch.body, 1).map_err(|e| Unsent::Never(e.into()))?)
        } else {
            None
        };
        let encoding = packed.as_ref().map(|_| "zstd");
        let body = packed.as_deref().unwrap_or(&batch.body);
        let answer = self.client.post("/events", content_type, encoding, body);
        let answer = answer.map_err(|e| Unsent::Again(None, e))?;
        read_answer(answer)
    }
}

fn read_answer(answer: Answer) -> Result<Counts, Unsent> {
    let retry_after = answer.retry_after;
    match answer.status {
        // 422 is a receipt too: nothing in the batch was acceptable.
        200..=299 | 422 => {
            let body = answer.bytes().map_err(|e| Unsent::Again(None, e))?;
            serde_json::from_slice(&body).map_err(|e| {
                Unsent::Never(Error::internal(format!("the answer is not a receipt: {e}")).with_hint("is it Tideline?"))
            })
        }
        408 | 429 | 502 | 503 | 504 => Err(Unsent::Again(retry_after, answer.into_error())),
        413 => Err(Unsent::Never(answer.into_error().with_hint("send fewer events at once with --batch"))),
        _ => Err(Unsent::Never(answer.into_error())),
    }
}

/// Everything that became of a load.
#[derive(Debug, Default, Serialize)]
pub struct Tally {
    /// Events stored.
    pub accepted: u64,
    /// Events that were there before.
    pub duplicates: u64,
    /// Events refused and kept as dead letters.
    pub rejected: u64,
    /// Lines a mapping left out.
    pub skipped: u64,
    /// How often a batch was sent again.
    pub retries: u64,
    /// How many events were refused for what: by field and code.
    pub reasons: BTreeMap<String, u64>,
    /// The first of them.
    pub errors: Vec<LineError>,
}

/// Why a line was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineError {
    /// The file.
    pub file: String,
    /// The line (of Parquet: the row), from 1.
    pub line: u64,
    /// The field that is wrong.
    pub field: String,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Tally {
    fn add(&mut self, batch: &Batch, counts: Counts) {
        self.accepted += counts.accepted;
        self.duplicates += counts.duplicates;
        self.rejected += counts.rejected;
        for error in counts.errors {
            let reason = format!("{} {}", error.field, error.code);
            *self.reasons.entry(reason.trim().to_owned()).or_default() += 1;
            if self.errors.len() < MAX_REASONS {
                let note = batch.notes.iter().find(|(index, _)| *index == error.index);
                self.errors.push(LineError {
                    file: batch.file.to_string(),
                    line: batch.lines.get(error.index).copied().unwrap_or_default(),
                    field: error.field,
                    code: error.code,
                    message: note.map_or(error.message, |(_, why)| why.clone()),
                });
            }
        }
    }
}

/// Sends what `produce` makes, `jobs` batches at a time; gives up when the same batch has had no answer for
/// `patience`. `done` hears of every batch that has its answer.
///
/// # Errors
/// The first one: of `produce`, or of a batch that will never have an answer. The tally says what was stored anyway.
pub fn send_all(
    sink: &dyn Sink,
    jobs: usize,
    patience: Duration,
    done: &(dyn Fn(&Tally) + Sync),
    produce: impl FnOnce(&mut dyn FnMut(Batch) -> Result<()>) -> Result<u64>,
) -> (Tally, Option<Error>) {
    let shared = Shared { tally: Mutex::default(), failure: Mutex::default(), stop: AtomicBool::new(false) };
    let (sender, receiver) = sync_channel::<Batch>(jobs);
    let receiver = Mutex::new(receiver);
    let produced = std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| work(sink, &receiver, &shared, patience, done));
        }
        let produced = produce(&mut |batch| hand_over(&sender, batch, &shared));
        drop(sender);
        produced
    });
    let mut tally = shared.tally.into_inner().unwrap_or_default();
    let mut failure = shared.failure.into_inner().unwrap_or_default();
    match produced {
        Ok(skipped) => tally.skipped = skipped,
        Err(error) => failure = failure.or(Some(error)),
    }
    (tally, failure)
}

struct Shared {
    tally: Mutex<Tally>,
    failure: Mutex<Option<Error>>,
    stop: AtomicBool,
}

fn hand_over(sender: &SyncSender<Batch>, batch: Batch, shared: &Shared) -> Result<()> {
    let stopped = || Error::internal("sending has stopped");
    if shared.stop.load(Ordering::Relaxed) {
        return Err(stopped());
    }
    sender.send(batch).map_err(|_| stopped())
}

fn work(
    sink: &dyn Sink,
    receiver: &Mutex<Receiver<Batch>>,
    shared: &Shared,
    patience: Duration,
    done: &(dyn Fn(&Tally) + Sync),
) {
    loop {
        let Ok(Ok(batch)) = receiver.lock().map(|r| r.recv()) else { return };
        // After a failure the queue is only emptied, so that the reader is not left waiting.
        if shared.stop.load(Ordering::Relaxed) {
            continue;
        }
        match send_one(sink, &batch, shared, patience) {
            Ok(counts) => {
                if let Ok(mut tally) = shared.tally.lock() {
                    tally.add(&batch, counts);
                    done(&tally);
                }
            }
            Err(error) => {
                shared.stop.store(true, Ordering::Relaxed);
                if let Ok(mut failure) = shared.failure.lock() {
                    failure.get_or_insert(error);
                }
            }
        }
    }
}

fn send_one(sink: &dyn Sink, batch: &Batch, shared: &Shared, patience: Duration) -> Result<Counts> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let (after, error) = match sink.send(batch) {
            Ok(counts) => return Ok(counts),
            Err(Unsent::Never(error)) => return Err(name_batch(error, batch)),
            Err(Unsent::Again(after, error)) => (after, error),
        };
        if started.elapsed() >= patience || shared.stop.load(Ordering::Relaxed) {
            let hint = "run the same command again: what is stored already is answered as a duplicate";
            return Err(name_batch(error, batch).with_hint(hint));
        }
        if let Ok(mut tally) = shared.tally.lock() {
            tally.retries += 1;
        }
        std::thread::sleep(after.unwrap_or(pause).min(patience));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn name_batch(error: Error, batch: &Batch) -> Error {
    match (batch.lines.first(), batch.lines.last()) {
        (Some(first), Some(last)) => error.context(format!("{} lines {first} to {last}", batch.file)),
        _ => error,
    }
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
