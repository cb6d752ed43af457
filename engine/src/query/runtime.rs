//! The threads queries run on: apart from ingest and HTTP, with deep stacks, at a lower priority.
//!
//! A query that never yields starves the timers of the runtime it runs on, and planning recurses deeply; both must
//! not reach the threads that acknowledge events.

use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};
use crate::pace::{QUERY_NICENESS, yield_to_others};

/// Planning recurses once per operator of an expression; the guard admits a few hundred operators.
const STACK_BYTES: usize = 32 * 1024 * 1024;
/// Threads for blocking file reads.
const BLOCKING_THREADS: usize = 32;

/// A tokio runtime of its own, shut down without waiting when dropped.
#[derive(Debug)]
pub(super) struct QueryRuntime(Option<Runtime>);

impl QueryRuntime {
    /// Starts `threads` workers.
    pub(super) fn new(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .thread_keep_alive(Duration::from_secs(60))
            .on_thread_start(|| yield_to_others(QUERY_NICENESS))
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn; `None` after [`Self::shutdown`].
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }

    /// Stops the workers without waiting for them (a runtime must not be dropped inside another).
    pub(super) fn shutdown(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Does `work` on a thread of its own, as deep as those of queries. For planning what is ours: on the query threads it
/// would wait behind whatever strangers keep them busy with.
///
/// # Errors
/// When the thread cannot be started, or panicked.
pub(super) async fn on_deep_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (done, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("plan".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        yield_to_others(QUERY_NICENESS);
        // Whoever asked may have left.
        drop(done.send(work()));
    })?;
    outcome.await.map_err(|_| Error::internal("planning failed unexpectedly"))
}
