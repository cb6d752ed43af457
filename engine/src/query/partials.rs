//! Partial aggregates, kept for each piece of the table: a file, or a batch of the buffer; and for each part of the kept
//! views of orders ([`super::book`]).
//!
//! Pieces never change, so what an aggregate made of one holds for as long as the piece is part of the table; a flush, a
//! compaction or a late event makes new pieces, and the others stay known. The final step adds them up as it does anyway:
//! answers are exact, whatever the aggregate. What is kept is found again by the aggregate's own expressions and those of
//! the filters and projections below it, compared as they are: anything that is not known to give the same for the same
//! row is not kept.
//!
//! An aggregate is kept from the second time it is planned, so that a question asked once costs nothing more. What does not
//! become much smaller than its piece is not kept either.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, make_array};
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::{DataType, FieldRef, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::{DataSource, DataSourceExec};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr,
    NotExpr, TryCastExpr,
};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    replace_children_if_necessary,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::events::FilePin;
use crate::event;

/// Aggregates remembered.
const MAX_SHAPES: usize = 1_024;
/// Files that are computed apart in one query; the others are read together, as if nothing was kept.
const MAX_COMPUTED_FILES: usize = 64;
/// The same for batches in memory.
const MAX_COMPUTED_BATCHES: usize = 512;
/// Batches of the buffer below this are read each time: they are merged soon.
const MIN_BUFFER_ROWS: usize = 1_024;
/// Other batches below this are not worth an entry.
const MIN_BATCH_ROWS: usize = 64;
/// A partial aggregate is kept when it has at most this many rows,
const FEW_ROWS: usize = 1_024;
/// or at most one for so many of its piece.
const ROWS_FOR_ONE: usize = 4;
/// And when it takes at most this part of the memory.
const LARGEST_PART: usize = 8;
/// What an entry takes besides its values.
const ENTRY_BYTES: usize = 256;

/// What is kept, within its memory; what was not used for longest leaves first.
pub(super) struct Partials {
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shapes: HashMap<Shape, Known>,
    next_shape: u64,
    kept: HashMap<Key, Kept>,
    /// Keys by their last use.
    order: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
}

/// What is remembered of an aggregate.
struct Known {
    id: u64,
    planned: u64,
    used: u64,
    unfit: bool,
}

struct Kept {
    batch: RecordBatch,
    bytes: usize,
    used: u64,
    alive: Alive,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    shape: u64,
    piece: Piece,
}

/// A part of the table that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Piece {
    /// A file, by its path: none is ever used again.
    File(String),
    /// A batch of the buffer, by the address of its first column, which is nobody else's while it is watched.
    Batch(usize),
}

/// Whether a piece is still part of the table, or of a query.
#[derive(Debug, Clone)]
enum Alive {
    File(Weak<dyn std::any::Any + Send + Sync>),
    Batch(Weak<dyn Array>),
}

impl Alive {
    fn is_over(&self) -> bool {
        match self {
            Self::File(pin) => pin.strong_count() == 0,
            Self::Batch(column) => column.strong_count() == 0,
        }
    }
}

impl fmt::Debug for Partials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Partials")
            .field("max_bytes", &self.max_bytes)
            .field("bytes", &state.bytes)
            .field("kept", &state.kept.len())
            .finish_non_exhaustive()
    }
}

impl Partials {
    /// Keeps at most so many bytes; 0 keeps nothing.
    pub(super) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, state: Mutex::default() })
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        let mut state = self.state.lock();
        state.remove_where(|_, _| true);
        state.shapes.clear();
    }

    /// How many are kept, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.kept.len(), state.bytes)
    }

    /// The number of an aggregate that was planned before and may be kept.
    fn known(&self, shape: Shape) -> Option<u64> {
        let mut state = self.state.lock();
        state.let_go();
        state.uses += 1;
        let (now, id) = (state.uses, state.next_shape);
        if let Some(known) = state.shapes.get_mut(&shape) {
            known.planned += 1;
            known.used = now;
            return (!known.unfit).then_some(known.id);
        }
        if state.shapes.len() >= MAX_SHAPES
            && let Some(oldest) = state.shapes.values().map(|known| known.used).min()
        {
            state.shapes.retain(|_, known| known.used != oldest);
        }
        state.next_shape += 1;
        state.shapes.insert(shape, Known { id, planned: 1, used: now, unfit: false });
        None
    }

    fn get(&self, key: &Key, schema: &SchemaRef) -> Option<RecordBatch> {
        let mut state = self.state.lock();
        state.uses += 1;
        let now = state.uses;
        let kept = state.kept.get_mut(key).filter(|kept| kept.batch.schema() == *schema)?;
        let (batch, before) = (kept.batch.clone(), std::mem::replace(&mut kept.used, now));
        state.order.remove(&before);
        state.order.insert(now, key.clone());
        Some(batch)
    }

    /// Keeps what a piece gave; without a batch it was too much, and the aggregate is never kept again.
    fn keep(&self, key: Key, alive: Alive, batch: Option<RecordBatch>) {
        let mut state = self.state.lock();
        let sized = batch.map(|batch| (batch.get_array_memory_size() + ENTRY_BYTES, batch));
        let Some((bytes, batch)) = sized.filter(|(bytes, _)| *bytes <= self.max_bytes / LARGEST_PART) else {
            if let Some(known) = state.shapes.values_mut().find(|known| known.id == key.shape) {
                known.unfit = true;
            }
            state.remove_where(|kept, _| kept.shape == key.shape);
            return;
        };
        if alive.is_over() {
            return;
        }
        state.remove(&key);
        while state.bytes + bytes > self.max_bytes
            && let Some((_, oldest)) = state.order.pop_first()
        {
            state.remove(&oldest);
        }
        state.uses += 1;
        let used = state.uses;
        state.bytes += bytes;
        state.order.insert(used, key.clone());
        state.kept.insert(key, Kept { batch, bytes, used, alive });
    }
}

impl State {
    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.order.remove(&kept.used);
            self.bytes -= kept.bytes;
        }
    }

    fn remove_where(&mut self, gone: impl Fn(&Key, &Kept) -> bool) {
        let keys: Vec<Key> =
            self.kept.iter().filter(|(key, kept)| gone(key, kept)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove(&key);
        }
    }

    /// Forgets pieces that are no longer part of the table.
    fn let_go(&mut self) {
        self.remove_where(|_, kept| kept.alive.is_over());
    }
}

/// An aggregate and all that lies between it and the rows of a piece.
#[derive(PartialEq, Eq, Hash)]
struct Shape {
    groups: Vec<(Arc<dyn PhysicalExpr>, String)>,
    functions: Vec<Function>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    steps: Vec<Step>,
    source: Source,
}

#[derive(PartialEq, Eq, Hash)]
struct Function {
    function: AggregateUDF,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    order: Vec<(Arc<dyn PhysicalExpr>, SortOptions)>,
    name: String,
    field: FieldRef,
    distinct: bool,
    ignore_nulls: bool,
    reversed: bool,
}

#[derive(PartialEq, Eq, Hash)]
enum Step {
    Filter(Arc<dyn PhysicalExpr>, Option<Vec<usize>>),
    Project(Vec<(Arc<dyn PhysicalExpr>, String)>),
}

#[derive(PartialEq, Eq, Hash)]
enum Source {
    Files { columns: Vec<(Arc<dyn PhysicalExpr>, String)>, predicate: Option<Arc<dyn PhysicalExpr>> },
    Memory(Fields, Option<Vec<usize>>),
}

/// Whether an expression gives the same for the same row whenever it is asked.
fn is_settled(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let mut settled = true;
    let visited = expr.apply(|part| {
        let known = part.is::<Column>()
            || part.is::<Literal>()
            || part.is::<BinaryExpr>()
            || part.is::<CaseExpr>()
            || part.is::<CastExpr>()
            || part.is::<TryCastExpr>()
            || part.is::<InListExpr>()
            || part.is::<IsNullExpr>()
            || part.is::<IsNotNullExpr>()
            || part.is::<LikeExpr>()
            || part.is::<NotExpr>()
            || part.is::<NegativeExpr>()
            || part.is::<ScalarFunctionExpr>();
        settled &= known && !part.is_volatile_node();
        Ok(if settled { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    settled && visited.is_ok()
}

impl Function {
    fn of(function: &AggregateFunctionExpr) -> Self {
        Self {
            function: function.fun().clone(),
            arguments: function.expressions(),
            order: function.order_bys().iter().map(|by| (Arc::clone(&by.expr), by.options)).collect(),
            name: function.name().to_owned(),
            field: function.field(),
            distinct: function.is_distinct(),
            ignore_nulls: function.ignore_nulls(),
            reversed: function.is_reversed(),
        }
    }
}

impl Shape {
    /// `None` when something in it may give another answer another time.
    fn of(aggregate: &AggregateExec, leaf: &Leaf) -> Option<Self> {
        let shape = Self {
            groups: aggregate.group_expr().expr().to_vec(),
            functions: aggregate.aggr_expr().iter().map(|f| Function::of(f)).collect(),
            filters: aggregate.filter_expr().to_vec(),
            steps: leaf.path.iter().map(step).collect::<Option<_>>()?,
            source: leaf.source()?,
        };
        let settled = shape.groups.iter().all(|(expr, _)| is_settled(expr))
            && shape.functions.iter().all(|f| f.arguments.iter().all(is_settled))
            && shape.functions.iter().all(|f| f.order.iter().all(|(expr, _)| is_settled(expr)))
            && shape.filters.iter().flatten().all(is_settled)
            && shape.steps.iter().all(|step| match step {
                Step::Filter(predicate, _) => is_settled(predicate),
                Step::Project(columns) => columns.iter().all(|(expr, _)| is_settled(expr)),
            })
            && match &shape.source {
                Source::Files { columns, predicate } => {
                    columns.iter().all(|(expr, _)| is_settled(expr)) && predicate.iter().all(is_settled)
                }
                Source::Memory(..) => true,
            };
        settled.then_some(shape)
    }
}

fn step(node: &Arc<dyn ExecutionPlan>) -> Option<Step> {
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        let columns = filter.projection().as_ref().map(|columns| columns.to_vec());
        return filter.fetch().is_none().then(|| Step::Filter(Arc::clone(filter.predicate()), columns));
    }
    let project = node.downcast_ref::<ProjectionExec>()?;
    Some(Step::Project(project.expr().iter().map(|p| (Arc::clone(&p.expr), p.alias.clone())).collect()))
}

/// A scan below an aggregate, and what lies between, from the top.
struct Leaf {
    path: Vec<Arc<dyn ExecutionPlan>>,
    scan: Arc<dyn ExecutionPlan>,
}

impl Leaf {
    fn collect(plan: &Arc<dyn ExecutionPlan>, path: &[Arc<dyn ExecutionPlan>], found: &mut Vec<Self>) {
        if let Some(union) = plan.downcast_ref::<UnionExec>() {
            for input in union.inputs() {
                Self::collect(input, path, found);
            }
            return;
        }
        if (plan.is::<FilterExec>() || plan.is::<ProjectionExec>())
            && let [input] = plan.children().as_slice()
        {
            let path: Vec<_> = path.iter().chain([plan]).cloned().collect();
            Self::collect(input, &path, found);
            return;
        }
        found.push(Self { path: path.to_vec(), scan: Arc::clone(plan) });
    }

    fn files(&self) -> Option<(&FileScanConfig, &ParquetSource)> {
        let (config, source) =
            self.scan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
        config.limit.is_none().then_some((config, source))
    }

    fn memory(&self) -> Option<&MemorySourceConfig> {
        let memory = self.scan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<MemorySourceConfig>()?;
        memory.fetch().is_none().then_some(memory)
    }

    fn source(&self) -> Option<Source> {
        use datafusion::datasource::physical_plan::FileSource;
        if let Some((config, source)) = self.files() {
            let columns = config.file_source.projection()?;
            let columns = columns.iter().map(|p| (Arc::clone(&p.expr), p.alias.clone())).collect();
            return Some(Source::Files { columns, predicate: source.filter() });
        }
        let memory = self.memory()?;
        Some(Source::Memory(memory.original_schema().fields().clone(), memory.projection().clone()))
    }

    /// The partial aggregate of other rows of the same kind.
    fn over(&self, aggregate: &AggregateExec, scan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = scan;
        for node in self.path.iter().rev() {
            plan = replace_children_if_necessary(Arc::clone(node), vec![plan])?;
        }
        Ok(Arc::new(AggregateExec::try_new(
            AggregateMode::Partial,
            aggregate.group_expr().clone(),
            aggregate.aggr_expr().to_vec(),
            aggregate.filter_expr().to_vec(),
            plan,
            aggregate.input_schema(),
        )?))
    }

    /// The pieces it reads, each with its rows and a scan of it alone; and a scan of the rest.
    fn pieces(&self) -> Result<Option<(Vec<Part>, Rest)>> {
        if let Some((config, _)) = self.files() {
            let mut parts = Vec::new();
            for file in config.file_groups.iter().flat_map(FileGroup::iter) {
                let Some(part) = Part::file(file) else { return Ok(None) };
                parts.push(part);
            }
            return Ok(Some((parts, Rest::default())));
        }
        let Some(memory) = self.memory() else { return Ok(None) };
        let is_buffer = Arc::ptr_eq(&memory.original_schema(), &event::table_schema());
        let least = if is_buffer { MIN_BUFFER_ROWS } else { MIN_BATCH_ROWS };
        let batches = memory.partitions().iter().flatten();
        let (large, small): (Vec<_>, Vec<_>) =
            batches.partition(|batch| batch.num_rows() >= least && batch.num_columns() > 0);
        let parts = large.into_iter().map(Part::batch).collect();
        Ok(Some((parts, Rest { batches: small.into_iter().cloned().collect(), ..Rest::default() })))
    }

    /// A scan of these pieces.
    fn scan_of(&self, rest: Rest) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some((config, _)) = self.files() {
            let table = config.file_source.table_schema().table_schema();
            let unknown = datafusion::common::Statistics::new_unknown(table);
            let config = FileScanConfigBuilder::from(config.clone())
                .with_file_groups(vec![FileGroup::new(rest.files)])
                .with_statistics(unknown)
                .with_output_ordering(Vec::new())
                .build();
            return Ok(DataSourceExec::from_data_source(config));
        }
        let Some(memory) = self.memory() else { return internal_err!("a scan of pieces reads files or memory") };
        let source =
            MemorySourceConfig::try_new(&[rest.batches], memory.original_schema(), memory.projection().clone())?
                .with_show_sizes(false);
        Ok(DataSourceExec::from_data_source(source))
    }
}

/// Pieces that are read together.
#[derive(Default)]
struct Rest {
    files: Vec<PartitionedFile>,
    batches: Vec<RecordBatch>,
}

impl Rest {
    fn add(&mut self, part: Part) {
        self.files.extend(part.rest.files);
        self.batches.extend(part.rest.batches);
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.batches.is_empty()
    }
}

struct Part {
    piece: Piece,
    alive: Alive,
    rows: usize,
    rest: Rest,
}

impl Part {
    fn file(file: &PartitionedFile) -> Option<Self> {
        let pin = file.extension::<FilePin>()?;
        let rows = file.statistics.as_ref()?.num_rows.get_value().copied()?;
        file.range.is_none().then(|| Self {
            piece: Piece::File(file.object_meta.location.to_string()),
            alive: Alive::File(Arc::downgrade(pin)),
            rows,
            rest: Rest { files: vec![file.clone()], batches: Vec::new() },
        })
    }

    fn batch(batch: &RecordBatch) -> Self {
        let column = batch.column(0);
        Self {
            piece: Piece::Batch(Arc::as_ptr(column).cast::<()>() as usize),
            alive: Alive::Batch(Arc::downgrade(column)),
            rows: batch.num_rows(),
            rest: Rest { files: Vec::new(), batches: vec![batch.clone()] },
        }
    }
}

/// Puts what is kept in place of the pieces it was made of.
#[derive(Debug)]
pub(super) struct AnswerFromPartials(pub(super) Arc<Partials>);

impl PhysicalOptimizerRule for AnswerFromPartials {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if self.0.max_bytes == 0 {
            return Ok(plan);
        }
        let lanes = options.execution.target_partitions.max(1);
        plan.transform_down(|node| {
            let replaced = match node.downcast_ref::<AggregateExec>() {
                Some(aggregate) => self.replace(aggregate, lanes)?,
                None => None,
            };
            Ok(match replaced {
                // What stands there now is not looked at again.
                Some(new) => Transformed::new(new, true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "AnswerFromPartials"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl AnswerFromPartials {
    fn replace(&self, aggregate: &AggregateExec, lanes: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let plain = *aggregate.mode() == AggregateMode::Partial
            && aggregate.limit_options().is_none()
            && !aggregate.group_expr().has_grouping_set();
        if !plain {
            return Ok(None);
        }
        let mut leaves = Vec::new();
        Leaf::collect(aggregate.input(), &[], &mut leaves);
        let schema = aggregate.schema();
        let whole = Arc::new(aggregate.clone());
        let (mut kept, mut computed, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for leaf in leaves {
            let shape = Shape::of(aggregate, &leaf);
            let parts = if shape.is_some() { leaf.pieces()? } else { None };
            let (Some(shape), Some((parts, mut rest))) = (shape, parts) else {
                others.push(leaf.over(aggregate, Arc::clone(&leaf.scan))?);
                continue;
            };
            if parts.is_empty() {
                others.push(leaf.over(aggregate, Arc::clone(&leaf.scan))?);
                continue;
            }
            let Some(shape) = self.0.known(shape) else {
                others.push(leaf.over(aggregate, Arc::clone(&leaf.scan))?);
                continue;
            };
            let most = if leaf.files().is_some() { MAX_COMPUTED_FILES } else { MAX_COMPUTED_BATCHES };
            let already = computed.len();
            for part in parts {
                let key = Key { shape, piece: part.piece.clone() };
                if let Some(batch) = self.0.get(&key, &schema) {
                    kept.push(batch);
                } else if computed.len() - already < most {
                    let (alive, rows) = (part.alive.clone(), part.rows);
                    let plan = leaf.over(aggregate, leaf.scan_of(part.rest)?)?;
                    computed.push(Computed { key, alive, rows, plan, aggregate: Arc::clone(&whole) });
                } else {
                    rest.add(part);
                }
            }
            if !rest.is_empty() {
                others.push(leaf.over(aggregate, leaf.scan_of(rest)?)?);
            }
        }
        if kept.is_empty() && computed.is_empty() {
            return Ok(None);
        }
        let pieces: Arc<dyn ExecutionPlan> =
            Arc::new(PartialsExec::new(schema, kept, computed, lanes, Arc::clone(&self.0)));
        if others.is_empty() {
            return Ok(Some(pieces));
        }
        others.insert(0, pieces);
        UnionExec::try_new(others).map(Some)
    }
}

/// Partial aggregates that are kept, and those that are computed now and kept from then on: in a few lanes, each one piece
/// after the other, since all at once would share the memory for queries among them.
#[derive(Debug)]
struct PartialsExec {
    kept: Vec<RecordBatch>,
    computed: Vec<Computed>,
    lanes: usize,
    partials: Arc<Partials>,
    properties: Arc<PlanProperties>,
}

#[derive(Debug, Clone)]
struct Computed {
    key: Key,
    alive: Alive,
    rows: usize,
    plan: Arc<dyn ExecutionPlan>,
    aggregate: Arc<AggregateExec>,
}

impl PartialsExec {
    fn new(
        schema: SchemaRef,
        kept: Vec<RecordBatch>,
        computed: Vec<Computed>,
        lanes: usize,
        partials: Arc<Partials>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1 + lanes.min(computed.len())),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { kept, computed, lanes, partials, properties: Arc::new(properties) }
    }
}

impl DisplayAs for PartialsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartialsExec: kept={}, computed={}", self.kept.len(), self.computed.len())
    }
}

impl ExecutionPlan for PartialsExec {
    fn name(&self) -> &'static str {
        "PartialsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.computed.iter().map(|c| &c.plan).collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.computed.len()]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != self.computed.len() {
            return internal_err!("PartialsExec has {} children", self.computed.len());
        }
        let again = |(c, plan): (&Computed, _)| Computed { plan, ..c.clone() };
        let computed = self.computed.iter().zip(children).map(again).collect();
        Ok(Arc::new(Self::new(self.schema(), self.kept.clone(), computed, self.lanes, Arc::clone(&self.partials))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(lane) = partition.checked_sub(1) else {
            return Ok(Box::pin(MemoryStream::try_new(self.kept.clone(), self.schema(), None)?));
        };
        let partials = Arc::clone(&self.partials);
        let pieces: Vec<Computed> = self.computed.iter().skip(lane).step_by(self.lanes).cloned().collect();
        let rows = futures::stream::iter(pieces).map(move |piece| piece.run(&context, &partials)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

impl Computed {
    /// The piece's aggregate as one: a file may be read in parts, each of which gives rows of the same groups.
    fn united(&self) -> Result<Arc<dyn ExecutionPlan>> {
        if self.plan.output_partitioning().partition_count() == 1 {
            return Ok(Arc::clone(&self.plan));
        }
        Ok(Arc::new(AggregateExec::try_new(
            AggregateMode::PartialReduce,
            self.aggregate.group_expr().as_final(),
            self.aggregate.aggr_expr().to_vec(),
            vec![None; self.aggregate.aggr_expr().len()],
            Arc::new(CoalescePartitionsExec::new(Arc::clone(&self.plan))),
            self.aggregate.input_schema(),
        )?))
    }

    /// Computes the piece, and keeps what it gave once all of it has ended well.
    fn run(
        self,
        context: &Arc<TaskContext>,
        partials: &Arc<Partials>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let rows = self.united()?.execute(0, Arc::clone(context))?;
        let most = FEW_ROWS.max(self.rows / ROWS_FOR_ONE);
        let gathered = Arc::new(Mutex::new(Gathered::default()));
        let (sink, partials) = (Arc::clone(&gathered), Arc::clone(partials));
        let batches = rows.inspect(move |batch| {
            let mut gathered = sink.lock();
            match batch {
                Ok(batch) => {
                    gathered.rows += batch.num_rows();
                    if gathered.rows <= most {
                        gathered.batches.push(batch.clone());
                    }
                }
                Err(_) => gathered.failed = true,
            }
        });
        let last = futures::stream::once(async move {
            let gathered = std::mem::take(&mut *gathered.lock());
            if !gathered.failed {
                let schema = self.plan.schema();
                let whole = (gathered.rows <= most).then(|| concat_batches(&schema, &gathered.batches)).transpose();
                if let Ok(whole) = whole {
                    partials.keep(self.key, self.alive, whole.as_ref().map(compact));
                }
            }
            None
        });
        Ok(batches.map(Some).chain(last).filter_map(std::future::ready).boxed())
    }
}

/// What a piece has given so far.
#[derive(Debug, Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    rows: usize,
    failed: bool,
}

/// The same rows without the memory of those they were taken from.
pub(super) fn compact(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().map(compact_column).collect();
    RecordBatch::try_new(batch.schema(), columns).unwrap_or_else(|_| batch.clone())
}

fn compact_column(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        DataType::List(field) => {
            let list = column.as_list::<i32>();
            let values = compact_column(list.values());
            let made = ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned());
            made.map_or_else(|_| Arc::clone(column), |made| Arc::new(made) as ArrayRef)
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns().iter().map(compact_column).collect();
            let made = StructArray::try_new(fields.clone(), columns, column.nulls().cloned());
            made.map_or_else(|_| Arc::clone(column), |made| Arc::new(made) as ArrayRef)
        }
        _ => make_array(column.to_data()),
    }
}
