//! `CASE 'country' WHEN 'channel' THEN channel WHEN 'country' THEN country … END` is `country`.
//!
//! Metrics choose what to group by so, with a parameter as the subject. DataFusion simplifies the other form of CASE only
//! (55.2), so each of them would read and aggregate every column that could have been chosen.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Case, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

/// DataFusion's rules after ours.
pub(super) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    // Before it is decided which columns are needed.
    rules.insert(0, Arc::new(ChosenBranch));
    rules
}

#[derive(Debug)]
struct ChosenBranch;

impl OptimizerRule for ChosenBranch {
    fn name(&self) -> &str {
        "ChosenBranch"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let names = NamePreserver::new(&plan);
        let schema = merge_schema(&plan.inputs());
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|part| Ok(chosen(part, &schema)))?.update_data(|expr| name.restore(expr)))
        })
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text), _) => {
            text.as_deref()
        }
        Expr::Cast(cast) if cast.field.data_type().is_string() => text(&cast.expr),
        Expr::Alias(alias) => text(&alias.expr),
        _ => None,
    }
}

/// The branch of a CASE whose subject and conditions are known texts.
fn chosen(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match &expr {
        Expr::Case(case) => branch(&expr, case, schema).map_or_else(|| Transformed::no(expr.clone()), Transformed::yes),
        _ => Transformed::no(expr),
    }
}

fn branch(whole: &Expr, case: &Case, schema: &DFSchema) -> Option<Expr> {
    let subject = text(case.expr.as_deref()?)?;
    let conditions: Vec<&str> = case.when_then_expr.iter().map(|(when, _)| text(when)).collect::<Option<_>>()?;
    let of = whole.get_type(schema).ok()?;
    let branch = match conditions.iter().position(|condition| *condition == subject) {
        Some(at) => Some(&case.when_then_expr[at].1),
        None => case.else_expr.as_ref(),
    };
    let branch = match branch {
        Some(branch) => Expr::clone(branch),
        None => Expr::Literal(ScalarValue::try_new_null(&of).ok()?, None),
    };
    (branch.get_type(schema).ok()? == of).then_some(branch)
}
