//! The session every query starts from, built once: settings, functions, storage, memory. All tuning is here.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider, TableProvider,
};
use datafusion::common::{Result as DfResult, TableReference, not_impl_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_optimizer::optimizer::{PhysicalOptimizer, PhysicalOptimizerRule};
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use url::Url;

use super::distinct::CountDistinctTexts;
use super::events::EventsTable;
use super::partials::{AnswerFromPartials, Partials};
use super::{QueryConfig, choice, commerce, concat, errors, functions, json, like, order, shortcut, views};
use crate::error::{Error, Result};

/// The catalog tables stand in.
pub(super) const CATALOG: &str = "tideline";
/// The schema tables stand in.
pub(super) const SCHEMA: &str = "public";
/// Under which scheme and host the lake is read; nothing else resolves.
const STORE_URL: &str = "tideline://lake/";

/// Rows in a batch on its way through a query.
const BATCH_ROWS: usize = 8_192;
/// Footers and page indexes of Parquet files kept in memory.
const METADATA_CACHE_BYTES: usize = 256 * 1024 * 1024;
/// What is read first of a file whose footer is not known.
const FOOTER_BYTES: usize = 128 * 1024;
/// Consumers named when memory runs out.
const NAMED_CONSUMERS: usize = 5;
/// Files are cut into ranges for more cores only above this size.
const SPLIT_MIN_BYTES: usize = 1024 * 1024;
/// Below this many rows a query is planned for one core: starting a second costs more than it saves.
pub(super) const SMALL_ROWS: usize = 100_000;

/// Where the lake is, for plans.
pub(super) fn store_url() -> DfResult<ObjectStoreUrl> {
    ObjectStoreUrl::parse(STORE_URL)
}

/// Resolves the lake's URL and nothing else: no `file://`, no address a query could name.
#[derive(Debug)]
struct OnlyTheLake(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for OnlyTheLake {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn deregister_store(&self, _: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        not_impl_err!("the store stays")
    }

    fn get_store(&self, url: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        if url.as_str().starts_with(STORE_URL) { Ok(Arc::clone(&self.0)) } else { plan_err!("no such storage") }
    }
}

fn runtime_env(config: &QueryConfig, store: Arc<dyn ObjectStore>) -> Result<Arc<RuntimeEnv>> {
    let named = NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(NonZeroUsize::MIN);
    let pool = TrackConsumersPool::new(FairSpillPool::new(config.memory_bytes), named);
    let disk = match &config.spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
        None => DiskManagerMode::Disabled,
    };
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(disk).with_max_temp_directory_size(config.spill_bytes),
        )
        .with_object_store_registry(Arc::new(OnlyTheLake(store)))
        .with_metadata_cache_limit(METADATA_CACHE_BYTES)
        .build_arc()
        .map_err(|e| Error::internal("the folder for spilled data cannot be used").with_source(e))
}

fn session_config(threads: usize) -> SessionConfig {
    let mut options = ConfigOptions::new();
    options.catalog.create_default_catalog_and_schema = false;
    options.catalog.default_catalog = CATALOG.to_owned();
    options.catalog.default_schema = SCHEMA.to_owned();
    options.catalog.information_schema = true;
    options.sql_parser.collect_spans = true;
    let execution = &mut options.execution;
    execution.target_partitions = threads;
    execution.planning_concurrency = threads;
    execution.time_zone = Some("UTC".to_owned());
    execution.enable_recursive_ctes = false;
    // Unknown partition and file counts are ours; nothing lists or infers.
    execution.collect_statistics = false;
    let parquet = &mut execution.parquet;
    parquet.metadata_size_hint = Some(FOOTER_BYTES);
    parquet.bloom_filter_on_read = true;
    parquet.enable_page_index = true;
    // Decided for each scan, see events.rs.
    parquet.pushdown_filters = false;
    parquet.reorder_filters = true;
    let optimizer = &mut options.optimizer;
    optimizer.repartition_file_min_size = SPLIT_MIN_BYTES;
    // It loses the names of a join's columns where both sides read JSON: "no column nullif(__datafusion_extracted_1…".
    optimizer.enable_leaf_expression_pushdown = false;
    SessionConfig::from(options).with_batch_size(BATCH_ROWS)
}

/// What is done to a query's meaning before it is planned, types and all.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = json::analyzer_rules();
    rules.push(Arc::new(CountDistinctTexts));
    rules
}

/// The rules of DataFusion with ours among them: see [`shortcut`], [`order`] and [`like`].
fn physical_rules(partials: Arc<Partials>) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    // Before partitioning is decided, so that what is read from statistics is not distributed first.
    let at = rules.iter().position(|rule| rule.name() == "EnsureRequirements").unwrap_or(0);
    rules.insert(at, Arc::new(shortcut::AnswerFromStatistics));
    rules.insert(at + 1, Arc::new(AnswerFromPartials(partials)));
    // After sorts are placed, before limits and filters move through them.
    rules.insert(at + 3, Arc::new(order::SortIntoUnion));
    // After sorting is decided, so that scans nobody needs in order may share their work.
    let at = rules.iter().position(|rule| rule.name() == "SanityCheckPlan").unwrap_or(rules.len());
    rules.insert(at, Arc::new(order::RelaxUnusedOrder));
    // When filters stand where they stay.
    rules.insert(at, Arc::new(like::LikeOncePerText));
    rules
}

/// Builds the template every query's session is cloned from.
pub(super) fn template(
    config: &QueryConfig,
    store: Arc<dyn ObjectStore>,
    partials: Arc<Partials>,
) -> Result<SessionState> {
    let tables = Arc::new(MemorySchemaProvider::new());
    let catalog = MemoryCatalogProvider::new();
    let catalogs = MemoryCatalogProviderList::new();
    tables
        .register_table(super::events::TABLE.to_owned(), Arc::new(EventsTable::new()))
        .and_then(|_| catalog.register_schema(SCHEMA, Arc::clone(&tables) as _))
        .map_err(errors::from_datafusion)?;
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    let mut planners = SessionStateDefaults::default_expr_planners();
    planners.insert(0, Arc::new(concat::ConcatPlanner::new()));
    let mut scalar = functions::scalar();
    let literals = functions::LiteralPlanner::new(&scalar)
        .ok_or_else(|| Error::internal("a function that literals are made of is missing"))?;
    planners.insert(0, Arc::new(literals));
    scalar.extend(config.shop.functions());
    let mut aggregates = SessionStateDefaults::default_aggregate_functions();
    aggregates.extend(commerce::aggregates());
    let mut windows = SessionStateDefaults::default_window_functions();
    windows.extend(commerce::windows());
    let mut session = SessionStateBuilder::new()
        .with_session_id(CATALOG.to_owned())
        .with_config(session_config(config.threads))
        .with_runtime_env(runtime_env(config, store)?)
        .with_catalog_list(Arc::new(catalogs))
        .with_expr_planners(planners)
        .with_scalar_functions(scalar)
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(aggregates)
        .with_window_functions(windows)
        .with_table_function_list(functions::table())
        .with_analyzer_rules(analyzer_rules())
        .with_optimizer_rules(choice::optimizer_rules())
        .with_physical_optimizer_rules(physical_rules(partials))
        .build();
    json::register(&mut session).map_err(errors::from_datafusion)?;
    views::register(&mut session, tables.as_ref())?;
    Ok(session)
}

/// Adds a table that brings its rows itself to the template and all sessions cloned from it.
pub(super) fn add_table(template: &SessionState, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
    template
        .schema_for_ref(TableReference::bare(name))
        .and_then(|schema| schema.register_table(name.to_owned(), table))
        .map(drop)
        .map_err(errors::from_datafusion)
}
