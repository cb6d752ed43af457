//! What a query has read, from its plan's own counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;

use super::journal::{Entry, Journal, Named};
use super::measures::{Class, End, Outcome, QueryMeasures};
use crate::event;

/// What a query has read; final when its stream has ended.
#[derive(Debug)]
pub struct QueryStats {
    started: Instant,
    pub(super) plan: Mutex<Option<Arc<dyn ExecutionPlan>>>,
    done: Mutex<Option<Totals>>,
    pub(super) truncated: AtomicBool,
    /// Set when all rows were sent: an end without it is a failure.
    pub(super) finished: AtomicBool,
    class: Class,
    end: End,
    measures: Arc<QueryMeasures>,
    query: Named,
    journal: Arc<Journal>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    rows_read: usize,
    bytes_read: usize,
    elapsed: Duration,
}

impl QueryStats {
    /// Of a query that begins now; the journal has it until it ends.
    pub(super) fn begin(query: Named, class: Class, measures: Arc<QueryMeasures>, journal: Arc<Journal>) -> Arc<Self> {
        let id = query.id.clone();
        let stats = Arc::new(Self {
            started: Instant::now(),
            plan: Mutex::default(),
            done: Mutex::default(),
            truncated: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            class,
            end: End::default(),
            measures,
            query,
            journal,
        });
        stats.journal.begin(&id, &stats);
        stats
    }

    /// As the journal shows it while it runs.
    pub(super) fn entry(&self) -> Option<Entry> {
        let running = self.done.lock().is_none();
        running.then(|| self.entry_of(self.totals(), None))
    }

    fn entry_of(&self, totals: Totals, outcome: Option<&'static str>) -> Entry {
        let Totals { rows_read, bytes_read, elapsed } = totals;
        Entry { query: self.query.clone(), elapsed, rows_read, bytes_read, outcome }
    }

    /// Says how the query ended; only the first time counts.
    pub(super) fn settle(&self, outcome: Outcome) {
        self.end.settle(outcome);
    }

    fn totals(&self) -> Totals {
        if let Some(done) = *self.done.lock() {
            return done;
        }
        let mut totals = Totals { elapsed: self.started.elapsed(), ..Totals::default() };
        if let Some(plan) = self.plan.lock().as_ref() {
            add_reads(plan, &mut totals);
        }
        totals
    }

    /// Takes the last reading and lets the plan go, and with it the files it pins.
    pub(super) fn finish(&self) {
        let totals = self.totals();
        self.done.lock().get_or_insert(totals);
        self.plan.lock().take();
    }

    /// Rows decoded from files and taken from the buffer, before filters; none for what statistics answer.
    pub fn rows_read(&self) -> usize {
        self.totals().rows_read
    }

    /// Bytes read from files.
    pub fn bytes_read(&self) -> usize {
        self.totals().bytes_read
    }

    /// From the start of planning to now, or to the last row.
    pub fn elapsed(&self) -> Duration {
        self.totals().elapsed
    }

    /// Whether there were more rows than the request's limit.
    pub fn truncated(&self) -> bool {
        self.truncated.load(Ordering::Relaxed)
    }
}

impl Drop for QueryStats {
    /// Counted when nobody looks at it any more: however it ended, once.
    fn drop(&mut self) {
        let totals = self.totals();
        let Totals { rows_read, bytes_read, elapsed } = totals;
        self.measures.note(self.class, self.end.outcome(), elapsed, rows_read, bytes_read);
        self.journal.end(self.entry_of(totals, Some(self.end.outcome().name())));
    }
}

fn add_reads(plan: &Arc<dyn ExecutionPlan>, totals: &mut Totals) {
    if plan.children().is_empty()
        && let Some(metrics) = plan.metrics()
    {
        totals.rows_read += metrics.output_rows().unwrap_or(0);
        totals.rows_read += metrics.sum_by_name("pushdown_rows_pruned").map_or(0, |m| m.as_usize());
        totals.bytes_read += metrics.sum_by_name("bytes_scanned").map_or(0, |m| m.as_usize());
    }
    if let Some(buffer) = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|scan| scan.data_source().downcast_ref::<MemorySourceConfig>())
        .filter(|memory| Arc::ptr_eq(&memory.original_schema(), &event::table_schema()))
    {
        // Memory counts nothing itself; it is read as a whole.
        totals.rows_read += buffer.partitions().iter().flatten().map(RecordBatch::num_rows).sum::<usize>();
    }
    for child in plan.children() {
        add_reads(child, totals);
    }
}
