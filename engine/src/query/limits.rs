//! Who may run: a bounded number of queries, a short bounded queue before them, and a list by id for cancelling.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// Admits queries and remembers the running ones.
#[derive(Debug)]
pub(super) struct Admission {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    max_wait: Duration,
    running: Arc<Mutex<HashMap<String, CancellationToken>>>,
}

/// A running query's place; dropping it makes room.
#[derive(Debug)]
pub(super) struct Slot {
    id: String,
    running: Arc<Mutex<HashMap<String, CancellationToken>>>,
    /// None for the engine's own.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}

fn stopping() -> Error {
    Error::busy("shutting_down", "the server is stopping")
}

/// Counts a waiter for as long as it waits, also when its caller goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// `slots` queries at once, `max_waiting` more in a queue, each for at most `max_wait`.
    pub(super) fn new(slots: usize, max_waiting: usize, max_wait: Duration) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots.max(1))),
            waiting: AtomicUsize::new(0),
            max_waiting,
            max_wait,
            running: Arc::default(),
        }
    }

    /// A slot for query `id`, or `too_many_queries`.
    pub(super) async fn enter(&self, id: &str, cancel: &CancellationToken) -> Result<Slot> {
        let permit = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        self.slot(id, cancel, Some(permit))
    }

    /// A slot for a query of the engine's own: it takes no client's place.
    pub(super) fn enter_own(&self, id: &str, cancel: &CancellationToken) -> Result<Slot> {
        if self.slots.is_closed() {
            return Err(stopping());
        }
        self.slot(id, cancel, None)
    }

    fn slot(&self, id: &str, cancel: &CancellationToken, permit: Option<OwnedSemaphorePermit>) -> Result<Slot> {
        let mut running = self.running.lock();
        // Clients name queries too: the second of a name must not take the first one's place in the list.
        if running.contains_key(id) {
            return Err(Error::invalid("query_id_taken", "a query of this id is running already")
                .with_hint("name each query anew, for example by a UUID"));
        }
        running.insert(id.to_owned(), cancel.clone());
        drop(running);
        Ok(Slot { id: id.to_owned(), running: Arc::clone(&self.running), _permit: permit })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit> {
        let full = || {
            Error::busy("too_many_queries", "too many queries are running")
                .with_hint("send the query again in a moment, or raise the limit on concurrent queries")
        };
        let _waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            return Err(full());
        }
        match tokio::time::timeout(self.max_wait, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(stopping()),
            Err(_elapsed) => Err(full()),
        }
    }

    /// Cancels query `id`; false when it does not run.
    pub(super) fn cancel(&self, id: &str) -> bool {
        self.running.lock().get(id).inspect(|token| token.cancel()).is_some()
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running.lock().len()
    }

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed).min(self.max_waiting)
    }

    /// Cancels all and admits no more.
    pub(super) fn close(&self) {
        self.slots.close();
        for token in self.running.lock().values() {
            token.cancel();
        }
    }
}
