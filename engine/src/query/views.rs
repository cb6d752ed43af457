//! Views over `events`: each a file in `queries/views`, of one SELECT. One may use those before it.
//!
//! A view whose text has `$from` and `$until` is also a function of a span of time: `sessions($a, $b)` are the sessions
//! that began in [a, b), and only the files around that span are read. The view itself is the same text from the
//! beginning to the end of time, so there is one definition of both.

use std::sync::Arc;

use datafusion::catalog::{SchemaProvider, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result as DfResult, ScalarValue, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, cast, lit};

use super::errors;
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
            session.register_udtf(name, Arc::new(Between { name, plan }));
        }
        let view = Arc::new(ViewTable::new(of_all_time, Some(sql.to_owned())));
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
