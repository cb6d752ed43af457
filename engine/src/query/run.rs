//! One query's life: planned and driven on the query threads, read as a stream anywhere, stopped from either end.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::book::{Book, Reader};
use super::events::{Pinned, TABLE, TableState};
use super::guard::{self, Readable, TextLimits};
use super::journal::{Journal, Named};
use super::limits::Slot;
use super::measures::{Class, Outcome, QueryMeasures};
use super::stats::QueryStats;
use super::surface::{self, Placeholders, Surface, Understood};
use super::{QueryRequest, StateSource, errors, params, prepare, prune, session, stop, views};
use crate::clock::Micros;
use crate::error::{Error, Kind, Result};

/// Batches made ahead of the reader.
const BATCHES_AHEAD: usize = 4;

/// How current an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Until when events are in it.
    pub through: Option<Micros>,
    /// The lake's version it was read at.
    pub lake_version: i64,
    /// Rows that came from the buffer's view.
    pub buffered_rows: usize,
}

/// A query that has been planned and runs.
#[derive(Debug)]
pub struct QueryOutput {
    /// Its id, for cancelling.
    pub id: String,
    /// The columns of the stream; names are unique.
    pub schema: SchemaRef,
    /// Its rows. Dropping it cancels the query.
    pub stream: QueryStream,
    /// What state it was answered from.
    pub freshness: Freshness,
    /// What it has read so far.
    pub stats: Arc<QueryStats>,
}

/// What a query runs.
pub(super) enum Work {
    /// A stranger's text, to be guarded and planned.
    Text(QueryRequest),
    /// A text of the engine's own.
    Own(QueryRequest),
    /// A statement that was understood before, now with its values.
    Understood {
        /// It, past the guard.
        statement: Arc<Understood>,
        /// A value for each of its parameters.
        values: Vec<ScalarValue>,
    },
    /// A plan of ours that only needs its values.
    Prepared {
        /// Whose it is.
        name: Arc<str>,
        /// It, analysed.
        plan: LogicalPlan,
        /// A value for each of its parameters.
        values: Vec<(String, ScalarValue)>,
    },
}

impl Work {
    /// Whose it is.
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Text(_) => Class::Sql,
            Self::Own(_) => Class::Own,
            Self::Understood { .. } => Class::Sql,
            Self::Prepared { .. } => Class::Metric,
        }
    }

    /// What the journal calls it.
    fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Text(request) | Self::Own(request) => request.sql.as_str().into(),
            Self::Understood { statement, .. } => statement.text().into(),
            Self::Prepared { name, .. } => (&**name).into(),
        }
    }

    fn limit(&self) -> Option<usize> {
        match self {
            Self::Text(request) | Self::Own(request) => request.limit,
            Self::Understood { .. } | Self::Prepared { .. } => None,
        }
    }
}

/// A query about to start.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) work: Work,
    pub(super) template: Arc<SessionState>,
    /// What the query is asked through, where it is not everyone's.
    pub(super) surface: Option<Arc<Surface>>,
    pub(super) book: Arc<Book>,
    pub(super) source: StateSource,
    pub(super) now: Micros,
    pub(super) limits: TextLimits,
    pub(super) cancel: CancellationToken,
    pub(super) measures: Arc<QueryMeasures>,
    pub(super) journal: Arc<Journal>,
}

struct Ready {
    schema: SchemaRef,
    freshness: Freshness,
}

/// Starts `job` on the query threads and waits until it is planned.
///
/// Time is kept here, on the caller's runtime: a query that never yields would starve the timers of its own.
pub(super) async fn start(job: Job, slot: Slot, threads: &Handle, timeout: Duration) -> Result<QueryOutput> {
    let mut deadline = Box::pin(tokio::time::sleep(timeout));
    let id = job.id.clone();
    let class = job.work.class();
    let named = Named::new(id.clone(), class.name(), &job.work.shown(), job.now);
    let stats = QueryStats::begin(named, class, Arc::clone(&job.measures), Arc::clone(&job.journal));
    let cancel = job.cancel.clone();
    let (ready, planned) = oneshot::channel();
    let (rows, receiver) = mpsc::channel(BATCHES_AHEAD);
    let task = threads.spawn(drive(job, slot, ready, rows, Arc::clone(&stats)));
    let stop = StopOnDrop { task: task.abort_handle(), cancel: cancel.clone() };
    let Ready { schema, freshness } = tokio::select! {
        biased;
        planned = planned => match planned {
            Ok(planned) => planned?,
            Err(_dropped) if cancel.is_cancelled() => return Err(cancelled()),
            Err(_dropped) => return Err(failed()),
        },
        () = cancel.cancelled() => return Err(cancelled()),
        () = &mut deadline => {
            stats.settle(Outcome::Timeout);
            return Err(timed_out(timeout));
        }
    };
    let stream = QueryStream {
        schema: Arc::clone(&schema),
        rows: receiver,
        deadline,
        timeout,
        cancelled: Box::pin(cancel.cancelled_owned()),
        stats: Arc::clone(&stats),
        ended: false,
        _stop: stop,
    };
    Ok(QueryOutput { id, schema, stream, freshness, stats })
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "cancelled", "the query was cancelled")
}

fn timed_out(timeout: Duration) -> Error {
    let seconds = timeout.as_secs_f64();
    Error::new(Kind::Timeout, "query_timeout", format!("the query ran longer than its {seconds} s"))
        .with_hint("narrow the time range (WHERE event_ts >= …), or ask for more time if the server allows it")
}

fn failed() -> Error {
    Error::internal("the query failed unexpectedly")
        .with_hint("this is a defect of the server; its log has the details")
}

/// Stops the driver when the reader goes away.
#[derive(Debug)]
struct StopOnDrop {
    task: AbortHandle,
    cancel: CancellationToken,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.task.abort();
    }
}

/// A query's rows.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    rows: mpsc::Receiver<Result<RecordBatch>>,
    deadline: Pin<Box<tokio::time::Sleep>>,
    timeout: Duration,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    stats: Arc<QueryStats>,
    ended: bool,
    _stop: StopOnDrop,
}

impl QueryStream {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn end(&mut self, last: Option<Error>) -> Poll<Option<Result<RecordBatch>>> {
        self.ended = true;
        self.stats.finish();
        Poll::Ready(last.map(Err))
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.rows.poll_recv(cx) {
            Poll::Ready(None) if self.stats.finished.load(Ordering::Acquire) => return self.end(None),
            Poll::Ready(Some(Err(error))) => return self.end(Some(error)),
            Poll::Ready(None) if self.cancelled.as_mut().poll(cx).is_ready() => return self.end(Some(cancelled())),
            Poll::Ready(None) => return self.end(Some(failed())),
            // Rows that are there still end with the time: a slow reader must not hold the query's memory for ever.
            Poll::Ready(Some(Ok(batch)))
                if !self.deadline.is_elapsed() && !self.cancelled.as_mut().poll(cx).is_ready() =>
            {
                return Poll::Ready(Some(Ok(batch)));
            }
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        if self.cancelled.as_mut().poll(cx).is_ready() {
            return self.end(Some(cancelled()));
        }
        if self.deadline.as_mut().poll(cx).is_ready() {
            self.stats.settle(Outcome::Timeout);
            let error = timed_out(self.timeout);
            return self.end(Some(error));
        }
        Poll::Pending
    }
}

/// Runs on the query threads; holds the slot for as long as anything of the query runs.
async fn drive(
    job: Job,
    slot: Slot,
    ready: oneshot::Sender<Result<Ready>>,
    rows: mpsc::Sender<Result<RecordBatch>>,
    stats: Arc<QueryStats>,
) {
    let cancel = job.cancel.clone();
    let mut ready = Some(ready);
    let work = AssertUnwindSafe(execute(job, &mut ready, &rows, &stats)).catch_unwind();
    let result = match cancel.run_until_cancelled(work).await {
        None => Err(cancelled()),
        // Operators that were told to stop end with an error of their own.
        Some(Ok(Err(_))) if cancel.is_cancelled() => Err(cancelled()),
        Some(Ok(result)) => result,
        Some(Err(_panic)) => {
            tracing::error!("a query panicked; only that query failed");
            Err(failed())
        }
    };
    stats.settle(result.as_ref().map_or_else(Outcome::of, |()| Outcome::Ok));
    stats.finish();
    match (result, ready) {
        (Ok(()), _) => stats.finished.store(true, Ordering::Release),
        (Err(error), Some(ready)) => drop(ready.send(Err(error))),
        (Err(error), None) => drop(rows.send(Err(error)).await),
    }
    drop(slot);
}

async fn execute(
    job: Job,
    ready: &mut Option<oneshot::Sender<Result<Ready>>>,
    rows: &mpsc::Sender<Result<RecordBatch>>,
    stats: &QueryStats,
) -> Result<()> {
    let state = (job.source)()?;
    let freshness =
        Freshness { through: state.through, lake_version: state.lake_version, buffered_rows: state.buffered_rows() };
    let (session, plan) = plan(&job, state).await?;
    *stats.plan.lock() = Some(Arc::clone(&plan));
    let schema = unique_names(&plan.schema());
    let mut stream = execute_stream(plan, session.task_ctx()).map_err(errors::from_datafusion)?;
    drop(session);
    if let Some(ready) = ready.take()
        && ready.send(Ok(Ready { schema: Arc::clone(&schema), freshness })).is_err()
    {
        return Err(cancelled());
    }
    let mut left = job.work.limit().unwrap_or(usize::MAX);
    while let Some(batch) = stream.next().await {
        let mut batch = renamed(batch.map_err(errors::from_datafusion)?, &schema)?;
        if batch.num_rows() == 0 {
            continue;
        }
        if batch.num_rows() > left {
            stats.truncated.store(true, Ordering::Relaxed);
            batch = batch.slice(0, left);
        }
        left -= batch.num_rows();
        let last = stats.truncated.load(Ordering::Relaxed);
        if batch.num_rows() > 0 && rows.send(Ok(batch)).await.is_err() {
            return Err(cancelled());
        }
        if last {
            break;
        }
    }
    Ok(())
}

/// From text, or from a prepared plan, to a plan that can run.
async fn plan(job: &Job, state: Arc<TableState>) -> Result<(SessionState, Arc<dyn ExecutionPlan>)> {
    let mut session = session_at(&job.template, &state, job.now);
    let logical = match &job.work {
        Work::Text(request) | Work::Own(request) => {
            let tables = tables(&session)?;
            let readable = Readable { tables: &tables, surface: job.surface.as_deref() };
            let statement = guard::check(&request.sql, job.limits, readable)?;
            let logical = session.statement_to_plan(statement).await.map_err(errors::from_datafusion)?;
            let logical = params::bind(logical, &request.params)?;
            let logical = limited(logical, request.limit)?;
            let logical = with_kept(logical, job, &state, &mut session).await?;
            session.optimize(&logical).map_err(errors::from_datafusion)?
        }
        Work::Understood { statement, values } => {
            let statement = statement.with_early(values)?;
            let logical = session.statement_to_plan(statement).await.map_err(errors::from_datafusion)?;
            let logical = logical.with_param_values(surface::numbered(values)).map_err(errors::from_datafusion)?;
            let logical = with_kept(logical, job, &state, &mut session).await?;
            session.optimize(&logical).map_err(errors::from_datafusion)?
        }
        Work::Prepared { plan, values, .. } => {
            let plan = with_kept(plan.clone(), job, &state, &mut session).await?;
            prepare::optimized(&session, &plan, values)?
        }
    };
    let physical = physical(&mut session, &logical, &state).await?;
    let physical = stop::joins(physical, &job.cancel).map_err(errors::from_datafusion)?;
    Ok((session, physical))
}

/// Plans a text on the query threads without running it: which parameters it has, and what it would answer with.
/// `declared` are the types a client says its parameters have.
pub(super) async fn understand(
    job: Job,
    declared: Vec<Option<DataType>>,
    slot: Slot,
    threads: &Handle,
    timeout: Duration,
) -> Result<Understood> {
    let cancel = job.cancel.clone();
    let (done, understood) = oneshot::channel();
    let token = cancel.clone();
    let task = threads.spawn(async move {
        let work = AssertUnwindSafe(understood_of(&job, &declared)).catch_unwind();
        let result = match token.run_until_cancelled(work).await {
            None => Err(cancelled()),
            Some(Ok(result)) => result,
            Some(Err(_panic)) => {
                tracing::error!("planning a query panicked; only that query failed");
                Err(failed())
            }
        };
        // Whoever asked may have left.
        drop(done.send(result));
        drop(slot);
    });
    let _stop = StopOnDrop { task: task.abort_handle(), cancel: cancel.clone() };
    tokio::select! {
        biased;
        understood = understood => understood.map_err(|_| failed())?,
        () = cancel.cancelled() => Err(cancelled()),
        () = tokio::time::sleep(timeout) => Err(timed_out(timeout)),
    }
}

async fn understood_of(job: &Job, declared: &[Option<DataType>]) -> Result<Understood> {
    let Work::Text(request) = &job.work else { return Err(failed()) };
    let state = (job.source)()?;
    let session = session_at(&job.template, &state, job.now);
    let tables = tables(&session)?;
    let readable = Readable { tables: &tables, surface: job.surface.as_deref() };
    let mut statement = guard::check(&request.sql, job.limits, readable)?;
    let placeholders = Placeholders::of(&mut statement)?;
    let plan = session.statement_to_plan(statement.clone()).await.map_err(errors::from_datafusion)?;
    let params = surface::parameter_fields(&plan, placeholders.count)?;
    // With nulls of the types the values will have, so that the columns are those of the answer.
    let nulls: Vec<ScalarValue> = params
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let declared = declared.get(at).and_then(Option::as_ref);
            surface::null_of(declared.or(field.as_ref().map(|field| field.data_type())))
        })
        .collect();
    let plan = plan.with_param_values(surface::numbered(&nulls)).map_err(errors::from_datafusion)?;
    let options = session.config_options().clone();
    let plan = session.analyzer().execute_and_check(plan, &options, |_, _| {}).map_err(errors::from_datafusion)?;
    let schema = unique_names(&Arc::new(plan.schema().as_arrow().clone()));
    Ok(Understood::new(statement, placeholders, params, schema))
}

/// Lets the plan read the rows of views that are kept, or writes their texts out.
async fn with_kept(
    plan: LogicalPlan,
    job: &Job,
    state: &Arc<TableState>,
    session: &mut SessionState,
) -> Result<LogicalPlan> {
    if !views::reads_kept(&plan) {
        return Ok(plan);
    }
    let reader = Reader { template: &job.template, state, now: job.now };
    // Seldom long, and large.
    match Box::pin(job.book.at(reader)).await {
        Some(pages) => {
            session.config_mut().set_extension(Arc::new(views::Kept(pages)));
            Ok(plan)
        }
        None => views::written_out(plan).map_err(errors::from_datafusion),
    }
}

/// A query's own session: what it sees and what is now to it.
pub(super) fn session_at(template: &SessionState, state: &Arc<TableState>, now: Micros) -> SessionState {
    let mut session = template.clone();
    session.mark_start_execution();
    session.execution_props_mut().query_execution_start_time = chrono::DateTime::from_timestamp_micros(now);
    session.config_mut().set_extension(Arc::new(Pinned(Arc::clone(state))));
    session
}

/// The names that can be read.
pub(super) fn tables(session: &SessionState) -> Result<Vec<String>> {
    let schema = session.schema_for_ref(TableReference::bare(TABLE)).map_err(errors::from_datafusion)?;
    Ok(schema.table_names())
}

/// How an optimised plan runs.
pub(super) async fn physical(
    session: &mut SessionState,
    logical: &LogicalPlan,
    state: &TableState,
) -> Result<Arc<dyn ExecutionPlan>> {
    if rows_to_read(logical, state, session) < session::SMALL_ROWS {
        session.config_mut().options_mut().execution.target_partitions = 1;
    }
    let planner = Arc::clone(session.query_planner());
    planner.create_physical_plan(logical, session).await.map_err(errors::from_datafusion)
}

/// One row more than the limit, so that it is known whether there were more.
fn limited(plan: LogicalPlan, limit: Option<usize>) -> Result<LogicalPlan> {
    let Some(limit) = limit else {
        return Ok(plan);
    };
    if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)) {
        return Ok(plan);
    }
    LogicalPlanBuilder::from(plan)
        .limit(0, Some(limit.saturating_add(1)))
        .and_then(LogicalPlanBuilder::build)
        .map_err(errors::from_datafusion)
}

/// The rows a plan will read after pruning: what decides between one core and all.
fn rows_to_read(plan: &LogicalPlan, state: &TableState, session: &SessionState) -> usize {
    let mut rows = 0usize;
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.table() == TABLE
        {
            // Without the table's name, as the scan itself gets them: what is found is found there again.
            let filters = unnormalize_cols(scan.filters.iter().cloned());
            let files = prune::select(state, session, &filters).map_or(usize::MAX, |selected| selected.rows());
            rows = rows.saturating_add(files).saturating_add(state.buffered_rows());
        } else if let (LogicalPlan::TableScan(scan), Some(kept)) =
            (node, session.config().get_extension::<views::Kept>())
        {
            rows = rows.saturating_add(kept.0.rows(scan.table_name.table()).max(1));
        } else if node.inputs().is_empty() {
            // Series and values: not known, and cheap to be wrong about.
            rows = rows.saturating_add(1);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    rows
}

/// A join of a table with itself has columns of one name twice; JSON and Parquet cannot.
pub(super) fn unique_names(schema: &SchemaRef) -> SchemaRef {
    let mut seen = HashSet::new();
    if schema.fields().iter().all(|field| seen.insert(field.name().clone())) {
        return Arc::clone(schema);
    }
    let mut taken: HashSet<String> = HashSet::new();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut name = field.name().clone();
            let mut n = 2;
            while !taken.insert(name.clone()) {
                name = format!("{}_{n}", field.name());
                n += 1;
            }
            field.as_ref().clone().with_name(name)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn renamed(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if Arc::ptr_eq(&batch.schema(), schema) {
        return Ok(batch);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options).or_else(|_| Ok(batch))
}
