//! After the start: reads the window's past from the table into the live windows, while new events arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use crate::error::Result;
use crate::event::Seq;
use crate::hot::{self, MINUTE};
use crate::query::QueryRequest;

use super::Engine;

/// How long to wait after a failure.
pub(super) const RETRY: Duration = Duration::from_secs(5);

impl Engine {
    /// Starts reading the past: everything up to `last`, where new events begin.
    pub(super) fn start_filling(self: &Arc<Self>, mut last: Seq) {
        let (weak, stop) = (Arc::downgrade(self), self.stop.clone());
        let background = self.background.lock();
        let Some(runtime) = background.as_ref() else { return };
        runtime.spawn(async move {
            loop {
                let Some(engine) = weak.upgrade() else { return };
                let begun = Instant::now();
                match engine.fill_windows(last).await {
                    Ok(rows) => {
                        tracing::info!(rows, seconds = begun.elapsed().as_secs_f32(), "live windows are whole");
                        engine.windows.filled();
                        return;
                    }
                    Err(e) => tracing::warn!(error = %e, "could not fill the live windows; it is tried again"),
                }
                // What is in SQL by now is read the next time, what comes later arrives by itself.
                last = engine.windows.start_over();
                drop(engine);
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = stop.cancelled() => return,
                }
            }
        });
    }

    pub(super) async fn fill_windows(&self, last: Seq) -> Result<usize> {
        let floor = self.config.hot.floor(self.clock.now());
        let sql = format!(
            "SELECT {} FROM events WHERE event_ts >= to_timestamp_micros({}) AND (seq <= {last} OR node <> '{}')",
            hot::COLUMNS.join(", "),
            floor * MINUTE,
            self.node
        );
        let request = QueryRequest { sql, params: BTreeMap::new(), timeout: None, limit: None };
        let mut output = self.query.query_own(request).await?;
        let mut rows = 0;
        while let Some(batch) = output.stream.next().await {
            let batch = batch?;
            rows += batch.num_rows();
            self.windows.fill(&batch)?;
        }
        Ok(rows)
    }
}
