//! Another way to look at the same tables: further schemas and functions beside them, and statements that are planned
//! before their values are known. What speaks another protocol asks through a surface of its own; `/sql` sees nothing of
//! it, and guard, session, limits and memory are those of every query.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::catalog::SchemaProvider;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ParamValues, Result as DfResult, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr as LogicalExpr, ExprSchemable as _, LogicalPlan};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Statement, TableFactor, Value, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::errors;
use super::session::{CATALOG, SCHEMA};
use crate::error::{Error, Result};

/// The most parameters of a statement: what the protocols' counts hold.
const MAX_PARAMETERS: usize = 32_767;

/// Reads texts that are not written as SQL is here, like the questions about a catalogue that clients of another
/// database send.
pub trait Reader: Send + Sync + fmt::Debug {
    /// Whether this text is one of them. Its tokens were counted already.
    fn claims(&self, tokens: &[Token]) -> bool;

    /// Makes it into statements this engine can plan.
    ///
    /// # Errors
    /// When it does not parse.
    fn read(&self, text: &str) -> Result<Vec<Statement>, ParserError>;
}

/// What a surface has beside the tables of everyone.
pub struct Additions {
    /// Schemas by name.
    pub schemas: Vec<(&'static str, Arc<dyn SchemaProvider>)>,
    /// Functions that stand where a table stands, by name. They are registered by `functions`.
    pub table_functions: Vec<&'static str>,
    /// Registers functions, and schemas that need a session to be made.
    #[expect(clippy::type_complexity, reason = "one function, written once")]
    pub register: Box<dyn FnOnce(&SessionContext) -> DfResult<()> + Send>,
    /// Reads what is written otherwise.
    pub reader: Arc<dyn Reader>,
}

impl fmt::Debug for Additions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Additions").field("table_functions", &self.table_functions).finish_non_exhaustive()
    }
}

/// A template of its own over the same tables.
pub struct Surface {
    pub(super) template: Arc<SessionState>,
    pub(super) reader: Arc<dyn Reader>,
    table_functions: Vec<&'static str>,
    catalog: Arc<dyn CatalogProvider>,
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surface").field("schemas", &self.catalog.schema_names()).finish_non_exhaustive()
    }
}

impl Surface {
    /// Over the tables `template` has: also those added to it later.
    pub(super) fn new(template: &SessionState, additions: Additions) -> DfResult<Self> {
        let catalog: Arc<dyn CatalogProvider> = Arc::new(MemoryCatalogProvider::new());
        let shared = template.catalog_list().catalog(CATALOG).and_then(|catalog| catalog.schema(SCHEMA));
        let shared = shared.ok_or_else(|| DataFusionError::Internal("the schema of tables is missing".to_owned()))?;
        catalog.register_schema(SCHEMA, shared)?;
        for (name, schema) in additions.schemas {
            catalog.register_schema(name, schema)?;
        }
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        catalogs.register_catalog(CATALOG.to_owned(), Arc::clone(&catalog));
        let state = SessionStateBuilder::new_from_existing(template.clone())
            .with_session_id(CATALOG.to_owned())
            .with_catalog_list(catalogs)
            .build();
        let context = SessionContext::new_with_state(state);
        (additions.register)(&context)?;
        Ok(Self {
            template: Arc::new(context.state()),
            reader: additions.reader,
            table_functions: additions.table_functions,
            catalog,
        })
    }

    /// Whether a further schema has this table.
    pub(super) fn has(&self, schema: &str, table: &str) -> bool {
        schema != SCHEMA && self.catalog.schema(schema).is_some_and(|schema| schema.table_exist(table))
    }

    /// Whether this function stands where a table stands.
    pub(super) fn has_function(&self, name: &str) -> bool {
        self.table_functions.contains(&name)
    }
}

/// A statement that was understood: what it needs, and what it will answer with.
#[derive(Debug)]
pub struct Understood {
    pub(super) statement: DfStatement,
    /// Its parameters, `$1` first, with their types; of the metadata of the columns they are compared with, where known.
    pub params: Vec<Option<FieldRef>>,
    /// The columns of its answer.
    pub schema: SchemaRef,
    /// Parameters that stand among the arguments of a table function, which are values before there is a plan.
    early: Vec<usize>,
}

/// The numbers of the parameters in a statement, and those within table functions.
pub(super) struct Placeholders {
    pub(super) count: usize,
    pub(super) early: Vec<usize>,
}

fn number(name: &str) -> Result<usize> {
    let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
    number.filter(|n| (1..=MAX_PARAMETERS).contains(n)).ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        Error::invalid("invalid_parameter", format!("the parameter {shown} has no number"))
            .with_hint("parameters are $1, $2 and so on")
    })
}

fn placeholder(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Visits the arguments of table functions.
struct Early<F>(F);

impl<F: FnMut(&mut Expr)> VisitorMut for Early<F> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { args: Some(arguments), name, .. } = factor
            && name.0.last().is_some_and(|part| part.to_string() == crate::query::METRIC_FUNCTION)
        {
            for argument in &mut arguments.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                    (self.0)(expr);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Placeholders {
    pub(super) fn of(statement: &mut DfStatement) -> Result<Self> {
        let mut found = Self { count: 0, early: Vec::new() };
        let DfStatement::Statement(statement) = statement else { return Ok(found) };
        let mut wrong = None;
        let _ = visit_expressions(statement.as_ref(), |expr| {
            match placeholder(expr).map(number) {
                Some(Ok(number)) => found.count = found.count.max(number),
                Some(Err(error)) => wrong = Some(error),
                None => {}
            }
            ControlFlow::<()>::Continue(())
        });
        if let Some(error) = wrong {
            return Err(error);
        }
        let mut early = Vec::new();
        let mut visitor = Early(|expr: &mut Expr| {
            if let Some(Ok(number)) = placeholder(expr).map(number) {
                early.push(number);
            }
        });
        let _ = statement.visit(&mut visitor);
        found.early = early;
        Ok(found)
    }
}

impl Understood {
    pub(super) fn new(
        statement: DfStatement,
        placeholders: Placeholders,
        params: Vec<Option<FieldRef>>,
        schema: SchemaRef,
    ) -> Self {
        Self { statement, params, schema, early: placeholders.early }
    }

    /// The statement as text.
    pub(super) fn text(&self) -> String {
        self.statement.to_string()
    }

    /// The statement with what a plan needs to know put into its tree, as literals.
    pub(super) fn with_early(&self, values: &[ScalarValue]) -> Result<DfStatement> {
        let mut statement = self.statement.clone();
        if self.early.is_empty() {
            return Ok(statement);
        }
        let DfStatement::Statement(inner) = &mut statement else { return Ok(statement) };
        let mut visitor = Early(|expr: &mut Expr| {
            let Some(Ok(number)) = placeholder(expr).map(number) else { return };
            let value = values.get(number - 1).filter(|value| !value.is_null());
            let literal = value.map_or(Value::Null, |value| Value::SingleQuotedString(plain(value)));
            *expr = Expr::Value(literal.into());
        });
        let _ = inner.visit(&mut visitor);
        Ok(statement)
    }
}

/// A value as a metric's parameter is written.
fn plain(value: &ScalarValue) -> String {
    match value {
        ScalarValue::TimestampMicrosecond(Some(at), _) => super::encode::timestamp_text(*at),
        other => other.to_string(),
    }
}

/// The parameters of a plan with the types the planner found, and those that casts say.
pub(super) fn parameter_fields(plan: &LogicalPlan, count: usize) -> Result<Vec<Option<FieldRef>>> {
    let found = plan.get_parameter_fields().map_err(errors::from_datafusion)?;
    let mut fields = vec![None; count];
    for (name, field) in found {
        if let Some(place) = fields.get_mut(number(&name)? - 1) {
            *place = field;
        }
    }
    if fields.iter().all(Option::is_some) {
        return Ok(fields);
    }
    let mut casts: HashMap<usize, FieldRef> = HashMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                // `x = ANY($1)`: a list of what it is compared with.
                if let LogicalExpr::ScalarFunction(call) = part
                    && let ("array_has", [LogicalExpr::Placeholder(list), item]) = (call.name(), call.args.as_slice())
                    && let (Ok(number), Some(input)) = (number(&list.id), node.inputs().first())
                    && let Ok(kind) = item.get_type(input.schema())
                {
                    let kind = DataType::new_list(kind, true);
                    casts.entry(number).or_insert_with(|| Arc::new(Field::new("list", kind, true)));
                }
                if let LogicalExpr::Cast(cast) = part
                    && let LogicalExpr::Placeholder(placeholder) = cast.expr.as_ref()
                    && let Ok(number) = number(&placeholder.id)
                {
                    casts.entry(number).or_insert_with(|| Arc::clone(&cast.field));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(errors::from_datafusion)?;
    for (at, field) in fields.iter_mut().enumerate() {
        if field.is_none() {
            *field = casts.remove(&(at + 1));
        }
    }
    Ok(fields)
}

/// Values for `$1`, `$2` and so on.
pub(super) fn numbered(values: &[ScalarValue]) -> ParamValues {
    let named = values.iter().enumerate().map(|(at, value)| ((at + 1).to_string(), value.clone().into()));
    ParamValues::Map(named.collect())
}

/// A null of the type a parameter will be bound as.
pub(super) fn null_of(kind: Option<&DataType>) -> ScalarValue {
    let text = || ScalarValue::Utf8(None);
    kind.map_or_else(text, |kind| ScalarValue::try_from(kind).unwrap_or_else(|_| text()))
}
