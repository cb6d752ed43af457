//! The table `events`: the lake's files at one version, and the buffer's rows beyond it, as one scan.
//!
//! The scan is ours because Delta's own declares no order and keeps no statistics: files are listed with exact counts
//! and bounds, sorted by `event_ts` descending, and handed to DataFusion's Parquet source as they are.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, ScalarValue, Statistics, exec_datafusion_err, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, CachedParquetMetaData};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::cache::cache_manager::CachedFileMetadataEntry;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::union::UnionExec;
use parquet::file::metadata::ParquetMetaData;

use super::prune::{self, Selections};
use super::session;
use crate::clock::Micros;
use crate::event::{self, EVENT_DATE, EVENT_TS, index};

/// Its name.
pub const TABLE: &str = "events";

/// Ordered groups of files are given up when overlaps would make more than this many for each core.
const MAX_GROUPS_PER_CORE: usize = 4;
/// Filtering while decoding pays when at least this many columns besides the filtered ones are decoded.
const WIDE_COLUMNS: usize = 3;
/// Columns of so many values that an equality picks few rows.
const SELECTIVE: [&str; 7] = ["user_id", "anonymous_id", "session_id", "event_id", "order_id", "cart_id", "seq"];

/// One Parquet file of the lake.
pub struct ScanFile {
    /// Its path in the store the engine was given.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its rows, exactly.
    pub rows: usize,
    /// Its partition: the day all its events fall on, in days since the epoch.
    pub day: i32,
    /// Statistics of all columns of [`event::table_schema`]; bounds that are not exact must not be marked so.
    pub statistics: Arc<Statistics>,
    /// Its footer, where known from writing it: saves the first read.
    pub metadata: Option<Arc<ParquetMetaData>>,
    /// Keeps the file from being deleted while a plan holds it.
    pub pin: FilePin,
}

/// Whatever keeps a file from being deleted.
pub(super) type FilePin = Arc<dyn Any + Send + Sync>;

impl fmt::Debug for ScanFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanFile").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// What `events` holds at one instant: one immutable value per query.
#[derive(Debug, Default)]
pub struct TableState {
    /// The lake's files, newest first.
    pub files: Vec<Arc<ScanFile>>,
    /// Rows beyond the lake, in [`event::table_schema`], any order.
    pub buffer: Vec<RecordBatch>,
    /// The lake's version.
    pub lake_version: i64,
    /// The latest `event_ts` known, or until when events are complete.
    pub through: Option<Micros>,
    /// Grows when rows may have left the table or changed, see `LakeSnapshot::rewritten`.
    pub rewritten: u64,
    pub(super) selections: Selections,
}

impl TableState {
    /// The state made of these files and rows.
    pub fn new(
        files: Vec<Arc<ScanFile>>,
        buffer: Vec<RecordBatch>,
        lake_version: i64,
        through: Option<Micros>,
    ) -> Self {
        Self { files, buffer, lake_version, through, rewritten: 0, selections: Selections::default() }
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        self.files.iter().map(|file| file.rows).sum::<usize>() + self.buffered_rows()
    }

    /// Of them, in the buffer.
    pub fn buffered_rows(&self) -> usize {
        self.buffer.iter().map(RecordBatch::num_rows).sum()
    }
}

/// The state a query sees, carried by its session: a self-join must see one.
#[derive(Debug)]
pub(super) struct Pinned(pub(super) Arc<TableState>);

/// Tables whose rows a plan reads when it runs, instead of a state it was made for: for plans that are made once and run
/// often, see `book.rs`. A session that carries it makes such plans; the one they run in brings the rows.
#[derive(Debug, Default)]
pub(super) struct Late(pub(super) Vec<(&'static str, RecordBatch)>);

#[derive(Debug)]
struct LateRows {
    table: &'static str,
    schema: SchemaRef,
}

impl PartitionStream for LateRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let late = context.session_config().get_extension::<Late>();
        let rows = late.iter().flat_map(|late| &late.0).filter(|(table, _)| *table == self.table);
        let rows: Vec<_> = rows.map(|(_, rows)| Ok(rows.clone())).collect();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(rows)))
    }
}

impl Late {
    /// Reads a table's rows when it runs.
    pub(super) fn scan(
        table: &'static str,
        schema: SchemaRef,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows: Arc<dyn PartitionStream> = Arc::new(LateRows { table, schema: Arc::clone(&schema) });
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![rows], projection, [], false, None)?))
    }
}

/// The table's definition; its rows come with the session.
#[derive(Debug)]
pub(super) struct EventsTable {
    files: TableSchema,
}

impl EventsTable {
    pub(super) fn new() -> Self {
        let table = event::table_schema();
        let stored: Vec<_> = table.fields().iter().filter(|f| f.name() != EVENT_DATE).cloned().collect();
        let partition = Arc::new(Field::new(EVENT_DATE, arrow::datatypes::DataType::Date32, false));
        Self {
            files: TableSchema::builder(Arc::new(Schema::new(stored)))
                .with_table_partition_cols(vec![partition])
                .build(),
        }
    }
}

/// Newest first, as files are written. The column has no nulls, so their place does not matter.
fn newest_first() -> Option<LexOrdering> {
    let options = SortOptions { descending: true, nulls_first: true };
    let column = Arc::new(Column::new(EVENT_TS, index::EVENT_TS));
    LexOrdering::new([PhysicalSortExpr::new(column, options)])
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        event::table_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match prune::is_exact(filter) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if session.config().get_extension::<Late>().is_some() {
            if filters.iter().any(prune::is_exact) {
                return exec_err!("filters on time are not applied to rows that come late");
            }
            return Late::scan(TABLE, event::table_schema(), projection);
        }
        let pinned = session
            .config()
            .get_extension::<Pinned>()
            .ok_or_else(|| exec_datafusion_err!("the session has no state of the table"))?;
        let scan = Scan::new(&self.files, &pinned.0, session, projection, filters)?;
        scan.plan()
    }
}

/// One reference to the table in one query.
struct Scan<'a> {
    files: &'a TableSchema,
    state: &'a TableState,
    session: &'a dyn Session,
    projection: Vec<usize>,
    selected: Arc<prune::Selected>,
    late: bool,
}

impl<'a> Scan<'a> {
    fn new(
        files: &'a TableSchema,
        state: &'a TableState,
        session: &'a dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Self> {
        let projection = match projection {
            Some(columns) => columns.clone(),
            None => (0..event::table_schema().fields().len()).collect(),
        };
        let selected = prune::select(state, session, filters)?;
        let asked = session.config_options().execution.parquet.pushdown_filters;
        let late = asked || filter_while_decoding(filters, projection.len());
        Ok(Self { files, state, session, projection, selected, late })
    }

    fn plan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let predicate = self.time_predicate()?;
        let mut children: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !self.selected.inside.is_empty() {
            children.push(self.lake(&self.selected.inside, &self.projection)?);
        }
        if !self.selected.border.is_empty() {
            children.push(match &predicate {
                Some(time) => time.over(&self.projection, |columns| self.lake(&self.selected.border, columns))?,
                None => self.lake(&self.selected.border, &self.projection)?,
            });
        }
        if !self.state.buffer.is_empty() {
            children.push(match &predicate {
                Some(time) => time.over(&self.projection, |columns| self.memory(columns))?,
                None => self.memory(&self.projection)?,
            });
        }
        match children.len() {
            0 => Ok(Arc::new(EmptyExec::new(Arc::new(event::table_schema().project(&self.projection)?)))),
            1 => Ok(children.swap_remove(0)),
            _ => UnionExec::try_new(children),
        }
    }

    /// The filters on time as one expression over the whole table.
    fn time_predicate(&self) -> Result<Option<TimePredicate>> {
        let Some(filter) = conjunction(self.selected.time_filters.iter().cloned()) else {
            return Ok(None);
        };
        let schema = DFSchema::try_from(event::table_schema())?;
        let columns = filter.column_refs().iter().filter_map(|c| schema.index_of_column(c).ok()).collect();
        Ok(Some(TimePredicate { expr: self.session.create_physical_expr(filter, &schema)?, columns }))
    }

    fn memory(&self, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        let source = MemorySourceConfig::try_new(
            std::slice::from_ref(&self.state.buffer),
            event::table_schema(),
            Some(columns.to_vec()),
        )?
        .with_show_sizes(false);
        Ok(DataSourceExec::from_data_source(source))
    }

    fn lake(&self, files: &[Arc<ScanFile>], columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.files.table_schema();
        let statistics = Statistics::try_merge_iter(files.iter().map(|f| f.statistics.as_ref()), schema)?;
        let (groups, ordering) = self.groups(files)?;
        let source = ParquetSource::new(self.files.clone())
            .with_table_parquet_options(datafusion::config::TableParquetOptions {
                global: self.session.config_options().execution.parquet.clone(),
                ..Default::default()
            })
            .with_parquet_file_reader_factory(self.readers()?)
            .with_pushdown_filters(self.late);
        let config = FileScanConfigBuilder::new(session::store_url()?, Arc::new(source))
            .with_projection_indices(Some(columns.to_vec()))?
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_output_ordering(ordering)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Readers that keep footers in the session's cache, where known footers are put first.
    fn readers(&self) -> Result<Arc<CachedParquetFileReaderFactory>> {
        let env = self.session.runtime_env();
        let store = env.object_store(session::store_url()?)?;
        let cache = env.cache_manager.get_file_metadata_cache();
        for file in self.selected.inside.iter().chain(&self.selected.border) {
            let Some(metadata) = &file.metadata else {
                continue;
            };
            let meta = partitioned(file).object_meta;
            if !cache.contains_key(&meta.location) {
                let known = Arc::new(CachedParquetMetaData::new(Arc::clone(metadata)));
                cache.put(&meta.location.clone(), CachedFileMetadataEntry::new(meta, known));
            }
        }
        Ok(Arc::new(CachedParquetFileReaderFactory::new(store, cache)))
    }

    /// Files as groups read side by side, each in order where overlaps allow it.
    fn groups(&self, files: &[Arc<ScanFile>]) -> Result<(Vec<FileGroup>, Vec<LexOrdering>)> {
        let cores = self.session.config_options().execution.target_partitions.max(1);
        let all = FileGroup::new(files.iter().map(partitioned).collect());
        let ordered = newest_first().and_then(|order| {
            let groups = FileScanConfig::split_groups_by_statistics_with_target_partitions(
                self.files.table_schema(),
                std::slice::from_ref(&all),
                &order,
                cores,
            );
            groups.ok().map(|groups| (groups, order))
        });
        match ordered {
            Some((groups, order)) if groups.len() <= cores * MAX_GROUPS_PER_CORE => Ok((groups, vec![order])),
            _ => Ok((all.split_files(cores), Vec::new())),
        }
    }
}

/// A file as the Parquet source wants it; it keeps the file pinned for as long as a plan holds it.
fn partitioned(file: &Arc<ScanFile>) -> PartitionedFile {
    let mut partitioned = PartitionedFile::new(file.path.clone(), file.bytes)
        .with_partition_values(vec![ScalarValue::Date32(Some(file.day))])
        .with_extension(Arc::clone(&file.pin));
    // Already those of all columns, the partition's among them.
    partitioned.statistics = Some(Arc::clone(&file.statistics));
    partitioned
}

/// The filters on time over the whole table, and the columns they read.
struct TimePredicate {
    expr: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
}

impl TimePredicate {
    /// Filters a scan, made for the columns wanted and those filtered on, down to the columns wanted.
    fn over(
        &self,
        wanted: &[usize],
        scan: impl FnOnce(&[usize]) -> Result<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut columns = wanted.to_vec();
        for column in &self.columns {
            if !columns.contains(column) {
                columns.push(*column);
            }
        }
        let input = scan(&columns)?;
        let predicate =
            datafusion::physical_expr::utils::reassign_expr_columns(Arc::clone(&self.expr), &input.schema())?;
        let keep = (columns.len() > wanted.len()).then(|| (0..wanted.len()).collect());
        Ok(Arc::new(FilterExecBuilder::new(predicate, input).apply_projection(keep)?.build()?))
    }
}

/// Whether the reader should filter rows before it decodes the other columns: when few rows pass and those columns
/// are many. Otherwise it costs more than it saves.
fn filter_while_decoding(filters: &[Expr], columns: usize) -> bool {
    columns >= WIDE_COLUMNS && filters.iter().any(is_selective)
}

fn is_selective(filter: &Expr) -> bool {
    let names_one = |e: &Expr| matches!(e, Expr::Column(c) if SELECTIVE.contains(&c.name.as_str()));
    match filter {
        Expr::BinaryExpr(b) if b.op == Operator::Eq => names_one(&b.left) || names_one(&b.right),
        Expr::BinaryExpr(b) if b.op == Operator::Or => is_selective(&b.left) && is_selective(&b.right),
        Expr::InList(list) => !list.negated && names_one(&list.expr),
        _ => false,
    }
}
