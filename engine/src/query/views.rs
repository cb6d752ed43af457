//! Views over `events`: each a file in `queries/views`, of one SELECT. One may use those before it.
//!
//! A view whose text has `$from` and `$until` is also a function of a span of time: `sessions($a, $b)` are the sessions
//! that began in [a, b), and only the files around that span are read. The view itself is the same text from the
//! beginning to the end of time, so there is one definition of both.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result as DfResult, ScalarValue, internal_err, plan_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::{ViewTable, source_as_provider};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableType, cast, lit};
use datafusion::physical_plan::ExecutionPlan;

use super::events::Late;
use super::{book, errors};
use crate::clock::Micros;
use crate::error::Result;
use crate::event::time_type;

macro_rules! views {
    ($($name:literal),* $(,)?) => {
        [$( ($name, include_str!(concat!("../../../queries/views/", $name, ".sql"))) ),*]
    };
}

/// Name and text of every view.
pub(super) const VIEWS: [(&str, &str); 10] = views![
    "line_items",
    "order_events",
    "orders",
    "order_lines",
    "refunds",
    "sessions",
    "carts",
    "customers",
    "products",
    "identities",
];

/// The first moment of year 1, and of year 10,000: all of time, with room to add and subtract.
const ALL_TIME: [Micros; 2] = [-62_135_596_800_000_000, 253_402_300_800_000_000];
/// The parameters a view's text may have.
const BOUNDS: [&str; 2] = ["$from", "$until"];

/// Plans the views and adds them to the schema that `session` looks tables up in, and to its table functions.
pub(super) fn register(session: &mut SessionState, schema: &dyn SchemaProvider) -> Result<()> {
    for (name, sql) in VIEWS {
        let failed = |e| errors::from_datafusion(e).context(format!("the view {name}"));
        let plan = futures::executor::block_on(session.create_logical_plan(sql)).map_err(failed)?;
        let always = ALL_TIME.map(|time| lit(ScalarValue::TimestampMicrosecond(Some(time), Some("UTC".into()))));
        let of_all_time = between(plan.clone(), &always).map_err(failed)?;
        if !plan.get_parameter_names().map_err(failed)?.is_empty() {
            session.register_udtf(name, Arc::new(Between { name, plan: plan.clone() }));
        }
        let view: Arc<dyn TableProvider> = if book::KEPT.contains(&name) {
            Arc::new(KeptView::new(session, name, sql, plan).map_err(failed)?)
        } else {
            Arc::new(ViewTable::new(of_all_time, Some(sql.to_owned())))
        };
        schema.register_table(name.to_owned(), view).map_err(failed)?;
    }
    Ok(())
}

/// Puts the bounds where the text has its parameters. They stand in filters only, so no column changes its name.
fn between(plan: LogicalPlan, bounds: &[Expr; 2]) -> DfResult<LogicalPlan> {
    let bound = |expr: Expr| match &expr {
        Expr::Placeholder(parameter) => match BOUNDS.iter().position(|name| *name == parameter.id) {
            Some(at) => Ok(Transformed::yes(cast(bounds[at].clone(), time_type()))),
            None => plan_err!("a view has no parameter {}", parameter.id),
        },
        _ => Ok(Transformed::no(expr)),
    };
    let node = |node: LogicalPlan| node.map_expressions(|expr| expr.transform(bound));
    plan.transform_up_with_subqueries(node).map(|done| done.data)
}

/// A view as a function of a span of time.
#[derive(Debug)]
struct Between {
    name: &'static str,
    plan: LogicalPlan,
}

impl TableFunctionImpl for Between {
    fn call_with_args(&self, args: TableFunctionArgs) -> DfResult<Arc<dyn TableProvider>> {
        let Ok(bounds) = <[Expr; 2]>::try_from(args.exprs().to_vec()) else {
            return plan_err!("{}(from, until) takes two moments, the second excluded", self.name);
        };
        Ok(Arc::new(ViewTable::new(between(self.plan.clone(), &bounds)?, None)))
    }
}

/// A view whose rows are kept, see [`book`]. It is read like a table where its session has the rows; where not, its text
/// stands in its place: [`written_out`].
#[derive(Debug)]
struct KeptView {
    name: &'static str,
    sql: &'static str,
    /// Analysed, since what it is put into may be.
    plan: LogicalPlan,
    schema: SchemaRef,
}

/// The kept rows that a query sees, carried by its session.
#[derive(Debug)]
pub(super) struct Kept(pub(super) Arc<book::Pages>);

impl KeptView {
    fn new(session: &SessionState, name: &'static str, sql: &'static str, plan: LogicalPlan) -> DfResult<Self> {
        let options = session.config_options();
        let plan = session.analyzer().execute_and_check(plan, options, |_, _| {})?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Ok(Self { name, sql, plan, schema })
    }
}

#[async_trait]
impl TableProvider for KeptView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(self.sql)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        if session.config().get_extension::<Late>().is_some() {
            return Late::scan(self.name, Arc::clone(&self.schema), projection);
        }
        let kept = session.config().get_extension::<Kept>();
        let Some(rows) = kept.as_ref().and_then(|kept| kept.0.table(self.name)) else {
            return internal_err!("the rows of {} are not kept", self.name);
        };
        let rows: Vec<_> = rows.iter().filter(|part| part.num_rows() > 0).cloned().collect();
        let source = MemorySourceConfig::try_new(&[rows], Arc::clone(&self.schema), projection.cloned())?;
        Ok(DataSourceExec::from_data_source(source))
    }
}

fn kept_view(scan: &TableScan) -> Option<Arc<dyn TableProvider>> {
    source_as_provider(&scan.source).ok().filter(|provider| provider.is::<KeptView>())
}

/// Whether a plan reads views whose rows may be kept.
pub(super) fn reads_kept(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::TableScan(scan) if kept_view(scan).is_some());
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// The plan with the texts of such views in their place.
pub(super) fn written_out(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    written_out_but(plan, &[])
}

/// The same, but those of these names stay tables.
pub(super) fn written_out_but(plan: LogicalPlan, stay: &[&str]) -> DfResult<LogicalPlan> {
    let node = |node: LogicalPlan| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let provider = kept_view(scan);
        let view = provider.as_ref().and_then(|provider| provider.downcast_ref::<KeptView>());
        let Some(view) = view.filter(|view| !stay.contains(&view.name)) else {
            return Ok(Transformed::no(node));
        };
        let inner = written_out_but(view.plan.clone(), stay)?;
        let columns = scan.projection.iter().flatten();
        let columns: Vec<Expr> =
            columns.map(|at| Expr::Column(Column::from(inner.schema().qualified_field(*at)))).collect();
        let mut text = LogicalPlanBuilder::from(inner);
        if scan.projection.is_some() {
            text = text.project(columns)?;
        }
        Ok(Transformed::yes(text.alias(scan.table_name.clone())?.build()?))
    };
    plan.transform_up_with_subqueries(node).map(|done| done.data)
}
