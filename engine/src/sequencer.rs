//! The one thread that gives events their place: dedup, Seq, write-ahead log, publish, live windows, acknowledge.
//!
//! Requests that arrive while a group is being synced form the next one (group commit). One group is one frame of
//! the log. Because a single thread claims ids, appends and publishes, a claim is never pending beyond its own
//! group: whoever sends a duplicate of an event in the group waits for the same sync and shares its outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{concat_batches, filter_record_batch};
use tokio::sync::{mpsc, oneshot, watch};

use crate::buffer::Sealed;
use crate::dedup::{Dedup, Key, Pins};
use crate::error::{Error, Result};
use crate::event::{NodeId, Seq, client_schema, index, stored_schema};
use crate::hot::NodeWindows;
use crate::snapshot::Published;
use crate::wal::{AppendError, Released, Wal, WalMeasures};

/// A group is closed when it holds this many rows.
const MAX_GROUP_ROWS: usize = 65_536;
/// Requests that may wait for the thread.
const QUEUE_REQUESTS: usize = 4_096;

/// What became of a request's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    /// Events stored by this request.
    pub accepted: usize,
    /// Events that were stored before.
    pub duplicates: usize,
    /// The positions of those accepted; they have no gaps.
    pub seq: Option<(Seq, Seq)>,
}

struct Submission {
    batch: RecordBatch,
    keys: Vec<Key>,
    arrived: Instant,
    /// Held until the answer is given, so that the hours stay in memory.
    _pins: Pins,
    reply: oneshot::Sender<Result<Sequenced>>,
}

enum Command {
    Append(Submission),
    Release(Seq, oneshot::Sender<Result<Released>>),
    Rotate(oneshot::Sender<Result<()>>),
    Close(oneshot::Sender<Result<()>>),
}

/// The handle of the thread. Dropping it ends the thread without a clean mark in the log.
#[derive(Debug)]
pub struct Sequencer {
    commands: mpsc::Sender<Command>,
    wal_bytes: Arc<AtomicU64>,
    wal: Arc<WalMeasures>,
    last: Arc<AtomicU64>,
    failed: watch::Receiver<Option<String>>,
    thread: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

fn stopped() -> Error {
    Error::busy("shutting_down", "the server is stopping and takes no more events")
        .with_hint("send the events again when it is back")
}

impl Sequencer {
    /// Starts the thread; the next event gets the position after `last`.
    pub fn start(
        wal: Wal,
        last: Seq,
        node: &NodeId,
        dedup: Arc<Dedup>,
        published: Arc<Published>,
        windows: Arc<NodeWindows>,
    ) -> Result<Self> {
        let (commands, queue) = mpsc::channel(QUEUE_REQUESTS);
        let (failed_tx, failed) = watch::channel(None);
        let wal_bytes = Arc::new(AtomicU64::new(wal.bytes()));
        let measures = Arc::clone(wal.measures());
        let last_seq = Arc::new(AtomicU64::new(last.0));
        let worker = Worker {
            wal,
            last,
            node: node.as_str().to_owned(),
            dedup,
            published,
            windows,
            wal_bytes: Arc::clone(&wal_bytes),
            last_seq: Arc::clone(&last_seq),
            failed: failed_tx,
        };
        let thread = std::thread::Builder::new().name("wal".into()).spawn(move || worker.run(queue))?;
        let thread = parking_lot::Mutex::new(Some(thread));
        Ok(Self { commands, wal_bytes, wal: measures, last: last_seq, failed, thread })
    }

    /// Stores events; returns when they are durable and visible. `keys` belong to the rows of `batch`, in order, and
    /// `pins` hold their hours. `arrived` is when the request came in.
    pub async fn append(&self, batch: RecordBatch, keys: Vec<Key>, pins: Pins, arrived: Instant) -> Result<Sequenced> {
        let (reply, outcome) = oneshot::channel();
        let submission = Submission { batch, keys, arrived, _pins: pins, reply };
        self.commands.send(Command::Append(submission)).await.map_err(|_| self.gone())?;
        outcome.await.map_err(|_| self.gone())?
    }

    /// Lets go of log segments that the lake covers, and deletes them: the log's thread does the first and goes on with
    /// appending, as the second takes long.
    pub async fn truncate(&self, covered: Seq) -> Result<()> {
        let (reply, released) = oneshot::channel();
        self.commands.send(Command::Release(covered, reply)).await.map_err(|_| self.gone())?;
        let released = released.await.map_err(|_| self.gone())??;
        let deleted = tokio::task::spawn_blocking(move || released.delete()).await;
        if let Err(e) = deleted.map_err(|e| Error::internal(e.to_string())).flatten() {
            // Segments that stay cost space, nothing else; the next start removes them.
            tracing::warn!(error = %e, "could not remove log segments that the lake covers");
        }
        Ok(())
    }

    /// Ends the log's segment: what is appended after this call goes to another one.
    pub async fn rotate(&self) -> Result<()> {
        let (reply, outcome) = oneshot::channel();
        self.commands.send(Command::Rotate(reply)).await.map_err(|_| self.gone())?;
        outcome.await.map_err(|_| self.gone())?
    }

    /// Finishes what is queued, marks the log as cleanly closed and ends the thread.
    pub async fn close(&self) -> Result<()> {
        let (reply, outcome) = oneshot::channel();
        self.commands.send(Command::Close(reply)).await.map_err(|_| self.gone())?;
        let result = outcome.await.map_err(|_| self.gone())?;
        if let Some(thread) = self.thread.lock().take() {
            // The thread answered as its last act.
            let _ = thread.join();
        }
        result
    }

    /// Bytes in the log.
    pub fn wal_bytes(&self) -> u64 {
        self.wal_bytes.load(Ordering::Relaxed)
    }

    /// What the log counts of itself.
    pub fn wal(&self) -> &WalMeasures {
        &self.wal
    }

    /// The last position given and published.
    pub fn last(&self) -> Seq {
        Seq(self.last.load(Ordering::Relaxed))
    }

    /// Why the thread stopped, once it has failed for good.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failed.clone()
    }

    fn gone(&self) -> Error {
        self.failed.borrow().as_ref().map_or_else(stopped, Error::fatal)
    }
}

struct Worker {
    wal: Wal,
    last: Seq,
    node: String,
    dedup: Arc<Dedup>,
    published: Arc<Published>,
    windows: Arc<NodeWindows>,
    wal_bytes: Arc<AtomicU64>,
    last_seq: Arc<AtomicU64>,
    failed: watch::Sender<Option<String>>,
}

impl Worker {
    fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut group = Vec::new();
        let mut next = queue.blocking_recv();
        while let Some(command) = next.take() {
            let mut rows = 0;
            let mut after = Some(command);
            while let Some(Command::Append(submission)) = after {
                rows += submission.batch.num_rows();
                group.push(submission);
                after = if rows < MAX_GROUP_ROWS { queue.try_recv().ok() } else { None };
            }
            if !group.is_empty()
                && let Err(e) = self.commit(&mut group)
            {
                self.failed.send_replace(Some(e.message));
                return;
            }
            match after {
                Some(Command::Release(covered, reply)) => {
                    let released = self.wal.release(covered);
                    self.wal_bytes.store(self.wal.bytes(), Ordering::Relaxed);
                    // Nobody waiting for it: the files go at the next start.
                    let _ = reply.send(released);
                }
                Some(Command::Rotate(reply)) => {
                    let rotated = self.wal.rotate();
                    // Nobody waiting for it: nothing is lost by an early end.
                    let _ = reply.send(rotated);
                }
                Some(Command::Close(reply)) => {
                    queue.close();
                    // Nobody listening is fine: the log is closed all the same.
                    let _ = reply.send(self.wal.close());
                    return;
                }
                Some(Command::Append(_)) | None => {}
            }
            next = queue.blocking_recv();
        }
    }

    /// Stores one group and answers its requests. An error means that the process must stop.
    fn commit(&mut self, group: &mut Vec<Submission>) -> Result<()> {
        let claims = self.claim(group);
        let outcome = self.store(group, &claims);
        match outcome {
            Ok(()) => {
                let mut next = self.last;
                self.last = next.plus(claims.iter().map(|c| c.accepted as u64).sum());
                self.last_seq.store(self.last.0, Ordering::Relaxed);
                for (submission, claim) in group.drain(..).zip(claims) {
                    let first = next.plus(1);
                    next = next.plus(claim.accepted as u64);
                    let answer = Sequenced {
                        accepted: claim.accepted,
                        duplicates: submission.keys.len() - claim.accepted,
                        seq: (claim.accepted > 0).then_some((first, next)),
                    };
                    // A client that went away gets no answer; its events are stored.
                    let _ = submission.reply.send(Ok(answer));
                }
                Ok(())
            }
            Err(failure) => {
                self.release(group, &claims);
                let (fatal, error) = match failure {
                    AppendError::NotWritten(e) => (false, e),
                    AppendError::Fatal(e) => (true, e),
                };
                for submission in group.drain(..) {
                    let answer = Error::new(error.kind, error.code, error.message.clone());
                    let answer = error.hint.iter().fold(answer, |a, hint| a.with_hint(hint));
                    let _ = submission.reply.send(Err(answer));
                }
                if fatal { Err(error) } else { Ok(()) }
            }
        }
    }

    fn claim(&self, group: &[Submission]) -> Vec<Claim> {
        group
            .iter()
            .map(|submission| {
                let mut fresh = Vec::with_capacity(submission.keys.len());
                self.dedup.claim(&submission.keys, &mut fresh);
                let accepted = fresh.iter().filter(|f| **f).count();
                Claim { fresh, accepted }
            })
            .collect()
    }

    fn release(&self, group: &[Submission], claims: &[Claim]) {
        for (submission, claim) in group.iter().zip(claims) {
            let claimed = submission.keys.iter().zip(&claim.fresh).filter(|(_, fresh)| **fresh);
            self.dedup.release(claimed.map(|(key, _)| *key));
        }
    }

    /// Durable, then visible.
    fn store(&mut self, group: &[Submission], claims: &[Claim]) -> Result<(), AppendError> {
        let batch = self.assemble(group, claims).map_err(AppendError::NotWritten)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let first = self.last.plus(1);
        self.wal.append(first, &batch)?;
        self.wal.measures().group_requests.record(group.len() as u64);
        self.wal_bytes.store(self.wal.bytes(), Ordering::Relaxed);
        // Durable and not publishable would leave a gap in Seq: only a restart can mend that.
        self.published.append(Sealed::new(first, batch.clone())).map_err(AppendError::Fatal)?;
        let accepted = group.iter().zip(claims).filter(|(_, c)| c.accepted > 0);
        let arrivals: Vec<_> = accepted.map(|(submission, claim)| (submission.arrived, claim.accepted)).collect();
        let last = self.last.plus(batch.num_rows() as u64);
        self.windows.publish(&batch, self.last, last, &arrivals).map_err(AppendError::Fatal)
    }

    /// The group's new rows as one batch in [`stored_schema`].
    fn assemble(&self, group: &[Submission], claims: &[Claim]) -> Result<RecordBatch> {
        let mut parts = Vec::with_capacity(group.len());
        for (submission, claim) in group.iter().zip(claims) {
            if claim.accepted == submission.keys.len() {
                parts.push(submission.batch.clone());
            } else if claim.accepted > 0 {
                parts.push(filter_record_batch(&submission.batch, &BooleanArray::from(claim.fresh.clone()))?);
            }
        }
        let rows = match parts.as_slice() {
            [one] => one.clone(),
            many => concat_batches(&client_schema(), many)?,
        };
        let count = rows.num_rows();
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        let first = self.last.plus(1).as_i64();
        let seqs = Int64Array::from_iter_values(first..first + count as i64);
        columns.insert(index::SEQ, Arc::new(seqs));
        columns.insert(index::NODE, Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.node, count))));
        Ok(RecordBatch::try_new(stored_schema(), columns)?)
    }
}

struct Claim {
    fresh: Vec<bool>,
    accepted: usize,
}
