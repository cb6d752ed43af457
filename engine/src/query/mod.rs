//! SQL out: a stranger's text becomes a stream of batches, within limits.
//!
//! ```text
//! text ─▶ guard ─▶ plan (functions, tables: session) ─▶ bind params ─▶ run on threads of its own ─▶ stream ─▶ encode
//!                       └─▶ `events` = lake ∪ buffer (events, prune, shortcut, order)
//! ```
//!
//! Every limit ends in a clear error: text and operators (`guard`), what functions make (`functions`), memory and
//! spill (`session`), time, concurrency (`limits`). A panic in an operator costs its query only.

mod alerts;
mod book;
mod choice;
mod commerce;
mod concat;
mod dead_letters;
mod dialect;
mod distinct;
mod errors;
mod events;
mod functions;
mod guard;
mod journal;
mod json;
mod like;
mod limits;
mod measures;
mod order;
mod params;
mod partials;
mod prepare;
mod prune;
mod run;
mod runtime;
mod session;
mod shop;
mod shortcut;
mod stats;
mod stop;
mod surface;
mod views;
pub mod encode;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;

pub use alerts::{COLUMNS as ALERT_COLUMNS, TABLE as ALERTS};
pub use dead_letters::{COLUMNS as DEAD_LETTER_COLUMNS, TABLE as DEAD_LETTERS};
pub(crate) use errors::{copy as copy_error, nearest};
pub use events::{ScanFile, TABLE, TableState};
pub use journal::{Entry, Journal, Named};
pub use measures::{Class, Outcome, QueryMeasures};
pub use prepare::{BindType, Prepared};
pub use run::{Freshness, QueryOutput, QueryStream};
pub use shop::{Shop, time_zone};
pub use stats::QueryStats;
pub use surface::{Additions, Reader, Surface, Understood};

use crate::alert_log::AlertLog;
use crate::clock::Clock;
use crate::dead_letters::DeadLetters;
use crate::error::{Error, Kind, Result};
use book::Book;
use guard::TextLimits;
use limits::Admission;
use partials::Partials;
use runtime::QueryRuntime;

/// The table function that runs a metric, where a surface has it: its parameters may be bound.
pub const METRIC_FUNCTION: &str = "metric";

/// Where a query gets the table's state from: called once a query.
pub type StateSource = Arc<dyn Fn() -> Result<Arc<TableState>> + Send + Sync>;

/// The limits of queries and what they may use.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// Its days and its currency.
    pub shop: Shop,
    /// Threads that plan and run queries; also how many parts a large query is split into.
    pub threads: usize,
    /// Memory all queries together may hold in operators. The process takes up to about three times as much.
    pub memory_bytes: usize,
    /// Memory for what is derived from the table and kept to answer sooner: orders, and partial aggregates of files. 0
    /// keeps nothing.
    pub derived_bytes: usize,
    /// Bytes all queries together may spill to disk.
    pub spill_bytes: u64,
    /// Where they spill; without it nothing is spilled and large sorts fail instead.
    pub spill_dir: Option<PathBuf>,
    /// The longest text.
    pub max_text_bytes: usize,
    /// The most operators, keywords that chain, and set operations in one text.
    pub max_operators: usize,
    /// The longest a query may run, also when it asks for more.
    pub timeout: Duration,
    /// Queries running at once.
    pub max_concurrent: usize,
    /// Queries waiting for their turn.
    pub max_waiting: usize,
    /// The longest one waits for its turn.
    pub max_wait: Duration,
    /// From when on a query is remembered as slow.
    pub slow_after: Duration,
}

impl Default for QueryConfig {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            shop: Shop::default(),
            threads,
            memory_bytes: 512 << 20,
            derived_bytes: 512 << 20,
            spill_bytes: 4 << 30,
            spill_dir: None,
            max_text_bytes: 64 << 10,
            max_operators: 500,
            timeout: Duration::from_secs(60),
            max_concurrent: (threads * 4).max(8),
            max_waiting: 64,
            max_wait: Duration::from_secs(5),
            slow_after: Duration::from_secs(1),
        }
    }
}

/// One query.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// One statement that reads.
    pub sql: String,
    /// Values of `$name` and `$1` (by their names without the dollar sign).
    pub params: BTreeMap<String, serde_json::Value>,
    /// How long it may run; the configured limit when absent or longer.
    pub timeout: Option<Duration>,
    /// The most rows that leave; [`QueryStats::truncated`] says whether there were more.
    pub limit: Option<usize>,
}

impl QueryRequest {
    /// A query of text alone.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), ..Self::default() }
    }
}

/// What queries use at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryUsage {
    /// Queries running.
    pub running: usize,
    /// Queries waiting for their turn.
    pub waiting: usize,
    /// Memory operators have reserved, of [`QueryConfig::memory_bytes`].
    pub memory_bytes: usize,
    /// Disk taken by what was spilled, of [`QueryConfig::spill_bytes`].
    pub spill_bytes: u64,
    /// Partial aggregates that are kept.
    pub partials: usize,
    /// Their memory.
    pub partial_bytes: usize,
    /// Memory of the orders that are kept.
    pub book_bytes: usize,
}

/// Plans and runs queries. Cheap to share behind an `Arc`.
pub struct QueryEngine {
    config: QueryConfig,
    template: Arc<SessionState>,
    source: StateSource,
    clock: Arc<dyn Clock>,
    admission: Arc<Admission>,
    partials: Arc<Partials>,
    book: Arc<Book>,
    runtime: parking_lot::Mutex<QueryRuntime>,
    measures: Arc<QueryMeasures>,
    journal: Arc<Journal>,
}

impl std::fmt::Debug for QueryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryEngine").field("config", &self.config).field("running", &self.running()).finish()
    }
}

impl QueryEngine {
    /// Starts the query threads. File paths in the states are relative to `store`.
    ///
    /// # Errors
    /// When the spill folder cannot be used or threads cannot be started.
    pub fn new(
        config: QueryConfig,
        store: Arc<dyn ObjectStore>,
        source: StateSource,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let partials = Partials::new(config.derived_bytes / 2);
        let book = Book::new(config.derived_bytes / 2);
        let template = Arc::new(session::template(&config, store, Arc::clone(&partials))?);
        let runtime = QueryRuntime::new(config.threads)?;
        let admission = Admission::new(config.max_concurrent, config.max_waiting, config.max_wait);
        let journal = Journal::new(config.slow_after);
        Ok(Self {
            config,
            template,
            source,
            clock,
            admission: Arc::new(admission),
            partials,
            book,
            runtime: parking_lot::Mutex::new(runtime),
            measures: Arc::default(),
            journal,
        })
    }

    /// Adds the table `dead_letters` over a store.
    ///
    /// # Errors
    /// None that is expected.
    pub fn with_dead_letters(self, store: Arc<DeadLetters>) -> Result<Self> {
        session::add_table(&self.template, dead_letters::TABLE, Arc::new(dead_letters::LettersTable::new(store)))?;
        Ok(self)
    }

    /// Adds the table `alerts` over a log of them.
    ///
    /// # Errors
    /// None that is expected.
    pub fn with_alerts(self, log: Arc<AlertLog>) -> Result<Self> {
        session::add_table(&self.template, alerts::TABLE, Arc::new(alerts::AlertsTable::new(log)))?;
        Ok(self)
    }

    /// Plans a query and starts it. Rows come through the output's stream; dropping that cancels the query.
    ///
    /// # Errors
    /// Whatever is wrong with the query, and every limit, as codes of [`Error`].
    pub async fn query(&self, request: QueryRequest) -> Result<QueryOutput> {
        self.query_as(new_id(), request).await
    }

    /// [`Self::query`] by a name of the client's, who can so stop it before an answer names it.
    ///
    /// # Errors
    /// Those of [`Self::query`], and when a query of this name is running.
    pub async fn query_as(&self, id: String, request: QueryRequest) -> Result<QueryOutput> {
        let timeout = request.timeout;
        self.start(id, run::Work::Text(request), Arc::clone(&self.source), timeout).await
    }

    /// Plans a text of ours once, to be run many times with other values. `name` is what it is called where queries are
    /// listed; `params` are all of its parameters, with their types and a value to try the plan with: what only fails
    /// when a plan is made to run fails here.
    ///
    /// # Errors
    /// Whatever is wrong with it, with its position in `text`.
    pub async fn prepare(
        &self,
        name: &str,
        text: &str,
        params: Vec<(String, BindType, ScalarValue)>,
    ) -> Result<Prepared> {
        let (template, now) = (Arc::clone(&self.template), self.clock.now());
        let (name, text) = (name.to_owned(), text.to_owned());
        runtime::on_deep_stack(move || prepare::prepare(&template, &name, &text, &params, now)).await?
    }

    /// Runs what was prepared, with these values, over this state of the table.
    ///
    /// # Errors
    /// Those of [`Self::query`].
    pub async fn run(
        &self,
        prepared: &Prepared,
        values: Vec<(String, ScalarValue)>,
        state: Arc<TableState>,
        timeout: Option<Duration>,
    ) -> Result<QueryOutput> {
        let work = run::Work::Prepared { name: Arc::clone(prepared.name()), plan: prepared.plan().clone(), values };
        self.start(new_id(), work, Arc::new(move || Ok(Arc::clone(&state))), timeout).await
    }

    /// [`Self::run`] for the engine itself, see [`Self::query_own`].
    ///
    /// # Errors
    /// Those of [`Self::query`].
    pub async fn run_own(
        &self,
        prepared: &Prepared,
        values: Vec<(String, ScalarValue)>,
        state: Arc<TableState>,
    ) -> Result<QueryOutput> {
        let (id, cancel) = (new_id(), CancellationToken::new());
        let slot = self.admission.enter_own(&id, &cancel)?;
        let work = run::Work::Prepared { name: Arc::clone(prepared.name()), plan: prepared.plan().clone(), values };
        self.start_in(slot, id, cancel, work, Arc::new(move || Ok(Arc::clone(&state))), None).await
    }

    /// Another way to look at the same tables.
    ///
    /// # Errors
    /// When what is added cannot be registered.
    pub fn surface(&self, additions: Additions) -> Result<Arc<Surface>> {
        Surface::new(&self.template, additions).map(Arc::new).map_err(errors::from_datafusion)
    }

    /// [`Self::query`], asked through a surface.
    ///
    /// # Errors
    /// Those of [`Self::query`].
    pub async fn query_through(&self, surface: &Arc<Surface>, request: QueryRequest) -> Result<QueryOutput> {
        let timeout = request.timeout;
        self.through(surface, run::Work::Text(request), timeout).await
    }

    /// Runs what was understood, with a value for each parameter.
    ///
    /// # Errors
    /// Those of [`Self::query`].
    pub async fn run_through(
        &self,
        surface: &Arc<Surface>,
        statement: &Arc<Understood>,
        values: Vec<ScalarValue>,
        timeout: Option<Duration>,
    ) -> Result<QueryOutput> {
        let work = run::Work::Understood { statement: Arc::clone(statement), values };
        self.through(surface, work, timeout).await
    }

    async fn through(&self, surface: &Arc<Surface>, work: run::Work, timeout: Option<Duration>) -> Result<QueryOutput> {
        let (id, cancel) = (new_id(), CancellationToken::new());
        let slot = self.admission.enter(&id, &cancel).await?;
        let mut job = self.job(id, cancel, work, Arc::clone(&self.source));
        job.template = Arc::clone(&surface.template);
        job.surface = Some(Arc::clone(surface));
        run::start(job, slot, &self.handle()?, self.within(timeout)).await
    }

    /// Plans a text, asked through a surface, without running it. It takes a place as a query does.
    ///
    /// # Errors
    /// Those of [`Self::query`] before the first row.
    pub async fn understand(
        &self,
        surface: &Arc<Surface>,
        sql: &str,
        declared: Vec<Option<DataType>>,
        timeout: Option<Duration>,
    ) -> Result<Understood> {
        let (id, cancel) = (new_id(), CancellationToken::new());
        let slot = self.admission.enter(&id, &cancel).await?;
        let mut job = self.job(id, cancel, run::Work::Text(QueryRequest::new(sql)), Arc::clone(&self.source));
        job.template = Arc::clone(&surface.template);
        job.surface = Some(Arc::clone(surface));
        run::understand(job, declared, slot, &self.handle()?, self.within(timeout)).await
    }

    fn within(&self, timeout: Option<Duration>) -> Duration {
        timeout.map_or(self.config.timeout, |t| t.min(self.config.timeout))
    }

    fn job(&self, id: String, cancel: CancellationToken, work: run::Work, source: StateSource) -> run::Job {
        run::Job {
            id,
            work,
            template: Arc::clone(&self.template),
            surface: None,
            book: Arc::clone(&self.book),
            source,
            now: self.clock.now(),
            limits: TextLimits {
                max_bytes: self.config.max_text_bytes,
                max_operators: self.config.max_operators,
                max_calls: guard::MAX_NESTED_CALLS,
            },
            cancel,
            measures: Arc::clone(&self.measures),
            journal: Arc::clone(&self.journal),
        }
    }

    fn handle(&self) -> Result<tokio::runtime::Handle> {
        let handle = self.runtime.lock().handle().cloned();
        handle.ok_or_else(|| Error::new(Kind::Busy, "shutting_down", "the server is stopping"))
    }

    async fn start(
        &self,
        id: String,
        work: run::Work,
        source: StateSource,
        timeout: Option<Duration>,
    ) -> Result<QueryOutput> {
        let cancel = CancellationToken::new();
        let slot = self.admission.enter(&id, &cancel).await;
        let slot = slot.inspect_err(|e| self.measures.refused(work.class(), e))?;
        self.start_in(slot, id, cancel, work, source, timeout).await
    }

    /// [`Self::query`] for the engine itself, which waits for no client and takes no client's place.
    pub async fn query_own(&self, request: QueryRequest) -> Result<QueryOutput> {
        let id = new_id();
        let cancel = CancellationToken::new();
        let slot = self.admission.enter_own(&id, &cancel)?;
        let timeout = request.timeout;
        self.start_in(slot, id, cancel, run::Work::Own(request), Arc::clone(&self.source), timeout).await
    }

    async fn start_in(
        &self,
        slot: limits::Slot,
        id: String,
        cancel: CancellationToken,
        work: run::Work,
        source: StateSource,
        timeout: Option<Duration>,
    ) -> Result<QueryOutput> {
        let handle = self.handle()?;
        let job = self.job(id, cancel, work, source);
        run::start(job, slot, &handle, self.within(timeout)).await
    }

    /// The shop whose days and currency these are.
    pub fn shop(&self) -> &Shop {
        &self.config.shop
    }

    /// Cancels a running query; false when there is none of that id.
    pub fn cancel(&self, id: &str) -> bool {
        self.admission.cancel(id)
    }

    /// How many queries run.
    pub fn running(&self) -> usize {
        self.admission.running()
    }

    /// What queries count of themselves.
    pub fn measures(&self) -> &QueryMeasures {
        &self.measures
    }

    /// How much is in use.
    pub fn usage(&self) -> QueryUsage {
        let environment = self.template.runtime_env();
        let (partials, partial_bytes) = self.partials.size();
        QueryUsage {
            running: self.running(),
            waiting: self.admission.waiting(),
            memory_bytes: environment.memory_pool.reserved(),
            spill_bytes: environment.disk_manager.used_disk_space(),
            partials,
            partial_bytes,
            book_bytes: self.book.size(),
        }
    }

    /// Partial aggregates kept, and their bytes.
    pub fn kept(&self) -> (usize, usize) {
        self.partials.size()
    }

    /// Which queries run, and which were slow.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Forgets everything that was derived from the table and kept: orders, partial aggregates, footers of files; and
    /// the texts of slow queries.
    pub async fn forget(&self) {
        self.partials.forget();
        self.journal.forget();
        self.book.forget().await;
        self.template.runtime_env().cache_manager.get_file_metadata_cache().clear();
    }

    /// Cancels what runs and admits no more.
    pub fn shutdown(&self) {
        self.admission.close();
        self.runtime.lock().shutdown();
    }
}

fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The text of every view: what answers depend on besides their own query.
pub(crate) fn views_text() -> String {
    views::VIEWS.iter().map(|(_, text)| *text).collect()
}

#[cfg(test)]
mod tests;
