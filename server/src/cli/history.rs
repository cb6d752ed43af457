//! Sends what happened before now: the history of `tideline demo` and `tideline traffic`, in batches.

use std::time::Duration;

use tideline_engine::clock::{DAY, Micros};
use tideline_engine::error::Result;
use tokio_util::sync::CancellationToken;

use super::load::read::{Batch, Body};
use super::load::send::{ServerSink, Tally, send_all};

/// Events in one request.
pub const BATCH_EVENTS: usize = 5_000;
/// How long one batch is tried.
const PATIENCE: Duration = Duration::from_secs(60);
/// Batches under way at the same time.
const JOBS: usize = 2;

/// Where a stream of that many days up to `until` starts, and how long it is.
pub fn span(until: Micros, days: u32) -> (Micros, Duration) {
    (until - i64::from(days) * DAY, Duration::from_secs(u64::from(days) * 86_400))
}

/// Sends what `next` appends to a body, at most so many events at once, until it has no more or is told to stop; what
/// became of it.
///
/// # Errors
/// When a batch has had no answer for a minute, or will never have one.
pub fn send(
    sink: &ServerSink,
    stop: &CancellationToken,
    mut next: impl FnMut(usize, &mut Vec<u8>) -> usize,
) -> Result<Tally> {
    let (tally, failure) = send_all(sink, JOBS, PATIENCE, &|_| {}, |emit| {
        while !stop.is_cancelled() {
            let mut body = Vec::new();
            let events = next(BATCH_EVENTS, &mut body);
            if events == 0 {
                break;
            }
            emit(batch(body, events))?;
        }
        Ok(0)
    });
    match failure {
        // While stopping the server refuses; that is not worth a word.
        Some(error) if !stop.is_cancelled() => Err(error),
        _ => Ok(tally),
    }
}

fn batch(body: Vec<u8>, events: usize) -> Batch {
    Batch {
        file: "made-up traffic".into(),
        body_kind: Body::Ndjson,
        body: body.into(),
        lines: (1..).take(events).collect(),
        notes: Vec::new(),
    }
}
