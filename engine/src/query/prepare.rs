//! Texts of ours that are planned once: parameters have declared types, and only values change from run to run.
//!
//! What is kept is the analysed plan. An optimised one would be quicker still, and wrong: it has `now()` of the moment
//! it was made, and bounds of the values it was made with.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, ExactNumberInfo, Expr, Statement, TimezoneInfo, Value, ValueWithSpan,
    visit_expressions_mut,
};
use futures::executor::block_on;

use super::events::TableState;
use super::guard::{self, Readable, TextLimits};
use super::{errors, run, views};
use crate::clock::Micros;
use crate::error::{Error, Position, Result};

/// Our own texts may be long: they are reviewed, and limits of strangers' queries must not break them.
const LIMITS: TextLimits = TextLimits { max_bytes: 256 << 10, max_operators: 2_000, max_calls: 30 };
/// Functions whose answer changes by itself.
const CHANGING: [&str; 5] = ["now", "current_date", "current_time", "random", "uuid"];

/// The types parameters are bound as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindType {
    /// Text.
    Text,
    /// `BIGINT`.
    Integer,
    /// `DECIMAL(38, 4)`.
    Decimal,
    /// `BOOLEAN`.
    Boolean,
    /// Microseconds, UTC.
    Timestamp,
    /// `DATE`.
    Date,
    /// `INTERVAL`.
    Interval,
    /// A list of text.
    TextList,
}

impl BindType {
    fn sql(self) -> DataType {
        match self {
            Self::Text => DataType::Varchar(None),
            Self::Integer => DataType::BigInt(None),
            Self::Decimal => DataType::Decimal(ExactNumberInfo::PrecisionAndScale(38, 4)),
            Self::Boolean => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(Some(6), TimezoneInfo::WithTimeZone),
            Self::Date => DataType::Date,
            Self::Interval => DataType::Interval { fields: None, precision: None },
            Self::TextList => DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::Varchar(None)), None)),
        }
    }
}

/// A text that was planned.
#[derive(Debug, Clone)]
pub struct Prepared {
    name: Arc<str>,
    plan: LogicalPlan,
    schema: SchemaRef,
    changes_by_itself: bool,
}

impl Prepared {
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// As a table, with these values for its parameters.
    ///
    /// # Errors
    /// When a value is not of its parameter's type.
    pub fn table(&self, values: &[(String, ScalarValue)]) -> Result<Arc<dyn TableProvider>> {
        let plan = bound(&self.plan, values)?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }

    /// Whether it reads the clock, so that its answer changes while the table does not.
    pub fn changes_by_itself(&self) -> bool {
        self.changes_by_itself
    }
}

/// Parses, types, plans and analyses `text`, and makes a plan that could run with the values given to try. Nothing of
/// it waits: the table is empty.
pub(super) fn prepare(
    template: &SessionState,
    name: &str,
    text: &str,
    params: &[(String, BindType, ScalarValue)],
    now: Micros,
) -> Result<Prepared> {
    let state = Arc::new(TableState::default());
    let mut session = run::session_at(template, &state, now);
    let tables = run::tables(&session)?;
    let mut statement = guard::check(text, LIMITS, Readable { tables: &tables, surface: None })?;
    let types = params.iter().map(|(name, bind, _)| (name.as_str(), *bind)).collect();
    give_types(&mut statement, &types)?;
    let plan = block_on(session.statement_to_plan(statement)).map_err(errors::from_datafusion)?;
    let options = session.config_options().clone();
    let analysed = session.analyzer().execute_and_check(plan, &options, |_, _| {});
    let plan = analysed.map_err(errors::from_datafusion)?;
    let values: Vec<_> = params.iter().map(|(name, _, value)| (name.clone(), value.clone())).collect();
    let written_out = views::written_out(plan.clone()).map_err(errors::from_datafusion)?;
    let tried = optimized(&session, &written_out, &values)?;
    let physical = block_on(run::physical(&mut session, &tried, &state))?;
    let schema = run::unique_names(&physical.schema());
    Ok(Prepared { name: name.into(), changes_by_itself: changes_by_itself(&plan)?, schema, plan })
}

/// Binds values to an analysed plan and optimises it.
pub(super) fn optimized(
    session: &SessionState,
    plan: &LogicalPlan,
    values: &[(String, ScalarValue)],
) -> Result<LogicalPlan> {
    session.optimizer().optimize(bound(plan, values)?, session, |_, _| {}).map_err(errors::from_datafusion)
}

fn bound(plan: &LogicalPlan, values: &[(String, ScalarValue)]) -> Result<LogicalPlan> {
    let values: HashMap<_, _> = values.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let bound =
        if values.is_empty() { Ok(plan.clone()) } else { plan.clone().with_param_values(ParamValues::Map(values)) };
    bound.map_err(errors::from_datafusion)
}

/// Makes `$day` into `CAST($day AS DATE)`: the planner then knows the type before there is a value.
fn give_types(statement: &mut DfStatement, types: &HashMap<&str, BindType>) -> Result<()> {
    let DfStatement::Statement(statement) = statement else {
        return Err(Error::invalid("not_a_query", "this is not a SELECT"));
    };
    if !matches!(statement.as_ref(), Statement::Query(_)) {
        return Err(Error::invalid("not_a_query", "this is not a SELECT").with_hint("write one SELECT"));
    }
    let mut used = HashSet::new();
    let visited = visit_expressions_mut(statement.as_mut(), |expr| {
        let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span }) = &*expr else {
            return ControlFlow::Continue(());
        };
        let bare = name.trim_start_matches('$');
        let Some(bind) = types.get(bare) else {
            let mut error = Error::invalid("unknown_parameter", format!("the parameter {name} is not declared"))
                .with_hint(format!("add [params.{bare}] with a type to the header"));
            error.did_you_mean = errors::nearest(bare, types.keys().copied());
            if span.start.line > 0 {
                error.position = Some(Position { line: span.start.line, column: span.start.column });
            }
            return ControlFlow::Break(error);
        };
        used.insert(bare.to_owned());
        let placeholder = Box::new(expr.clone());
        let data_type = bind.sql();
        *expr = Expr::Cast { kind: CastKind::Cast, expr: placeholder, data_type, array: false, format: None };
        ControlFlow::Continue(())
    });
    if let ControlFlow::Break(error) = visited {
        return Err(error);
    }
    let mut unused: Vec<&str> = types.keys().copied().filter(|name| !used.contains(*name)).collect();
    unused.sort_unstable();
    match unused.first() {
        Some(name) => Err(Error::invalid("unused_parameter", format!("the parameter {name} is declared and not used"))
            .with_hint(format!("use it in the query as ${name}, or take it out of the header"))),
        None => Ok(()),
    }
}

fn changes_by_itself(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                found |= matches!(part, LogicalExpr::ScalarFunction(call) if CHANGING.contains(&call.name()));
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    })
    .map_err(errors::from_datafusion)?;
    Ok(found)
}
