//! Orders, their lines and their refunds, kept as tables in memory and brought up to date before each query that reads them.
//!
//! Whatever the range, the views of orders read all of an order's events: a refund or a cancellation restates it at any
//! time. But an order depends on its own events alone, and its place among its customer's orders on theirs. So when events
//! come in, the views, the very texts of `queries/views`, run over the events of these orders and customers only, and
//! their rows replace those of before. What a query sees belongs to its own state of the table: a state older than the
//! book, one with more orders than there is memory for, and any failure end in the views themselves, which are slower and
//! say the same.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, BooleanArray, StringViewArray, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, max, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, TableReference, exec_datafusion_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Mutex;

use super::events::{Late, TABLE, TableState};
use super::partials::compact;
use super::{run, views};
use crate::clock::Micros;
use crate::event::{self, index};

/// The views that are kept: each row belongs to one order, named by its column `order_key`.
pub(super) const KEPT: [&str; 3] = ["orders", "order_lines", "refunds"];
/// The types of events that orders are made of.
const TYPES: [&str; 3] = ["purchase", "refund", "order_cancelled"];
/// Orders in one part of the book, about: what one new event copies.
const PART_ORDERS: usize = 1_024;
/// Most parts.
const MAX_PARTS: usize = 1_024;
/// When more than one event in so many is new, everything is made again.
const REMAKE_ONE_IN: usize = 4;
/// Events of which the views are made at once, about, when everything is made: what that takes stays in the processor's
/// caches.
const PIECE_EVENTS: usize = 32_768;
/// What an entry of the index takes besides its text, about.
const INDEX_BYTES: usize = 64;

/// The kept views as they are at one state of the table.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    tables: [Vec<RecordBatch>; KEPT.len()],
    rows: [usize; KEPT.len()],
}

impl Pages {
    /// The rows of a kept view.
    pub(super) fn table(&self, name: &str) -> Option<&[RecordBatch]> {
        KEPT.iter().position(|kept| *kept == name).map(|at| self.tables[at].as_slice())
    }

    /// How many these are.
    pub(super) fn rows(&self, name: &str) -> usize {
        KEPT.iter().position(|kept| *kept == name).map_or(0, |at| self.rows[at])
    }
}

/// The book of one engine.
pub(super) struct Book {
    max_bytes: usize,
    /// What is kept takes so much, as of the last change.
    bytes: AtomicUsize,
    current: Mutex<Option<Current>>,
    /// How the kept views run over few events: planned once, since planning takes longer than that.
    plans: OnceLock<[Arc<dyn ExecutionPlan>; KEPT.len()]>,
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

/// Which rows of the table the book has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Read {
    seq: i64,
    rows: usize,
    rewritten: u64,
}

enum Current {
    /// Up to date with what it has read.
    Kept(Box<Kept>),
    /// More than there is memory for; tried again once rows have left the table.
    TooLarge { rewritten: u64 },
}

struct Kept {
    read: Read,
    /// The events orders are made of, by part, in the columns that the views read.
    events: Vec<RecordBatch>,
    columns: Arc<[usize]>,
    /// Every order in an event of a visitor.
    orders_of: HashMap<Box<str>, HashSet<Box<str>>>,
    indexed_bytes: usize,
    pages: Arc<Pages>,
    /// The parts of each kept view; one batch a part.
    schemas: [SchemaRef; KEPT.len()],
}

/// What a refresh needs of the query it is made for.
pub(super) struct Reader<'a> {
    pub(super) template: &'a SessionState,
    pub(super) state: &'a Arc<TableState>,
    pub(super) now: Micros,
}

impl Book {
    /// Uses at most so many bytes; 0 keeps nothing.
    pub(super) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, bytes: AtomicUsize::new(0), current: Mutex::default(), plans: OnceLock::new() })
    }

    /// How much memory is taken.
    pub(super) fn size(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Forgets everything; the next query makes it again.
    pub(super) async fn forget(&self) {
        *self.current.lock().await = None;
    }

    /// The kept views at the reader's state, made or brought up to date now; `None` when the views themselves must answer.
    pub(super) async fn at(&self, reader: Reader<'_>) -> Option<Arc<Pages>> {
        if self.max_bytes == 0 {
            return None;
        }
        let mut current = self.current.lock().await;
        let before = match current.as_mut() {
            Some(Current::TooLarge { rewritten }) if *rewritten == reader.state.rewritten => return None,
            Some(Current::Kept(kept)) => Some(kept.as_mut()),
            _ => None,
        };
        let kept = match (reader.next(self, before.as_deref()).await, before) {
            (Ok(Next::Same), Some(kept)) => return Some(Arc::clone(&kept.pages)),
            (Ok(Next::Changed(change)), Some(kept)) => {
                kept.apply(change);
                kept
            }
            (Ok(Next::Made(made)), _) => {
                *current = Some(Current::Kept(made));
                match current.as_mut() {
                    Some(Current::Kept(kept)) => kept.as_mut(),
                    _ => return None,
                }
            }
            (Ok(_), None) | (Err(Refused::Older), _) => return None,
            (Err(Refused::Failed(error)), _) => {
                tracing::debug!(%error, "orders are not kept for this query");
                return None;
            }
        };
        let bytes = kept.bytes();
        if bytes > self.max_bytes {
            tracing::info!(bytes, limit = self.max_bytes, "orders take more memory than they may and are not kept");
            let rewritten = kept.read.rewritten;
            *current = Some(Current::TooLarge { rewritten });
            self.bytes.store(0, Ordering::Relaxed);
            return None;
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Some(Arc::clone(&kept.pages))
    }
}

/// What becomes of the book at another state.
enum Next {
    Same,
    Changed(Change),
    Made(Box<Kept>),
}

/// What new events do to it.
struct Change {
    read: Read,
    /// The new events.
    new: RecordBatch,
    /// Parts of the kept events, as they are with them.
    events: Vec<(usize, RecordBatch)>,
    pages: Arc<Pages>,
}

enum Refused {
    /// The book has read further.
    Older,
    Failed(datafusion::error::DataFusionError),
}

impl From<datafusion::error::DataFusionError> for Refused {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::Failed(error)
    }
}

impl From<arrow::error::ArrowError> for Refused {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<crate::error::Error> for Refused {
    fn from(error: crate::error::Error) -> Self {
        Self::Failed(super::errors::external(error))
    }
}

/// The last `seq` of a state, where it is known.
fn last_seq(state: &TableState) -> Option<i64> {
    let buffered = state.buffer.iter().filter_map(|b| max(b.column(index::SEQ).as_primitive::<Int64Type>()));
    let stored = state.files.iter().map(|file| file.last_seq());
    stored.chain(buffered.map(Some)).try_fold(0, |last, seq| Some(last.max(seq?)))
}

impl Reader<'_> {
    /// The book at the reader's state.
    async fn next(&self, book: &Book, before: Option<&Kept>) -> Result<Next, Refused> {
        let Some(seq) = last_seq(self.state) else {
            return Err(exec_datafusion_err!("a file does not say which seq it ends with").into());
        };
        let rows = self.state.rows();
        let read = Read { seq, rows, rewritten: self.state.rewritten };
        let Some(before) = before else { return self.all(read, book).await };
        if before.read == read {
            return Ok(Next::Same);
        }
        if seq < before.read.seq || read.rewritten < before.read.rewritten {
            return Err(Refused::Older);
        }
        if read.rewritten == before.read.rewritten
            && let Some(new) = self.events_after(before, &read).await?
        {
            let few = new.num_rows() * REMAKE_ONE_IN <= before.events.iter().map(RecordBatch::num_rows).sum();
            if few || new.num_rows() == 0 {
                return Ok(Next::Changed(before.with(new, read, self, book).await?));
            }
        }
        self.all(read, book).await
    }

    /// The events orders are made of that came after `before`: only where nothing else has changed since.
    async fn events_after(&self, before: &Kept, read: &Read) -> Result<Option<RecordBatch>, Refused> {
        let (mut found, mut counted) = (Vec::new(), 0);
        for batch in &self.state.buffer {
            let seqs = batch.column(index::SEQ).as_primitive::<Int64Type>();
            let after: BooleanArray =
                seqs.iter().map(|seq| Some(seq.is_some_and(|seq| seq > before.read.seq))).collect();
            counted += after.true_count();
            if after.true_count() > 0 {
                let types = batch.column(index::EVENT_TYPE).as_string_view();
                let wanted = after
                    .iter()
                    .zip(types)
                    .map(|(after, kind)| Some(after == Some(true) && kind.is_some_and(|kind| TYPES.contains(&kind))));
                let narrow = batch.project(&before.columns)?;
                found.push(filter_record_batch(&narrow, &wanted.collect())?);
            }
        }
        let schema = before.events[0].schema();
        // Nothing but these: no row has left, and none went to a file unseen.
        if before.read.rows + counted == read.rows {
            return Ok(Some(concat_batches(&schema, &found)?));
        }
        let after = before.read.seq;
        let counted = self.sql(&format!("SELECT count(*) AS n FROM events WHERE seq > {after}")).await?;
        let counted = counted.iter().map(|b| b.column(0).as_primitive::<Int64Type>().value(0)).sum::<i64>();
        if before.read.rows + usize::try_from(counted).unwrap_or(usize::MAX / 2) != read.rows {
            return Ok(None);
        }
        let found = self.sql(&select(&before.columns, after)).await?;
        Ok(Some(concat_batches(&schema, &found)?))
    }

    /// The book made from nothing.
    async fn all(&self, read: Read, book: &Book) -> Result<Next, Refused> {
        let columns = self.columns().await?;
        let schema = Arc::new(event::table_schema().project(&columns)?);
        let found = self.sql(&select(&columns, -1)).await?;
        let events = compact(&concat_batches(&schema, &found)?);
        drop(found);
        // Piece by piece: what an aggregation over all of them would hold in memory is many times what it leaves.
        let of_piece = |rows: Vec<u32>| {
            let (events, columns) = (&events, &columns);
            async move {
                let piece = take_record_batch(events, &UInt32Array::from(rows))?;
                self.views(widen(&piece, columns)?, book).await
            }
        };
        let at_once = self.template.config().target_partitions();
        let pieces = futures::stream::iter(apart(&events, PIECE_EVENTS)).map(of_piece).buffered(at_once);
        let pieces: Vec<[RecordBatch; KEPT.len()]> = pieces.try_collect().await?;
        let whole = |view: usize| {
            let parts = pieces.iter().map(|piece| &piece[view]);
            Ok::<_, Refused>(concat_batches(&pieces[0][view].schema(), parts)?)
        };
        let made = [whole(0)?, whole(1)?, whole(2)?];
        drop(pieces);
        if text(&made[0], "visitor").is_none() {
            return Err(exec_datafusion_err!("orders have no visitor of text").into());
        }
        let keys: HashSet<&str> = made[0]
            .column_by_name("order_key")
            .map(|c| c.as_string_view().iter().flatten().collect())
            .unwrap_or_default();
        let parts = (keys.len() / PART_ORDERS).next_power_of_two().clamp(1, MAX_PARTS);
        drop(keys);
        let schemas = [made[0].schema(), made[1].schema(), made[2].schema()];
        let tables = made.each_ref().map(|rows| split(rows, parts));
        let [a, b, c] = tables;
        let tables = [a?, b?, c?];
        let mut kept = Kept {
            read,
            events: split_by(&events, parts, |row| key_of(&events, row))?,
            columns: columns.into(),
            orders_of: HashMap::new(),
            indexed_bytes: 0,
            pages: Pages::of(tables),
            schemas,
        };
        for batch in kept.events.clone() {
            kept.index(&batch);
        }
        Ok(Next::Made(Box::new(kept)))
    }

    /// The columns of the table that the kept views read.
    async fn columns(&self) -> Result<Vec<usize>, Refused> {
        let nothing = Arc::new(TableState::default());
        let session = run::session_at(self.template, &nothing, self.now);
        let mut columns: Vec<usize> =
            (0..event::COLUMNS.len()).filter(|column| event::COLUMNS[*column].required).collect();
        columns.push(event::COLUMNS.len());
        for name in KEPT {
            let plan = session.create_logical_plan(&format!("SELECT * FROM {name}")).await?;
            let plan = session.optimize(&views::written_out(plan)?)?;
            plan.apply_with_subqueries(|node| {
                if let LogicalPlan::TableScan(scan) = node
                    && scan.table_name.table() == TABLE
                {
                    let all: Vec<usize> = (0..event::table_schema().fields().len()).collect();
                    columns.extend(scan.projection.as_ref().unwrap_or(&all));
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        columns.sort_unstable();
        columns.dedup();
        Ok(columns)
    }

    async fn sql(&self, text: &str) -> Result<Vec<RecordBatch>, Refused> {
        let mut session = run::session_at(self.template, self.state, self.now);
        // Few rows of many columns.
        session.config_mut().options_mut().execution.parquet.pushdown_filters = true;
        let plan = session.create_logical_plan(text).await?;
        let plan = session.optimize(&plan)?;
        let plan = session.create_physical_plan(&plan).await?;
        Ok(collect(plan, session.task_ctx()).await?)
    }

    /// The kept views over some events alone, on a task of its own.
    async fn views(&self, events: RecordBatch, book: &Book) -> Result<[RecordBatch; KEPT.len()], Refused> {
        let mut session = run::session_at(self.template, self.state, self.now);
        let config = session.config_mut();
        config.options_mut().execution.target_partitions = 1;
        config.set_extension(Arc::new(Late(vec![(TABLE, events)])));
        let plans = match book.plans.get() {
            Some(plans) => plans,
            None => {
                let mut plans = Vec::with_capacity(KEPT.len());
                for name in KEPT {
                    plans.push(view(&session, name).await?);
                }
                let plans = three(plans)?;
                book.plans.get_or_init(|| plans)
            }
        };
        let made = SpawnedTask::spawn(made(session, plans.clone())).join();
        made.await.map_err(|e| exec_datafusion_err!("the kept views were not made: {e}"))?
    }
}

/// How a kept view's text runs over rows that come late: the first of them, orders, is a table to the others.
async fn view(session: &SessionState, name: &str) -> Result<Arc<dyn ExecutionPlan>, Refused> {
    let plan = session.create_logical_plan(&format!("SELECT * FROM {name}")).await?;
    let stay: &[&str] = if name == KEPT[0] { &[] } else { &KEPT[..1] };
    let plan = session.optimize(&views::written_out_but(plan, stay)?)?;
    Ok(session.create_physical_plan(&plan).await?)
}

async fn made(
    mut session: SessionState,
    plans: [Arc<dyn ExecutionPlan>; KEPT.len()],
) -> Result<[RecordBatch; KEPT.len()], Refused> {
    let mut made: Vec<RecordBatch> = Vec::with_capacity(KEPT.len());
    for (name, plan) in KEPT.into_iter().zip(plans) {
        let rows = rows_of(&session, name, reset_plan_states(plan)?).await?;
        if made.is_empty() {
            let mut late = session.config().get_extension::<Late>().map(|late| late.0.clone()).unwrap_or_default();
            late.push((name, rows.clone()));
            session.config_mut().set_extension(Arc::new(Late(late)));
        }
        made.push(rows);
    }
    three(made)
}

/// Its rows, in the columns the view is known to have: plans say less of what can be null.
async fn rows_of(session: &SessionState, name: &str, plan: Arc<dyn ExecutionPlan>) -> Result<RecordBatch, Refused> {
    let table = session.schema_for_ref(TableReference::bare(name))?.table(name).await?;
    let schema = table.map(|table| table.schema()).unwrap_or_else(|| plan.schema());
    let found = concat_batches(&plan.schema(), &collect(plan, session.task_ctx()).await?)?;
    let options = RecordBatchOptions::new().with_row_count(Some(found.num_rows()));
    Ok(compact(&RecordBatch::try_new_with_options(schema, found.columns().to_vec(), &options)?))
}

fn three<T>(made: Vec<T>) -> Result<[T; KEPT.len()], Refused> {
    made.try_into().map_err(|_| exec_datafusion_err!("the kept views are {}", KEPT.len()).into())
}

fn select(columns: &[usize], after: i64) -> String {
    let schema = event::table_schema();
    let names: Vec<&str> = columns.iter().map(|column| schema.field(*column).name().as_str()).collect();
    let types = TYPES.map(|kind| format!("'{kind}'")).join(", ");
    format!("SELECT {} FROM {TABLE} WHERE event_type IN ({types}) AND seq > {after}", names.join(", "))
}

/// Rows of some columns as rows of the whole table.
fn widen(events: &RecordBatch, columns: &[usize]) -> Result<RecordBatch, Refused> {
    let schema = event::table_schema();
    let wide = schema.fields().iter().enumerate().map(|(at, field)| match columns.binary_search(&at) {
        Ok(narrow) => Arc::clone(events.column(narrow)),
        Err(_) => new_null_array(field.data_type(), events.num_rows()),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(events.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), wide.collect(), &options)?)
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringViewArray> {
    batch.column_by_name(name).and_then(|column| column.as_string_view_opt())
}

fn value(column: Option<&StringViewArray>, row: usize) -> Option<&str> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

/// The order an event belongs to, as `order_key` of `queries/views/order_events.sql` says it.
fn key_of(events: &RecordBatch, row: usize) -> String {
    match value(text(events, "order_id"), row) {
        Some(order) => order.to_owned(),
        None => format!("event:{}", value(text(events, "event_id"), row).unwrap_or_default()),
    }
}

/// Who it is of, as `visitor` there.
fn visitor_of(events: &RecordBatch, row: usize) -> Option<&str> {
    value(text(events, "user_id"), row).or_else(|| value(text(events, "anonymous_id"), row))
}

/// The rows in groups of about `least`, such that no order and no customer is in two of them; at least one, be it empty.
///
/// Orders and customers are a graph whose edges are events; its components are found by union and find.
fn apart(events: &RecordBatch, least: usize) -> Vec<Vec<u32>> {
    let mut ids: HashMap<(bool, String), usize> = HashMap::new();
    let mut parents: Vec<usize> = Vec::new();
    fn root(parents: &mut [usize], mut node: usize) -> usize {
        while parents[node] != node {
            parents[node] = parents[parents[node]];
            node = parents[node];
        }
        node
    }
    let mut orders = Vec::with_capacity(events.num_rows());
    for row in 0..events.num_rows() {
        let mut id = |is_visitor: bool, name: String| {
            *ids.entry((is_visitor, name)).or_insert_with(|| {
                parents.push(parents.len());
                parents.len() - 1
            })
        };
        let order = id(false, key_of(events, row));
        let visitor = visitor_of(events, row).map(|visitor| id(true, visitor.to_owned()));
        if let Some(visitor) = visitor {
            let (a, b) = (root(&mut parents, order), root(&mut parents, visitor));
            parents[b] = a;
        }
        orders.push(order);
    }
    let mut components: HashMap<usize, Vec<u32>> = HashMap::new();
    for (row, order) in orders.into_iter().enumerate() {
        components.entry(root(&mut parents, order)).or_default().push(u32::try_from(row).unwrap_or(u32::MAX));
    }
    let mut groups = vec![Vec::new()];
    for rows in components.into_values() {
        if groups.last().is_some_and(|group| group.len() >= least) {
            groups.push(Vec::new());
        }
        groups.last_mut().into_iter().for_each(|group| group.extend(&rows));
    }
    groups
}

fn part_of(key: &str, parts: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    // A power of two; the cast cuts off what the mask does not want.
    hasher.finish() as usize & (parts - 1)
}

/// The rows of a kept view, by part.
fn split(rows: &RecordBatch, parts: usize) -> Result<Vec<RecordBatch>, Refused> {
    let keys = text(rows, "order_key").ok_or_else(|| exec_datafusion_err!("a kept view has no order_key of text"))?;
    split_by(rows, parts, |row| value(Some(keys), row).unwrap_or_default().to_owned())
}

fn split_by(rows: &RecordBatch, parts: usize, key: impl Fn(usize) -> String) -> Result<Vec<RecordBatch>, Refused> {
    let mut places = vec![Vec::new(); parts];
    for row in 0..rows.num_rows() {
        places[part_of(&key(row), parts)].push(u32::try_from(row).unwrap_or(u32::MAX));
    }
    let take = |places| Ok(compact(&take_record_batch(rows, &UInt32Array::from(places))?));
    places.into_iter().map(take).collect()
}

fn only(rows: &RecordBatch, wanted: impl Fn(usize) -> bool) -> Result<RecordBatch, Refused> {
    let mask: BooleanArray = (0..rows.num_rows()).map(|row| Some(wanted(row))).collect();
    Ok(filter_record_batch(rows, &mask)?)
}

impl Pages {
    fn of(tables: [Vec<RecordBatch>; KEPT.len()]) -> Arc<Self> {
        let rows = tables.each_ref().map(|parts| parts.iter().map(RecordBatch::num_rows).sum());
        Arc::new(Self { tables, rows })
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        let batches = self.events.iter().chain(self.pages.tables.iter().flatten());
        batches.map(RecordBatch::get_array_memory_size).sum::<usize>() + self.indexed_bytes
    }

    fn index(&mut self, events: &RecordBatch) {
        for row in 0..events.num_rows() {
            let Some(visitor) = visitor_of(events, row) else { continue };
            let key = key_of(events, row).into_boxed_str();
            if !self.orders_of.contains_key(visitor) {
                self.indexed_bytes += visitor.len() + INDEX_BYTES;
                self.orders_of.insert(visitor.into(), HashSet::new());
            }
            let bytes = key.len() + INDEX_BYTES;
            if self.orders_of.get_mut(visitor).is_some_and(|orders| orders.insert(key)) {
                self.indexed_bytes += bytes;
            }
        }
    }

    fn apply(&mut self, change: Change) {
        self.read = change.read;
        self.pages = change.pages;
        for (part, events) in change.events {
            self.events[part] = events;
        }
        self.index(&change.new);
    }

    /// All kept events of these orders.
    fn events_of(&self, keys: &HashSet<String>) -> Result<Vec<RecordBatch>, Refused> {
        let parts: HashSet<usize> = keys.iter().map(|key| part_of(key, self.events.len())).collect();
        let of = |part: usize| only(&self.events[part], |row| keys.contains(&key_of(&self.events[part], row)));
        parts.into_iter().map(of).collect()
    }

    /// What these events change.
    async fn with(&self, new: RecordBatch, read: Read, reader: &Reader<'_>, book: &Book) -> Result<Change, Refused> {
        if new.num_rows() == 0 {
            return Ok(Change { read, new, events: Vec::new(), pages: Arc::clone(&self.pages) });
        }
        let keys: HashSet<String> = (0..new.num_rows()).map(|row| key_of(&new, row)).collect();
        let mut visitors: HashSet<String> = HashSet::new();
        for events in self.events_of(&keys)?.iter().chain([&new]) {
            visitors.extend((0..events.num_rows()).filter_map(|row| visitor_of(events, row)).map(str::to_owned));
        }
        // Every order that may be one of these customers': theirs are counted in `ordinal`.
        let mut around = keys.clone();
        for visitor in &visitors {
            around.extend(self.orders_of.get(visitor.as_str()).into_iter().flatten().map(|key| String::from(&**key)));
        }
        let mut events = self.events_of(&around)?;
        events.push(new.clone());
        let events = concat_batches(&new.schema(), &events)?;
        let made = reader.views(widen(&events, &self.columns)?, book).await?;
        // The customers of these orders are whole, so their orders are right; of other customers' there may be more.
        let (order_keys, order_visitors) = (text(&made[0], "order_key"), text(&made[0], "visitor"));
        let whole =
            (0..made[0].num_rows()).filter(|row| value(order_visitors, *row).is_some_and(|v| visitors.contains(v)));
        let whole = whole.filter_map(|row| value(order_keys, row)).map(str::to_owned);
        let replaced: HashSet<String> = whole.chain(keys).collect();
        let mut tables = self.pages.tables.clone();
        for ((parts, made), schema) in tables.iter_mut().zip(&made).zip(&self.schemas) {
            replace(parts, made, schema, &replaced)?;
        }
        let count = self.events.len();
        let parts: HashSet<usize> = (0..new.num_rows()).map(|row| part_of(&key_of(&new, row), count)).collect();
        let with = |part: usize| {
            let comes = only(&new, |row| part_of(&key_of(&new, row), count) == part)?;
            Ok((part, compact(&concat_batches(&new.schema(), [&self.events[part], &comes])?)))
        };
        let events = parts.into_iter().map(with).collect::<Result<_, Refused>>()?;
        Ok(Change { read, new, events, pages: Pages::of(tables) })
    }
}

/// Puts the rows of `made` that belong to the orders `keys` in place of those in `parts`.
fn replace(
    parts: &mut [RecordBatch],
    made: &RecordBatch,
    schema: &SchemaRef,
    keys: &HashSet<String>,
) -> Result<(), Refused> {
    let count = parts.len();
    let touched: HashSet<usize> = keys.iter().map(|key| part_of(key, count)).collect();
    let made_keys = text(made, "order_key");
    for part in touched {
        let old_keys = text(&parts[part], "order_key");
        let stays = only(&parts[part], |row| value(old_keys, row).is_none_or(|key| !keys.contains(key)))?;
        let comes = only(made, |row| {
            value(made_keys, row).is_some_and(|key| keys.contains(key) && part_of(key, count) == part)
        })?;
        parts[part] = compact(&concat_batches(schema, [&stays, &comes])?);
    }
    Ok(())
}
